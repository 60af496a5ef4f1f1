//! The page for a made-up status, at several widths.

use super::*;
use crate::admin::view::rfc3339;
use crate::admin::view::status::{RuleFilesView, SourceView};
use crate::admin::{LATE_AFTER, attention};

/// 2025-11-20T23:06:40Z.
const NOW_S: u64 = 1_763_680_000;

pub fn before(secs: u64) -> Option<String> {
    Some(rfc3339((NOW_S - secs) * 1_000_000))
}

pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
}

pub fn rule(name: &str, state: &str) -> RuleView {
    RuleView {
        rule: name.to_string(),
        target: Some("https://api.example".to_string()),
        state: Some(state.to_string()),
        unresolved: Some(12),
        in_flight: Some(8),
        in_retry: Some(0),
        dead_letters: Some(0),
        lag_seconds: Some(0.2),
        oldest_unresolved: before(4),
        ..RuleView::default()
    }
}

pub fn status() -> StatusView {
    StatusView {
        running: true,
        version: env!("CARGO_PKG_VERSION").to_string(),
        pid: Some(4711),
        started_at: before(266_400),
        data: "/var/lib/rowhook".to_string(),
        source: Some(SourceView {
            address: "db.example:3306".to_string(),
            version: Some("9.7.1".to_string()),
            problem: None,
            binlog_kept_seconds: Some(604_800),
        }),
        position: Some(PositionView {
            server_uuid: "3e11fa47-71ca-11e1-9e33-c80aa9429562".to_string(),
            gtids: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77".to_string()),
            file: "binlog.000042".to_string(),
            offset: 1_234_567,
        }),
        lag_seconds: Some(192.0),
        backlog: Some(BacklogView { bytes: 12_000_000, shrinks_by_bytes_per_second: Some(3e6), seconds_left: Some(4) }),
        read_up_to: before(4),
        complete_up_to: before(2),
        checkpointed_at: before(1),
        journal: Some(JournalView { bytes: 524_288, since: before(604_800), missed: 0, problem: None }),
        storage: Some(StorageView { used_bytes: 4_000_000, free_bytes: 120_000_000_000, is_short: false }),
        runway_seconds: Some(601_000),
        binlog_pin: Some(BinlogPinView {
            since: before(11_000).expect("a time"),
            file: "binlog.000040".to_string(),
            rules: vec!["mail".to_string(), "stock".to_string()],
            pinned: true,
        }),
        rule_files: Some(RuleFilesView { loaded_at: rfc3339(0), problems_since: None, problems: vec![] }),
        rules: vec![
            rule("order-paid", state::ATTACHED),
            RuleView {
                lag_seconds: Some(192.0),
                unresolved: Some(8192),
                has_unread: true,
                backlog_bytes: Some(12_000_000),
                dead_letters: Some(3),
                detached_since: before(1000),
                oldest_unresolved: before(192),
                target: Some("https://mail.example".to_string()),
                ..rule("mail", state::DETACHED)
            },
            RuleView {
                paused_since: before(7500),
                why: Some("their API is moving house".to_string()),
                oldest_unresolved: None,
                ..rule("invoice-to-bookkeeping", state::PAUSED)
            },
            RuleView { why: Some("the binlog\u{1b} is gone".to_string()), ..rule("stock", state::STOPPED) },
        ],
        targets: vec![
            TargetView {
                target: "https://mail.example".to_string(),
                state: state::UNAVAILABLE.to_string(),
                unavailable_since: before(190),
                waiting_until: None,
                last_error: Some("answered 503".to_string()),
                ..TargetView::default()
            },
            TargetView {
                target: "https://api.example".to_string(),
                state: state::AVAILABLE.to_string(),
                ..TargetView::default()
            },
        ],
        dead_letters: 3,
        blocked: 12,
        awaiting: 2,
        ..StatusView::default()
    }
}

fn shown(status: StatusView, width: Option<u16>) -> String {
    let attention = attention(&status, LATE_AFTER, now());
    text(&StatusView { attention, ..status }, now(), width)
}

#[test]
fn the_status_of_a_running_rowhook_fits_one_screen_with_the_worst_first() {
    let expected = "\
stock is stopped: the binlog\u{fffd} is gone; rowhook resume stock
  mail late by 3m 12s: https://mail.example answered 503, unavailable since 23:03 UTC
  invoice-to-bookkeeping paused since 21:01 UTC (their API is moving house); rowhook resume invoice-to-bookkeeping
  3 dead letters; 2 of them need an operator: their effect is partial; 12 deliveries wait behind them; rowhook dead-letters list
running for 3d 2h as process 4711; lag 3m 12s; 12.0 MB of binlog to go through, shrinks by 3.0 MB/s, about 4s to go

rule                    state             waiting  in flight  in retry  dead  lag  backlog  target
order-paid              attached               12          8         0     0   0s        -  https://api.example
mail                    detached 16m 40s    8192+          8         0     3   3m  12.0 MB  https://mail.example
invoice-to-bookkeeping  paused 2h 5m           12          8         0     0   0s        -  https://api.example
stock                   stopped                12          8         0     0   0s        -  https://api.example
invoice-to-bookkeeping is paused: their API is moving house

source        db.example:3306, MySQL 9.7.1
position      binlog.000042:1234567, 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77
newest change 2025-11-20T23:06:36.000000Z (4s ago)
runway        6d 22h until the server may purge what is still needed
binlog pinned from binlog.000040 on, for 3h 3m, for mail, stock; the server purges nothing and its disk may fill
checkpoint    1s ago
data          /var/lib/rowhook: 4.0 MB, 120.0 GB free
journal       524.3 kB, entries since 2025-11-13T23:06:40.000000Z (7d ago)
";
    let opening = BinlogPinView { pinned: false, ..status().binlog_pin.expect("it is held") };
    assert!(pin_text(&opening, now()).starts_with("not at the moment"));
    let text = shown(status(), None);
    let (shown, version) = text.split_once("rowhook       ").expect("the version comes last");
    assert_eq!(shown, expected);
    assert_eq!(version, format!("{}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_will_be_dropped_stands_below_the_rules() {
    let view = |to_drop, drop_from| RetentionView { to_drop, drop_from, dropped: 3 };
    let keeps = |retention| RuleView { retention, ..rule("order-paid", state::ATTACHED) };
    assert_eq!(
        to_drop(&keeps(Some(view(1, before(0))))).as_deref(),
        Some("1 dead letter of order-paid will be dropped from 2025-11-20T23:06:40.000000Z on (`dead_letters`)\n")
    );
    assert_eq!((to_drop(&keeps(Some(view(0, None)))), to_drop(&keeps(None))), (None, None));
}

#[test]
fn a_narrow_terminal_gets_fewer_columns_and_names_that_stay_different() {
    let long =
        |end: &str| RuleView { rule: format!("warehouse-orders-of-the-shop-{end}"), ..rule("", state::ATTACHED) };
    let status = StatusView { rules: vec![long("paid-to-erp"), long("sent-to-erp")], ..status() };
    for (width, columns) in [(60, 5), (80, 7), (160, 9)] {
        let text = rules(&status, now(), Some(width));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= usize::from(width)), "{text}");
        assert_ne!(lines[1], lines[2], "{text}");
        let head: Vec<&str> = lines[0].split("  ").filter(|name| !name.is_empty()).collect();
        assert_eq!(head.len(), columns, "{text}");
    }
}

#[test]
fn nothing_to_tell_is_said_in_three_words() {
    let rules = vec![rule("order-paid", state::ATTACHED)];
    let sound =
        StatusView { rules, targets: vec![], dead_letters: 0, backlog: None, lag_seconds: Some(0.2), ..status() };
    assert!(shown(sound, None).starts_with("all is well\nrunning for 3d 2h as process 4711; lag 0s\n"));
}

#[test]
fn a_lag_that_is_not_exact_says_so() {
    for (seconds, is_bound, expected) in
        [(Some(0.3), true, "0s"), (Some(90.0), true, "≤1m 30s"), (Some(90.0), false, "1m 30s"), (None, false, "-")]
    {
        assert_eq!(lag_text(seconds, is_bound, span), expected);
    }
}

#[test]
fn what_keeps_rowhook_from_working_comes_first() {
    let source = SourceView {
        problem: Some("connecting to MySQL, attempt 2".to_string()),
        ..status().source.expect("a source")
    };
    let deaf = shown(StatusView { source: Some(source), ..status() }, None);
    assert!(deaf.starts_with("MySQL is not read: connecting to MySQL, attempt 2\n  stock is stopped"), "{deaf}");
    let problems = vec!["a:1: b".into()];
    let faulty = RuleFilesView { loaded_at: rfc3339(0), problems_since: before(60), problems };
    let faulty = shown(StatusView { rule_files: Some(faulty), ..status() }, None);
    assert!(
        faulty.contains("\n  rule files are invalid for 1m 0s; the previous rules stay active; rowhook check\n"),
        "{faulty}"
    );
    assert!(faulty.contains("\n  a:1: b\n"), "{faulty}");
    let stored = StatusView { running: false, source: None, targets: vec![], rules: vec![], ..status() };
    let stored = shown(stored, None);
    assert!(stored.starts_with("not running; rowhook run\n"), "{stored}");
    assert!(stored.contains("\nno rowhook runs on this data directory; this is what the store says\n"), "{stored}");
}

#[test]
fn the_journal_is_told_with_what_it_lacks() {
    let journal = JournalView { bytes: 4_096, since: None, missed: 0, problem: None };
    assert_eq!(journal_text(&journal, now()), "4.1 kB, no entries yet");
    let journal = JournalView { since: before(90), missed: 1, ..journal };
    let since = "4.1 kB, entries since 2025-11-20T23:05:10.000000Z (1m ago); 1 delivery is missing";
    assert_eq!(journal_text(&journal, now()), since);
    let full = JournalView { missed: 12, problem: Some("disk full; fix: free some space".to_string()), ..journal };
    let text = journal_text(&full, now());
    assert!(text.ends_with("; 12 deliveries are missing; disk full; fix: free some space"), "{text}");
}
