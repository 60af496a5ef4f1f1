//! The journal on a real file: what was delivered is found, each delivery once, and what is missing is said.

mod entries;
mod failures;
mod old_entries;
mod questions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::batch::OpenJournal;
use super::queue::Missed;
use super::record::JournalEntry;
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
    Completed {
        delivery: Delivery::of(&rules.rules()[0], &change),
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
