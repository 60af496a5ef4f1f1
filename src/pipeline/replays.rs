//! Deliveries that are sent again because an operator asks for it, and who waits for their outcomes.
//!
//! In: dead letters and changes of a stretch of binlog to send again, and their durable outcomes. Out: deliveries, and the
//! answers. Owns what is known of them while they are under way. Of those that are held and whose turn comes see `holds`;
//! what is read for a replay, and how much of it at a time, is for who asks.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::blocked_keys::Releases;
use crate::delivery::{Delivery, Origin, Outcome};
use crate::store::Store;

/// See the module's header.
pub(super) struct ReplaysUnderWay {
    /// Dead letters.
    pub releases: Releases,
    /// Of stretches of binlog, by number: who waits for the outcome.
    answers: HashMap<u64, oneshot::Sender<Outcome>>,
    /// Of stretches of binlog, since the start.
    numbered: u64,
}

impl ReplaysUnderWay {
    /// None is under way.
    pub fn new(store: Store) -> ReplaysUnderWay {
        ReplaysUnderWay { releases: Releases::new(store), answers: HashMap::new(), numbered: 0 }
    }

    /// The delivery of a change in a stretch of binlog as it goes out; `answer` gets its outcome.
    pub fn again(&mut self, delivery: Delivery, answer: oneshot::Sender<Outcome>) -> Delivery {
        self.numbered += 1;
        self.answers.insert(self.numbered, answer);
        Delivery { origin: Origin::BinlogReplay { number: self.numbered }, ..delivery }
    }

    /// What became of a delivery is durable; one that a stream brought is no concern of these.
    pub fn ended(&mut self, origin: Origin, outcome: &Outcome) {
        match origin {
            Origin::Stream => {}
            Origin::Replay { dead_letter } => self.releases.ended(dead_letter, outcome.clone()),
            Origin::BinlogReplay { number } => {
                if let Some(answer) = self.answers.remove(&number) {
                    // The operator may have gone; what must be in the store is there all the same.
                    let _ = answer.send(outcome.clone());
                }
            }
        }
    }
}
