//! One attempt, in a task beside the pipeline's loop: prepare (the first time), send, report.
//!
//! In: what a call carries, when its turn has come. Out: an `Ended` on the dispatcher's channel, also when the code in
//! between panics, so that no delivery is ever lost. The loop never waits for rendering, the network or a server's locks. A
//! task that has ended an attempt waits for another one (`callers`). The sink (`sink`) decides how a call is sent; the
//! dispatcher decides whether another attempt follows.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;

use crate::clock::now_us;
use crate::delivery::answer::Verdict;
use crate::delivery::bundle::{AttemptLoad, Item, RenderedArray, Unready};
use crate::delivery::lane::Place;
use crate::delivery::sink::{Judged, Ready, Sinks};
use crate::delivery::{Delivery, Failure};
use crate::failure::Attempt;

/// What a task is to do.
#[derive(Debug)]
pub(super) struct Begun {
    pub place: Place,
    pub load: AttemptLoad,
    /// What the attempts before sent; none before the first one.
    pub prepared: Option<Box<Ready>>,
}

/// What it reports.
#[derive(Debug)]
pub(super) struct Ended {
    pub place: Place,
    /// Items that fit into no request, by index. They are dead already; the attempt was made with the others.
    pub unfit: Vec<(usize, Failure)>,
    pub result: Result<Sent, Unsent>,
}

/// An attempt was made.
#[derive(Debug)]
pub(super) struct Sent {
    pub attempt: Attempt,
    pub judged: Judged,
    /// Set where a retry may follow: every attempt of a call sends the same bytes.
    pub prepared: Option<Box<Ready>>,
}

/// Nothing was sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The request could not be made; a line for people.
    Unrenderable(String),
    /// The code in between panicked; how far it came is unknown.
    Panicked,
    /// More than one call may carry: to be sent in two calls, the first one with so many items.
    Split { at: usize },
    /// No item is left.
    Nothing,
}

/// Makes the attempt.
pub(super) async fn make(begun: Begun, sinks: &Sinks) -> Ended {
    let Begun { place, load, prepared } = begun;
    let result = AssertUnwindSafe(attempt(&load, prepared, sinks)).catch_unwind().await;
    let (unfit, result) = result.unwrap_or_else(|_| (Vec::new(), Err(panicked(&load))));
    Ended { place, unfit, result }
}

/// One row may be the reason: a call of several is split, so that the other rows do not fail with it.
fn panicked(load: &AttemptLoad) -> Unsent {
    match load.count() {
        1 => Unsent::Panicked,
        count => Unsent::Split { at: count / 2 },
    }
}

type Unfit = Vec<(usize, Failure)>;

async fn attempt(load: &AttemptLoad, ready: Option<Box<Ready>>, sinks: &Sinks) -> (Unfit, Result<Sent, Unsent>) {
    let (unfit, ready) = match ready {
        Some(ready) => (Vec::new(), Ok(ready)),
        None => prepare(load),
    };
    let result = match ready {
        Ok(ready) => send(load.first(), load.count() - unfit.len(), ready, sinks).await,
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
    Ready::prepare(delivery).map(Box::new).map_err(Unsent::Unrenderable)
}

fn prepare_all(items: &Arc<[Item]>) -> (Unfit, Result<Box<Ready>, Unsent>) {
    let RenderedArray { unfit, ready } = Ready::prepare_all(items);
    let ready = ready.map(Box::new).map_err(|unready| match unready {
        Unready::Nothing => Unsent::Nothing,
        Unready::TooLarge { fitting } => Unsent::Split { at: fitting },
        Unready::Unrenderable(why) => Unsent::Unrenderable(why),
    });
    (unfit, ready)
}

/// What is sent carries `count` deliveries; `first` stands for all.
async fn send(first: &Delivery, count: usize, ready: Box<Ready>, sinks: &Sinks) -> Result<Sent, Unsent> {
    let started_at_us = now_us();
    let started = Instant::now();
    let (answer, judged) = ready.attempt(sinks, first, count).await.map_err(Unsent::Unrenderable)?;
    let duration_us = started.elapsed().as_micros() as u64;
    let prepared = (judged.verdict == Verdict::Retry).then_some(ready);
    Ok(Sent { attempt: Attempt { started_at_us, duration_us, answer }, judged, prepared })
}
