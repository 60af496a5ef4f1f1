//! Outcomes: what a completed delivery means for the store and for the log.
//!
//! In: a `Completed`. Out: nothing more to do, or the write that must be durable before the delivery counts as resolved
//! and its lane moves on. Keeps promise 1 (first the dead letter, then the mark) and promise 8 (one line per delivery,
//! without row values). Owns no state; the tracker beside it does.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{debug, error, info};

use crate::delivery::{Completed, Failure, Origin, Outcome};
use crate::failure::Attempts;
use crate::store;

pub mod tracker;

/// Logs a completed delivery and says what must be durable before it is resolved and its lane moves on; None: nothing,
/// the next checkpoint says it.
pub fn settle(completed: &Completed) -> Option<store::Write> {
    log(completed);
    let delivery = &completed.delivery;
    let write = match (&completed.outcome, delivery.origin) {
        (Outcome::Delivered { .. }, Origin::Stream { .. }) => return None,
        (Outcome::Delivered { .. }, Origin::Replay { dead_letter }) => {
            store::Write { letters_remove: vec![dead_letter], ..store::Write::default() }
        }
        (Outcome::Dead(failure), Origin::Stream { .. }) => {
            let letter = store::NewDeadLetter {
                delivery_id: delivery.id,
                rule: delivery.rule.name.as_str().into(),
                change: delivery.change.clone(),
                failure: record(failure, &completed.attempts),
                created_at_us: now_us(),
            };
            // In the ledger at once, so that a crash before the next checkpoint makes no second letter.
            // What was merged into it is resolved with it, or all of them come again.
            let ledger_add = completed.merged.iter().map(|merged| merged.id).chain([delivery.id]).collect();
            store::Write { letters_add: vec![letter], ledger_add, ..store::Write::default() }
        }
        (Outcome::Dead(failure), Origin::Replay { dead_letter }) => {
            let failure = record(failure, &completed.attempts);
            let again = store::FailedReplay { number: dead_letter, failure, replayed_at_us: now_us() };
            store::Write { letters_replayed: vec![again], ..store::Write::default() }
        }
    };
    Some(write)
}

fn log(completed: &Completed) {
    let (rule, id) = (completed.delivery.rule.name.as_str(), completed.delivery.id);
    let attempts = completed.attempts.total();
    for merged in &completed.merged {
        debug!(rule, id = %merged.id, into = %id, "merged into a later delivery of its key");
    }
    match &completed.outcome {
        Outcome::Delivered { status } => info!(rule, %id, status, attempts, "delivered"),
        Outcome::Dead(failure) => error!(rule, %id, attempts, reason = %failure.message, "dead letter"),
    }
}

fn record(failure: &Failure, attempts: &Attempts) -> store::Failure {
    store::Failure { reason: failure.reason, message: failure.message.clone(), attempts: attempts.clone() }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
