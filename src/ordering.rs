//! Ordering keys as values: what two deliveries have in common when one waits for the other (promise 2).
//!
//! A key is a hash that `rules` makes; delivery queues by it, the store keeps it with dead letters that hold it. Plain
//! data; which keys are held back by dead letters is in `held`.

mod held;

pub use held::{Held, Queue};

/// Identity of a lane: rule, table and the values that deliveries are ordered by. Stands on disk: how it is made may
/// never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey(pub u64);

/// The lanes that a delivery has to wait in: none, one, or both of an update that changes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneKeys([Option<LaneKey>; 2]);

impl LaneKeys {
    pub fn none() -> LaneKeys {
        LaneKeys([None, None])
    }

    pub fn one(key: LaneKey) -> LaneKeys {
        LaneKeys([Some(key), None])
    }

    /// Both keys; equal ones are one.
    pub fn two(old: LaneKey, new: LaneKey) -> LaneKeys {
        LaneKeys([Some(old), (old != new).then_some(new)])
    }

    pub fn is_empty(self) -> bool {
        self.0[0].is_none()
    }

    pub fn iter(self) -> impl Iterator<Item = LaneKey> {
        self.0.into_iter().flatten()
    }

    /// Which of the two a key is.
    pub fn position(self, key: LaneKey) -> Option<usize> {
        self.0.iter().position(|own| *own == Some(key))
    }
}
