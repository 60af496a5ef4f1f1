//! Sled's log and snapshots as they were before an opening, because sled zeroes what it can't read.
//!
//! In: the data directory and the tally. Out: the files as they were, if the opening fails. A killed opening leaves its
//! copies, and the next opening begins with them: the folder's name says before which opening they were made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::LOG_FILE;
use super::tally::Tally;
use super::{files, kept};
use crate::file;

/// Where copies go, and files that made the store unopenable.
pub(super) const SET_ASIDE: &str = "set-aside";
const PREFIX: &str = "before-opening-";

pub(super) struct Original {
    directory: PathBuf,
    folder: PathBuf,
}

impl Original {
    pub fn of(directory: &Path, tally: Option<&Tally>) -> Original {
        let before = tally.map_or("first".to_string(), |tally| format!("{}-{}", tally.store, tally.turn));
        let folder = directory.join(SET_ASIDE).join(format!("{PREFIX}{before}"));
        Original { directory: directory.to_path_buf(), folder }
    }

    /// Puts back what an opening had begun to change when it was cut short; copies from before other openings are removed.
    pub fn finish_earlier(&self) -> io::Result<()> {
        self.put_back()?;
        forget(&self.directory, Some(&self.folder))
    }

    /// Copies the files, unless there is a copy of them.
    pub fn make(&self) -> io::Result<()> {
        if self.folder.exists() {
            return Ok(());
        }
        let unfinished = file::unfinished_of(&self.folder);
        files::make_directory(&unfinished)?;
        let log = self.directory.join(LOG_FILE);
        let all = kept::paths(&self.directory)?.into_iter().chain(log.exists().then_some(log));
        copy_into(&unfinished, all)?;
        fs::rename(&unfinished, &self.folder)?;
        file::sync_parent(&self.folder)
    }

    /// Restores the files from their copies, if there are any.
    pub fn put_back(&self) -> io::Result<()> {
        if !self.folder.exists() {
            return Ok(());
        }
        let snapshots = kept::paths(&self.folder)?;
        for path in kept::paths(&self.directory)? {
            if snapshots.iter().all(|snapshot| snapshot.file_name() != path.file_name()) {
                fs::remove_file(path)?;
            }
        }
        let log = self.folder.join(LOG_FILE);
        copy_into(&self.directory, snapshots.into_iter().chain(log.exists().then_some(log)))
    }

    /// Removes the copies, but for the snapshots: they stay in `set-aside`, so that the damage can be examined.
    pub fn forget_log(&self) -> io::Result<()> {
        let aside = self.directory.join(SET_ASIDE);
        kept::paths(&aside)?.iter().try_for_each(fs::remove_file)?;
        copy_into(&aside, kept::paths(&self.folder)?.into_iter())?;
        self.forget()
    }

    pub fn forget(&self) -> io::Result<()> {
        forget(&self.directory, None)
    }
}

fn copy_into(folder: &Path, mut paths: impl Iterator<Item = PathBuf>) -> io::Result<()> {
    paths.try_for_each(|path| files::copy(&path, &folder.join(path.file_name().unwrap_or_default())))
}

/// Removes the copies of all openings, whole and half ones, but for this one; and `set-aside`, if nothing else is in it.
pub(super) fn forget(directory: &Path, but_for: Option<&Path>) -> io::Result<()> {
    let aside = directory.join(SET_ASIDE);
    if !aside.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&aside)? {
        let path = entry?.path();
        let is_copy = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if is_copy && but_for != Some(path.as_path()) {
            fs::remove_dir_all(path)?;
        }
    }
    // It stays if there is something else in it.
    drop(fs::remove_dir(aside));
    Ok(())
}
