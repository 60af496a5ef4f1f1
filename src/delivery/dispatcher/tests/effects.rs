//! What the attempts of an action prove, what is kept of its answer, and what a query says.

use super::*;
use crate::delivery::testing::{answer, rule_of_steps, saga};
use crate::retry::RetryPolicy;
use crate::rules::{Rule, Saga, SagaStep, Sql, SqlSettings, SuccessStatuses, Verify, Work};
use crate::saga::{ActionResult, KeptAnswer, NextAction, SagaEnding};
use crate::template::Condition;

const FIRST: ActionId = ActionId::Step(0);

/// What came of one action of this rule.
async fn acted(rule: &Arc<Rule>, action: ActionId) -> (Outcome, ActionResult) {
    let mut dispatcher = dispatcher();
    dispatcher.submit(saga(rule, 1, 1, action));
    let Completed { outcome, acted, ticket, .. } = act(&mut dispatcher).await;
    dispatcher.release(ticket);
    (outcome, acted.expect("it was tried"))
}

fn raw(text: &str) -> Reply {
    Reply::RawThenClose(text.as_bytes().to_vec())
}

/// How an action ends that always gets this reply: its end, the attempts, why it was given up.
#[track_caller]
fn check(of: &str, (outcome, acted): (Outcome, ActionResult), end: ActionEnd, attempts: u64, reason: Option<Reason>) {
    let reason_given = match &outcome {
        Outcome::Dead(failure) => {
            assert_eq!(failure.message, acted.message, "{of}");
            Some(failure.reason)
        }
        _ => None,
    };
    assert_eq!((acted.end, acted.attempts, reason_given), (end, attempts, reason), "{of}");
}

#[tokio::test]
async fn a_call_that_must_not_be_repeated_is_made_again_only_when_nothing_can_have_happened() {
    use ActionEnd::{Done, Failed, Unknown};
    use Reason::{Exhausted, Refused, Unknown as IsUncertain};
    for (reply, end, attempts, reason) in [
        (Reply::Status(200), Done(None), 1, None),
        (Reply::Status(400), Failed, 1, Some(Refused)),
        (Reply::Status(404), Failed, 1, Some(Refused)),
        (Reply::Status(409), Failed, 1, Some(Refused)),
        (Reply::Status(425), Failed, 4, Some(Exhausted)),
        (Reply::Status(429), Failed, 4, Some(Exhausted)),
        (answer(503, &[("Retry-After", "0")], ""), Failed, 4, Some(Exhausted)),
        (Reply::Status(503), Unknown, 1, Some(IsUncertain)),
        (Reply::Status(500), Unknown, 1, Some(IsUncertain)),
        (Reply::Status(504), Unknown, 1, Some(IsUncertain)),
        (Reply::Status(408), Unknown, 1, Some(IsUncertain)),
        (Reply::Status(303), Unknown, 1, Some(IsUncertain)),
        (Reply::LoseAnswer, Unknown, 1, Some(IsUncertain)),
        (Reply::Hang, Unknown, 1, Some(IsUncertain)),
        (Reply::Drip, Unknown, 1, Some(IsUncertain)),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Unknown, 1, Some(IsUncertain)),
        (raw("what?\r\n\r\n"), Unknown, 1, Some(IsUncertain)),
    ] {
        let of = format!("{reply:?}");
        let api = Api::start(move |_| reply.clone()).await;
        let rule = rule_of_steps(&[&api.url()], |rule| {
            rule.actions[0].is_repeatable = false;
            rule.call_mut().settings.timeout = Duration::from_millis(300);
        });
        check(&of, acted(&rule, FIRST).await, end, attempts, reason);
        assert_eq!(api.seen().len() as u64, attempts, "{of}");
    }
}

#[tokio::test]
async fn what_was_never_sent_did_not_happen() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let plain = Api::start(|_| Reply::Status(200)).await;
    for url in
        [format!("http://{closed}/"), format!("https://{}/", plain.address), "http://no-such-host.invalid/".to_owned()]
    {
        let rule = rule_of_steps(&[&url], |rule| rule.actions[0].is_repeatable = false);
        check(&url, acted(&rule, FIRST).await, ActionEnd::Failed, 4, Some(Reason::Exhausted));
    }
    // Metadata services are never called.
    let rule = rule_of_steps(&["http://169.254.169.254/"], |rule| rule.actions[0].is_repeatable = false);
    let (outcome, refused) = acted(&rule, FIRST).await;
    assert!(matches!(outcome, Outcome::Dead(Failure { reason: Reason::Unrenderable, .. })), "{outcome:?}");
    assert_eq!((refused.end, refused.attempts), (ActionEnd::Failed, 0));
}

#[tokio::test]
async fn a_call_that_may_be_repeated_is_retried_and_one_uncertain_attempt_makes_it_uncertain() {
    for (statuses, end, attempts, reason) in [
        ([500, 200, 200, 200], ActionEnd::Done(None), 2, None),
        ([500, 500, 500, 500], ActionEnd::Unknown, 4, Some(Reason::Exhausted)),
        ([429, 429, 429, 429], ActionEnd::Failed, 4, Some(Reason::Exhausted)),
        ([500, 429, 400, 200], ActionEnd::Unknown, 3, Some(Reason::Refused)),
        ([429, 400, 200, 200], ActionEnd::Failed, 2, Some(Reason::Refused)),
    ] {
        let api = Api::start(move |seen| Reply::Status(statuses[seen.attempt - 1])).await;
        let rule = rule_of_steps(&[&api.url()], |_| {});
        check(&format!("{statuses:?}"), acted(&rule, FIRST).await, end, attempts, reason);
    }
}

#[tokio::test]
async fn an_unavailable_target_is_probed_with_a_call_that_must_not_be_repeated_only_while_that_is_refused() {
    // Refused until the breaker has opened and some probes went out; then one answer is lost.
    let api = Api::start(|seen| match seen.attempt {
        1..=9 => answer(503, &[("Retry-After", "0")], ""),
        10 => Reply::LoseAnswer,
        _ => Reply::Status(200),
    })
    .await;
    let rule = rule_of_steps(&[&api.url()], |rule| {
        rule.actions[0].is_repeatable = false;
        rule.actions[0].retry.retries = Retries::Forever;
    });
    check("a lost probe", acted(&rule, FIRST).await, ActionEnd::Unknown, 10, Some(Reason::Unknown));
    assert_eq!(api.seen().len(), 10);
}

#[tokio::test]
async fn an_answer_is_kept_where_later_templates_read_it_up_to_its_limits() {
    let large = "x".repeat(KeptAnswer::BODY_BYTES_MAX);
    let long = "y".repeat(KeptAnswer::HEADERS_BYTES_MAX - 100);
    for (body, header, is_cut, has_header) in [
        ("{\"id\":7}".to_owned(), "short", false, true),
        (large.clone(), "short", false, true),
        (format!("{large}x"), "short", true, true),
        (String::new(), &*long, false, true),
        (String::new(), &*format!("{long}{long}"), false, false),
    ] {
        let (sent, value) = (body.clone(), header.to_owned());
        let api = Api::start(move |_| answer(201, &[("Location", "/7"), ("X-Long", &value)], &sent)).await;
        let rule = rule_of_steps(&[&api.url()], |rule| rule.actions[0].keeps_answer = true);
        let (outcome, ActionResult { end, message: said, .. }) = acted(&rule, FIRST).await;
        assert_eq!((outcome, &*said), (Outcome::Delivered { status: 201 }, "answered 201"));
        let ActionEnd::Done(Some(kept)) = end else { panic!("{end:?}") };
        let of = |name: &str| kept.headers.iter().find(|(own, _)| &**own == name).map(|(_, value)| &**value);
        assert_eq!((kept.status, kept.is_cut, of("location")), (201, is_cut, Some("/7")));
        assert_eq!(of("x-long"), has_header.then_some(header));
        assert_eq!(&*kept.body, &body.as_bytes()[..body.len().min(KeptAnswer::BODY_BYTES_MAX)]);
    }
}

#[tokio::test]
async fn a_kept_answer_contains_none_of_our_secrets() {
    let api = Api::start(|_| answer(200, &[("X-You-Sent", "Bearer s3cret-token")], "you sent s3cret-token")).await;
    let rule = rule_of_steps(&[&api.url()], |rule| {
        rule.actions[0].keeps_answer = true;
        let header = crate::template::TextTemplate::compile("Bearer s3cret-token", &|_| Ok(None)).unwrap();
        rule.call_mut().headers.push(("Authorization".to_owned(), header));
    });
    let (_, ActionResult { end, .. }) = acted(&rule, FIRST).await;
    let shown = format!("{end:?}");
    let ActionEnd::Done(Some(kept)) = end else { panic!("{shown}") };
    assert_eq!(&*kept.body, b"you sent ***");
    assert!(!shown.contains("s3cret"), "{shown}");
}

/// A rule whose one step must not be repeated, and whose query holds when the answer's JSON says `paid`.
fn verifying_rule(url: &str) -> Arc<Rule> {
    verifying_rule_of(url, url, |_| {})
}

fn verifying_rule_of(url: &str, query_url: &str, change: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    rule_of_steps(&[url, query_url], |rule| {
        change(rule);
        rule.actions[0].is_repeatable = false;
        rule.actions[1].call_mut().settings.success = SuccessStatuses(vec![(200, 299), (404, 404)]);
        let when = "answer.status == 200 and answer.json.state == 'paid'";
        let when = Condition::compile(when, "orders", &|_| Ok(None)).expect("compiles");
        let verify = Some(Verify { action: 1, when });
        let step = SagaStep { name: "charge".into(), action: 0, undo: None, verify };
        rule.saga = Some(Saga::new(vec![step], &rule.actions, false));
    })
}

#[tokio::test]
async fn a_query_says_whether_its_step_happened() {
    let paid = r#"{"state":"paid"}"#;
    for (reply, expected) in [
        (answer(200, &[], paid), Some(true)),
        (answer(200, &[], r#"{"state":"open"}"#), Some(false)),
        (answer(404, &[], "nothing"), Some(false)),
        // Neither a proxy's page nor a refused query says anything.
        (answer(200, &[], "<html>"), None),
        (answer(200, &[], "{}"), None),
        (Reply::Status(403), None),
        (Reply::LoseAnswer, None),
    ] {
        let of = format!("{reply:?}");
        let api = Api::start(move |_| reply.clone()).await;
        let (outcome, ActionResult { end, message: said, .. }) =
            acted(&verifying_rule(&api.url()), ActionId::Verify(0)).await;
        match (expected, end) {
            (Some(expected), ActionEnd::Verified { happened, answer }) => {
                assert_eq!(happened, expected, "{of}");
                assert_eq!(answer.map(|kept| kept.body), happened.then(|| paid.as_bytes().into()), "{of}");
                assert!(matches!(outcome, Outcome::Delivered { .. }), "{of}");
                assert!(said.ends_with(if happened { "it did" } else { "it did not" }), "{said}");
            }
            (None, ActionEnd::Failed | ActionEnd::Unknown) => assert!(matches!(outcome, Outcome::Dead(_)), "{of}"),
            (expected, end) => panic!("{of}: {end:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_call_that_did_not_happen_is_repeated_after_the_waits_of_its_retry_and_not_more_often() {
    for (retries, calls, waits_ms) in [(0, 1, 0), (1, 2, 20), (2, 3, 60), (3, 4, 140)] {
        // Refused once, then every answer is lost; the query always says that nothing happened.
        let api = Api::start(|seen| match seen.head.starts_with("POST /query") {
            true => answer(404, &[], "nothing"),
            false if seen.attempt == 1 => Reply::Status(429),
            false => Reply::LoseAnswer,
        })
        .await;
        let rule = verifying_rule_of(&api.url(), &format!("{}query", api.url()), |rule| {
            let initial = Duration::from_millis(20);
            rule.actions[0].retry =
                RetryPolicy { retries: Retries::AtMost(retries), initial, jitter: 0.0, ..RetryPolicy::default() };
        });
        let definition = &rule.saga.as_ref().expect("a saga").definition;
        let mut dispatcher = dispatcher();
        let began = Instant::now();
        dispatcher.submit(saga(&rule, 1, 1, FIRST));
        let mut next_action = NextAction::Do(FIRST);
        while let NextAction::Do(action) = next_action {
            let Completed { delivery, acted, ticket, .. } = act(&mut dispatcher).await;
            let mut log = (*delivery.saga_action.as_ref().expect("a saga").log).clone();
            definition.begin_action(&mut log, action);
            definition.record(&mut log, action, acted.expect("it was tried"));
            next_action = definition.next(&mut log);
            match next_action {
                NextAction::Do(action) => {
                    let saga_action = Some(SagaAction { action, log: Arc::new(log) });
                    dispatcher.proceed(ticket, Delivery { saga_action, ..delivery }, Intent::ToBeWritten);
                }
                NextAction::End(_) => dispatcher.release(ticket),
            }
        }
        assert_eq!(next_action, NextAction::End(SagaEnding::GivenUp { step: 0 }), "{retries}");
        let seen = api.seen();
        let called = seen.iter().filter(|seen| !seen.head.starts_with("POST /query")).count();
        assert_eq!(called, calls, "{retries}");
        assert!(began.elapsed() >= Duration::from_millis(waits_ms), "{retries}: {:?}", began.elapsed());
        assert_eq!((dispatcher.unresolved(), dispatcher.in_retry(), dispatcher.in_flight()), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_statement_without_a_server_to_write_to_did_not_happen() {
    let rule = rule_of_steps(&["http://127.0.0.1:1/"], |rule| {
        let statement: Box<str> = "UPDATE t SET done = 1".into();
        let settings = SqlSettings { timeout: Duration::from_secs(1), ..SqlSettings::default() };
        rule.actions[0].work =
            Work::Sql(Arc::new(Sql { written: statement.clone(), statement, params: vec![], settings }));
    });
    let (outcome, ActionResult { end, attempts, .. }) = acted(&rule, FIRST).await;
    let Outcome::Dead(Failure { reason: Reason::Unrenderable, message }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((end, attempts), (ActionEnd::Failed, 0));
    assert_eq!(message, "`sql` has no server to write to: set `--write-url`");
}
