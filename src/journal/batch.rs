//! The open journal: batches of entries become rows, each batch in one transaction.
//!
//! In: entries in the order in which they were resolved. Out: rows with ascending numbers. Keeps one row for each delivery: one that
//! comes again (after a crash, or by a replay) gets a new row in place of its old one, which keeps the earlier attempts and
//! counts the times. Owns the connection, and knows what its rows need.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use super::Error;
use super::names::Names;
use super::queue::Missed;
use super::record::JournalEntry;
use super::rows::BatchRows;
use super::schema::{self, PART_ENTRIES};
use crate::change::DeliveryId;
use crate::clock::now_us;

/// The reason of a gap in the file that follows one.
const MOVED_AWAY: &str = "the journal's file was moved away, with its entries";

#[derive(Debug)]
pub(super) struct OpenJournal {
    pub connection: Connection,
    pub path: PathBuf,
    names: Names,
    /// Entries of the part that is not full, which no table finds by their id.
    open_part: HashMap<DeliveryId, i64>,
    next_number: i64,
    run: i64,
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
        let open_part = open_part(&connection).map_err(&failed)?;
        Ok(OpenJournal { connection, path: path.to_path_buf(), names, open_part, next_number, run })
    }

    /// Writes the entries in one transaction, with the gap before them if there is one.
    pub fn write(&mut self, entries: &[JournalEntry], missed: Missed, why: &str) -> Result<(), Error> {
        let failed = Error::of(&self.path);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        if missed.deliveries > 0 {
            note_gap(&transaction, missed.since_us, Some(missed.deliveries), why).map_err(&failed)?;
        }
        let mut rows = BatchRows::new(&transaction, &mut self.names, &mut self.open_part).map_err(&failed)?;
        for entry in entries {
            rows.put(self.next_number, entry).map_err(&failed)?;
            self.next_number += 1;
        }
        rows.end().map_err(&failed)?;
        self.names.write_moved(&transaction).map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }

    /// The file was moved away: what stands in its write-ahead log only is written to it, for the next one takes the log's name. Returns
    /// since when it has entries, where it has any.
    pub fn leave(self) -> Option<u64> {
        // Where it fails that file lacks them, and the gap says so, too.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.query_row("SELECT min(from_us) FROM part", [], |row| row.get(0)).ok().flatten()
    }

    /// Notes that the entries since this moment are elsewhere.
    pub fn note_left(&mut self, since_us: u64) -> Result<(), Error> {
        let failed = Error::of(&self.path);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        note_gap(&transaction, since_us, None, MOVED_AWAY).map_err(&failed)?;
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

fn open_part(connection: &Connection) -> rusqlite::Result<HashMap<DeliveryId, i64>> {
    let open = "SELECT id, number FROM delivery WHERE number >= (SELECT min(number) * ?1 FROM part WHERE NOT is_full)";
    let mut open = connection.prepare(open)?;
    let entry = |row: &Row<'_>| Ok((DeliveryId(Uuid::from_bytes(row.get(0)?)), row.get(1)?));
    open.query_map([PART_ENTRIES], entry)?.collect()
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
