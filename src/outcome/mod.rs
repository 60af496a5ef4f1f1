//! Outcomes: what a completed delivery means for the store and for the log.
//!
//! In: a `Completed`. Out: nothing more to do, or the write that must be durable before the delivery counts as resolved
//! and its lane moves on. Keeps promise 1 (first the dead letter, then the mark) and promise 8 (one line per delivery,
//! without row values); what a rule redacts is gone before anything is written. Owns no state; the tracker beside it does.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, info};

use crate::change::Change;
use crate::delivery::{Completed, Delivery, Failure, Origin, Outcome};
use crate::failure::{Answer, Attempt};
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
            let (change, redacted) = kept(delivery);
            let letter = store::NewDeadLetter {
                delivery_id: delivery.id,
                rule: delivery.rule.name.as_str().into(),
                change,
                failure: record(failure, completed),
                created_at_us: now_us(),
                redacted,
            };
            // In the ledger at once, so that a crash before the next checkpoint makes no second letter.
            store::Write { letters_add: vec![letter], ledger_add: vec![delivery.id], ..store::Write::default() }
        }
        (Outcome::Dead(failure), Origin::Replay { dead_letter }) => {
            let failure = record(failure, completed);
            let again = store::FailedReplay { number: dead_letter, failure, replayed_at_us: now_us() };
            store::Write { letters_replayed: vec![again], ..store::Write::default() }
        }
    };
    Some(write)
}

fn log(completed: &Completed) {
    let (rule, id) = (completed.delivery.rule.name.as_str(), completed.delivery.id);
    let attempts = completed.attempts.len();
    match &completed.outcome {
        Outcome::Delivered { status } => info!(rule, %id, status, attempts, "delivered"),
        Outcome::Dead(failure) => error!(rule, %id, attempts, reason = %failure.message, "dead letter"),
    }
}

/// What a letter keeps of the change, and the columns that it does not keep.
fn kept(delivery: &Delivery) -> (Arc<Change>, Vec<Box<str>>) {
    let (rule, change) = (&delivery.rule, &delivery.change);
    let redacted: Vec<Box<str>> = change.table.columns.iter().filter(|name| rule.redacts(name)).cloned().collect();
    match redacted.is_empty() {
        true => (change.clone(), redacted),
        false => (Arc::new(change.redacted(|name| rule.redacts(name))), redacted),
    }
}

/// Answers often repeat what they were sent, so a rule that redacts keeps nothing of them but their status.
fn record(failure: &Failure, completed: &Completed) -> store::Failure {
    let mut attempts: Vec<Attempt> = completed.attempts.clone();
    if !completed.delivery.rule.redact.is_empty() {
        for attempt in &mut attempts {
            if let Answer::Status { excerpt, .. } = &mut attempt.answer {
                excerpt.clear();
            }
        }
    }
    store::Failure { reason: failure.reason, message: failure.message.clone(), attempts }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
