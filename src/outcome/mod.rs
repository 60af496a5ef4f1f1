//! Outcomes: what a completed delivery means for the store and for the log.
//!
//! In: a `Completed`. Out: nothing more to do, or the write that must be durable before the delivery counts as resolved
//! and its lane moves on. Keeps promise 1 (first the dead letter, then the mark) and promise 8 (one line per delivery,
//! without row values); what a rule redacts is gone before anything is written. Owns no state; the tracker beside it does.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{debug, error, info};

use crate::change::Change;
use crate::delivery::{Completed, Delivery, Failure, Origin, Outcome};
use crate::store;

pub mod reached;
pub mod tracker;

/// Logs a completed delivery and says what must be durable before it is resolved and its lane moves on; None: nothing,
/// the next checkpoint says it.
pub fn settle(completed: &Completed) -> Option<store::Write> {
    log(completed);
    let delivery = &completed.delivery;
    // In the ledger at once, so that a crash before the next checkpoint makes no second letter; what was merged into it with
    // it, or all of them come again. Only what a stream brought: the rest is no part of what a checkpoint says.
    let rule: Arc<str> = delivery.rule.name.as_str().into();
    let of_streams = completed.parts().filter(|part| part.origin == Origin::Stream);
    let ledger_add = of_streams.map(|part| store::LedgerEntry { id: part.id, rule: Arc::clone(&rule) }).collect();
    let merged = completed.merged.iter().filter_map(|part| dead_letter(part.origin));
    let letters_remove: Vec<u64> = merged.collect();
    let settled = store::Write { ledger_add, letters_remove, ..store::Write::default() };
    match (&completed.outcome, delivery.origin) {
        (Outcome::Delivered { .. }, Origin::Replay { dead_letter }) => {
            let letters_remove = settled.letters_remove.into_iter().chain([dead_letter]).collect();
            Some(store::Write { letters_remove, ..settled })
        }
        (Outcome::Delivered { .. }, Origin::Stream | Origin::Redelivery { .. }) => {
            (!settled.letters_remove.is_empty()).then_some(settled)
        }
        (Outcome::Dead(failure), Origin::Stream | Origin::Redelivery { .. }) => {
            Some(store::Write { letters_add: vec![letter(completed, failure)], ..settled })
        }
        (Outcome::Dead(failure), Origin::Replay { dead_letter }) => {
            let failure = record(failure, completed);
            let again = store::FailedReplay { number: dead_letter, failure, replayed_at_us: now_us() };
            Some(store::Write { letters_replayed: vec![again], ..settled })
        }
    }
}

fn dead_letter(origin: Origin) -> Option<u64> {
    match origin {
        Origin::Replay { dead_letter } => Some(dead_letter),
        Origin::Stream | Origin::Redelivery { .. } => None,
    }
}

fn letter(completed: &Completed, failure: &Failure) -> store::NewDeadLetter {
    let delivery = &completed.delivery;
    let (change, redacted) = kept(delivery);
    store::NewDeadLetter {
        delivery_id: delivery.id,
        rule: delivery.rule.name.as_str().into(),
        change,
        failure: record(failure, completed),
        created_at_us: now_us(),
        redacted,
    }
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
    let attempts = match completed.delivery.rule.redact.is_empty() {
        true => completed.attempts.clone(),
        false => completed.attempts.without_excerpts(),
    };
    store::Failure { reason: failure.reason, message: failure.message.clone(), attempts }
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
    use crate::failure::{Attempts, Reason};
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
        let origin = Origin::Stream;
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
        let named: Vec<DeliveryId> = write.ledger_add.iter().map(|entry| entry.id).collect();
        assert_eq!(named, [id(3), id(1), id(2)]);
    }
}
