//! The links of the lanes: the keys of a call, and the call that comes next in the lane of each.
//!
//! In: keys. Out: the same keys, each once, with room for the next place. Plain data: which call heads its lanes is
//! counted elsewhere.

use std::hash::Hasher;

use super::Place;
use crate::ordering::{LaneKey, LaneKeys};

/// The keys of a call, and the call that comes next in the lane of each.
#[derive(Debug)]
pub(super) enum Links {
    /// Of a single delivery, which costs no allocation.
    Few { keys: LaneKeys, behind: [Option<Place>; 2] },
    /// Of many deliveries: ascending by key, each key once.
    Many(Box<[(LaneKey, Option<Place>)]>),
}

impl Links {
    pub fn few(keys: LaneKeys) -> Links {
        Links::Few { keys, behind: [None; 2] }
    }

    pub fn many(mut keys: Vec<LaneKey>) -> Links {
        keys.sort_unstable();
        keys.dedup();
        Links::Many(keys.into_iter().map(|key| (key, None)).collect())
    }

    /// The n-th key and the call that comes next in its lane.
    pub fn get(&self, n: usize) -> Option<(LaneKey, Option<Place>)> {
        match self {
            Links::Few { keys, behind } => Some((keys.iter().nth(n)?, behind[n])),
            Links::Many(links) => links.get(n).copied(),
        }
    }

    pub fn keys(&self) -> impl Iterator<Item = LaneKey> {
        let (few, many) = match self {
            Links::Few { keys, .. } => (Some(keys), &[][..]),
            Links::Many(links) => (None, &links[..]),
        };
        few.into_iter().flat_map(LaneKeys::iter).chain(many.iter().map(|(key, _)| *key))
    }

    pub fn set_behind(&mut self, key: LaneKey, place: Place) {
        let found = match self {
            Links::Few { keys, behind } => keys.position(key).map(|n| &mut behind[n]),
            Links::Many(links) => links.binary_search_by_key(&key, |(key, _)| *key).ok().map(|n| &mut links[n].1),
        };
        *found.expect("the last of a lane has that lane's key") = Some(place);
    }
}

/// A lane key is a hash already: its halves are folded and nothing more.
#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key as u64) ^ ((key >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
