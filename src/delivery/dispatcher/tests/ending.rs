//! Waits that are dropped lose nothing, and the end lets attempts under way finish; a rule pauses where its dead letter says so.

use super::*;
use crate::rules::OnDeadLetter;

#[tokio::test]
async fn nothing_is_lost_when_next_is_dropped_many_times() {
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
                completed = next(&mut dispatcher) => {
                    resolved.push(completed.delivery.id.0.as_u128());
                    dispatcher.release(completed.ticket);
                }
                // Polled once and dropped, whatever it was waiting for.
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, all).await.expect("every delivery completes");
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
    let open = admission();
    let permits = open.clone();
    let api = Api::start(move |seen| match seen.number {
        1 => Reply::When(permits.clone()),
        _ => Reply::Status(503),
    })
    .await;
    let rule = rule(&api.url(), |rule| {
        rule.settings.in_flight = 2;
        (rule.actions[0].retry.initial, rule.actions[0].retry.max_delay) = (DEADLINE, DEADLINE);
    });
    let mut dispatcher = dispatcher();
    for (number, key) in [(1, 1), (2, 2), (3, 3), (4, 1), (5, 5)] {
        dispatcher.submit(delivery(&rule, number, key));
    }
    // One of the two slots stays with the first; the other goes to each of the next in turn.
    drive_until_seen(&mut dispatcher, &api, 2).await;
    let begun = Instant::now();
    open.add_permits(1);
    let finished = finish(&mut dispatcher, begun + DEADLINE).await;
    assert!(begun.elapsed() < DEADLINE / 2, "the deadline is not waited for when nothing is under way");
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
    let finished = finish(&mut dispatcher, Instant::now() + Duration::from_millis(300)).await;
    assert!(finished.iter().all(|completed| completed.delivery.id.0.as_u128() == 2), "{finished:?}");
    assert!(dispatcher.in_flight() >= 1);
}

#[tokio::test]
async fn nothing_is_started_after_a_dead_letter_that_pauses_its_rule() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 400 } else { 200 })).await;
    let rule =
        rule(&api.url(), |rule| (rule.settings.in_flight, rule.settings.on_dead_letter) = (1, OnDeadLetter::Pause));
    let mut dispatcher = dispatcher();
    for number in 1..=3 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    let completed = next(&mut dispatcher).await;
    assert!(matches!(completed.outcome, Outcome::Dead(_)));
    assert_eq!(
        (dispatcher.in_flight(), dispatcher.is_blocked(&rule.name)),
        (0, true),
        "before the loop could pause it"
    );
    dispatcher.release(completed.ticket);
    assert_eq!(dispatcher.in_flight(), 0);
    dispatcher.set_paused(&rule.name, false);
    for number in [2, 3] {
        assert_eq!(resolve(&mut dispatcher).await.0, number);
    }
}
