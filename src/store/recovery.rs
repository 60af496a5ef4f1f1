//! Opening sled on files that may be damaged, without losing what could still be read.
//!
//! In: the data directory and the tally. Out: a database that holds what the tally says, or an error that says what it lacks. Where
//! sled's snapshot is not the one that was there, everything is tried on a log of which a copy was made before, because sled zeroes
//! what it takes for the torn end of it; what does not hold up when everything is read is undone, and the next try made.

use std::fs;
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
    let log_bytes = fs::metadata(directory.join(LOG_FILE)).map_or(0, |log| log.len());
    if let Some(tally) = tally.filter(|tally| tally.writes > 0 && log_bytes == 0) {
        let missing = format!("its log, the file `{LOG_FILE}`, is gone or empty, and {}", held(tally));
        return Err(Error::Behind { directory: directory.to_path_buf(), missing });
    }
    let found =
        kept::inspect(directory, tally).map_err(Error::directory(directory, "read what sled left beside its log"))?;
    match found {
        Found::AsLeft => open_as_left(directory, tally),
        Found::Other { tries, problem } => Trial::begin(directory, tally, &problem)?.run(tries),
    }
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
    match open_sled(directory) {
        Err(Error::Corrupt { .. }) if !is_gone => {
            kept::place(directory, None).map_err(Error::directory(directory, "remove a snapshot that is of no use"))?;
            open_sled(directory)
        }
        opened => opened,
    }
}

fn open_as_left(directory: &Path, tally: Option<&Tally>) -> Result<Database, Error> {
    let database = open_sled(directory)?;
    require(&database, tally)?;
    // Of the log that it reads anew after a crash, sled leaves out what is damaged without a word.
    if tally.is_some_and(|tally| !tally.is_closed && tally.letter_count <= LETTERS_READ_MAX)
        && let Some(missing) = verify::all(&database.trees, || {}).contradiction
    {
        return Err(Error::Behind { directory: directory.to_path_buf(), missing });
    }
    Ok(database)
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
    aside: PathBuf,
}

impl<'t> Trial<'t> {
    /// Copies the log and moves the snapshots aside.
    fn begin(directory: &'t Path, tally: Option<&'t Tally>, problem: &'t str) -> Result<Trial<'t>, Error> {
        let aside = directory.join(SET_ASIDE);
        let prepare = || {
            files::make_directory(&aside)?;
            // A trial that was cut short has left the log as it was.
            if !aside.join(LOG_FILE).exists() && directory.join(LOG_FILE).exists() {
                files::copy(&directory.join(LOG_FILE), &aside.join(LOG_FILE))?;
            }
            for path in kept::paths(directory)? {
                files::copy(&path, &aside.join(path.file_name().unwrap_or_default()))?;
            }
            Ok(())
        };
        tracing::warn!(directory = %directory.display(), "the store: {problem}; trying copies, its log is kept in {SET_ASIDE}");
        prepare().map_err(Error::directory(directory, "copy its log aside before it is repaired"))?;
        Ok(Trial { directory, tally, problem, aside })
    }

    fn run(self, tries: Vec<Option<Snapshot>>) -> Result<Database, Error> {
        let mut last = None;
        for snapshot in &tries {
            match self.attempt(snapshot.as_ref()) {
                Ok(database) => {
                    self.forget().map_err(Error::directory(self.directory, "remove the copy of its log"))?;
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
        self.put_log_back().map_err(Error::directory(self.directory, "put its log back"))?;
        kept::place(self.directory, snapshot)
            .map_err(Error::directory(self.directory, "put a snapshot in its place"))?;
        let log_bytes = || fs::metadata(self.directory.join(LOG_FILE)).map_or(0, |log| log.len());
        let before = log_bytes();
        let database = open_sled(self.directory)?;
        require(&database, self.tally)?;
        let corrupt = |detail| Error::Corrupt { directory: self.directory.to_path_buf(), detail };
        // Without a tally nobody knows what it must hold, but not less than before.
        if self.tally.is_none() && (log_bytes() < before || before > 0 && verify::is_empty(&database.trees)?) {
            return Err(corrupt("sled cut the log off".to_string()));
        }
        let found = verify::all(&database.trees, || {});
        match found.problems.first() {
            None => Ok(database),
            Some(problem) => Err(corrupt(problem.clone())),
        }
    }

    fn put_log_back(&self) -> std::io::Result<()> {
        let copy = self.aside.join(LOG_FILE);
        if copy.exists() { files::copy(&copy, &self.directory.join(LOG_FILE)) } else { Ok(()) }
    }

    fn undo(&self) -> std::io::Result<()> {
        kept::place(self.directory, None)?;
        for path in kept::paths(&self.aside)? {
            files::copy(&path, &self.directory.join(path.file_name().unwrap_or_default()))?;
        }
        self.put_log_back()?;
        self.forget()
    }

    /// The copy of the log, which may be large. The snapshots stay, for whoever wants to know what happened.
    fn forget(&self) -> std::io::Result<()> {
        match fs::remove_file(self.aside.join(LOG_FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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
        sled::Error::Corruption { .. } | sled::Error::Unsupported(_) | sled::Error::ReportableBug(_) => {
            Error::Corrupt { directory, detail: source.to_string() }
        }
        other => Error::Open { directory, source: other },
    }
}

/// sled 0.34 has no kind of its own for this.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock"))
}
