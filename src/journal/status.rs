//! How the journal is: its size, since when it has entries, how many are missing, and why it is not written.
//!
//! In: the open file. Out: a record for people. Reads little, whatever the size of the file.

use rusqlite::Connection;

use super::retention::FileSize;

/// How the journal is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalStatus {
    /// Of the file, without its write-ahead log.
    pub bytes: u64,
    /// When its oldest entry was resolved, in microseconds since the Unix epoch; none while it has no entry.
    pub since_us: Option<u64>,
    /// Deliveries that have no entry, of the time for which it keeps entries.
    pub missed: u64,
    /// Why it is not written, or can't be read.
    pub problem: Option<String>,
}

impl JournalStatus {
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<JournalStatus> {
        let oldest = "SELECT (SELECT resolved_us FROM delivery ORDER BY number LIMIT 1)";
        let missed = "SELECT coalesce(sum(deliveries), 0) FROM gap";
        Ok(JournalStatus {
            bytes: FileSize::of(connection)?.bytes,
            since_us: connection.query_row(oldest, [], |row| row.get(0))?,
            missed: connection.query_row(missed, [], |row| row.get(0))?,
            problem: None,
        })
    }
}
