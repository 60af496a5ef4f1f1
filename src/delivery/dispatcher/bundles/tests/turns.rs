//! When a call is sent: full, in time, at the end of a transaction, merged; after what came before of its keys, and not
//! while one is blocked.

use std::collections::HashSet;

use super::*;
use crate::change::Op;
use crate::delivery::testing::{DEADLINE, made_of, moving_delivery, versions};
use crate::delivery::{Client, Merged, Origin, Sinks};
use crate::telemetry::Metrics;

#[tokio::test]
async fn a_full_batch_is_one_request_and_the_rest_is_sent_when_its_time_is_over() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = batching(&api, |rule| rule.batch = Some(batch(3)));
    let mut dispatcher = dispatcher();
    for number in 1..=7 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    assert_eq!((dispatcher.in_flight(), dispatcher.unresolved()), (2, 7), "the seventh still waits");
    let completed = all(&mut dispatcher, 7).await;
    assert!(completed.iter().all(|completed| completed.outcome == Outcome::Delivered { status: 200 }));
    for Completed { ticket, .. } in completed {
        dispatcher.release(ticket);
    }
    assert_eq!(dispatcher.unresolved(), 0);
    let requests: BTreeSet<Vec<u128>> = api.seen().iter().map(carried).collect();
    assert_eq!(requests, BTreeSet::from([vec![1, 2, 3], vec![4, 5, 6], vec![7]]));
    let keys: HashSet<u128> = api.order().into_iter().collect();
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn a_key_in_two_batches_is_sent_in_order_and_other_batches_go_on() {
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let permits = open.clone();
    let api = Api::start(move |seen| match carried(seen).contains(&1) {
        true => Reply::When(permits.clone()),
        false => Reply::Status(200),
    })
    .await;
    let rule = batching(&api, |rule| rule.batch = Some(batch(2)));
    let mut dispatcher = dispatcher();
    for (number, key) in [(1, 1), (2, 2), (3, 3), (4, 2), (5, 5), (6, 6), (7, 4), (8, 9)] {
        dispatcher.submit(delivery(&rule, number, key));
    }
    assert_eq!(dispatcher.in_flight(), 3, "the second has a key of the first");
    let others = all(&mut dispatcher, 4).await.iter().map(number).collect::<BTreeSet<_>>();
    assert_eq!(others, BTreeSet::from([5, 6, 7, 8]));
    open.add_permits(1);
    let mut rest = Vec::new();
    for _ in 0..4 {
        rest.push(resolve(&mut dispatcher).await.0);
    }
    assert_eq!(rest, [1, 2, 3, 4]);
}

#[tokio::test]
async fn merged_changes_are_one_request_and_share_its_outcome() {
    let api = Api::start(|_| Reply::Status(400)).await;
    let rule = rule(&api.url(), |rule| rule.coalesce = Some(SOON));
    let mut dispatcher = dispatcher();
    let update = |number, from| made_of(&rule, number, versions(Op::Update, Some([7, from]), Some([7, from + 1]), 4));
    for number in 1..=3 {
        dispatcher.submit(update(number, number as i64));
    }
    dispatcher.submit(made_of(&rule, 4, versions(Op::Insert, None, Some([8, 1]), 4)));
    let completed = all(&mut dispatcher, 2).await;
    let merged = |number: u128| Merged {
        id: crate::change::DeliveryId(uuid::Uuid::from_u128(number)),
        origin: Origin::Stream,
        committed_at_us: 0,
    };
    let latest = completed.iter().find(|completed| number(completed) == 3).expect("the latest");
    assert_eq!(latest.merged, [merged(1), merged(2)]);
    assert!(matches!(latest.outcome, Outcome::Dead(_)));
    assert_eq!(latest.parts().count(), 3);
    for Completed { ticket, .. } in completed {
        dispatcher.release(ticket);
    }
    assert_eq!(dispatcher.unresolved(), 0);
    let mut requests: Vec<serde_json::Value> =
        api.seen().iter().map(|seen| serde_json::from_slice(&seen.body).expect("JSON")).collect();
    requests.sort_by_key(|event| event["after"]["id"].as_i64());
    assert_eq!(requests.len(), 2);
    assert_eq!((&requests[0]["before"]["v"], &requests[0]["after"]["v"]), (&1.into(), &4.into()));
    assert_eq!(api.order().iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([3, 4]));
}

#[tokio::test]
async fn a_merged_change_waits_for_the_one_before_of_its_key() {
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let permits = open.clone();
    let api =
        Api::start(move |seen| if seen.number == 1 { Reply::When(permits.clone()) } else { Reply::Status(200) }).await;
    let rule = rule(&api.url(), |rule| rule.coalesce = Some(SOON));
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&rule, 1, 7));
    drive_until_seen(&mut dispatcher, &api, 1).await;
    dispatcher.submit(moving_delivery(&rule, 2, 7, 8));
    assert_eq!(dispatcher.in_flight(), 1);
    open.add_permits(1);
    assert_eq!(resolve(&mut dispatcher).await.0, 1);
    assert_eq!(resolve(&mut dispatcher).await.0, 2);
}

#[tokio::test]
async fn a_call_per_transaction_is_sent_when_it_has_ended_or_the_window_is_full() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = batching(&api, |rule| {
        rule.batch = Some(Batch { until: Until::TransactionEnd, ..batch(3) });
    });
    let mut dispatcher = dispatcher();
    let insert = |number: u128, transaction| {
        made_of(&rule, number, versions(Op::Insert, None, Some([number as i64, 0]), transaction))
    };
    for number in 1..=4 {
        dispatcher.submit(insert(number, 100));
    }
    assert_eq!(dispatcher.in_flight(), 1, "the first three are as many as a call may hold");
    dispatcher.transaction_ended(&insert(4, 100).change.transaction);
    assert_eq!(dispatcher.in_flight(), 2);
    all(&mut dispatcher, 4).await;
    dispatcher.submit(insert(5, 200));
    dispatcher.close_gathering(Some("another"));
    assert_eq!(dispatcher.in_flight(), 0);
    dispatcher.close_gathering(Some("orders"));
    assert_eq!(dispatcher.in_flight(), 1);
    dispatcher.submit(insert(6, 300));
    dispatcher.close_gathering(None);
    assert_eq!(dispatcher.in_flight(), 1, "what is under way will make room");
    all(&mut dispatcher, 1).await;
    dispatcher.close_gathering(None);
    all(&mut dispatcher, 1).await;
    let requests: BTreeSet<Vec<u128>> = api.seen().iter().map(carried).collect();
    assert_eq!(requests, BTreeSet::from([vec![1, 2, 3], vec![4], vec![5], vec![6]]));
}

#[tokio::test]
async fn a_reload_closes_what_the_rule_before_gathered_and_keeps_the_order() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let (old, new) = (batching(&api, |_| {}), batching(&api, |rule| rule.batch = Some(batch(1))));
    let plain = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    for number in 1..=2 {
        dispatcher.submit(delivery(&old, number, 7));
    }
    dispatcher.submit(delivery(&new, 3, 7));
    dispatcher.submit(delivery(&plain, 4, 7));
    for expected in 1..=4 {
        assert_eq!(resolve(&mut dispatcher).await.0, expected);
    }
    let seen = api.seen();
    assert_eq!(seen[..2].iter().map(carried).collect::<Vec<_>>(), [vec![1, 2], vec![3]]);
    assert!(seen[2].body.starts_with(b"{"), "the rule gathers no more");
}

#[tokio::test]
async fn a_key_that_a_rule_blocked_before_it_gathered_is_sent_by_itself_and_others_wait_behind_it() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = batching(&api, |rule| rule.batch = Some(batch(2)));
    let mut dispatcher = dispatcher();
    let blocked = crate::ordering::BlockedKeys::default();
    dispatcher.set_blocked_keys(blocked.clone());
    dispatcher.submit(delivery(&rule, 1, 7));
    blocked.add(17, &rule.ordering_keys(&delivery(&rule, 0, 8).change), false);
    let origin = Origin::Replay { dead_letter: 17 };
    dispatcher.submit(Delivery { origin, ..delivery(&rule, 2, 8) });
    dispatcher.submit(delivery(&rule, 3, 8));
    dispatcher.submit(delivery(&rule, 4, 9));
    dispatcher.submit(delivery(&rule, 5, 10));
    let completed: BTreeMap<u128, Outcome> = {
        let mut completed = BTreeMap::new();
        for _ in 0..5 {
            let (number, outcome) = resolve(&mut dispatcher).await;
            completed.insert(number, outcome);
        }
        completed
    };
    let delivered = Outcome::Delivered { status: 200 };
    let expected = [delivered.clone(), delivered.clone(), Outcome::Blocked { by: 17 }, delivered.clone(), delivered];
    assert_eq!(completed.into_values().collect::<Vec<_>>(), expected);
    let requests: BTreeSet<Vec<u128>> = api.seen().iter().map(carried).collect();
    assert_eq!(requests, BTreeSet::from([vec![1], vec![2], vec![4, 5]]));
}

#[tokio::test]
async fn a_call_with_a_key_that_is_blocked_when_its_turn_comes_is_blocked_except_its_undecided_rows() {
    let api = Api::start(|_| Reply::Status(400)).await;
    let rule = batching(&api, |rule| rule.batch = Some(batch(2)));
    let mut dispatcher = dispatcher();
    let blocked = crate::ordering::BlockedKeys::default();
    dispatcher.set_blocked_keys(blocked.clone());
    let alone = crate::delivery::testing::rule(&api.url(), |_| {});
    dispatcher.submit(delivery(&alone, 1, 7));
    let first = next(&mut dispatcher).await;
    dispatcher.submit(delivery(&rule, 2, 7));
    dispatcher.submit(Delivery {
        predetermined: Some(Outcome::Dead(Failure::undecided("no such name".to_owned()))),
        ..delivery(&rule, 3, 8)
    });
    blocked.add(17, &rule.ordering_keys(&first.delivery.change), false);
    dispatcher.release(first.ticket);
    let undecided = Failure { reason: Reason::Undecided, message: "no such name".to_owned() };
    let expected = [(2, Outcome::Blocked { by: 17 }), (3, Outcome::Dead(undecided))];
    assert_eq!([resolve(&mut dispatcher).await, resolve(&mut dispatcher).await], expected);
    assert_eq!(api.order(), [1]);
}

#[tokio::test]
async fn at_the_end_what_is_gathered_is_interrupted_and_so_are_parts_that_come_later() {
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let permits = open.clone();
    let api = Api::start(move |seen| match carried(seen).len() {
        4 => Reply::Status(413),
        _ => Reply::When(permits.clone()),
    })
    .await;
    let rule = batching(&api, |rule| rule.batch = Some(Batch { until: Until::TransactionEnd, ..batch(4) }));
    let mut dispatcher =
        Dispatcher::new(Sinks::new(Client::new().expect("a client"), None), Arc::new(Metrics::default()));
    for number in 1..=6 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    drive_until_seen(&mut dispatcher, &api, 2).await;
    open.add_permits(9);
    let finished = finish(&mut dispatcher, Instant::now() + DEADLINE).await;
    assert_eq!(finished.iter().map(number).collect::<Vec<_>>(), [1, 2], "the first half was under way");
    for Completed { ticket, .. } in finished {
        dispatcher.release(ticket);
    }
    assert_eq!((dispatcher.in_flight(), dispatcher.unresolved()), (0, 4));
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn deliveries_of_a_key_are_sent_in_order_whatever_happens_to_their_batches() {
    let api = Api::start(|seen| match (seen.number % 7 + seen.attempt as u128) % 5 {
        0 => Reply::Status(500),
        1 => Reply::LoseAnswer,
        2 => Reply::Status(422),
        _ => Reply::Status(200),
    })
    .await;
    let rule = batching(&api, |rule| {
        rule.batch = Some(batch(7));
        rule.settings.in_flight = 4;
    });
    let mut dispatcher = dispatcher();
    let key = |number: u128| (number * number % 13) as i64;
    for number in 0..300 {
        dispatcher.submit(delivery(&rule, number, key(number)));
    }
    let mut ended: HashMap<i64, u128> = HashMap::new();
    for _ in 0..300 {
        let (number, _) = resolve(&mut dispatcher).await;
        let before = ended.insert(key(number), number);
        assert!(before.is_none_or(|before| before < number), "{number} ended after {before:?}");
    }
    let mut first_seen: BTreeMap<u128, usize> = BTreeMap::new();
    for (arrived, seen) in api.seen().iter().enumerate() {
        for number in carried(seen) {
            first_seen.entry(number).or_insert(arrived);
        }
    }
    assert_eq!(first_seen.len(), 300);
    let mut newest: HashMap<i64, usize> = HashMap::new();
    for (number, arrived) in first_seen {
        let before = newest.insert(key(number), arrived);
        assert!(before.is_none_or(|before| before <= arrived), "{number} came before an earlier one of its key");
    }
}
