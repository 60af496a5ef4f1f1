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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::delivery::{SagaAction, testing};
    use crate::rules::RuleSet;

    #[test]
    fn what_a_query_found_not_to_have_happened_is_given_up_as_exhausted() {
        let text = "table: shop.orders\nrules:\n  - name: r\n    retry: {retries: 0}\n    call:\n      url: http://a.test/\n      \
                    idempotent: false\n      verify: {call: {url: 'http://a.test/q'}, when: answer.status == 200}\n";
        let rules = RuleSet::from_texts(&[("r.yaml".into(), text.to_owned())], &|_| None).expect("it loads");
        let rule = &rules.rules()[0];
        let saga = rule.saga.as_ref().expect("a saga");
        let acted = |end| ActionResult { end, attempts: 1, failed_calls: 0, message: "said".to_owned() };
        let at = |action, log| Some(SagaAction { action, log: Arc::new(log) });

        let mut delivery = testing::delivery(rule, 1, 7);
        delivery.saga_action = at(ActionId::Step(0), saga.definition.begin());
        let lost = Outcome::Dead(Failure { reason: Reason::Unknown, message: "no answer".to_owned() });
        let (log, next) = after(&delivery, acted(ActionEnd::Unknown), &lost).expect("a saga");
        assert_eq!((log.reason, next), (Some(Reason::Unknown), NextAction::Do(ActionId::Verify(0))));

        delivery.saga_action = at(ActionId::Verify(0), log);
        let answered = Outcome::Delivered { status: 404 };
        let no = ActionEnd::Verified { happened: false, answer: None };
        let (log, next) = after(&delivery, acted(no), &answered).expect("a saga");
        let NextAction::End(ending) = next else { panic!("{next:?}") };
        let outcome = outcome_of(saga, &log, ending, &answered);
        let Outcome::Dead(Failure { reason, message }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((reason, &*message), (Reason::Exhausted, "said"));
    }
}
