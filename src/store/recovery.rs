//! Opening sled on files that may be damaged, without losing what could still be read.
//!
//! In: the data directory and the tally. Out: a database that holds what the tally says, or an error that says what it lacks. Where
//! sled's snapshot is not the one that was there, everything is tried on a log of which a copy was made before, because sled zeroes
//! what it takes for the torn end of it; what does not hold up when everything is read is undone, and the next try made.

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kept::{self, Found, Snapshot};
use super::tally::Tally;
use super::transaction::Counters;
use super::trees::Trees;
use super::{Error, files, verify};

/// sled's log, and the file whose presence says that there is a database.
pub(super) const LOG_FILE: &str = "db";
/// Where files go that made the store unopenable; must not begin with `snap.`.
const SET_ASIDE: &str = "set-aside";

/// sled's page cache. Its default, 1 GiB, holds a million dead letters in memory for nothing.
const CACHE_BYTES: u64 = 16 << 20;

/// Dead letters that are all read at the opening after a crash: some tenths of a second.
const LETTERS_READ_MAX: u64 = 20_000;

/// A log up to this size is copied before it is opened: some tenths of a second.
const COPIED_BYTES_MAX: u64 = 64 << 20;

/// sled's threads may hold its lock for a moment after their database was closed in this process.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(2);
const SLED_LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A database that holds what the tally says.
#[derive(Debug)]
pub(super) struct Database {
    pub db: sled::Db,
    pub trees: Trees,
    pub counters: Counters,
}

/// Opens the database, or makes one where there is none.
pub(super) fn open(directory: &Path, tally: Option<&Tally>) -> Result<Database, Error> {
    kept::remove_unfinished(directory).map_err(Error::directory(directory, "remove a half-written snapshot"))?;
    let copy = LogCopy::of(directory, tally);
    copy.finish_earlier()
        .map_err(Error::directory(directory, "put its log back after an opening that was cut short"))?;
    let log_bytes = log_bytes(directory);
    match tally {
        Some(tally) if tally.writes > 0 && log_bytes == 0 => {
            let missing = format!("its log, the file `{LOG_FILE}`, is gone or empty, and {}", held(tally));
            return Err(Error::Behind { directory: directory.to_path_buf(), missing });
        }
        None if log_bytes == 0 && was_used(directory) => {
            let problem = format!("it was used, and the store's log, the file `{LOG_FILE}`, is gone or empty");
            return Err(Error::Foreign { directory: directory.to_path_buf(), problem });
        }
        _ => {}
    }
    let beside = Error::directory(directory, "read what sled left beside its log");
    match kept::inspect(directory, tally).map_err(beside)? {
        Found::AsLeft => open_as_left(directory, tally, &copy),
        Found::Other { tries, problem } => Trial::begin(directory, tally, &problem, copy)?.run(tries),
    }
}

fn log_bytes(directory: &Path) -> u64 {
    fs::metadata(directory.join(LOG_FILE)).map_or(0, |log| log.len())
}

/// Whether there is what no directory has whose first opening was cut short.
fn was_used(directory: &Path) -> bool {
    let has_snapshot = kept::paths(directory).is_ok_and(|paths| !paths.is_empty());
    has_snapshot || [kept::FOLDER, "instance"].iter().any(|name| directory.join(name).exists())
}

/// Opens whatever is left, also if it is less than the tally says.
pub(super) fn open_what_is_left(directory: &Path, tally: &Tally) -> Result<Database, Error> {
    kept::remove_unfinished(directory).map_err(Error::directory(directory, "remove a half-written snapshot"))?;
    // Puts back what there is a copy of.
    kept::inspect(directory, Some(tally)).map_err(Error::directory(directory, "read what sled left beside its log"))?;
    let is_gone = fs::metadata(directory.join(LOG_FILE)).map_or(true, |log| log.len() == 0);
    if is_gone {
        kept::place(directory, None).map_err(Error::directory(directory, "remove a snapshot of no log"))?;
    }
    forget_copies(&directory.join(SET_ASIDE), None).map_err(Error::directory(directory, "remove a copy of its log"))?;
    match open_sled(directory) {
        Err(Error::Corrupt { .. }) if !is_gone => {
            kept::place(directory, None).map_err(Error::directory(directory, "remove a snapshot that is of no use"))?;
            open_sled(directory)
        }
        opened => opened,
    }
}

/// A log up to some size is copied before, so that a refusal leaves everything as it was: sled zeroes what it can't read.
fn open_as_left(directory: &Path, tally: Option<&Tally>, copy: &LogCopy) -> Result<Database, Error> {
    let snapshot = kept::newest_in(directory).map_err(Error::directory(directory, "read its snapshot"))?;
    // Without room for a copy it is opened all the same.
    let is_copied = (1..=COPIED_BYTES_MAX).contains(&log_bytes(directory)) && copy.make().is_ok();
    let opened = open_and_look(directory, tally);
    let settle = || match &opened {
        Err(Error::Behind { .. } | Error::Corrupt { .. }) if is_copied => {
            kept::place(directory, snapshot.as_ref())?;
            copy.put_back()?;
            copy.forget()
        }
        _ => copy.forget(),
    };
    settle().map_err(Error::directory(directory, "put its log back"))?;
    opened
}

fn open_and_look(directory: &Path, tally: Option<&Tally>) -> Result<Database, Error> {
    let database = match (open_sled(directory), tally) {
        (Err(Error::Corrupt { detail, .. }), Some(tally)) => {
            let missing = format!("its log can't be read ({detail}), and {}", held(tally));
            return Err(Error::Behind { directory: directory.to_path_buf(), missing });
        }
        (opened, _) => opened?,
    };
    require(&database, tally)?;
    // Of the log that it reads anew after a crash, sled leaves out what is damaged without a word.
    if tally.is_some_and(|tally| !tally.is_closed && tally.letter_count <= LETTERS_READ_MAX)
        && let Some(missing) = verify::all(&database.trees, || {}).contradiction
    {
        return Err(Error::Behind { directory: directory.to_path_buf(), missing });
    }
    Ok(database)
}

/// A copy of the log from before an opening. Its name says before which one, so that it is never taken for another.
struct LogCopy {
    log: PathBuf,
    aside: PathBuf,
    path: PathBuf,
}

impl LogCopy {
    fn of(directory: &Path, tally: Option<&Tally>) -> LogCopy {
        let aside = directory.join(SET_ASIDE);
        let before = tally.map_or("first".to_string(), |tally| format!("{}-{}", tally.store, tally.turn));
        let path = aside.join(format!("{LOG_FILE}-before-{before}"));
        LogCopy { log: directory.join(LOG_FILE), aside, path }
    }

    /// Puts the log back that an opening had begun to change when it was cut short; copies from other times go.
    fn finish_earlier(&self) -> io::Result<()> {
        if self.path.exists() {
            self.put_back()?;
        }
        forget_copies(&self.aside, Some(&self.path))
    }

    fn make(&self) -> io::Result<()> {
        files::make_directory(&self.aside)?;
        if self.path.exists() { Ok(()) } else { files::copy(&self.log, &self.path) }
    }

    fn put_back(&self) -> io::Result<()> {
        if self.path.exists() { files::copy(&self.path, &self.log) } else { Ok(()) }
    }

    fn forget(&self) -> io::Result<()> {
        forget_copies(&self.aside, None)
    }
}

/// Removes copies of logs, whole and half ones, but for this one; and the folder, if nothing else is in it.
fn forget_copies(aside: &Path, but_for: Option<&Path>) -> io::Result<()> {
    if !aside.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(aside)? {
        let path = entry?.path();
        let is_copy = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(LOG_FILE));
        if is_copy && but_for != Some(path.as_path()) {
            fs::remove_file(path)?;
        }
    }
    // It stays if there is something else in it.
    drop(fs::remove_dir(aside));
    Ok(())
}

/// Refuses a store that lacks what was acknowledged.
fn require(database: &Database, tally: Option<&Tally>) -> Result<(), Error> {
    let Database { db: _, trees, counters } = database;
    let Some(tally) = tally else { return Ok(()) };
    let behind = |missing| Err(Error::Behind { directory: trees.directory.clone(), missing });
    match trees.store_id()? {
        Some(id) if id.to_string() == tally.store => {}
        // The tally was made, and the process killed before the store had its id.
        None if tally.writes == 0 && counters.write_count == 0 => {}
        _ => return behind(format!("its log is that of another store, or has lost everything, and {}", held(tally))),
    }
    if counters.write_count < tally.writes {
        let letters = tally.next_number.saturating_sub(counters.next_number);
        let missing = tally.writes - counters.write_count;
        let letters = match letters {
            0 => String::new(),
            count => format!(", among them {count} new dead letters, from number {} on", counters.next_number),
        };
        return behind(format!("{missing} of {} writes are missing{letters}; {}", tally.writes, held(tally)));
    }
    Ok(())
}

fn held(tally: &Tally) -> String {
    let place = tally.place.as_ref().map_or(String::new(), |place| format!("; reading had got to {place}"));
    let Tally { writes, letter_count, .. } = tally;
    format!("it held {writes} writes and {letter_count} dead letters{place}")
}

/// Tries on a log of which there is a copy.
struct Trial<'t> {
    directory: &'t Path,
    tally: Option<&'t Tally>,
    problem: &'t str,
    copy: LogCopy,
}

impl<'t> Trial<'t> {
    /// Copies the log and the snapshots aside.
    fn begin(
        directory: &'t Path,
        tally: Option<&'t Tally>,
        problem: &'t str,
        copy: LogCopy,
    ) -> Result<Trial<'t>, Error> {
        let prepare = || {
            files::make_directory(&copy.aside)?;
            for path in kept::paths(&copy.aside)? {
                fs::remove_file(path)?;
            }
            if copy.log.exists() {
                copy.make()?;
            }
            for path in kept::paths(directory)? {
                files::copy(&path, &copy.aside.join(path.file_name().unwrap_or_default()))?;
            }
            Ok(())
        };
        tracing::warn!(directory = %directory.display(), "the store: {problem}; trying copies, its log is kept in {SET_ASIDE}");
        prepare().map_err(Error::directory(directory, "copy its log aside before it is repaired"))?;
        Ok(Trial { directory, tally, problem, copy })
    }

    fn run(self, tries: Vec<Option<Snapshot>>) -> Result<Database, Error> {
        let mut last = None;
        for snapshot in &tries {
            match self.attempt(snapshot.as_ref()) {
                Ok(database) => {
                    self.copy.forget().map_err(Error::directory(self.directory, "remove the copy of its log"))?;
                    let by = snapshot.as_ref().map_or("its log alone", |snapshot| snapshot.name.as_str());
                    tracing::warn!(by, "the store is whole: everything was read");
                    return Ok(database);
                }
                Err(error) => {
                    tracing::warn!(%error, "a try to open the store");
                    // That it lacks something says more than that it does not open.
                    last = Some(match last {
                        Some(known @ Error::Behind { .. }) => known,
                        _ => error,
                    });
                }
            }
        }
        self.undo().map_err(Error::directory(self.directory, "put its log back"))?;
        let detail = match last {
            Some(behind @ Error::Behind { .. }) => return Err(behind),
            Some(other) => format!("{}: {other}", self.problem),
            None => self.problem.to_string(),
        };
        Err(Error::Corrupt { directory: self.directory.to_path_buf(), detail })
    }

    fn attempt(&self, snapshot: Option<&Snapshot>) -> Result<Database, Error> {
        self.copy.put_back().map_err(Error::directory(self.directory, "put its log back"))?;
        kept::place(self.directory, snapshot)
            .map_err(Error::directory(self.directory, "put a snapshot in its place"))?;
        let before = log_bytes(self.directory);
        let database = open_sled(self.directory)?;
        require(&database, self.tally)?;
        let corrupt = |detail| Error::Corrupt { directory: self.directory.to_path_buf(), detail };
        // Without a tally nobody knows what it must hold, but not less than before.
        if self.tally.is_none()
            && (log_bytes(self.directory) < before || before > 0 && verify::is_empty(&database.trees)?)
        {
            return Err(corrupt("sled cut the log off".to_string()));
        }
        let found = verify::all(&database.trees, || {});
        match found.problems.first() {
            None => Ok(database),
            Some(problem) => Err(corrupt(problem.clone())),
        }
    }

    fn undo(&self) -> io::Result<()> {
        kept::place(self.directory, None)?;
        for path in kept::paths(&self.copy.aside)? {
            files::copy(&path, &self.directory.join(path.file_name().unwrap_or_default()))?;
        }
        self.copy.put_back()?;
        self.copy.forget()
    }
}

/// Opens sled. It asserts a good deal of what it reads: what fails an assertion is damaged.
fn open_sled(directory: &Path) -> Result<Database, Error> {
    let opened = panic::catch_unwind(AssertUnwindSafe(|| {
        let db = open_when_free(directory)?;
        let trees = Trees::open(&db, directory).map_err(|source| of_sled(directory, source))?;
        let counters = Counters::load(&trees)?;
        Ok(Database { db, trees, counters })
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
