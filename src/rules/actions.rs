//! What a rule does for a change: one action, or several in a saga.
//!
//! An action is one call or one SQL statement, with its target and its retries. A rule without a saga has one action, a
//! call that may be repeated; its delivery needs no log. A saga says how actions follow one another. Plain data.

use std::sync::Arc;

use super::auth::Auth;
use super::call::{Call, RetryOn};
use super::proxy::ProxyChoice;
use super::settings::SqlSettings;
use super::target::Target;
use crate::retry::RetryPolicy;
use crate::saga::{ActionId, SagaDefinition, StepDefinition};
use crate::template::{BodyTemplate, Condition, TextTemplate};

/// One call or statement of a rule.
#[derive(Debug)]
pub struct Action {
    pub work: Work,
    /// What it calls.
    pub target: Arc<Target>,
    /// Which way requests for its token go: as is set for the target that the token's URL is of.
    pub token_proxy: ProxyChoice,
    pub retry: RetryPolicy,
    pub retry_on: RetryOn,
    /// What else an answer without success may say for another attempt.
    pub retry_by_answer: RetryByAnswer,
    /// It may be called again when it is uncertain whether it happened: true unless the rule says `idempotent: false`.
    pub is_repeatable: bool,
    /// Whether later templates read its answer.
    pub keeps_answer: bool,
}

/// What an answer says of another attempt.
#[derive(Debug, Default)]
pub struct RetryByAnswer {
    /// Another attempt is made if this holds of it, whatever its status.
    pub when: Option<Condition>,
    /// The seconds until then.
    pub wait: Option<TextTemplate>,
}

/// What an action does, with all that is needed to prepare it: a variant for each sink.
#[derive(Debug)]
pub enum Work {
    Call(Arc<Call>),
    Sql(Arc<Sql>),
}

/// A statement for the server that is followed, or another one.
#[derive(Debug)]
pub struct Sql {
    /// With `?` where values go.
    pub statement: Box<str>,
    /// As the rule writes it, with `:name` there.
    pub written: Box<str>,
    /// One for each `?`: the name it had, and its value.
    pub params: Vec<(Box<str>, Arc<BodyTemplate>)>,
    pub settings: SqlSettings,
}

/// How the actions of a rule follow one another. Numbers are indexes in the rule's `actions`.
#[derive(Debug)]
pub struct Saga {
    pub steps: Vec<SagaStep>,
    pub on_success: Option<usize>,
    pub on_failure: Option<usize>,
    /// The rule has a `call` and no `steps`: then the call's identity is the delivery's id.
    pub is_single: bool,
    /// The same, without the actions themselves, for the saga log.
    pub definition: SagaDefinition,
}

#[derive(Debug)]
pub struct SagaStep {
    pub name: Box<str>,
    pub action: usize,
    pub undo: Option<usize>,
    pub verify: Option<Verify>,
}

/// A query that says whether a step happened.
#[derive(Debug)]
pub struct Verify {
    pub action: usize,
    /// The step happened if this condition on the query's `answer` is true.
    pub when: Condition,
}

impl Saga {
    pub fn new(steps: Vec<SagaStep>, actions: &[Action], is_single: bool) -> Saga {
        let step = |step: &SagaStep| StepDefinition {
            name: step.name.clone(),
            is_repeatable: actions[step.action].is_repeatable,
            can_undo: step.undo.is_some(),
            can_verify: step.verify.is_some(),
            retries: actions[step.action].retry.retries,
        };
        let steps_defined = steps.iter().map(step).collect();
        let definition = SagaDefinition { steps: steps_defined, has_on_success: false, has_on_failure: false };
        Saga { steps, on_success: None, on_failure: None, is_single, definition }
    }

    /// The same with callbacks, which report how the saga ended.
    pub fn with_callbacks(mut self, on_success: Option<usize>, on_failure: Option<usize>) -> Saga {
        (self.on_success, self.on_failure) = (on_success, on_failure);
        (self.definition.has_on_success, self.definition.has_on_failure) = (on_success.is_some(), on_failure.is_some());
        self
    }

    /// The action's index in the rule's `actions`; None: the current rule has no such action.
    pub fn number(&self, id: ActionId) -> Option<usize> {
        match id {
            ActionId::Step(n) => self.steps.get(n).map(|step| step.action),
            ActionId::Verify(n) => self.steps.get(n)?.verify.as_ref().map(|verify| verify.action),
            ActionId::Undo(n) => self.steps.get(n)?.undo,
            ActionId::OnSuccess => self.on_success,
            ActionId::OnFailure => self.on_failure,
        }
    }
}

impl Action {
    /// Whether what is sent may depend on the column.
    pub(super) fn reads(&self, column: &str) -> bool {
        let RetryByAnswer { when, wait } = &self.retry_by_answer;
        let is_read = match &self.work {
            Work::Call(call) => call.reads(column),
            Work::Sql(sql) => sql.params.iter().any(|(_, value)| value.reads(column)),
        };
        is_read
            || when.as_ref().is_some_and(|when| when.reads(column))
            || wait.as_ref().is_some_and(|wait| wait.reads(column))
    }

    /// The origin that its tokens are asked of, where it needs one.
    pub(super) fn token_origin(&self) -> Option<String> {
        match &self.call()?.auth {
            Some(Auth::OAuth2(settings)) => Some(settings.token_url.origin().ascii_serialization()),
            _ => None,
        }
    }

    /// The call, where it is one.
    pub fn call(&self) -> Option<&Call> {
        match &self.work {
            Work::Call(call) => Some(call),
            Work::Sql(_) => None,
        }
    }
}

#[cfg(test)]
impl Action {
    /// For tests, before anything is prepared from it.
    pub(crate) fn call_mut(&mut self) -> &mut Call {
        match &mut self.work {
            Work::Call(call) => Arc::get_mut(call).expect("no other owner"),
            Work::Sql(_) => panic!("not a call"),
        }
    }
}
