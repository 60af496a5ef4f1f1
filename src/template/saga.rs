//! What templates may read of a saga: `steps`, `answer`, `outcome`.
//!
//! In: the saga's log; for the condition of a query, the query's answer. Out: objects that look a value up when it is
//! asked for. A step without an answer, one whose answer was longer than what is kept, and an answer that is no JSON are
//! errors at once, also under `is defined` and `default`; a header or member that an answer lacks has no value, which
//! `default` may give.

use std::sync::Arc;

use minijinja::value::{Object, Value};

use super::document::parse_json;
use super::error::Error;
use crate::saga::{ActionState, KeptAnswer, SagaLog, StepLog};

/// The members of `steps.NAME`.
pub(super) const STEP_NAMES: [&str; 5] = ["state", "status", "headers", "json", "text"];
/// The members of `answer`.
pub(super) const ANSWER_NAMES: [&str; 4] = ["status", "headers", "json", "text"];
/// The members of `outcome`.
pub(super) const OUTCOME_NAMES: [&str; 5] = ["state", "standing", "step", "reason", "said"];

/// `steps`.
#[derive(Debug)]
pub(super) struct StepsObject(pub Arc<SagaLog>);

impl Object for StepsObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let place = self.0.steps.iter().position(|step| &*step.name == name);
        Some(match place {
            Some(place) => Value::from_object(StepObject { log: Arc::clone(&self.0), place }),
            None => Value::from(Error::UnknownStep { step: name.to_owned() }.into_engine()),
        })
    }
}

#[derive(Debug)]
struct StepObject {
    log: Arc<SagaLog>,
    place: usize,
}

impl Object for StepObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let step = &self.log.steps[self.place];
        match (key.as_str()?, &step.answer) {
            ("state", _) => Some(Value::from(state_of(step))),
            (member, Some(kept)) => member_of(kept, member, &format!("step `{}`", step.name)),
            (_, None) => {
                let (step, state) = (step.name.to_string(), state_of(step));
                Some(Value::from(Error::NoAnswer { step, state }.into_engine()))
            }
        }
    }
}

/// Where a step stands, its undo included.
fn state_of(step: &StepLog) -> &'static str {
    match step.undo.state {
        ActionState::Done => "undone",
        _ => step.act.state.as_str(),
    }
}

/// `answer`.
#[derive(Debug)]
pub(super) struct AnswerObject(pub Arc<KeptAnswer>);

impl Object for AnswerObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        member_of(&self.0, key.as_str()?, "this call")
    }
}

/// `whose` is for messages.
fn member_of(kept: &KeptAnswer, member: &str, whose: &str) -> Option<Value> {
    let body = || match (&kept.problem, kept.is_cut) {
        (Some(problem), _) => Err(Error::BadAnswer { whose: whose.to_owned(), problem: problem.to_string() }),
        (None, true) => Err(Error::CutAnswer { whose: whose.to_owned(), limit_bytes: KeptAnswer::BODY_BYTES_MAX }),
        (None, false) => Ok(&*kept.body),
    };
    let value = match member {
        "status" => Ok(Value::from(kept.status)),
        "headers" => Ok(Value::from_object(HeadersObject(kept.headers.clone()))),
        "text" => body().and_then(|body| match std::str::from_utf8(body) {
            Ok(text) => Ok(Value::from(text)),
            Err(_) => Err(Error::BadAnswer { whose: whose.to_owned(), problem: "it is not UTF-8".to_owned() }),
        }),
        "json" => body().and_then(|body| {
            let bad = |problem| Error::BadAnswer { whose: whose.to_owned(), problem };
            let text = std::str::from_utf8(body).map_err(|_| bad("it is not UTF-8".to_owned()))?;
            parse_json(text).map_err(bad)
        }),
        _ => return None,
    };
    Some(value.unwrap_or_else(|error| Value::from(error.into_engine())))
}

/// Headers by their names in any case.
#[derive(Debug)]
struct HeadersObject(Vec<(Box<str>, Box<str>)>);

impl Object for HeadersObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        // `headers.content_type` is the only way to write a dash after a dot.
        let is_meant = |own: &str| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(&name.replace('_', "-"));
        self.0.iter().find(|(own, _)| is_meant(own)).map(|(_, value)| Value::from(&**value))
    }
}

/// `outcome`.
#[derive(Debug)]
pub(super) struct OutcomeObject(pub Arc<SagaLog>);

impl Object for OutcomeObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let given_up = self.0.given_up();
        Some(match key.as_str()? {
            "state" => Value::from(self.0.outcome()),
            "standing" => Value::from(self.0.effect().in_bodies()),
            "step" => Value::from(given_up.map(|step| &*step.name)),
            "reason" => Value::from(given_up.map(|step| step.act.state.as_str())),
            "said" => Value::from(given_up.map(|step| step.act.message.as_str())),
            _ => return None,
        })
    }
}
