//! The lines for made-up states: what is told, in which words, in which order.

use super::*;
use crate::admin::view::rfc3339;
use crate::admin::view::status::{JournalView, SourceView, StorageView};

const NOW_S: u64 = 1_763_680_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn before(seconds: u64) -> Option<String> {
    Some(rfc3339((NOW_S - seconds) * 1_000_000))
}

/// Attached, this late, with so many deliveries of which so many are in retry.
fn rule(name: &str, lag: f64, unresolved: u64, in_retry: u64) -> RuleView {
    RuleView {
        rule: name.to_owned(),
        target: Some("http://api".to_owned()),
        state: Some(state::ATTACHED.to_owned()),
        lag_seconds: Some(lag),
        unresolved: Some(unresolved),
        in_retry: Some(in_retry),
        ..RuleView::default()
    }
}

fn target(name: &str, since: Option<u64>, waiting: bool) -> TargetView {
    TargetView {
        target: name.to_owned(),
        state: if since.is_some() { state::UNAVAILABLE } else { state::AVAILABLE }.to_owned(),
        unavailable_since: since.and_then(before),
        waiting_until: waiting.then(|| rfc3339(NOW_S * 1_000_000)),
        last_error: since.map(|_| "answered 503".to_owned()),
        ..TargetView::default()
    }
}

fn status(rules: Vec<RuleView>, targets: Vec<TargetView>) -> StatusView {
    StatusView { running: true, rules, targets, ..StatusView::default() }
}

#[track_caller]
fn told(status: &StatusView, expected: &[&str]) {
    let lines = attention(status, LATE_AFTER, now());
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, expected);
}

#[test]
fn a_late_rule_is_told_with_its_cause() {
    let api = || vec![target("http://api", None, false)];
    told(&status(vec![rule("r", 29.9, 5, 0)], api()), &[]);
    told(&status(vec![rule("r", 240.0, 505, 0)], api()), &["r late by 4m 0s: 505 deliveries wait"]);
    told(&status(vec![rule("r", 240.0, 505, 3)], api()), &["r late by 4m 0s: 505 deliveries wait, 3 of them in retry"]);
    told(&status(vec![rule("r", 240.0, 1, 1)], api()), &["r late by 4m 0s: all that waits is in retry"]);
    let unread = RuleView { has_unread: true, lag_is_bound: true, ..rule("r", 240.0, 0, 0) };
    told(&status(vec![unread], api()), &["r late by at most 4m 0s: the binlog is not read to its end yet"]);
    let full = RuleView { has_unread: true, ..rule("r", 240.0, 8192, 0) };
    told(&status(vec![full], api()), &["r late by 4m 0s: more than 8192 deliveries wait"]);
    let down = target("http://api", Some(240), false);
    told(
        &status(vec![rule("r", 240.0, 5, 1)], vec![down.clone()]),
        &["r late by 4m 0s: http://api answered 503, unavailable since 23:02 UTC"],
    );
    told(&status(vec![rule("r", 2.0, 5, 1)], vec![down]), &["http://api answered 503, unavailable since 23:02 UTC"]);
    told(
        &status(vec![rule("r", 60.0, 5, 1)], vec![target("http://api", None, true)]),
        &["r late by 1m 0s: http://api asked for a pause until 23:06 UTC"],
    );
}

#[test]
fn rules_that_are_late_for_one_cause_are_told_together_the_latest_first() {
    let down = || vec![target("http://api", Some(100_000), false)];
    let cause = "http://api answered 503, unavailable since 2025-11-19 19:20 UTC";
    let two = vec![rule("a", 60.0, 5, 0), rule("b", 90.0, 5, 0)];
    told(&status(two.clone(), down()), &[&format!("b and a late by 1m 30s: {cause}")]);
    let other = RuleView { target: Some("http://other".to_owned()), ..rule("c", 600.0, 7, 0) };
    let four = [two, vec![rule("d", 50.0, 1, 0), other]].concat();
    told(
        &status(four, down()),
        &["c late by 10m 0s: 7 deliveries wait", &format!("b and 2 more rules late by 1m 30s: {cause}")],
    );
}

#[test]
fn a_paused_rule_is_told_once_late_or_not() {
    let paused = |lag| RuleView {
        state: Some(state::PAUSED.to_owned()),
        paused_since: before(300),
        why: Some("moving house".to_owned()),
        ..rule("r", lag, 5, 0)
    };
    let cause = "paused since 23:01 UTC (moving house)";
    told(&status(vec![paused(0.0)], vec![]), &[&format!("r {cause}")]);
    told(&status(vec![paused(290.0)], vec![]), &[&format!("r late by 4m 50s: {cause}")]);
}

#[test]
fn a_short_runway_is_told_while_a_rule_is_late() {
    let with = |kept: u64, left: u64, rule: RuleView| {
        let source =
            SourceView { address: String::new(), version: None, problem: None, binlog_kept_seconds: Some(kept) };
        let runway_seconds = Some(left);
        StatusView { source: Some(source), runway_seconds, ..status(vec![rule], vec![]) }
    };
    let detached = |lag| RuleView { state: Some(state::DETACHED.to_owned()), ..rule("r", lag, 5, 0) };
    let hour = 3_600;
    told(&with(168 * hour, 24 * hour, detached(9.0)), &[]);
    told(
        &with(168 * hour, 24 * hour - 60, detached(9.0)),
        &["the server may purge binlog that is still needed in 23h 59m"],
    );
    told(&with(24 * hour, 13 * hour, detached(9.0)), &[]);
    told(&with(24 * hour, 11 * hour, detached(9.0)), &["the server may purge binlog that is still needed in 11h 0m"]);
    // RDS without a retention: it purges a file as soon as it is closed.
    told(&with(0, 0, detached(9.0)), &["the server may purge binlog that is still needed at any moment"]);
    told(&with(0, 0, rule("r", 9.0, 5, 0)), &[]);
    let paused = RuleView { state: Some(state::PAUSED.to_owned()), paused_since: before(300), ..rule("r", 0.0, 0, 0) };
    told(&with(0, 0, paused), &["r paused since 23:01 UTC"]);
}

#[test]
fn the_order_is_that_of_how_bad_it_is() {
    let source = SourceView {
        address: String::new(),
        version: None,
        problem: Some("refused".to_owned()),
        binlog_kept_seconds: Some(604_800),
    };
    let stopped =
        RuleView { state: Some(state::STOPPED.to_owned()), why: Some("purged".to_owned()), ..rule("s", 9_999.0, 0, 0) };
    let storage = StorageView { used_bytes: 5 << 30, free_bytes: 2 << 30, is_short: true };
    let all = StatusView {
        source: Some(source),
        runway_seconds: Some(3_600),
        storage: Some(storage),
        data: "/data".to_owned(),
        dead_letters: 1002,
        awaiting: 1,
        blocked: 1,
        ..status(vec![rule("r", 40.0, 2, 0), stopped], vec![target("http://b", Some(60), false)])
    };
    told(
        &all,
        &[
            "MySQL is not read: refused",
            "s is stopped: purged",
            "2.1 GB left on the disk of /data",
            "the server may purge binlog that is still needed in 1h 0m",
            "r late by 40s: 2 deliveries wait",
            "http://b answered 503, unavailable since 23:05 UTC",
            "1002 dead letters; 1 of them needs an operator: its effect is partial; 1 delivery waits behind them",
        ],
    );
    let fixes: Vec<Option<String>> = attention(&all, LATE_AFTER, now()).into_iter().map(|line| line.fix).collect();
    assert_eq!(fixes[1].as_deref(), Some("rowhook resume s"));
    assert_eq!(fixes[6].as_deref(), Some("rowhook dead-letters list"));
}

#[test]
fn a_journal_that_is_not_written_has_a_line() {
    let journal = JournalView { bytes: 0, since: None, missed: 3, problem: None };
    let with = |problem: Option<&str>| {
        let journal = JournalView { problem: problem.map(str::to_owned), ..journal.clone() };
        StatusView { journal: Some(journal), ..status(Vec::new(), Vec::new()) }
    };
    told(&with(None), &[]);
    told(
        &with(Some("disk full; fix: free some space")),
        &["deliveries are not journaled: disk full; fix: free some space"],
    );
}
