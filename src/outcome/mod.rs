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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::change::{Change, DeliveryId, Op, Table, Transaction};
    use crate::delivery::{Delivery, Merged, Ticket};
    use crate::failure::Reason;
    use crate::rules::RuleSet;

    #[test]
    fn a_dead_letter_and_the_ledger_entries_of_all_merged_into_it_are_one_write() {
        let text = "table: shop.stock\nrules: [{name: r, coalesce: {within: 1s}, call: {url: 'http://a.test/'}}]";
        let rules = RuleSet::from_texts(&[(PathBuf::from("r.yaml"), text.to_owned())], &|_| None).expect("loads");
        let table = Table { schema: "shop".into(), name: "stock".into(), columns: vec![], primary_key: vec![] };
        let transaction = Transaction {
            server_uuid: Uuid::nil(),
            gtid: None,
            file: "binlog.000001".into(),
            offset: 4,
            committed_at_us: 0,
        };
        let (table, transaction) = (Arc::new(table), Arc::new(transaction));
        let change = Change { op: Op::Insert, table, before: None, after: None, transaction, ordinal: 1 };
        let id = |number| DeliveryId(Uuid::from_u128(number));
        let origin = Origin::Stream { sequence: 1 };
        let rule = Arc::clone(&rules.rules()[0]);
        let failure = Failure { reason: Reason::Refused, message: "answered 400".to_owned() };
        let completed = Completed {
            delivery: Delivery { id: id(3), rule, change: Arc::new(change), origin, undecided: None },
            outcome: Outcome::Dead(failure),
            attempts: Attempts::default(),
            merged: vec![Merged { id: id(1), origin }, Merged { id: id(2), origin }],
            ticket: Ticket(0),
        };
        let write = settle(&completed).expect("a letter");
        assert_eq!(write.letters_add.len(), 1);
        assert_eq!(write.ledger_add, [id(1), id(2), id(3)]);
    }
}
