//! A backup: everything that a store holds, in one file.
//!
//! In: the trees, while nobody writes; later the file. Out: the file; later a store of the same content, in a folder of its own. The
//! file is one zstd frame with a checksum: a line of JSON that says what it is, the entries of all trees, and their number at
//! the end, so that a file that is cut or damaged is never taken for a whole one.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::recovery::{self, Database, LOG_FILE};
use super::tally::{Tally, TallyFile};
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::{Error, files, kept, verify};
use crate::clock::now_us;

/// Goes up when an older rowhook would misread a backup.
const VERSION: u32 = 1;

const ENTRY: u8 = 1;
const END: u8 = 0;

/// No key or value of a store is as long.
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
    /// Where reading had got to; none: there was no checkpoint yet.
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
    let head = head(trees, format)?;
    if fs::canonicalize(path.parent().unwrap_or(Path::new(".")))
        .is_ok_and(|folder| folder.starts_with(&trees.directory))
    {
        let within =
            io::Error::new(io::ErrorKind::InvalidInput, "it would stand in the data directory; choose another place");
        return Err(Error::backup(path, &within));
    }
    if path.symlink_metadata().is_ok() {
        let exists = io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of this name; choose another");
        return Err(Error::backup(path, &exists));
    }
    let unfinished = files::unfinished_of(path);
    let written = entries_to(trees, &head, &unfinished, step).map_err(|error| match error {
        Error::Backup { source, .. } => Error::Backup { path: path.to_path_buf(), source },
        other => other,
    });
    let finish = |entries| {
        std::fs::rename(&unfinished, path)?;
        files::sync(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        Ok(Backup { head, entries, bytes: std::fs::metadata(path)?.len() })
    };
    written.and_then(|entries| finish(entries).map_err(|error: io::Error| Error::backup(path, &error))).inspect_err(
        |_| {
            // Nobody takes it for a backup, and the disk may be full.
            let _ = std::fs::remove_file(&unfinished);
        },
    )
}

fn head(trees: &Trees, format: u32) -> Result<BackupHead, Error> {
    let Counters { letter_count, write_count, .. } = Counters::load(trees)?;
    let place = trees.recorded()?.main.map(|main| main.position.file.to_string());
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

fn entries_to(trees: &Trees, head: &BackupHead, path: &Path, mut step: impl FnMut()) -> Result<u64, Error> {
    let failed = |error: io::Error| Error::backup(path, &error);
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut out = zstd::Encoder::new(BufWriter::new(file.map_err(failed)?), 3).map_err(failed)?;
    out.include_checksum(true).map_err(failed)?;
    serde_json::to_writer(&mut out, head).map_err(|error| failed(error.into()))?;
    out.write_all(b"\n").map_err(failed)?;
    let mut entries = 0_u64;
    for (tree, (_, content)) in (0_u8..).zip(trees.named()) {
        for entry in content.iter() {
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

/// Makes a store of a backup, in a folder that must be empty or not there. Whole, durable, and read once in full.
pub(super) fn read(path: &Path, folder: &Path, format_max: u32, restored_until_us: u64) -> Result<BackupHead, Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Error::backup(path, &error),
        _ => {
            let text = format!("{error}: it is cut or damaged, or no backup of rowhook; nothing was changed");
            Error::backup(path, &io::Error::new(error.kind(), text))
        }
    };
    let mut from = BufReader::new(zstd::Decoder::new(File::open(path).map_err(failed)?).map_err(failed)?);
    let head = read_head(&mut from, format_max).map_err(failed)?;
    let mut database = make(folder)?;
    let mut bytes = 0;
    let mut entries = 0_u64;
    while let Some(Entry { tree, key, value }) = read_entry(&mut from).map_err(failed)? {
        let Some((_, tree)) = database.trees.named().get(usize::from(tree)).copied() else {
            return Err(failed(damaged("an entry of no known kind")));
        };
        bytes += key.len() + value.len();
        tree.insert(key, value).map_err(|error| Error::write(folder, &error))?;
        if bytes >= FLUSH_BYTES {
            database.db.flush().map_err(|error| Error::write(folder, &error))?;
            bytes = 0;
        }
        entries += 1;
    }
    let mut count = [0; 8];
    from.read_exact(&mut count).map_err(failed)?;
    if u64::from_be_bytes(count) != entries || from.read(&mut [0]).map_err(failed)? != 0 {
        return Err(failed(damaged("it does not end where it should")));
    }
    let inserted = database.trees.meta.insert(trees::RESTORED_UNTIL_US, &restored_until_us.to_be_bytes());
    inserted.map_err(|error| Error::write(folder, &error))?;
    database.counters = Counters::load(&database.trees)?;
    finish(database, folder, &head)?;
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

/// Of one tree, by its place among them.
struct Entry {
    tree: u8,
    key: Vec<u8>,
    value: Vec<u8>,
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
    Ok(Some(Entry { tree: tree[0], key, value }))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn make(folder: &Path) -> Result<Database, Error> {
    files::make_directory(folder).map_err(Error::directory(folder, "create it"))?;
    recovery::open(folder, None)
}

/// Closes a store that was made, with its tally.
fn finish(database: Database, folder: &Path, head: &BackupHead) -> Result<(), Error> {
    let Database { db, trees, counters } = database;
    db.flush().map_err(|error| Error::write(folder, &error))?;
    let found = verify::all(&trees, || {});
    if let Some(problem) = found.problems.first() {
        return Err(Error::Corrupt { directory: folder.to_path_buf(), detail: problem.clone() });
    }
    let mut tally = Tally::of_closed(&head.store, head.format, counters);
    if let Some(place) = &head.place {
        tally.set_place(place);
    }
    kept::keep(folder, &mut tally).map_err(|error| Error::write_io(folder, &error))?;
    drop((trees, db));
    let sync = || {
        for name in [LOG_FILE, kept::CONF] {
            File::open(folder.join(name))?.sync_all()?;
        }
        io::Result::Ok(())
    };
    sync().map_err(|error| Error::write_io(folder, &error))?;
    TallyFile::create(folder, tally).map(drop)
}

/// Makes a store with the same content, in a folder that must be empty or not there: its log holds nothing that is gone.
pub(super) fn copy(trees: &Trees, format: u32, folder: &Path) -> Result<(), Error> {
    let head = head(trees, format)?;
    let mut database = make(folder)?;
    for ((_, from), (_, to)) in trees.named().into_iter().zip(database.trees.named()) {
        let mut bytes = 0;
        for entry in from.iter() {
            let (key, value) = entry.map_err(Error::read(&trees.directory))?;
            bytes += key.len() + value.len();
            to.insert(key, value).map_err(|error| Error::write(folder, &error))?;
            if bytes >= FLUSH_BYTES {
                database.db.flush().map_err(|error| Error::write(folder, &error))?;
                bytes = 0;
            }
        }
    }
    database.counters = Counters::load(&database.trees)?;
    finish(database, folder, &head)
}
