//! Opening the store: from a directory to a database that is ours, of our format, and whole.
//!
//! In: the data directory, whatever state a crash left it in. Out: the opened trees, or an error that says what a person
//! has to do. Checks the format before anything is written, takes the process lock before sled is touched, and leaves
//! sled's own files to `recovery`.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use uuid::Uuid;

use super::database::OpenedDatabase;
use super::files::{self, FORMAT_FILE, INSTANCE_FILE, LOG_FILE, sync_directory};
use super::lock::{self, Lock};
use super::recovery;
use super::tally::{self, StoredTally, Tally, TallyFile};
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::watchdog::WriterProgress;
use super::{Error, former_ids, kept, lane_forms, swap, sweep, walk};
use crate::file;

const FORMAT_PREFIX: &str = "rowhook store format ";
/// Goes up with every change that an older rowhook would misread.
pub(super) const FORMAT: u32 = 8;
/// Stores of these formats are read as they are, and become ones of the newest format. Format 1 had one checkpoint for all
/// rules: a version that knows no other would skip what rules with their own have not resolved. Format 2 had no sagas: a version
/// that knows none would send a dead letter from its first step although its steps are done, and one that a person has closed.
/// Format 3 had delivery ids without the time of the commit: a version that knows no others would deliver again what is
/// resolved.
/// Format 3 had ordering keys that depended on the types of columns: a version that makes such keys would let later changes
/// pass the dead letters that block them.
/// Format 4 had other words for reasons and effects (`former_words`): a version that knows no others can't read what is written now.
/// Format 5 had no edited bodies: a version that knows none would send the body that the rule makes, under the old id.
/// Format 6 had records of dead letters as JSON, and key definitions beside the queues: a version that knows no others can't read what
/// is written now.
const FORMAT_OLDEST: u32 = 1;
/// The first one whose delivery ids have the time of the commit in them.
const FORMAT_OF_TIMED_IDS: u32 = 4;

#[derive(Debug)]
pub(super) struct Opened {
    pub db: sled::Db,
    pub trees: Trees,
    pub counters: Counters,
    /// Own handle of sled's log, to sync it.
    pub log: File,
    pub tally_file: TallyFile,
    pub lock: Lock,
}

pub(super) fn open(directory: &Path) -> Result<Opened, Error> {
    files::make_directory(directory).map_err(Error::directory(directory, "create it"))?;
    let directory = &directory.canonicalize().map_err(Error::directory(directory, "find it"))?;
    // During a swap the store is not checked: the swap is finished under the lock first.
    if !directory.join(swap::FOLDER).exists() {
        format_of(directory, &tally::read(directory)?)?;
    }
    let lock = Lock::acquire(directory)?;
    swap::finish(directory).map_err(Error::directory(directory, swap::FINISH))?;
    // Again, now that no other process can create it.
    let stored = tally::read(directory)?;
    let format = format_of(directory, &stored)?;
    let new = format.is_none();
    if new || read_format(directory).ok().flatten().is_none() {
        create_format(directory)?;
    }
    restrict_directory(directory, new);
    if stored == StoredTally::Damaged {
        tracing::warn!(directory = %directory.display(), "the file `{}` was damaged and is written again", tally::FILE);
    }
    let known = match stored {
        StoredTally::Known(tally) => Some(tally),
        StoredTally::Missing | StoredTally::Damaged => None,
    };
    let OpenedDatabase { db, trees, counters, found } = recovery::open(directory, known.as_ref())?;
    if let Some(found) = found.filter(|found| !found.is_whole()) {
        let (problems, dead_letters) = (found.problem_count, found.unreadable);
        tracing::warn!(problems, %dead_letters, "a part of the store can't be read; rowhook store verify says what. The rest is not affected");
    }
    if format.is_some_and(|format| format < FORMAT) {
        if format.is_some_and(|format| format < FORMAT_OF_TIMED_IDS) {
            former_ids::expect(&trees.checkpoints, directory)?;
        }
        trees.remove_entries_without_letters()?;
        db.flush().map_err(|error| Error::write(directory, &error))?;
        create_format(directory)?;
    }
    check_numbers(&trees, counters)?;
    let tally = mark(directory, &trees, counters, known)?;
    lane_forms::renew(&db, &trees)?;
    sweep::sweep(&db, &trees, &WriterProgress::default())?;
    restrict_files(directory).map_err(Error::directory(directory, "set the mode of its files"))?;

    let log = File::open(directory.join(LOG_FILE)).map_err(Error::directory(directory, "open the log"))?;
    db.flush().map_err(|error| Error::write(directory, &error))?;
    log.sync_data().map_err(|error| Error::write_io(directory, &error))?;
    sync_directory(directory)?;
    let tally_file = TallyFile::create(directory, tally)?;
    Ok(Opened { db, trees, counters, log, tally_file, lock })
}

/// Gives the store its id if it has none, and keeps copies of what sled has left beside its log. Returns the
/// current tally, not written yet.
fn mark(directory: &Path, trees: &Trees, counters: Counters, known: Option<Tally>) -> Result<Tally, Error> {
    let store = match trees.store_id()? {
        Some(id) => id,
        None => {
            let id = known.as_ref().and_then(|tally| Uuid::try_parse(&tally.store).ok()).unwrap_or_else(Uuid::new_v4);
            let inserted = trees.meta.insert(trees::STORE_ID, &id.as_bytes()[..]);
            inserted.map_err(|error| Error::write(directory, &error))?;
            id
        }
    };
    let mut tally = known.unwrap_or_else(|| Tally::new(store, FORMAT));
    tally.format = FORMAT;
    tally.is_closed = false;
    tally.count(counters);
    kept::keep(directory, &mut tally).map_err(|error| Error::write_io(directory, &error))?;
    Ok(tally)
}

/// Whether there is a store here, or what was one.
pub(super) fn is_there(directory: &Path) -> bool {
    [FORMAT_FILE, LOG_FILE, tally::FILE, swap::FOLDER].iter().any(|name| directory.join(name).exists())
}

/// `None`: there is no store here yet. The tally knows what the file lacks.
fn format_of(directory: &Path, stored: &StoredTally) -> Result<Option<u32>, Error> {
    match (read_format(directory), stored) {
        (Ok(None) | Err(Error::Foreign { .. }), StoredTally::Known(tally)) => Ok(Some(tally.format)),
        (Ok(None), StoredTally::Damaged) => {
            let problem = format!("it has a file `{}` and no file `{FORMAT_FILE}`", tally::FILE);
            Err(Error::Foreign { directory: directory.to_path_buf(), problem })
        }
        (format, _) => format,
    }
}

/// `None`: there is no store here yet.
fn read_format(directory: &Path) -> Result<Option<u32>, Error> {
    let foreign = |problem: String| Error::Foreign { directory: directory.to_path_buf(), problem };
    let text = match fs::read(directory.join(FORMAT_FILE)) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match directory.join(LOG_FILE).exists() {
                true => Err(foreign(format!("it has a file `{LOG_FILE}` and no file `{FORMAT_FILE}`"))),
                false => Ok(None),
            };
        }
        Err(error) => return Err(Error::directory(directory, "read the format file")(error)),
    };
    let format = text.strip_prefix(FORMAT_PREFIX).and_then(|format| format.trim_end().parse().ok());
    match format {
        Some(found) if found > FORMAT => {
            Err(Error::NewerFormat { directory: directory.to_path_buf(), found, known: FORMAT })
        }
        Some(found) if found >= FORMAT_OLDEST => Ok(Some(found)),
        _ => Err(foreign(format!("its file `{FORMAT_FILE}` is not rowhook's"))),
    }
}

fn create_format(directory: &Path) -> Result<(), Error> {
    write_format(directory, FORMAT)?;
    // The entry of the directory itself is in its parent.
    directory.parent().map_or(Ok(()), sync_directory)
}

pub(super) fn write_format(directory: &Path, format: u32) -> Result<(), Error> {
    let text = format!("{FORMAT_PREFIX}{format}\n");
    file::put(&directory.join(FORMAT_FILE), text.as_bytes()).map_err(|error| Error::write_io(directory, &error))
}

/// A directory that was made for the store by another program (a mounted volume, say) becomes private as if we had made
/// it. One that contains other files as well is left as it is: they may be meant for others.
fn restrict_directory(directory: &Path, new: bool) {
    let restrict = || {
        let open_to_others = fs::metadata(directory)?.permissions().mode() & 0o077 != 0;
        if open_to_others && new && holds_nothing_else(directory)? {
            fs::set_permissions(directory, Permissions::from_mode(0o700))?;
            return Ok(false);
        }
        Ok::<bool, std::io::Error>(open_to_others)
    };
    match restrict() {
        Ok(false) => {}
        Ok(true) => tracing::warn!(directory = %directory.display(), "other users can read it; run chmod 700 on it"),
        Err(error) => tracing::warn!(directory = %directory.display(), %error, "can't be closed to other users"),
    }
}

/// What else may stand in a data directory: of rowhook's other parts, and of the file system.
const OF_OTHERS: [&str; 5] = [INSTANCE_FILE, "encrypted-servers", "control.sock", ".control", "lost+found"];

pub(super) fn holds_nothing_else(directory: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if ![FORMAT_FILE, lock::FILE_NAME].iter().chain(&OF_OTHERS).any(|known| name == **known) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// sled creates its files with the mode that the process's umask gives them.
fn restrict_files(directory: &Path) -> std::io::Result<()> {
    for name in [LOG_FILE, kept::CONF, FORMAT_FILE, lock::FILE_NAME] {
        fs::set_permissions(directory.join(name), Permissions::from_mode(0o600))?;
    }
    kept::restrict(directory)?;
    fs::set_permissions(directory.join("blobs"), Permissions::from_mode(0o700))
}

/// The counter rises in the transaction that uses a number: dead letters with higher numbers show that a part of the
/// log is missing.
fn check_numbers(trees: &Trees, counters: Counters) -> Result<(), Error> {
    let corrupt = |detail| Error::Corrupt { directory: trees.directory.clone(), detail };
    let last = walk::last(&trees.heads).map_err(Error::read(&trees.directory))?;
    let last = last.map(|(key, _)| trees::number_of(&key)).transpose()?.unwrap_or(0);
    if last >= counters.next_number {
        let next = counters.next_number;
        return Err(corrupt(format!("dead letter {last} is there, but the next one was to be {next}")));
    }
    if counters.blocked_count.saturating_add(counters.resolved_count) > counters.letter_count {
        let Counters { letter_count, blocked_count, resolved_count, .. } = counters;
        return Err(corrupt(format!(
            "it counts {letter_count} dead letters, and {blocked_count} blocked and {resolved_count} resolved ones among them"
        )));
    }
    if counters.letter_count >= counters.next_number {
        let Counters { next_number, letter_count, .. } = counters;
        return Err(corrupt(format!(
            "it counts {letter_count} dead letters, but the next one was to be {next_number}"
        )));
    }
    Ok(())
}
