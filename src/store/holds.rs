//! Which letters hold back the later changes of their ordering keys: an index of letters by key.
//!
//! In: the tree, whose keys are a lane key and a letter's number (8 bytes each, big-endian), without values. Out: the
//! queue of every held key when the store is opened, and who comes next in one. An entry is written and removed in the
//! transaction of its letter; one whose letter is not there (an older release removed it) counts for nothing. Reads only.

use std::collections::HashMap;

use super::trees::Trees;
use super::{Error, chunks};
use crate::ordering::{LaneKey, Queue};

/// The entry of a letter in one queue.
pub(super) fn entry(key: LaneKey, number: u64) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[..8].copy_from_slice(&key.0.to_be_bytes());
    entry[8..].copy_from_slice(&number.to_be_bytes());
    entry
}

fn parse(entry: &[u8]) -> Result<(LaneKey, u64), Error> {
    let damaged = || Error::record("an entry of a held key", format!("it has {} bytes", entry.len()));
    let (key, number) = entry.split_first_chunk::<8>().ok_or_else(damaged)?;
    let number = <[u8; 8]>::try_from(number).map_err(|_| damaged())?;
    Ok((LaneKey(u64::from_be_bytes(*key)), u64::from_be_bytes(number)))
}

impl Trees {
    /// The queues of all held keys. One look at each entry, and at one letter of each key.
    pub(super) fn queues(&self) -> Result<HashMap<LaneKey, Queue>, Error> {
        let mut queues = HashMap::new();
        for entry in self.holds.iter().keys() {
            let (key, number) = parse(&entry.map_err(Error::read(&self.directory))?)?;
            if let Some(Queue { letters, .. }) = queues.get_mut(&key) {
                *letters += 1;
            } else if self.has_letter(number)? {
                queues.insert(key, Queue { front: number, letters: 1 });
            }
        }
        Ok(queues)
    }

    /// The lowest number in the queue of a key.
    pub(super) fn front(&self, key: LaneKey) -> Result<Option<u64>, Error> {
        for entry in self.holds.scan_prefix(key.0.to_be_bytes()).keys() {
            let (_, number) = parse(&entry.map_err(Error::read(&self.directory))?)?;
            if self.has_letter(number)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn has_letter(&self, number: u64) -> Result<bool, Error> {
        self.heads.contains_key(chunks::key(&number.to_be_bytes(), 0)).map_err(Error::read(&self.directory))
    }
}
