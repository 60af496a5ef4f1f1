//! Records of any length in a tree whose values must stay short.
//!
//! In: a record's bytes. Out: chunks of at most 4,096 bytes under the record's name and a running number, and back.
//! Longer values would go to files of their own that sled 0.34 never deletes. A frame before the bytes contains format
//! version, checksum and length, so that a record is never read torn or half replaced. Knows nothing of the contents.

use std::ops::Range;

use sled::IVec;
use sled::transaction::{TransactionalTree, UnabortableTransactionError};

pub(super) const CHUNK_BYTES_MAX: usize = 4096;

/// Version of what is in the records; a newer one comes with a newer store format.
const RECORD_VERSION: u8 = 1;

/// Version (1 byte), CRC-32 of the bytes (4), length of the bytes (8), big-endian.
const FRAME_BYTES: usize = 13;

/// A record ready to be cut.
#[derive(Debug, Clone)]
pub(super) struct Framed(Vec<u8>);

/// Why the bytes found are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("its frame has {0} bytes")]
    Frame(usize),
    #[error("it has version {0}, expected {RECORD_VERSION}")]
    Version(u8),
    #[error("chunk {0} is missing")]
    Missing(u32),
    #[error("its checksum is wrong")]
    Checksum,
    #[error("{0}")]
    Content(String),
}

impl Damage {
    /// An unknown word in a record.
    pub(super) fn unknown(what: &str, word: &str) -> Damage {
        Damage::Content(format!("`{word}` is no {what}"))
    }
}

impl Framed {
    /// Frames the JSON text of a record.
    pub(super) fn json(record: &impl serde::Serialize) -> Framed {
        Framed::new(|bytes| {
            serde_json::to_writer(bytes, record).expect("records have string keys and no failing parts");
        })
    }

    /// Frames what is written.
    pub(super) fn new(write: impl FnOnce(&mut Vec<u8>)) -> Framed {
        let mut bytes = vec![0; FRAME_BYTES];
        write(&mut bytes);
        let (frame, content) = bytes.split_at_mut(FRAME_BYTES);
        frame[0] = RECORD_VERSION;
        frame[1..5].copy_from_slice(&crc32fast::hash(content).to_be_bytes());
        frame[5..].copy_from_slice(&(content.len() as u64).to_be_bytes());
        Framed(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is framed.
    pub(super) fn content(&self) -> &[u8] {
        &self.0[FRAME_BYTES..]
    }

    /// The chunks in order, each with its number.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..).zip(self.0.chunks(CHUNK_BYTES_MAX))
    }

    #[cfg(test)]
    pub(super) fn read_back(&self) -> Vec<u8> {
        read::<Damage>(|chunk| Ok(self.chunks().nth(chunk as usize).map(|(_, bytes)| bytes.into())))
            .expect("whole")
            .expect("there")
    }

    pub(super) fn chunk_count(&self) -> u32 {
        u32::try_from(self.0.len().div_ceil(CHUNK_BYTES_MAX)).expect("a record in memory is below 16 TiB")
    }
}

/// The key of one chunk: the record's name, then the chunk's number, so that chunks stand in order.
pub(super) fn key(name: &[u8], chunk: u32) -> Vec<u8> {
    [name, &chunk.to_be_bytes()].concat()
}

/// Puts a record together from its chunks, which `get` fetches by number. `None` if the first one is not there.
pub(super) fn read<E: From<Damage>>(mut get: impl FnMut(u32) -> Result<Option<IVec>, E>) -> Result<Option<Vec<u8>>, E> {
    let Some(first) = get(0)? else { return Ok(None) };
    let frame = Frame::parse(&first)?;
    let mut content = first[FRAME_BYTES..].to_vec();
    for chunk in 1..frame.chunk_count() {
        content.extend_from_slice(&get(chunk)?.ok_or(Damage::Missing(chunk))?);
    }
    if content.len() as u64 != frame.content_bytes || crc32fast::hash(&content) != frame.checksum {
        return Err(Damage::Checksum.into());
    }
    Ok(Some(content))
}

/// The length of a record, by its first chunk.
pub(super) fn content_bytes(first: &[u8]) -> Result<u64, Damage> {
    Frame::parse(first).map(|frame| frame.content_bytes)
}

pub(super) fn decode<'a, T: serde::Deserialize<'a>>(content: &'a [u8]) -> Result<T, Damage> {
    serde_json::from_slice(content).map_err(|error| Damage::Content(error.to_string()))
}

/// Writes a record within a transaction, over the one of this name if there is one.
pub(super) fn put(tree: &TransactionalTree, name: &[u8], framed: &Framed) -> Result<(), UnabortableTransactionError> {
    let mut next = 0;
    for (chunk, bytes) in framed.chunks() {
        tree.insert(key(name, chunk), bytes)?;
        next = chunk + 1;
    }
    remove(tree, name, next..u32::MAX)?;
    Ok(())
}

/// What must be written to get from some records to others of the same tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Edits {
    pub put: Vec<(Vec<u8>, Framed)>,
    pub remove: Vec<Vec<u8>>,
}

impl Edits {
    pub(super) fn len_bytes(&self) -> usize {
        let put: usize = self.put.iter().map(|(name, record)| name.len() + record.len()).sum();
        put + self.remove.iter().map(Vec::len).sum::<usize>()
    }

    /// Adds further records to be written.
    pub(super) fn append(&mut self, mut others: Edits) {
        self.put.append(&mut others.put);
        self.remove.append(&mut others.remove);
    }

    pub(super) fn apply(&self, tree: &TransactionalTree) -> Result<(), UnabortableTransactionError> {
        for (name, record) in &self.put {
            put(tree, name, record)?;
        }
        for name in &self.remove {
            remove(tree, name, 0..u32::MAX)?;
        }
        Ok(())
    }
}

/// Removes these chunks of a record within a transaction. Says whether the first of them was there.
///
/// Chunks follow one another without a gap: the first one missing is the end, whatever a damaged frame says.
pub(super) fn remove(
    tree: &TransactionalTree,
    name: &[u8],
    chunks: Range<u32>,
) -> Result<bool, UnabortableTransactionError> {
    let mut found = false;
    for chunk in chunks {
        if tree.remove(key(name, chunk))?.is_none() {
            break;
        }
        found = true;
    }
    Ok(found)
}

struct Frame {
    checksum: u32,
    content_bytes: u64,
}

impl Frame {
    fn parse(first: &[u8]) -> Result<Frame, Damage> {
        let Some((frame, _)) = first.split_first_chunk::<FRAME_BYTES>() else {
            return Err(Damage::Frame(first.len()));
        };
        let [version, c0, c1, c2, c3, length @ ..] = *frame;
        if version != RECORD_VERSION {
            return Err(Damage::Version(version));
        }
        Ok(Frame { checksum: u32::from_be_bytes([c0, c1, c2, c3]), content_bytes: u64::from_be_bytes(length) })
    }

    fn chunk_count(&self) -> u32 {
        let chunks = self.content_bytes.saturating_add(FRAME_BYTES as u64).div_ceil(CHUNK_BYTES_MAX as u64);
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(framed: &Framed) -> Vec<IVec> {
        framed.chunks().map(|(_, bytes)| IVec::from(bytes)).collect()
    }

    fn read_back(chunks: &[IVec]) -> Result<Option<Vec<u8>>, Damage> {
        read(|chunk| Ok(chunks.get(chunk as usize).cloned()))
    }

    #[test]
    fn records_around_the_length_of_a_chunk_read_back_the_same() {
        for length in [0, 1, 4080, 4081, 4082, 8173, 8174, 100_000] {
            let text = "x".repeat(length);
            let chunks = stored(&Framed::json(&text));
            assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES_MAX), "{length}");
            let content = read_back(&chunks).expect("whole").expect("there");
            assert_eq!(decode::<String>(&content), Ok(text));
        }
    }

    #[test]
    fn a_torn_record_is_never_read() {
        let chunks = stored(&Framed::json(&"x".repeat(10_000)));
        assert_eq!(read_back(&[]), Ok(None));
        assert_eq!(read_back(&chunks[..2]), Err(Damage::Missing(2)));
        let newer = stored(&Framed::json(&"y".repeat(10_000)));
        assert_eq!(read_back(&[chunks[0].clone(), newer[1].clone(), newer[2].clone()]), Err(Damage::Checksum));
        assert_eq!(read_back(&[IVec::from(&b"x"[..])]), Err(Damage::Frame(1)));
        let mut other_version = chunks[0].to_vec();
        other_version[0] = 9;
        assert_eq!(read_back(&[other_version.into()]), Err(Damage::Version(9)));
    }
}
