//! What the store keeps of dead letters and changes, as the model has it.

use super::*;
use crate::ordering::{BlockedQueue, KeyDefinition};

/// What is on disk.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) letters: BTreeMap<u64, Letter>,
    pub(super) next_number: u64,
    /// Changes that do not come again.
    pub(super) ledger: BTreeSet<usize>,
}

#[derive(Clone)]
pub(super) struct Letter {
    pub(super) change: usize,
    pub(super) lanes: LaneKeys,
    pub(super) is_blocked: bool,
}

impl Letter {
    fn is_in(&self, key: LaneKey) -> bool {
        let is_made_under_it = self.lanes.made_under().is_some_and(|definition| definition.id().definition == key);
        is_made_under_it || self.lanes.iter().any(|own| own == key)
    }
}

impl Disk {
    pub(super) fn front(&self, key: LaneKey) -> Option<u64> {
        let mut letters = self.letters.iter();
        letters.find(|(_, letter)| letter.is_in(key)).map(|(number, _)| *number)
    }

    pub(super) fn definitions(&self) -> Vec<(Arc<KeyDefinition>, BlockedQueue)> {
        let mut definitions: Vec<(Arc<KeyDefinition>, BlockedQueue)> = Vec::new();
        for (number, letter) in &self.letters {
            let Some(definition) = letter.lanes.made_under() else { continue };
            match definitions.iter_mut().find(|(known, _)| known == definition) {
                Some((_, queue)) => queue.letters += 1,
                None => definitions.push((Arc::clone(definition), BlockedQueue { front: *number, letters: 1 })),
            }
        }
        definitions
    }

    pub(super) fn queues(&self) -> HashMap<LaneKey, BlockedQueue> {
        let mut queues = HashMap::new();
        for (number, letter) in &self.letters {
            for key in letter.lanes.iter() {
                queues.entry(key).or_insert(BlockedQueue { front: *number, letters: 0 }).letters += 1;
            }
        }
        queues
    }
}
