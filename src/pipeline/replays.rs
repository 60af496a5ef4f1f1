//! Replays in the loop: deliveries that are sent again because an operator asks for it, and who waits for their outcomes.
//!
//! In: dead letters and changes of a binlog range to send again, and their durable outcomes. Out: deliveries, and the
//! answers. Owns what is known of them while they are under way. For blocked deliveries whose turn comes see `blocked_keys`;
//! `replay` hands them in, and bounds how many.

use std::collections::{HashMap, HashSet};

use super::blocked_keys::{Awaited, Releases};
use super::command::NotReplayed;
use crate::delivery::{Delivery, Origin, Outcome};
use crate::store::Store;

/// See the module's header.
pub(super) struct ReplaysUnderWay {
    /// Dead letters.
    pub releases: Releases,
    /// Of binlog ranges, by number: where the outcome is sent.
    awaited: HashMap<u64, Awaited>,
    /// Of binlog ranges, since the start.
    numbered: u64,
}

impl ReplaysUnderWay {
    /// None is under way.
    pub fn new(store: Store) -> ReplaysUnderWay {
        ReplaysUnderWay { releases: Releases::new(store), awaited: HashMap::new(), numbered: 0 }
    }

    /// The delivery of a change in a binlog range as it is sent; its outcome is awaited.
    pub fn again(&mut self, delivery: Delivery, awaited: Awaited) -> Delivery {
        self.numbered += 1;
        self.awaited.insert(self.numbered, awaited);
        Delivery { origin: Origin::BinlogReplay { number: self.numbered }, ..delivery }
    }

    /// The outcome of a delivery is durable; a delivery that a stream brought is ignored here.
    pub fn ended(&mut self, origin: Origin, outcome: &Outcome) {
        match origin {
            Origin::Stream => {}
            Origin::Replay { dead_letter } => self.releases.ended(dead_letter, outcome.clone()),
            Origin::BinlogReplay { number } => {
                if let Some(awaited) = self.awaited.remove(&number) {
                    // The operator may have gone; what must be in the store is there all the same.
                    let _ = awaited.answer.send(Ok(outcome.clone()));
                }
            }
        }
    }

    /// What is sent for an operator who has gone.
    pub fn unheard(&mut self) -> HashSet<Origin> {
        let of_ranges = self.of_ranges(|awaited| awaited.answer.is_closed());
        self.releases.unheard().into_iter().map(letter).chain(of_ranges).collect()
    }

    /// What is sent for an operator, of rules that are paused.
    pub fn of_paused(&mut self, is_paused: impl Fn(&str) -> bool) -> HashSet<Origin> {
        let of_ranges = self.of_ranges(|awaited| is_paused(&awaited.rule));
        self.releases.of_paused(&is_paused).into_iter().map(letter).chain(of_ranges).collect()
    }

    fn of_ranges(&self, is_meant: impl Fn(&Awaited) -> bool) -> Vec<Origin> {
        let meant = self.awaited.iter().filter(|(_, awaited)| is_meant(awaited));
        meant.map(|(number, _)| Origin::BinlogReplay { number: *number }).collect()
    }

    /// These deliveries are sent no more; who waits for them is told why.
    pub fn withdrawn(&mut self, origins: HashSet<Origin>, why: impl Fn(&str) -> NotReplayed) {
        for origin in origins {
            match origin {
                Origin::Stream => {}
                Origin::Replay { dead_letter } => self.releases.withdrawn(dead_letter, &why),
                Origin::BinlogReplay { number } => {
                    if let Some(awaited) = self.awaited.remove(&number) {
                        awaited.refuse(&why);
                    }
                }
            }
        }
    }

    /// Nothing is left in the lanes of a delivery that was withdrawn.
    pub fn given_back(&mut self, origin: Origin) {
        if let Origin::Replay { dead_letter } = origin {
            self.releases.given_back(dead_letter);
        }
    }
}

fn letter(dead_letter: u64) -> Origin {
    Origin::Replay { dead_letter }
}
