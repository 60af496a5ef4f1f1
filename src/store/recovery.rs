//! Opening sled on files that may be damaged, without losing what could still be read.
//!
//! In: the data directory and the tally. Out: a database that holds what the tally says, or an error that says what it lacks. Where
//! sled's snapshot is not the one that was there, others are tried (`trial`). Sled zeroes what it takes for the torn end of its log, so
//! that copies are made before (`original`).

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use super::kept::{self, FoundFiles};
use super::open::INSTANCE_FILE;
use super::original::Original;
use super::tally::Tally;
use super::transaction::Counters;
use super::trees::Trees;
use super::trial::Trial;
use super::{Error, log_check, verify};

/// sled's log, and the file whose presence says that there is a database.
pub(super) const LOG_FILE: &str = "db";

/// What is done with the copies of an opening that was killed, for messages.
const FINISH_EARLIER: &str = "put its log back after an opening that was cut short";

/// sled's page cache. Its default, 1 GiB, holds a million dead letters in memory for nothing.
const CACHE_BYTES: u64 = 16 << 20;

/// Dead letters that are all read at the opening: some tenths of a second.
const LETTERS_READ_MAX: u64 = 20_000;

/// A log up to this size is copied before it is opened: some tenths of a second.
const COPIED_BYTES_MAX: u64 = 64 << 20;

/// sled's threads may hold its lock for a moment after their database was closed in this process.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(2);
const SLED_LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A database that holds what the tally says.
#[derive(Debug)]
pub(super) struct OpenedDatabase {
    pub db: sled::Db,
    pub trees: Trees,
    pub counters: Counters,
}

/// Opens the database, or makes one where there is none.
pub(super) fn open(directory: &Path, tally: Option<&Tally>) -> Result<OpenedDatabase, Error> {
    kept::remove_unfinished(directory).map_err(Error::directory(directory, "remove a half-written snapshot"))?;
    let original = Original::of(directory, tally);
    original.finish_earlier().map_err(Error::directory(directory, FINISH_EARLIER))?;
    let log_bytes = log_bytes(directory);
    match tally {
        Some(tally) if tally.writes > 0 && log_bytes == 0 => {
            let missing = format!("its log, the file `{LOG_FILE}`, is gone or empty, and {}", held(tally));
            return Err(Error::Incomplete { directory: directory.to_path_buf(), missing });
        }
        None if log_bytes == 0 && was_used(directory) => {
            let problem = format!("it was used, and the store's log, the file `{LOG_FILE}`, is gone or empty");
            return Err(Error::Foreign { directory: directory.to_path_buf(), problem });
        }
        _ => {}
    }
    let beside = Error::directory(directory, "read what sled left beside its log");
    match kept::inspect(directory, tally).map_err(beside)? {
        FoundFiles::AsLeft => open_as_left(directory, tally, &original),
        FoundFiles::Other { tries, problem } => Trial::begin(directory, tally, &problem, original)?.run(tries),
    }
}

/// None that is there counts as empty.
pub(super) fn log_bytes(directory: &Path) -> u64 {
    fs::metadata(directory.join(LOG_FILE)).map_or(0, |log| log.len())
}

/// Whether there is what no directory has whose first opening was cut short.
fn was_used(directory: &Path) -> bool {
    let has_snapshot = kept::paths(directory).is_ok_and(|paths| !paths.is_empty());
    has_snapshot || [kept::FOLDER, INSTANCE_FILE].iter().any(|name| directory.join(name).exists())
}

/// Opens whatever is left, also if it is less than the tally says.
pub(super) fn open_what_is_left(directory: &Path, tally: &Tally) -> Result<OpenedDatabase, Error> {
    kept::remove_unfinished(directory).map_err(Error::directory(directory, "remove a half-written snapshot"))?;
    let earlier = Original::of(directory, Some(tally));
    earlier.finish_earlier().and_then(|()| earlier.forget()).map_err(Error::directory(directory, FINISH_EARLIER))?;
    // Puts back what there is a copy of.
    kept::inspect(directory, Some(tally)).map_err(Error::directory(directory, "read what sled left beside its log"))?;
    let is_gone = log_bytes(directory) == 0;
    if is_gone {
        kept::place(directory, None).map_err(Error::directory(directory, "remove a snapshot of no log"))?;
    }
    match open_sled(directory) {
        Err(Error::Corrupt { .. }) if !is_gone => {
            kept::place(directory, None).map_err(Error::directory(directory, "remove a snapshot that is of no use"))?;
            open_sled(directory)
        }
        opened => opened,
    }
}

/// Files up to some size are copied before, so that a refusal leaves everything as it was: sled zeroes what it can't read.
fn open_as_left(directory: &Path, tally: Option<&Tally>, original: &Original) -> Result<OpenedDatabase, Error> {
    // Without room for a copy it is opened all the same.
    let is_copied = (1..=COPIED_BYTES_MAX).contains(&log_bytes(directory)) && original.make().is_ok();
    let opened = require_undamaged_log(directory, tally).and_then(|()| open_and_look(directory, tally));
    let is_refused = matches!(opened, Err(Error::Incomplete { .. } | Error::Corrupt { .. }));
    let settled = if is_refused && is_copied { original.put_back() } else { Ok(()) };
    settled.and_then(|()| original.forget()).map_err(Error::directory(directory, "put its log back"))?;
    opened
}

/// Refuses a log that is damaged in what sled would read anew: it leaves out, without a word, what was acknowledged.
pub(super) fn require_undamaged_log(directory: &Path, tally: Option<&Tally>) -> Result<(), Error> {
    if log_bytes(directory) == 0 {
        return Ok(());
    }
    let looked = kept::reaches(directory).and_then(|from| log_check::first_damage(&directory.join(LOG_FILE), from));
    let Some(at) = looked.map_err(Error::directory(directory, "read the store's log"))? else { return Ok(()) };
    let problem = format!("its log, the file `{LOG_FILE}`, is damaged at byte {at}");
    let directory = directory.to_path_buf();
    Err(match tally {
        Some(tally) => {
            Error::Incomplete { directory, missing: format!("{problem}, in what was written last; {}", held(tally)) }
        }
        None => Error::Corrupt { directory, detail: problem },
    })
}

fn open_and_look(directory: &Path, tally: Option<&Tally>) -> Result<OpenedDatabase, Error> {
    let database = match (open_sled(directory), tally) {
        (Err(Error::Corrupt { detail, .. }), Some(tally)) => {
            let missing = format!("its log can't be read ({detail}), and {}", held(tally));
            return Err(Error::Incomplete { directory: directory.to_path_buf(), missing });
        }
        (opened, _) => opened?,
    };
    require(&database, tally)?;
    // Of the log that it reads anew, which is all since its newest snapshot, sled leaves out what is damaged without a word.
    if tally.is_some_and(|tally| tally.letter_count <= LETTERS_READ_MAX)
        && let Some(missing) = verify::all(&database.trees, || {}).contradiction
    {
        return Err(Error::Incomplete { directory: directory.to_path_buf(), missing });
    }
    Ok(database)
}

/// Refuses a store that lacks what was acknowledged.
pub(super) fn require(database: &OpenedDatabase, tally: Option<&Tally>) -> Result<(), Error> {
    let OpenedDatabase { db: _, trees, counters } = database;
    let Some(tally) = tally else { return Ok(()) };
    let incomplete = |missing| Err(Error::Incomplete { directory: trees.directory.clone(), missing });
    match trees.store_id()? {
        Some(id) if id.to_string() == tally.store => {}
        // The tally was made, and the process killed before the store had its id.
        None if tally.writes == 0 && counters.write_count == 0 => {}
        _ => {
            return incomplete(format!(
                "its log is that of another store, or has lost everything, and {}",
                held(tally)
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
        return incomplete(format!("{missing} of {} writes are missing{letters}; {}", tally.writes, held(tally)));
    }
    Ok(())
}

fn held(tally: &Tally) -> String {
    let place = tally.place.as_ref().map_or(String::new(), |place| format!("; reading had got to {place}"));
    let Tally { writes, letter_count, .. } = tally;
    format!("it held {writes} writes and {letter_count} dead letters{place}")
}

/// Opens sled. It asserts a good deal of what it reads: what fails an assertion is damaged.
pub(super) fn open_sled(directory: &Path) -> Result<OpenedDatabase, Error> {
    let opened = panic::catch_unwind(AssertUnwindSafe(|| {
        let db = open_when_free(directory)?;
        let trees = Trees::open(&db, directory).map_err(|source| of_sled(directory, source))?;
        let counters = Counters::load(&trees)?;
        Ok(OpenedDatabase { db, trees, counters })
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
        sled::Error::Corruption { .. } => {
            Error::Corrupt { directory, detail: "sled finds that it is damaged".to_string() }
        }
        sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            Error::Corrupt { directory, detail: source.to_string() }
        }
        other => Error::Open { directory, source: other },
    }
}

/// sled 0.34 has no kind of its own for this.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock"))
}
