//! The journal on a real file: what was delivered is found, each delivery once, and what is missing is said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use super::batch::OpenJournal;
use super::queue::Missed;
use super::record::JournalEntry;
use super::retention::{self, FileSize};
use super::schema::PART_ENTRIES;
use super::*;
use crate::change::{Cell, Change, DeliveryId, Op, Row, Table, Transaction, Value};
use crate::delivery::{Delivery, Failure, Origin, Outcome, Ticket};
use crate::failure::{Answer, Attempt, Attempts, Reason};
use crate::rules::RuleSet;

const HOUR_US: u64 = 3_600_000_000;
const LONG: Duration = Duration::from_secs(60);

pub(super) fn delivered() -> Outcome {
    Outcome::Delivered { status: 200 }
}

pub(super) fn dead() -> Outcome {
    Outcome::Dead(Failure { reason: Reason::Exhausted, message: "answered 503".to_string() })
}

/// A delivery of row `id` of shop `berlin`, after one attempt.
pub(super) fn completed(
    settings: &str,
    id: i64,
    columns: &[&str],
    primary_key: &[usize],
    outcome: Outcome,
) -> Completed {
    let text = format!("table: shop.orders\nrules: [{{name: paid{settings}, call: {{url: https://api.test/}}}}]\n");
    let rules = RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("a rule");
    let table = Table {
        schema: "shop".into(),
        name: "orders".into(),
        columns: columns.iter().map(|name| (*name).into()).collect(),
        primary_key: primary_key.to_vec(),
    };
    let cells = [Value::Int(id), Value::Text("berlin".into())].into_iter().take(columns.len()).map(Cell::Value);
    let transaction = Transaction { offset: id as u64, committed_at_us: id as u64, ..Transaction::example() };
    let change = Arc::new(Change {
        op: Op::Update,
        table: table.into(),
        before: None,
        after: Some(Row::from_iter(cells)),
        transaction: transaction.into(),
        ordinal: 1,
    });
    let rule = Arc::clone(&rules.rules()[0]);
    let delivery_id = change.delivery_id(&rule.name);
    Completed {
        delivery: Delivery {
            id: delivery_id,
            rule,
            change,
            origin: Origin::Stream,
            predetermined: None,
            saga_action: None,
            more: None,
        },
        outcome,
        attempts: attempts(&[200]),
        merged: Vec::new(),
        acted: None,
        ticket: Ticket(0),
    }
}

/// 0: no answer came. The n-th took n ms.
fn attempts(statuses: &[u16]) -> Attempts {
    let attempt = |(n, status): (usize, &u16)| {
        let answer = match status {
            0 => Answer::Failed { error: "connection refused".to_string() },
            status => Answer::Status { status: *status, excerpt: "a body".to_string() },
        };
        Attempt { started_at_us: n as u64, duration_us: (n as u64 + 1) * 1000, answer }
    };
    Attempts::new(statuses.iter().enumerate().map(attempt).collect(), statuses.len() as u64)
}

fn order(id: i64, outcome: Outcome, statuses: &[u16]) -> Completed {
    Completed { attempts: attempts(statuses), ..completed("", id, &["id", "shop"], &[0], outcome) }
}

/// Entries as they would come of these, resolved at this time.
fn entries(of: &[Completed], resolved_us: u64) -> Vec<JournalEntry> {
    of.iter().flat_map(JournalEntry::all_of).map(|entry| JournalEntry { resolved_us, ..entry }).collect()
}

struct Fixture {
    directory: TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        journal_file(self.directory.path())
    }

    fn open(&self) -> OpenJournal {
        OpenJournal::open(&self.path()).expect("a journal")
    }

    fn reader(&self) -> JournalReader {
        JournalReader::open(&self.path()).expect("readable").expect("a journal")
    }

    fn start(&self, metrics: &Arc<Metrics>) -> Journal {
        Journal::start(self.directory.path(), &settings(), Arc::clone(metrics)).expect("a thread")
    }
}

fn settings() -> JournalSettings {
    JournalSettings { keep: Duration::from_secs(7 * 24 * 3600), bytes_max: 1 << 30 }
}

fn write(journal: &mut OpenJournal, entries: &[JournalEntry]) {
    journal.write(entries, Missed::default(), "").expect("written");
}

fn keys(reader: &JournalReader, filter: &JournalFilter) -> Vec<String> {
    let page = reader.list(filter, 100).expect("a page");
    page.rows.into_iter().map(|row| row.key.unwrap_or_default()).collect()
}

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
fn every_filter_finds_what_fits_and_the_newest_comes_first() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(1, delivered(), &[200]), order(2, dead(), &[404])], HOUR_US));
    write(&mut journal, &entries(&[order(3, dead(), &[0, 0]), order(4, delivered(), &[503, 201])], 2 * HOUR_US));
    write(&mut journal, &entries(&[order(6, Outcome::Blocked { by: 1 }, &[])], 3 * HOUR_US));
    let reader = fixture.reader();
    let all = JournalFilter::default();
    let answer = |text: &str| JournalFilter { answer: JournalAnswer::parse(text), ..JournalFilter::default() };
    let outcome = |word: &str| JournalFilter { outcome: JournalOutcome::parse(word), ..JournalFilter::default() };
    let text = |text: &str| Some(text.to_string());
    for (filter, expected) in [
        (all.clone(), &["6", "4", "3", "2", "1"][..]),
        (JournalFilter { rule: text("paid"), ..all.clone() }, &["6", "4", "3", "2", "1"]),
        (JournalFilter { rule: text("other"), ..all.clone() }, &[]),
        (JournalFilter { table: text("shop.orders"), ..all.clone() }, &["6", "4", "3", "2", "1"]),
        (JournalFilter { table: text("shop.items"), ..all.clone() }, &[]),
        (JournalFilter { key: text("4"), ..all.clone() }, &["4"]),
        (JournalFilter { key: text("5"), ..all.clone() }, &[]),
        (JournalFilter { key: text("4"), ..answer("503") }, &["4"]),
        (JournalFilter { since_us: Some(2 * HOUR_US), ..all.clone() }, &["6", "4", "3"]),
        (JournalFilter { until_us: Some(2 * HOUR_US), ..all.clone() }, &["2", "1"]),
        (JournalFilter { since_us: Some(u64::MAX), ..all.clone() }, &[]),
        (outcome("delivered"), &["4", "1"]),
        (outcome("dead"), &["3", "2"]),
        (outcome("blocked"), &["6"]),
        (outcome("coalesced"), &[]),
        (answer("404"), &["2"]),
        (answer("4xx"), &["2"]),
        (answer("5xx"), &["4"]),
        (answer("2xx"), &["4", "1"]),
        (answer("200"), &["1"]),
        (answer("network"), &["3"]),
        (JournalFilter { until_us: Some(2 * HOUR_US), ..outcome("dead") }, &["2"]),
    ] {
        assert_eq!(keys(&reader, &filter), expected, "{filter:?}");
    }
    for wrong in ["", "6xx", "99", "4x", "-1", "net"] {
        assert_eq!(JournalAnswer::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn pages_follow_each_other_without_a_row_twice_or_left_out() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let orders: Vec<Completed> = (1..=7).map(|id| order(id, delivered(), &[200])).collect();
    write(&mut journal, &entries(&orders[..4], 5));
    write(&mut journal, &entries(&orders[4..], 4));
    let reader = fixture.reader();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = reader.list(&JournalFilter { after, ..JournalFilter::default() }, 3).expect("a page");
        found.extend(page.rows.iter().map(|row| row.key.clone().expect("a key")));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["4", "3", "2", "1", "7", "6", "5"]);
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

#[test]
fn an_id_and_a_key_are_found_in_every_part() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    let first = order(1, delivered(), &[200]);
    let mut all = entries(&[first], HOUR_US);
    let filler = all[0].clone();
    all.extend((2..2 * PART_ENTRIES + 10).map(|n| JournalEntry {
        id: DeliveryId(Uuid::from_u128(n as u128)),
        key: Some(n.to_string().into()),
        committed_us: n as u64,
        ..filler.clone()
    }));
    write(&mut journal, &all);
    let reader = fixture.reader();
    for key in [1, 2, PART_ENTRIES - 1, PART_ENTRIES, 2 * PART_ENTRIES, 2 * PART_ENTRIES + 9].map(|key| key.to_string())
    {
        assert_eq!(keys(&reader, &JournalFilter { key: Some(key.clone()), ..JournalFilter::default() }), [key]);
    }
    assert!(reader.show(filler.id).expect("readable").is_some());
    assert!(reader.show(DeliveryId(Uuid::max())).expect("readable").is_none());
    let parts: i64 = reader.connection.query_row("SELECT count(*) FROM part", [], |row| row.get(0)).expect("a count");
    assert_eq!(parts, 3);
}

#[test]
fn lookups_use_their_indexes() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let reader = fixture.reader();
    let plan = |sql: &str| -> String {
        let mut plan = reader.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("SQL");
        let lines = plan.query_map([], |row| row.get::<_, String>(3)).expect("a plan");
        lines.map(|line| line.expect("a line")).collect::<Vec<_>>().join("\n")
    };
    let network = "SELECT delivery FROM attempt WHERE status IS NULL AND error IS NOT NULL AND (error IS NOT NULL OR status NOT \
                   BETWEEN 200 AND 299)";
    for (sql, index) in [
        (
            "SELECT number FROM delivery d WHERE d.rule = 1 ORDER BY d.resolved_us DESC, d.number DESC LIMIT 9",
            "delivery_rule",
        ),
        ("SELECT number FROM delivery d ORDER BY d.resolved_us DESC, d.number DESC LIMIT 9", "delivery_time"),
        (
            "SELECT number FROM delivery d WHERE d.outcome = 1 AND d.outcome <> 0 ORDER BY resolved_us DESC",
            "delivery_outcome",
        ),
        (network, "attempt_failed"),
    ] {
        let plan = plan(sql);
        assert!(plan.contains(&format!("INDEX {index}")) && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

#[test]
fn stats_count_by_rule_and_period() {
    let fixture = Fixture::new();
    let mut journal = fixture.open();
    write(&mut journal, &entries(&[order(1, delivered(), &[200]), order(2, dead(), &[503, 503])], HOUR_US + 5));
    write(&mut journal, &entries(&[order(3, delivered(), &[0, 200])], 2 * HOUR_US + 5));
    let reader = fixture.reader();
    let found = |rule, since_us, period| -> Vec<(u64, u64, u64, u64, bool)> {
        let rows = reader.stats(rule, since_us, period).expect("stats");
        rows.iter()
            .map(|row| (row.from_us / HOUR_US, row.delivered, row.retried, row.dead, row.durations.is_some()))
            .collect()
    };
    assert_eq!(found(None, 0, StatsPeriod::Hour), [(1, 1, 1, 1, true), (2, 1, 1, 0, true)]);
    assert_eq!(found(Some("paid"), 2 * HOUR_US, StatsPeriod::Hour), [(2, 1, 1, 0, true)]);
    assert_eq!(found(None, 0, StatsPeriod::Day), [(0, 2, 2, 1, true)]);
    assert!(found(Some("other"), 0, StatsPeriod::Day).is_empty() && found(None, u64::MAX, StatsPeriod::Day).is_empty());
}

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
    fs::remove_file(fixture.path()).expect("moved away");
    record(3);
    assert_eq!(metrics.journal_deliveries_missed.get(), 2);
    let reader = fixture.reader();
    assert_eq!(keys(&reader, &JournalFilter::default()), ["3"]);
    let gaps = reader.gaps(0, u64::MAX).expect("gaps");
    assert_eq!(gaps.iter().map(|gap| gap.deliveries).collect::<Vec<_>>(), [Some(2)]);

    // Moved away while it is sound.
    fs::rename(fixture.path(), fixture.path().with_extension("old")).expect("moved away");
    record(4);
    assert_eq!(keys(&fixture.reader(), &JournalFilter::default()), ["4"]);
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
fn a_journal_of_a_newer_version_is_not_touched_and_none_is_no_error() {
    let fixture = Fixture::new();
    assert!(JournalReader::open(&fixture.path()).expect("no error").is_none());
    let journal = fixture.open();
    journal.connection.pragma_update(None, "user_version", 2).expect("set");
    drop(journal);
    for error in [
        OpenJournal::open(&fixture.path()).map(drop).expect_err("newer"),
        JournalReader::open(&fixture.path()).map(drop).expect_err("newer"),
    ] {
        assert!(error.to_string().contains("has version 2, and this rowhook knows versions up to 1"), "{error}");
    }
}

#[test]
fn the_queries_of_the_documentation_run_and_the_one_by_key_uses_its_index() {
    let fixture = Fixture::new();
    write(&mut fixture.open(), &entries(&[order(10_006, dead(), &[503, 0])], 1_763_680_000_000_000));
    let reader = fixture.reader();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/journal.md");
    let page = fs::read_to_string(page).expect("the page");
    let queries: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert_eq!(queries.len(), 3);
    let rows = |sql: &str| {
        let mut statement = reader.connection.prepare(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
        let column = statement.column_count() - 1;
        let rows = statement.query_map([], |row| row.get::<_, rusqlite::types::Value>(column)).expect("rows");
        rows.collect::<rusqlite::Result<Vec<_>>>().expect("rows").len()
    };
    assert_eq!(queries.iter().map(|sql| rows(sql)).collect::<Vec<_>>(), [1, 0, 2]);
    let plan = format!("EXPLAIN QUERY PLAN {}", queries[0]);
    let mut plan = reader.connection.prepare(&plan).expect("SQL");
    let plan = plan.query_map([], |row| row.get::<_, String>(3)).expect("a plan");
    assert!(plan.map(|line| line.expect("a line")).any(|line| line.contains("delivery_key (part=? AND key=?)")));
}

#[test]
fn the_view_says_in_words_what_the_tables_say_in_numbers() {
    let fixture = Fixture::new();
    write(&mut fixture.open(), &entries(&[order(1, dead(), &[503])], 1_763_680_000_123_456));
    let reader = fixture.reader();
    let columns = "id, resolved_at, rule, watched_table, target, op, key, outcome, reason, status";
    let row: Vec<String> = reader
        .connection
        .query_row(&format!("SELECT {columns} FROM deliveries"), [], |row| {
            (0..9).map(|n| row.get(n)).collect::<rusqlite::Result<_>>()
        })
        .expect("a row");
    let id = reader.list(&JournalFilter::default(), 1).expect("a page").rows[0].id.to_string();
    let words =
        ["2025-11-20T23:06:40.123Z", "paid", "shop.orders", "https://api.test", "update", "1", "dead", "exhausted"];
    assert_eq!(row[0], id);
    assert_eq!(row[1..], words);
}
