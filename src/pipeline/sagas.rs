//! Sagas: deliveries that are more than one repeatable call, carried from action to action.
//!
//! In: deliveries of rules with a saga, actions whose turn has come, and what came of them. Out: logs to the store, each
//! before what it allows: an action is begun when the store says that it may have been, the next one when the last is
//! written down, and the outcome is settled together with the end of the log. Owns what was under way when the last process
//! ended and has not come again. So after a crash at any point a saga continues where it was, and nothing that is known to
//! be done is done again. `saga::SagaDefinition` alone decides what follows what.

use std::collections::HashMap;
use std::sync::Arc;

use super::granting::{KnownSaga, doubt, grant};
use super::writes::{DurableWrite, Writes};
use crate::change::DeliveryId;
use crate::delivery::{Completed, Delivery, DueAction, Failure, Intent, Origin, Outcome, SagaAction};
use crate::failure::{Attempts, Reason};
use crate::outcome::{self, saga_action};
use crate::rules::{Rule, Saga};
use crate::saga::{ActionId, NextAction, SagaCommand, SagaDefinition, SagaLog};
use crate::store::{self, SagaPut, Store};

/// What the loop knows of sagas besides what the deliveries themselves carry.
#[derive(Default)]
pub(super) struct Sagas {
    /// Under way when the last process ended, and not seen since.
    from_before: HashMap<DeliveryId, store::StoredSaga>,
    /// Of a store that was restored: calls for changes committed up to then may have been made.
    pub restored_until_us: Option<u64>,
    /// The attempts of the step that was given up, while others are undone: its dead letter shows them.
    given_up: HashMap<DeliveryId, Attempts>,
    /// The work ends: nothing more is begun.
    pub is_ending: bool,
}

impl Sagas {
    /// Whether this one was under way when the last process ended, and was not seen since.
    pub fn knows(&self, id: &DeliveryId) -> bool {
        self.from_before.contains_key(id)
    }

    /// Takes over what was under way when the last process ended.
    pub fn recall(&mut self, store: &Store) -> Result<(), store::Error> {
        let sagas = store.sagas()?;
        if !sagas.is_empty() {
            tracing::info!(sagas = sagas.len(), "sagas that were under way when the last process ended go on");
        }
        self.from_before = sagas.into_iter().map(|saga| (saga.id, saga)).collect();
        Ok(())
    }

    /// The delivery with what it does first; or as it ended already, before anything was to be done.
    pub fn begin(&mut self, delivery: Delivery) -> Delivery {
        let rule = Arc::clone(&delivery.rule);
        let log = self.from_before.remove(&delivery.id).map(|saga| saga.log);
        match (&rule.saga, log) {
            // Its dead letter has the log.
            (_, Some(log)) if delivery.predetermined.is_some() => with_log(delivery, log),
            (Some(saga), Some(mut log)) if saga.definition.fits(&log) => {
                doubt(&delivery, saga, self.restored_until_us, &mut log);
                going_on(delivery, saga, log)
            }
            (_, Some(log)) => interrupted(delivery, log),
            (Some(saga), None) if delivery.predetermined.is_none() => {
                let mut log = saga.definition.begin();
                doubt(&delivery, saga, self.restored_until_us, &mut log);
                going_on(delivery, saga, log)
            }
            (_, None) => delivery,
        }
    }

    /// A dead letter's delivery with an operator's command for it, or why that can't be done.
    pub fn resume(&self, store: &Store, delivery: Delivery, saga_command: SagaCommand) -> Result<Delivery, String> {
        let log = store.saga(delivery.id).map_err(|error| error.to_string())?;
        let known = KnownSaga { log, restored_until_us: self.restored_until_us };
        let log = grant(&delivery, known, saga_command)?;
        let rule = Arc::clone(&delivery.rule);
        Ok(match (&rule.saga, log) {
            (Some(saga), Some(log)) => going_on(delivery, saga, log),
            _ => delivery,
        })
    }

    /// The turn of an action has come: it is begun when the store knows.
    pub fn due(due: DueAction, writes: &mut Writes) {
        let current = due.delivery.saga_action.as_ref().expect("only a saga's actions are due");
        let mut log = (*current.log).clone();
        definition_of(&due.delivery.rule).begin_action(&mut log, current.action);
        let write = put(&due.delivery, log);
        writes.write_then(write, DurableWrite::Begun(Box::new(due)));
    }

    /// Nothing happened, and it will be tried again: meanwhile a crash leaves no doubt.
    pub fn not_done(delivery: &Delivery, writes: &mut Writes) {
        let current = delivery.saga_action.as_ref().expect("only a saga's actions are due");
        let (mut log, saga_definition) = ((*current.log).clone(), definition_of(&delivery.rule));
        saga_definition.begin_action(&mut log, current.action);
        saga_definition.not_done(&mut log, current.action);
        let write = put(delivery, log);
        writes.write(write);
    }

    /// An action has ended: what comes next waits until that is written down. Returns a delivery that is over, with its
    /// outcome.
    pub fn acted(&mut self, mut completed: Completed, writes: &mut Writes) -> Option<Completed> {
        let (Some(acted), Some(current)) = (completed.acted.take(), &completed.delivery.saga_action) else {
            return Some(completed);
        };
        let rule = Arc::clone(&completed.delivery.rule);
        let saga = rule.saga.as_ref().expect("only a rule with a saga has actions to do");
        let action = current.action;
        if saga_action::is_given_up(action, &acted) {
            self.given_up.insert(completed.delivery.id, completed.attempts.clone());
        }
        let after = saga_action::after(&completed.delivery, acted, &completed.outcome);
        let (log, next) = after.expect("the delivery is of a saga");
        match next {
            NextAction::Do(next) => {
                self.go_on_with(completed, saga, log, next, writes);
                None
            }
            NextAction::End(ending) => {
                if let Some(attempts) = self.given_up.remove(&completed.delivery.id) {
                    completed.attempts = attempts;
                }
                completed.outcome = saga_action::outcome_of(saga, &log, ending, &completed.outcome);
                completed.delivery.saga_action = Some(SagaAction { action, log: Arc::new(log) });
                Some(completed)
            }
        }
    }

    fn go_on_with(&self, completed: Completed, saga: &Saga, log: SagaLog, next: ActionId, writes: &mut Writes) {
        let Completed { mut delivery, ticket, .. } = completed;
        let number = saga.number(next).expect("the definition is that of the saga");
        // One write says that this action ended and that the next one may have been called.
        let is_begun = delivery.rule.actions[number].is_repeatable && !self.is_ending;
        let mut written = log.clone();
        if is_begun {
            saga.definition.begin_action(&mut written, next);
        }
        delivery.saga_action = Some(SagaAction { action: next, log: Arc::new(log) });
        let intent = if is_begun { Intent::Durable } else { Intent::ToBeWritten };
        let write = put(&delivery, written);
        writes.write_then(write, DurableWrite::Acted { ticket, delivery: Box::new(delivery), intent });
    }

    /// What was under way and will not come again becomes a dead letter: its rule is gone, or no longer matches the change.
    /// `why_over` says which of them that is, if its change is passed.
    pub fn give_up_interrupted(
        &mut self,
        why_over: impl Fn(&store::StoredSaga) -> Option<&'static str>,
        writes: &mut Writes,
    ) {
        if self.from_before.is_empty() {
            return;
        }
        let over: Vec<_> = self.from_before.iter().filter_map(|(id, known)| Some((*id, why_over(known)?))).collect();
        for (id, why) in over {
            let saga = self.from_before.remove(&id).expect("it was just there");
            tracing::error!(rule = &*saga.rule, %id, why, "a saga was under way: it is a dead letter now");
            writes.write(outcome::interrupted(saga, why));
        }
    }
}

fn definition_of(rule: &Rule) -> &SagaDefinition {
    &rule.saga.as_ref().expect("only a rule with a saga has actions to do").definition
}

/// With the next thing to do, or as one that has ended.
fn going_on(mut delivery: Delivery, saga: &Saga, mut log: SagaLog) -> Delivery {
    let action = match saga.definition.next(&mut log) {
        NextAction::Do(action) => action,
        NextAction::End(ending) => {
            delivery.predetermined =
                Some(saga_action::outcome_of(saga, &log, ending, &Outcome::Delivered { status: 0 }));
            ActionId::Step(0)
        }
    };
    delivery.saga_action = Some(SagaAction { action, log: Arc::new(log) });
    delivery
}

fn interrupted(mut delivery: Delivery, log: SagaLog) -> Delivery {
    let why = match delivery.rule.saga {
        Some(_) => "the rule's steps became others",
        None => "the rule has no steps any more",
    };
    let message = format!("it was under way when rowhook stopped, and {why}; of its own {}", log.in_words());
    delivery.predetermined = Some(Outcome::Dead(Failure { reason: Reason::Interrupted, message }));
    with_log(delivery, log)
}

/// One that is over before anything more is done.
fn with_log(delivery: Delivery, log: SagaLog) -> Delivery {
    Delivery { saga_action: Some(SagaAction { action: ActionId::Step(0), log: Arc::new(log) }), ..delivery }
}

/// `log` is what is true from now on; the delivery has the one before.
fn put(delivery: &Delivery, log: SagaLog) -> store::Write {
    let letter = match delivery.origin {
        Origin::Replay { dead_letter } => Some(dead_letter),
        Origin::Stream | Origin::BinlogReplay { .. } => None,
    };
    // Also of one that is only in doubt, because the store was restored. Written twice it does no harm.
    let is_first = delivery.saga_action.as_ref().is_some_and(|current| current.log.is_uncalled());
    let saga = SagaPut {
        id: delivery.id,
        rule: delivery.rule.name.as_str().into(),
        log: Arc::new(log),
        change: (is_first && letter.is_none()).then(|| Arc::clone(&delivery.change)),
        letter,
    };
    store::Write { sagas_put: vec![saga], ..store::Write::default() }
}
