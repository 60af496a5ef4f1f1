//! Stores filled by tests: dead letters as the program would have left them.
//!
//! In: a home, rule names, rows. Out: a store in the home's `data`, closed again, with letters numbered from 1. The only
//! place of these tests that uses the library.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rowhook::change::{Cell, Change, Op, Row, Table, Transaction, Value};
use rowhook::failure::{Answer, Attempt, Attempts, Reason};
use rowhook::ordering::LaneKeys;
use rowhook::saga::SagaLog;
use rowhook::store::{LetterFailure, NewDeadLetter, SagaPut, Store, Write};
use uuid::Uuid;

use crate::support::program::Home;

/// One dead letter of `shop.orders`: a row inserted, given up after one attempt that was answered 503.
#[derive(Clone)]
pub struct Letter {
    pub rule: &'static str,
    /// In the schema `shop`.
    pub table: &'static str,
    pub id: i64,
    pub note: &'static str,
    pub reason: Reason,
    pub message: String,
    /// Of the attempts, in their order.
    pub answers: Vec<Answer>,
    pub age: Duration,
    /// The ordering keys that it blocks.
    pub lanes: LaneKeys,
    pub redacted: &'static [&'static str],
}

impl Letter {
    pub fn of(rule: &'static str, id: i64) -> Letter {
        Letter {
            rule,
            table: "orders",
            id,
            note: "a note",
            reason: Reason::Exhausted,
            message: "answered 503".to_owned(),
            answers: vec![status(503)],
            age: Duration::from_secs(90),
            lanes: LaneKeys::none(),
            redacted: &[],
        }
    }
}

/// An answer with this status.
pub fn status(status: u16) -> Answer {
    Answer::Status { status, excerpt: "try later".to_owned() }
}

/// No answer, for this reason.
pub fn failed(error: &str) -> Answer {
    Answer::Failed { error: error.to_owned() }
}

/// Makes the store in `home`'s `data` if there is none, and puts the letters into it.
pub fn fill(home: &Home, letters: &[Letter]) {
    write(home, Write { letters_add: letters.iter().map(new_letter).collect(), ..Write::default() });
}

/// As [`fill`], with one letter and what was done of it.
pub fn fill_with_saga(home: &Home, letter: &Letter, log: SagaLog) {
    let letter = new_letter(letter);
    let (id, rule) = (letter.delivery_id, letter.rule.clone().into());
    let saga = SagaPut { id, rule, log: Arc::new(log), change: None, letter: None };
    write(home, Write { letters_add: vec![letter], sagas_put: vec![saga], ..Write::default() });
}

fn write(home: &Home, write: Write) {
    let store = Store::open(&home.path("data")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.write(write)).unwrap();
}

fn new_letter(letter: &Letter) -> NewDeadLetter {
    let change = Arc::new(change(letter));
    let created_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - letter.age;
    let created_at_us = created_at.as_micros() as u64;
    let attempt = |answer: &Answer| Attempt {
        started_at_us: created_at_us - 12_000,
        duration_us: 11_500,
        answer: answer.clone(),
    };
    let attempts: Vec<Attempt> = letter.answers.iter().map(attempt).collect();
    NewDeadLetter {
        delivery_id: change.delivery_id(letter.rule),
        rule: letter.rule.into(),
        change,
        failure: LetterFailure {
            reason: letter.reason,
            message: letter.message.clone(),
            attempts: Attempts::new(attempts, letter.answers.len() as u64),
        },
        lanes: letter.lanes.clone(),
        created_at_us,
        redacted: letter.redacted.iter().map(|&column| column.into()).collect(),
    }
}

fn change(letter: &Letter) -> Change {
    let cell = |value| Cell::Value(value);
    let row = Row::from_iter([cell(Value::Int(letter.id)), cell(Value::Text(letter.note.into()))]);
    Change {
        op: Op::Insert,
        table: Arc::new(Table {
            schema: "shop".into(),
            name: letter.table.into(),
            columns: vec!["id".into(), "note".into()],
            primary_key: vec![0],
        }),
        before: None,
        after: Some(row),
        transaction: Arc::new(Transaction {
            server_uuid: Uuid::from_u128(7),
            file: "binlog.000003".into(),
            offset: 1000 + letter.id as u64,
            committed_at_us: 1_763_680_000_123_456,
            ..Transaction::example()
        }),
        ordinal: 1,
    }
}
