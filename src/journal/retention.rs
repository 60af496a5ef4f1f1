//! Retention: old entries go, a few at a time.
//!
//! In: how long entries are kept, and how large the file may be. Out: rows deleted from the oldest on, in transactions of their
//! own between two batches, so that no batch waits for a long deletion. A file that is still too large gives pages back to the disk.

use rusqlite::{Connection, params};

use super::schema::PART_ENTRIES;
use crate::config::JournalSettings;

/// Entries that one step deletes at least.
pub(super) const STEP_ENTRIES: i64 = 1000;

/// Pages that one step gives back to the disk.
const STEP_PAGES: i64 = 256;

/// The file's size, and what of it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileSize {
    pub bytes: u64,
    pub used_bytes: u64,
}

impl FileSize {
    pub fn of(connection: &Connection) -> rusqlite::Result<FileSize> {
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        let (page, pages, free) = (pragma("page_size")?, pragma("page_count")?, pragma("freelist_count")?);
        Ok(FileSize { bytes: page * pages, used_bytes: page * (pages - free) })
    }
}

/// Deletes the oldest entries that may go, `entries_max` at most. True: there is more to do.
pub(super) fn step(
    connection: &mut Connection,
    settings: &JournalSettings,
    now_us: u64,
    entries_max: i64,
) -> rusqlite::Result<bool> {
    let size = FileSize::of(connection)?;
    let keep_us = u64::try_from(settings.keep.as_micros()).unwrap_or(u64::MAX);
    let cutoff_us = now_us.saturating_sub(keep_us);
    let is_too_large = size.used_bytes > settings.bytes_max;
    let last = oldest_that_may_go(connection, cutoff_us, is_too_large, entries_max)?;
    if let Some(last) = last {
        delete(connection, last, cutoff_us)?;
        return Ok(true);
    }
    if size.bytes > settings.bytes_max && size.used_bytes < size.bytes {
        let mut give_back = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
        let mut rows = give_back.query([])?;
        while rows.next()?.is_some() {}
        drop(rows);
        return Ok(FileSize::of(connection)?.bytes > settings.bytes_max);
    }
    Ok(false)
}

/// The number of the last entry to delete now.
fn oldest_that_may_go(
    connection: &Connection,
    cutoff_us: u64,
    is_too_large: bool,
    entries_max: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut oldest = connection.prepare("SELECT number, resolved_us FROM delivery ORDER BY number LIMIT ?1")?;
    let mut rows = oldest.query([entries_max])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        if !is_too_large && row.get::<_, u64>(1)? >= cutoff_us {
            break;
        }
        last = Some(row.get(0)?);
    }
    Ok(last)
}

fn delete(connection: &mut Connection, last: i64, cutoff_us: u64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM earlier_attempt WHERE delivery <= ?1", [last])?;
    transaction.execute("DELETE FROM delivery WHERE number <= ?1", [last])?;
    transaction.execute("DELETE FROM part WHERE number < ?1", [last / PART_ENTRIES])?;
    for of_part in ["part_rule", "part_id", "part_key"] {
        transaction.execute(&format!("DELETE FROM {of_part} WHERE part < ?1"), [last / PART_ENTRIES])?;
    }
    transaction.execute("DELETE FROM gap WHERE until_us < ?1", params![cutoff_us])?;
    transaction.execute("DELETE FROM run WHERE ended_us < ?1", params![cutoff_us])?;
    transaction.commit()
}
