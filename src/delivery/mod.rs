//! Deliveries: one rule applied to one change, carried to its outcome.
//!
//! In: a `Delivery`. Out: a `Completed` with its outcome and the attempts it took; of a saga, one for each action, and
//! before its call the event that it is due. Keeps promise 2 (order per key) and the limits on attempts in flight; writes
//! nothing down, that is the outcome stage's work.

mod admission;
mod answer;
mod attempt;
mod breaker;
mod bundle;
mod callers;
mod coalesce;
mod counters;
mod dispatcher;
mod event;
mod gather;
mod lane;
mod rate_limit;
mod rehearsal;
mod scripted;
mod server_limit;
mod sink;
mod target;
#[cfg(test)]
pub(crate) mod testing;
mod under_way;

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

pub use dispatcher::{Dispatcher, Withdraw};
pub use event::{DeliveryEvent, DueAction, DueTicket, Intent};
pub use lane::RuleUnderWay;
#[cfg(test)]
pub(crate) use lane::{Lanes, Place, Turn};
pub use rehearsal::{
    AfterAnswer, CallRehearsal, GatheredCall, Rehearsal, RehearsalEnd, RehearsedPart, RowEnd, gathered,
};
pub use scripted::{MissingAnswer, ScriptedAnswer};
#[doc(hidden)]
pub use sink::fuzzing;
pub use sink::{
    Client, Destination, Handshake, Shown, ShownCertificate, ShownRequest, ShownStatement, ShownWork, Sinks,
};
pub use target::TargetStatus;

use crate::change::{Change, DeliveryId};
use crate::failure::{Attempts, Reason};
use crate::ordering::{LaneKeys, MoreKeys};
use crate::rules::{Action, OnDeadLetter, Rule};
use crate::saga::{ActionId, ActionResult, NextAction, SagaLog};
use crate::template::Scope;

/// One rule applied to one change.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: DeliveryId,
    pub rule: Arc<Rule>,
    pub change: Arc<Change>,
    pub origin: Origin,
    /// Set when its outcome is known before any attempt, for example because the rule's `when` could not be decided on this
    /// row: it is not sent and only keeps its place in the order.
    pub predetermined: Option<Outcome>,
    /// For a rule with a saga: the action to do now.
    pub saga_action: Option<SagaAction>,
    /// Further lanes that it takes, and whole definitions that it waits for, besides the lanes of its own key.
    pub more: Option<Arc<MoreKeys>>,
    /// Of a dead letter that is sent again: the body that an operator has given it.
    pub edited: Option<EditedBody>,
}

/// A body in the place of the one that a rule makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditedBody {
    /// Which edit of the dead letter it is.
    pub edit: u32,
    pub body: Bytes,
}

/// One action of a saga, with what was done before it.
#[derive(Debug, Clone)]
pub struct SagaAction {
    pub action: ActionId,
    pub log: Arc<SagaLog>,
}

impl Delivery {
    /// Of a change that the rule matches, before anything was done; of a saga, its first step.
    pub fn of(rule: &Arc<Rule>, change: &Arc<Change>) -> Delivery {
        let saga_action = rule.saga.as_ref().and_then(|saga| {
            let mut log = saga.definition.begin();
            match saga.definition.next(&mut log) {
                NextAction::Do(action) => Some(SagaAction { action, log: Arc::new(log) }),
                NextAction::End(_) => None,
            }
        });
        Delivery {
            id: change.delivery_id(&rule.name),
            rule: Arc::clone(rule),
            change: Arc::clone(change),
            origin: Origin::Stream,
            predetermined: None,
            saga_action,
            more: None,
            edited: None,
        }
    }

    /// All lanes that it takes, and all definitions that it waits for.
    pub fn lanes(&self) -> LaneKeys {
        self.rule.ordering_keys(&self.change).with_shared(self.more.clone())
    }

    /// The action of its rule that is to be done now.
    pub fn action(&self) -> &Action {
        match (&self.saga_action, &self.rule.saga) {
            (Some(current), Some(saga)) => {
                let number = saga.number(current.action).expect("a saga's action is one of its rule's");
                &self.rule.actions[number]
            }
            _ => self.rule.action_for(self.change.op),
        }
    }

    /// What it would send now, for people, with secrets masked: a `curl` command, where it is a call.
    ///
    /// # Errors
    /// A line for people when the row makes none, without row values.
    pub fn preview(&self) -> Result<Shown, String> {
        Shown::of(self)
    }

    /// For tests whose rule calls an API.
    #[cfg(test)]
    pub(crate) fn call(&self) -> &crate::rules::Call {
        self.action().call().expect("a call")
    }

    /// What its templates read.
    pub fn scope(&self) -> Scope {
        let scope = Scope::new(&self.change, self.id);
        match &self.saga_action {
            Some(current) => scope.with_saga(Arc::clone(&current.log)),
            None => scope,
        }
    }

    /// The identity of its call, for the receiver: the id of the delivery; or, where a rule has several actions, an id for
    /// each action; or, where its body was edited, an id for that edit. It stays the same for every attempt, after a crash, and when
    /// an operator resumes the saga. A query that verifies a step has a new one each time.
    pub fn call_id(&self) -> DeliveryId {
        if let Some(edited) = &self.edited {
            return self.id.of_edit(edited.edit, &edited.body);
        }
        let (Some(SagaAction { action, log }), Some(saga)) = (&self.saga_action, &self.rule.saga) else {
            return self.id;
        };
        let round = log.act(*action).round;
        let name = |n: usize| &*log.steps[n].name;
        let place = match *action {
            ActionId::Step(_) if saga.is_single && round == 0 => return self.id,
            ActionId::Step(n) => name(n).to_owned(),
            ActionId::Undo(n) => format!("{}/undo", name(n)),
            // A new id each time: no API may answer the query from its cache.
            ActionId::Verify(_) => return DeliveryId(Uuid::new_v4()),
            ActionId::OnSuccess => "/on_success".to_owned(),
            ActionId::OnFailure => "/on_failure".to_owned(),
        };
        self.id.of_action(&place, round)
    }
}

/// Who asked for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A change in the binlog.
    Stream,
    /// An operator replays the dead letter of this number.
    Replay { dead_letter: u64 },
    /// An operator replays a binlog range; the loop chooses the number.
    BinlogReplay { number: u64 },
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With the status of the last call; 0 where a statement was executed instead.
    Delivered {
        status: u16,
    },
    Dead(Failure),
    /// Not attempted: a dead letter, the one of this number, blocks one of its ordering keys.
    Blocked {
        by: u64,
    },
}

/// Why a delivery was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub reason: Reason,
    /// One line for people, without row values.
    pub message: String,
}

impl Failure {
    /// The rule could not be decided on the row.
    pub fn undecided(message: String) -> Failure {
        Failure { reason: Reason::Undecided, message }
    }
}

/// A delivery with its outcome; of a saga, one action with its result.
#[derive(Debug)]
pub struct Completed {
    pub delivery: Delivery,
    pub outcome: Outcome,
    /// Including those of larger calls that carried it; empty when no request could be made.
    pub attempts: Attempts,
    /// Earlier deliveries that were merged into this one: its outcome is theirs, and is durable for all of them at once.
    pub merged: Vec<Merged>,
    /// The result of a saga's action, where it was tried.
    pub acted: Option<ActionResult>,
    /// To be given back when the outcome is durable.
    pub ticket: Ticket,
}

/// A delivery that has become part of a later one of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    pub id: DeliveryId,
    pub origin: Origin,
    /// Commit time of its change, in microseconds since the Unix epoch.
    pub committed_at_us: u64,
}

impl Completed {
    /// The delivery itself and those merged into it: all that have their outcome now.
    pub fn parts(&self) -> impl Iterator<Item = Merged> {
        let Delivery { id, origin, ref change, .. } = self.delivery;
        let own = Merged { id, origin, committed_at_us: change.transaction.committed_at_us };
        std::iter::once(own).chain(self.merged.iter().copied())
    }

    /// Whether it is a dead letter that pauses its rule until an operator resumes the rule. A replay never pauses it: an
    /// operator asked for the replay and sees its result.
    pub fn pauses_its_rule(&self) -> bool {
        matches!(self.outcome, Outcome::Dead(_))
            && self.delivery.origin == Origin::Stream
            && self.delivery.rule.settings.on_dead_letter == OnDeadLetter::Pause
    }
}

/// A completed delivery's share of its call's place in the lanes. Until all tickets of a call are given back, the next
/// deliveries of the call's keys wait.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is not given back stops its lane for ever"]
pub struct Ticket(pub(crate) u32);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("http client: {message}")]
    Client { message: String },
}
