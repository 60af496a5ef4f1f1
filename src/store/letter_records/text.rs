//! The form of dead letters' records up to format 6, as JSON, which is only read.
//!
//! In: JSON. Out: what it says: floats are the shortest decimal text that reads back the same, bytes are base64, absent is apart from
//! null. These types are the format; names in them never change.

use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use uuid::Uuid;

use super::{Damage, chunks, damaged, declared, reason, tag};
use crate::change::{Cell, Change, DeliveryId, Op, Row, Table, Transaction, Value};
use crate::failure::{Answer, Attempt, Attempts};
use crate::ordering::{DefinitionId, KeyColumn, KeyDefinition, LaneKey, LaneKeys, OrderedBy};
use crate::position::Gtid;
use crate::store::dead_letters::{DeadLetterHead, LetterEdit, LetterFacts, LetterFailure, Resolved};

#[derive(Deserialize)]
struct HeadRecord {
    delivery_id: Box<str>,
    rule: Box<str>,
    op: Box<str>,
    table: Box<str>,
    reason: Box<str>,
    message: Box<str>,
    attempts: Vec<AttemptRecord>,
    /// How many were made, where not all are kept; earlier releases kept all.
    #[serde(default)]
    attempts_total: Option<u64>,
    created_at_us: u64,
    replays: u32,
    replayed_at_us: Option<u64>,
    /// Ordering keys in hexadecimal digits. An earlier version, which blocks no keys, leaves them out.
    #[serde(default)]
    lanes: Vec<Box<str>>,
    /// The key definitions that it waits for, as `lanes`: the table's and the definition's own.
    #[serde(default)]
    behind: Vec<(Box<str>, Box<str>)>,
    /// What its own key is made by; format 3 and earlier leave it out.
    #[serde(default)]
    key: Option<DefinitionRecord>,
    #[serde(default)]
    redacted: Vec<Box<str>>,
    #[serde(default)]
    resolved: Option<ResolvedRecord>,
    #[serde(default)]
    edit: Option<EditRecord>,
}

#[derive(Deserialize)]
struct DefinitionRecord {
    rule: Box<str>,
    schema: Box<str>,
    table: Box<str>,
    by: OrderedByRecord,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OrderedByRecord {
    /// Names and types of the key's columns, and the names of all of the table's.
    Columns {
        key: Vec<(Box<str>, Box<str>)>,
        all: Vec<Box<str>>,
    },
    Table,
    Unknown,
}

#[derive(Deserialize)]
struct ResolvedRecord {
    note: Box<str>,
    at_us: u64,
}

#[derive(Deserialize)]
struct EditRecord {
    number: u32,
    at_us: u64,
    #[serde(default)]
    reverted: bool,
}

#[derive(Deserialize)]
struct AttemptRecord {
    started_at_us: u64,
    duration_us: u64,
    answer: AnswerRecord,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerRecord {
    Status { status: u16, excerpt: Box<str> },
    Written { rows: u64 },
    Failed { error: Box<str> },
}

#[derive(Deserialize)]
struct ChangeRecord {
    op: Box<str>,
    schema: Box<str>,
    table: Box<str>,
    columns: Vec<Box<str>>,
    primary_key: Vec<usize>,
    before: Option<Vec<CellRecord>>,
    after: Option<Vec<CellRecord>>,
    ordinal: u64,
    transaction: TransactionRecord,
}

#[derive(Deserialize)]
struct TransactionRecord {
    server_uuid: Box<str>,
    gtid: Option<GtidRecord>,
    file: Box<str>,
    offset: u64,
    committed_at_us: u64,
    /// Dead letters of format 3 and before have none.
    #[serde(default)]
    original_commit_us: u64,
    #[serde(default)]
    own: bool,
}

#[derive(Deserialize)]
struct GtidRecord {
    uuid: Box<str>,
    tag: Box<str>,
    number: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CellRecord {
    Absent,
    Null,
    Int(i64),
    Uint(u64),
    /// Rust prints the shortest text that reads back as the same float; JSON has no word for infinity.
    Float(Box<str>),
    Double(Box<str>),
    Decimal(Box<str>),
    Text(Box<str>),
    /// Base64.
    Bytes(Box<str>),
    Labels(Vec<Box<str>>),
    Json(Box<str>),
}

pub(super) fn head(number: u64, content: &[u8]) -> Result<DeadLetterHead, Damage> {
    let record: HeadRecord = chunks::decode(content)?;
    let attempts: Vec<Attempt> = record.attempts.into_iter().map(attempt).collect();
    let attempts_total = record.attempts_total.unwrap_or(attempts.len() as u64);
    Ok(DeadLetterHead {
        number,
        delivery_id: DeliveryId(parse_uuid(&record.delivery_id)?),
        rule: record.rule,
        op: parse_op(&record.op)?,
        table: record.table,
        failure: LetterFailure {
            reason: reason(&record.reason)?,
            message: record.message.into(),
            attempts: Attempts::new(attempts, attempts_total),
        },
        created_at_us: record.created_at_us,
        replays: record.replays,
        replayed_at_us: record.replayed_at_us,
        lanes: lanes(&record.lanes, &record.behind, record.key)?,
        redacted: record.redacted,
        resolved: record.resolved.map(|resolved| Resolved { note: resolved.note, at_us: resolved.at_us }),
        edit: record.edit.map(|edit| LetterEdit { number: edit.number, at_us: edit.at_us, is_reverted: edit.reverted }),
    })
}

/// What conditions need of a head.
pub(super) fn facts(number: u64, content: &[u8]) -> Result<LetterFacts<'static>, Damage> {
    Ok(head(number, content)?.facts().into_owned())
}

fn lanes(
    keys: &[Box<str>],
    behind: &[(Box<str>, Box<str>)],
    made_under: Option<DefinitionRecord>,
) -> Result<LaneKeys, Damage> {
    let key = |text: &str| u64::from_str_radix(text, 16).map(LaneKey).map_err(damaged);
    let id = |(table, definition): &(Box<str>, Box<str>)| {
        let LaneKey(table) = key(table)?;
        Ok::<_, Damage>(DefinitionId { table, definition: key(definition)? })
    };
    let keys = keys.iter().map(|text| key(text)).collect::<Result<_, _>>()?;
    let behind = behind.iter().map(id).collect::<Result<_, _>>()?;
    Ok(LaneKeys::stored(keys, behind, made_under.map(definition).transpose()?.map(Arc::new)))
}

fn definition(record: DefinitionRecord) -> Result<KeyDefinition, Damage> {
    let column = |(name, word): (Box<str>, Box<str>)| Ok::<_, Damage>(KeyColumn { name, declared: declared(&word)? });
    let by = match record.by {
        OrderedByRecord::Columns { key, all } => {
            OrderedBy::Columns { key: key.into_iter().map(column).collect::<Result<_, _>>()?, all }
        }
        OrderedByRecord::Table => OrderedBy::Table,
        OrderedByRecord::Unknown => OrderedBy::Unknown,
    };
    Ok(KeyDefinition::new(&record.rule, &record.schema, &record.table, by))
}

fn attempt(record: AttemptRecord) -> Attempt {
    Attempt {
        started_at_us: record.started_at_us,
        duration_us: record.duration_us,
        answer: match record.answer {
            AnswerRecord::Status { status, excerpt } => Answer::Status { status, excerpt: excerpt.into() },
            AnswerRecord::Written { rows } => Answer::Written { rows },
            AnswerRecord::Failed { error } => Answer::Failed { error: error.into() },
        },
    }
}

pub(super) fn change(content: &[u8]) -> Result<Change, Damage> {
    let record: ChangeRecord = chunks::decode(content)?;
    Ok(Change {
        op: parse_op(&record.op)?,
        table: Arc::new(Table {
            schema: record.schema,
            name: record.table,
            columns: record.columns,
            primary_key: record.primary_key,
        }),
        before: record.before.map(row).transpose()?,
        after: record.after.map(row).transpose()?,
        ordinal: record.ordinal,
        transaction: Arc::new(Transaction {
            server_uuid: parse_uuid(&record.transaction.server_uuid)?,
            gtid: record.transaction.gtid.map(gtid).transpose()?,
            file: record.transaction.file.into(),
            offset: record.transaction.offset,
            committed_at_us: record.transaction.committed_at_us,
            original_commit_us: record.transaction.original_commit_us,
            is_own: record.transaction.own,
        }),
    })
}

fn gtid(record: GtidRecord) -> Result<Gtid, Damage> {
    Ok(Gtid { uuid: parse_uuid(&record.uuid)?, tag: tag(&record.tag)?, number: record.number })
}

fn row(record: Vec<CellRecord>) -> Result<Row, Damage> {
    record.into_iter().map(cell).collect::<Result<Row, Damage>>()
}

fn cell(record: CellRecord) -> Result<Cell, Damage> {
    Ok(Cell::Value(match record {
        CellRecord::Absent => return Ok(Cell::Absent),
        CellRecord::Null => Value::Null,
        CellRecord::Int(number) => Value::Int(number),
        CellRecord::Uint(number) => Value::Uint(number),
        CellRecord::Float(text) => Value::Float(parse_float(&text)?),
        CellRecord::Double(text) => Value::Double(parse_float(&text)?),
        CellRecord::Decimal(text) => Value::Decimal(text),
        CellRecord::Text(text) => Value::Text(text),
        CellRecord::Bytes(text) => Value::Bytes(BASE64.decode(&*text).map_err(damaged)?.into()),
        CellRecord::Labels(labels) => Value::Labels(labels.into()),
        CellRecord::Json(text) => Value::Json(text),
    }))
}

fn parse_float<F: FromStr<Err = std::num::ParseFloatError>>(text: &str) -> Result<F, Damage> {
    text.parse().map_err(damaged)
}

fn parse_op(text: &str) -> Result<Op, Damage> {
    Op::parse(text).ok_or_else(|| Damage::unknown("op", text))
}

fn parse_uuid(text: &str) -> Result<Uuid, Damage> {
    Uuid::try_parse(text).map_err(damaged)
}
