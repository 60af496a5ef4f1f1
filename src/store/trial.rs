//! Opening sled on other snapshots than the one that it left, until one is found that makes a whole store.
//!
//! In: snapshots to try, the likeliest first; what the tally knows. Out: a database of which everything was read, or an error and all files
//! as they were. Each try begins with the log as it was.

use std::path::Path;

use super::database::{OpenedDatabase, log_bytes, open_sled, require, require_undamaged_log};
use super::kept::{self, Snapshot};
use super::original::{Original, SET_ASIDE};
use super::tally::Tally;
use super::{Error, verify};

/// Tries on files of which there are copies.
pub(super) struct Trial<'t> {
    directory: &'t Path,
    tally: Option<&'t Tally>,
    problem: &'t str,
    original: Original,
}

impl<'t> Trial<'t> {
    /// Copies the files aside.
    pub fn begin(
        directory: &'t Path,
        tally: Option<&'t Tally>,
        problem: &'t str,
        original: Original,
    ) -> Result<Trial<'t>, Error> {
        tracing::warn!(directory = %directory.display(), "the store: {problem}; trying copies, its log is kept in {SET_ASIDE}");
        original.make().map_err(Error::directory(directory, "copy its log aside before it is repaired"))?;
        Ok(Trial { directory, tally, problem, original })
    }

    /// The first try that contains all that it must; an error if there is none, with everything as it was.
    pub fn run(self, tries: Vec<Option<Snapshot>>) -> Result<OpenedDatabase, Error> {
        let mut last = None;
        for snapshot in &tries {
            match self.attempt(snapshot.as_ref()) {
                Ok(database) => {
                    self.original
                        .forget_log()
                        .map_err(Error::directory(self.directory, "remove the copy of its log"))?;
                    let by = snapshot.as_ref().map_or("its log alone", |snapshot| snapshot.name.as_str());
                    tracing::warn!(by, "the store is whole: everything was read");
                    return Ok(database);
                }
                Err(error) => {
                    tracing::warn!(%error, "a try to open the store");
                    // The error that it lacks something says more than the error that it does not open.
                    last = Some(match last {
                        Some(known @ Error::Incomplete { .. }) => known,
                        _ => error,
                    });
                }
            }
        }
        let undone = self.original.put_back().and_then(|()| self.original.forget());
        undone.map_err(Error::directory(self.directory, "put its log back"))?;
        let detail = match last {
            Some(incomplete @ Error::Incomplete { .. }) => return Err(incomplete),
            Some(other) => format!("{}: {other}", self.problem),
            None => self.problem.to_string(),
        };
        Err(Error::Corrupt { directory: self.directory.to_path_buf(), detail })
    }

    fn attempt(&self, snapshot: Option<&Snapshot>) -> Result<OpenedDatabase, Error> {
        self.original.put_back().map_err(Error::directory(self.directory, "put its log back"))?;
        kept::place(self.directory, snapshot)
            .map_err(Error::directory(self.directory, "put a snapshot in its place"))?;
        require_undamaged_log(self.directory, self.tally)?;
        let before = log_bytes(self.directory);
        let mut database = open_sled(self.directory)?;
        require(&database, self.tally)?;
        let corrupt = |detail| Error::Corrupt { directory: self.directory.to_path_buf(), detail };
        // Without a tally it is unknown what the store must contain, but not less than before.
        if self.tally.is_none()
            && (log_bytes(self.directory) < before || before > 0 && verify::is_empty(&database.trees)?)
        {
            return Err(corrupt("sled cut the log off".to_string()));
        }
        let found = verify::all(&database.trees, || {});
        match found.problems.first() {
            None => {
                database.found = Some(found);
                Ok(database)
            }
            Some(problem) => Err(corrupt(problem.clone())),
        }
    }
}
