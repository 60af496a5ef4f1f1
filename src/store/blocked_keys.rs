//! Which dead letters block the later changes of their ordering keys: an index of dead letters by key.
//!
//! In: the tree, whose keys are a lane key and the number of a dead letter (8 bytes each, big-endian), without values; and an
//! entry of the same form for the key definition that a dead letter was made under, with a value that says so: the definition
//! itself is in the dead letter. Out: the queue of every blocked key and definition when the store is opened, and which dead
//! letter is next in a queue. An entry is written and removed in the transaction of its dead letter.

use std::collections::HashMap;
use std::sync::Arc;

use super::trees::Trees;
use super::{Error, chunks, walk};
use crate::ordering::{BlockedKeys, BlockedQueue, KeyDefinition, LaneKey, LaneKeys};

/// The entry of a dead letter in one queue.
pub(super) fn entry(key: LaneKey, number: u64) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&key.0.to_be_bytes());
    entry[8..].copy_from_slice(&number.to_be_bytes());
    entry
}

/// The value of an entry of a definition. Up to format 6 it was the definition.
const OF_DEFINITION: &[u8] = &[1];

/// The entries of a dead letter: one in the queue of each key, and one of its definition.
pub(super) fn entries(lanes: &LaneKeys, number: u64) -> Vec<([u8; 16], &'static [u8])> {
    let queues = lanes.iter().map(|key| (entry(key, number), &[][..]));
    let of_definition = lanes.made_under().map(|made_under| (entry(made_under.id().definition, number), OF_DEFINITION));
    queues.chain(of_definition).collect()
}

fn parse(entry: &[u8]) -> Result<(LaneKey, u64), Error> {
    let damaged = || Error::record("an entry of a blocked key", format!("it has {} bytes", entry.len()));
    let (key, number) = entry.split_first_chunk::<8>().ok_or_else(damaged)?;
    let number = <[u8; 8]>::try_from(number).map_err(|_| damaged())?;
    Ok((LaneKey(u64::from_be_bytes(*key)), u64::from_be_bytes(number)))
}

impl Trees {
    /// The keys that dead letters block. Reads each entry once, and one dead letter of each definition.
    pub(super) fn blocked(&self) -> Result<BlockedKeys, Error> {
        let mut queues = HashMap::new();
        let mut definitions: HashMap<LaneKey, (Arc<KeyDefinition>, BlockedQueue)> = HashMap::new();
        for entry in walk::all(&self.holds) {
            let (entry, value) = entry.map_err(Error::read(&self.directory))?;
            let (key, number) = parse(&entry)?;
            let is_of_definition = !value.is_empty();
            let known = match is_of_definition {
                false => queues.get_mut(&key),
                true => definitions.get_mut(&key).map(|(_, queue)| queue),
            };
            if let Some(BlockedQueue { letters, .. }) = known {
                *letters += 1;
                continue;
            }
            let queue = BlockedQueue { front: number, letters: 1 };
            if is_of_definition {
                let made_under = self.head(number)?.and_then(|head| head.lanes.made_under().cloned());
                definitions.extend(made_under.map(|made_under| (key, (made_under, queue))));
            } else {
                queues.insert(key, queue);
            }
        }
        Ok(BlockedKeys::new(queues, definitions.into_values().collect()))
    }

    /// The lowest number in the queue of a key.
    pub(super) fn front(&self, key: LaneKey) -> Result<Option<u64>, Error> {
        let first = walk::prefix(&self.holds, &key.0.to_be_bytes()).keys().next();
        let entry = first.transpose().map_err(Error::read(&self.directory))?;
        entry.map(|entry| parse(&entry).map(|(_, number)| number)).transpose()
    }

    /// Removes entries whose dead letters are not there. To be called before an older store gets this format: releases that knew
    /// nothing of these entries removed dead letters without them.
    pub(super) fn remove_entries_without_letters(&self) -> Result<(), Error> {
        for entry in walk::all(&self.holds).keys() {
            let entry = entry.map_err(Error::read(&self.directory))?;
            let (_, number) = parse(&entry)?;
            if !self.has_letter(number)? {
                self.holds.remove(&entry).map_err(|error| Error::write(&self.directory, &error))?;
            }
        }
        Ok(())
    }

    fn has_letter(&self, number: u64) -> Result<bool, Error> {
        walk::contains(&self.heads, chunks::key(&number.to_be_bytes(), 0)).map_err(Error::read(&self.directory))
    }
}
