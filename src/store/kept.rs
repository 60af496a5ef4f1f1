//! Copies of what sled keeps beside its log: its index of the log (the snapshot) and its settings.
//!
//! In: the data directory and the tally. Out: whether sled's files are those that it left; copies to replace them. Sled makes a
//! snapshot only at an opening, and can't always do without one: it takes a segment that it had freed for the end of the log, and
//! zeroes what comes after. So a copy is made right after each opening and at an orderly end (`closing`), and the last two are
//! kept.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::files::{self, FORMAT_FILE, LOG_FILE};
use super::tally::{KnownFile, Tally};
use crate::file;

/// The folder of the copies.
pub(super) const FOLDER: &str = "kept";
const COPIES_MAX: usize = 2;

const SNAPSHOT_PREFIX: &str = "snap.";
/// What sled calls a snapshot that it has not finished.
const HALF_SNAPSHOT_SUFFIX: &str = ".generating";
pub(super) const CONF: &str = "conf";

/// A snapshot ends with its length (8 bytes) and its CRC-32 (4), little-endian.
const SNAPSHOT_TAIL_BYTES: usize = 12;

/// A snapshot that sled may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub name: String,
    pub content: Vec<u8>,
}

impl Snapshot {
    /// Whether it is as sled wrote it, by sled's own checksum.
    fn is_whole(&self) -> bool {
        let Some((content, tail)) = self.content.split_last_chunk::<SNAPSHOT_TAIL_BYTES>() else { return false };
        let (_, checksum) = tail.split_at(8);
        !content.is_empty() && crc32fast::hash(content).to_le_bytes() == checksum
    }
}

/// The state of sled's file beside the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FoundFiles {
    /// What sled left there, or a copy that is the same.
    AsLeft,
    /// Something else. What may be tried instead, the likeliest first; none: open without a snapshot.
    Other { tries: Vec<Option<Snapshot>>, problem: String },
}

/// Compares snapshot and settings with what the tally knows, and puts copies back where one is the same as what is missing.
/// Without a tally, sled's own checksum decides.
pub(super) fn inspect(directory: &Path, tally: Option<&Tally>) -> io::Result<FoundFiles> {
    if let Some(known) = tally.and_then(|tally| tally.conf.as_ref()) {
        put_back(directory, known)?;
    }
    let newest = newest_in(directory)?;
    let known = tally.and_then(|tally| tally.snapshot.as_ref());
    match (known, newest) {
        (None, None) if tally.is_some() || !directory.join(LOG_FILE).exists() => Ok(FoundFiles::AsLeft),
        // An earlier version's: its first snapshot is made at its second opening.
        (None, None) => Ok(FoundFiles::Other { tries: vec![None], problem: "there is no snapshot".to_string() }),
        // Sled made it at an opening that was cut short, or an earlier version did.
        (None, Some(newest)) if newest.is_whole() && tally.is_none() => Ok(FoundFiles::AsLeft),
        (None, Some(newest)) => other(directory, Some(newest), "a snapshot was not made by this version"),
        (Some(known), Some(newest)) if newest.name == known.name && known.is(&newest.content) => Ok(FoundFiles::AsLeft),
        (Some(known), newest) => {
            let is_newer = newest.as_ref().is_some_and(|newest| newest.name > known.name);
            if !is_newer && put_back(directory, known)? {
                remove_others(directory, &known.name)?;
                return Ok(FoundFiles::AsLeft);
            }
            other(directory, newest, "its snapshot is not the one that was there")
        }
    }
}

fn other(directory: &Path, newest: Option<Snapshot>, problem: &str) -> io::Result<FoundFiles> {
    let copies = list(&directory.join(FOLDER))?;
    let whole = newest.into_iter().chain(copies.into_iter().rev()).filter(Snapshot::is_whole);
    let tries = whole.map(Some).chain([None]).collect();
    Ok(FoundFiles::Other { tries, problem: problem.to_string() })
}

/// Replaces a file by its copy if the file is not the known one. Returns whether the file is the known one afterwards.
fn put_back(directory: &Path, known: &KnownFile) -> io::Result<bool> {
    let path = directory.join(&known.name);
    if files::read(&path)?.is_some_and(|content| known.is(&content)) {
        return Ok(true);
    }
    match files::read(&directory.join(FOLDER).join(&known.name))?.filter(|copy| known.is(copy)) {
        Some(copy) => {
            file::put(&path, &copy)?;
            tracing::warn!(file = %path.display(), "was damaged or missing; restored from its copy");
            Ok(true)
        }
        None => Ok(false),
    }
}

/// Makes this the only snapshot.
pub(super) fn place(directory: &Path, snapshot: Option<&Snapshot>) -> io::Result<()> {
    if let Some(Snapshot { name, content }) = snapshot {
        file::put(&directory.join(name), content)?;
    }
    remove_others(directory, snapshot.map_or("", |snapshot| &snapshot.name))
}

/// Copies sled's files, and records them in the tally. To be called right after sled was opened.
pub(super) fn keep(directory: &Path, tally: &mut Tally) -> io::Result<()> {
    let folder = directory.join(FOLDER);
    files::make_directory(&folder)?;
    let conf = files::read(&directory.join(CONF))?.map(|content| (CONF.to_string(), content));
    let snapshot = newest_in(directory)?.map(|snapshot| (snapshot.name, snapshot.content));
    tally.conf = copy(&folder, conf)?;
    tally.snapshot = copy(&folder, snapshot)?;
    let mut copies = paths(&folder)?;
    copies.sort();
    let old = copies.len().saturating_sub(COPIES_MAX);
    copies[..old].iter().try_for_each(fs::remove_file)
}

/// Sled creates its snapshots with the mode that the process's umask gives them.
pub(super) fn restrict(directory: &Path) -> io::Result<()> {
    paths(directory)?.iter().try_for_each(|path| fs::set_permissions(path, Permissions::from_mode(0o600)))
}

fn copy(folder: &Path, file: Option<(String, Vec<u8>)>) -> io::Result<Option<KnownFile>> {
    let Some((name, content)) = file else { return Ok(None) };
    let known = KnownFile::of(&name, &content);
    let copy = folder.join(&name);
    if files::read(&copy)?.is_none_or(|there| !known.is(&there)) {
        file::put(&copy, &content)?;
    }
    Ok(Some(known))
}

/// The one that sled would take.
fn newest_in(directory: &Path) -> io::Result<Option<Snapshot>> {
    Ok(list(directory)?.pop())
}

/// The log position up to which the snapshot contains all: sled names the file so, in hexadecimal digits. 0 without a snapshot.
pub(super) fn reaches(directory: &Path) -> io::Result<u64> {
    let newest = paths(directory)?.into_iter().max();
    let name = newest.as_ref().and_then(|path| path.file_name()?.to_str());
    let digits = name.and_then(|name| name.strip_prefix(SNAPSHOT_PREFIX));
    Ok(digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0))
}

/// The snapshots of a folder, the oldest first.
fn list(folder: &Path) -> io::Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    for path in paths(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push(Snapshot { name, content: fs::read(&path)? });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Where the snapshots of a folder are, in no order.
pub(super) fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(SNAPSHOT_PREFIX) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove_others(directory: &Path, name: &str) -> io::Result<()> {
    for path in paths(directory)? {
        if path.file_name().is_none_or(|found| *found != *name) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// What a kill left half-written: sled takes such a snapshot for the newest one, and refuses to open.
pub(super) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for folder in [directory.to_path_buf(), directory.join(FOLDER)] {
        let known = [LOG_FILE, CONF, FORMAT_FILE].map(|name| file::unfinished_of(&folder.join(name)));
        let known = known.into_iter().filter(|path| path.exists());
        let is_unfinished = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(HALF_SNAPSHOT_SUFFIX) || name.ends_with(file::UNFINISHED)
        };
        known.chain(paths(&folder)?.into_iter().filter(is_unfinished)).try_for_each(fs::remove_file)?;
    }
    Ok(())
}
