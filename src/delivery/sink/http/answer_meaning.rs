//! What the body and headers of an answer mean, where a rule says so: `success.when`, and `when` and `wait` of `retry_on`.
//!
//! In: an answer with a status, and the conditions of its call. Out: whether it is a success, whether another attempt is wanted, and
//! when. A condition that can't be decided on an answer (it is no JSON, a member is missing) is never a success.

use std::fmt;
use std::time::Duration;

use super::client::{Keep, Text};
use super::kept;
use crate::delivery::Delivery;
use crate::delivery::answer::RETRY_AFTER_MAX;
use crate::failure::Answer;
use crate::rules::{Call, RetryByAnswer};
use crate::template::{Condition, Scope};

/// An answer of whose content a rule asks something.
pub(super) struct AnswerMeaning<'a> {
    success_when: Option<&'a Condition>,
    retry: &'a RetryByAnswer,
    /// With the answer.
    scope: Scope,
}

/// Why an answer whose status is a success is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `success.when` is false.
    No,
    /// It can't be decided.
    Unexpected(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::No => f.write_str("`success.when` is false of this answer"),
            Refusal::Unexpected(problem) => write!(f, "unexpected answer: `success.when` can't be decided: {problem}"),
        }
    }
}

/// What must be kept of an answer for that.
pub(super) fn keep(call: &Call, first: &Delivery) -> Keep {
    let RetryByAnswer { when, wait } = &first.action().retry_by_answer;
    match (when.is_some() || wait.is_some(), call.success_when.is_some()) {
        (true, _) => Keep { of_refusals: true, ..Keep::ALL },
        (false, true) => Keep::ALL,
        (false, false) => Keep::NOTHING,
    }
}

impl<'a> AnswerMeaning<'a> {
    /// None: nothing is asked, or there is no answer.
    pub fn of(
        call: &'a Call,
        first: &'a Delivery,
        answer: &Answer,
        headers: &[(Box<str>, Box<str>)],
        body: &Text,
    ) -> Option<AnswerMeaning<'a>> {
        let Answer::Status { status, .. } = answer else { return None };
        (keep(call, first) != Keep::NOTHING).then(|| AnswerMeaning {
            success_when: call.success_when.as_ref(),
            retry: &first.action().retry_by_answer,
            scope: first.scope().with_answer(kept(*status, headers.to_vec(), body.clone())),
        })
    }

    /// Whether it is a success, as far as this is asked.
    pub fn success(&self) -> Result<(), Refusal> {
        let Some(when) = self.success_when else { return Ok(()) };
        match when.decide_in(&self.scope) {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(Refusal::No),
            Ok(None) => Err(Refusal::Unexpected("it compares with a null; ask with `is none`".to_owned())),
            Err(error) => Err(Refusal::Unexpected(error.to_string())),
        }
    }

    /// Whether it asks for another attempt; an answer on which this can't be decided does not.
    pub fn wants_retry(&self) -> bool {
        self.retry.when.as_ref().is_some_and(|when| when.decide_in(&self.scope) == Ok(Some(true)))
    }

    /// How long the next attempt is to wait, at most [`RETRY_AFTER_MAX`]; None where the answer names no seconds.
    pub fn wait(&self) -> Option<Duration> {
        let seconds: f64 = self.retry.wait.as_ref()?.render(&self.scope).ok()?.trim().parse().ok()?;
        let wait = Duration::try_from_secs_f64(seconds);
        (seconds >= 0.0).then(|| wait.unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX))
    }
}
