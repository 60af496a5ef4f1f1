//! Rows that an API answers with 500 stop no other row; an API that answers every row so is unavailable.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::delivery::testing::answer;
use crate::rules::{BreakerPolicy, OrderBy, Target};
use crate::telemetry::TargetLabel;

/// A rule whose target, once unavailable, is not probed before the test is over.
fn without_probes(url: &str, edit: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    with_probes(url, DEADLINE * 2, edit)
}

fn with_probes(url: &str, probe: Duration, edit: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    rule(url, |rule| {
        let policy = BreakerPolicy { failures: 5, probe, max_probe: probe };
        rule.actions[0].target = Arc::new(Target { breaker: Some(policy), ..(*rule.actions[0].target).clone() });
        edit(rule);
    })
}

#[tokio::test]
async fn a_fifth_of_the_rows_that_always_fail_delays_no_row_of_any_rule() {
    let api = Api::start(|seen| Reply::Status(if seen.number % 5 == 0 { 500 } else { 200 })).await;
    let orders = without_probes(&api.url(), |rule| rule.settings.in_flight = 4);
    let mails = without_probes(&api.url(), |rule| rule.name = "mails".to_owned());
    let metrics = Arc::new(Metrics::default());
    let mut dispatcher = Dispatcher::new(Sinks::new(Client::new().unwrap(), None), metrics.clone());
    for number in 1..=400 {
        let rule = if number % 2 == 0 { &orders } else { &mails };
        dispatcher.submit(delivery(rule, number, number as i64));
    }
    for _ in 1..=400 {
        let (number, outcome) = resolve(&mut dispatcher).await;
        let expected = match number % 5 {
            0 => dead(Reason::Exhausted, "all 4 attempts failed, the last: answered 500"),
            _ => Outcome::Delivered { status: 200 },
        };
        assert_eq!(outcome, expected, "{number}");
    }
    let label = TargetLabel { target: api.url().trim_end_matches('/').to_owned() };
    assert_eq!(metrics.target_outages.get_or_create(&label).get(), 0);
}

#[tokio::test]
async fn one_row_that_always_fails_where_nothing_else_is_about_delays_no_row_that_comes_later() {
    let api = Api::start(|seen| Reply::Status(if seen.number == 1 { 500 } else { 200 })).await;
    let orders = without_probes(&api.url(), |rule| rule.actions[0].retry.retries = Retries::AtMost(20));
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&orders, 1, 1));
    while dispatcher.targets()[0].open_since_us.is_none() {
        assert!(tokio::time::timeout(Duration::from_millis(1), dispatcher.next()).await.is_err());
    }
    for number in 2..=9 {
        dispatcher.submit(delivery(&orders, number, number as i64));
        assert_eq!(resolve(&mut dispatcher).await, (number, Outcome::Delivered { status: 200 }));
    }
    assert_eq!(dispatcher.targets()[0].open_since_us, None);
    // A row of which it is known that others succeed beside it is no sign any more.
    drive_until_seen(&mut dispatcher, &api, 9 + 15).await;
    assert_eq!(dispatcher.targets()[0].open_since_us, None);
}

#[tokio::test]
async fn an_api_that_answers_every_row_with_500_makes_no_dead_letters() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let api = Api::start(move |_| Reply::Status(if back.load(Ordering::SeqCst) { 200 } else { 500 })).await;
    let orders = with_probes(&api.url(), Duration::from_millis(2), |rule| {
        rule.settings.in_flight = 8;
        rule.actions[0].retry.retries = Retries::AtMost(1);
    });
    let mut dispatcher = dispatcher();
    for number in 0..30 {
        dispatcher.submit(delivery(&orders, number, number as i64));
    }
    // All are probed, and many of them again.
    drive_until_seen(&mut dispatcher, &api, 60).await;
    assert_eq!(dispatcher.unresolved(), 30);
    let probed: HashSet<u128> = api.order().into_iter().collect();
    assert_eq!(probed.len(), 30, "probes are first attempts while there are any");
    is_back.store(true, Ordering::SeqCst);
    for _ in 0..30 {
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 });
    }
}

#[tokio::test]
async fn an_operator_makes_a_target_available_again() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let api = Api::start(move |_| Reply::Status(if back.load(Ordering::SeqCst) { 200 } else { 503 })).await;
    let orders = without_probes(&api.url(), |rule| rule.order_by = OrderBy::None);
    let mut dispatcher = dispatcher();
    for number in 1..=5 {
        dispatcher.submit(delivery(&orders, number, 1));
    }
    drive_until_seen(&mut dispatcher, &api, 5).await;
    while dispatcher.in_flight() > 0 {
        assert!(tokio::time::timeout(Duration::from_millis(1), dispatcher.next()).await.is_err());
    }
    let target = api.url().trim_end_matches('/').to_owned();
    let status = dispatcher.targets().remove(0);
    assert!(status.open_since_us.is_some() && status.next_probe_us > status.open_since_us, "{status:?}");
    assert_eq!((status.in_flight, status.last_answer.as_deref()), (0, Some("answered 503")));
    assert_eq!(status.rules, ["orders"]);
    is_back.store(true, Ordering::SeqCst);
    assert_eq!(dispatcher.reset_target("http://unknown.test"), None);
    let before = dispatcher.reset_target(&target).expect("a known target");
    assert_eq!(before.open_since_us, status.open_since_us);
    for _ in 1..=5 {
        assert_eq!(resolve(&mut dispatcher).await.1, Outcome::Delivered { status: 200 });
    }
    let status = dispatcher.targets().remove(0);
    assert_eq!((status.open_since_us, status.next_probe_us), (None, None));
}

#[tokio::test]
async fn an_operator_ends_the_pause_that_a_target_asked_for() {
    let api = Api::start(|seen| match seen.number {
        1 => answer(429, &[("Retry-After", "60")], ""),
        _ => Reply::Status(200),
    })
    .await;
    let orders = without_probes(&api.url(), |_| {});
    let mut dispatcher = dispatcher();
    dispatcher.submit(delivery(&orders, 1, 1));
    while dispatcher.in_retry() == 0 {
        assert!(tokio::time::timeout(Duration::from_millis(1), dispatcher.next()).await.is_err());
    }
    dispatcher.submit(delivery(&orders, 2, 2));
    assert!(dispatcher.try_next().is_none() && dispatcher.in_flight() == 0);
    let before = dispatcher.reset_target(api.url().trim_end_matches('/')).expect("a known target");
    assert!(before.paused_until_us.is_some());
    assert_eq!(resolve(&mut dispatcher).await, (2, Outcome::Delivered { status: 200 }));
    assert_eq!(dispatcher.targets()[0].paused_until_us, None);
}
