//! What is too old or too much goes, and the journal goes on.

use uuid::Uuid;

use super::super::retention::{self, FileSize};
use super::*;

#[test]
fn old_entries_go_in_steps_and_a_file_that_is_too_large_shrinks() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let orders: Vec<Completed> = (1..=500).map(|id| order(id, delivered(), &[503, 200])).collect();
    for hour in 1..=10 {
        let of_hour: Vec<JournalEntry> = entries(&orders, hour * HOUR_US)
            .into_iter()
            .map(|entry| JournalEntry { id: DeliveryId(Uuid::new_v4()), ..entry })
            .collect();
        write(&mut journal, &of_hour);
    }
    let count = |table: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        fixture.reader().connection.query_row(&sql, [], |row| row.get(0)).expect("a count")
    };
    let by_age = JournalSettings { keep: Duration::from_secs(5 * 3600), bytes_max: 1 << 30 };
    let step = |journal: &mut OpenJournal, settings| {
        retention::step(&mut journal.connection, settings, 11 * HOUR_US, 400).expect("a step")
    };
    assert!(step(&mut journal, &by_age));
    assert_eq!((count("delivery"), count("attempt")), (4600, 9200));
    while step(&mut journal, &by_age) {}
    assert_eq!((count("delivery"), count("attempt")), (2500, 5000));

    let before = FileSize::of(&journal.connection).expect("a size");
    let by_size = JournalSettings { bytes_max: before.bytes / 4, ..by_age };
    while step(&mut journal, &by_size) {}
    let after = FileSize::of(&journal.connection).expect("a size");
    assert!(after.bytes <= by_size.bytes_max, "{before:?} {after:?}");
    assert!(count("delivery") > 0 && count("attempt") == 2 * count("delivery"), "the newest stay");
    assert_eq!(
        keys(&fixture.reader(), &JournalFilter { key: Some("500".to_string()), ..JournalFilter::default() }),
        ["500"]
    );
}

#[test]
fn a_journal_whose_entries_have_all_gone_goes_on_with_new_numbers() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(1, delivered(), &[200]), order(2, delivered(), &[200])], 1));
    let settings = JournalSettings { keep: Duration::ZERO, ..settings() };
    while retention::step(&mut journal.connection, &settings, HOUR_US, 400).expect("a step") {}
    assert_eq!(keys(&fixture.reader(), &JournalFilter::default()), [""; 0]);
    drop(journal);
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(3, delivered(), &[200])], 1));
    assert_eq!(keys(&fixture.reader(), &JournalFilter::default()), ["3"]);
}
