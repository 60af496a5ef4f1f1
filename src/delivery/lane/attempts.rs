//! What the next attempt of a call is, and which keys it is about: what an admission chooses by.
//!
//! In: calls that rest or go on with something else, and what the dispatcher says of them. Out: the calls of a restricted
//! target queue that may start, each with its kind of attempt and its keys. Owns nothing.

use super::{Lanes, Place, QueueNumber, TargetQueue};
use crate::ordering::LaneKey;

/// What an attempt is to its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptKind {
    /// The first one of a change, of a saga's step, or of a smaller call that a larger one was split into.
    First,
    /// The first one that undoes or verifies a step: it is made because something was uncertain or failed before.
    UndoOrVerify,
    /// The first one of a dead letter that an operator replays: it has failed before.
    Replayed,
    /// A retry.
    Again,
}

/// What a call is about: a key that it is ordered by; or, without one, itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKey {
    Lane(LaneKey),
    /// The n-th call that entered.
    Call(u64),
}

impl Lanes {
    /// What the next attempt of a call is, or the one that is under way.
    pub fn attempt(&self, place: Place) -> AttemptKind {
        self.slots[place as usize].attempt
    }

    /// A call enters with a first attempt, and after a [rest](Lanes::rest) it is attempted again. To be called where this is not
    /// so, and where it goes on with another action.
    pub fn set_attempt(&mut self, place: Place, attempt: AttemptKind) {
        self.slots[place as usize].attempt = attempt;
    }

    /// The keys that a call is about; at least one.
    pub fn call_keys(&self, place: Place) -> impl Iterator<Item = CallKey> {
        let slot = &self.slots[place as usize];
        let without = slot.links.get(0).is_none().then_some(CallKey::Call(slot.number));
        slot.links.keys().map(CallKey::Lane).chain(without)
    }

    /// The calls of a target queue that [`asks`](Lanes::asks), each of which may start now, in the order in which they would.
    pub fn startable(&self, queue: QueueNumber) -> impl DoubleEndedIterator<Item = Place> {
        let (asks, may_begin) = (self.asks(queue), self.may_begin(queue));
        let queue = &self.queues[queue as usize];
        let begun = queue.ready_to_proceed.iter().filter(move |_| asks);
        begun.chain(queue.ready.iter().filter(move |_| asks && may_begin)).copied()
    }

    /// Starts a call that is [startable](Lanes::startable).
    pub fn start(&mut self, place: Place) {
        let TargetQueue { ready, ready_to_proceed, .. } = self.queue_of_mut(place);
        let calls = if ready_to_proceed.contains(&place) { ready_to_proceed } else { ready };
        let n = calls.iter().position(|ready| *ready == place).expect("only a call that is ready starts");
        calls.remove(n);
        self.take_slot(place);
    }

    /// Whether a call waits for a slot of the target queue with its first attempt, in a rule that is not paused.
    pub fn has_first(&self, queue: QueueNumber) -> bool {
        let waits = &self.queues[queue as usize];
        let is_first = |place: &Place| self.attempt(*place) == AttemptKind::First;
        let is_paused = self.rules[waits.rule as usize].is_paused || self.is_closed();
        !is_paused
            && (waits.ready_to_proceed.iter().any(is_first)
                || self.may_begin(queue) && waits.ready.iter().any(is_first))
    }
}
