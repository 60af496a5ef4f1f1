//! Which dead letters block the later changes of their ordering keys: an index of dead letters by key.
//!
//! In: the tree, whose keys are a lane key and the number of a dead letter (8 bytes each, big-endian), without values; and an
//! entry of the same form for the key definition that a dead letter was made under, with the definition as its value. Out: the
//! queue of every blocked key and definition when the store is opened, and which dead letter is next in a queue. An entry is
//! written and removed in the transaction of its dead letter; an entry whose dead letter is not there (an older release removed
//! it) is ignored. Reads only.

use std::collections::HashMap;
use std::sync::Arc;

use super::trees::Trees;
use super::{Error, chunks, letter_records, walk};
use crate::ordering::{BlockedKeys, BlockedQueue, KeyDefinition, LaneKey, LaneKeys};

/// The entry of a dead letter in one queue.
pub(super) fn entry(key: LaneKey, number: u64) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&key.0.to_be_bytes());
    entry[8..].copy_from_slice(&number.to_be_bytes());
    entry
}

/// The entries of a dead letter: one in the queue of each key, and one of its definition.
pub(super) fn entries(lanes: &LaneKeys, number: u64) -> Vec<([u8; 16], Vec<u8>)> {
    let queues = lanes.iter().map(|key| (entry(key, number), Vec::new()));
    let of_definition = lanes
        .made_under()
        .map(|definition| (entry(definition.id().definition, number), letter_records::encode_definition(definition)));
    queues.chain(of_definition).collect()
}

fn parse(entry: &[u8]) -> Result<(LaneKey, u64), Error> {
    let damaged = || Error::record("an entry of a blocked key", format!("it has {} bytes", entry.len()));
    let (key, number) = entry.split_first_chunk::<8>().ok_or_else(damaged)?;
    let number = <[u8; 8]>::try_from(number).map_err(|_| damaged())?;
    Ok((LaneKey(u64::from_be_bytes(*key)), u64::from_be_bytes(number)))
}

impl Trees {
    /// The keys that dead letters block. Reads each entry once, and one dead letter of each key.
    pub(super) fn blocked(&self) -> Result<BlockedKeys, Error> {
        let mut queues = HashMap::new();
        let mut definitions: HashMap<LaneKey, (Arc<KeyDefinition>, BlockedQueue)> = HashMap::new();
        for entry in walk::all(&self.holds) {
            let (entry, definition) = entry.map_err(Error::read(&self.directory))?;
            let (key, number) = parse(&entry)?;
            let known = match definition.is_empty() {
                true => queues.get_mut(&key),
                false => definitions.get_mut(&key).map(|(_, queue)| queue),
            };
            if let Some(BlockedQueue { letters, .. }) = known {
                *letters += 1;
                continue;
            }
            if !self.has_letter(number)? {
                continue;
            }
            let queue = BlockedQueue { front: number, letters: 1 };
            if definition.is_empty() {
                queues.insert(key, queue);
            } else {
                let damaged = |damage| Error::record("the key definition of a dead letter", damage);
                let definition = letter_records::decode_definition(&definition).map_err(damaged)?;
                definitions.insert(key, (Arc::new(definition), queue));
            }
        }
        Ok(BlockedKeys::new(queues, definitions.into_values().collect()))
    }

    /// The lowest number in the queue of a key.
    pub(super) fn front(&self, key: LaneKey) -> Result<Option<u64>, Error> {
        for entry in walk::prefix(&self.holds, &key.0.to_be_bytes()).keys() {
            let (_, number) = parse(&entry.map_err(Error::read(&self.directory))?)?;
            if self.has_letter(number)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn has_letter(&self, number: u64) -> Result<bool, Error> {
        walk::contains(&self.heads, chunks::key(&number.to_be_bytes(), 0)).map_err(Error::read(&self.directory))
    }
}
