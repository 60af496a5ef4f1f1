//! The tally: a small file beside sled that says what the store must contain.
//!
//! In: what was made durable. Out: the same after a restart, even if sled's files are damaged or gone. So a store that
//! lost acknowledged writes differs from a new one and from a whole one. One file has two slots that are written in
//! turn, each with a checksum: a power cut while one is written leaves the other. Written after sled's own sync and
//! before the answer. If only low-water marks changed, it is written from time to time: their loss costs repeats and no
//! data.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::transaction::Counters;
use super::{Error, files};

pub(super) const FILE: &str = "tally";

/// One disk block, so that a write of one slot touches no other.
const SLOT_BYTES: usize = 4096;
const SLOTS: u64 = 2;

/// CRC-32 of what follows (4 bytes, big-endian), length of the text (4), the text.
const HEAD_BYTES: usize = 8;

/// A position in a binlog is cut to this length, so that a tally always fits.
const PLACE_CHARS_MAX: usize = 300;

/// What the store must contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Goes up with each time it is written.
    pub turn: u64,
    /// The id of the store that it belongs to.
    pub store: String,
    /// The store's format.
    pub format: u32,
    /// Transactions that were made durable.
    pub writes: u64,
    /// The number that the next dead letter gets.
    pub next_number: u64,
    pub letter_count: u64,
    /// Nothing was written after it: the store was closed in an orderly way.
    pub is_closed: bool,
    /// The position of the main stream, for people; None: there was no checkpoint yet.
    pub place: Option<String>,
    /// Sled's index of its log as of the last opening.
    pub snapshot: Option<KnownFile>,
    /// Sled's file of settings.
    pub conf: Option<KnownFile>,
}

/// A file of sled's that does not change while the store is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFile {
    pub name: String,
    pub bytes: u64,
    /// CRC-32.
    pub checksum: u32,
}

impl KnownFile {
    pub fn of(name: &str, content: &[u8]) -> KnownFile {
        KnownFile { name: name.to_string(), bytes: content.len() as u64, checksum: crc32fast::hash(content) }
    }

    pub fn is(&self, content: &[u8]) -> bool {
        KnownFile::of(&self.name, content) == *self
    }
}

impl Tally {
    /// The tally of a store that has none yet.
    pub fn new(store: Uuid, format: u32) -> Tally {
        Tally {
            turn: 0,
            store: store.to_string(),
            format,
            writes: 0,
            next_number: 1,
            letter_count: 0,
            is_closed: false,
            place: None,
            snapshot: None,
            conf: None,
        }
    }

    /// The tally of a store that was made and closed.
    pub fn of_closed(store: &str, format: u32, counters: Counters) -> Tally {
        let mut tally = Tally { store: store.to_string(), is_closed: true, ..Tally::new(Uuid::nil(), format) };
        tally.count(counters);
        tally
    }

    pub fn count(&mut self, counters: Counters) {
        let Counters { next_number, letter_count, write_count, .. } = counters;
        (self.writes, self.next_number, self.letter_count) = (write_count, next_number, letter_count);
    }

    pub fn set_place(&mut self, place: &str) {
        self.place = Some(place.chars().take(PLACE_CHARS_MAX).collect());
    }
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoredTally {
    /// There is none: a new store, or one of an earlier version.
    Missing,
    /// Neither slot can be read.
    Damaged,
    Known(Tally),
}

pub(super) fn read(directory: &Path) -> Result<StoredTally, Error> {
    let mut content = Vec::new();
    let read = |file: File| file.take(SLOT_BYTES as u64 * SLOTS).read_to_end(&mut content);
    match File::open(directory.join(FILE)).and_then(read) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(StoredTally::Missing),
        Err(error) => return Err(Error::directory(directory, "read the tally")(error)),
    }
    let newest = content.chunks(SLOT_BYTES).filter_map(parse).max_by_key(|tally| tally.turn);
    Ok(newest.map_or(StoredTally::Damaged, StoredTally::Known))
}

fn parse(slot: &[u8]) -> Option<Tally> {
    let (checksum, rest) = slot.split_first_chunk::<4>()?;
    let (length, text) = rest.split_first_chunk::<4>()?;
    let text = text.get(..u32::from_be_bytes(*length) as usize)?;
    let is_whole = crc32fast::hash(&rest[..4 + text.len()]) == u32::from_be_bytes(*checksum);
    is_whole.then(|| serde_json::from_slice(text).ok()).flatten()
}

/// The open file.
#[derive(Debug)]
pub(super) struct TallyFile {
    file: File,
    pub tally: Tally,
    pub written_at: Instant,
}

impl TallyFile {
    /// Opens the file, or makes one, and writes the tally. Durable.
    pub fn create(directory: &Path, tally: Tally) -> Result<TallyFile, Error> {
        let path = directory.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| Error::write_io(directory, &error))?;
        let mut open = TallyFile { file, tally, written_at: Instant::now() };
        // Both slots are written, so that neither is an older store's.
        open.write().map_err(|error| Error::write_io(directory, &error))?;
        open.write().map_err(|error| Error::write_io(directory, &error))?;
        files::sync_directory(directory)?;
        Ok(open)
    }

    /// Writes it into the slot that is the older one. Durable.
    pub fn write(&mut self) -> std::io::Result<()> {
        self.tally.turn += 1;
        self.written_at = Instant::now();
        let text = serde_json::to_vec(&self.tally).map_err(std::io::Error::other)?;
        let mut slot = vec![0; SLOT_BYTES];
        slot[4..HEAD_BYTES].copy_from_slice(&(text.len() as u32).to_be_bytes());
        slot[HEAD_BYTES..HEAD_BYTES + text.len()].copy_from_slice(&text);
        let checksum = crc32fast::hash(&slot[4..HEAD_BYTES + text.len()]);
        slot[..4].copy_from_slice(&checksum.to_be_bytes());
        self.file.write_all_at(&slot, self.tally.turn % SLOTS * SLOT_BYTES as u64)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(directory: &Path, times: u64) -> TallyFile {
        let mut file = TallyFile::create(directory, Tally::new(Uuid::from_u128(7), 4)).expect("a file");
        for writes in 1..=times {
            file.tally.writes = writes;
            file.write().expect("written");
        }
        file
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(read(directory.path()).expect("readable"), StoredTally::Missing);
        let tally = written(directory.path(), 5).tally;
        assert_eq!(read(directory.path()).expect("readable"), StoredTally::Known(tally.clone()));
        let path = directory.path().join(FILE);
        let whole = std::fs::read(&path).expect("the file");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).expect("written");
            match read(directory.path()).expect("readable") {
                StoredTally::Known(found) => assert!(tally.writes - found.writes <= 1, "byte {at}: {found:?}"),
                other => panic!("byte {at}: {other:?}"),
            }
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).expect("written");
            let found = read(directory.path()).expect("readable");
            let is_first_slot_whole = parse(&whole[..length]).is_some();
            assert_eq!(matches!(found, StoredTally::Known(_)), is_first_slot_whole, "cut to {length}");
        }
    }

    #[test]
    fn a_tally_fits_its_slot_whatever_the_place_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = written(directory.path(), 1);
        file.tally.set_place(&"\u{1}".repeat(5000));
        file.tally.snapshot = Some(KnownFile::of("snap.0000000000000001", b"x"));
        file.write().expect("it fits");
        assert_eq!(read(directory.path()).expect("readable"), StoredTally::Known(file.tally));
    }
}
