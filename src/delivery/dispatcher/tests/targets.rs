//! Targets that are unavailable, and rates: deliveries are late, and none is a dead letter for it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;

use super::*;
use crate::rules::{BreakerPolicy, OrderBy, Rate, Target};
use crate::telemetry::TargetLabel;

/// A rule of this target, whose breaker opens after so many failures and is quick to ask again.
fn breaking_rule(url: &str, failures: u32, edit: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    rule(url, |rule| {
        let probe = Duration::from_millis(3);
        let policy = BreakerPolicy { failures, probe, max_probe: 4 * probe };
        rule.actions[0].target = Arc::new(Target { breaker: Some(policy), ..(*rule.actions[0].target).clone() });
        edit(rule);
    })
}

#[tokio::test]
async fn an_outage_delays_deliveries_and_makes_no_dead_letters() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let api = Api::start(move |seen| match (back.load(Ordering::SeqCst), seen.number % 3) {
        (true, _) => Reply::Status(200),
        (false, 0) => Reply::Status(503),
        (false, 1) => Reply::LoseAnswer,
        _ => Reply::Status(504),
    })
    .await;
    let rule = breaking_rule(&api.url(), 5, |rule| rule.settings.in_flight = 8);
    let metrics = Arc::new(Metrics::default());
    let mut dispatcher = Dispatcher::new(Sinks::new(Client::new().unwrap(), None), metrics.clone());
    let key = |number: u128| (number % 10) as i64;
    for number in 0..50 {
        dispatcher.submit(delivery(&rule, number, key(number)));
    }
    drive_until_seen(&mut dispatcher, &api, 60).await;
    assert!(dispatcher.is_blocked("orders"));
    let target = dispatcher.targets().remove(0);
    assert!(target.open_since_us.is_some() && target.last_error.is_some(), "{target:?}");
    let label = TargetLabel { target: target.target.clone() };
    assert_eq!(metrics.target_unavailable.get_or_create(&label).get(), 1);
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
    let counted =
        (metrics.target_unavailable.get_or_create(&label).get(), metrics.target_outages.get_or_create(&label).get());
    assert_eq!(counted, (0, 1));
    assert_eq!(dispatcher.targets()[0].open_since_us, None);
}

#[tokio::test]
async fn a_row_that_always_fails_uses_up_its_attempts_and_then_the_others_are_sent() {
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
async fn a_row_that_always_gets_a_gateway_error_does_not_keep_the_target_unavailable_for_other_rules() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 && seen.attempt < 9 { 504 } else { 200 })).await;
    let failing = breaking_rule(&api.url(), 2, |_| {});
    let other = breaking_rule(&api.url(), 2, |rule| rule.name = "other".to_owned());
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&failing, 1, 1));
    drive_until_seen(&mut dispatcher, &api, 3).await;
    assert!(dispatcher.is_blocked("orders"));
    dispatcher.submit(delivery(&other, 2, 2));
    assert_eq!(resolve(&mut dispatcher).await, (2, Outcome::Delivered { status: 200 }));
}

#[tokio::test]
async fn what_is_under_way_when_the_target_becomes_unavailable_is_no_dead_letter_even_without_retries() {
    let is_back = Arc::new(AtomicBool::new(false));
    let (back, all_sent) = (is_back.clone(), admission());
    let answer_all = all_sent.clone();
    let api = Api::start(move |seen| match (back.load(Ordering::SeqCst), seen.attempt) {
        (true, _) => Reply::Status(200),
        (false, 1) => Reply::LoseAnswerWhen(answer_all.clone()),
        (false, _) => Reply::LoseAnswer,
    })
    .await;
    let rule = breaking_rule(&api.url(), 5, |rule| rule.actions[0].retry.retries = Retries::AtMost(0));
    let mut dispatcher = dispatcher();
    for number in 0..10 {
        dispatcher.submit(delivery(&rule, number, number as i64));
    }
    drive_until_seen(&mut dispatcher, &api, 10).await;
    all_sent.add_permits(10);
    for _ in 0..4 {
        let (_, outcome) = resolve(&mut dispatcher).await;
        assert!(matches!(outcome, Outcome::Dead(_)), "an attempt counts before the target is unavailable");
    }
    drive_until_seen(&mut dispatcher, &api, 20).await;
    is_back.store(true, Ordering::SeqCst);
    for _ in 0..6 {
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 });
    }
}

#[tokio::test]
async fn adopted_rules_apply_at_once_to_what_waits() {
    let api = Api::start(|seen| Reply::Status(if seen.attempt < 4 { 503 } else { 200 })).await;
    let with = |breaker| {
        rule(&api.url(), |rule| {
            rule.actions[0].target = Arc::new(Target { breaker, ..(*rule.actions[0].target).clone() })
        })
    };
    let slow = BreakerPolicy { failures: 2, probe: DEADLINE * 2, max_probe: DEADLINE * 2 };
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
    tokio::time::timeout(DEADLINE, waits).await.expect("the target becomes unavailable");
    dispatcher.adopt(&[with(None)]);
    assert!(!dispatcher.is_blocked("orders"));
    assert_eq!(resolve(&mut dispatcher).await, (1, Outcome::Delivered { status: 200 }));
}

#[tokio::test]
async fn a_rule_with_a_rate_starts_its_next_attempt_by_a_timer() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let rule = rule(&api.url(), |rule| rule.settings.rate = Some(Rate { count: 10, per: Duration::from_secs(1) }));
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

/// A rule before and after a reload: the API that it called is gone, and it calls this one now.
async fn moved(api: &Api, edit: impl Fn(&mut Rule)) -> (Arc<Rule>, Arc<Rule>) {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let to = |url: &str, edit: &dyn Fn(&mut Rule)| {
        rule(url, |rule| {
            let breaker = Some(BreakerPolicy { failures: 2, ..BreakerPolicy::default() });
            rule.actions[0].target = Arc::new(Target { breaker, ..(*rule.actions[0].target).clone() });
            edit(rule);
        })
    };
    (to(&format!("http://{gone}/"), &|_| {}), to(&api.url(), &edit))
}

async fn drive_until_unavailable(dispatcher: &mut Dispatcher) {
    while dispatcher.targets()[0].open_since_us.is_none() {
        // Nothing completes; what is polled is the clock of retries.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(10), dispatcher.next()).await;
    }
}

#[tokio::test]
async fn what_waits_for_a_former_target_is_sent_to_the_target_that_the_rule_calls_now() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let (before, now) = moved(&api, |_| {}).await;
    let mut dispatcher = dispatcher();
    for number in 1..=20 {
        dispatcher.submit(delivery(&before, number, number as i64 % 7));
    }
    drive_until_unavailable(&mut dispatcher).await;
    dispatcher.adopt(&[now]);
    // Made before the reload and handed over after it.
    dispatcher.submit(Delivery { origin: Origin::BinlogReplay { number: 1 }, ..delivery(&before, 21, 1) });
    for _ in 1..=21 {
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 });
    }
    assert_eq!(dispatcher.targets()[0].last_error, None);
}

#[tokio::test]
async fn calls_to_a_former_target_say_nothing_about_the_target_that_the_rule_calls_now() {
    let api = Api::start(|_| Reply::Status(200)).await;
    let (before, now) = moved(&api, |rule| rule.order_by = OrderBy::None).await;
    let mut dispatcher = dispatcher();
    for number in 1..=20 {
        dispatcher.submit(delivery(&before, number, number as i64));
    }
    drive_until_unavailable(&mut dispatcher).await;
    dispatcher.submit(delivery(&now, 21, 21));
    let mut delivered = Vec::new();
    for _ in 1..=21 {
        let (number, outcome) = resolve(&mut dispatcher).await;
        match outcome {
            Outcome::Delivered { .. } => delivered.push(number),
            Outcome::Dead(failure) => assert_eq!(failure.reason, Reason::Exhausted),
            Outcome::Blocked { .. } => panic!("no key is blocked"),
        }
    }
    assert_eq!(delivered, [21]);
    let target = &dispatcher.targets()[0];
    assert_eq!((target.open_since_us, target.last_error.as_deref()), (None, None));
}
