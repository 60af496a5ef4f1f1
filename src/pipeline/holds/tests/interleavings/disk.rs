//! What the store keeps of letters and changes, as the model has it.

use super::*;
use crate::ordering::Queue;

/// What is on disk.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) letters: BTreeMap<u64, Letter>,
    pub(super) next_number: u64,
    /// Changes that do not come again.
    pub(super) ledger: BTreeSet<usize>,
}

#[derive(Clone, Copy)]
pub(super) struct Letter {
    pub(super) change: usize,
    pub(super) lanes: LaneKeys,
    pub(super) is_held: bool,
}

impl Disk {
    pub(super) fn front(&self, key: LaneKey) -> Option<u64> {
        let mut letters = self.letters.iter();
        letters.find(|(_, letter)| letter.lanes.position(key).is_some()).map(|(number, _)| *number)
    }

    pub(super) fn queues(&self) -> HashMap<LaneKey, Queue> {
        let mut queues = HashMap::new();
        for (number, letter) in &self.letters {
            for key in letter.lanes.iter() {
                queues.entry(key).or_insert(Queue { front: *number, letters: 0 }).letters += 1;
            }
        }
        queues
    }
}
