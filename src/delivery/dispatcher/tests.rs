//! Tests of the dispatcher with real connections to a scripted API.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::*;
use crate::delivery::testing::{Api, PATIENCE, Reply, answer, delivery, moving_delivery, rule};
use crate::retry::Retries;
use crate::rules::{BreakerPolicy, OnDeadLetter, OrderBy, Rate, RetryOn, Target};
use crate::telemetry::{AttemptLabels, TargetLabel};

pub(super) fn dispatcher() -> Dispatcher {
    Dispatcher::new(Client::new().unwrap(), Arc::new(Metrics::default()))
}

pub(super) async fn next(dispatcher: &mut Dispatcher) -> Completed {
    tokio::time::timeout(PATIENCE, dispatcher.next()).await.expect("a delivery completes")
}

/// Takes the next completed delivery and lets its lanes move on; says which it was.
pub(super) async fn resolve(dispatcher: &mut Dispatcher) -> (u128, Outcome) {
    let Completed { delivery, outcome, ticket, .. } = next(dispatcher).await;
    dispatcher.release(ticket);
    (delivery.id.0.as_u128(), outcome)
}

/// Drives the dispatcher until the API has seen this many requests; nothing may complete meanwhile.
pub(super) async fn drive_until_seen(dispatcher: &mut Dispatcher, api: &Api, requests: usize) {
    tokio::select! {
        completed = dispatcher.next() => panic!("nothing was to complete, but {completed:?}"),
        _ = api.wait_for(requests) => {}
    }
}

fn statuses(completed: &Completed) -> Vec<u16> {
    let status = |attempt: &Attempt| match attempt.answer {
        Answer::Status { status, .. } => status,
        Answer::Failed { .. } => 0,
    };
    completed.attempts.kept().iter().map(status).collect()
}

fn dead(reason: Reason, message: &str) -> Outcome {
    Outcome::Dead(Failure { reason, message: message.to_owned() })
}

#[tokio::test]
async fn nothing_is_started_after_a_dead_letter_that_pauses_its_rule() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 400 } else { 200 })).await;
    let rule = rule(&api.url(), |rule| (rule.in_flight, rule.on_dead_letter) = (1, OnDeadLetter::Pause));
    let mut dispatcher = dispatcher();
    for number in 1..=3 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    let completed = next(&mut dispatcher).await;
    assert!(matches!(completed.outcome, Outcome::Dead(_)));
    assert_eq!((dispatcher.in_flight(), dispatcher.is_blocked(&rule.name)), (0, true), "before anybody could pause it");
    dispatcher.release(completed.ticket);
    assert_eq!(dispatcher.in_flight(), 0);
    dispatcher.set_paused(&rule.name, false);
    for number in [2, 3] {
        assert_eq!(resolve(&mut dispatcher).await.0, number);
    }
}

/// A rule before and after a reload: the API that it called is gone, and it calls this one now.
async fn moved(api: &Api, edit: impl Fn(&mut Rule)) -> (Arc<Rule>, Arc<Rule>) {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let to = |url: &str, edit: &dyn Fn(&mut Rule)| {
        rule(url, |rule| {
            let breaker = Some(BreakerPolicy { failures: 2, ..BreakerPolicy::default() });
            rule.target = Arc::new(Target { breaker, ..(*rule.target).clone() });
            edit(rule);
        })
    };
    (to(&format!("http://{gone}/"), &|_| {}), to(&api.url(), &edit))
}

async fn drive_until_away(dispatcher: &mut Dispatcher) {
    while dispatcher.targets()[0].open_since_us.is_none() {
        // Nothing completes; what is polled is the clock of retries.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(10), dispatcher.next()).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_target_that_is_gone_goes_to_the_one_that_its_rule_calls_now() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let (before, now) = moved(&api, |_| {}).await;
    let mut dispatcher = dispatcher();
    for number in 1..=20 {
        dispatcher.submit(delivery(&before, number, number as i64 % 7));
    }
    drive_until_away(&mut dispatcher).await;
    dispatcher.adopt(&[now]);
    // Made before the reload and handed over after it.
    dispatcher.submit(Delivery { origin: Origin::Redelivery { number: 1 }, ..delivery(&before, 21, 1) });
    for _ in 1..=21 {
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 });
    }
    assert_eq!(dispatcher.targets()[0].last_error, None);
}

#[tokio::test]
async fn what_can_only_go_to_a_target_that_is_gone_says_nothing_of_the_one_that_its_rule_calls_now() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let (before, now) = moved(&api, |rule| rule.order_by = OrderBy::None).await;
    let mut dispatcher = dispatcher();
    for number in 1..=20 {
        dispatcher.submit(delivery(&before, number, number as i64));
    }
    drive_until_away(&mut dispatcher).await;
    dispatcher.submit(delivery(&now, 21, 21));
    let mut delivered = Vec::new();
    for _ in 1..=21 {
        let (number, outcome) = resolve(&mut dispatcher).await;
        match outcome {
            Outcome::Delivered { .. } => delivered.push(number),
            Outcome::Dead(failure) => assert_eq!(failure.reason, Reason::Exhausted),
            Outcome::Held { .. } => panic!("nothing is held"),
        }
    }
    assert_eq!(delivered, [21]);
    let target = &dispatcher.targets()[0];
    assert_eq!((target.open_since_us, target.last_error.as_deref()), (None, None));
}

#[tokio::test]
async fn a_key_in_retry_holds_back_later_changes_of_that_key_only() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 && seen.attempt < 3 { 503 } else { 200 })).await;
    let rule = rule(&api.url(), |rule| rule.in_flight = 1);
    let mut dispatcher = dispatcher();
    for (number, key) in [(1, 7), (2, 7), (3, 8)] {
        dispatcher.submit(delivery(&rule, number, key));
    }
    let mut resolved = Vec::new();
    for _ in 0..3 {
        resolved.push(resolve(&mut dispatcher).await.0);
    }
    assert_eq!(resolved, [3, 1, 2]);
    assert_eq!(api.order().iter().filter(|number| **number != 3).copied().collect::<Vec<_>>(), [1, 1, 1, 2]);
    assert_eq!(dispatcher.unresolved(), 0);
}

#[tokio::test]
async fn deliveries_of_a_key_are_attempted_in_order_whatever_happens_to_them() {
    let api = Api::start(|seen| match (seen.number * 7 + seen.attempt as u128) % 5 {
        0 => Reply::Status(500),
        1 => Reply::LoseAnswer,
        2 => Reply::Status(400),
        _ => Reply::Status(200),
    })
    .await;
    let rule = rule(&api.url(), |rule| rule.in_flight = 4);
    let mut dispatcher = dispatcher();
    let key = |number: u128| (number % 6) as i64;
    for number in 0..120 {
        dispatcher.submit(delivery(&rule, number, key(number)));
    }
    for _ in 0..120 {
        resolve(&mut dispatcher).await;
    }
    let mut newest: HashMap<i64, u128> = HashMap::new();
    for number in api.order() {
        let before = newest.insert(key(number), number);
        assert!(before.is_none_or(|before| before <= number), "{number} came after {before:?}");
    }
}

#[tokio::test]
async fn an_update_that_changes_the_key_waits_for_both_keys_and_is_waited_for_by_both() {
    let (one, two, three) = (gate(), gate(), gate());
    let gates = [one.clone(), two.clone(), three.clone()];
    let api = Api::start(move |seen| match seen.number {
        number @ 1..=3 => Reply::When(gates[number as usize - 1].clone()),
        _ => Reply::Status(200),
    })
    .await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 10));
    dispatcher.submit(delivery(&rule, 2, 20));
    dispatcher.submit(moving_delivery(&rule, 3, 10, 20));
    dispatcher.submit(delivery(&rule, 4, 10));
    dispatcher.submit(delivery(&rule, 5, 20));
    drive_until_seen(&mut dispatcher, &api, 2).await;
    two.add_permits(1);
    assert_eq!(resolve(&mut dispatcher).await.0, 2);
    assert_eq!(dispatcher.in_flight(), 1, "the moving one still waits for the first");
    one.add_permits(1);
    assert_eq!(resolve(&mut dispatcher).await.0, 1);
    drive_until_seen(&mut dispatcher, &api, 3).await;
    assert_eq!(dispatcher.in_flight(), 1, "nobody overtakes the moving one");
    three.add_permits(1);
    assert_eq!(resolve(&mut dispatcher).await.0, 3);
    let mut last = [resolve(&mut dispatcher).await.0, resolve(&mut dispatcher).await.0];
    last.sort();
    assert_eq!(last, [4, 5]);
}

fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

#[tokio::test]
async fn no_more_attempts_are_under_way_than_the_rule_allows() {
    let open = gate();
    let gated = open.clone();
    let api = Api::start(move |_| Reply::When(gated.clone())).await;
    let (slow, other) =
        (rule(&api.url(), |rule| rule.in_flight = 3), rule(&api.url(), |rule| rule.name = "other".to_owned()));
    let mut dispatcher = dispatcher();
    for number in 0..10 {
        dispatcher.submit(delivery(&slow, number, number as i64));
    }
    assert_eq!(dispatcher.in_flight(), 3);
    dispatcher.submit(delivery(&other, 10, 0));
    assert_eq!(dispatcher.in_flight(), 4, "a full rule holds back no other rule");
    drive_until_seen(&mut dispatcher, &api, 4).await;
    open.add_permits(1);
    let first = next(&mut dispatcher).await;
    assert!(dispatcher.in_flight() <= 4);
    drive_until_seen(&mut dispatcher, &api, 5 - usize::from(first.delivery.rule.name == "other")).await;
    open.add_permits(10);
    for _ in 0..10 {
        let _ = next(&mut dispatcher).await;
    }
    assert_eq!((dispatcher.in_flight(), dispatcher.unresolved()), (0, 11));
}

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
    let rule = rule(&api.url(), |rule| rule.retry.retries = Retries::AtMost(0));
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
async fn a_refusal_is_dead_at_once() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 400 } else { 302 })).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    assert_eq!(resolve(&mut dispatcher).await.1, dead(Reason::Refused, "answered 400, which a retry can't help"));
    dispatcher.submit(delivery(&rule, 2, 7));
    assert_eq!(resolve(&mut dispatcher).await.1, dead(Reason::Refused, "answered 302, which a retry can't help"));
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn an_api_that_hangs_is_tried_again_and_then_given_up() {
    let api = Api::start(|_| Reply::Hang).await;
    let rule = rule(&api.url(), |rule| rule.call.timeout = Duration::from_millis(40));
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
    assert_eq!(outcome, dead(Reason::Exhausted, "all 4 attempts failed, the last: connection refused"));
}

#[tokio::test]
async fn the_next_delivery_of_a_key_waits_until_the_outcome_is_durable() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    dispatcher.submit(delivery(&rule, 2, 7));
    let first = next(&mut dispatcher).await;
    assert_eq!((dispatcher.in_flight(), dispatcher.unresolved()), (0, 2));
    assert!(dispatcher.try_next().is_none());
    dispatcher.release(first.ticket);
    assert_eq!((dispatcher.in_flight(), dispatcher.unresolved()), (1, 1));
    assert_eq!(resolve(&mut dispatcher).await.0, 2);
}

#[tokio::test]
async fn an_undecided_delivery_is_dead_without_a_request_and_in_its_turn() {
    let open = gate();
    let gated = open.clone();
    let api = Api::start(move |_| Reply::When(gated.clone())).await;
    let rule = rule(&api.url(), |rule| rule.in_flight = 1);
    let undecided =
        |number, key| Delivery { undecided: Some("no such column".to_owned()), ..delivery(&rule, number, key) };
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    dispatcher.submit(undecided(2, 7));
    dispatcher.submit(undecided(3, 8));
    let expected = dead(Reason::Undecided, "no such column");
    assert_eq!(resolve(&mut dispatcher).await, (3, expected.clone()), "no slot is needed");
    drive_until_seen(&mut dispatcher, &api, 1).await;
    open.add_permits(1);
    assert_eq!(resolve(&mut dispatcher).await.0, 1);
    assert_eq!(resolve(&mut dispatcher).await, (2, expected));
    assert_eq!(api.order(), [1]);
}

#[tokio::test]
async fn a_delivery_that_cannot_be_rendered_is_dead_and_makes_room() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let metadata = rule("http://169.254.169.254/latest", |rule| rule.in_flight = 1);
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
async fn replays_queue_in_the_same_lanes() {
    let api = Api::start(|seen| Reply::Status(if seen.attempt == 1 { 503 } else { 200 })).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    let origin = crate::delivery::Origin::Replay { dead_letter: 9 };
    dispatcher.submit(Delivery { origin, ..delivery(&rule, 2, 7) });
    dispatcher.submit(delivery(&rule, 3, 7));
    for expected in 1..=3 {
        assert_eq!(resolve(&mut dispatcher).await.0, expected);
    }
    assert_eq!(api.order(), [1, 1, 2, 2, 3, 3]);
}

#[tokio::test]
async fn deliveries_of_a_held_key_are_not_attempted_and_take_no_room_of_the_rule() {
    let open = gate();
    let gated = open.clone();
    let api = Api::start(move |_| Reply::When(gated.clone())).await;
    let rule = rule(&api.url(), |rule| rule.in_flight = 1);
    let mut dispatcher = dispatcher();
    let held = Held::default();
    dispatcher.heed(held.clone());
    dispatcher.submit(delivery(&rule, 1, 7));
    // It fills the rule's limit; the letter that holds key 8 is durable only now.
    held.add(17, rule.ordering_keys(&delivery(&rule, 0, 8).change), false);
    dispatcher.submit(delivery(&rule, 2, 8));
    dispatcher.submit(moving_delivery(&rule, 3, 9, 8));
    dispatcher.submit(delivery(&rule, 4, 9));
    let origin = crate::delivery::Origin::Redelivery { number: 1 };
    dispatcher.submit(Delivery { origin, ..delivery(&rule, 6, 8) });
    for expected in [2, 3, 6] {
        assert_eq!(resolve(&mut dispatcher).await, (expected, Outcome::Held { behind: 17 }));
    }
    let origin = crate::delivery::Origin::Replay { dead_letter: 17 };
    dispatcher.submit(Delivery { origin, ..delivery(&rule, 5, 8) });
    open.add_permits(3);
    for expected in [1, 4, 5] {
        assert_eq!(resolve(&mut dispatcher).await, (expected, Outcome::Delivered { status: 200 }));
    }
    assert_eq!(api.order(), [1, 4, 5]);
}

#[tokio::test]
async fn whether_a_key_is_held_is_asked_when_the_turn_comes() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 400 } else { 200 })).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    let held = Held::default();
    dispatcher.heed(held.clone());
    for number in 1..=3 {
        dispatcher.submit(delivery(&rule, number, 7));
    }
    let first = next(&mut dispatcher).await;
    let lanes = rule.ordering_keys(&first.delivery.change);
    held.add(1, lanes, false);
    dispatcher.release(first.ticket);
    let second = next(&mut dispatcher).await;
    assert_eq!(second.outcome, Outcome::Held { behind: 1 });
    held.remove(1, lanes, |_| Ok::<_, std::convert::Infallible>(None)).unwrap();
    dispatcher.release(second.ticket);
    assert_eq!(resolve(&mut dispatcher).await, (3, Outcome::Delivered { status: 200 }));
}

#[tokio::test]
async fn a_reloaded_rule_goes_on_with_its_lanes_and_has_its_new_limit() {
    let open = gate();
    let gated = open.clone();
    let api = Api::start(move |_| Reply::When(gated.clone())).await;
    let (old, new) = (rule(&api.url(), |rule| rule.in_flight = 1), rule(&api.url(), |rule| rule.in_flight = 2));
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&old, 1, 7));
    dispatcher.submit(delivery(&old, 2, 8));
    assert_eq!(dispatcher.in_flight(), 1);
    dispatcher.submit(delivery(&new, 3, 7));
    assert_eq!(dispatcher.in_flight(), 2, "the second may start now, the third waits for the first");
    open.add_permits(3);
    for _ in 0..3 {
        resolve(&mut dispatcher).await;
    }
    assert_eq!(api.order().last(), Some(&3));
}

#[tokio::test]
async fn nothing_is_lost_when_next_is_dropped_again_and_again() {
    let api = Api::start(|seen| Reply::Status(if seen.attempt == 1 { 503 } else { 200 })).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    for number in 0..50 {
        dispatcher.submit(delivery(&rule, number, number as i64 % 10));
    }
    let mut resolved = Vec::new();
    let all = async {
        while resolved.len() < 50 {
            tokio::select! {
                biased;
                completed = dispatcher.next() => {
                    resolved.push(completed.delivery.id.0.as_u128());
                    dispatcher.release(completed.ticket);
                }
                // Polled once and dropped, whatever it was waiting for.
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("every delivery completes");
    resolved.sort();
    assert_eq!(resolved, (0..50).collect::<Vec<u128>>());
    assert_eq!(api.seen().len(), 100);
}

#[tokio::test]
async fn an_empty_dispatcher_waits_for_ever() {
    let mut dispatcher = dispatcher();
    let nothing = tokio::time::timeout(Duration::from_millis(20), dispatcher.next()).await;
    assert!(nothing.is_err());
}

#[tokio::test]
async fn at_the_end_attempts_under_way_finish_and_nothing_else_is_started() {
    let open = gate();
    let gated = open.clone();
    let api = Api::start(move |seen| match seen.number {
        1 => Reply::When(gated.clone()),
        _ => Reply::Status(503),
    })
    .await;
    let rule = rule(&api.url(), |rule| {
        rule.in_flight = 2;
        (rule.retry.initial, rule.retry.max_delay) = (PATIENCE, PATIENCE);
    });
    let mut dispatcher = dispatcher();
    for (number, key) in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 5)] {
        dispatcher.submit(delivery(&rule, number, key));
    }
    // One of the two slots stays with the first; the other goes to each of the next in turn.
    drive_until_seen(&mut dispatcher, &api, 2).await;
    let begun = Instant::now();
    open.add_permits(1);
    let finished = dispatcher.finish_in_flight(begun + PATIENCE).await;
    assert!(begun.elapsed() < PATIENCE / 2, "the deadline is not waited for when nothing is under way");
    let numbers: Vec<u128> = finished.iter().map(|completed| completed.delivery.id.0.as_u128()).collect();
    assert_eq!(numbers, [1], "those that would be retried are interrupted, the queued one never started");
    for completed in finished {
        dispatcher.release(completed.ticket);
    }
    assert_eq!((dispatcher.in_flight(), dispatcher.unresolved()), (0, 4));
    assert!(!api.order().contains(&4), "nothing is started after the end has begun");
}

#[tokio::test]
async fn at_the_end_an_attempt_that_takes_too_long_is_not_waited_for() {
    let api = Api::start(|seen| if seen.number == 1 { Reply::Hang } else { Reply::Status(200) }).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 1));
    drive_until_seen(&mut dispatcher, &api, 1).await;
    dispatcher.submit(delivery(&rule, 2, 2));
    let finished = dispatcher.finish_in_flight(Instant::now() + Duration::from_millis(300)).await;
    assert!(finished.iter().all(|completed| completed.delivery.id.0.as_u128() == 2), "{finished:?}");
    assert!(dispatcher.in_flight() >= 1);
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
    let mut dispatcher = Dispatcher::new(Client::new().unwrap(), metrics.clone());
    dispatcher.submit(delivery(&rule, 1, 7));
    resolve(&mut dispatcher).await;
    for (status, expected) in [("2xx", 1), ("4xx", 0), ("5xx", 1), ("error", 1)] {
        let labels = AttemptLabels { rule: "orders".to_owned(), status };
        assert_eq!(metrics.attempts.get_or_create(&labels).get(), expected, "{status}");
    }
}

/// A rule of this target, whose breaker opens after so many failures and is quick to ask again.
fn breaking_rule(url: &str, failures: u32, edit: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    rule(url, |rule| {
        let probe = Duration::from_millis(3);
        let policy = BreakerPolicy { failures, probe, max_probe: 4 * probe };
        rule.target = Arc::new(Target { breaker: Some(policy), ..(*rule.target).clone() });
        edit(rule);
    })
}

#[tokio::test]
async fn an_outage_makes_deliveries_late_and_no_dead_letters() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let api = Api::start(move |seen| match (back.load(Ordering::SeqCst), seen.number % 3) {
        (true, _) => Reply::Status(200),
        (false, 0) => Reply::Status(503),
        (false, 1) => Reply::LoseAnswer,
        _ => Reply::Status(504),
    })
    .await;
    let rule = breaking_rule(&api.url(), 5, |rule| rule.in_flight = 8);
    let metrics = Arc::new(Metrics::default());
    let mut dispatcher = Dispatcher::new(Client::new().unwrap(), metrics.clone());
    let key = |number: u128| (number % 10) as i64;
    for number in 0..50 {
        dispatcher.submit(delivery(&rule, number, key(number)));
    }
    drive_until_seen(&mut dispatcher, &api, 60).await;
    assert!(dispatcher.is_blocked("orders"));
    let target = dispatcher.targets().remove(0);
    assert!(target.open_since_us.is_some() && target.last_error.is_some(), "{target:?}");
    let label = TargetLabel { target: target.target.clone() };
    assert_eq!(metrics.target_open.get_or_create(&label).get(), 1);
    let waiting = dispatcher.counts("orders");
    assert_eq!(waiting.unresolved, 50);
    assert!(waiting.in_flight <= 1, "one probe at most: {waiting:?}");
    is_back.store(true, Ordering::SeqCst);
    for _ in 0..50 {
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 });
    }
    let mut newest: HashMap<i64, u128> = HashMap::new();
    for number in api.order() {
        let before = newest.insert(key(number), number);
        assert!(before.is_none_or(|before| before <= number), "{number} came after {before:?}");
    }
    assert!(!dispatcher.is_blocked("orders"));
    let counted = (metrics.target_open.get_or_create(&label).get(), metrics.target_opened.get_or_create(&label).get());
    assert_eq!(counted, (0, 1));
    assert_eq!(dispatcher.targets()[0].open_since_us, None);
}

#[tokio::test]
async fn a_poison_row_at_the_head_of_an_ordered_rule_uses_up_its_attempts_and_lets_the_others_go() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 500 } else { 200 })).await;
    let rule = breaking_rule(&api.url(), 2, |rule| rule.order_by = OrderBy::Table);
    let mut dispatcher = dispatcher();
    for number in 1..=3 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    let expected = dead(Reason::Exhausted, "all 4 attempts failed, the last: answered 500");
    assert_eq!(resolve(&mut dispatcher).await, (1, expected));
    assert_eq!(resolve(&mut dispatcher).await.0, 2);
    assert_eq!(resolve(&mut dispatcher).await.0, 3);
    assert!(!dispatcher.is_blocked("orders"));
}

#[tokio::test]
async fn a_row_that_no_gateway_brings_through_does_not_keep_the_target_closed_to_other_rules() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 && seen.attempt < 9 { 504 } else { 200 })).await;
    let poisoned = breaking_rule(&api.url(), 2, |_| {});
    let other = breaking_rule(&api.url(), 2, |rule| rule.name = "other".to_owned());
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&poisoned, 1, 1));
    drive_until_seen(&mut dispatcher, &api, 3).await;
    assert!(dispatcher.is_blocked("orders"));
    dispatcher.submit(delivery(&other, 2, 2));
    assert_eq!(resolve(&mut dispatcher).await, (2, Outcome::Delivered { status: 200 }));
}

#[tokio::test]
async fn retries_may_go_on_for_ever_and_the_first_and_last_attempts_are_kept() {
    let api = Api::start(|seen| Reply::Status(if seen.attempt <= 40 { 500 } else { 200 })).await;
    let rule = rule(&api.url(), |rule| {
        rule.retry.retries = Retries::Forever;
        (rule.retry.initial, rule.retry.max_delay) = (Duration::from_millis(1), Duration::from_millis(1));
        rule.target = Arc::new(Target { breaker: None, ..(*rule.target).clone() });
    });
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    let completed = next(&mut dispatcher).await;
    assert_eq!(completed.outcome, Outcome::Delivered { status: 200 });
    assert_eq!((completed.attempts.total(), statuses(&completed)), (41, [[500; 15].as_slice(), &[200]].concat()));
}

#[tokio::test]
async fn what_a_rule_does_not_retry_on_is_dead_at_once_also_without_an_answer() {
    let api = Api::start(|seen| if seen.number == 1 { Reply::Hang } else { Reply::LoseAnswer }).await;
    let rule = rule(&api.url(), |rule| {
        rule.call.timeout = Duration::from_millis(40);
        rule.retry_on = RetryOn { statuses: vec![(503, 503)], network: true, timeout: false };
        rule.retry.retries = Retries::AtMost(1);
    });
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 1));
    let expected = dead(Reason::Refused, "no answer within 40ms, which `retry_on` leaves out");
    assert_eq!(resolve(&mut dispatcher).await.1, expected);
    dispatcher.submit(delivery(&rule, 2, 2));
    let expected = dead(Reason::Exhausted, "all 2 attempts failed, the last: connection closed before the answer");
    assert_eq!(resolve(&mut dispatcher).await.1, expected);
}

#[tokio::test]
async fn what_is_under_way_when_the_target_goes_away_is_no_dead_letter_even_without_retries() {
    let is_back = Arc::new(AtomicBool::new(false));
    let (back, all_sent) = (is_back.clone(), gate());
    let answer_all = all_sent.clone();
    let api = Api::start(move |seen| match (back.load(Ordering::SeqCst), seen.attempt) {
        (true, _) => Reply::Status(200),
        (false, 1) => Reply::LoseAnswerWhen(answer_all.clone()),
        (false, _) => Reply::LoseAnswer,
    })
    .await;
    let rule = breaking_rule(&api.url(), 5, |rule| rule.retry.retries = Retries::AtMost(0));
    let mut dispatcher = dispatcher();
    for number in 0..10 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    drive_until_seen(&mut dispatcher, &api, 10).await;
    all_sent.add_permits(10);
    for _ in 0..4 {
        let (_, outcome) = resolve(&mut dispatcher).await;
        assert!(matches!(outcome, Outcome::Dead(_)), "before the target counts as away an attempt is an attempt");
    }
    drive_until_seen(&mut dispatcher, &api, 20).await;
    is_back.store(true, Ordering::SeqCst);
    for _ in 0..6 {
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 });
    }
}

#[tokio::test]
async fn adopted_rules_count_at_once_for_what_waits() {
    let api = Api::start(|seen| Reply::Status(if seen.attempt < 4 { 503 } else { 200 })).await;
    let with = |breaker| rule(&api.url(), |rule| rule.target = Arc::new(Target { breaker, ..(*rule.target).clone() }));
    let slow = BreakerPolicy { failures: 2, probe: PATIENCE * 2, max_probe: PATIENCE * 2 };
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&with(Some(slow)), 1, 1));
    let waits = async {
        while !dispatcher.is_blocked("orders") {
            tokio::select! {
                _ = dispatcher.next() => panic!("nothing was to complete"),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("the target is found to be away");
    dispatcher.adopt(&[with(None)]);
    assert!(!dispatcher.is_blocked("orders"));
    assert_eq!(resolve(&mut dispatcher).await, (1, Outcome::Delivered { status: 200 }));
}

#[tokio::test]
async fn a_paced_rule_is_woken_by_its_timer() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule(&api.url(), |rule| rule.rate = Some(Rate { count: 10, per: Duration::from_secs(1) }));
    let mut dispatcher = dispatcher();
    let begun = Instant::now();
    for number in 0..4 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    for _ in 0..4 {
        resolve(&mut dispatcher).await;
    }
    // Three intervals, of which half a one may be made up for.
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}
