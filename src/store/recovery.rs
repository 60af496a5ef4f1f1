//! Opening sled on files that may be damaged, without losing what could still be read.
//!
//! In: the data directory and the tally. Out: a database that contains what the tally says, or an error that says what
//! is missing. If sled's snapshot is not the known one, others are tried (`trial`). Sled zeroes what it takes for the
//! torn end of its log, so copies are made before (`original`).

use std::path::Path;

use super::database::{OpenedDatabase, contents, log_bytes, open_sled, open_trees, require, require_undamaged_log};
use super::files::{INSTANCE_FILE, LOG_FILE};
use super::kept::{self, FoundFiles};
use super::original::Original;
use super::tally::Tally;
use super::trees::Trees;
use super::trial::Trial;
use super::{Error, verify};

/// What is done with the copies of an opening that was killed, for messages.
const FINISH_EARLIER: &str = "put its log back after an opening that was cut short";

/// Dead letters that are all read at the opening: some tenths of a second.
const LETTERS_READ_MAX: u64 = 20_000;

/// A log up to this size is copied before it is opened: some tenths of a second.
const COPIED_BYTES_MAX: u64 = 64 << 20;

/// Opens the database, or makes one where there is none.
pub(super) fn open(directory: &Path, tally: Option<&Tally>) -> Result<OpenedDatabase, Error> {
    kept::remove_unfinished(directory).map_err(Error::directory(directory, "remove a half-written snapshot"))?;
    let original = Original::of(directory, tally);
    original.finish_earlier().map_err(Error::directory(directory, FINISH_EARLIER))?;
    let log_bytes = log_bytes(directory);
    match tally {
        Some(tally) if tally.writes > 0 && log_bytes == 0 => {
            let missing = format!("its log, the file `{LOG_FILE}`, is gone or empty, and {}", contents(tally));
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

/// Whether the directory contains files that an interrupted first opening never makes.
fn was_used(directory: &Path) -> bool {
    let has_snapshot = kept::paths(directory).is_ok_and(|paths| !paths.is_empty());
    has_snapshot || [kept::FOLDER, INSTANCE_FILE].iter().any(|name| directory.join(name).exists())
}

/// Opens whatever is left, also if it is less than the tally says. Files up to some size are copied before.
pub(super) fn open_what_is_left(directory: &Path, tally: &Tally) -> Result<(sled::Db, Trees), Error> {
    kept::remove_unfinished(directory).map_err(Error::directory(directory, "remove a half-written snapshot"))?;
    let earlier = Original::of(directory, Some(tally));
    earlier.finish_earlier().and_then(|()| earlier.forget()).map_err(Error::directory(directory, FINISH_EARLIER))?;
    let is_gone = log_bytes(directory) == 0;
    if log_bytes(directory) <= COPIED_BYTES_MAX {
        // Without room for a copy it is opened all the same.
        drop(earlier.make());
    }
    // Puts back what there is a copy of.
    kept::inspect(directory, Some(tally)).map_err(Error::directory(directory, "read what sled left beside its log"))?;
    if is_gone {
        kept::place(directory, None).map_err(Error::directory(directory, "remove a snapshot of no log"))?;
    }
    match open_trees(directory) {
        Err(Error::Corrupt { .. }) if !is_gone => {
            kept::place(directory, None).map_err(Error::directory(directory, "remove a snapshot that is of no use"))?;
            open_trees(directory)
        }
        opened => opened,
    }
}

/// Files up to some size are copied before, so that a refusal leaves everything as it was: sled zeroes what it can't read.
fn open_as_left(directory: &Path, tally: Option<&Tally>, original: &Original) -> Result<OpenedDatabase, Error> {
    // Without room for a copy it is opened all the same.
    let is_copied = (1..=COPIED_BYTES_MAX).contains(&log_bytes(directory)) && original.make().is_ok();
    let opened = require_undamaged_log(directory, tally).and_then(|()| open_and_check(directory, tally));
    let is_refused = matches!(opened, Err(Error::Incomplete { .. } | Error::Corrupt { .. }));
    let settled = if is_refused && is_copied { original.put_back() } else { Ok(()) };
    settled.and_then(|()| original.forget()).map_err(Error::directory(directory, "put its log back"))?;
    opened
}

fn open_and_check(directory: &Path, tally: Option<&Tally>) -> Result<OpenedDatabase, Error> {
    let incomplete = |missing| Err(Error::Incomplete { directory: directory.to_path_buf(), missing });
    let mut database = match (open_sled(directory), tally) {
        (Err(Error::Corrupt { detail: problem, .. } | Error::Read { problem, .. }), Some(tally)) => {
            return incomplete(format!("its log can't be read ({problem}), and {}", contents(tally)));
        }
        (opened, _) => opened?,
    };
    require(&database, tally)?;
    // Sled reads the log since its newest snapshot again, and leaves out what is damaged there without an error.
    if let Some(tally) = tally.filter(|tally| tally.letter_count <= LETTERS_READ_MAX) {
        let found = verify::all(&database.trees, || {});
        if found.is_incomplete {
            return incomplete(format!("{}; {}", found.in_short(), contents(tally)));
        }
        database.found = Some(found);
    }
    Ok(database)
}
