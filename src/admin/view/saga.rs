//! The documented JSON of a saga, with the state of each step; and the commands that an operator may give for it.
//!
//! In: a saga's log. Out: plain records of their own.

use serde::{Deserialize, Serialize};

use crate::saga::{ActionLog, KeptAnswer, SagaCommand, SagaLog, StepLog};

/// What has been done, step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SagaView {
    /// What it leaves behind: `complete`, `none`, or `partial`: then a person has to decide.
    pub effect: String,
    /// `forward`, `back` (what was done is undone) or `stopped` (it is unknown whether a step took effect).
    pub direction: String,
    /// In the rule's order.
    pub steps: Vec<StepView>,
    /// `on_success` while it goes forward, else `on_failure`.
    pub callback: ActView,
    /// Absent of a dead letter that is resolved, and where the rules are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextView>,
}

/// What an operator may do about it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextView {
    /// A replay accepts these.
    Commands(Vec<PossibleCommand>),
    /// A replay of any kind is refused, and why.
    Refused(String),
}

/// A replay that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PossibleCommand {
    /// What is typed behind the number; empty: nothing.
    pub flags: String,
    /// What comes of it, for people.
    pub then: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    pub name: String,
    #[serde(flatten)]
    pub act: ActView,
    /// Stays `waiting` where nothing is to be undone.
    pub undo: ActView,
    /// What the step's answer said, where later templates read it.
    pub answer: Option<AnswerView>,
}

/// The state of one action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActView {
    /// `waiting`, `begun`, `done`, `failed` (nothing happened) or `unknown` (it may have).
    pub state: String,
    pub attempts: u64,
    /// The result of the last attempt; empty before the first.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerView {
    pub status: u16,
    pub body: String,
    /// Whether the answer was longer than that.
    pub cut: bool,
}

/// An operator's command for a saga; without it, the saga continues with the step that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SagaCommandView {
    FromStart,
    Undo,
    /// The uncertain step took effect, or did not.
    Happened(bool),
}

impl SagaCommandView {
    pub fn of(saga_command: Option<SagaCommandView>) -> SagaCommand {
        match saga_command {
            None => SagaCommand::Resume,
            Some(SagaCommandView::FromStart) => SagaCommand::FromStart,
            Some(SagaCommandView::Undo) => SagaCommand::Undo,
            Some(SagaCommandView::Happened(happened)) => SagaCommand::Settle { happened },
        }
    }
}

impl SagaView {
    pub fn of(log: &SagaLog) -> SagaView {
        SagaView {
            effect: log.effect().as_str().to_string(),
            direction: log.direction.as_str().to_string(),
            steps: log.steps.iter().map(step_view).collect(),
            callback: act_view(&log.callback),
            next: None,
        }
    }
}

fn step_view(step: &StepLog) -> StepView {
    StepView {
        name: step.name.to_string(),
        act: act_view(&step.act),
        undo: act_view(&step.undo),
        answer: step.answer.as_ref().map(answer_view),
    }
}

fn act_view(act: &ActionLog) -> ActView {
    ActView { state: act.state.as_str().to_string(), attempts: act.attempts, message: act.message.clone() }
}

fn answer_view(kept: &KeptAnswer) -> AnswerView {
    let body = match &kept.problem {
        Some(problem) => format!("(it can't be shown: {problem})"),
        None => String::from_utf8_lossy(&kept.body).into_owned(),
    };
    AnswerView { status: kept.status, body, cut: kept.is_cut }
}
