//! Dead letters as they are on disk: a head with its change, or, where the change is long, each a record of its own.
//!
//! In: dead letters. Out: records, and back. Every value comes back exactly: floats bit for bit, absent apart from null.
//! Records are written in the form of `packed`; those of earlier formats, in the form of `text`, are read too.

use std::fmt::Display;

use super::chunks::{self, Damage, Framed};
use super::dead_letters::{DeadLetterHead, LetterFacts};
use super::former_words;
use crate::change::Change;
use crate::failure::Reason;
use crate::ordering::Declared;
use crate::position::Tag;

mod packed;
mod text;

/// A change of at most so many bytes is stored with its head. An entry of its own costs sled more than a short change, in memory and on
/// disk; and lists and groups, which need heads only, read what is stored with them.
pub(super) const CHANGE_WITHIN_BYTES_MAX: usize = 1024;

/// What the record of a head contains.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeadRecord {
    pub head: DeadLetterHead,
    /// The encoded change; empty if it has a record of its own, as in formats up to 7.
    pub change: Vec<u8>,
}

pub(super) fn encode_head(record: &HeadRecord) -> Framed {
    Framed::new(|bytes| {
        packed::pack_head(&record.head, bytes);
        bytes.extend_from_slice(&record.change);
    })
}

pub(super) fn decode_head(number: u64, content: &[u8]) -> Result<HeadRecord, Damage> {
    match is_packed(content) {
        true => packed::head(number, content),
        false => text::head(number, content).map(|head| HeadRecord { head, change: Vec::new() }),
    }
}

/// What conditions need of a head.
pub(super) fn facts(number: u64, content: &[u8]) -> Result<LetterFacts<'_>, Damage> {
    match is_packed(content) {
        true => packed::facts(number, content),
        false => text::facts(number, content),
    }
}

pub(super) fn encode_change(change: &Change) -> Framed {
    Framed::new(|bytes| packed::pack_change(change, bytes))
}

pub(super) fn decode_change(content: &[u8]) -> Result<Change, Damage> {
    match is_packed(content) {
        true => packed::change(content),
        false => text::change(content),
    }
}

fn is_packed(content: &[u8]) -> bool {
    content.first() == Some(&packed::MARK)
}

fn reason(word: &str) -> Result<Reason, Damage> {
    former_words::reason(word).ok_or_else(|| Damage::unknown("reason", word))
}

fn declared(word: &str) -> Result<Declared, Damage> {
    Declared::parse(word).ok_or_else(|| Damage::unknown("type of a key's column", word))
}

/// An empty text is no tag.
fn tag(text: &str) -> Result<Tag, Damage> {
    if text.is_empty() { Ok(Tag::default()) } else { Tag::parse(text).map_err(damaged) }
}

fn damaged(error: impl Display) -> Damage {
    Damage::Content(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::super::dead_letters::{LetterEdit, LetterFailure, Resolved};
    use super::*;
    use crate::change::{Cell, DeliveryId, Op, Row, Table, Transaction, Value};
    use crate::failure::{Answer, Attempt, Attempts};
    use crate::ordering::{DefinitionId, KeyColumn, KeyDefinition, LaneKey, LaneKeys, MoreKeys, OrderedBy};
    use crate::position::Gtid;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn any_text() -> impl Strategy<Value = Box<str>> {
        ".{0,12}".prop_map(Box::from)
    }

    fn any_cell() -> impl Strategy<Value = Cell> {
        let value = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            any::<u64>().prop_map(Value::Uint),
            any::<f32>().prop_map(Value::Float),
            any::<f64>().prop_map(Value::Double),
            any_text().prop_map(Value::Decimal),
            any_text().prop_map(Value::Text),
            vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
            vec(any_text(), 0..4).prop_map(|labels| Value::Labels(labels.into())),
            any_text().prop_map(Value::Json),
        ];
        prop_oneof![1 => Just(Cell::Absent), 9 => value.prop_map(Cell::Value)]
    }

    fn any_row() -> impl Strategy<Value = Option<Row>> {
        proptest::option::of(vec(any_cell(), 0..8).prop_map(Row::from_iter))
    }

    fn any_gtid() -> impl Strategy<Value = Option<Gtid>> {
        let tag = prop_oneof![Just(Tag::default()), Just(Tag::parse("daily").expect("a tag"))];
        proptest::option::of((any::<u128>(), tag, any::<u64>()).prop_map(|(uuid, tag, number)| Gtid {
            uuid: Uuid::from_u128(uuid),
            tag,
            number,
        }))
    }

    prop_compose! {
        fn any_change()(
            op in prop::sample::select(Op::ALL.to_vec()),
            (schema, name) in (any_text(), any_text()),
            columns in vec(any_text(), 0..5),
            primary_key in vec(any::<usize>(), 0..3),
            (before, after) in (any_row(), any_row()),
            gtid in any_gtid(),
            (server_uuid, file, offset, committed_at_us, original_commit_us, is_own, ordinal)
                in (any::<u128>(), any_text(), any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>(), any::<u64>()),
        ) -> Change {
            let server_uuid = Uuid::from_u128(server_uuid);
            Change {
                op,
                table: Arc::new(Table { schema, name, columns, primary_key }),
                before,
                after,
                transaction: Arc::new(Transaction {
                    server_uuid, gtid, file: file.into(), offset, committed_at_us, original_commit_us, is_own
                }),
                ordinal,
            }
        }
    }

    fn any_attempt() -> impl Strategy<Value = Attempt> {
        let answer = prop_oneof![
            (any::<u16>(), ".{0,9}").prop_map(|(status, excerpt)| Answer::Status { status, excerpt }),
            any::<u64>().prop_map(|rows| Answer::Written { rows }),
            ".{0,9}".prop_map(|error| Answer::Failed { error }),
        ];
        (any::<u64>(), any::<u64>(), answer).prop_map(|(started_at_us, duration_us, answer)| Attempt {
            started_at_us,
            duration_us,
            answer,
        })
    }

    fn any_lanes() -> impl Strategy<Value = LaneKeys> {
        let own = prop_oneof![
            Just(LaneKeys::none()),
            any::<u64>().prop_map(|key| LaneKeys::one(LaneKey(key))),
            any::<(u64, u64)>().prop_map(|(old, new)| LaneKeys::two(LaneKey(old), LaneKey(new))),
        ];
        let behind = vec(any::<(u64, u64)>(), 0..2);
        (own, behind, proptest::option::of(any_definition())).prop_map(|(own, behind, made_under)| {
            let id = |(table, definition)| DefinitionId { table, definition: LaneKey(definition) };
            let definitions = behind.into_iter().map(id).collect();
            own.with(MoreKeys { keys: Vec::new(), definitions, made_under: made_under.map(Arc::new) })
        })
    }

    /// Some are of the letter's own rule and table.
    fn any_definition() -> impl Strategy<Value = KeyDefinition> {
        let declared = prop::sample::select(vec![
            Declared::Unknown,
            Declared::Int,
            Declared::Bit,
            Declared::Year,
            Declared::Decimal { scale: 30 },
            Declared::Float,
            Declared::Double,
            Declared::Date,
            Declared::Time { digits: 6 },
            Declared::DateTime { digits: 3 },
            Declared::Timestamp { digits: 0 },
            Declared::Text,
            Declared::Bytes,
            Declared::Enum,
            Declared::Set,
            Declared::Other,
        ]);
        let column = (any_text(), declared).prop_map(|(name, declared)| KeyColumn { name, declared });
        let by = prop_oneof![
            (vec(column, 1..3), vec(any_text(), 0..4)).prop_map(|(key, all)| OrderedBy::Columns { key, all }),
            Just(OrderedBy::Table),
            Just(OrderedBy::Unknown),
        ];
        let name = || prop::sample::select(vec!["shop", "a.b", ""]);
        (name(), name(), name(), by).prop_map(|(rule, schema, table, by)| KeyDefinition::new(rule, schema, table, by))
    }

    /// Its own, or another one's.
    fn any_name() -> impl Strategy<Value = Box<str>> {
        prop_oneof![any_text(), prop::sample::select(vec!["shop", "shop.shop", "a.b.shop", "."]).prop_map(Box::from)]
    }

    prop_compose! {
        fn any_head()(
            (number, delivery_id, created_at_us) in (any::<u64>(), any::<u128>(), any::<u64>()),
            (rule, table, message) in (any_name(), any_name(), ".{0,9}"),
            attempts in vec(any_attempt(), 0..4),
            left_out in 0..9u64,
            reason in prop::sample::select(Reason::ALL.to_vec()),
            (replays, replayed_at_us) in (any::<u32>(), any::<Option<u64>>()),
            (lanes, op) in (any_lanes(), prop::sample::select(Op::ALL.to_vec())),
            redacted in vec(any_text(), 0..3),
            resolved in any::<Option<u64>>(),
            edit in any::<Option<(u32, u64, bool)>>(),
        ) -> DeadLetterHead {
            DeadLetterHead {
                number,
                delivery_id: DeliveryId(Uuid::from_u128(delivery_id)),
                rule,
                op,
                table,
                failure: LetterFailure { reason, message, attempts: Attempts::new(attempts.clone(), attempts.len() as u64 + left_out) },
                created_at_us,
                replays,
                replayed_at_us,
                lanes,
                redacted,
                resolved: resolved.map(|at_us| Resolved { note: "a note".into(), at_us }),
                edit: edit.map(|(number, at_us, is_reverted)| LetterEdit { number, at_us, is_reverted }),
            }
        }
    }

    proptest! {
        #[test]
        fn every_change_reads_back_exactly(change in any_change()) {
            let content = encode_change(&change).read_back();
            let read = decode_change(&content).expect("readable");
            // Debug text tells -0 from 0, which == does not.
            prop_assert_eq!(format!("{:?}", &read), format!("{:?}", &change));
            prop_assert_eq!(read, change);
        }

        #[test]
        fn every_head_reads_back_exactly((head, change) in (any_head(), proptest::option::of(any_change()))) {
            let change = change.map(|change| encode_change(&change).content().to_vec()).unwrap_or_default();
            let record = HeadRecord { head, change };
            let content = encode_head(&record).read_back();
            let facts = facts(record.head.number, &content).expect("readable");
            prop_assert_eq!(facts, record.head.facts());
            prop_assert_eq!(decode_head(record.head.number, &content), Ok(record));
        }
    }

    /// Stores written by earlier releases contain this text: it must stay readable.
    #[test]
    fn the_format_of_version_1_is_still_read() {
        let text = r#"{"op":"update","schema":"shop","table":"orders","columns":["id","f"],"primary_key":[0],
            "before":[{"int":-1},"absent"],"after":[{"uint":18446744073709551615},{"bytes":"AP8="}],"ordinal":1,
            "transaction":{"server_uuid":"3e11fa47-71ca-11e1-9e33-c80aa9429562","gtid":null,"file":"binlog.000001",
            "offset":4,"committed_at_us":5}}"#;
        let change = decode_change(text.as_bytes()).expect("readable");
        assert_eq!(change.before, Some(Row::from_iter([Cell::Value(Value::Int(-1)), Cell::Absent])));
        let after = [Cell::Value(Value::Uint(u64::MAX)), Cell::Value(Value::Bytes([0, 255].into()))];
        assert_eq!(change.after, Some(Row::from_iter(after)));
        let head = r#"{"delivery_id":"3e11fa47-71ca-11e1-9e33-c80aa9429562","rule":"r","op":"insert","table":"a.b",
            "reason":"exhausted","message":"m","attempts":[{"started_at_us":1,"duration_us":2,"answer":{"status":
            {"status":503,"excerpt":"busy"}}},{"started_at_us":3,"duration_us":4,"answer":{"failed":{"error":"e"}}}],
            "created_at_us":5,"replays":1,"replayed_at_us":6}"#;
        let read = decode_head(1, head.as_bytes()).expect("readable").head;
        assert_eq!(read.failure.attempts.total(), 2);
        assert_eq!(facts(1, head.as_bytes()), Ok(read.facts()));
    }

    /// The same of formats 4 to 6, with all that they added.
    #[test]
    fn the_text_of_format_6_is_still_read() {
        let text = r#"{"delivery_id":"3e11fa47-71ca-11e1-9e33-c80aa9429562","rule":"r","op":"delete","table":"s.t","reason":"held",
            "message":"m","attempts":[{"started_at_us":1,"duration_us":2,"answer":{"written":{"rows":3}}}],"attempts_total":9,
            "created_at_us":5,"replays":0,"replayed_at_us":null,"lanes":["00000000000000ff","ffffffffffffffff"],
            "behind":[["0000000000000001","0000000000000002"]],"key":{"rule":"r","schema":"s","table":"t","by":{"columns":
            {"key":[["id","int"]],"all":["id","v"]}}},"redacted":["v"],"resolved":{"note":"by hand","at_us":7},
            "edit":{"number":2,"at_us":8,"reverted":true}}"#;
        let record = decode_head(4, text.as_bytes()).expect("readable");
        let read = &record.head;
        let key = vec![KeyColumn { name: "id".into(), declared: Declared::Int }];
        let by = OrderedBy::Columns { key, all: vec!["id".into(), "v".into()] };
        let more = MoreKeys {
            keys: Vec::new(),
            definitions: vec![DefinitionId { table: 1, definition: LaneKey(2) }],
            made_under: Some(Arc::new(KeyDefinition::new("r", "s", "t", by))),
        };
        assert_eq!(read.lanes, LaneKeys::two(LaneKey(0xff), LaneKey(u64::MAX)).with(more));
        assert_eq!((read.failure.reason, read.failure.attempts.total(), read.op), (Reason::Blocked, 9, Op::Delete));
        assert_eq!((read.redacted.len(), read.resolved.as_ref().map(|resolved| resolved.at_us)), (1, Some(7)));
        assert_eq!(read.edit, Some(LetterEdit { number: 2, at_us: 8, is_reverted: true }));
        assert_eq!(decode_head(4, &encode_head(&record).read_back()), Ok(record));
    }
}
