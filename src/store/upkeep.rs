//! Operations that replace a store's files while no rowhook runs on them: restore, compaction, accepting a loss.
//!
//! In: the data directory; a backup. Out: another store that replaces the old one, and a report for people. Each
//! operation has the lock from its first read to its end.

use std::path::{Path, PathBuf};

use super::backup::{self, BackupHead};
use super::database;
use super::letter_numbers::LetterNumbers;
use super::lock::Lock;
use super::open::{FORMAT, Opened, holds_nothing_else, is_there, open, write_format};
use super::original::Original;
use super::recovery;
use super::swap::Old;
use super::tally::{self, StoredTally};
use super::transaction::Counters;
use super::{Error, files, rebuild, swap, verify};
use crate::clock::now_us;

/// By how much the clocks of this machine and of MySQL may differ.
const CLOCKS_DIFFER_MAX_US: u64 = 5_000_000;

/// Up to when calls may have been made that left no trace in a store that is installed now.
fn in_doubt_until_us() -> u64 {
    now_us() + CLOCKS_DIFFER_MAX_US
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub head: BackupHead,
    /// The position of the main stream in the old store, if that is known.
    pub place_before: Option<String>,
    /// Where the old store is now; none: there was none.
    pub old_store: Option<PathBuf>,
}

/// Replaces what is there by a backup.
pub(super) fn restore(directory: &Path, file: &Path) -> Result<Restored, Error> {
    let backup = backup::open(file)?;
    if !is_there(directory) && !holds_nothing_else(directory).unwrap_or(true) {
        let problem = "it holds other files and no store".to_string();
        return Err(Error::Foreign { directory: directory.to_path_buf(), problem });
    }
    files::make_directory(directory).map_err(Error::directory(directory, "create it"))?;
    let (directory, _lock) = take(directory)?;
    let was_there = is_there(&directory);
    let place_before = match tally::read(&directory)? {
        StoredTally::Known(tally) => tally.place,
        StoredTally::Missing | StoredTally::Damaged => None,
    };
    let (head, aside) = replace(&directory, Old::SetAside("restore"), |folder| {
        let head = backup::read(file, backup, folder, FORMAT, in_doubt_until_us())?;
        write_format(folder, head.format)?;
        Ok(head)
    })?;
    Ok(Restored { head, place_before, old_store: aside.filter(|_| was_there) })
}

/// Writes a new store without removed entries. Returns the bytes of its log before and after.
pub(super) fn compact(directory: &Path) -> Result<(u64, u64), Error> {
    let Opened { db, trees, counters: _, log: _, tally_file, lock: _lock } = open(directory)?;
    let directory = trees.directory.clone();
    let before = database::log_bytes(&directory);
    replace(&directory, Old::Remove, move |folder| {
        backup::copy(&trees, FORMAT, folder)?;
        // Closed before its files are removed.
        drop((trees, db, tally_file));
        write_format(folder, FORMAT)
    })?;
    Ok((before, database::log_bytes(&directory)))
}

/// The directory's name and its lock. A swap that was begun is finished.
fn take(directory: &Path) -> Result<(PathBuf, Lock), Error> {
    let directory = directory.canonicalize().map_err(Error::directory(directory, "find it"))?;
    let lock = Lock::acquire(&directory)?;
    swap::finish(&directory).map_err(Error::directory(&directory, swap::FINISH))?;
    Ok((directory, lock))
}

/// Makes a new store in a folder of its own and replaces the old one by it. Returns where the old one is then.
fn replace<T>(
    directory: &Path,
    old: Old,
    make: impl FnOnce(&Path) -> Result<T, Error>,
) -> Result<(T, Option<PathBuf>), Error> {
    let folder = swap::prepare(directory).map_err(Error::directory(directory, "make room for a new store"))?;
    // A half-made store takes room that may be short.
    let made = make(&folder).inspect_err(|_| drop(swap::prepare(directory)))?;
    let aside = swap::begin(directory, old).and_then(|aside| swap::finish(directory).map(|()| aside));
    Ok((made, aside.map_err(Error::directory(directory, swap::FINISH))?))
}

/// What was taken for lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loss {
    /// What was damaged: the first of it.
    pub problems: Vec<String>,
    /// Writes that are missing; none: nothing is, or it is unknown.
    pub writes: u64,
    /// Numbers of new dead letters that are missing: the first, and the first that is not.
    pub letters: std::ops::Range<u64>,
    /// Dead letters that can't be read, and are dropped.
    pub unreadable: LetterNumbers,
    /// Dead letters that are left, those that are blocked or resolved included.
    pub letters_left: u64,
    /// Sagas of which it is no longer known what was done.
    pub sagas: u64,
    /// How far reading had got, if the checkpoint is missing.
    pub place: Option<String>,
    /// Where the damaged store is now.
    pub old_store: Option<PathBuf>,
}

/// Replaces what is there by a store that has what is left of it.
pub(super) fn accept_loss(directory: &Path) -> Result<Loss, Error> {
    let (directory, _lock) = &take(directory)?;
    let StoredTally::Known(tally) = tally::read(directory)? else {
        let problem = format!("its file `{}` does not say what the store contained", tally::FILE);
        return Err(Error::Foreign { directory: directory.to_path_buf(), problem });
    };
    let (opened, problems) = match recovery::open_what_is_left(directory, &tally) {
        Ok(opened) => {
            let problems = verify::all(&opened.1, || {}).problems;
            (Some(opened), problems)
        }
        // Sled can read nothing of it.
        Err(Error::Corrupt { detail, .. }) => (None, vec![detail]),
        Err(error) => return Err(error),
    };
    let (writes, next_number) = match opened.as_ref().map(|(_, trees)| Counters::load(trees)) {
        None => (0, 1),
        Some(Ok(counters)) => (counters.write_count, counters.next_number),
        Some(Err(_)) => (tally.writes, tally.next_number),
    };
    // Numbers that were given are not given again: people know them.
    let letters = next_number..tally.next_number.max(next_number);
    let (rebuilt, old_store) = replace(directory, Old::SetAside("accept-loss"), |folder| {
        // Calls that the lost part recorded leave no trace, as after a restore.
        let until_us = in_doubt_until_us();
        let rebuilt = rebuild::rebuild(opened.as_ref().map(|(_, trees)| trees), &tally, letters.end, until_us, folder)?;
        write_format(folder, tally.format)?;
        // Closed before its files are moved, with the log as it was before sled opened it.
        drop(opened);
        let put_back = Original::of(directory, Some(&tally)).put_back();
        put_back.map_err(Error::directory(directory, "put its log back"))?;
        Ok(rebuilt)
    })?;
    Ok(Loss {
        problems,
        writes: tally.writes.saturating_sub(writes),
        letters,
        unreadable: rebuilt.unreadable,
        letters_left: rebuilt.letters,
        sagas: rebuilt.sagas_lost,
        place: tally.place.filter(|_| !rebuilt.has_checkpoint),
        old_store,
    })
}
