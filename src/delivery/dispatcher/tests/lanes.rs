//! Deliveries in their lanes: the order of a key, limits of a rule, blocked keys, reloaded rules.

use super::*;
use crate::delivery::testing::moving_delivery;

#[tokio::test]
async fn a_key_in_retry_delays_later_changes_of_that_key_only() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 && seen.attempt < 3 { 503 } else { 200 })).await;
    let rule = rule(&api.url(), |rule| rule.settings.in_flight = 1);
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
    let rule = rule(&api.url(), |rule| rule.settings.in_flight = 4);
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
    let (one, two, three) = (admission(), admission(), admission());
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
    assert_eq!(dispatcher.in_flight(), 1, "no delivery overtakes the moving one");
    three.add_permits(1);
    assert_eq!(resolve(&mut dispatcher).await.0, 3);
    let mut last = [resolve(&mut dispatcher).await.0, resolve(&mut dispatcher).await.0];
    last.sort();
    assert_eq!(last, [4, 5]);
}

#[tokio::test]
async fn no_more_attempts_are_under_way_than_the_rule_allows() {
    let open = admission();
    let permits = open.clone();
    let api = Api::start(move |_| Reply::When(permits.clone())).await;
    let (slow, other) =
        (rule(&api.url(), |rule| rule.settings.in_flight = 3), rule(&api.url(), |rule| rule.name = "other".to_owned()));
    let mut dispatcher = dispatcher();
    for number in 0..10 {
        dispatcher.submit(delivery(&slow, number, number as i64));
    }
    assert_eq!(dispatcher.in_flight(), 3);
    dispatcher.submit(delivery(&other, 10, 0));
    assert_eq!(dispatcher.in_flight(), 4, "a full rule delays no other rule");
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
    let open = admission();
    let permits = open.clone();
    let api = Api::start(move |_| Reply::When(permits.clone())).await;
    let rule = rule(&api.url(), |rule| rule.settings.in_flight = 1);
    let undecided = |number, key| Delivery {
        predetermined: Some(Outcome::Dead(Failure::undecided("no such column".to_owned()))),
        ..delivery(&rule, number, key)
    };
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
async fn deliveries_of_a_blocked_key_are_not_attempted_and_take_no_room_of_the_rule() {
    let open = admission();
    let permits = open.clone();
    let api = Api::start(move |_| Reply::When(permits.clone())).await;
    let rule = rule(&api.url(), |rule| rule.settings.in_flight = 1);
    let mut dispatcher = dispatcher();
    let blocked = BlockedKeys::default();
    dispatcher.set_blocked_keys(blocked.clone());
    dispatcher.submit(delivery(&rule, 1, 7));
    // It fills the rule's limit; the dead letter that blocks key 8 is durable only now.
    blocked.add(17, &rule.ordering_keys(&delivery(&rule, 0, 8).change), false);
    dispatcher.submit(delivery(&rule, 2, 8));
    dispatcher.submit(moving_delivery(&rule, 3, 9, 8));
    dispatcher.submit(delivery(&rule, 4, 9));
    let origin = crate::delivery::Origin::BinlogReplay { number: 1 };
    dispatcher.submit(Delivery { origin, ..delivery(&rule, 6, 8) });
    for expected in [2, 3, 6] {
        assert_eq!(resolve(&mut dispatcher).await, (expected, Outcome::Blocked { by: 17 }));
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
async fn whether_a_key_is_blocked_is_asked_when_the_turn_comes() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 400 } else { 200 })).await;
    let rule = rule(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    let blocked = BlockedKeys::default();
    dispatcher.set_blocked_keys(blocked.clone());
    for number in 1..=3 {
        dispatcher.submit(delivery(&rule, number, 7));
    }
    let first = next(&mut dispatcher).await;
    let lanes = rule.ordering_keys(&first.delivery.change);
    blocked.add(1, &lanes, false);
    dispatcher.release(first.ticket);
    let second = next(&mut dispatcher).await;
    assert_eq!(second.outcome, Outcome::Blocked { by: 1 });
    blocked.remove(1, &lanes, |_| Ok::<_, std::convert::Infallible>(None)).unwrap();
    dispatcher.release(second.ticket);
    assert_eq!(resolve(&mut dispatcher).await, (3, Outcome::Delivered { status: 200 }));
}

#[tokio::test]
async fn a_reloaded_rule_goes_on_with_its_lanes_and_has_its_new_limit() {
    let open = admission();
    let permits = open.clone();
    let api = Api::start(move |_| Reply::When(permits.clone())).await;
    let (old, new) =
        (rule(&api.url(), |rule| rule.settings.in_flight = 1), rule(&api.url(), |rule| rule.settings.in_flight = 2));
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
