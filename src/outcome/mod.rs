//! Outcomes: what a completed delivery means for the store and for the log.
//!
//! In: a `Completed`. Out: nothing more to do, or the write that must be durable before the delivery counts as resolved
//! and its lane moves on. Keeps promise 1 (first the dead letter, then the low-water mark); what a rule redacts is gone before anything is
//! written. Owns no state; the tracker and the log of deliveries beside it do.

use std::sync::Arc;

use crate::change::Change;
use crate::clock::now_us;
use crate::delivery::{Completed, Delivery, Failure, Origin, Outcome};
use crate::failure::{Attempts, Reason};
use crate::ordering::{LaneKeys, MoreKeys};
use crate::rules::OnDeadLetter;
use crate::store;

pub use delivery_log::DeliveryLog;

mod delivery_log;
mod letter_log;
pub mod reached;
pub mod saga_action;
pub mod tracker;

/// What must be durable before a completed delivery is resolved and its lane moves on; None: nothing, the next checkpoint is
/// enough.
pub fn settle(completed: &Completed) -> Option<store::Write> {
    let delivery = &completed.delivery;
    // Dead letters that a delivery carried are removed with it, whatever its outcome: it may leave a dead letter of its own.
    let mut letters_remove: Vec<u64> = completed.merged.iter().filter_map(|part| dead_letter(part.origin)).collect();
    if let Outcome::Delivered { .. } = completed.outcome {
        letters_remove.extend(dead_letter(delivery.origin));
        if letters_remove.is_empty() && delivery.saga_action.is_none() {
            return None;
        }
    }
    // In the ledger at once, so that a crash before the next checkpoint makes no second dead letter. Together with the
    // deliveries that were merged into it, or all of them come again. Only those of a stream: a checkpoint says nothing about
    // replays.
    let rule: Arc<str> = delivery.rule.name.as_str().into();
    let of_streams = completed.parts().filter(|part| part.origin == Origin::Stream);
    let ledger_add = of_streams.map(|part| store::LedgerEntry { id: part.id, rule: Arc::clone(&rule) }).collect();
    let mut settled = store::Write { ledger_add, letters_remove, ..store::Write::default() };
    end_saga(completed, &mut settled);
    Some(match (&completed.outcome, delivery.origin) {
        (Outcome::Delivered { .. }, _) => settled,
        (Outcome::Dead(failure), Origin::Stream | Origin::BinlogReplay { .. }) => {
            let lanes = match blocks_its_keys(completed) {
                true => queues_of_letter(delivery, MoreKeys::default()),
                false => LaneKeys::none(),
            };
            let letter = new_letter(completed, record(failure, completed), lanes);
            store::Write { letters_add: vec![letter], ..settled }
        }
        (Outcome::Blocked { by }, Origin::Stream | Origin::BinlogReplay { .. }) => {
            let message = format!("waits behind dead letter {by}");
            let failure = store::LetterFailure { reason: Reason::Blocked, message, attempts: Attempts::default() };
            let waits_in = delivery.more.as_deref().cloned().unwrap_or_default();
            let letter = new_letter(completed, failure, queues_of_letter(delivery, waits_in));
            store::Write { letters_add: vec![letter], ..settled }
        }
        (Outcome::Blocked { .. }, Origin::Replay { .. }) => unreachable!("a replay is sent though its key is blocked"),
        (Outcome::Dead(failure), Origin::Replay { dead_letter }) => {
            let failure = record(failure, completed);
            let again = store::FailedReplay { number: dead_letter, failure, replayed_at_us: now_us() };
            store::Write { letters_replayed: vec![again], ..settled }
        }
    })
}

/// The log of a saga ends with the delivery, or belongs to its dead letter from now on.
fn end_saga(completed: &Completed, settled: &mut store::Write) {
    let delivery = &completed.delivery;
    let Some(current) = &delivery.saga_action else { return };
    match completed.outcome {
        Outcome::Delivered { .. } => settled.sagas_remove.push(delivery.id),
        // Nothing was begun: there is no log.
        Outcome::Dead(_) | Outcome::Blocked { .. } if current.log.is_fresh() => {}
        Outcome::Dead(_) | Outcome::Blocked { .. } => settled.sagas_put.push(store::SagaPut {
            id: delivery.id,
            rule: delivery.rule.name.as_str().into(),
            log: Arc::clone(&current.log),
            change: None,
            letter: dead_letter(delivery.origin),
        }),
    }
}

/// The dead letter of a saga that was under way when the last process ended and whose delivery will not come again.
pub fn interrupted(saga: store::StoredSaga, why: &str) -> store::Write {
    let store::StoredSaga { id, rule, log, change } = saga;
    let open: Vec<&str> = log.steps.iter().filter(|step| step.has_effect()).map(|step| &*step.name).collect();
    let stands =
        if open.is_empty() { "nothing of it stands".to_string() } else { format!("not undone: {}", open.join(", ")) };
    let message = format!("it was under way when rowhook stopped, and {why}; {stands}");
    let letter = store::NewDeadLetter {
        delivery_id: id,
        rule: (*rule).into(),
        change,
        failure: store::LetterFailure { reason: Reason::Interrupted, message, attempts: Attempts::default() },
        lanes: LaneKeys::none(),
        created_at_us: now_us(),
        redacted: Vec::new(),
    };
    // If the change comes again all the same, after a crash or with the rule, the ledger shows that it has its dead letter.
    let ledger_add = vec![store::LedgerEntry { id, rule: Arc::clone(&rule) }];
    let put = store::SagaPut { id, rule, log: Arc::new(log), change: None, letter: None };
    store::Write { letters_add: vec![letter], sagas_put: vec![put], ledger_add, ..store::Write::default() }
}

fn dead_letter(origin: Origin) -> Option<u64> {
    match origin {
        Origin::Replay { dead_letter } => Some(dead_letter),
        Origin::Stream | Origin::BinlogReplay { .. } => None,
    }
}

/// Whether this outcome blocks a key that may have been free before. Then the deliveries of that key that are resolved must be
/// durable no later than the dead letter that blocks it: else a crash would bring them again, and they would wait behind the
/// dead letter and be sent after later ones.
pub fn blocks_a_free_key(completed: &Completed) -> bool {
    match completed.outcome {
        Outcome::Delivered { .. } => false,
        Outcome::Dead(_) => blocks_its_keys(completed),
        // One of its keys may have been free.
        Outcome::Blocked { .. } => {
            let lanes = completed.delivery.lanes();
            lanes.iter().count() > 1 || !lanes.definitions().is_empty()
        }
    }
}

/// Why the rule is to be paused, for people; None: it is not. `number` is None as long as the dead letter has no number.
pub fn pause(completed: &Completed, number: Option<u64>) -> Option<String> {
    let Outcome::Dead(failure) = &completed.outcome else { return None };
    completed.pauses_its_rule().then(|| {
        let last = completed.attempts.kept().last();
        let why = last.map_or_else(|| failure.message.clone(), |attempt| attempt.answer.in_words());
        let number = number.map(|number| format!(" {number}")).unwrap_or_default();
        format!("dead letter{number}: {why}")
    })
}

fn blocks_its_keys(completed: &Completed) -> bool {
    completed.delivery.rule.settings.on_dead_letter == OnDeadLetter::HoldKey && is_new(completed)
}

/// Whether the delivery has no dead letter yet.
fn is_new(completed: &Completed) -> bool {
    match completed.delivery.origin {
        Origin::Stream | Origin::BinlogReplay { .. } => true,
        Origin::Replay { .. } => false,
    }
}

/// The queues of blocked keys that the delivery's dead letter enters: those of its own keys, and those of all others that the
/// delivery waits in. Dead letters that wait for a whole definition have one queue, too, and are sent one after another.
fn queues_of_letter(delivery: &Delivery, mut more: MoreKeys) -> LaneKeys {
    let Delivery { rule, change, .. } = delivery;
    let own = rule.ordering_keys(change);
    if own.is_empty() {
        return own;
    }
    more.keys.extend(more.definitions.iter().map(|definition| definition.waiting()));
    more.made_under = rule.key_definition(&change.table, change.row()).map(Arc::new);
    own.with(more)
}

fn new_letter(completed: &Completed, failure: store::LetterFailure, lanes: LaneKeys) -> store::NewDeadLetter {
    let delivery = &completed.delivery;
    let (change, redacted) = kept(delivery);
    store::NewDeadLetter {
        delivery_id: delivery.id,
        rule: delivery.rule.name.as_str().into(),
        change,
        failure,
        lanes,
        created_at_us: now_us(),
        redacted,
    }
}

/// What a dead letter keeps of the change, and the columns that it does not keep.
fn kept(delivery: &Delivery) -> (Arc<Change>, Vec<Box<str>>) {
    let (rule, change) = (&delivery.rule, &delivery.change);
    let redacted: Vec<Box<str>> = change.table.columns.iter().filter(|name| rule.redacts(name)).cloned().collect();
    match redacted.is_empty() {
        true => (change.clone(), redacted),
        false => (Arc::new(change.redacted(|name| rule.redacts(name))), redacted),
    }
}

/// Answers often repeat what they were sent, so a rule that redacts keeps only their status.
fn record(failure: &Failure, completed: &Completed) -> store::LetterFailure {
    let attempts = match completed.delivery.rule.redact.is_empty() {
        true => completed.attempts.clone(),
        false => completed.attempts.without_excerpts(),
    };
    store::LetterFailure { reason: failure.reason, message: failure.message.clone(), attempts }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::change::{Cell, Change, DeliveryId, Op, Row, Table, Transaction, Value};
    use crate::delivery::{Delivery, Merged, Ticket};
    use crate::failure::{Answer, Attempt};
    use crate::rules::RuleSet;

    fn dead() -> Outcome {
        Outcome::Dead(Failure { reason: Reason::Refused, message: "answered 400: not retried".to_string() })
    }

    /// An update of row 1, which becomes row `id`.
    fn completed(settings: &str, origin: Origin, outcome: Outcome, id: i64) -> Completed {
        let text = format!("table: a.b\nrules: [{{name: r, {settings}, call: {{url: http://a.test/}}}}]\n");
        let rules = RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("a rule");
        let table = Table { schema: "a".into(), name: "b".into(), columns: vec!["id".into()], primary_key: vec![0] };
        let row = |id| Some(Row::from_iter([Cell::Value(Value::Int(id))]));
        let transaction = Transaction::example();
        let change = Arc::new(Change {
            op: Op::Update,
            table: table.into(),
            before: row(1),
            after: row(id),
            transaction: transaction.into(),
            ordinal: 1,
        });
        let rule = Arc::clone(&rules.rules()[0]);
        let id = change.delivery_id(&rule.name);
        let answer = Answer::Status { status: 400, excerpt: "secret".to_string() };
        let attempts = Attempts::new(vec![Attempt { started_at_us: 0, duration_us: 0, answer }], 1);
        Completed {
            delivery: Delivery {
                id,
                rule,
                change,
                origin,
                predetermined: None,
                saga_action: None,
                more: None,
                edited: None,
            },
            outcome,
            attempts,
            merged: Vec::new(),
            acted: None,
            ticket: Ticket(0),
        }
    }

    #[test]
    fn a_dead_letter_and_the_ledger_entries_of_all_merged_into_it_are_one_write() {
        let id = |number| DeliveryId(Uuid::from_u128(number));
        let origin = Origin::Stream;
        let merged = [1, 2].map(|number| Merged { id: id(number), origin, committed_at_us: 0 }).into();
        let completed = Completed { merged, ..completed("coalesce: {within: 1s}", origin, dead(), 1) };
        let write = settle(&completed).expect("a letter");
        assert_eq!(write.letters_add.len(), 1);
        let named: Vec<DeliveryId> = write.ledger_add.iter().map(|entry| entry.id).collect();
        assert_eq!(named, [completed.delivery.id, id(1), id(2)]);
    }

    #[test]
    fn a_dead_letter_blocks_keys_and_pauses_rules_as_its_rule_says_and_only_when_it_is_new() {
        let replay = Origin::Replay { dead_letter: 3 };
        for (on_dead_letter, origin, keys, pauses) in [
            ("continue", Origin::Stream, 0, false),
            ("hold_key", Origin::Stream, 2, false),
            ("hold_key", Origin::BinlogReplay { number: 1 }, 2, false),
            ("hold_key", replay, 0, false),
            ("pause", Origin::Stream, 0, true),
            ("pause", Origin::BinlogReplay { number: 1 }, 0, false),
            ("pause", replay, 0, false),
        ] {
            let completed = completed(&format!("on_dead_letter: {on_dead_letter}"), origin, dead(), 2);
            let write = settle(&completed).expect("a letter, or a failed replay");
            let lanes: usize = write.letters_add.iter().map(|letter| letter.lanes.iter().count()).sum();
            assert_eq!(lanes, keys, "{on_dead_letter} {origin:?}");
            assert_eq!(blocks_a_free_key(&completed), keys > 0, "{on_dead_letter} {origin:?}");
            for (number, why) in [(None, "dead letter: answered 400"), (Some(17), "dead letter 17: answered 400")] {
                let why = pauses.then(|| why.to_string());
                assert_eq!(pause(&completed, number), why, "{on_dead_letter} {origin:?}");
            }
        }
    }

    #[test]
    fn a_blocked_delivery_is_a_letter_in_the_queues_of_all_its_keys_whatever_its_rule_says_now() {
        for (id, keys) in [(1, 1), (2, 2)] {
            let blocked = Outcome::Blocked { by: 17 };
            let completed = completed("on_dead_letter: continue", Origin::Stream, blocked, id);
            let write = settle(&completed).expect("a letter");
            let letter = &write.letters_add[0];
            assert_eq!((letter.failure.reason, letter.lanes.iter().count()), (Reason::Blocked, keys));
            assert_eq!(write.ledger_add.len(), 1);
            assert_eq!(blocks_a_free_key(&completed), keys == 2, "the other key may have been free");
        }
    }
}
