//! Deliveries: one rule applied to one change, carried to its outcome.
//!
//! In: a `Delivery`. Out: a `Completed` with its outcome and the attempts it took. Keeps promise 2 (order per key) and the
//! limits on attempts in flight; writes nothing down, that is the outcome stage's work.

mod answer;
mod attempt;
mod auth;
mod client;
mod counters;
mod dispatcher;
mod egress;
pub mod item;
mod lane;
pub mod request;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use client::Client;
pub use dispatcher::Dispatcher;

use crate::change::{Change, DeliveryId};
use crate::failure::{Attempt, Reason};
use crate::rules::Rule;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The main stream; the number is the tracker's, ascending in commit order.
    Stream { sequence: u64 },
    /// An operator replays the dead letter of this number.
    Replay { dead_letter: u64 },
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Delivered { status: u16 },
    Dead(Failure),
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
    /// In the order they were made; empty when no request could be made.
    pub attempts: Vec<Attempt>,
    /// To be given back when the outcome is durable.
    pub ticket: Ticket,
}

/// A completed delivery's place in its lanes; whoever holds it holds back the next deliveries of its keys.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is not given back stops its lane for ever"]
pub struct Ticket(pub(crate) u32);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("http client: {message}")]
    Client { message: String },
}
