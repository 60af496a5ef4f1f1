//! An action of a saga has ended: what its log says then, what follows, and how a saga that ended counts.
//!
//! In: a delivery with the action that was tried, and its result. Out: the new log and the next action; or the outcome of
//! the whole. `saga::SagaDefinition` decides what follows what. Writes nothing.

use crate::delivery::{Delivery, Failure, Outcome};
use crate::failure::Reason;
use crate::rules::Saga;
use crate::saga::{ActionEnd, ActionId, ActionLog, ActionResult, ActionState, NextAction, SagaEnding, SagaLog};

/// The log after the delivery's action ended with this outcome, and what follows. None: the delivery is of no saga.
pub fn after(delivery: &Delivery, acted: ActionResult, outcome: &Outcome) -> Option<(SagaLog, NextAction)> {
    let (current, saga) = (delivery.saga_action.as_ref()?, delivery.rule.saga.as_ref()?);
    let mut log = (*current.log).clone();
    saga.definition.begin_action(&mut log, current.action);
    if is_given_up(current.action, &acted)
        && let Outcome::Dead(failure) = outcome
    {
        log.reason = Some(failure.reason);
    }
    saga.definition.record(&mut log, current.action, acted);
    // It is no longer unknown whether it happened.
    if let ActionId::Verify(n) = current.action
        && log.steps[n].act.state == ActionState::Failed
    {
        log.reason = Some(Reason::Exhausted);
    }
    let next = saga.definition.next(&mut log);
    Some((log, next))
}

/// Whether a step was tried and is not done.
pub fn is_given_up(action: ActionId, acted: &ActionResult) -> bool {
    matches!(action, ActionId::Step(_)) && !matches!(acted.end, ActionEnd::Done(_))
}

/// The outcome of a saga that ended so; `last` is that of its last action.
pub fn outcome_of(saga: &Saga, log: &SagaLog, ending: SagaEnding, last: &Outcome) -> Outcome {
    let step = match ending {
        SagaEnding::Delivered => {
            let status = if let Outcome::Delivered { status } = last { *status } else { 0 };
            return Outcome::Delivered { status };
        }
        SagaEnding::CallbackFailed => {
            let message = format!("all is done, but `on_success` failed: {}", log.callback.message);
            return Outcome::Dead(Failure { reason: Reason::CallbackFailed, message });
        }
        SagaEnding::Undone => {
            let reason = log.reason.unwrap_or(Reason::Interrupted);
            let message = format!("an operator had it undone: {}", log.in_words());
            return Outcome::Dead(Failure { reason, message });
        }
        SagaEnding::GivenUp { step } | SagaEnding::Unknown { step } => step,
    };
    let ActionLog { state, message: said, .. } = &log.steps[step].act;
    let is_unknown = matches!(ending, SagaEnding::Unknown { .. });
    let reason = match (is_unknown, log.reason) {
        (true, _) => Reason::Unknown,
        (false, Some(reason)) => reason,
        // After a crash in between: the effect of what is not repeatable is unknown.
        (false, None) if *state == ActionState::Unknown => Reason::Unknown,
        (false, None) => Reason::Exhausted,
    };
    let said = if said.is_empty() { "rowhook stopped during the call" } else { said };
    let doubt = if is_unknown { "whether it happened is unknown: " } else { "" };
    let message = match saga.is_single {
        true => format!("{doubt}{said}"),
        false => format!("step `{}`: {doubt}{said}; {}", log.steps[step].name, log.in_words()),
    };
    Outcome::Dead(Failure { reason, message })
}
