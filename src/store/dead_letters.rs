//! Dead letters: deliveries that were given up, kept until an operator replays or discards them.
//!
//! In: what the outcome stage decides and the results of replays. Out: the dead letters, page by page or one by one, with
//! everything that is needed to show them and to send them again. A dead letter is stored in two trees: a small head that
//! lists and filters read, and the change, which may be large. Reads only; the writer alone writes. Retention is not
//! decided here.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::change::{Change, DeliveryId, Op};
use crate::failure::{Attempts, Reason};
use crate::ordering::LaneKeys;

/// Everything about a dead letter but the row itself.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetterHead {
    /// Counts up from 1 in the order in which dead letters were written; never used twice.
    pub number: u64,
    pub delivery_id: DeliveryId,
    pub rule: Box<str>,
    pub op: Op,
    /// `schema.table`.
    pub table: Box<str>,
    pub failure: LetterFailure,
    /// The ordering keys in whose queues it waits; none if it blocks nothing.
    pub lanes: LaneKeys,
    /// When it became a dead letter, in microseconds since the Unix epoch.
    pub created_at_us: u64,
    /// Replays that failed. The first delivery of a blocked delivery does not count as a replay.
    pub replays: u32,
    /// When the newest of them ended, in microseconds since the Unix epoch.
    pub replayed_at_us: Option<u64>,
    /// The columns whose values were not kept; `***` is stored instead.
    pub redacted: Vec<Box<str>>,
    /// Set when a person has closed it by hand: it stays to be read, and is not sent again.
    pub resolved: Option<Resolved>,
}

/// The note of the person who closed a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub note: Box<str>,
    /// In microseconds since the Unix epoch.
    pub at_us: u64,
}

/// A dead letter to be closed by hand. One that is closed already gets the newer note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    pub number: u64,
    pub note: Box<str>,
    /// In microseconds since the Unix epoch.
    pub at_us: u64,
}

/// A whole dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub head: DeadLetterHead,
    pub change: Change,
}

/// A delivery that is given up, or blocked.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    pub delivery_id: DeliveryId,
    pub rule: Box<str>,
    pub change: Arc<Change>,
    pub failure: LetterFailure,
    /// The ordering keys whose later deliveries wait behind it from now on.
    pub lanes: LaneKeys,
    /// In microseconds since the Unix epoch.
    pub created_at_us: u64,
    /// The columns whose values are no longer in `change`.
    pub redacted: Vec<Box<str>>,
}

/// A replay of a dead letter that failed as well: its failure replaces the previous one.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedReplay {
    pub number: u64,
    pub failure: LetterFailure,
    /// In microseconds since the Unix epoch.
    pub replayed_at_us: u64,
}

/// Why a delivery was given up, and the attempts that led there.
#[derive(Debug, Clone, PartialEq)]
pub struct LetterFailure {
    pub reason: Reason,
    /// One line for people.
    pub message: String,
    /// The attempts of the first delivery, or of the newest replay; empty if none could be made.
    pub attempts: Attempts,
}

/// Which dead letters are meant: those that fit every condition that is set.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub rule: Option<String>,
    /// `schema.table`.
    pub table: Option<String>,
    pub reason: Option<Reason>,
    /// Became a dead letter at this moment or later, in microseconds since the Unix epoch.
    pub created_from_us: Option<u64>,
    /// Became a dead letter before this moment, in microseconds since the Unix epoch.
    pub created_before_us: Option<u64>,
    /// One of these; they are read one by one, without a scan.
    pub numbers: Option<BTreeSet<u64>>,
    pub closed: Closed,
}

/// Whether dead letters that were closed by hand are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Closed {
    #[default]
    Without,
    Only,
    With,
}

impl Filter {
    pub fn matches(&self, head: &DeadLetterHead) -> bool {
        self.rule.as_deref().is_none_or(|rule| rule == &*head.rule)
            && self.table.as_deref().is_none_or(|table| table == &*head.table)
            && self.reason.is_none_or(|reason| reason == head.failure.reason)
            && self.created_from_us.is_none_or(|from| head.created_at_us >= from)
            && self.created_before_us.is_none_or(|before| head.created_at_us < before)
            && self.numbers.as_ref().is_none_or(|numbers| numbers.contains(&head.number))
            && match self.closed {
                Closed::Without => head.resolved.is_none(),
                Closed::Only => head.resolved.is_some(),
                Closed::With => true,
            }
    }
}
