//! Replays in the loop: deliveries that are sent again because an operator asks for it, and who waits for their outcomes.
//!
//! In: dead letters and changes of a binlog range to send again, and their durable outcomes. Out: deliveries, and the
//! answers. Owns what is known of them while they are under way. For blocked deliveries whose turn comes see `blocked_keys`;
//! `replay` hands them in, and bounds how many.

use std::collections::HashMap;

use super::blocked_keys::Releases;
use super::command::ReplayAnswer;
use crate::delivery::{Delivery, Origin, Outcome};
use crate::store::Store;

/// See the module's header.
pub(super) struct ReplaysUnderWay {
    /// Dead letters.
    pub releases: Releases,
    /// Of binlog ranges, by number: where the outcome is sent.
    answers: HashMap<u64, ReplayAnswer>,
    /// Of binlog ranges, since the start.
    numbered: u64,
}

impl ReplaysUnderWay {
    /// None is under way.
    pub fn new(store: Store) -> ReplaysUnderWay {
        ReplaysUnderWay { releases: Releases::new(store), answers: HashMap::new(), numbered: 0 }
    }

    /// The delivery of a change in a binlog range as it is sent; `answer` gets its outcome.
    pub fn again(&mut self, delivery: Delivery, answer: ReplayAnswer) -> Delivery {
        self.numbered += 1;
        self.answers.insert(self.numbered, answer);
        Delivery { origin: Origin::BinlogReplay { number: self.numbered }, ..delivery }
    }

    /// The outcome of a delivery is durable; a delivery that a stream brought is ignored here.
    pub fn ended(&mut self, origin: Origin, outcome: &Outcome) {
        match origin {
            Origin::Stream => {}
            Origin::Replay { dead_letter } => self.releases.ended(dead_letter, outcome.clone()),
            Origin::BinlogReplay { number } => {
                if let Some(answer) = self.answers.remove(&number) {
                    // The operator may have gone; what must be in the store is there all the same.
                    let _ = answer.send(Ok(outcome.clone()));
                }
            }
        }
    }
}
