//! The rows of one batch, within its transaction.
//!
//! In: entries with their numbers. Out: their rows; of a delivery that comes again, its new row in place of the old one. Several rows go
//! in one statement. Where a part is full, its ids and keys are sorted into their tables.

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, Row, Statement, ToSql, Transaction, params};
use uuid::Uuid;

use super::names::{EntryNames, JournaledRule, Names};
use super::record::{JournalEntry, op_code};
use super::schema::PART_ENTRIES;
use crate::change::DeliveryId;

/// Rows in one statement: more of them need no less time.
const ROWS_AT_ONCE: usize = 16;

const COLUMNS: [&str; 18] = [
    "number",
    "id",
    "rule",
    "watched_table",
    "target",
    "op",
    "key",
    "outcome",
    "reason",
    "merged_into",
    "status",
    "error",
    "attempts",
    "times",
    "committed_us",
    "started_us",
    "duration_us",
    "resolved_us",
];

/// Of a delivery that comes again and again, so many attempts are kept: the newest.
const ATTEMPTS_KEPT: u64 = 64;

/// The row of a delivery that comes again.
struct FormerRow {
    number: i64,
    attempts: u64,
    times: i64,
}

/// A row that is not written yet.
struct NewRow<'e> {
    number: i64,
    names: EntryNames,
    entry: &'e JournalEntry,
    attempts: u64,
    times: i64,
}

/// The times of the entries of one part.
struct Part {
    number: i64,
    from_us: u64,
    until_us: u64,
}

/// The statements of one batch.
pub(super) struct BatchRows<'t, 'e> {
    transaction: &'t Transaction<'t>,
    names: &'t mut Names,
    open_part: &'t mut HashMap<DeliveryId, i64>,
    /// Of the entries that were put last.
    part: Option<Part>,
    waiting: Vec<NewRow<'e>>,
    add: Statement<'t>,
    add_many: Statement<'t>,
    add_attempt: Statement<'t>,
    find: Statement<'t>,
    find_in_open_part: Statement<'t>,
    note_part: Statement<'t>,
}

impl<'t, 'e> BatchRows<'t, 'e> {
    pub fn new(
        transaction: &'t Transaction<'t>,
        names: &'t mut Names,
        open_part: &'t mut HashMap<DeliveryId, i64>,
    ) -> rusqlite::Result<BatchRows<'t, 'e>> {
        Ok(BatchRows {
            transaction,
            names,
            open_part,
            part: None,
            waiting: Vec::with_capacity(ROWS_AT_ONCE),
            add: transaction.prepare(&insert(1))?,
            add_many: transaction.prepare(&insert(ROWS_AT_ONCE))?,
            add_attempt: transaction.prepare("INSERT INTO earlier_attempt VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?,
            find: transaction.prepare(FIND)?,
            find_in_open_part: transaction.prepare("SELECT number, attempts, times FROM delivery WHERE number = ?1")?,
            note_part: transaction.prepare(
                "INSERT INTO part (number, from_us, until_us) VALUES (?1, ?2, ?3) ON CONFLICT (number) DO UPDATE SET \
                 from_us = min(from_us, excluded.from_us), until_us = max(until_us, excluded.until_us)",
            )?,
        })
    }

    pub fn put(&mut self, number: i64, entry: &'e JournalEntry) -> rusqlite::Result<()> {
        let part = number / PART_ENTRIES;
        self.belongs_to(part, entry.resolved_us)?;
        let names = self.names.of(self.transaction, entry, part)?;
        let former = if may_have_a_row(entry, &names.rule) { self.find(entry.id)? } else { None };
        let (attempts_before, times_before) = former.as_ref().map_or((0, 0), |former| (former.attempts, former.times));
        if let Some(former) = &former {
            self.replace(former, number)?;
        }
        let (attempts, times) = (attempts_before + entry.attempts_total, times_before + 1);
        self.waiting.push(NewRow { number, names, entry, attempts, times });
        for attempt in &entry.earlier_attempts {
            self.add_attempt.execute(params![
                number,
                attempts_before + attempt.number,
                attempt.started_us,
                attempt.duration_us,
                attempt.status,
                attempt.error.as_deref(),
            ])?;
        }
        self.open_part.insert(entry.id, number);
        if former.is_some() {
            self.write_waiting()?;
            self.transaction.execute(FORGET, params![number, ATTEMPTS_KEPT])?;
        }
        if self.waiting.len() == ROWS_AT_ONCE { self.write_waiting() } else { Ok(()) }
    }

    fn write_waiting(&mut self) -> rusqlite::Result<()> {
        if self.waiting.len() == ROWS_AT_ONCE {
            for (row, new) in self.waiting.drain(..).enumerate() {
                new.bind(&mut self.add_many, row)?;
            }
            return self.add_many.raw_execute().map(drop);
        }
        for new in self.waiting.drain(..) {
            new.bind(&mut self.add, 0)?;
            self.add.raw_execute()?;
        }
        Ok(())
    }

    /// A part is there before its first entry, so that this entry is found, and knows the times of all of its entries at the end.
    fn belongs_to(&mut self, part: i64, resolved_us: u64) -> rusqlite::Result<()> {
        match &mut self.part {
            Some(Part { number, from_us, until_us }) if *number == part => {
                *from_us = resolved_us.min(*from_us);
                *until_us = resolved_us.max(*until_us);
            }
            _ => {
                self.note_part()?;
                self.fill_parts_before(part)?;
                self.part = Some(Part { number: part, from_us: resolved_us, until_us: resolved_us });
                self.note_part()?;
            }
        }
        Ok(())
    }

    /// Nothing is added to them any more: from now on their ids and keys are found by tables.
    fn fill_parts_before(&mut self, part: i64) -> rusqlite::Result<()> {
        self.write_waiting()?;
        let mut open = self.transaction.prepare("SELECT number FROM part WHERE number < ?1 AND NOT is_full")?;
        let open: Vec<i64> = open.query_map([part], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for number in open {
            let entries = [number, number * PART_ENTRIES, (number + 1) * PART_ENTRIES];
            for fill in FILL {
                self.transaction.execute(fill, entries)?;
            }
            self.transaction.execute("UPDATE part SET is_full = 1 WHERE number = ?1", [number])?;
            let (first, end) = (entries[1], entries[2]);
            self.open_part.retain(|_, number| !(first..end).contains(number));
        }
        Ok(())
    }

    fn note_part(&mut self) -> rusqlite::Result<()> {
        let Some(Part { number, from_us, until_us }) = self.part else { return Ok(()) };
        self.note_part.execute(params![number, from_us, until_us]).map(drop)
    }

    pub fn end(mut self) -> rusqlite::Result<()> {
        self.write_waiting()?;
        self.note_part()
    }

    fn find(&mut self, id: DeliveryId) -> rusqlite::Result<Option<FormerRow>> {
        self.write_waiting()?;
        let former = |row: &Row<'_>| Ok(FormerRow { number: row.get(0)?, attempts: row.get(1)?, times: row.get(2)? });
        match self.open_part.get(&id) {
            Some(number) => self.find_in_open_part.query_row([number], former).optional(),
            None => self.find.query_row([bytes(&id)], former).optional(),
        }
    }

    fn replace(&mut self, former: &FormerRow, number: i64) -> rusqlite::Result<()> {
        let numbers = [former.number, number];
        self.transaction.execute("UPDATE earlier_attempt SET delivery = ?2 WHERE delivery = ?1", numbers)?;
        let last = "INSERT INTO earlier_attempt SELECT ?2, attempts, started_us, duration_us, status, error FROM delivery \
                    WHERE number = ?1 AND started_us IS NOT NULL";
        self.transaction.execute(last, numbers)?;
        self.transaction.execute("DELETE FROM delivery WHERE number = ?1", [former.number])?;
        Ok(())
    }
}

impl NewRow<'_> {
    /// Its values, in the order of the columns, for the so-many-th row of a statement.
    fn bind(&self, statement: &mut Statement<'_>, row: usize) -> rusqlite::Result<()> {
        let NewRow { number, names, entry, attempts, times } = self;
        let last = entry.last_attempt.as_ref();
        let values: [&dyn ToSql; COLUMNS.len()] = [
            number,
            &bytes(&entry.id),
            &names.rule.number,
            &names.table,
            &names.target,
            &entry.op.map(op_code),
            &entry.key.as_deref(),
            &entry.outcome.code(),
            &entry.reason,
            &entry.merged_into.as_ref().map(bytes),
            &last.and_then(|attempt| attempt.status),
            &last.and_then(|attempt| attempt.error.as_deref()),
            attempts,
            times,
            &entry.committed_us,
            &last.map(|attempt| attempt.started_us),
            &last.map(|attempt| attempt.duration_us),
            &entry.resolved_us,
        ];
        let first = row * values.len() + 1;
        values.iter().zip(first..).try_for_each(|(value, index)| statement.raw_bind_parameter(index, value))
    }
}

/// The statement that adds so many rows.
fn insert(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS.len()].join(", "));
    format!("INSERT INTO delivery ({}) VALUES {}", COLUMNS.join(", "), vec![row.as_str(); rows].join(", "))
}

/// Deletes the attempts of a delivery beyond the newest so many.
pub(super) const FORGET: &str = "DELETE FROM earlier_attempt WHERE delivery = ?1 AND number <= \
     (SELECT number FROM attempt WHERE delivery = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)";

/// Newest parts first: what comes again is rarely old. An entry that was replaced is found no more.
pub(super) const FIND: &str = "SELECT d.number, d.attempts, d.times FROM (SELECT number FROM part ORDER BY number DESC) p \
     CROSS JOIN part_id i ON i.part = p.number AND i.id = ?1 CROSS JOIN delivery d ON d.number = i.delivery LIMIT 1";

/// The ids and keys of a part, each in their order.
const FILL: [&str; 2] = [
    "INSERT INTO part_id SELECT ?1, id, number FROM delivery WHERE number >= ?2 AND number < ?3 ORDER BY id, number",
    "INSERT INTO part_key SELECT ?1, key, number FROM delivery WHERE number >= ?2 AND number < ?3 AND key IS NOT NULL \
     ORDER BY key, number",
];

/// Of a rule's deliveries from the stream each comes once, in the order of commits: what was committed after all that had an
/// entry when the journal was opened has none.
fn may_have_a_row(entry: &JournalEntry, rule: &JournaledRule) -> bool {
    !entry.is_of_stream || entry.committed_us <= rule.known_until_us
}

pub(super) fn bytes(id: &DeliveryId) -> &[u8] {
    let DeliveryId(id) = id;
    Uuid::as_bytes(id)
}
