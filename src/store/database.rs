//! sled's database as it is opened, and what it must contain.
//!
//! In: a directory with checked files, and the tally. Out: a database with its trees and counters, or an error that
//! says what is damaged or missing. sled asserts much of what it reads: a panic in sled counts as damage. Repairs
//! nothing.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::plain;
use super::files::LOG_FILE;
use super::tally::Tally;
use super::transaction::Counters;
use super::trees::Trees;
use super::{Error, Verified, kept, log_check};

/// sled's page cache, which takes three times as much memory as this says. With its default, 1 GiB, a million dead letters would be in
/// memory without need; a larger one makes no question about them faster.
const CACHE_BYTES: u64 = 4 << 20;

/// sled's threads may keep its lock for a moment after their database was closed in this process.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(2);
const SLED_LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A database that contains what the tally says.
#[derive(Debug)]
pub(super) struct OpenedDatabase {
    pub db: sled::Db,
    pub trees: Trees,
    pub counters: Counters,
    /// What reading everything found, if everything was read.
    pub found: Option<Verified>,
}

/// A log that is not there counts as empty.
pub(super) fn log_bytes(directory: &Path) -> u64 {
    fs::metadata(directory.join(LOG_FILE)).map_or(0, |log| log.len())
}

/// Refuses a log that is damaged in what sled would read again: sled leaves out acknowledged writes without an error.
pub(super) fn require_undamaged_log(directory: &Path, tally: Option<&Tally>) -> Result<(), Error> {
    if log_bytes(directory) == 0 {
        return Ok(());
    }
    let damage = kept::reaches(directory).and_then(|from| log_check::first_damage(&directory.join(LOG_FILE), from));
    let Some(at) = damage.map_err(Error::directory(directory, "read the store's log"))? else { return Ok(()) };
    let problem = format!("its log, the file `{LOG_FILE}`, is damaged at byte {at}");
    let directory = directory.to_path_buf();
    Err(match tally {
        Some(tally) => Error::Incomplete {
            directory,
            missing: format!("{problem}, in what was written last; {}", contents(tally)),
        },
        None => Error::Corrupt { directory, detail: problem },
    })
}

/// Refuses a store that lacks what was acknowledged.
pub(super) fn require(database: &OpenedDatabase, tally: Option<&Tally>) -> Result<(), Error> {
    let OpenedDatabase { trees, counters, .. } = database;
    let Some(tally) = tally else { return Ok(()) };
    let incomplete = |missing| Err(Error::Incomplete { directory: trees.directory.clone(), missing });
    match trees.store_id()? {
        Some(id) if id.to_string() == tally.store => {}
        // The tally was made, and the process killed before the store had its id.
        None if tally.writes == 0 && counters.write_count == 0 => {}
        _ => {
            return incomplete(format!(
                "its log is that of another store, or has lost everything, and {}",
                contents(tally)
            ));
        }
    }
    if counters.write_count < tally.writes {
        let letters = tally.next_number.saturating_sub(counters.next_number);
        let missing = tally.writes - counters.write_count;
        let letters = match letters {
            0 => String::new(),
            count => format!(", among them {count} new dead letters, from number {} on", counters.next_number),
        };
        return incomplete(format!("{missing} of {} writes are missing{letters}; {}", tally.writes, contents(tally)));
    }
    Ok(())
}

pub(super) fn contents(tally: &Tally) -> String {
    let place = tally.place.as_ref().map_or(String::new(), |place| format!("; reading had got to {place}"));
    let Tally { writes, letter_count, .. } = tally;
    format!("it contained {writes} writes and {letter_count} dead letters{place}")
}

/// Opens sled, with its counters.
pub(super) fn open_sled(directory: &Path) -> Result<OpenedDatabase, Error> {
    let (db, trees) = open_trees(directory)?;
    let counters = Counters::load(&trees)?;
    Ok(OpenedDatabase { db, trees, counters, found: None })
}

/// Opens sled. It asserts a good deal of what it reads: what fails an assertion is damaged.
pub(super) fn open_trees(directory: &Path) -> Result<(sled::Db, Trees), Error> {
    let opened = panic::catch_unwind(AssertUnwindSafe(|| {
        let db = open_when_free(directory)?;
        let trees = Trees::open(&db, directory).map_err(|source| of_sled(directory, source))?;
        Ok((db, trees))
    }));
    opened.unwrap_or_else(|_| {
        let detail = "sled panicked while it was opened".to_string();
        Err(Error::Corrupt { directory: directory.to_path_buf(), detail })
    })
}

fn open_when_free(directory: &Path) -> Result<sled::Db, Error> {
    let deadline = Instant::now() + SLED_LOCK_WAIT;
    loop {
        match sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).open() {
            Ok(db) => return Ok(db),
            Err(error) if !is_locked(&error) => return Err(of_sled(directory, error)),
            Err(_) if Instant::now() < deadline => std::thread::sleep(SLED_LOCK_PAUSE),
            Err(_) => return Err(Error::InUse { directory: directory.to_path_buf(), pid: None }),
        }
    }
}

fn of_sled(directory: &Path, source: sled::Error) -> Error {
    let directory = directory.to_path_buf();
    match source {
        sled::Error::Corruption { .. } | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            Error::Corrupt { directory, detail: plain(&source) }
        }
        sled::Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Error::directory(&directory, "open the store in it")(error)
        }
        other => Error::Open { directory, source: other },
    }
}

/// sled 0.34 has no kind of its own for this.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock"))
}
