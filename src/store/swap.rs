//! Replacing the old store by a new one, so that a kill at any moment leaves one of the two whole.
//!
//! In: a data directory with a whole store in the folder `new-store`. Out: the new store in the data directory; the old one in
//! `set-aside`, or removed. Two marker files in the new folder say how far the swap is, and every opening of the store finishes what
//! was begun. A folder without a marker file is what a kill left of a store that was being made, and is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{FORMAT_FILE, LOG_FILE};
use super::{files, kept, original, tally};
use crate::clock::now_us;
use crate::file;

pub(super) const FOLDER: &str = "new-store";
/// What [`finish`] does, for messages.
pub(super) const FINISH: &str = "put a new store in its place";
/// Where replaced stores are moved, each with what replaced it and the second of the swap in its name.
const OLD_STORES: &str = "set-aside/before-";
/// The new store is whole. Contains where the old one is moved, or nothing.
const WHOLE: &str = "whole";
/// The new store is whole, and nothing of the old one is left in the data directory. The name stands on disk.
const OLD_STORE_GONE: &str = "old-is-away";

/// What becomes of the old store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// With a name of what replaces it.
    SetAside(&'static str),
    Remove,
}

/// Where a new store is made. What a kill left there is removed.
pub(super) fn prepare(directory: &Path) -> io::Result<PathBuf> {
    let folder = directory.join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(folder)
}

/// From now on the folder counts as a whole store. Returns where the old store will be moved. Files that earlier openings set
/// aside belong to the old store, and are removed.
pub(super) fn begin(directory: &Path, old: Old) -> io::Result<Option<PathBuf>> {
    original::forget(directory, None)?;
    let now_s = now_us() / 1_000_000;
    let aside = match old {
        Old::Remove => None,
        Old::SetAside(by) => {
            let mut names = (now_s..).map(|second| format!("{OLD_STORES}{by}-{second}"));
            names.find(|name| !directory.join(name).exists())
        }
    };
    file::put(&directory.join(FOLDER).join(WHOLE), aside.as_deref().unwrap_or_default().as_bytes())?;
    files::sync(directory)?;
    Ok(aside.map(|name| directory.join(name)))
}

/// Finishes what was begun, if anything was.
pub(super) fn finish(directory: &Path) -> io::Result<()> {
    while step(directory)? {}
    Ok(())
}

/// Leaves the directory as a kill after so many steps does. True: nothing was left to do.
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
    let old_store_gone = folder.join(OLD_STORE_GONE);
    let mark = files::read(&folder.join(WHOLE))?.filter(|_| is_whole(&folder));
    if let Some(aside) = mark {
        match store_files(directory)?.first() {
            Some(path) => set_aside_or_remove(directory, path, &String::from_utf8_lossy(&aside))?,
            None => fs::rename(folder.join(WHOLE), &old_store_gone)?,
        }
        files::sync(&folder)?;
    } else if let Some(path) = store_files(&folder)?.first().filter(|_| old_store_gone.exists()) {
        let place = directory.join(path.file_name().unwrap_or_default());
        // Nothing of the old store is there; what is there belongs to the new one.
        if place.exists() { remove(path)? } else { fs::rename(path, place)? }
    } else {
        fs::remove_dir_all(&folder)?;
    }
    files::sync(directory)?;
    Ok(true)
}

/// A marker file alone is no store.
fn is_whole(folder: &Path) -> bool {
    let is_there = |name: &str| fs::metadata(folder.join(name)).is_ok_and(|file| file.len() > 0);
    [LOG_FILE, tally::FILE, FORMAT_FILE].into_iter().all(is_there)
}

/// Moves the path to the folder `aside` below the directory; removes it if `aside` is empty.
fn set_aside_or_remove(directory: &Path, path: &Path, aside: &str) -> io::Result<()> {
    if !aside.starts_with(OLD_STORES) {
        return remove(path);
    }
    let aside = directory.join(aside);
    files::make_directory(&aside)?;
    fs::rename(path, aside.join(path.file_name().unwrap_or_default()))
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
