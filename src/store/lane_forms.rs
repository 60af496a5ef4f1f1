//! The ordering keys of dead letters that an earlier release stored, converted to the current form.
//!
//! In: an opened store whose dead letters have keys in the form of format 3 and earlier, where a key depended on the type of
//! its columns. Out: the same dead letters in the queues of the keys that later changes of their rows have now, and with the
//! definition that they were made under. The store does not say which columns a rule ordered by: columns that give the old
//! keys are searched for. If none do (their values were not kept, say) the definition is unknown, and later changes of that
//! table wait in that rule. A dead letter is converted in one transaction, and once: a crash in between costs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use sled::Transactional as _;
use sled::transaction::{ConflictableTransactionError, TransactionError};

use super::dead_letters::DeadLetterHead;
use super::letter_records::HeadRecord;
use super::trees::{LANE_FORM_STORED, Trees, number_of};
use super::{Error, blocked_keys, chunks, letter_records, walk};
use crate::change::{Cell, Change, Row, Value};
use crate::ordering::{KeyDefinition, LANE_FORM, LaneKey, LaneKeys, MoreKeys, OrderedBy, lane};

/// In a table of at most so many columns, any three of them are tried as a key.
const COLUMNS_TRIED_MAX: usize = 40;

/// The columns that make the keys of a rule and a table, as found with an earlier dead letter; none if the whole table is one
/// lane.
type Found = HashMap<(Box<str>, Box<str>, Vec<Box<str>>), Vec<usize>>;

/// Converts the keys of all dead letters, if that was not done before.
pub(super) fn renew(db: &sled::Db, trees: &Trees) -> Result<(), Error> {
    if trees.counter(LANE_FORM_STORED)? == Some(LANE_FORM) {
        return Ok(());
    }
    let (mut found, mut renewed) = (Found::new(), 0_u64);
    for entry in walk::all(&trees.heads).keys() {
        let number = number_of(&entry.map_err(Error::read(&trees.directory))?)?;
        // A dead letter that can't be read stays in its queues; the error is reported when it is read.
        let Ok(Some(record)) = trees.head_record(number) else { continue };
        let head = &record.head;
        if head.lanes.is_empty() || head.lanes.made_under().is_some() {
            continue;
        }
        let lanes = match trees.letter(number) {
            Ok(Some(letter)) => lanes_of(&letter.head, &letter.change, &mut found),
            Ok(None) | Err(_) => unknown(head),
        };
        put(trees, number, record, lanes)?;
        renewed += 1;
    }
    db.flush().map_err(|error| Error::write(&trees.directory, &error))?;
    let written = trees.meta.insert(LANE_FORM_STORED, &LANE_FORM.to_be_bytes());
    written.map_err(|error| Error::write(&trees.directory, &error))?;
    if renewed > 0 {
        tracing::info!(letters = renewed, "the ordering keys of stored dead letters were computed again");
    }
    Ok(())
}

fn put(trees: &Trees, number: u64, mut record: HeadRecord, lanes: LaneKeys) -> Result<(), Error> {
    let before = blocked_keys::entries(&record.head.lanes, number);
    let after = blocked_keys::entries(&lanes, number);
    record.head.lanes = lanes;
    let head = letter_records::encode_head(&record);
    let done = (&trees.heads, &trees.holds).transaction(|(heads, holds)| {
        for (entry, _) in &before {
            holds.remove(entry)?;
        }
        for (entry, value) in &after {
            holds.insert(entry, *value)?;
        }
        chunks::put(heads, &number.to_be_bytes(), &head)?;
        Ok::<_, ConflictableTransactionError<std::convert::Infallible>>(())
    });
    done.map_err(|error| match error {
        TransactionError::Storage(error) => Error::write(&trees.directory, &error),
        TransactionError::Abort(never) => match never {},
    })
}

fn lanes_of(head: &DeadLetterHead, change: &Change, found: &mut Found) -> LaneKeys {
    let table = &change.table;
    let name = (head.rule.clone(), Box::from(table.to_string()), table.columns.clone());
    let makes_the_keys = |columns: &[usize]| old_keys(&head.rule, change, columns) == head.lanes;
    let known = found.get(&name).filter(|columns| makes_the_keys(columns)).cloned();
    let Some(columns) = known.or_else(|| candidates(change).find(|columns| makes_the_keys(columns))) else {
        return unknown_of(head, &table.schema, &table.name);
    };
    let by = match columns.is_empty() {
        true => OrderedBy::Table,
        false => OrderedBy::columns(table, &columns, None),
    };
    let made_under = Some(Arc::new(KeyDefinition::new(&head.rule, &table.schema, &table.name, by)));
    let lanes = keys(change, &columns, |values| lane(&head.rule, table, values.iter().flatten()));
    found.insert(name, columns);
    lanes.with(MoreKeys { made_under, ..MoreKeys::default() })
}

/// The column lists that may make a key, the most likely first.
fn candidates(change: &Change) -> impl Iterator<Item = Vec<usize>> {
    let primary_key = change.table.primary_key.clone();
    let count = change.table.columns.len();
    let few = if count <= COLUMNS_TRIED_MAX { count } else { 0 };
    let one = (0..count).map(|a| vec![a]);
    let two = (0..count).flat_map(move |a| (0..count).map(move |b| vec![a, b]));
    let three = (0..few).flat_map(move |a| (0..few).flat_map(move |b| (0..few).map(move |c| vec![a, b, c])));
    [primary_key, Vec::new()].into_iter().chain(one).chain(two).chain(three)
}

/// The queues as they are, with an unknown definition.
fn unknown_of(head: &DeadLetterHead, schema: &str, table: &str) -> LaneKeys {
    let definition = KeyDefinition::new(&head.rule, schema, table, OrderedBy::Unknown);
    head.lanes.own().with(MoreKeys { made_under: Some(Arc::new(definition)), ..MoreKeys::default() })
}

/// As [`unknown_of`], of a dead letter whose change can't be read: the head names its table.
fn unknown(head: &DeadLetterHead) -> LaneKeys {
    let (schema, table) = head.table.split_once('.').unwrap_or(("", &head.table));
    unknown_of(head, schema, table)
}

/// The keys of an insert, an update or a deletion, as the rules make them.
fn keys(change: &Change, columns: &[usize], lane: impl Fn(&[Option<Value>]) -> LaneKey) -> LaneKeys {
    let values = |value: &dyn Fn(usize) -> Option<Value>| lane(&columns.iter().map(|c| value(*c)).collect::<Vec<_>>());
    let now = values(&|column| change.latest(column));
    let was = |before: &Row, column: usize| match before.cell(column) {
        Cell::Value(value) => Some(value),
        Cell::Absent => change.latest(column),
    };
    match change.before.as_ref().filter(|_| change.after.is_some() && !columns.is_empty()) {
        Some(before) => LaneKeys::two(values(&|column| was(before, column)), now),
        None => LaneKeys::one(now),
    }
}

/// The keys as formats up to 3 had them.
pub(super) fn old_keys(rule: &str, change: &Change, columns: &[usize]) -> LaneKeys {
    keys(change, columns, |values| old_lane(rule, change, values))
}

/// A key as it was made up to format 3: SipHash-1-3 with key 0 over the names and a byte for the type before each value.
fn old_lane(rule: &str, change: &Change, values: &[Option<Value>]) -> LaneKey {
    let mut bytes = OldBytes(Vec::new());
    for name in [rule, &change.table.schema, &change.table.name] {
        bytes.text(name.as_bytes());
    }
    values.iter().for_each(|value| bytes.value(value.as_ref()));
    LaneKey::of(&bytes.0)
}

/// Kinds as one byte, numbers as eight, little-endian, texts after their length.
struct OldBytes(Vec<u8>);

impl OldBytes {
    fn value(&mut self, value: Option<&Value>) {
        match value {
            None => self.kind(0),
            Some(Value::Null) => self.kind(1),
            Some(Value::Int(number)) => self.kind(2).number(*number as u64),
            Some(Value::Uint(number)) => self.kind(3).number(*number),
            Some(Value::Float(number)) => self.kind(4).number(number.to_bits().into()),
            Some(Value::Double(number)) => self.kind(5).number(number.to_bits()),
            Some(Value::Decimal(text)) => self.kind(6).text(text.as_bytes()),
            Some(Value::Text(text)) => self.kind(7).text(text.as_bytes()),
            Some(Value::Bytes(content)) => self.kind(8).text(content),
            Some(Value::Labels(labels)) => {
                self.kind(9).number(labels.len() as u64);
                labels.iter().fold(self, |bytes, label| bytes.text(label.as_bytes()))
            }
            Some(Value::Json(text)) => self.kind(10).text(text.as_bytes()),
        };
    }

    fn kind(&mut self, kind: u8) -> &mut OldBytes {
        self.0.push(kind);
        self
    }

    fn number(&mut self, number: u64) -> &mut OldBytes {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn text(&mut self, text: &[u8]) -> &mut OldBytes {
        self.number(text.len() as u64);
        self.0.extend(text);
        self
    }
}
