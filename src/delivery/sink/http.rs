//! The sink of calls: HTTP APIs.
//!
//! In: a delivery and its call. Out: the request; after an attempt, the answer and its meaning for the delivery, for its
//! saga and for the target. A success whose body lacks the expected results is judged like a lost answer.
//! Owns the client and the tokens. Rendering is `request`'s work, sending `auth`'s.

mod answer_meaning;
mod auth;
mod client;
mod egress;
mod item;
mod prepared;
mod recent;
mod request;
mod results;
#[cfg(test)]
mod tests;

use std::sync::Arc;

#[doc(hidden)]
pub use client::fuzzing;
pub use client::{Client, Destination, Handshake, ShownCertificate};
pub use prepared::ShownRequest;

use self::answer_meaning::{AnswerMeaning, Refusal};
use self::auth::{Sending, Tokens};
use self::client::{Keep, Received, Text};
use self::prepared::{Header, PreparedRequest};
use self::results::RESULTS_BYTES_MAX;
use super::Judged;
use crate::delivery::Delivery;
use crate::delivery::answer::{self, Lack, Verdict};
use crate::delivery::bundle::{Item, RenderedArray};
use crate::delivery::scripted::ScriptedAnswer;
use crate::failure::Answer;
use crate::rules::{Call, Results};
use crate::saga::{ActionEnd, ActionId, KeptAnswer};
use crate::template::Condition;

/// The connections that calls are made over.
#[derive(Debug)]
pub(super) struct Connections {
    client: Client,
    tokens: Tokens,
}

/// A request with the call that it was made from.
#[derive(Debug)]
pub(in crate::delivery) struct HttpReady {
    call: Arc<Call>,
    request: PreparedRequest,
}

impl HttpReady {
    pub(super) fn shown(&self) -> ShownRequest {
        self.request.shown()
    }

    pub(super) fn mark_as_preview(&mut self) {
        let header = Header { name: "Rowhook-Preview".into(), value: "1".into(), is_secret: false };
        self.request.headers.push(header);
    }
}

impl Connections {
    pub fn new(client: Client) -> Connections {
        Connections { client, tokens: Tokens::default() }
    }
}

pub(super) fn prepare(delivery: &Delivery, call: &Arc<Call>) -> Result<HttpReady, String> {
    Ok(HttpReady { call: Arc::clone(call), request: request::prepare(delivery, call)? })
}

pub(super) fn prepare_all(items: &[Item], call: &Arc<Call>) -> RenderedArray<HttpReady> {
    request::prepare_all(items, call).map(|request| HttpReady { call: Arc::clone(call), request })
}

pub(super) async fn attempt(ready: &HttpReady, over: &Connections, first: &Delivery) -> Result<Received, String> {
    let HttpReady { call, request } = ready;
    let keep = Asked::of(first).keep().and(answer_meaning::keep(call, first));
    let action = first.action();
    let sending = Sending { call, proxy: &action.target.proxy, token_proxy: &action.token_proxy };
    auth::exchange(&over.client, &over.tokens, sending, request, keep).await
}

/// An error is what [`attempt`] would say before it connects.
pub(super) fn require_sendable(ready: &HttpReady) -> Result<(), String> {
    client::request(&ready.request, ready.call.settings.egress).map(drop)
}

/// Instead of an attempt: what would be received if the API gave this answer. An error: an API gives no such answer.
pub(super) fn scripted(ready: &HttpReady, answer: &ScriptedAnswer, first: &Delivery) -> Result<Received, String> {
    let keep = Asked::of(first).keep().and(answer_meaning::keep(&ready.call, first));
    client::scripted(answer, &ready.call.settings, &ready.request.url, keep)
}

pub(super) fn judge(ready: &HttpReady, received: Received, first: &Delivery, count: usize) -> (Answer, Judged) {
    let (success, action) = (&ready.call.settings.success, first.action());
    let classify = |answer: &Answer, lack| answer::classify(success, &action.retry_on, answer, lack);
    let Received { mut answer, mut lack, retry_after, server_limit, body, headers, redirect, secrets } = received;
    let health = answer::health(success, &answer, lack);
    let mut verdict = classify(&answer, lack);
    let mut hint = redirect.map(|redirect| {
        format!("it redirects {}, which rowhook does not follow: put the final address into `url`", redirect.hint)
    });
    let mut answer_wait = None;
    if let Some(meaning) = AnswerMeaning::of(&ready.call, first, &answer, &headers, &body) {
        if let Verdict::Done { status } = verdict
            && let Err(refusal) = meaning.success()
        {
            verdict = match refusal {
                // It is unknown what was done, as after a timeout.
                Refusal::Unexpected(_) if action.retry_on.timeout => Verdict::Retry,
                Refusal::Unexpected(_) | Refusal::No => Verdict::GiveUp,
            };
            hint = Some(refusal.to_string());
            answer = Answer::Status { status, excerpt: client::excerpt(&body) };
        }
        if !matches!(verdict, Verdict::Done { .. }) {
            if meaning.wants_retry() {
                verdict = Verdict::Retry;
            }
            answer_wait = meaning.wait();
        }
    }
    let (mut results, mut end) = (None, None);
    if let Verdict::Done { status } = verdict {
        let read = match Asked::of(first) {
            Asked::Results(wanted) => results::read(wanted, |item| classify(item, None), status, &body, count)
                .map(|read| results = Some(read)),
            Asked::WhetherItHappened(when) => {
                verify(first, when, kept(status, headers, body)).map(|read| end = Some(read))
            }
            Asked::Answer => {
                end = Some(ActionEnd::Done(Some(kept(status, headers, body))));
                Ok(())
            }
            Asked::Nothing => {
                end = Some(ActionEnd::Done(None));
                Ok(())
            }
        };
        if let Err(problem) = read {
            // As after a timeout it is unknown what was done: only another request makes sure that no row is lost.
            answer = Answer::Failed { error: format!("answered {status}, but {problem}") };
            lack = Some(Lack::Timeout);
            verdict = classify(&answer, lack);
        }
    }
    let of_items = results.iter_mut().flatten().map(|item| &mut item.answer);
    auth::mask_shown(&first.rule, &secrets, std::iter::once(&mut answer).chain(of_items));
    if let Some(ActionEnd::Done(Some(kept))) = &mut end {
        auth::mask_kept(kept, &secrets);
    }
    (answer, Judged { lack, verdict, results, end, health, retry_after, answer_wait, server_limit, hint })
}

/// What is read from the body of a success.
enum Asked<'a> {
    Nothing,
    /// The result of each delivery of a batch.
    Results(&'a Results),
    /// Whether a step happened, by this condition on the answer.
    WhetherItHappened(&'a Condition),
    /// All that later templates may read, for the saga log.
    Answer,
}

impl Asked<'_> {
    fn of(first: &Delivery) -> Asked<'_> {
        if let Some(wanted) = first.rule.batch.as_ref().and_then(|batch| batch.results.as_ref()) {
            Asked::Results(wanted)
        } else if let Some(when) = verified_by(first) {
            Asked::WhetherItHappened(when)
        } else if first.action().keeps_answer {
            Asked::Answer
        } else {
            Asked::Nothing
        }
    }

    fn keep(&self) -> Keep {
        match self {
            Asked::Nothing => Keep::NOTHING,
            Asked::Results(_) => Keep { body_bytes_max: RESULTS_BYTES_MAX, ..Keep::NOTHING },
            Asked::WhetherItHappened(_) | Asked::Answer => Keep::ALL,
        }
    }
}

/// The condition on the answer, where the delivery is a query whether a step happened.
fn verified_by(delivery: &Delivery) -> Option<&Condition> {
    let (ActionId::Verify(step), saga) = (delivery.saga_action.as_ref()?.action, delivery.rule.saga.as_ref()?) else {
        return None;
    };
    saga.steps[step].verify.as_ref().map(|verify| &verify.when)
}

fn verify(delivery: &Delivery, when: &Condition, answer: KeptAnswer) -> Result<ActionEnd, String> {
    let happened = when
        .decide_in(&delivery.scope().with_answer(answer.clone()))
        .map_err(|error| format!("`verify.when` can't be decided: {error}"))?
        // To take this for "no" would repeat a call that may have happened.
        .ok_or("`verify.when` compares with NULL, so that it says neither yes nor no; ask with `is none`")?;
    Ok(ActionEnd::Verified { happened, answer: happened.then_some(answer) })
}

fn kept(status: u16, headers: Vec<(Box<str>, Box<str>)>, body: Text) -> KeptAnswer {
    let Text { bytes, is_cut, problem } = body;
    match problem {
        Some(problem) => {
            KeptAnswer { status, headers, body: Box::default(), is_cut: false, problem: Some(problem.into()) }
        }
        None => KeptAnswer { status, headers, body: bytes.into(), is_cut, problem: None },
    }
}
