//! One attempt as a task of its own: render (the first time), send, report.
//!
//! In: what a call carries, when its turn has come. Out: an `Ended` on the dispatcher's channel, also when the code in
//! between panics, so that no delivery is ever lost. Runs beside the pipeline's loop, which thereby never waits for
//! rendering or the network. Whether another attempt follows is the dispatcher's to say.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock::now_us;
use crate::delivery::Failure;
use crate::delivery::answer::{self, Health, Lack, Verdict};
use crate::delivery::auth;
use crate::delivery::bundle::{Item, Load};
use crate::delivery::client::{Client, Received};
use crate::delivery::lane::Place;
use crate::delivery::quota::Quota;
use crate::delivery::request::{self, Gathered, NoRequest, Prepared};
use crate::delivery::results::{self, ItemResult, RESULTS_BYTES_MAX};
use crate::failure::{Answer, Attempt};
use crate::rules::Rule;

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
    pub verdict: Verdict,
    /// What became of each item, where the answer was a success and says so.
    pub results: Option<Vec<ItemResult>>,
    pub health: Health,
    pub retry_after: Option<Duration>,
    pub quota: Option<Quota>,
    /// Kept where a retry may follow: every attempt of a call sends the same bytes.
    pub prepared: Option<Box<Prepared>>,
}

/// Nothing was sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The request could not be made; a line for people.
    Unrenderable(String),
    /// To be sent in two calls, the first one with so many items: more than one call may hold.
    Split { at: usize },
    /// No item is left.
    Nothing,
}

/// Starts the task. The channel needs no bound: it holds at most one message for each attempt under way.
pub(super) fn start(
    place: Place,
    load: Load,
    prepared: Option<Box<Prepared>>,
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
fn panicked(load: &Load) -> Unsent {
    match load.count() {
        1 => Unsent::Unrenderable("rendering or sending panicked: a defect of rowhook, please report it".to_owned()),
        count => Unsent::Split { at: count / 2 },
    }
}

type Unfit = Vec<(usize, Failure)>;

async fn attempt(load: &Load, prepared: Option<Box<Prepared>>, client: &Client) -> (Unfit, Result<Sent, Unsent>) {
    let (unfit, prepared) = match prepared {
        Some(prepared) => (Vec::new(), Ok(prepared)),
        None => prepare(load),
    };
    let result = match prepared {
        Ok(prepared) => send(load.rule(), load.count() - unfit.len(), prepared, client).await,
        Err(unsent) => Err(unsent),
    };
    (unfit, result)
}

fn prepare(load: &Load) -> (Unfit, Result<Box<Prepared>, Unsent>) {
    let single = |delivery| request::prepare(delivery).map(Box::new).map_err(Unsent::Unrenderable);
    match load {
        Load::One(delivery) => (Vec::new(), single(delivery)),
        Load::Many(items) if load.rule().batch.is_some() => prepare_all(items),
        // Merged, but sent by itself.
        Load::Many(items) => (Vec::new(), single(&items[0].delivery)),
    }
}

fn prepare_all(items: &Arc<[Item]>) -> (Unfit, Result<Box<Prepared>, Unsent>) {
    let Gathered { unfit, request } = request::prepare_all(items);
    let request = request.map(Box::new).map_err(|none| match none {
        NoRequest::Nothing => Unsent::Nothing,
        NoRequest::TooLarge { fitting } => Unsent::Split { at: fitting },
        NoRequest::Unrenderable(why) => Unsent::Unrenderable(why),
    });
    (unfit, request)
}

/// `count` deliveries are in the request.
async fn send(rule: &Arc<Rule>, count: usize, prepared: Box<Prepared>, client: &Client) -> Result<Sent, Unsent> {
    let call = rule.call();
    let wanted = rule.batch.as_ref().and_then(|batch| batch.results.as_ref());
    // One byte more than is understood, so that a longer answer shows.
    let body_bytes_max = if wanted.is_some() { RESULTS_BYTES_MAX + 1 } else { 0 };
    let started_at_us = now_us();
    let started = Instant::now();
    let Received { mut answer, lack, retry_after, quota, body } =
        auth::exchange(client, call, &prepared, body_bytes_max).await.map_err(Unsent::Unrenderable)?;
    let duration_us = started.elapsed().as_micros() as u64;
    let health = answer::health(&call.success, &answer, lack);
    let mut verdict = answer::classify(&call.success, &rule.actions[0].retry_on, &answer, lack);
    let mut results = None;
    if let (Some(wanted), Verdict::Done { status }) = (wanted, verdict) {
        match results::read(wanted, rule, status, &body, count) {
            Ok(read) => results = Some(read),
            Err(problem) => {
                // Nobody can tell what was done, as after a timeout: to ask again is the only way not to lose any of it.
                answer = Answer::Failed { error: format!("answered {status}, but {problem}") };
                verdict = answer::classify(&call.success, &rule.actions[0].retry_on, &answer, Some(Lack::Timeout));
            }
        }
    }
    let attempt = Attempt { started_at_us, duration_us, answer };
    let prepared = (verdict == Verdict::Retry).then_some(prepared);
    Ok(Sent { attempt, verdict, results, health, retry_after, quota, prepared })
}
