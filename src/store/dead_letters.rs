//! Dead letters: deliveries that were given up, kept until an operator replays or discards them.
//!
//! In: what the outcome stage decides and the results of replays. Out: the dead letters, page by page or one by one, with
//! everything that is needed to show them and to send them again. A dead letter is stored in two trees: a small head that
//! lists and filters read, and the change, which may be large; in a third one, if its body was edited. Reads only; the writer alone writes. Retention is not
//! decided here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::change::{Change, DeliveryId, Op};
use crate::failure::{Answer, AnswerFilter, Attempts, Reason};
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
    /// The newest edit of its body; none: it was never edited.
    pub edit: Option<LetterEdit>,
}

/// The newest edit of a dead letter's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterEdit {
    /// Counts up from 1 with each edit of this dead letter, also after one was reverted.
    pub number: u32,
    /// When it was made, or reverted, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// The body that the rule makes is sent again.
    pub is_reverted: bool,
}

/// Another body for a dead letter that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBody {
    /// Of the dead letter.
    pub number: u64,
    /// None: the one that its rule makes.
    pub body: Option<Bytes>,
    /// In microseconds since the Unix epoch.
    pub at_us: u64,
    /// The number of the newest edit, 0 for none: where there is another, nothing changes.
    pub base: u32,
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
    /// The body of its newest edit, unless that is reverted.
    pub body: Option<Bytes>,
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
    /// Of the row, as lists show it. The change of each dead letter that fits all else is read for it.
    pub key: Option<String>,
    /// The last answer that it got.
    pub answer: Option<AnswerFilter>,
    /// Part of the message, in lower case; the message may be in any.
    pub message: Option<String>,
    /// Became a dead letter at this moment or later, in microseconds since the Unix epoch.
    pub created_from_us: Option<u64>,
    /// Became a dead letter before this moment, in microseconds since the Unix epoch.
    pub created_before_us: Option<u64>,
    /// One of these; they are read one by one, without a scan.
    pub numbers: Option<BTreeSet<u64>>,
    /// No others are read.
    pub number_range: NumberRange,
    pub closed: Closed,
}

/// Numbers of dead letters from one to another, both included; all, if not said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberRange(pub RangeInclusive<u64>);

impl Default for NumberRange {
    fn default() -> NumberRange {
        NumberRange(0..=u64::MAX)
    }
}

/// In which order dead letters are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LetterOrder {
    /// Ascending numbers.
    #[default]
    OldestFirst,
    NewestFirst,
}

/// Whether dead letters that were closed by hand are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Closed {
    #[default]
    Without,
    Only,
    With,
}

/// What conditions and groups read of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFacts<'a> {
    pub number: u64,
    pub rule: Cow<'a, str>,
    pub op: Cow<'a, str>,
    /// `schema.table`.
    pub table: Cow<'a, str>,
    pub reason: Reason,
    pub message: Cow<'a, str>,
    /// Of the last attempt, if that got an answer.
    pub status: Option<u16>,
    /// Why the last attempt got no answer.
    pub error: Option<Cow<'a, str>>,
    /// In microseconds since the Unix epoch.
    pub created_at_us: u64,
    pub is_resolved: bool,
}

impl LetterFacts<'_> {
    pub(super) fn into_owned(self) -> LetterFacts<'static> {
        let own = |text: Cow<str>| Cow::Owned(text.into_owned());
        LetterFacts {
            rule: own(self.rule),
            op: own(self.op),
            table: own(self.table),
            message: own(self.message),
            error: self.error.map(own),
            ..self
        }
    }
}

impl DeadLetterHead {
    /// The newest edit, unless it is reverted.
    /// The number of the newest edit, also where it was reverted; 0: there is none.
    pub fn newest_edit(&self) -> u32 {
        self.edit.as_ref().map_or(0, |edit| edit.number)
    }

    pub fn standing_edit(&self) -> Option<&LetterEdit> {
        self.edit.as_ref().filter(|edit| !edit.is_reverted)
    }

    pub fn facts(&self) -> LetterFacts<'_> {
        let (status, error) = match self.failure.attempts.kept().last().map(|attempt| &attempt.answer) {
            Some(Answer::Status { status, .. }) => (Some(*status), None),
            Some(Answer::Failed { error }) => (None, Some(error.as_str().into())),
            Some(Answer::Written { .. }) | None => (None, None),
        };
        LetterFacts {
            number: self.number,
            rule: (&*self.rule).into(),
            op: self.op.as_str().into(),
            table: (&*self.table).into(),
            reason: self.failure.reason,
            message: self.failure.message.as_str().into(),
            status,
            error,
            created_at_us: self.created_at_us,
            is_resolved: self.resolved.is_some(),
        }
    }
}

impl Filter {
    /// Whether all fits but the key, which only the change has.
    pub fn matches(&self, facts: &LetterFacts) -> bool {
        self.rule.as_deref().is_none_or(|rule| rule == facts.rule)
            && self.table.as_deref().is_none_or(|table| table == facts.table)
            && self.reason.is_none_or(|reason| reason == facts.reason)
            && self.answer.is_none_or(|answer| answer.matches(facts.status, facts.error.as_deref()))
            && self.message.as_deref().is_none_or(|part| facts.message.to_lowercase().contains(part))
            && self.created_from_us.is_none_or(|from| facts.created_at_us >= from)
            && self.created_before_us.is_none_or(|before| facts.created_at_us < before)
            && self.numbers.as_ref().is_none_or(|numbers| numbers.contains(&facts.number))
            && self.number_range.0.contains(&facts.number)
            && match self.closed {
                Closed::Without => !facts.is_resolved,
                Closed::Only => facts.is_resolved,
                Closed::With => true,
            }
    }
}
