//! The saga log: what was done for a delivery that takes more than one call, or one call that must not happen twice.
//!
//! In: the definition of the saga from its rule, and how its actions ended. Out: the action to do next, or how the saga
//! ended. The log is written before and after each action, so that a crash loses none of it; dead letters show it. Two
//! promises: an action that is known to be done is not done again, and an action that must not be repeated is not called
//! while it is uncertain whether it happened.
//! Pure data and decisions: no clock, no I/O; knows neither rules nor requests.

use std::fmt;

use crate::failure::Reason;

pub use definition::{NextAction, SagaCommand, SagaDefinition, SagaEnding, SagaRefusal, StepDefinition};

mod definition;

/// One action of a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ActionId {
    /// The n-th step, from 0.
    Step(usize),
    /// Asks whether the n-th step, which is uncertain, happened.
    Verify(usize),
    /// Undoes the n-th step.
    Undo(usize),
    /// Reports that all steps are done.
    OnSuccess,
    /// Reports that the saga was given up.
    OnFailure,
}

/// The state of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionState {
    /// Not begun; or called, and known not to have happened.
    Waiting,
    /// May have been called: this is durable before the call.
    Begun,
    Done,
    /// Given up, and known not to have happened.
    Failed,
    /// Given up, and it is uncertain whether it happened.
    Unknown,
}

impl ActionState {
    pub const ALL: [ActionState; 5] =
        [ActionState::Waiting, ActionState::Begun, ActionState::Done, ActionState::Failed, ActionState::Unknown];

    /// The word on disk and in the command line's output; never to change.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionState::Waiting => "waiting",
            ActionState::Begun => "begun",
            ActionState::Done => "done",
            ActionState::Failed => "failed",
            ActionState::Unknown => "unknown",
        }
    }

    pub fn parse(text: &str) -> Option<ActionState> {
        ActionState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Which way the saga goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Step after step.
    Forward,
    /// A step was given up: those before it are undone.
    Back,
    /// A step must not be repeated, can't be undone, and it is uncertain whether it happened: nothing more is called until
    /// an operator has stated it.
    Stopped,
}

impl Direction {
    pub const ALL: [Direction; 3] = [Direction::Forward, Direction::Back, Direction::Stopped];

    /// The word on disk and in the command line's output; never to change.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::Back => "back",
            Direction::Stopped => "stopped",
        }
    }

    pub fn parse(text: &str) -> Option<Direction> {
        Direction::ALL.into_iter().find(|direction| direction.as_str() == text)
    }
}

/// One action's part of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionLog {
    pub state: ActionState,
    /// Calls made in all, retries included.
    pub attempts: u64,
    /// The result of the last one, for people; without row values. Empty before the first.
    pub message: String,
    /// It was begun before, and the result of that was never recorded.
    pub is_in_doubt: bool,
    /// How often it was begun again after it was done and undone, or by an operator's command. Each round has an idempotency
    /// key of its own.
    pub round: u32,
}

impl ActionLog {
    pub const WAITING: ActionLog =
        ActionLog { state: ActionState::Waiting, attempts: 0, message: String::new(), is_in_doubt: false, round: 0 };

    /// Whether it may have had an effect.
    fn may_have_happened(&self) -> bool {
        self.is_in_doubt || matches!(self.state, ActionState::Begun | ActionState::Done | ActionState::Unknown)
    }
}

/// A step's part of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StepLog {
    pub name: Box<str>,
    pub act: ActionLog,
    /// Stays waiting where the rule has no `undo` for the step, or nothing is to be undone.
    pub undo: ActionLog,
    /// Its failed calls that count against its retries, where a query found that the last of them had not happened.
    pub failed_calls: u32,
    /// The step's answer, as far as later templates may read it.
    pub answer: Option<KeptAnswer>,
}

impl StepLog {
    /// Whether it has, or may have, an effect that is not undone.
    pub fn has_effect(&self) -> bool {
        self.act.may_have_happened() && self.undo.state != ActionState::Done
    }

    /// Whether it is uncertain if its effect is still there: it was being undone, and the result is not known.
    fn may_be_undone(&self) -> bool {
        self.has_effect() && matches!(self.undo.state, ActionState::Begun | ActionState::Unknown)
    }
}

/// An answer that later steps may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// 0 for a statement.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// At most [`KeptAnswer::BODY_BYTES_MAX`].
    pub body: Box<[u8]>,
    /// The answer was longer than what is kept.
    pub is_cut: bool,
    /// Why the body is not kept, for example because it could not be decompressed.
    pub problem: Option<Box<str>>,
}

impl KeptAnswer {
    /// How much of a body is kept; an API's answer to a call that created something is far shorter.
    pub const BODY_BYTES_MAX: usize = 64 << 10;
    /// How much is kept of all headers together.
    pub const HEADERS_BYTES_MAX: usize = 16 << 10;
}

/// See the module's header.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaLog {
    /// In the rule's order.
    pub steps: Vec<StepLog>,
    pub direction: Direction,
    /// `on_success` while it goes forward, else `on_failure`.
    pub callback: ActionLog,
    /// Why a step was given up, the words are in its act; or why an operator was asked, who had it undone.
    pub reason: Option<Reason>,
}

/// The result of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionResult {
    pub end: ActionEnd,
    /// Calls that were made.
    pub attempts: u64,
    /// The step's failed calls that count against its retries, with those in [`StepLog::failed_calls`].
    pub failed_calls: u64,
    /// For people; without row values.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ActionEnd {
    Done(Option<KeptAnswer>),
    /// Given up, and nothing can have happened.
    Failed,
    /// Given up; it may have happened.
    Unknown,
    /// A query was answered: whether the step happened, and the step's kept answer.
    Verified {
        happened: bool,
        answer: Option<KeptAnswer>,
    },
}

/// What the steps of a saga left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SagaEffect {
    /// Every step is done.
    Complete,
    /// No step has an effect: none was done, or all that may have happened are undone.
    None,
    /// Some steps have, or may have, an effect: an operator has to check.
    Partial,
}

impl SagaEffect {
    pub fn as_str(self) -> &'static str {
        match self {
            SagaEffect::Complete => "complete",
            SagaEffect::None => "none",
            SagaEffect::Partial => "partial",
        }
    }
}

impl SagaEffect {
    pub const ALL: [SagaEffect; 3] = [SagaEffect::Complete, SagaEffect::None, SagaEffect::Partial];

    /// What `outcome.standing` says in bodies and templates.
    pub fn in_bodies(self) -> &'static str {
        match self {
            SagaEffect::Complete => "done",
            SagaEffect::None => "undone",
            SagaEffect::Partial => "open",
        }
    }

    pub fn parse(text: &str) -> Option<SagaEffect> {
        SagaEffect::ALL.into_iter().find(|effect| effect.as_str() == text)
    }
}

impl fmt::Display for SagaEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SagaLog {
    /// What it left behind, in some words for people.
    pub fn in_words(&self) -> String {
        let open = self.steps.iter().filter(|step| step.has_effect());
        let names: Vec<&str> = open.map(|step| &*step.name).collect();
        match (names.as_slice(), self.effect()) {
            (_, SagaEffect::Complete) => "all are done".to_string(),
            ([], _) if self.steps.iter().all(|step| step.undo.state != ActionState::Done) => {
                "nothing else was done".to_string()
            }
            ([], _) => "all is undone".to_string(),
            (names, _) => format!("not undone: {}", names.join(", ")),
        }
    }

    /// Whether nothing was called for it yet, as far as it says.
    pub fn is_uncalled(&self) -> bool {
        let acts = self.steps.iter().flat_map(|step| [&step.act, &step.undo]).chain([&self.callback]);
        acts.into_iter().all(|act| act.attempts == 0)
    }

    /// Whether no action was ever begun.
    pub fn is_fresh(&self) -> bool {
        self.steps.iter().all(|step| step.act == ActionLog { round: step.act.round, ..ActionLog::WAITING })
    }

    pub fn step(&self, name: &str) -> Option<&StepLog> {
        self.steps.iter().find(|step| &*step.name == name)
    }

    /// What the steps leave behind if nothing more is done.
    pub fn effect(&self) -> SagaEffect {
        if self.direction == Direction::Forward && self.steps.iter().all(|step| step.act.state == ActionState::Done) {
            return SagaEffect::Complete;
        }
        match self.steps.iter().any(StepLog::has_effect) {
            true => SagaEffect::Partial,
            false => SagaEffect::None,
        }
    }

    /// `delivered` while the saga goes forward, else `dead`: what `on_success` and `on_failure` report.
    pub fn outcome(&self) -> &'static str {
        match self.direction {
            Direction::Forward => "delivered",
            Direction::Back | Direction::Stopped => "dead",
        }
    }

    /// The step that was given up, if one was.
    pub fn given_up(&self) -> Option<&StepLog> {
        self.steps.iter().find(|step| matches!(step.act.state, ActionState::Failed | ActionState::Unknown))
    }

    /// The action's part of the log; a verification has none of its own.
    pub fn act(&self, action: ActionId) -> &ActionLog {
        match action {
            ActionId::Step(n) | ActionId::Verify(n) => &self.steps[n].act,
            ActionId::Undo(n) => &self.steps[n].undo,
            ActionId::OnSuccess | ActionId::OnFailure => &self.callback,
        }
    }

    fn act_mut(&mut self, action: ActionId) -> &mut ActionLog {
        match action {
            ActionId::Step(n) | ActionId::Verify(n) => &mut self.steps[n].act,
            ActionId::Undo(n) => &mut self.steps[n].undo,
            ActionId::OnSuccess | ActionId::OnFailure => &mut self.callback,
        }
    }

    /// The memory that it takes, approximately.
    pub fn weight_bytes(&self) -> usize {
        let kept =
            |kept: &KeptAnswer| kept.body.len() + kept.headers.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        let said = |act: &ActionLog| act.message.len();
        let step = |step: &StepLog| 200 + said(&step.act) + said(&step.undo) + step.answer.as_ref().map_or(0, kept);
        100 + said(&self.callback) + self.steps.iter().map(step).sum::<usize>()
    }
}
