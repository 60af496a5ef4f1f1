//! What each rule has in the lanes, for status and for the window.
//!
//! In: the lanes. Out: numbers. Owns nothing.

use super::{Lanes, RuleNumber};

/// What one rule has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleUnderWay {
    /// Deliveries submitted and not released.
    pub unresolved: usize,
    /// Attempts under way.
    pub in_flight: usize,
    /// Waiting for the time of their next attempt.
    pub in_retry: usize,
    /// Waiting for their turn: for an earlier delivery of the key, a slot, or the target.
    pub queued: usize,
}

impl Lanes {
    /// What one rule has in the lanes.
    pub fn counts(&self, rule: RuleNumber) -> RuleUnderWay {
        let lanes = &self.rules[rule as usize];
        let queues = || lanes.queues.iter().map(|queue| &self.queues[*queue as usize]);
        let in_flight = queues().map(|queue| queue.running).sum();
        let in_retry = queues().map(|queue| queue.resting).sum();
        let queued = lanes.entered.saturating_sub(in_flight + in_retry + lanes.ended);
        RuleUnderWay { unresolved: lanes.entered, in_flight, in_retry, queued }
    }
}
