//! What each rule has in the lanes, for those who ask.
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
        let lines = || lanes.lines.iter().map(|line| &self.lines[*line as usize]);
        let in_flight = lines().map(|line| line.running).sum();
        let in_retry = lines().map(|line| line.resting).sum();
        let queued = lanes.entered.saturating_sub(in_flight + in_retry + lanes.ended);
        RuleUnderWay { unresolved: lanes.entered, in_flight, in_retry, queued }
    }
}
