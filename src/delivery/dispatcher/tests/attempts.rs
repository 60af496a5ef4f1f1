//! Attempts and what they come to: retries and when there are none, waits that servers ask for, what cannot be sent.

use tokio::net::TcpListener;

use super::*;
use crate::delivery::testing::answer;
use crate::rules::{RetryOn, Target};
use crate::telemetry::AttemptLabels;

#[tokio::test]
async fn a_delivery_is_attempted_once_and_retried_three_times() {
    let api = Api::start(|_| answer(503, &[], "come\nback later")).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    let completed = next(&mut dispatcher).await;
    assert_eq!(completed.outcome, dead(Reason::Exhausted, "all 4 attempts failed, the last: answered 503"));
    assert_eq!(statuses(&completed), [503; 4]);
    assert_eq!(
        completed.attempts.kept()[0].answer,
        Answer::Status { status: 503, excerpt: "come back later".to_owned() }
    );
    assert!(completed.attempts.kept().windows(2).all(|two| two[0].started_at_us <= two[1].started_at_us));
    let seen = api.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|one| one.head == seen[0].head), "every attempt sends the same request");
}

#[tokio::test]
async fn a_rule_without_retries_gets_one_attempt() {
    let api = Api::start(|_| Reply::Status(500)).await;
    let rule = rule(&api.url(), |rule| rule.actions[0].retry.retries = Retries::AtMost(0));
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    let (_, outcome) = resolve(&mut dispatcher).await;
    assert_eq!(outcome, dead(Reason::Exhausted, "the only attempt failed: answered 500"));
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn the_wait_that_a_server_asks_for_is_kept() {
    let date = |in_seconds| httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(in_seconds));
    let api = Api::start(move |seen| match (seen.number, seen.attempt) {
        (1, 1) => answer(429, &[("Retry-After", "1")], ""),
        // A date has whole seconds, so that two seconds from now is more than one.
        (2, 1) => answer(503, &[("Retry-After", &date(2))], ""),
        _ => Reply::Status(200),
    })
    .await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 1));
    dispatcher.submit(delivery(&rule, 2, 2));
    for _ in 0..2 {
        let completed = next(&mut dispatcher).await;
        assert_eq!(completed.outcome, Outcome::Delivered { status: 200 });
        let [first, second] = completed.attempts.kept() else { panic!("two attempts: {completed:?}") };
        let waited_us = second.started_at_us - first.started_at_us;
        // A timer may be a millisecond early for the other clock.
        assert!((995_000..10_000_000).contains(&waited_us), "{waited_us}");
    }
}

#[tokio::test]
async fn retries_may_have_no_limit_and_the_first_and_last_attempts_are_kept() {
    let api = Api::start(|seen| Reply::Status(if seen.attempt <= 40 { 500 } else { 200 })).await;
    let rule = rule(&api.url(), |rule| {
        rule.actions[0].retry.retries = Retries::Forever;
        (rule.actions[0].retry.initial, rule.actions[0].retry.max_delay) =
            (Duration::from_millis(1), Duration::from_millis(1));
        rule.actions[0].target = Arc::new(Target { breaker: None, ..(*rule.actions[0].target).clone() });
    });
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    let completed = next(&mut dispatcher).await;
    assert_eq!(completed.outcome, Outcome::Delivered { status: 200 });
    assert_eq!((completed.attempts.total(), statuses(&completed)), (41, [[500; 15].as_slice(), &[200]].concat()));
}

#[tokio::test]
async fn a_refusal_is_dead_at_once() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 400 } else { 302 })).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    assert_eq!(resolve(&mut dispatcher).await.1, dead(Reason::Refused, "answered 400: not retried"));
    dispatcher.submit(delivery(&rule, 2, 7));
    assert_eq!(
        resolve(&mut dispatcher).await.1,
        dead(
            Reason::Refused,
            "answered 302: not retried; it redirects without saying where to, which rowhook does not follow: put the final address into `url`"
        )
    );
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn what_a_rule_does_not_retry_on_is_dead_at_once_also_without_an_answer() {
    let api = Api::start(|seen| if seen.number == 1 { Reply::Hang } else { Reply::LoseAnswer }).await;
    let rule = rule(&api.url(), |rule| {
        rule.call_mut().settings.timeout = Duration::from_millis(40);
        rule.actions[0].retry_on = RetryOn { statuses: vec![(503, 503)], network: true, timeout: false };
        rule.actions[0].retry.retries = Retries::AtMost(1);
    });
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 1));
    let expected = dead(Reason::Refused, "no answer within 40ms: not retried (`retry_on`)");
    assert_eq!(resolve(&mut dispatcher).await.1, expected);
    dispatcher.submit(delivery(&rule, 2, 2));
    let expected = dead(Reason::Exhausted, "all 2 attempts failed, the last: connection closed before the answer");
    assert_eq!(resolve(&mut dispatcher).await.1, expected);
}

#[tokio::test]
async fn an_api_that_hangs_is_tried_again_and_then_given_up() {
    let api = Api::start(|_| Reply::Hang).await;
    let rule = rule(&api.url(), |rule| rule.call_mut().settings.timeout = Duration::from_millis(40));
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    let completed = next(&mut dispatcher).await;
    assert_eq!(completed.outcome, dead(Reason::Exhausted, "all 4 attempts failed, the last: no answer within 40ms"));
    assert!(completed.attempts.kept().iter().all(|attempt| attempt.duration_us >= 39_000), "{:?}", completed.attempts);
}

#[tokio::test]
async fn a_lost_answer_is_tried_again_with_the_same_identity() {
    let api = Api::start(|seen| if seen.attempt == 1 { Reply::LoseAnswer } else { Reply::Status(200) }).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 5, 7));
    let completed = next(&mut dispatcher).await;
    assert_eq!(completed.outcome, Outcome::Delivered { status: 200 });
    assert_eq!(statuses(&completed), [0, 200]);
    assert_eq!(api.order(), [5, 5]);
}

#[tokio::test]
async fn an_api_that_is_down_is_tried_again() {
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rule = rule(&format!("http://{down}/"), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    let (_, outcome) = resolve(&mut dispatcher).await;
    assert_eq!(
        outcome,
        dead(
            Reason::Exhausted,
            "all 4 attempts failed, the last: connection refused: nothing listens at this address and port"
        )
    );
}

#[tokio::test]
async fn a_delivery_that_cannot_be_rendered_is_dead_and_makes_room() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let metadata = rule("http://169.254.169.254/latest", |rule| rule.settings.in_flight = 1);
    let sound = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&metadata, 1, 7));
    let Completed { outcome, attempts, ticket, .. } = next(&mut dispatcher).await;
    assert!(matches!(outcome, Outcome::Dead(Failure { reason: Reason::Unrenderable, .. })), "{outcome:?}");
    assert_eq!(attempts.total(), 0);
    dispatcher.release(ticket);
    dispatcher.submit(delivery(&sound, 2, 7));
    assert_eq!(resolve(&mut dispatcher).await, (2, Outcome::Delivered { status: 200 }));
}

#[tokio::test]
async fn attempts_are_counted_by_rule_and_class() {
    let api = Api::start(|seen| match seen.attempt {
        1 => Reply::Status(503),
        2 => Reply::LoseAnswer,
        _ => Reply::Status(201),
    })
    .await;
    let metrics = Arc::new(Metrics::default());
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = Dispatcher::new(Sinks::new(Client::new().unwrap(), None), metrics.clone());
    dispatcher.submit(delivery(&rule, 1, 7));
    resolve(&mut dispatcher).await;
    for (status, expected) in [("2xx", 1), ("4xx", 0), ("5xx", 1), ("error", 1)] {
        let labels = AttemptLabels { rule: "orders".to_owned(), status };
        assert_eq!(metrics.attempts.get_or_create(&labels).get(), expected, "{status}");
    }
}

#[tokio::test]
async fn an_attempt_that_does_not_count_is_followed_by_a_minimum_wait_even_if_the_api_names_a_shorter_one() {
    for header in ["RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset", "ratelimit-reset"] {
        let api = Api::start(move |seen| match seen.attempt {
            1..=3 => answer(429, &[("RateLimit-Remaining", "0"), (header, "0.001")], ""),
            _ => Reply::Status(200),
        })
        .await;
        let rule = rule(&api.url(), |rule| rule.actions[0].retry.retries = Retries::AtMost(0));
        let mut dispatcher = dispatcher();
        let begun = Instant::now();
        dispatcher.submit(delivery(&rule, 1, 7));
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 }, "{header}");
        assert_eq!(api.seen().len(), 4);
        assert!(
            begun.elapsed() >= 3 * crate::delivery::admission::NOT_COUNTED_WAIT_MIN,
            "{header}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn a_redirect_says_where_it_leads_without_path_in_the_message() {
    let long = format!("https://b.test/{}", "x".repeat(5000));
    for (status, location, hint, shown) in [
        (301, "https://api.example.com/x/", "to https://api.example.com", "https://api.example.com/x/"),
        (308, "https://me:s3cret@b.test/4711?t=s3cret", "to https://b.test", "https://b.test/4711?***"),
        (302, "/login", "to another path of this server", "/login"),
        (307, &*long, "to https://b.test", "https://b.test/xxx"),
    ] {
        let location = location.to_owned();
        let api = Api::start(move |_| answer(status, &[("Location", &location)], "moved")).await;
        let rule = rule(&api.url(), |_| {});
        let mut dispatcher = dispatcher();
        dispatcher.submit(delivery(&rule, 1, 7));
        let completed = next(&mut dispatcher).await;
        let expected = format!(
            "answered {status}: not retried; it redirects {hint}, which rowhook does not follow: put the final \
             address into `url`"
        );
        assert_eq!(completed.outcome, dead(Reason::Refused, &expected));
        let Answer::Status { excerpt, .. } = &completed.attempts.kept()[0].answer else { panic!("{completed:?}") };
        assert!(excerpt.starts_with("Location: http") && excerpt.contains(shown), "{excerpt}");
        assert!(excerpt.ends_with(" moved") && excerpt.len() < 400 && !excerpt.contains("s3cret"), "{excerpt}");
    }
}
