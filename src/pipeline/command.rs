//! What an operator may ask of the running loop, and what it answers.
//!
//! In: requests from the control socket, by way of a channel. Out: an answer on the channel that came with each. Plain
//! data: admin turns it into JSON, the loop acts on it.

use std::sync::Arc;

use tokio::sync::oneshot;

pub use crate::delivery::TargetStatus;
use crate::delivery::{Delivery, Outcome};
use crate::journal::JournalStatus;
use crate::lag::OldestChange;
use crate::ordering::LaneKeys;
use crate::position::{Position, Start};
use crate::rules::RuleSet;
use crate::saga::SagaCommand;
use crate::store::{self, NewBody, Resolution};

/// A request from an operator.
#[derive(Debug)]
pub enum Command {
    /// Send a delivery again. The answer comes when the outcome is durable.
    Replay { delivery: Delivery, sent_as: SentAs, answer: ReplayAnswer },
    /// Replays whose operator has gone attempt nothing more of what they have not begun.
    WithdrawUnheard,
    /// Resolve or remove dead letters without sending them, or give one another body. What of them is not under way is not sent as
    /// it was. The answer comes when it is durable.
    Update { update: LetterUpdate, answer: oneshot::Sender<Result<UpdatedLetters, store::Error>> },
    /// Wait until no blocked delivery is being sent. Answered with how many were delivered since the start.
    AwaitReleases { answer: oneshot::Sender<u64> },
    /// Start no more attempts of this rule, also after a restart. The answer comes when that is durable.
    Pause { rule: String, why: String, answer: oneshot::Sender<Result<(), CommandRefused>> },
    /// Start attempts of this rule again; it goes on where it was. With `from` a detached rule leaves out what lies
    /// before that position: the way on when the server has purged what it needs.
    Resume { rule: String, from: Option<Start>, answer: oneshot::Sender<Result<(), CommandRefused>> },
    /// How every rule and every target is doing.
    Status { answer: oneshot::Sender<LoopStatus> },
    /// Call this target again at once, whether it is unavailable or asked for a pause. Answered with its status before.
    ResetTarget { target: String, answer: oneshot::Sender<Result<TargetStatus, CommandRefused>> },
    /// Go on with these rules. Attempts under way end under the rule they began with.
    Reload { rules: Arc<RuleSet>, answer: oneshot::Sender<()> },
}

/// What an operator changes of dead letters while none of them is being sent.
#[derive(Debug, Clone)]
pub enum LetterUpdate {
    /// By number. What of them waits to be sent again is withdrawn.
    Remove(Vec<u64>),
    /// The same, of those of which nothing is to be sent again.
    Drop(Vec<u64>),
    Resolve(Vec<Resolution>),
    Edit(NewBody),
}

impl LetterUpdate {
    pub fn numbers(&self) -> Vec<u64> {
        match self {
            LetterUpdate::Remove(numbers) | LetterUpdate::Drop(numbers) => numbers.clone(),
            LetterUpdate::Resolve(resolutions) => resolutions.iter().map(|resolution| resolution.number).collect(),
            LetterUpdate::Edit(new) => vec![new.number],
        }
    }

    /// What it writes, without these.
    pub fn write_without(self, left_out: &[u64]) -> store::Write {
        let is_meant = |number: &u64| !left_out.contains(number);
        match self {
            LetterUpdate::Remove(mut numbers) | LetterUpdate::Drop(mut numbers) => {
                numbers.retain(is_meant);
                store::Write { letters_remove: numbers, ..store::Write::default() }
            }
            LetterUpdate::Resolve(mut letters_resolve) => {
                letters_resolve.retain(|resolution| is_meant(&resolution.number));
                store::Write { letters_resolve, ..store::Write::default() }
            }
            LetterUpdate::Edit(new) => {
                let letters_edit = if is_meant(&new.number) { vec![new] } else { Vec::new() };
                store::Write { letters_edit, ..store::Write::default() }
            }
        }
    }
}

/// What became of dead letters that were to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpdatedLetters {
    pub written: store::Written,
    /// Not changed: their replay is under way, and an attempt was made or is.
    pub under_way: Vec<u64>,
}

/// What a delivery is sent again as, which says when its turn comes.
#[derive(Debug)]
pub enum SentAs {
    /// A dead letter in the queues of `lanes`. One that waits behind letters that are on their way is sent when its turn comes.
    Letter { lanes: LaneKeys, saga_command: SagaCommand },
    /// A change of the binlog, whatever became of it before: now, behind what its lanes hold.
    Change,
}

/// Where the outcome of a delivery that is sent again is sent.
pub type ReplayAnswer = oneshot::Sender<Result<Outcome, NotReplayed>>;

/// Why a delivery was not sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayed {
    #[error("it is being replayed already")]
    UnderWay,
    #[error("waits behind dead letter {0}; replay, resolve or discard that one first")]
    BlockedBy(u64),
    /// It would wait for an unknown time.
    #[error("rule {rule} is paused; rowhook resume {rule} first")]
    Paused { rule: String },
    #[error("it no longer exists")]
    Gone,
    /// It was a blocked delivery.
    #[error("it was sent by itself after the one in front of it")]
    Followed,
    /// Whether it was sent is unknown to whom this is said.
    #[error("rowhook stopped before it had an outcome")]
    Stopped,
    #[error("{0}")]
    Unsendable(String),
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    #[error("no rule is named {rule}")]
    NoSuchRule { rule: String },
    /// With those that there are.
    #[error("no rule calls target {target}")]
    NoSuchTarget { target: String, known: Vec<String> },
    #[error("rule {rule} is not paused")]
    NotPaused { rule: String },
    #[error("rule {rule} is paused already")]
    AlreadyPaused { rule: String },
    #[error("rule {rule} is not detached: there is nothing to skip")]
    NotDetached { rule: String },
    #[error("the store could not be written: {problem}")]
    Store { problem: String },
}

/// How it goes. By default nothing is known.
#[derive(Debug, Clone, Default)]
pub struct LoopStatus {
    /// How far the main stream is read; none before MySQL has answered for the first time.
    pub position: Option<Position>,
    /// When the newest transaction that was read was committed, in microseconds since the Unix epoch.
    pub read_up_to_us: Option<u64>,
    /// What was committed before this moment was read by the main stream, in microseconds since the Unix epoch.
    pub complete_up_to_us: Option<u64>,
    /// When the last checkpoint was made durable, in microseconds since the Unix epoch; none since the start.
    pub checkpointed_at_us: Option<u64>,
    /// The oldest change of any rule that is not resolved.
    pub oldest: OldestChange,
    /// In the order of the files.
    pub rules: Vec<RuleStatus>,
    pub targets: Vec<TargetStatus>,
    /// None: the server may purge what it likes.
    pub binlog_pin: Option<BinlogPinStatus>,
    /// None: none is kept.
    pub journal: Option<JournalStatus>,
}

/// That the server is kept from purging, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogPinStatus {
    /// This file and all later ones.
    pub file: Arc<str>,
    pub rules: Vec<Arc<str>>,
    /// Microseconds since the Unix epoch.
    pub since_us: u64,
    /// False while the connection is opened, for the first time or again, and for files that can't be pinned.
    pub is_pinned: bool,
}

/// How one rule is doing.
#[derive(Debug, Clone)]
pub struct RuleStatus {
    pub rule: String,
    /// Scheme, host and port that it calls.
    pub target: String,
    pub stream: StreamStatus,
    pub paused: Option<Paused>,
    /// Set when it is paused before rows whose table lacks a column that it needs; what came before is still sent.
    pub lacks: Option<Paused>,
    /// Deliveries in memory that are not resolved.
    pub unresolved: u64,
    /// Attempts under way.
    pub in_flight: u64,
    /// Deliveries that wait for their next attempt.
    pub in_retry: u64,
    /// Everything before this position is resolved.
    pub low_water_mark: Option<Position>,
    /// The oldest change that may be in the log and that the rule has not taken.
    pub unread: OldestChange,
    /// The oldest change that is not resolved, taken or not.
    pub oldest: OldestChange,
}

#[cfg(test)]
impl RuleStatus {
    /// Attached, with nothing to do.
    pub fn of_test(rule: &str) -> RuleStatus {
        RuleStatus {
            rule: rule.to_string(),
            target: String::new(),
            stream: StreamStatus::Attached,
            paused: None,
            lacks: None,
            unresolved: 0,
            in_flight: 0,
            in_retry: 0,
            low_water_mark: None,
            unread: OldestChange::None,
            oldest: OldestChange::None,
        }
    }
}

/// Where a rule's changes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamStatus {
    /// The main stream.
    Attached,
    /// A reader of its own, or none as long as the rule is paused or waits for its turn.
    Detached {
        /// Microseconds since the Unix epoch.
        since_us: u64,
        /// Whether its reader is at work.
        is_reading: bool,
        /// When the newest transaction that it has read was committed.
        read_up_to_us: Option<u64>,
        /// Why its reader gave up: a person must act.
        error: Option<String>,
    },
}

/// That and why a rule is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Microseconds since the Unix epoch.
    pub since_us: u64,
    /// One line for people, without row values.
    pub why: String,
}
