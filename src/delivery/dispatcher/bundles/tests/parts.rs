//! What becomes of each delivery of a call: halves and other parts with retries of their own, rows that cannot be sent,
//! results per item.

use super::*;
use crate::delivery::testing::answer;
use crate::failure::Answer;
use crate::retry::Retries;
use crate::rules::{ItemVerdict, OrderBy, Results};

fn statuses(completed: &Completed) -> Vec<u16> {
    let status = |attempt: &crate::failure::Attempt| match attempt.answer {
        Answer::Status { status, .. } => status,
        Answer::Written { .. } | Answer::Failed { .. } => 0,
    };
    completed.attempts.kept().iter().map(status).collect()
}

fn refusing(bad: &'static [u128]) -> impl Fn(&SeenRequest) -> Reply {
    move |seen| match carried(seen).iter().find(|number| bad.contains(number)) {
        Some(number) => answer(422, &[], &format!("row {number} is bad")),
        None => Reply::Status(200),
    }
}

#[tokio::test]
async fn a_bad_row_is_found_by_halving_and_all_others_are_delivered_in_order() {
    let api = Api::start(refusing(&[3, 11])).await;
    let rule = batching(&api, |rule| {
        rule.batch = Some(batch(16));
        rule.order_by = OrderBy::Table;
    });
    let mut dispatcher = dispatcher();
    for number in 0..17 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    for expected in 0..16 {
        let completed = next(&mut dispatcher).await;
        assert_eq!(number(&completed), expected, "in order");
        match completed.outcome {
            Outcome::Delivered { status: 200 } => assert!(expected != 3 && expected != 11),
            Outcome::Dead(Failure { reason: Reason::Refused, ref message }) => {
                assert!(expected == 3 || expected == 11, "{expected}: {message}");
                assert_eq!(statuses(&completed), [422; 5], "all that carried it");
                let excerpt = format!("row {expected} is bad");
                assert_eq!(completed.attempts.kept()[4].answer, Answer::Status { status: 422, excerpt });
            }
            ref outcome => panic!("{expected}: {outcome:?}"),
        }
        assert!(!api.seen().iter().any(|seen| carried(seen).contains(&16)), "the next call waits for all tickets");
        dispatcher.release(completed.ticket);
    }
    assert_eq!(resolve(&mut dispatcher).await.0, 16);
    let ok: Vec<u128> =
        api.seen().iter().map(carried).filter(|all| !all.contains(&3) && !all.contains(&11)).flatten().collect();
    assert_eq!(ok, (0..17).filter(|number| ![3, 11].contains(number)).collect::<Vec<_>>());
    assert_eq!(dispatcher.unresolved(), 0);
}

#[tokio::test]
async fn when_retries_are_exhausted_each_delivery_of_the_call_is_dead_with_its_attempts() {
    let api = Api::start(|_| answer(503, &[], "later")).await;
    let rule = batching(&api, |rule| {
        rule.batch = Some(batch(3));
        rule.actions[0].retry.retries = Retries::AtMost(1);
    });
    let mut dispatcher = dispatcher();
    for number in 1..=3 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    for completed in all(&mut dispatcher, 3).await {
        let message = "all 2 attempts failed, the last: answered 503".to_owned();
        assert_eq!(completed.outcome, Outcome::Dead(Failure { reason: Reason::Exhausted, message }));
        assert_eq!(statuses(&completed), [503, 503]);
        let excerpts: Vec<Answer> = completed.attempts.kept().iter().map(|attempt| attempt.answer.clone()).collect();
        let answered = |excerpt: &str| Answer::Status { status: 503, excerpt: excerpt.to_owned() };
        assert_eq!(excerpts, [answered(""), answered("later")], "of many the last text alone");
    }
    let seen = api.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((&seen[0].head, &seen[0].body), (&seen[1].head, &seen[1].body), "every attempt sends the same");
}

#[tokio::test]
async fn each_part_of_a_call_has_its_own_retries() {
    let api = Api::start(|seen| match (carried(seen).len(), seen.attempt) {
        (2.., _) => Reply::Status(413),
        (_, 1 | 2) => Reply::Status(500),
        _ => Reply::Status(200),
    })
    .await;
    let rule = batching(&api, |rule| {
        rule.batch = Some(batch(2));
        rule.actions[0].retry.retries = Retries::AtMost(2);
    });
    let mut dispatcher = dispatcher();
    for number in [1, 2] {
        dispatcher.submit(delivery(&rule, number, 7));
    }
    for completed in all(&mut dispatcher, 2).await {
        assert_eq!(completed.outcome, Outcome::Delivered { status: 200 });
        assert_eq!(statuses(&completed), [413, 500, 500, 200]);
    }
}

#[tokio::test]
async fn rows_that_cannot_be_rendered_or_decided_are_dead_and_the_others_are_sent() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = batching(&api, |rule| {
        rule.batch = Some(batch(4));
        let text = crate::template::TextTemplate::compile("{{ {'id': event.id, 'n': 6 // row.id} }}", &|_| Ok(None));
        rule.call_mut().body =
            crate::rules::Body::Template(crate::template::BodyTemplate::Text(text.expect("compiles")));
    });
    let mut dispatcher = dispatcher();
    for key in [0, 1, 2] {
        dispatcher.submit(delivery(&rule, key as u128, key));
    }
    dispatcher.submit(Delivery {
        predetermined: Some(Outcome::Dead(Failure::undecided("no such column".to_owned()))),
        ..delivery(&rule, 3, 3)
    });
    let outcomes: BTreeMap<u128, Outcome> =
        all(&mut dispatcher, 4).await.into_iter().map(|completed| (number(&completed), completed.outcome)).collect();
    assert!(matches!(&outcomes[&0], Outcome::Dead(Failure { reason: Reason::Unrenderable, .. })), "{outcomes:?}");
    assert!(matches!(&outcomes[&3], Outcome::Dead(Failure { reason: Reason::Undecided, .. })), "{outcomes:?}");
    assert!([1, 2].iter().all(|sent| outcomes[sent] == Outcome::Delivered { status: 200 }), "{outcomes:?}");
    assert_eq!(api.seen().iter().map(carried).collect::<Vec<_>>(), [[1, 2]]);
}

#[tokio::test]
async fn a_call_larger_than_its_bytes_is_sent_in_two() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = batching(&api, |rule| rule.batch = Some(Batch { bytes: 1200, ..batch(5) }));
    let mut dispatcher = dispatcher();
    for number in 0..5 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    all(&mut dispatcher, 5).await;
    let seen = api.seen();
    assert!(seen.len() > 1 && seen.iter().all(|seen| seen.body.len() <= 1200), "{}", seen.len());
    let mut sent: Vec<u128> = seen.iter().flat_map(carried).collect();
    sent.sort();
    assert_eq!(sent, [0, 1, 2, 3, 4]);
}

fn with_results(size: usize) -> Option<Batch> {
    let results = Results { items: "/results".to_owned(), verdict: ItemVerdict::Status("/status".to_owned()) };
    Some(Batch { results: Some(results), ..batch(size) })
}

/// Number 1 is refused, 2 is asked to come again once, 3 for ever.
fn judge_each(seen: &SeenRequest, earlier: &mut HashMap<u128, usize>) -> Reply {
    let results: Vec<serde_json::Value> = carried(seen)
        .into_iter()
        .map(|number| {
            let before = earlier.entry(number).or_insert(0);
            *before += 1;
            match (number, *before) {
                (1, _) => serde_json::json!({"status": 409, "why": "taken\n"}),
                (2, 1) | (3, _) => serde_json::json!({"status": 429}),
                _ => serde_json::json!({"status": 201}),
            }
        })
        .collect();
    answer(200, &[], &serde_json::json!({ "results": results }).to_string())
}

#[tokio::test]
async fn results_per_item_decide_for_each_delivery() {
    let earlier = std::sync::Mutex::new(HashMap::new());
    let api = Api::start(move |seen| judge_each(seen, &mut earlier.lock().expect("not poisoned"))).await;
    let rule = batching(&api, |rule| {
        rule.batch = with_results(4);
        rule.actions[0].retry.retries = Retries::AtMost(2);
    });
    let mut dispatcher = dispatcher();
    for number in 1..=4 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    let completed: BTreeMap<u128, Completed> =
        all(&mut dispatcher, 4).await.into_iter().map(|completed| (number(&completed), completed)).collect();
    let dead = |reason, message: &str| Outcome::Dead(Failure { reason, message: message.to_owned() });
    let refused = "the answer refuses this row of the call: answered 409";
    assert_eq!(completed[&1].outcome, dead(Reason::Refused, refused));
    let excerpt = r#"{"status":409,"why":"taken\n"}"#.to_owned();
    assert_eq!(completed[&1].attempts.kept()[0].answer, Answer::Status { status: 409, excerpt });
    assert_eq!(completed[&2].outcome, Outcome::Delivered { status: 201 });
    assert_eq!(completed[&3].outcome, dead(Reason::Exhausted, "all 3 attempts failed, the last: answered 429"));
    assert_eq!(completed[&4].outcome, Outcome::Delivered { status: 201 });
    assert_eq!(api.seen().iter().map(carried).collect::<Vec<_>>(), [vec![1, 2, 3, 4], vec![2, 3], vec![3]]);
    for completed in completed.into_values() {
        dispatcher.release(completed.ticket);
    }
    assert_eq!(dispatcher.unresolved(), 0);
}

#[tokio::test]
async fn an_answer_whose_results_cannot_be_read_is_asked_for_again() {
    let api = Api::start(|seen| match seen.attempt {
        1 => answer(200, &[], r#"{"results": [{"status": 200}]}"#),
        2 => answer(200, &[], "<html>"),
        _ => answer(200, &[], r#"{"results": [{"status": 200}, {"status": 204}]}"#),
    })
    .await;
    let rule = batching(&api, |rule| rule.batch = with_results(2));
    let mut dispatcher = dispatcher();
    for number in [1, 2] {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    let completed = all(&mut dispatcher, 2).await;
    assert_eq!(completed[1].outcome, Outcome::Delivered { status: 204 });
    let error = "answered 200, but rows in the call: 2, results in the answer: 1".to_owned();
    assert_eq!(completed[0].attempts.kept()[0].answer, Answer::Failed { error });
    assert_eq!(completed[0].attempts.total(), 3);
}
