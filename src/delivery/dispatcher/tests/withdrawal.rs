//! Deliveries that are taken back: what waits is not attempted, what is under way goes on, and nothing else is touched.

use super::*;
use crate::delivery::testing::delivery as of_stream;
use crate::rules::{Batch, Rule, Until};

/// A replay of the dead letter of this number.
fn replayed(rule: &Arc<Rule>, number: u128, key: i64) -> Delivery {
    Delivery { origin: letter(number), ..of_stream(rule, number, key) }
}

fn letter(number: u128) -> Origin {
    Origin::Replay { dead_letter: number as u64 }
}

fn all(dispatcher: &mut Dispatcher, what: Withdraw) -> Vec<Origin> {
    let mut withdrawn: Vec<Origin> = dispatcher.withdraw(what, |origin| origin != Origin::Stream).into_iter().collect();
    withdrawn.sort_by_key(|origin| format!("{origin:?}"));
    withdrawn
}

/// Those that are said to be withdrawn next, and nothing else happens before.
fn given_back(dispatcher: &mut Dispatcher) -> Vec<Origin> {
    std::iter::from_fn(|| match dispatcher.try_next()? {
        DeliveryEvent::Withdrawn(origin) => Some(origin),
        other => panic!("not withdrawn: {other:?}"),
    })
    .collect()
}

#[tokio::test]
async fn what_waits_is_taken_back_at_its_turn_and_what_is_under_way_and_the_stream_go_on() {
    let gate = admission();
    let until = gate.clone();
    let api = Api::start(move |seen| match seen.number {
        1 => Reply::When(until.clone()),
        _ => Reply::Status(200),
    })
    .await;
    let rule = rule(&api.url(), |rule| rule.settings.in_flight = 1);
    let mut dispatcher = dispatcher();
    for (number, key) in [(1, 1), (2, 2), (3, 1)] {
        dispatcher.submit(replayed(&rule, number, key));
    }
    dispatcher.submit(of_stream(&rule, 4, 2));
    drive_until_seen(&mut dispatcher, &api, 1).await;
    assert_eq!(all(&mut dispatcher, Withdraw::Untried), [letter(2), letter(3)]);
    assert_eq!(given_back(&mut dispatcher), [letter(2)], "the other is behind one under way");
    assert_eq!(all(&mut dispatcher, Withdraw::Untried), [letter(3)], "until its turn it is the same");
    gate.add_permits(1);
    assert_eq!(resolve(&mut dispatcher).await.0, 1);
    let mut rest = Vec::new();
    while dispatcher.unresolved() > 0 {
        match event(&mut dispatcher).await {
            DeliveryEvent::Withdrawn(origin) => assert_eq!(origin, letter(3)),
            DeliveryEvent::Completed(completed) => {
                rest.push(completed.delivery.id.0.as_u128());
                dispatcher.release(completed.ticket);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((rest, api.order()), (vec![4], vec![1, 4]));
    assert_eq!(dispatcher.counts(&rule.name), RuleUnderWay::default());
}

#[tokio::test]
async fn of_a_paused_rule_all_that_is_not_under_way_is_taken_back_at_once() {
    let api = Api::start(|_| Reply::Status(503)).await;
    let rule = rule(&api.url(), |rule| {
        rule.settings.in_flight = 1;
        rule.actions[0].retry.retries = Retries::AtMost(100);
    });
    let mut dispatcher = dispatcher();
    dispatcher.submit(replayed(&rule, 1, 1));
    drive_until_seen(&mut dispatcher, &api, 1).await;
    dispatcher.submit(replayed(&rule, 2, 2));
    dispatcher.set_paused(&rule.name, true);
    let waits = async {
        while dispatcher.in_flight() > 0 {
            tokio::select! {
                event = dispatcher.next() => panic!("nothing was to happen: {event:?}"),
                () = tokio::time::sleep(std::time::Duration::from_millis(1)) => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, waits).await.expect("the attempt ends");
    assert_eq!(all(&mut dispatcher, Withdraw::Untried), [letter(2)], "the first was attempted");
    assert_eq!(all(&mut dispatcher, Withdraw::Idle), [letter(1)]);
    assert_eq!(given_back(&mut dispatcher), [letter(2), letter(1)]);
    assert_eq!((dispatcher.unresolved(), dispatcher.in_retry()), (0, 0));
    dispatcher.set_paused(&rule.name, false);
    dispatcher.submit(replayed(&rule, 3, 1));
    drive_until_seen(&mut dispatcher, &api, 2).await;
    assert_eq!(api.order()[1], 3, "nothing is left of those before");
}

#[tokio::test]
async fn a_call_that_carries_several_goes_on_without_those_that_are_taken_back() {
    let gate = admission();
    let until = gate.clone();
    let api = Api::start(move |_| Reply::When(until.clone())).await;
    let rule = rule(&api.url(), |rule| {
        rule.settings.in_flight = 1;
        let until = Until::Wait(std::time::Duration::from_secs(3600));
        rule.batch = Some(Batch { size: 3, bytes: 1 << 20, until, format: Default::default(), results: None });
    });
    let mut dispatcher = dispatcher();
    // Three calls: under way, of both kinds, of replays alone; and one that is not full.
    for number in [1, 2, 3] {
        dispatcher.submit(replayed(&rule, number, number as i64));
    }
    for number in [4, 5] {
        dispatcher.submit(replayed(&rule, number, number as i64));
    }
    dispatcher.submit(of_stream(&rule, 6, 6));
    for number in [7, 8, 9, 10] {
        dispatcher.submit(replayed(&rule, number, number as i64));
    }
    drive_until_seen(&mut dispatcher, &api, 1).await;
    let meant = |numbers: [u128; 6]| numbers.map(letter);
    let withdrawn = all(&mut dispatcher, Withdraw::Untried);
    let mut expected = meant([4, 5, 7, 8, 9, 10]);
    expected.sort_by_key(|origin| format!("{origin:?}"));
    assert_eq!(withdrawn, expected);
    assert_eq!(given_back(&mut dispatcher).len(), 6);
    gate.add_permits(2);
    let mut resolved = Vec::new();
    for _ in 0..4 {
        resolved.push(resolve(&mut dispatcher).await.0);
    }
    assert_eq!((resolved, api.seen().len(), dispatcher.unresolved()), (vec![1, 2, 3, 6], 2, 0));
}
