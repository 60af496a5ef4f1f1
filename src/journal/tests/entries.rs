//! What was recorded is found: each delivery once, with the attempts of all times.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[test]
fn what_was_recorded_is_committed_when_its_barrier_falls_and_found_beside_the_writer() {
    let (fixture, metrics) = (Fixture::new(), Arc::new(Metrics::default()));
    let journal = fixture.start(&metrics);
    journal.record(&order(10_006, delivered(), &[0, 503, 200]));
    assert!(journal.barrier().wait(LONG));
    let reader = fixture.reader();
    let page = reader.list(&JournalFilter::default(), 10).expect("a page");
    let [row] = &page.rows[..] else { panic!("{page:?}") };
    assert_eq!(
        (row.rule.as_str(), row.table.as_str(), row.target.as_str()),
        ("paid", "shop.orders", "https://api.test")
    );
    assert_eq!((row.op, row.key.as_deref(), row.outcome), (Some("update"), Some("10006"), "delivered"));
    assert_eq!((row.status, row.attempts, row.times, row.committed_us), (Some(200), 3, 1, 10_006));
    let (shown, attempts) = reader.show(DeliveryId(row.id)).expect("readable").expect("known");
    assert_eq!(&shown, row);
    let found: Vec<_> = attempts.iter().map(|a| (a.number, a.duration_us, a.status, a.error.as_deref())).collect();
    let expected =
        [(1, 1000, None, Some("connection refused")), (2, 2000, Some(503), None), (3, 3000, Some(200), None)];
    assert_eq!(found, expected);
    assert!(fs::metadata(fixture.path()).expect("a file").permissions().mode() & 0o077 == 0, "it holds keys");
    assert_eq!(metrics.journal_deliveries_missed.get(), 0);
    drop(journal);
    let ended: Option<u64> =
        reader.connection.query_row("SELECT ended_us FROM run", [], |row| row.get(0)).expect("a run");
    assert!(ended.is_some(), "it ended in order");
}

#[test]
fn a_delivery_that_comes_again_has_one_row_with_the_attempts_of_all_times() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(1, dead(), &[503, 503]), order(2, delivered(), &[200])], HOUR_US));
    // After a crash: the same from the stream.
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(2, delivered(), &[200]), order(3, delivered(), &[200])], 2 * HOUR_US));
    // An operator replays the dead letter.
    let mut replayed = order(1, delivered(), &[500, 200]);
    replayed.delivery.origin = Origin::Replay { dead_letter: 1 };
    write(&mut journal, &entries(&[replayed], 3 * HOUR_US));
    let reader = fixture.reader();
    let page = reader.list(&JournalFilter::default(), 10).expect("a page");
    let found: Vec<_> =
        page.rows.iter().map(|row| (row.key.as_deref(), row.outcome, row.attempts, row.times)).collect();
    let expected = [(Some("1"), "delivered", 4, 2), (Some("3"), "delivered", 1, 1), (Some("2"), "delivered", 2, 2)];
    assert_eq!(found, expected);
    let (_, attempts) = reader.show(DeliveryId(page.rows[0].id)).expect("readable").expect("known");
    let found: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.status)).collect();
    assert_eq!(found, [(1, Some(503)), (2, Some(503)), (3, Some(500)), (4, Some(200))]);
    let rows: i64 = reader.connection.query_row("SELECT count(*) FROM attempt", [], |row| row.get(0)).expect("a count");
    assert_eq!(rows, 7, "no attempt belongs to no delivery");
}

#[test]
fn a_delivery_that_is_replayed_for_ever_keeps_its_newest_attempts() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    for _ in 0..40 {
        let mut again = order(1, dead(), &[503, 503]);
        again.delivery.origin = Origin::Replay { dead_letter: 1 };
        write(&mut journal, &entries(&[again], HOUR_US));
    }
    let reader = fixture.reader();
    let row = reader.list(&JournalFilter::default(), 10).expect("a page").rows.remove(0);
    let (_, attempts) = reader.show(DeliveryId(row.id)).expect("readable").expect("known");
    assert_eq!((row.attempts, row.times, attempts.len(), attempts[0].number), (80, 40, 64, 17));
}
