//! A backup: everything that a store contains, in one file.
//!
//! In: the trees, while the writer waits; later the file. Out: the file; later a store of the same content, in a folder of its own. The
//! file is one zstd frame with a checksum: a line of JSON that says what it is, the entries of all trees, and their number at
//! the end, so that a file that is cut or damaged is never taken for a whole one.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sled::IVec;

use super::database::OpenedDatabase;
use super::files::LOG_FILE;
use super::recovery;
use super::tally::Tally;
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::{Error, closing, files, kept, verify, walk};
use crate::clock::now_us;
use crate::file;

/// Goes up when an older rowhook would misread a backup.
const VERSION: u32 = 1;

const ENTRY: u8 = 1;
const END: u8 = 0;

/// Every key and value of a store is shorter than this.
const LENGTH_MAX: u32 = 1 << 20;

/// Sled gets so many bytes between two flushes.
const FLUSH_BYTES: usize = 1 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHead {
    rowhook_backup: u32,
    /// The store's format.
    pub format: u32,
    store: String,
    pub made_at_us: u64,
    pub letters: u64,
    writes: u64,
    /// How far reading had got; none: there was no checkpoint yet.
    pub place: Option<String>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub head: BackupHead,
    pub entries: u64,
    /// Of the file.
    pub bytes: u64,
}

/// Writes a backup, which must not be there yet. Whole and durable, or not there. `step` is called now and then.
pub(super) fn write(trees: &Trees, format: u32, path: &Path, step: impl FnMut()) -> Result<Backup, Error> {
    require_place(trees, path)?;
    let head = head(trees, format)?;
    let unfinished = file::unfinished_of(path);
    let failed = |error: io::Error| Error::backup(path, &error);
    let written = entries_to(trees, &head, &unfinished, path, step).and_then(|entries| {
        fs::rename(&unfinished, path).and_then(|()| file::sync_parent(path)).map_err(failed)?;
        Ok(Backup { head, entries, bytes: fs::metadata(path).map_err(failed)?.len() })
    });
    written.inspect_err(|_| {
        // It can't be mistaken for a backup, and the disk may be full.
        drop(fs::remove_file(&unfinished));
    })
}

/// An error if the path is in the data directory, or if a file has the name.
fn require_place(trees: &Trees, path: &Path) -> Result<(), Error> {
    let folder = fs::canonicalize(path.parent().unwrap_or(Path::new(".")));
    let (kind, problem) = if folder.is_ok_and(|folder| folder.starts_with(&trees.directory)) {
        (io::ErrorKind::InvalidInput, "it would stand in the data directory; choose another place")
    } else if path.symlink_metadata().is_ok() {
        (io::ErrorKind::AlreadyExists, "there is a file of this name; choose another")
    } else {
        return Ok(());
    };
    Err(Error::backup(path, &io::Error::new(kind, problem)))
}

fn head(trees: &Trees, format: u32) -> Result<BackupHead, Error> {
    let Counters { letter_count, write_count, .. } = Counters::load(trees)?;
    let place = trees.recorded()?.main.map(|main| main.position.place().to_string());
    let store = trees.store_id()?.map(|id| id.to_string()).unwrap_or_default();
    Ok(BackupHead {
        rowhook_backup: VERSION,
        format,
        store,
        made_at_us: now_us(),
        letters: letter_count,
        writes: write_count,
        place,
    })
}

/// `named` is the later name of the file.
fn entries_to(
    trees: &Trees,
    head: &BackupHead,
    path: &Path,
    named: &Path,
    mut step: impl FnMut(),
) -> Result<u64, Error> {
    let failed = |error: io::Error| Error::backup(named, &error);
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut out = zstd::Encoder::new(BufWriter::new(file.map_err(failed)?), 3).map_err(failed)?;
    out.include_checksum(true).map_err(failed)?;
    serde_json::to_writer(&mut out, head).map_err(|error| failed(error.into()))?;
    out.write_all(b"\n").map_err(failed)?;
    let mut entries = 0_u64;
    for (tree, (_, content)) in (0_u8..).zip(trees.named()) {
        for entry in walk::all(content) {
            let (key, value) = entry.map_err(Error::read(&trees.directory))?;
            let mut write = || {
                out.write_all(&[ENTRY, tree])?;
                out.write_all(&(key.len() as u32).to_be_bytes())?;
                out.write_all(&(value.len() as u32).to_be_bytes())?;
                out.write_all(&key)?;
                out.write_all(&value)
            };
            write().map_err(failed)?;
            entries += 1;
            step();
        }
    }
    let end = || {
        out.write_all(&[END])?;
        out.write_all(&entries.to_be_bytes())?;
        let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    };
    end().map_err(failed)?;
    Ok(entries)
}

/// Opens a backup to be read.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    file::open(path).map_err(|error| Error::backup(path, &error))
}

/// Makes a store of a backup of this name, in a folder that must be empty or not there. Whole, durable, and read once in full.
pub(super) fn read(
    path: &Path,
    backup: File,
    folder: &Path,
    format_max: u32,
    restored_until_us: u64,
) -> Result<BackupHead, Error> {
    let failed = |error: io::Error| {
        let text = format!("{error}: it is cut or damaged, or no backup of rowhook; nothing was changed");
        Error::backup(path, &io::Error::new(error.kind(), text))
    };
    let mut from = BufReader::new(zstd::Decoder::new(backup).map_err(failed)?);
    let head = read_head(&mut from, format_max).map_err(failed)?;
    let mut new = NewStore::make(folder)?;
    while let Some(entry) = read_entry(&mut from).map_err(failed)? {
        if !new.add(entry)? {
            return Err(failed(damaged("an entry of no known kind")));
        }
    }
    let mut count = [0; 8];
    from.read_exact(&mut count).map_err(failed)?;
    if u64::from_be_bytes(count) != new.entries || from.read(&mut [0]).map_err(failed)? != 0 {
        return Err(failed(damaged("it does not end where it should")));
    }
    let inserted = new.database.trees.meta.insert(trees::RESTORED_UNTIL_US, &restored_until_us.to_be_bytes());
    inserted.map_err(|error| Error::write(folder, &error))?;
    new.finish(&head.store, head.format, head.place.as_deref())?;
    Ok(head)
}

fn read_head(from: &mut impl io::BufRead, format_max: u32) -> io::Result<BackupHead> {
    let mut line = Vec::new();
    from.take(u64::from(LENGTH_MAX)).read_until(b'\n', &mut line)?;
    let head: BackupHead = serde_json::from_slice(&line).map_err(|_| damaged("it is no backup of rowhook"))?;
    if head.rowhook_backup > VERSION || head.format > format_max {
        return Err(damaged("a newer rowhook made it; restore it with that one"));
    }
    Ok(head)
}

/// An entry of one tree, by the tree's index among them.
struct Entry {
    tree: u8,
    key: IVec,
    value: IVec,
}

/// None: the end.
fn read_entry(from: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut tag = [0];
    from.read_exact(&mut tag)?;
    if tag == [END] {
        return Ok(None);
    }
    let (mut tree, mut lengths) = ([0], [[0; 4]; 2]);
    from.read_exact(&mut tree)?;
    from.read_exact(lengths.as_flattened_mut())?;
    let lengths = lengths.map(u32::from_be_bytes);
    if tag != [ENTRY] || lengths.iter().any(|length| *length > LENGTH_MAX) {
        return Err(damaged("an entry has no length"));
    }
    let mut parts = lengths.map(|length| vec![0; length as usize]);
    for part in &mut parts {
        from.read_exact(part)?;
    }
    let [key, value] = parts;
    Ok(Some(Entry { tree: tree[0], key: key.into(), value: value.into() }))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A store that is being made, in a folder of its own.
pub(super) struct NewStore<'f> {
    folder: &'f Path,
    database: OpenedDatabase,
    /// Since the last flush.
    bytes: usize,
    entries: u64,
}

impl NewStore<'_> {
    pub(super) fn make(folder: &Path) -> Result<NewStore<'_>, Error> {
        files::make_directory(folder).map_err(Error::directory(folder, "create it"))?;
        Ok(NewStore { folder, database: recovery::open(folder, None)?, bytes: 0, entries: 0 })
    }

    /// Its trees, which must be dropped before it is finished.
    pub(super) fn trees(&self) -> Trees {
        self.database.trees.clone()
    }

    /// Adds an entry to a tree, by the tree's index among them. False: there is no such tree.
    fn add(&mut self, Entry { tree, key, value }: Entry) -> Result<bool, Error> {
        let trees = self.trees();
        let Some((_, tree)) = trees.named().get(usize::from(tree)).copied() else { return Ok(false) };
        self.entries += 1;
        self.insert(tree, key, value).map(|()| true)
    }

    /// Adds an entry to one of its trees.
    pub(super) fn insert(
        &mut self,
        tree: &sled::Tree,
        key: impl AsRef<[u8]>,
        value: impl Into<IVec>,
    ) -> Result<(), Error> {
        let value = value.into();
        self.bytes += key.as_ref().len() + value.len();
        tree.insert(key, value).map_err(|error| Error::write(self.folder, &error))?;
        if self.bytes >= FLUSH_BYTES {
            self.flush()?;
            self.bytes = 0;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Error> {
        self.database.db.flush().map(drop).map_err(|error| Error::write(self.folder, &error))
    }

    /// Reads all of it once and closes it, with its tally. Durable.
    pub(super) fn finish(self, store: &str, format: u32, place: Option<&str>) -> Result<(), Error> {
        self.flush()?;
        let NewStore { folder, database: OpenedDatabase { db, trees, .. }, .. } = self;
        let found = verify::all(&trees, || {});
        if found.is_incomplete {
            // It is made in the data directory.
            let directory = folder.parent().unwrap_or(folder).to_path_buf();
            return Err(Error::Incomplete { directory, missing: found.in_short() });
        }
        let mut tally = Tally::of_closed(store, format, Counters::load(&trees)?);
        if let Some(place) = place {
            tally.set_place(place);
        }
        kept::keep(folder, &mut tally).map_err(|error| Error::write_io(folder, &error))?;
        drop((trees, db));
        for name in [LOG_FILE, kept::CONF] {
            let synced = File::open(folder.join(name)).and_then(|file| file.sync_all());
            synced.map_err(|error| Error::write_io(folder, &error))?;
        }
        closing::settle(folder, tally)
    }
}

/// Makes a store with the same content, in a folder that must be empty or not there: its log contains nothing that was removed.
pub(super) fn copy(trees: &Trees, format: u32, folder: &Path) -> Result<(), Error> {
    let head = head(trees, format)?;
    let mut new = NewStore::make(folder)?;
    for (tree, (_, content)) in (0_u8..).zip(trees.named()) {
        for entry in walk::all(content) {
            let (key, value) = entry.map_err(Error::read(&trees.directory))?;
            new.add(Entry { tree, key, value })?;
        }
    }
    new.finish(&head.store, head.format, head.place.as_deref())
}
