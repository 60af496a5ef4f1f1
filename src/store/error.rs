//! What can go wrong with the store, with the sentence that fixes it.
//!
//! In: errors of sled and of the file system. Out: messages for the operator. Values can be cloned, because one failed
//! write fails every later one with the same error.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::LOG_FILE;
use crate::file;

/// Every error but [`Error::Record`] and [`Error::Overloaded`] means: this store can't be used any more.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("data directory {}: can't {attempt}: {source}", directory.display())]
    Directory { directory: PathBuf, attempt: &'static str, source: Arc<io::Error> },

    #[error(
        "data directory {} is in use by {}; one process at a time may have it: stop that one, or give this one another directory",
        directory.display(), Holder(*pid)
    )]
    InUse { directory: PathBuf, pid: Option<u32> },

    #[error(
        "data directory {} has store format {found}, and this rowhook knows formats up to {known}: start the newer rowhook again, or give this one another directory; nothing was written",
        directory.display()
    )]
    NewerFormat { directory: PathBuf, found: u32, known: u32 },

    #[error(
        "data directory {}: {problem}; give rowhook an empty directory, or put back the files that belong to this one; nothing was written",
        directory.display()
    )]
    Foreign { directory: PathBuf, problem: String },

    #[error(
        "data directory {path}: the store is corrupt ({detail}) and nothing was deleted: 1. stop rowhook and check the disk (dmesg, smartctl); \
         2. keep a copy: cp -a {path} {path}.corrupt; 3. rowhook store restore BACKUP, or move {path} away and start with `--start` at the \
         last position in rowhook's log: dead letters that only stand in the copy are not replayed, deliveries after that position are repeated",
        path = directory.display()
    )]
    Corrupt { directory: PathBuf, detail: String },

    #[error(
        "data directory {path}: the store is incomplete: {missing}. Nothing is sent, for that would lose or repeat calls; fix: \
         1. keep a copy: cp -a {path} {path}.damaged; 2. rowhook store restore BACKUP, or without one rowhook store accept-loss, \
         which says what is left and goes on with it",
        path = directory.display()
    )]
    Incomplete { directory: PathBuf, missing: String },

    #[error("backup {}: {source}", path.display())]
    Backup { path: PathBuf, source: Arc<io::Error> },

    #[error("data directory {}: can't open the store: {source}", directory.display())]
    Open { directory: PathBuf, source: sled::Error },

    #[error(
        "data directory {}: no space left to write to ({detail}): free some, or raise the quota, and start rowhook again; it goes on after the last checkpoint",
        directory.display()
    )]
    Full { directory: PathBuf, detail: String },

    #[error(
        "data directory {}: a write failed ({detail}): check the disk and start rowhook again; it goes on after the last checkpoint",
        directory.display()
    )]
    Write { directory: PathBuf, detail: String },

    #[error(
        "data directory {path}: a part of the store can't be read: {problem}; fix: 1. check the disk (dmesg, smartctl), stop rowhook and \
         keep a copy: cp -a {path} {path}.damaged; 2. rowhook store restore BACKUP, or without one rowhook store accept-loss, \
         which says what is left and goes on with it",
        path = directory.display()
    )]
    Read { directory: PathBuf, problem: String },

    /// One record; the rest of the store is as good as it was.
    #[error(
        "{record} in the store can't be read: {problem}; fix: discard it if it is a dead letter, else rowhook store restore BACKUP, \
         or without one rowhook store accept-loss"
    )]
    Record { record: String, problem: String },

    /// No part of this write was queued; earlier writes are still under way.
    #[error(
        "the store has {jobs} writes of {bytes} bytes waiting, which is its limit: the disk is too slow for what is sent to it"
    )]
    Overloaded { jobs: usize, bytes: usize },

    #[error("the store is closed")]
    Closed,
}

impl Error {
    pub(super) fn directory(directory: &Path, attempt: &'static str) -> impl FnOnce(io::Error) -> Error {
        let directory = directory.to_path_buf();
        move |source| {
            let source = Arc::new(file::explained(&directory, source));
            Error::Directory { directory, attempt, source }
        }
    }

    pub(super) fn backup(path: &Path, source: &io::Error) -> Error {
        let (kind, text) = (source.kind(), source.to_string());
        Error::Backup { path: path.to_path_buf(), source: Arc::new(io::Error::new(kind, text)) }
    }

    pub(super) fn read(directory: &Path) -> impl FnOnce(sled::Error) -> Error {
        let directory = directory.to_path_buf();
        move |source| Error::Read { directory, problem: plain(&source) }
    }

    pub(super) fn record(record: impl Into<String>, problem: impl ToString) -> Error {
        Error::Record { record: record.into(), problem: problem.to_string() }
    }

    /// The error of a failed write, sorted by what the operator has to do.
    pub(super) fn write(directory: &Path, source: &sled::Error) -> Error {
        match source {
            sled::Error::Io(source) => Error::write_io(directory, source),
            // What is written stands beside what is there, which is read first.
            sled::Error::Corruption { .. } => {
                Error::Read { directory: directory.to_path_buf(), problem: plain(source) }
            }
            other => Error::Write { directory: directory.to_path_buf(), detail: other.to_string() },
        }
    }

    pub(super) fn write_io(directory: &Path, source: &io::Error) -> Error {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let (directory, detail) = (directory.to_path_buf(), source.to_string());
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Error::Full { directory, detail },
            _ => Error::Write { directory, detail },
        }
    }
}

/// An error of sled's in words for operators.
pub(super) fn plain(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { at: Some(at), .. } => {
            format!("its file `{LOG_FILE}` is damaged at byte {}", at.lid())
        }
        sled::Error::Corruption { at: None, .. } => format!("its file `{LOG_FILE}` is damaged"),
        sled::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_or_a_write_that_meets_damage_says_what_to_do() {
        let (directory, damage) = (Path::new("/data"), sled::Error::Corruption { at: None, bt: () });
        for error in [Error::read(directory)(damage.clone()), Error::write(directory, &damage)] {
            let text = error.to_string();
            assert!(text.contains("its file `db` is damaged;") && text.contains("rowhook store accept-loss"), "{text}");
        }
    }
}
