//! One attempt as a task of its own: render (the first time), send, report.
//!
//! In: a delivery whose turn it is. Out: an `Ended` on the dispatcher's channel, also when the code in between panics, so
//! that no delivery is ever lost. Runs beside the pipeline's loop, which thereby never waits for rendering or the
//! network. Whether another attempt follows is the dispatcher's to say.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use tokio::sync::mpsc::UnboundedSender;

use crate::delivery::Delivery;
use crate::delivery::answer::{self, Verdict};
use crate::delivery::client::{self, Client, Received};
use crate::delivery::lane::Place;
use crate::delivery::request::{self, Prepared};
use crate::failure::Attempt;

/// What a task reports.
#[derive(Debug)]
pub(super) struct Ended {
    pub place: Place,
    pub result: Result<Sent, Unsent>,
}

/// An attempt was made.
#[derive(Debug)]
pub(super) struct Sent {
    pub attempt: Attempt,
    pub verdict: Verdict,
    pub retry_after: Option<Duration>,
    /// Kept where a retry may follow: every attempt of a delivery sends the same bytes.
    pub prepared: Option<Box<Prepared>>,
}

/// The request could not be made; a line for people.
#[derive(Debug)]
pub(super) struct Unsent(pub String);

/// Starts the task. The channel needs no bound: it holds at most one message for each attempt under way.
pub(super) fn start(
    place: Place,
    delivery: Delivery,
    prepared: Option<Box<Prepared>>,
    client: Client,
    ended: UnboundedSender<Ended>,
) {
    tokio::spawn(async move {
        let result = AssertUnwindSafe(attempt(&delivery, prepared, &client)).catch_unwind().await;
        let result = result.unwrap_or_else(|_| {
            Err(Unsent("rendering or sending panicked: a defect of rowhook, please report it".to_owned()))
        });
        // Nobody listens any more when the dispatcher is gone; the delivery is then attempted again after the restart.
        let _ = ended.send(Ended { place, result });
    });
}

async fn attempt(delivery: &Delivery, prepared: Option<Box<Prepared>>, client: &Client) -> Result<Sent, Unsent> {
    let prepared = match prepared {
        Some(prepared) => prepared,
        None => Box::new(request::prepare(delivery).map_err(Unsent)?),
    };
    let request = client::request(&prepared, delivery.rule.call.egress).map_err(Unsent)?;
    let call = &delivery.rule.call;
    let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    let Received { answer, retry_after } = client.send(request, call.egress, call.timeout, &call.success).await;
    let attempt = Attempt {
        started_at_us: started_at.as_micros() as u64,
        duration_us: started.elapsed().as_micros() as u64,
        answer,
    };
    let verdict = answer::classify(&call.success, &attempt.answer);
    let prepared = (verdict == Verdict::Retry).then_some(prepared);
    Ok(Sent { attempt, verdict, retry_after, prepared })
}
