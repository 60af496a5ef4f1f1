//! Operations that replace a store's files while no rowhook runs on them: restore, compaction, accepting a loss.
//!
//! In: the data directory; a backup. Out: another store that replaces the old one, and a report for people. Each
//! operation has the lock from its first read to its end.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::backup::{self, BackupHead};
use super::database::{self, OpenedDatabase};
use super::lock::Lock;
use super::open::{FORMAT, Opened, create_format, holds_nothing_else, is_there, open, write_format};
use super::recovery;
use super::swap::Old;
use super::tally::{self, StoredTally};
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::{Error, closing, files, kept, swap, verify, walk};
use crate::change::DeliveryId;
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
    let (head, aside) = replace(&directory, Old::SetAside, |folder| {
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

/// What was accepted as lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Writes that are missing; none: nothing is.
    pub writes: u64,
    /// Numbers of dead letters that are missing: the first, and the first that is not.
    pub letters: std::ops::Range<u64>,
    /// Dead letters that are left, those that are blocked or resolved included.
    pub letters_left: u64,
    /// The position of the main stream, if the checkpoint is missing.
    pub place: Option<String>,
}

/// Makes the tally say what the store contains, and no more. Sled's snapshot stays as it is, or is removed if it can't be used.
pub(super) fn accept_loss(directory: &Path) -> Result<Loss, Error> {
    let (directory, _lock) = &take(directory)?;
    let StoredTally::Known(mut tally) = tally::read(directory)? else {
        let problem = format!("its file `{}` does not say what the store contained", tally::FILE);
        return Err(Error::Foreign { directory: directory.to_path_buf(), problem });
    };
    let OpenedDatabase { db, trees, counters } = recovery::open_what_is_left(directory, &tally)?;
    let found = verify::all(&trees, || {});
    let loss = Loss {
        writes: tally.writes.saturating_sub(counters.write_count),
        letters: counters.next_number..tally.next_number.max(counters.next_number),
        letters_left: found.letters,
        place: if trees.recorded()?.main.is_none() { tally.place.clone() } else { None },
    };
    let settled = Counters {
        // Numbers that were given are not given again: people know them.
        next_number: loss.letters.end,
        letter_count: found.letters,
        blocked_count: found.blocked,
        resolved_count: found.resolved,
        ..counters
    };
    settle(&trees, &tally.store, settled)?;
    db.flush().map_err(|error| Error::write(directory, &error))?;
    tally.count(settled);
    tally.is_closed = true;
    kept::keep(directory, &mut tally).map_err(|error| Error::write_io(directory, &error))?;
    drop((trees, db));
    closing::settle(directory, tally)?;
    create_format(directory)?;
    Ok(loss)
}

/// Makes what is left consistent, with counters that are true of it.
fn settle(trees: &Trees, store: &str, counters: Counters) -> Result<(), Error> {
    let failed = |error| Error::write(&trees.directory, &error);
    // The log and the change of a saga without a dead letter are of use together only.
    for key in walk::all(&trees.sagas).keys().filter_map(Result::ok) {
        let Some((name, _)) = key.split_last_chunk::<4>() else { continue };
        let id = Uuid::from_slice(name).ok().map(DeliveryId);
        if id.is_none_or(|id| trees.saga_is_broken(id)) {
            trees.sagas.remove(&key).map_err(failed)?;
        }
    }
    counters.put(trees).map_err(failed)?;
    let id = store.parse::<Uuid>().unwrap_or_else(|_| Uuid::new_v4());
    trees.meta.insert(trees::STORE_ID, &id.as_bytes()[..]).map_err(failed)?;
    // Calls that the lost part recorded leave no trace, as after a restore.
    trees.meta.insert(trees::RESTORED_UNTIL_US, &in_doubt_until_us().to_be_bytes()).map_err(failed)?;
    Ok(())
}
