//! Opening the store: from a directory to a database that is ours, of our format, and whole.
//!
//! In: the data directory, whatever state a crash left it in. Out: the opened trees, or an error that says what a person
//! has to do. Looks at the format before anything is written, takes the process lock before sled is touched, and deletes
//! nothing but half-written snapshots: those are only an index that sled makes anew from its log.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::lock::{self, Lock};
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::watchdog::Progress;
use super::{Error, lane_forms, sweep};

/// A plain file, because sled writes when it is opened: a newer store must be recognised before.
const FORMAT_FILE: &str = "format";
const FORMAT_PREFIX: &str = "rowhook store format ";
/// Goes up with every change that an older rowhook would misread.
const FORMAT: u32 = 4;
/// Stores of these formats are read as they are, and become ones of the newest format. Format 1 had one checkpoint for all
/// rules: a version that knows no other would pass what rules with their own have not resolved. Format 2 had no operations: a
/// version that knows none would send a letter from its beginning whose steps are done, and one that a person has closed.
/// Format 3 had ordering keys that depended on the types of columns: a version that makes such keys would let later changes
/// pass the letters that hold them.
const FORMAT_OLDEST: u32 = 1;

/// sled's log, and the file whose presence says that there is a database.
const LOG_FILE: &str = "db";
const SNAPSHOT_PREFIX: &str = "snap.";
/// What sled calls a snapshot that it has not finished.
const HALF_SNAPSHOT_SUFFIX: &str = ".generating";
/// Where snapshots go that made the store unopenable; must not begin with `snap.`.
const SET_ASIDE: &str = "set-aside";

/// sled's page cache. Its default, 1 GiB, holds a million dead letters in memory for nothing.
const CACHE_BYTES: u64 = 16 << 20;

/// sled's threads may hold its lock for a moment after their database was closed in this process.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(2);
const SLED_LOCK_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Opened {
    pub db: sled::Db,
    pub trees: Trees,
    pub counters: Counters,
    /// Own handle of sled's log, to sync it.
    pub log: File,
    pub lock: Lock,
}

pub(super) fn open(directory: &Path) -> Result<Opened, Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(Error::directory(directory, "create it"))?;
    let directory = &directory.canonicalize().map_err(Error::directory(directory, "find it"))?;
    read_format(directory)?;
    let lock = Lock::acquire(directory)?;
    // Again, now that nobody else can be creating it.
    let format = read_format(directory)?;
    let new = format.is_none();
    if new {
        create_format(directory)?;
    }
    restrict_directory(directory, new);
    let db = open_database(directory)?;
    if format.is_some_and(|format| format < FORMAT) {
        create_format(directory)?;
    }
    let open_failed = |source| Error::Open { directory: directory.to_path_buf(), source };
    let trees = Trees::open(&db, directory).map_err(open_failed)?;
    let counters = Counters::load(&trees)?;
    check_numbers(&trees, counters)?;
    lane_forms::renew(&db, &trees)?;
    sweep::sweep(&db, &trees, &Progress::default())?;
    restrict_files(directory).map_err(Error::directory(directory, "set the mode of its files"))?;

    let log = File::open(directory.join(LOG_FILE)).map_err(Error::directory(directory, "open the log"))?;
    db.flush().map_err(|error| Error::write(directory, &error))?;
    log.sync_data().map_err(|error| Error::write_io(directory, &error))?;
    sync_directory(directory)?;
    Ok(Opened { db, trees, counters, log, lock })
}

/// Whether there is a store here, or what was one.
pub(super) fn is_there(directory: &Path) -> bool {
    [FORMAT_FILE, LOG_FILE].iter().any(|name| directory.join(name).exists())
}

/// `None`: there is no store here yet.
fn read_format(directory: &Path) -> Result<Option<u32>, Error> {
    let foreign = |problem: String| Error::Foreign { directory: directory.to_path_buf(), problem };
    let text = match fs::read_to_string(directory.join(FORMAT_FILE)) {
        Ok(text) => text,
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
    let path = directory.join(FORMAT_FILE);
    let unfinished = path.with_extension("unfinished");
    let create = || {
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{FORMAT_PREFIX}{FORMAT}")?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    create().map_err(|error| Error::write_io(directory, &error))?;
    sync_directory(directory)?;
    // The entry of the directory itself stands in its parent.
    directory.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> Result<(), Error> {
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(Error::directory(directory, "sync it"))
}

/// A directory that was made for the store by somebody else (a mounted volume, say) becomes private as if we had made
/// it. One that holds other files as well is left as it is: they may be meant for others.
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
        Ok(true) => tracing::warn!(directory = %directory.display(), "other users can look into it; chmod 700 it"),
        Err(error) => tracing::warn!(directory = %directory.display(), %error, "can't be closed to other users"),
    }
}

fn holds_nothing_else(directory: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if ![FORMAT_FILE, lock::FILE_NAME, "lost+found"].iter().any(|known| name == **known) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// sled creates its files with the mode that the process's umask gives them.
fn restrict_files(directory: &Path) -> std::io::Result<()> {
    for name in [LOG_FILE, "conf", FORMAT_FILE, lock::FILE_NAME] {
        fs::set_permissions(directory.join(name), Permissions::from_mode(0o600))?;
    }
    for path in snapshots(directory)? {
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    fs::set_permissions(directory.join("blobs"), Permissions::from_mode(0o700))
}

fn open_database(directory: &Path) -> Result<sled::Db, Error> {
    remove_half_snapshots(directory).map_err(Error::directory(directory, "remove a half-written snapshot"))?;
    match open_sled(directory) {
        Err(Error::Open { source: source @ sled::Error::Corruption { .. }, .. }) => {
            tracing::warn!(%source, "the store does not open; setting its snapshots aside, they are made anew from the log");
            set_snapshots_aside(directory).map_err(Error::directory(directory, "set the snapshots aside"))?;
            open_sled(directory).map_err(|error| match error {
                Error::Open { directory, source } => Error::Corrupt { directory, detail: source.to_string() },
                other => other,
            })
        }
        other => other,
    }
}

fn open_sled(directory: &Path) -> Result<sled::Db, Error> {
    let deadline = Instant::now() + SLED_LOCK_WAIT;
    loop {
        match sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).open() {
            Ok(db) => return Ok(db),
            Err(error) if !is_locked(&error) => {
                return Err(Error::Open { directory: directory.to_path_buf(), source: error });
            }
            Err(_) if Instant::now() < deadline => std::thread::sleep(SLED_LOCK_PAUSE),
            Err(_) => return Err(Error::InUse { directory: directory.to_path_buf(), pid: None }),
        }
    }
}

/// sled 0.34 has no kind of its own for this.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock"))
}

fn snapshots(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(SNAPSHOT_PREFIX) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// sled takes what a kill left of a snapshot for the newest one, and refuses to open.
fn remove_half_snapshots(directory: &Path) -> std::io::Result<()> {
    for path in snapshots(directory)? {
        if path.to_string_lossy().ends_with(HALF_SNAPSHOT_SUFFIX) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn set_snapshots_aside(directory: &Path) -> std::io::Result<()> {
    let aside = directory.join(SET_ASIDE);
    DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
    for path in snapshots(directory)? {
        let name = path.file_name().unwrap_or_default();
        fs::rename(&path, aside.join(name))?;
    }
    Ok(())
}

/// A number is counted up in the transaction that uses it: letters above are a sign that a part of the log is missing.
fn check_numbers(trees: &Trees, counters: Counters) -> Result<(), Error> {
    let corrupt = |detail| Error::Corrupt { directory: trees.directory.clone(), detail };
    let last = trees.heads.last().map_err(Error::read(&trees.directory))?;
    let last = last.map(|(key, _)| trees::number_of(&key)).transpose()?.unwrap_or(0);
    if last >= counters.next_number {
        let next = counters.next_number;
        return Err(corrupt(format!("dead letter {last} is there, but the next one was to be {next}")));
    }
    if counters.held_count.saturating_add(counters.resolved_count) > counters.letter_count {
        let Counters { letter_count, held_count, resolved_count, .. } = counters;
        return Err(corrupt(format!(
            "it counts {letter_count} dead letters, and {held_count} held and {resolved_count} resolved ones among them"
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
