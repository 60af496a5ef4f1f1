//! A disk that is full, a file that is damaged or of a newer version, a machine that stops: nothing waits, and what is missing is said.

use std::fs;
use std::time::Instant;

use super::*;

#[test]
fn a_full_disk_rolls_a_batch_back_and_is_an_error_with_a_remedy() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let pages: i64 = journal.connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("pages");
    journal.connection.pragma_update(None, "max_page_count", pages + 2).expect("a limit");
    let orders: Vec<Completed> = (1..=500).map(|id| order(id, delivered(), &[200])).collect();
    let error = journal.write(&entries(&orders, 1), Missed::default(), "").expect_err("full").to_string();
    assert!(error.contains("free some space"), "{error}");
    drop(journal);
    assert!(keys(&fixture.reader(), &JournalFilter::default()).is_empty(), "all of a batch or nothing");
}

#[test]
fn a_damaged_file_stops_nothing_is_counted_and_leaves_a_gap_when_it_is_replaced() {
    let (fixture, metrics) = (Fixture::new(), Arc::new(Metrics::default()));
    fs::write(fixture.path(), "this is no database, and longer than a header of one: ".repeat(100)).expect("written");
    let queue = Arc::new(JournalQueue::new(Arc::clone(&metrics)));
    let mut writer = JournalWriter::new(fixture.path(), settings(), Arc::clone(&queue), Arc::clone(&metrics));
    writer.retry_after = Duration::ZERO;
    let thread = std::thread::spawn(move || writer.run());
    let record = |id| {
        JournalEntry::all_of(&order(id, delivered(), &[200])).for_each(|entry| queue.push(entry));
        assert!(queue.barrier().wait(LONG), "nothing waits for a journal that can't be written");
    };
    record(1);
    record(2);
    assert_eq!(metrics.journal_deliveries_missed.get(), 2);
    let status = queue.status();
    assert_eq!((status.bytes, status.since_us, status.missed), (0, None, 2));
    let problem = status.problem.expect("it can't be written");
    assert!(problem.contains("move its files away (a new one is made)"), "{problem}");
    fs::remove_file(fixture.path()).expect("moved away");
    record(3);
    assert_eq!(metrics.journal_deliveries_missed.get(), 2);
    let reader = fixture.reader();
    assert_eq!(keys(&reader, &JournalFilter::default()), ["3"]);
    let gaps = reader.gaps(0, u64::MAX).expect("gaps");
    assert_eq!(gaps.iter().map(|gap| gap.deliveries).collect::<Vec<_>>(), [Some(2)]);
    let by_file = reader.status().expect("readable");
    assert_eq!((by_file.since_us.is_some(), by_file.missed, &by_file.problem), (true, 2, &None));
    // It is reported after the barrier falls.
    let give_up_at = Instant::now() + LONG;
    while queue.status() != by_file {
        assert!(Instant::now() < give_up_at, "{:?} is not {by_file:?}", queue.status());
        std::thread::yield_now();
    }

    // Moved away while it is sound, without its write-ahead log.
    drop(reader);
    let old = fixture.path().with_extension("old");
    fs::rename(fixture.path(), &old).expect("moved away");
    record(4);
    assert_eq!(keys(&fixture.reader(), &JournalFilter::default()), ["4"]);
    let gaps = fixture.reader().gaps(0, u64::MAX).expect("gaps");
    assert_eq!(
        gaps.iter().map(|gap| (gap.from_us, gap.deliveries)).collect::<Vec<_>>(),
        [(by_file.since_us.expect("it has an entry"), None)]
    );
    assert!(gaps[0].reason.contains("moved away"), "{gaps:?}");
    let old = JournalReader::open(&old).expect("readable").expect("a journal");
    assert_eq!(keys(&old, &JournalFilter::default()), ["3"]);
    queue.close();
    thread.join().expect("it ends in order");
}

#[test]
fn only_a_stop_of_the_machine_may_leave_a_gap() {
    let fixture = Fixture::new();
    let gaps = || fixture.reader().gaps(0, u64::MAX).expect("gaps");
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(1, delivered(), &[200])], HOUR_US));
    // As by kill -9: what was committed is in the file.
    drop(journal);
    let journal = fixture.open();
    assert_eq!(gaps(), []);
    journal.connection.execute("UPDATE run SET boot = 'an earlier one'", []).expect("written");
    drop(journal);
    fixture.open().end().expect("ended");
    let found = gaps();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].from_us, found[0].deliveries, found[0].reason.as_str()),
        (HOUR_US, None, "the machine stopped")
    );
    fixture.open().end().expect("ended");
    assert_eq!(gaps(), found, "after an end in order there is none");
}

#[test]
fn a_journal_of_another_version_is_not_touched_and_none_is_no_error() {
    let fixture = Fixture::new();
    assert!(JournalReader::open(&fixture.path()).expect("no error").is_none());
    for version in [1, 2, 4] {
        let another = Fixture::new();
        another.open().connection.pragma_update(None, "user_version", version).expect("set");
        for error in [
            OpenJournal::open(&another.path()).map(drop).expect_err("another"),
            JournalReader::open(&another.path()).map(drop).expect_err("another"),
        ] {
            let expected = format!("has version {version}, and this rowhook knows version 3");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}
