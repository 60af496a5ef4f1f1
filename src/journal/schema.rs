//! The journal's file: its tables, their version, and how it is opened.
//!
//! In: a path. Out: a connection that may write, or one that may only read. docs/journal.md describes the tables for people with
//! other tools: a change here is a change there. Ids and keys have no order in time: they are sorted part by part, each part when it is
//! full, in a third of the time that an index takes which every entry goes into. A search asks each part once, and reads the one that
//! is not full. Numbers ascend with time, but for steps of the clock: in place of indexes on times and rules, each part knows its times and
//! its rules. The last attempt is in the row of its delivery, as most have no other.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Error;

/// The version of the tables, in `PRAGMA user_version`.
const VERSION: i64 = 3;

/// Entries of one part. More: more of them are read where a part is not full. Fewer: a search asks more parts.
pub(super) const PART_ENTRIES: i64 = 1 << 13;

/// How long another process may keep the file locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that the connection which writes keeps in memory, in KiB: a part's fit.
const CACHE_KIB: i64 = 16 << 10;

/// Pages that the write-ahead log has when they are written to the file: those that change again until then are written once.
const WAL_PAGES: i64 = 4000;

/// Bytes of the write-ahead log that stay on the disk when it is empty.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// The file in the data directory.
pub fn journal_file(data: &Path) -> PathBuf {
    data.join("journal.sqlite")
}

/// The condition of the indexes of attempts that did not get a 2xx: queries repeat it word for word, or it is not used.
pub(super) const FAILED: &str = "(error IS NOT NULL OR status NOT BETWEEN 200 AND 299)";

const TABLES: &str = "
CREATE TABLE rule (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, committed_max_us INTEGER NOT NULL DEFAULT 0);
CREATE TABLE watched_table (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE target (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE part (number INTEGER PRIMARY KEY, from_us INTEGER NOT NULL, until_us INTEGER NOT NULL,
    is_full INTEGER NOT NULL DEFAULT 0);
CREATE TABLE part_rule (rule INTEGER NOT NULL, part INTEGER NOT NULL, PRIMARY KEY (rule, part)) WITHOUT ROWID;
CREATE TABLE part_id (part INTEGER NOT NULL, id BLOB NOT NULL, delivery INTEGER NOT NULL, PRIMARY KEY (part, id, delivery))
    WITHOUT ROWID;
CREATE TABLE part_key (part INTEGER NOT NULL, key TEXT NOT NULL, delivery INTEGER NOT NULL, PRIMARY KEY (part, key, delivery))
    WITHOUT ROWID;
CREATE TABLE delivery (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    rule INTEGER NOT NULL,
    watched_table INTEGER NOT NULL,
    target INTEGER NOT NULL,
    op INTEGER,
    key TEXT,
    outcome INTEGER NOT NULL,
    reason TEXT,
    merged_into BLOB,
    status INTEGER,
    error TEXT,
    attempts INTEGER NOT NULL,
    times INTEGER NOT NULL,
    committed_us INTEGER NOT NULL,
    started_us INTEGER,
    duration_us INTEGER,
    resolved_us INTEGER NOT NULL
);
CREATE INDEX delivery_outcome ON delivery (outcome) WHERE outcome <> 0;
CREATE TABLE earlier_attempt (
    delivery INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    PRIMARY KEY (delivery, number)
) WITHOUT ROWID;
CREATE TABLE run (
    number INTEGER PRIMARY KEY,
    started_us INTEGER NOT NULL,
    ended_us INTEGER,
    version TEXT NOT NULL,
    boot TEXT
);
CREATE TABLE gap (
    number INTEGER PRIMARY KEY,
    from_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL,
    deliveries INTEGER,
    reason TEXT NOT NULL
);
CREATE VIEW delivery_id AS
    SELECT i.id, i.delivery FROM part p CROSS JOIN part_id i ON i.part = p.number
    UNION ALL SELECT id, number FROM delivery WHERE number >= (SELECT min(number) * 8192 FROM part WHERE NOT is_full);
CREATE VIEW delivery_key AS
    SELECT k.key, k.delivery FROM part p CROSS JOIN part_key k ON k.part = p.number
    UNION ALL SELECT key, number FROM delivery WHERE number >= (SELECT min(number) * 8192 FROM part WHERE NOT is_full);
CREATE VIEW attempt AS
    SELECT delivery, number, started_us, duration_us, status, error FROM earlier_attempt
    UNION ALL SELECT number, attempts, started_us, duration_us, status, error FROM delivery WHERE started_us IS NOT NULL;
CREATE VIEW deliveries AS SELECT
    d.number,
    lower(substr(hex(d.id), 1, 8) || '-' || substr(hex(d.id), 9, 4) || '-' || substr(hex(d.id), 13, 4) || '-'
        || substr(hex(d.id), 17, 4) || '-' || substr(hex(d.id), 21)) AS id,
    strftime('%Y-%m-%dT%H:%M:%fZ', d.resolved_us / 1e6, 'unixepoch') AS resolved_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', d.committed_us / 1e6, 'unixepoch') AS committed_at,
    r.name AS rule,
    w.name AS watched_table,
    t.name AS target,
    CASE d.op WHEN 0 THEN 'insert' WHEN 1 THEN 'update' WHEN 2 THEN 'delete' WHEN 3 THEN 'read' WHEN 4 THEN 'truncate' END AS op,
    d.key,
    CASE d.outcome WHEN 0 THEN 'delivered' WHEN 1 THEN 'dead' WHEN 2 THEN 'blocked' WHEN 3 THEN 'coalesced' END AS outcome,
    d.reason,
    d.status,
    d.attempts,
    d.times
    FROM delivery d JOIN rule r ON r.number = d.rule JOIN watched_table w ON w.number = d.watched_table
        JOIN target t ON t.number = d.target;
";

/// Opens the journal to write to it, or makes one.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    // SQLite gives its other files the mode of this one: they hold keys.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(Error::io(path))?;
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let mut connection = connection.map_err(Error::of(path))?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let failed = Error::of(path);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    let found = version(connection, path)?;
    if found == 0 {
        // So that a file that had to shrink can shrink. Counts only before the first table.
        connection.pragma_update(None, "auto_vacuum", "incremental").map_err(&failed)?;
    }
    connection.pragma_update(None, "journal_mode", "wal").map_err(&failed)?;
    connection.pragma_update(None, "synchronous", "normal").map_err(&failed)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(&failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES).map_err(&failed)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT).map_err(&failed)?;
    if found == 0 {
        let transaction = connection.transaction().map_err(&failed)?;
        transaction.execute_batch(TABLES).map_err(&failed)?;
        let indexes = format!(
            "CREATE INDEX delivery_failed ON delivery (status) WHERE {FAILED}; \
             CREATE INDEX attempt_failed ON earlier_attempt (status, delivery) WHERE {FAILED}"
        );
        transaction.execute_batch(&indexes).map_err(&failed)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
    }
    Ok(())
}

/// Opens the journal to read it, whether a process writes to it or not. None: there is none.
pub(super) fn open_to_read(path: &Path) -> Result<Option<Connection>, Error> {
    if !path.try_exists().map_err(Error::io(path))? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(Error::of(path))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(Error::of(path))?;
    // Made, and nothing written yet.
    Ok((version(&connection, path)? > 0).then_some(connection))
}

/// The version of the tables; 0 in an empty file.
fn version(connection: &Connection, path: &Path) -> Result<i64, Error> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(Error::of(path))?;
    match found {
        0 | VERSION => Ok(found),
        _ => Err(Error::Version { path: path.to_path_buf(), found, known: VERSION }),
    }
}
