//! In which order the actions of a saga follow each other: the decisions, without I/O.
//!
//! In: the definition of the saga from its rule, the log so far, how an action ended, an operator's command. Out: the log
//! after that, and the next action. The log alone decides, so that a restart continues exactly where the saga was.

use super::{ActionEnd, ActionId, ActionLog, ActionResult, ActionState, Direction, SagaEffect, SagaLog, StepLog};
use crate::retry::Retries;

/// The steps and callbacks that a rule defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaDefinition {
    pub steps: Vec<StepDefinition>,
    pub has_on_success: bool,
    pub has_on_failure: bool,
}

/// What a rule defines for one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDefinition {
    pub name: Box<str>,
    /// It may be called again even when it is uncertain whether it happened.
    pub is_repeatable: bool,
    pub can_undo: bool,
    pub can_verify: bool,
    /// How often it may be called again, also after a query found that it had not happened.
    pub retries: Retries,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextAction {
    Do(ActionId),
    End(SagaEnding),
}

/// How a saga ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SagaEnding {
    /// All steps are done, and `on_success`.
    Delivered,
    /// All steps are done; `on_success` was given up.
    CallbackFailed,
    /// This step was given up; everything that could be undone is undone.
    GivenUp { step: usize },
    /// No step was given up: an operator had them undone; what could be undone is.
    Undone,
    /// It is uncertain whether this step happened, and it must not be called again.
    Unknown { step: usize },
}

/// What an operator wants of a saga that became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SagaCommand {
    /// To go on with the step that was given up.
    Resume,
    /// To begin with the first step again, also where steps are done.
    FromStart,
    /// To undo the steps that are not undone.
    Undo,
    /// To go on: the uncertain step happened, or did not.
    Settle { happened: bool },
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SagaRefusal {
    #[error(
        "it is not known whether step `{step}` took effect: check the API, then use `--happened yes` or `--happened no`"
    )]
    Unknown { step: Box<str> },
    #[error("no step is in doubt; `--happened` says nothing here")]
    NothingUnknown,
    #[error("it is not known whether step `{step}` was undone: use `--undo`, then it can be done again")]
    PartlyUndone { step: Box<str> },
    #[error("there is nothing to undo")]
    NothingToUndo,
    #[error(
        "the rule's steps are no longer those that the delivery began with ({began}); use `--from-start` to begin again"
    )]
    OtherSteps { began: String },
}

impl SagaDefinition {
    /// The log of a saga that has not begun.
    pub fn begin(&self) -> SagaLog {
        let step = |step: &StepDefinition| StepLog {
            name: step.name.clone(),
            act: ActionLog::WAITING,
            undo: ActionLog::WAITING,
            failed_calls: 0,
            answer: None,
        };
        SagaLog {
            steps: self.steps.iter().map(step).collect(),
            direction: Direction::Forward,
            callback: ActionLog::WAITING,
            reason: None,
        }
    }

    /// After the store was restored: marks each step that must not be repeated, and is not known to be done, as one that may
    /// have been called. A call that was made since the backup left no trace in the store.
    pub fn doubt(&self, log: &mut SagaLog) {
        for (step, definition) in log.steps.iter_mut().zip(&self.steps) {
            match step.act.state {
                ActionState::Waiting if !definition.is_repeatable => step.act.state = ActionState::Begun,
                ActionState::Failed if !definition.is_repeatable => step.act.state = ActionState::Unknown,
                _ => {}
            }
        }
    }

    /// Whether the log belongs to these steps.
    pub fn fits(&self, log: &SagaLog) -> bool {
        self.steps.iter().map(|step| &step.name).eq(log.steps.iter().map(|step| &step.name))
    }

    /// The next action; the log must belong to this definition's steps. A step that was begun and must not be repeated is
    /// uncertain: the next action is its query or, where the rule has none, the step becomes `Unknown`.
    pub fn next(&self, log: &mut SagaLog) -> NextAction {
        let is_open = |n: &usize| log.steps[*n].act.state == ActionState::Begun && !self.steps[*n].is_repeatable;
        match (0..self.steps.len()).find(is_open) {
            Some(n) if self.steps[n].can_verify => return NextAction::Do(ActionId::Verify(n)),
            Some(n) => self.leave_unknown(log, n),
            None => {}
        }
        match log.direction {
            Direction::Forward => self.next_forward(log),
            Direction::Back => self.next_back(log),
            Direction::Stopped => NextAction::End(SagaEnding::Unknown { step: given_up(log).unwrap_or(0) }),
        }
    }

    fn next_forward(&self, log: &SagaLog) -> NextAction {
        for (n, step) in log.steps.iter().enumerate() {
            match step.act.state {
                ActionState::Done => {}
                ActionState::Waiting | ActionState::Begun => return NextAction::Do(ActionId::Step(n)),
                ActionState::Failed | ActionState::Unknown => return NextAction::End(SagaEnding::GivenUp { step: n }),
            }
        }
        match log.callback.state {
            ActionState::Waiting | ActionState::Begun if self.has_on_success => NextAction::Do(ActionId::OnSuccess),
            ActionState::Failed | ActionState::Unknown => NextAction::End(SagaEnding::CallbackFailed),
            ActionState::Waiting | ActionState::Begun | ActionState::Done => NextAction::End(SagaEnding::Delivered),
        }
    }

    fn next_back(&self, log: &SagaLog) -> NextAction {
        for (n, (step, definition)) in log.steps.iter().zip(&self.steps).enumerate().rev() {
            let is_wanted = definition.can_undo && step.act.may_have_happened();
            if is_wanted && matches!(step.undo.state, ActionState::Waiting | ActionState::Begun) {
                return NextAction::Do(ActionId::Undo(n));
            }
        }
        match log.callback.state {
            ActionState::Waiting | ActionState::Begun if self.has_on_failure => NextAction::Do(ActionId::OnFailure),
            _ => NextAction::End(given_up(log).map_or(SagaEnding::Undone, |step| SagaEnding::GivenUp { step })),
        }
    }

    /// Records the action as one that may be called from this moment.
    pub fn begin_action(&self, log: &mut SagaLog, action: ActionId) {
        let act = log.act_mut(action);
        act.is_in_doubt |= act.state == ActionState::Begun && !matches!(action, ActionId::Verify(_));
        act.state = ActionState::Begun;
    }

    /// Records that an action which was begun was not called after all, or was refused in a way that proves that nothing
    /// happened; it will be called again. If the action, or the step that a query asks about, was uncertain before, it stays
    /// uncertain.
    pub fn not_done(&self, log: &mut SagaLog, action: ActionId) {
        let act = log.act_mut(action);
        if !matches!(action, ActionId::Verify(_)) && !act.is_in_doubt {
            act.state = ActionState::Waiting;
        }
    }

    fn leave_unknown(&self, log: &mut SagaLog, step: usize) {
        log.steps[step].act.state = ActionState::Unknown;
        self.turn_back_or_stop(log, step);
    }

    /// Records how an action ended.
    pub fn record(&self, log: &mut SagaLog, action: ActionId, acted: ActionResult) {
        let ActionResult { end, attempts, failed_calls, message } = acted;
        let act = log.act_mut(action);
        act.message = message;
        if !matches!(action, ActionId::Verify(_)) {
            act.attempts += attempts;
        }
        let end = match end {
            // An earlier call without an answer may have done it.
            ActionEnd::Failed if act.is_in_doubt => ActionEnd::Unknown,
            end => end,
        };
        act.is_in_doubt &= end == ActionEnd::Unknown;
        match (action, end) {
            (ActionId::Step(n), ActionEnd::Done(answer)) => {
                log.steps[n].act.state = ActionState::Done;
                log.steps[n].answer = answer;
            }
            (ActionId::Step(n), ActionEnd::Failed) => {
                log.steps[n].act.state = ActionState::Failed;
                self.turn_back_or_stop(log, n);
            }
            // The query comes next: the step stays begun.
            (ActionId::Step(n), ActionEnd::Unknown) if self.is_verified_by_query(n) => {
                log.steps[n].failed_calls = u32::try_from(failed_calls).unwrap_or(u32::MAX);
            }
            (ActionId::Step(n) | ActionId::Verify(n), ActionEnd::Failed | ActionEnd::Unknown) => {
                self.leave_unknown(log, n)
            }
            (ActionId::Verify(n), ActionEnd::Verified { happened: true, answer }) => {
                log.steps[n].act.state = ActionState::Done;
                log.steps[n].answer = answer;
            }
            (ActionId::Verify(n), ActionEnd::Verified { happened: false, .. }) => {
                let step = &mut log.steps[n];
                step.failed_calls = step.failed_calls.saturating_add(1);
                (step.act.state, step.act.is_in_doubt) = (ActionState::Waiting, false);
                if !self.steps[n].retries.allow_another(u64::from(step.failed_calls)) {
                    step.act.state = ActionState::Failed;
                    self.turn_back_or_stop(log, n);
                }
            }
            (ActionId::Undo(_) | ActionId::OnSuccess | ActionId::OnFailure, end) => {
                log.act_mut(action).state = match end {
                    ActionEnd::Done(_) | ActionEnd::Verified { .. } => ActionState::Done,
                    ActionEnd::Failed => ActionState::Failed,
                    ActionEnd::Unknown => ActionState::Unknown,
                };
                // An operator undid it after a callback had reported that it was not undone.
                if matches!(action, ActionId::Undo(_)) && log.act(action).state == ActionState::Done {
                    call_back_again(log, Direction::Back);
                }
            }
            (ActionId::Step(_), ActionEnd::Verified { .. }) | (ActionId::Verify(_), ActionEnd::Done(_)) => {
                unreachable!("only a verification verifies, and does nothing else")
            }
        }
    }

    /// Prepares the log of a dead letter for an operator's command.
    ///
    /// # Errors
    /// Why the command makes no sense for this log.
    pub fn grant(&self, log: &mut SagaLog, saga_command: SagaCommand) -> Result<(), SagaRefusal> {
        if saga_command == SagaCommand::FromStart {
            self.begin_again(log);
            return Ok(());
        }
        if !self.fits(log) {
            let names: Vec<&str> = log.steps.iter().map(|step| &*step.name).collect();
            return Err(SagaRefusal::OtherSteps { began: names.join(", ") });
        }
        if let Some(step) = log.steps.iter().find(|step| saga_command != SagaCommand::Undo && step.may_be_undone()) {
            return Err(SagaRefusal::PartlyUndone { step: step.name.clone() });
        }
        let in_doubt = (0..log.steps.len()).find(|n| self.is_in_doubt(log, *n));
        match (saga_command, in_doubt) {
            (SagaCommand::Undo, _) => self.go_back(log),
            (SagaCommand::Settle { happened }, Some(n)) => {
                log.steps[n].act.state = if happened { ActionState::Done } else { ActionState::Waiting };
                log.steps[n].act.is_in_doubt = false;
                self.go_forward(log);
                Ok(())
            }
            (SagaCommand::Settle { .. }, None) => Err(SagaRefusal::NothingUnknown),
            (_, Some(n)) if self.steps[n].can_verify => {
                log.steps[n].act.state = ActionState::Begun;
                self.go_forward(log);
                Ok(())
            }
            (_, Some(n)) => Err(SagaRefusal::Unknown { step: log.steps[n].name.clone() }),
            (_, None) => {
                self.go_forward(log);
                Ok(())
            }
        }
    }

    /// Whether a step that must not be repeated is uncertain, and was not undone.
    fn is_in_doubt(&self, log: &SagaLog, n: usize) -> bool {
        let step = &log.steps[n];
        !self.steps[n].is_repeatable
            && matches!(step.act.state, ActionState::Unknown | ActionState::Begun)
            && step.undo.state != ActionState::Done
    }

    fn go_forward(&self, log: &mut SagaLog) {
        call_back_again(log, Direction::Forward);
        log.direction = Direction::Forward;
        for step in &mut log.steps {
            let is_undone = step.undo.state == ActionState::Done;
            if is_undone {
                (step.act.round, step.undo.round) = (step.act.round + 1, step.undo.round + 1);
                step.answer = None;
            }
            if is_undone || matches!(step.act.state, ActionState::Failed | ActionState::Unknown) {
                step.act.is_in_doubt = step.act.state == ActionState::Unknown && !is_undone;
                step.act.state = ActionState::Waiting;
            }
            step.undo.state = ActionState::Waiting;
            step.failed_calls = 0;
        }
    }

    fn go_back(&self, log: &mut SagaLog) -> Result<(), SagaRefusal> {
        let wants = |(step, definition): (&StepLog, &StepDefinition)| {
            definition.can_undo && step.act.may_have_happened() && step.undo.state != ActionState::Done
        };
        if !log.steps.iter().zip(&self.steps).any(wants) {
            return Err(SagaRefusal::NothingToUndo);
        }
        if log.direction != Direction::Back || log.callback.state != ActionState::Done {
            call_back_again(log, Direction::Back);
        }
        log.direction = Direction::Back;
        for step in log.steps.iter_mut().filter(|step| step.undo.state != ActionState::Done) {
            step.undo.state = ActionState::Waiting;
        }
        Ok(())
    }

    fn begin_again(&self, log: &mut SagaLog) {
        let before = std::mem::replace(log, self.begin());
        for step in &mut log.steps {
            let round = before.step(&step.name).map_or(0, |old| old.act.round.max(old.undo.round) + 1);
            (step.act.round, step.undo.round) = (round, round);
        }
        log.callback.round = before.callback.round + 1;
    }

    /// The step was given up: the saga goes back, or stops if the step is uncertain and can't be undone.
    fn turn_back_or_stop(&self, log: &mut SagaLog, step: usize) {
        let definition = &self.steps[step];
        let is_uncertain = log.steps[step].act.state == ActionState::Unknown && !definition.is_repeatable;
        log.direction = if is_uncertain && !definition.can_undo { Direction::Stopped } else { Direction::Back };
    }

    fn is_verified_by_query(&self, n: usize) -> bool {
        !self.steps[n].is_repeatable && self.steps[n].can_verify
    }
}

/// A callback that sent, or may have sent, another result before gets a call of its own; one that another follows leaves
/// nothing of itself.
fn call_back_again(log: &mut SagaLog, towards: Direction) {
    let is_another = (log.direction == Direction::Forward) != (towards == Direction::Forward);
    let is_same_result = !is_another && log.effect() == SagaEffect::Complete;
    let round = log.callback.round + u32::from(log.callback.may_have_happened() && !is_same_result);
    match is_another {
        true => log.callback = ActionLog { round, ..ActionLog::WAITING },
        false => (log.callback.round, log.callback.state) = (round, ActionState::Waiting),
    }
}

/// The step that was given up.
fn given_up(log: &SagaLog) -> Option<usize> {
    let is_given_up = |step: &StepLog| matches!(step.act.state, ActionState::Failed | ActionState::Unknown);
    log.steps.iter().position(is_given_up)
}

#[cfg(test)]
mod tests;
