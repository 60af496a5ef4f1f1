//! Outcomes: what a completed delivery means for the store and for the log.
//!
//! In: a `Completed`. Out: nothing more to do, or the write that must be durable before the delivery counts as resolved
//! and its lane moves on. Keeps promise 1 (first the dead letter, then the mark) and promise 8 (one line per delivery,
//! without row values). Owns no state; the tracker beside it does.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, info};

use crate::delivery::{Completed, Failure, Origin, Outcome};
use crate::failure::{Attempt, Reason};
use crate::ordering::LaneKeys;
use crate::rules::OnDeadLetter;
use crate::store;

pub mod reached;
pub mod tracker;

/// Logs a completed delivery and says what must be durable before it is resolved and its lane moves on; None: nothing,
/// the next checkpoint says it.
pub fn settle(completed: &Completed) -> Option<store::Write> {
    log(completed);
    let delivery = &completed.delivery;
    let write = match (&completed.outcome, delivery.origin) {
        (Outcome::Delivered { .. }, Origin::Stream) => return None,
        (Outcome::Delivered { .. }, Origin::Replay { dead_letter }) => {
            store::Write { letters_remove: vec![dead_letter], ..store::Write::default() }
        }
        (Outcome::Dead(failure), Origin::Stream) => {
            let lanes = match holds_its_key(completed) {
                true => delivery.rule.ordering_keys(&delivery.change),
                false => LaneKeys::none(),
            };
            new_letter(completed, record(failure, &completed.attempts), lanes)
        }
        (Outcome::Held { behind }, _) => {
            let message = format!("waits behind dead letter {behind}");
            let failure = store::Failure { reason: Reason::Held, message, attempts: Vec::new() };
            new_letter(completed, failure, delivery.rule.ordering_keys(&delivery.change))
        }
        (Outcome::Dead(failure), Origin::Replay { dead_letter }) => {
            let failure = record(failure, &completed.attempts);
            let again = store::FailedReplay { number: dead_letter, failure, replayed_at_us: now_us() };
            store::Write { letters_replayed: vec![again], ..store::Write::default() }
        }
    };
    Some(write)
}

/// Whether a key is held from now on that was not before. What was resolved of that key must be durable no later than
/// the letter that holds it: else it would come again after a crash and wait, and go out after what came behind it.
pub fn begins_a_hold(completed: &Completed) -> bool {
    match completed.outcome {
        Outcome::Delivered { .. } => false,
        Outcome::Dead(_) => holds_its_key(completed),
        // One of its two keys may have been free.
        Outcome::Held { .. } => completed.delivery.rule.ordering_keys(&completed.delivery.change).iter().count() > 1,
    }
}

/// Why the rule is to be paused now that the delivery is the dead letter of this number; None: it is not.
pub fn pause(completed: &Completed, number: u64) -> Option<String> {
    let Outcome::Dead(failure) = &completed.outcome else { return None };
    let rule = &completed.delivery.rule;
    let is_new = matches!(completed.delivery.origin, Origin::Stream);
    (is_new && rule.on_dead_letter == OnDeadLetter::Pause).then(|| {
        let why =
            completed.attempts.last().map_or_else(|| failure.message.clone(), |attempt| attempt.answer.in_words());
        format!("dead letter {number}: {why}")
    })
}

fn holds_its_key(completed: &Completed) -> bool {
    completed.delivery.rule.on_dead_letter == OnDeadLetter::HoldKey
        && matches!(completed.delivery.origin, Origin::Stream)
}

fn new_letter(completed: &Completed, failure: store::Failure, lanes: LaneKeys) -> store::Write {
    let delivery = &completed.delivery;
    let letter = store::NewDeadLetter {
        delivery_id: delivery.id,
        rule: delivery.rule.name.as_str().into(),
        change: delivery.change.clone(),
        failure,
        lanes,
        created_at_us: now_us(),
    };
    // In the ledger at once, so that a crash before the next checkpoint makes no second letter.
    let ledger_add = vec![store::LedgerEntry { id: delivery.id, rule: letter.rule.as_ref().into() }];
    store::Write { letters_add: vec![letter], ledger_add, ..store::Write::default() }
}

fn log(completed: &Completed) {
    let (rule, id) = (completed.delivery.rule.name.as_str(), completed.delivery.id);
    let attempts = completed.attempts.len();
    match &completed.outcome {
        Outcome::Delivered { status } => info!(rule, %id, status, attempts, "delivered"),
        Outcome::Dead(failure) => error!(rule, %id, attempts, reason = %failure.message, "dead letter"),
        Outcome::Held { behind } => info!(rule, %id, behind, "held"),
    }
}

fn record(failure: &Failure, attempts: &[Attempt]) -> store::Failure {
    store::Failure { reason: failure.reason, message: failure.message.clone(), attempts: attempts.to_vec() }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
