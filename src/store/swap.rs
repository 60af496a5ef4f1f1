//! Putting a new store in the place of the old one, so that a kill at any moment leaves one of the two whole.
//!
//! In: a data directory with a whole store in the folder `new-store`. Out: the new store in its place; the old one in `set-aside`, or
//! gone. Two marks in the new folder say how far it is, and every opening of the store finishes what was begun. A folder without a
//! mark is what a kill left of a store that was being made, and goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::open::FORMAT_FILE;
use super::recovery::LOG_FILE;
use super::{files, kept, tally};

pub(super) const FOLDER: &str = "new-store";
/// Where a store goes that another one takes the place of.
pub(super) const OLD_STORE: &str = "set-aside/before-restore";
/// The new store is whole. Holds what becomes of the old one.
const WHOLE: &str = "whole";
/// And nothing of the old one is in its place any more.
const OLD_IS_AWAY: &str = "old-is-away";

/// What becomes of the old store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// Goes to [`OLD_STORE`], in place of one that is there.
    SetAside,
    Remove,
}

/// Where a new store is made. What a kill left there goes.
pub(super) fn prepare(directory: &Path) -> io::Result<PathBuf> {
    let folder = directory.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(folder)
}

/// Takes the folder for a whole store from now on.
pub(super) fn begin(directory: &Path, old: Old) -> io::Result<()> {
    let text: &[u8] = match old {
        Old::SetAside => b"set aside\n",
        Old::Remove => b"remove\n",
    };
    files::put(&directory.join(FOLDER).join(WHOLE), text)
}

/// Finishes what was begun, if anything was.
pub(super) fn finish(directory: &Path) -> io::Result<()> {
    while step(directory)? {}
    Ok(())
}

/// As a kill after so many steps leaves it; whether there was no more to do.
#[cfg(test)]
pub(super) fn finish_until(directory: &Path, steps: usize) -> io::Result<bool> {
    for _ in 0..steps {
        if !step(directory)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One step, after which a kill does no harm. False: nothing is left to do.
fn step(directory: &Path) -> io::Result<bool> {
    let folder = directory.join(FOLDER);
    if !folder.exists() {
        return Ok(false);
    }
    let away = folder.join(OLD_IS_AWAY);
    if let Some(old) = files::read(&folder.join(WHOLE))? {
        let old = if old == b"remove\n" { Old::Remove } else { Old::SetAside };
        match store_files(directory)?.first() {
            Some(path) => take_away(directory, path, old)?,
            None => fs::rename(folder.join(WHOLE), &away)?,
        }
        files::sync(&folder)?;
    } else if let Some(path) = store_files(&folder)?.first().filter(|_| away.exists()) {
        fs::rename(path, directory.join(path.file_name().unwrap_or_default()))?;
    } else {
        fs::remove_dir_all(&folder)?;
    }
    files::sync(directory)?;
    Ok(true)
}

fn take_away(directory: &Path, path: &Path, old: Old) -> io::Result<()> {
    if old == Old::Remove {
        return remove(path);
    }
    let aside = directory.join(OLD_STORE);
    files::make_directory(&aside)?;
    let to = aside.join(path.file_name().unwrap_or_default());
    remove(&to)?;
    fs::rename(path, to)
}

/// The files and folders of a store, whether it is whole or not.
fn store_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let names = [LOG_FILE, kept::CONF, "blobs", kept::FOLDER, tally::FILE, FORMAT_FILE];
    let mut found: Vec<PathBuf> =
        names.map(|name| directory.join(name)).into_iter().filter(|path| path.exists()).collect();
    found.extend(kept::paths(directory)?);
    Ok(found)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
