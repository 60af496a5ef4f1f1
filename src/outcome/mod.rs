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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::change::{Cell, Change, Op, Row, Table, Transaction, Value};
    use crate::delivery::{Delivery, Ticket};
    use crate::failure::Answer;
    use crate::rules::RuleSet;

    fn dead() -> Outcome {
        Outcome::Dead(Failure {
            reason: Reason::Refused,
            message: "answered 400, which a retry can't help".to_string(),
        })
    }

    /// An update of row 1, which becomes row `id`.
    fn completed(on_dead_letter: &str, origin: Origin, outcome: Outcome, id: i64) -> Completed {
        let text = format!(
            "table: a.b\nrules: [{{name: r, on_dead_letter: {on_dead_letter}, call: {{url: http://a.test/}}}}]\n"
        );
        let rules = RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("a rule");
        let table = Table { schema: "a".into(), name: "b".into(), columns: vec!["id".into()], primary_key: vec![0] };
        let row = |id| Some(Row::from_iter([Cell::Value(Value::Int(id))]));
        let transaction = Transaction {
            server_uuid: uuid::Uuid::nil(),
            gtid: None,
            file: "binlog.000001".into(),
            offset: 4,
            committed_at_us: 0,
        };
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
        let attempts = vec![Attempt { started_at_us: 0, duration_us: 0, answer }];
        Completed {
            delivery: Delivery { id, rule, change, origin, undecided: None },
            outcome,
            attempts,
            ticket: Ticket(0),
        }
    }

    #[test]
    fn a_letter_holds_keys_and_pauses_rules_as_its_rule_says_and_only_when_it_is_new() {
        let replay = Origin::Replay { dead_letter: 3 };
        for (on_dead_letter, origin, keys, pauses) in [
            ("continue", Origin::Stream, 0, false),
            ("hold_key", Origin::Stream, 2, false),
            ("hold_key", replay, 0, false),
            ("pause", Origin::Stream, 0, true),
            ("pause", replay, 0, false),
        ] {
            let completed = completed(on_dead_letter, origin, dead(), 2);
            let write = settle(&completed).expect("a letter, or a failed replay");
            let lanes: usize = write.letters_add.iter().map(|letter| letter.lanes.iter().count()).sum();
            assert_eq!(lanes, keys, "{on_dead_letter} {origin:?}");
            assert_eq!(begins_a_hold(&completed), keys > 0, "{on_dead_letter} {origin:?}");
            let why = pauses.then(|| "dead letter 17: answered 400".to_string());
            assert_eq!(pause(&completed, 17), why, "{on_dead_letter} {origin:?}");
        }
    }

    #[test]
    fn a_held_delivery_is_a_letter_in_the_queues_of_all_its_keys_whatever_its_rule_says_now() {
        for (id, keys) in [(1, 1), (2, 2)] {
            let completed = completed("continue", Origin::Stream, Outcome::Held { behind: 17 }, id);
            let write = settle(&completed).expect("a letter");
            let letter = &write.letters_add[0];
            assert_eq!((letter.failure.reason, letter.lanes.iter().count()), (Reason::Held, keys));
            assert_eq!(write.ledger_add.len(), 1);
            assert_eq!(begins_a_hold(&completed), keys == 2, "the other key may have been free");
        }
    }
}
