//! The sink of calls: HTTP APIs.
//!
//! In: a delivery and its call. Out: the request; after an attempt, the answer and its meaning for the delivery, for its
//! saga and for the target. A success whose body lacks the expected results is judged like a lost answer.
//! Owns the client and the tokens. Rendering is `request`'s work, sending `auth`'s.

use std::sync::Arc;

use super::Judged;
use crate::delivery::answer::{self, Lack, Verdict};
use crate::delivery::auth::{self, Tokens};
use crate::delivery::bundle::{Item, RenderedArray};
use crate::delivery::client::{Client, Keep, Received, Text};
use crate::delivery::prepared::PreparedRequest;
use crate::delivery::results::{self, RESULTS_BYTES_MAX};
use crate::delivery::{Delivery, request};
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
    auth::exchange(&over.client, &over.tokens, call, request, Asked::of(first).keep()).await
}

pub(super) fn judge(ready: &HttpReady, received: Received, first: &Delivery, count: usize) -> (Answer, Judged) {
    let retry_on = &first.action().retry_on;
    let classify = |answer: &Answer, lack| answer::classify(&ready.call.success, retry_on, answer, lack);
    let Received { mut answer, mut lack, retry_after, server_limit, body, headers, redirect } = received;
    let health = answer::health(&ready.call.success, &answer, lack);
    let (mut results, mut end) = (None, None);
    if let Verdict::Done { status } = classify(&answer, lack) {
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
        }
    }
    let verdict = classify(&answer, lack);
    let redirect = redirect.map(|redirect| redirect.hint);
    (answer, Judged { lack, verdict, results, end, health, retry_after, server_limit, redirect })
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
            Asked::Nothing => Keep::Nothing,
            Asked::Results(_) => Keep::Body { bytes_max: RESULTS_BYTES_MAX },
            Asked::WhetherItHappened(_) | Asked::Answer => Keep::All,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::testing::{delivery, rule};
    use crate::rules::{Batch, ItemVerdict, Until, Work};

    fn received(status: u16, body: &str) -> Received {
        let body = Text { bytes: body.into(), ..Text::default() };
        let answer = Answer::Status { status, excerpt: String::new() };
        let (lack, retry_after, server_limit, redirect) = (None, None, None, None);
        Received { answer, lack, retry_after, body, headers: Vec::new(), server_limit, redirect }
    }

    #[test]
    fn a_success_is_done_only_if_its_body_contains_what_is_expected() {
        let results = Results { items: "".to_owned(), verdict: ItemVerdict::Status("/status".to_owned()) };
        for (asks, status, body, verdict, lack, items) in [
            (false, 200, "", Verdict::Done { status: 200 }, None, None),
            (false, 503, "", Verdict::Retry, None, None),
            (false, 404, "", Verdict::GiveUp, None, None),
            (true, 200, r#"[{"status": 422}]"#, Verdict::Done { status: 200 }, None, Some(1)),
            (true, 200, "<html>", Verdict::Retry, Some(Lack::Timeout), None),
            (true, 503, "<html>", Verdict::Retry, None, None),
        ] {
            let rule = rule("http://a.test/", |rule| {
                let results = asks.then(|| results.clone());
                rule.batch = Some(Batch { size: 10, bytes: 1 << 20, until: Until::TransactionEnd, results });
            });
            let first = delivery(&rule, 1, 1);
            let Work::Call(call) = &first.action().work else { panic!("a call") };
            let ready = prepare(&first, call).expect("it renders");
            let (answer, judged) = judge(&ready, received(status, body), &first, 1);
            assert_eq!((judged.verdict, judged.lack), (verdict, lack), "{asks} {status} {body}: {answer:?}");
            assert_eq!(judged.results.map(|results| results.len()), items, "{asks} {status} {body}");
        }
    }
}
