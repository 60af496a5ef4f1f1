//! Deliveries: one rule applied to one change, carried to its outcome.
//!
//! In: a `Delivery`. Out: a `Completed` with its outcome and the attempts it took. Keeps promise 2 (order per key) and the
//! limits on attempts in flight; writes nothing down, that is the outcome stage's work.

mod answer;
mod attempt;
mod auth;
mod breaker;
mod bundle;
mod client;
mod coalesce;
mod counters;
mod dispatcher;
mod egress;
mod gate;
mod gather;
pub mod item;
mod lane;
mod pace;
mod quota;
pub mod request;
mod results;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use client::Client;
pub use dispatcher::Dispatcher;
pub use lane::RuleCounts;
#[cfg(test)]
pub(crate) use lane::{Lanes, Place, Turn};
pub use target::TargetStatus;

use crate::change::{Change, DeliveryId};
use crate::failure::{Attempts, Reason};
use crate::rules::{OnDeadLetter, Rule};

/// One rule applied to one change.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: DeliveryId,
    pub rule: Arc<Rule>,
    pub change: Arc<Change>,
    pub origin: Origin,
    /// Set when the rule's `when` could not be decided on this row: the delivery is dead before any attempt.
    pub undecided: Option<String>,
}

/// Who asked for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A change in the binlog.
    Stream,
    /// An operator replays the dead letter of this number.
    Replay { dead_letter: u64 },
    /// An operator has a stretch of the binlog delivered again; the number is the loop's own.
    Redelivery { number: u64 },
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Delivered {
        status: u16,
    },
    Dead(Failure),
    /// Not attempted: a dead letter, the one of this number, holds one of its ordering keys.
    Held {
        behind: u64,
    },
}

/// Why a delivery was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub reason: Reason,
    /// One line for people, without row values.
    pub message: String,
}

/// A delivery with its outcome.
#[derive(Debug)]
pub struct Completed {
    pub delivery: Delivery,
    pub outcome: Outcome,
    /// Those of larger calls that carried it included; none when no request could be made.
    pub attempts: Attempts,
    /// Earlier deliveries that were merged into this one: its outcome is theirs, and is durable for all of them at once.
    pub merged: Vec<Merged>,
    /// To be given back when the outcome is durable.
    pub ticket: Ticket,
}

/// A delivery that has become part of a later one of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    pub id: DeliveryId,
    pub origin: Origin,
}

impl Completed {
    /// The delivery itself and those merged into it: all that have their outcome now.
    pub fn parts(&self) -> impl Iterator<Item = Merged> {
        let own = Merged { id: self.delivery.id, origin: self.delivery.origin };
        std::iter::once(own).chain(self.merged.iter().copied())
    }

    /// Whether nothing more of its rule is to be attempted before somebody has looked. What an operator asked for does
    /// not stop the rule: the operator looks on.
    pub fn pauses_its_rule(&self) -> bool {
        matches!(self.outcome, Outcome::Dead(_))
            && self.delivery.origin == Origin::Stream
            && self.delivery.rule.on_dead_letter == OnDeadLetter::Pause
    }
}

/// A completed delivery's share of its call's place in the lanes; whoever holds it holds back the next deliveries of
/// the call's keys.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is not given back stops its lane for ever"]
pub struct Ticket(pub(crate) u32);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("http client: {message}")]
    Client { message: String },
}
