//! The open journal: batches of entries become rows, each batch in one transaction.
//!
//! In: entries in the order in which they were resolved. Out: rows with ascending numbers. Keeps one row for each delivery: one that
//! comes again (after a crash, or by a replay) gets a new row in place of its old one, which keeps the earlier attempts and
//! counts the times. Owns the connection.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Statement, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::Error;
use super::names::{EntryNames, JournaledRule, Names};
use super::queue::Missed;
use super::record::{JournalEntry, op_code};
use super::schema::{self, PART_ENTRIES};
use crate::change::DeliveryId;
use crate::clock::now_us;

/// Of a delivery that comes again and again, so many attempts are kept: the newest.
const ATTEMPTS_KEPT: u64 = 64;

#[derive(Debug)]
pub(super) struct OpenJournal {
    pub connection: Connection,
    pub path: PathBuf,
    names: Names,
    next_number: i64,
    run: i64,
}

/// The row of a delivery that comes again.
struct FormerRow {
    number: i64,
    attempts: u64,
    times: i64,
}

impl OpenJournal {
    /// Opens the file and notes that a run begins.
    pub fn open(path: &Path) -> Result<OpenJournal, Error> {
        let mut connection = schema::open(path)?;
        let failed = Error::of(path);
        let run = begin_run(&mut connection).map_err(&failed)?;
        let newest: Option<i64> =
            connection.query_row("SELECT max(number) FROM delivery", [], |row| row.get(0)).map_err(&failed)?;
        let part: Option<i64> =
            connection.query_row("SELECT max(number) FROM part", [], |row| row.get(0)).map_err(&failed)?;
        let names = Names::read(&connection).map_err(&failed)?;
        let next_number = match (newest, part) {
            (Some(newest), _) => newest + 1,
            // All entries are too old to be kept; their numbers are not given again.
            (None, Some(part)) => (part + 1) * PART_ENTRIES,
            (None, None) => 1,
        };
        Ok(OpenJournal { connection, path: path.to_path_buf(), names, next_number, run })
    }

    /// Writes the entries in one transaction, with the gap before them if there is one.
    pub fn write(&mut self, entries: &[JournalEntry], missed: Missed, why: &str) -> Result<(), Error> {
        let failed = Error::of(&self.path);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        if missed.deliveries > 0 {
            note_gap(&transaction, missed.since_us, Some(missed.deliveries), why).map_err(&failed)?;
        }
        let mut rows = Rows::new(&transaction, &mut self.names).map_err(&failed)?;
        for entry in entries {
            rows.put(self.next_number, entry).map_err(&failed)?;
            self.next_number += 1;
        }
        rows.end().map_err(&failed)?;
        self.names.write_moved(&transaction).map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }

    /// Notes that the run ended in order.
    pub fn end(self) -> Result<(), Error> {
        let failed = Error::of(&self.path);
        let ended = "UPDATE run SET ended_us = ?2 WHERE number = ?1";
        self.connection.execute(ended, params![self.run, now_us()]).map_err(&failed)?;
        self.connection.close().map_err(|(_, error)| failed(error))
    }
}

/// The times of the entries of one part.
struct Part {
    number: i64,
    from_us: u64,
    until_us: u64,
}

/// The statements of one batch.
struct Rows<'t> {
    transaction: &'t Transaction<'t>,
    names: &'t mut Names,
    /// Of the entries that were put last.
    part: Option<Part>,
    add: Statement<'t>,
    add_attempt: Statement<'t>,
    find: Statement<'t>,
    note_part: Statement<'t>,
}

impl<'t> Rows<'t> {
    fn new(transaction: &'t Transaction<'t>, names: &'t mut Names) -> rusqlite::Result<Rows<'t>> {
        Ok(Rows {
            transaction,
            names,
            part: None,
            add: transaction.prepare(
                "INSERT INTO delivery (number, part, id, rule, watched_table, target, op, key, outcome, reason, merged_into, \
                 status, error, attempts, times, committed_us, started_us, duration_us, resolved_us) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            )?,
            add_attempt: transaction.prepare("INSERT INTO earlier_attempt VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?,
            find: transaction.prepare(FIND)?,
            note_part: transaction.prepare(
                "INSERT INTO part (number, from_us, until_us) VALUES (?1, ?2, ?3) ON CONFLICT (number) DO UPDATE SET \
                 from_us = min(from_us, excluded.from_us), until_us = max(until_us, excluded.until_us)",
            )?,
        })
    }

    fn put(&mut self, number: i64, entry: &JournalEntry) -> rusqlite::Result<()> {
        let part = number / PART_ENTRIES;
        self.belongs_to(part, entry.resolved_us)?;
        let EntryNames { rule, table, target } = self.names.of(self.transaction, entry, part)?;
        let former = if may_have_a_row(entry, &rule) { self.find(entry.id)? } else { None };
        let (attempts_before, times_before) = former.as_ref().map_or((0, 0), |former| (former.attempts, former.times));
        if let Some(former) = &former {
            self.replace(former, number)?;
        }
        let last = entry.last_attempt.as_ref();
        self.add.execute(params![
            number,
            part,
            bytes(&entry.id),
            rule.number,
            table,
            target,
            entry.op.map(op_code),
            entry.key.as_deref(),
            entry.outcome.code(),
            entry.reason,
            entry.merged_into.as_ref().map(bytes),
            last.and_then(|attempt| attempt.status),
            last.and_then(|attempt| attempt.error.as_deref()),
            attempts_before + entry.attempts_total,
            times_before + 1,
            entry.committed_us,
            last.map(|attempt| attempt.started_us),
            last.map(|attempt| attempt.duration_us),
            entry.resolved_us,
        ])?;
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
        if former.is_some() {
            self.transaction.execute(FORGET, params![number, ATTEMPTS_KEPT])?;
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
                self.part = Some(Part { number: part, from_us: resolved_us, until_us: resolved_us });
                self.note_part()?;
            }
        }
        Ok(())
    }

    fn note_part(&mut self) -> rusqlite::Result<()> {
        let Some(Part { number, from_us, until_us }) = self.part else { return Ok(()) };
        self.note_part.execute(params![number, from_us, until_us]).map(drop)
    }

    fn end(mut self) -> rusqlite::Result<()> {
        self.note_part()
    }

    fn find(&mut self, id: DeliveryId) -> rusqlite::Result<Option<FormerRow>> {
        let row = self.find.query_row([bytes(&id)], |row| {
            Ok(FormerRow { number: row.get(0)?, attempts: row.get(1)?, times: row.get(2)? })
        });
        row.optional()
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

/// Deletes the attempts of a delivery beyond the newest so many.
pub(super) const FORGET: &str = "DELETE FROM earlier_attempt WHERE delivery = ?1 AND number <= \
     (SELECT number FROM attempt WHERE delivery = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)";

/// Newest parts first: what comes again is rarely old.
pub(super) const FIND: &str = "SELECT d.number, d.attempts, d.times FROM (SELECT number FROM part ORDER BY number DESC) p \
     CROSS JOIN delivery d INDEXED BY delivery_id ON d.part = p.number AND d.id = ?1 LIMIT 1";

/// Of a rule's deliveries from the stream each comes once, in the order of commits: what was committed after all that had an
/// entry when the journal was opened has none.
fn may_have_a_row(entry: &JournalEntry, rule: &JournaledRule) -> bool {
    !entry.is_of_stream || entry.committed_us <= rule.known_until_us
}

pub(super) fn bytes(id: &DeliveryId) -> &[u8] {
    let DeliveryId(id) = id;
    Uuid::as_bytes(id)
}

/// Notes the run. The one before did not end in order, and the machine was started since: what was committed last may be lost.
fn begin_run(connection: &mut Connection) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let last: Option<(Option<u64>, Option<String>)> = transaction
        .query_row("SELECT ended_us, boot FROM run ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let boot = boot();
    if let Some((None, boot_before)) = last
        && (boot.is_none() || boot_before != boot)
    {
        let newest = "SELECT coalesce((SELECT resolved_us FROM delivery ORDER BY number DESC LIMIT 1), \
                      (SELECT started_us FROM run ORDER BY number DESC LIMIT 1))";
        let since_us = transaction.query_row(newest, [], |row| row.get(0))?;
        note_gap(&transaction, since_us, None, "the machine stopped")?;
    }
    let begun = "INSERT INTO run (started_us, version, boot) VALUES (?1, ?2, ?3)";
    transaction.execute(begun, params![now_us(), env!("CARGO_PKG_VERSION"), boot])?;
    let run = transaction.last_insert_rowid();
    transaction.commit()?;
    Ok(run)
}

fn note_gap(
    transaction: &Transaction<'_>,
    since_us: u64,
    deliveries: Option<u64>,
    why: &str,
) -> rusqlite::Result<usize> {
    let gap = "INSERT INTO gap (from_us, until_us, deliveries, reason) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(gap, params![since_us, now_us().max(since_us), deliveries, why])
}

/// Another one after each start of the machine; none where the system does not say.
fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_string())
}
