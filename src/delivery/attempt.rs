//! One attempt as a task of its own: render (the first time), call or write, report.
//!
//! In: what a call carries, when its turn has come. Out: an `Ended` on the dispatcher's channel, also when the code in
//! between panics, so that no delivery is ever lost. Runs beside the pipeline's loop, which thereby never waits for
//! rendering, the network or a server's locks. Of an operation's action that is done it says what later templates may read,
//! and whether a query found that its step had happened. Whether another attempt follows is the dispatcher's to say.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock::now_us;
use crate::delivery::answer::{self, Lack, TargetHealth, Verdict};
use crate::delivery::bundle::{AttemptLoad, Item};
use crate::delivery::client::{Client, Keep, Received, Text};
use crate::delivery::lane::Place;
use crate::delivery::quota::ServerLimit;
use crate::delivery::request::{self, NoRequest, PreparedRequest, RenderedArray};
use crate::delivery::results::{self, ItemResult, RESULTS_BYTES_MAX};
use crate::delivery::{Delivery, Failure, auth, statement};
use crate::failure::{Answer, Attempt};
use crate::operation::{ActionEnd, ActionId, KeptAnswer};
use crate::rules::{Action, Call, Sql, SuccessStatuses, Work};
use crate::template::Condition;

/// What a task reports.
#[derive(Debug)]
pub(super) struct Ended {
    pub place: Place,
    /// Items that no request can hold, by index; dead before the attempt, which is of the others.
    pub unfit: Vec<(usize, Failure)>,
    pub result: Result<Sent, Unsent>,
}

/// An attempt was made.
#[derive(Debug)]
pub(super) struct Sent {
    pub attempt: Attempt,
    /// Why there is no answer, where there is none.
    pub lack: Option<Lack>,
    pub verdict: Verdict,
    /// What became of each item, where the answer was a success and says so.
    pub results: Option<Vec<ItemResult>>,
    /// Of an operation's action that is done: how, with what is kept of its answer.
    pub end: Option<ActionEnd>,
    pub health: TargetHealth,
    pub retry_after: Option<Duration>,
    pub quota: Option<ServerLimit>,
    /// Where the answer redirects; ends `it redirects …`.
    pub redirect: Option<String>,
    /// Kept where a retry may follow: every attempt of a call sends the same bytes.
    pub prepared: Option<Box<Ready>>,
}

/// What every attempt of a call sends.
#[derive(Debug)]
pub(super) enum Ready {
    Request(PreparedRequest),
    /// The values of a statement.
    Values(Vec<Value>),
}

/// Nothing was sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The request could not be made; a line for people.
    Unrenderable(String),
    /// The code in between gave up, and nobody knows how far it was.
    Panicked,
    /// To be sent in two calls, the first one with so many items: more than one call may hold.
    Split { at: usize },
    /// No item is left.
    Nothing,
}

/// Starts the task. The channel needs no bound: it holds at most one message for each attempt under way.
pub(super) fn start(
    place: Place,
    load: AttemptLoad,
    prepared: Option<Box<Ready>>,
    client: Client,
    ended: UnboundedSender<Ended>,
) {
    tokio::spawn(async move {
        let result = AssertUnwindSafe(attempt(&load, prepared, &client)).catch_unwind().await;
        let (unfit, result) = result.unwrap_or_else(|_| (Vec::new(), Err(panicked(&load))));
        // Nobody listens any more when the dispatcher is gone; the delivery is then attempted again after the restart.
        let _ = ended.send(Ended { place, unfit, result });
    });
}

/// One row may be the reason: the others of its call are kept from sharing its end.
fn panicked(load: &AttemptLoad) -> Unsent {
    match load.count() {
        1 => Unsent::Panicked,
        count => Unsent::Split { at: count / 2 },
    }
}

type Unfit = Vec<(usize, Failure)>;

async fn attempt(load: &AttemptLoad, ready: Option<Box<Ready>>, client: &Client) -> (Unfit, Result<Sent, Unsent>) {
    let (unfit, ready) = match ready {
        Some(ready) => (Vec::new(), Ok(ready)),
        None => prepare(load),
    };
    let result = match ready {
        Ok(ready) => send(load.first(), load.count() - unfit.len(), ready, client).await,
        Err(unsent) => Err(unsent),
    };
    (unfit, result)
}

fn prepare(load: &AttemptLoad) -> (Unfit, Result<Box<Ready>, Unsent>) {
    match load {
        AttemptLoad::One(delivery) => (Vec::new(), prepare_one(delivery)),
        AttemptLoad::Many(items) if load.first().rule.batch.is_some() => prepare_all(items),
        // Merged, but sent by itself.
        AttemptLoad::Many(items) => (Vec::new(), prepare_one(&items[0].delivery)),
    }
}

fn prepare_one(delivery: &Delivery) -> Result<Box<Ready>, Unsent> {
    let ready = match &delivery.action().work {
        Work::Call(_) => request::prepare(delivery).map(Ready::Request),
        Work::Sql(sql) => statement::values(delivery, sql).map(Ready::Values),
    };
    ready.map(Box::new).map_err(Unsent::Unrenderable)
}

fn prepare_all(items: &Arc<[Item]>) -> (Unfit, Result<Box<Ready>, Unsent>) {
    let RenderedArray { unfit, request } = request::prepare_all(items);
    let request = request.map(|request| Box::new(Ready::Request(request))).map_err(|none| match none {
        NoRequest::Nothing => Unsent::Nothing,
        NoRequest::TooLarge { fitting } => Unsent::Split { at: fitting },
        NoRequest::Unrenderable(why) => Unsent::Unrenderable(why),
    });
    (unfit, request)
}

/// `count` deliveries are in the request, of which `first` stands for all.
async fn send(first: &Delivery, count: usize, ready: Box<Ready>, client: &Client) -> Result<Sent, Unsent> {
    let started_at_us = now_us();
    let started = Instant::now();
    let timed = |answer| {
        let duration_us = started.elapsed().as_micros() as u64;
        Attempt { started_at_us, duration_us, answer }
    };
    let mut sent = match (&*ready, &first.action().work) {
        (Ready::Request(prepared), Work::Call(call)) => call_api(first, count, call, prepared, client, timed).await?,
        (Ready::Values(values), Work::Sql(sql)) => write(first.action(), sql, values.clone(), client, timed).await?,
        _ => unreachable!("what was made ready is for this work"),
    };
    sent.prepared = (sent.verdict == Verdict::Retry).then_some(ready);
    Ok(sent)
}

async fn call_api(
    first: &Delivery,
    count: usize,
    call: &Call,
    prepared: &PreparedRequest,
    client: &Client,
    timed: impl FnOnce(Answer) -> Attempt,
) -> Result<Sent, Unsent> {
    let (rule, action) = (&first.rule, first.action());
    let wanted = rule.batch.as_ref().and_then(|batch| batch.results.as_ref());
    let asks = verified_by(first);
    let keep = match wanted {
        Some(_) => Keep::Body { bytes_max: RESULTS_BYTES_MAX },
        None if action.keeps_answer || asks.is_some() => Keep::All,
        None => Keep::Nothing,
    };
    let received = auth::exchange(client, call, prepared, keep).await.map_err(Unsent::Unrenderable)?;
    let Received { mut answer, mut lack, retry_after, quota, body, headers, redirect } = received;
    let health = answer::health(&call.success, &answer, lack);
    let (mut results, mut end) = (None, None);
    if let Verdict::Done { status } = answer::classify(&call.success, &action.retry_on, &answer, lack) {
        let read = match (wanted, asks) {
            (Some(wanted), _) => results::read(wanted, rule, status, &body, count).map(|read| results = Some(read)),
            (None, Some(when)) => verify(first, when, kept(status, headers, body)).map(|read| end = Some(read)),
            (None, None) => {
                let answer = action.keeps_answer.then(|| kept(status, headers, body));
                end = Some(ActionEnd::Done(answer));
                Ok(())
            }
        };
        if let Err(problem) = read {
            // Nobody can tell what was done, as after a timeout: to ask again is the only way not to lose any of it.
            answer = Answer::Failed { error: format!("answered {status}, but {problem}") };
            lack = Some(Lack::Timeout);
        }
    }
    let verdict = answer::classify(&call.success, &action.retry_on, &answer, lack);
    let redirect = redirect.map(|redirect| redirect.hint);
    let attempt = timed(answer);
    Ok(Sent { attempt, lack, verdict, results, end, health, retry_after, quota, redirect, prepared: None })
}

/// The condition over the answer, where the delivery asks whether a step happened.
fn verified_by(delivery: &Delivery) -> Option<&Condition> {
    let (ActionId::Verify(step), plan) = (delivery.saga_action.as_ref()?.action, delivery.rule.saga.as_ref()?) else {
        return None;
    };
    plan.steps[step].verify.as_ref().map(|verify| &verify.when)
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

async fn write(
    action: &Action,
    sql: &Sql,
    values: Vec<Value>,
    client: &Client,
    timed: impl FnOnce(Answer) -> Attempt,
) -> Result<Sent, Unsent> {
    let Some(database) = client.database() else {
        return Err(Unsent::Unrenderable("`sql` has no server to write to: set `--write-url`".to_owned()));
    };
    let (answer, lack) = statement::run(database, sql, values).await;
    let none = SuccessStatuses(Vec::new());
    let health = answer::health(&none, &answer, lack);
    let verdict = answer::classify(&none, &action.retry_on, &answer, lack);
    let end = matches!(verdict, Verdict::Done { .. }).then(|| ActionEnd::Done(None));
    let (retry_after, quota, redirect, results) = (None, None, None, None);
    let attempt = timed(answer);
    Ok(Sent { attempt, lack, verdict, results, end, health, retry_after, quota, redirect, prepared: None })
}
