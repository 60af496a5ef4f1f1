//! Dead letters that are not sent while an operator resolves, removes or edits them.
//!
//! In: which they are, and that what was written of them is durable. Out: none of them is sent in between; one whose turn came
//! meanwhile, and that is still there, is inspected again.

use std::collections::HashSet;

use super::{Turns, Waiting};
use crate::delivery::Origin;
use crate::pipeline::command::NotReplayed;
use crate::pipeline::letters::EDITED;

/// A letter that is not sent until it is written down what was changed of it.
pub(super) struct HeldBack {
    /// Why a replay that comes meanwhile is refused.
    pub why: NotReplayed,
    /// Its turn came meanwhile.
    has_missed_its_turn: bool,
}

impl Turns {
    pub(super) fn hold_back(&mut self, numbers: &[u64], withdrawn: &HashSet<Origin>, why: &NotReplayed) -> Vec<u64> {
        let mut under_way = Vec::new();
        for number in numbers.iter().copied() {
            let is_withdrawn = withdrawn.contains(&Origin::Replay { dead_letter: number });
            if is_withdrawn {
                self.withdrawn(number, |_| why.clone());
            } else if self.under_way.get(&number).is_some_and(|under_way| !under_way.is_withdrawn) {
                under_way.push(number);
                continue;
            }
            self.held_back.insert(number, HeldBack { why: why.clone(), has_missed_its_turn: false });
            if let Some(Waiting { awaited, .. }) = self.waiting.remove(&number) {
                awaited.refuse(|_| why.clone());
            }
        }
        under_way
    }

    pub(super) fn updated(&mut self, numbers: &[u64]) {
        for number in numbers {
            if self.held_back.remove(number).is_some_and(|held_back| held_back.has_missed_its_turn) {
                self.blocked.name_again(*number);
            }
        }
        self.review();
    }

    pub(super) fn outdated(&mut self, number: u64) {
        self.finish(number, Err(NotReplayed::Unsendable(EDITED.to_owned())));
        self.blocked.name_again(number);
        self.review();
    }

    /// Whether the letter, whose turn has come, is held back.
    pub(super) fn misses_its_turn(&mut self, number: u64) -> bool {
        let Some(held_back) = self.held_back.get_mut(&number) else { return false };
        held_back.has_missed_its_turn = true;
        true
    }
}
