//! The form of dead letters' records: as short as it can be, and quick to read.
//!
//! In: heads and changes. Out: bytes, and back, exactly. Written by postcard: numbers have as many bytes as they need, names of
//! fields are not written, so the order of fields and variants never changes. What a letter says twice is written once, and times are
//! differences. A later form gets another first byte.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Damage, HeadRecord, damaged, declared, reason, tag};
use crate::change::{Cell, Change, DeliveryId, Op, Row, Table, Transaction, Value};
use crate::failure::{Answer, Attempt, Attempts};
use crate::ordering::{DefinitionId, KeyColumn, KeyDefinition, LaneKey, LaneKeys, OrderedBy};
use crate::position::Gtid;
use crate::store::dead_letters::{DeadLetterHead, LetterEdit, LetterFacts, LetterFailure, Resolved};

/// The first byte of a record of this form; JSON begins with a brace.
pub(super) const MARK: u8 = 1;

/// A number of 64 bits that is a hash: it is as short as it can be with all its bytes.
type HashBytes = [u8; 8];

#[derive(Serialize, Deserialize)]
struct PackedHead<'a> {
    delivery_id: [u8; 16],
    rule: &'a str,
    op: PackedOp,
    table: &'a str,
    reason: &'a str,
    message: &'a str,
    created_at_us: u64,
    #[serde(borrow)]
    attempts: Vec<PackedAttempt<'a>>,
    /// How many were made and are not kept.
    attempts_left_out: u64,
    replays: u32,
    replayed_at_us: Option<u64>,
    lanes: Vec<HashBytes>,
    /// The key definitions that it waits for: the table's and the definition's own.
    behind: Vec<(HashBytes, HashBytes)>,
    key: Option<PackedDefinition<'a>>,
    redacted: Vec<&'a str>,
    resolved: Option<(&'a str, u64)>,
    /// Number, time, and whether it was reverted.
    edit: Option<(u32, u64, bool)>,
}

#[derive(Serialize, Deserialize)]
enum PackedOp {
    Insert,
    Update,
    Delete,
    Read,
    Truncate,
}

#[derive(Serialize, Deserialize)]
struct PackedAttempt<'a> {
    /// From the moment when the dead letter was made, in microseconds.
    started_us: i64,
    duration_us: u64,
    #[serde(borrow)]
    answer: PackedAnswer<'a>,
}

#[derive(Serialize, Deserialize)]
enum PackedAnswer<'a> {
    Status(u16, &'a str),
    Written(u64),
    Failed(&'a str),
}

#[derive(Serialize, Deserialize)]
struct PackedDefinition<'a> {
    /// Rule, schema and table, where they are not the letter's own.
    of: Option<(&'a str, &'a str, &'a str)>,
    #[serde(borrow)]
    by: PackedOrderedBy<'a>,
}

#[derive(Serialize, Deserialize)]
enum PackedOrderedBy<'a> {
    Columns {
        /// Names and types.
        #[serde(borrow)]
        key: Vec<(&'a str, Cow<'a, str>)>,
        all: Vec<&'a str>,
    },
    Table,
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct PackedChange<'a> {
    op: PackedOp,
    schema: &'a str,
    table: &'a str,
    columns: Vec<&'a str>,
    primary_key: Vec<u64>,
    #[serde(borrow)]
    before: Option<Vec<PackedCell<'a>>>,
    #[serde(borrow)]
    after: Option<Vec<PackedCell<'a>>>,
    ordinal: u64,
    server_uuid: [u8; 16],
    #[serde(borrow)]
    gtid: Option<PackedGtid<'a>>,
    file: &'a str,
    offset: u64,
    committed_at_us: u64,
    /// From the time of the commit, in microseconds.
    original_commit_us: i64,
    is_own: bool,
}

#[derive(Serialize, Deserialize)]
struct PackedGtid<'a> {
    /// Where it is not the server's.
    uuid: Option<[u8; 16]>,
    tag: &'a str,
    number: u64,
}

#[derive(Serialize, Deserialize)]
enum PackedCell<'a> {
    Absent,
    Null,
    Int(i64),
    Uint(u64),
    Float(f32),
    Double(f64),
    Decimal(&'a str),
    Text(&'a str),
    Bytes(&'a [u8]),
    Labels(Vec<&'a str>),
    Json(&'a str),
}

pub(super) fn pack_head(head: &DeadLetterHead, bytes: &mut Vec<u8>) {
    let (attempts, lanes) = (&head.failure.attempts, &head.lanes);
    let behind = |id: &DefinitionId| (id.table.to_be_bytes(), id.definition.0.to_be_bytes());
    pack(
        bytes,
        &PackedHead {
            delivery_id: head.delivery_id.0.into_bytes(),
            rule: &head.rule,
            op: pack_op(head.op),
            table: &head.table,
            reason: head.failure.reason.as_str(),
            message: &head.failure.message,
            created_at_us: head.created_at_us,
            attempts: attempts.kept().iter().map(|attempt| pack_attempt(attempt, head.created_at_us)).collect(),
            attempts_left_out: attempts.total().saturating_sub(attempts.kept().len() as u64),
            replays: head.replays,
            replayed_at_us: head.replayed_at_us,
            lanes: lanes.iter().map(|LaneKey(key)| key.to_be_bytes()).collect(),
            behind: lanes.definitions().iter().map(behind).collect(),
            key: lanes.made_under().map(|definition| pack_definition(head, definition)),
            redacted: head.redacted.iter().map(|column| &**column).collect(),
            resolved: head.resolved.as_ref().map(|resolved| (&*resolved.note, resolved.at_us)),
            edit: head.edit.as_ref().map(|edit| (edit.number, edit.at_us, edit.is_reverted)),
        },
    );
}

/// The change follows the head.
pub(super) fn head(number: u64, content: &[u8]) -> Result<HeadRecord, Damage> {
    let (packed, change): (PackedHead, _) = unpack(content)?;
    let made_at_us = packed.created_at_us;
    let attempts: Vec<Attempt> = packed.attempts.into_iter().map(|packed| attempt(packed, made_at_us)).collect();
    let attempts_total = packed.attempts_left_out.saturating_add(attempts.len() as u64);
    let hash = |bytes: HashBytes| LaneKey(u64::from_be_bytes(bytes));
    let behind = |(table, definition)| DefinitionId { table: u64::from_be_bytes(table), definition: hash(definition) };
    let made_under = packed.key.map(|packed_key| definition(packed_key, packed.rule, packed.table)).transpose()?;
    let head = DeadLetterHead {
        number,
        delivery_id: DeliveryId(Uuid::from_bytes(packed.delivery_id)),
        rule: packed.rule.into(),
        op: op(&packed.op),
        table: packed.table.into(),
        failure: LetterFailure {
            reason: reason(packed.reason)?,
            message: packed.message.into(),
            attempts: Attempts::new(attempts, attempts_total),
        },
        created_at_us: made_at_us,
        replays: packed.replays,
        replayed_at_us: packed.replayed_at_us,
        lanes: LaneKeys::stored(
            packed.lanes.into_iter().map(hash).collect(),
            packed.behind.into_iter().map(behind).collect(),
            made_under.map(Arc::new),
        ),
        redacted: packed.redacted.into_iter().map(Box::from).collect(),
        resolved: packed.resolved.map(|(note, at_us)| Resolved { note: note.into(), at_us }),
        edit: packed.edit.map(|(number, at_us, is_reverted)| LetterEdit { number, at_us, is_reverted }),
    };
    Ok(HeadRecord { head, change: change.to_vec() })
}

/// What conditions need of a head; nothing is copied.
pub(super) fn facts(number: u64, content: &[u8]) -> Result<LetterFacts<'_>, Damage> {
    let (mut packed, _): (PackedHead, _) = unpack(content)?;
    let (status, error) = match packed.attempts.pop().map(|attempt| attempt.answer) {
        Some(PackedAnswer::Status(status, _)) => (Some(status), None),
        Some(PackedAnswer::Failed(error)) => (None, Some(error.into())),
        Some(PackedAnswer::Written(_)) | None => (None, None),
    };
    Ok(LetterFacts {
        number,
        rule: packed.rule.into(),
        op: op(&packed.op).as_str().into(),
        table: packed.table.into(),
        reason: reason(packed.reason)?,
        message: packed.message.into(),
        status,
        error,
        created_at_us: packed.created_at_us,
        is_resolved: packed.resolved.is_some(),
    })
}

pub(super) fn pack_change(change: &Change, bytes: &mut Vec<u8>) {
    let (table, transaction) = (&change.table, &change.transaction);
    let cells = |row: &Row| row.cells().into_iter().collect::<Vec<Cell>>();
    let (before, after) = (change.before.as_ref().map(cells), change.after.as_ref().map(cells));
    pack(
        bytes,
        &PackedChange {
            op: pack_op(change.op),
            schema: &table.schema,
            table: &table.name,
            columns: table.columns.iter().map(|column| &**column).collect(),
            primary_key: table.primary_key.iter().map(|index| *index as u64).collect(),
            before: before.as_deref().map(pack_row),
            after: after.as_deref().map(pack_row),
            ordinal: change.ordinal,
            server_uuid: transaction.server_uuid.into_bytes(),
            gtid: transaction.gtid.as_ref().map(|gtid| pack_gtid(gtid, transaction.server_uuid)),
            file: &transaction.file,
            offset: transaction.offset,
            committed_at_us: transaction.committed_at_us,
            original_commit_us: transaction.original_commit_us.wrapping_sub(transaction.committed_at_us).cast_signed(),
            is_own: transaction.is_own,
        },
    );
}

pub(super) fn change(content: &[u8]) -> Result<Change, Damage> {
    let packed: PackedChange = match unpack(content)? {
        (packed, []) => packed,
        (_, rest) => return Err(Damage::Content(format!("{} bytes are left at its end", rest.len()))),
    };
    let index = |index: u64| usize::try_from(index).map_err(damaged);
    let row = |cells: Vec<PackedCell>| cells.into_iter().map(cell).collect::<Row>();
    let gtid = |gtid: PackedGtid| {
        let uuid = gtid.uuid.unwrap_or(packed.server_uuid);
        Ok::<_, Damage>(Gtid { uuid: Uuid::from_bytes(uuid), tag: tag(gtid.tag)?, number: gtid.number })
    };
    Ok(Change {
        op: op(&packed.op),
        table: Arc::new(Table {
            schema: packed.schema.into(),
            name: packed.table.into(),
            columns: packed.columns.into_iter().map(Box::from).collect(),
            primary_key: packed.primary_key.into_iter().map(index).collect::<Result<_, _>>()?,
        }),
        before: packed.before.map(row),
        after: packed.after.map(row),
        ordinal: packed.ordinal,
        transaction: Arc::new(Transaction {
            server_uuid: Uuid::from_bytes(packed.server_uuid),
            gtid: packed.gtid.map(gtid).transpose()?,
            file: packed.file.into(),
            offset: packed.offset,
            committed_at_us: packed.committed_at_us,
            original_commit_us: packed.committed_at_us.wrapping_add_signed(packed.original_commit_us),
            is_own: packed.is_own,
        }),
    })
}

fn pack(bytes: &mut Vec<u8>, packed: &impl Serialize) {
    bytes.push(MARK);
    let begun = std::mem::take(bytes);
    *bytes = postcard::to_extend(packed, begun).expect("a vector takes all, and no part of a record fails");
}

/// And what follows it.
fn unpack<'a, T: Deserialize<'a>>(content: &'a [u8]) -> Result<(T, &'a [u8]), Damage> {
    let (_, packed) = content.split_first().ok_or_else(|| Damage::Content("it is empty".into()))?;
    postcard::take_from_bytes(packed).map_err(damaged)
}

fn pack_op(op: Op) -> PackedOp {
    match op {
        Op::Insert => PackedOp::Insert,
        Op::Update => PackedOp::Update,
        Op::Delete => PackedOp::Delete,
        Op::Read => PackedOp::Read,
        Op::Truncate => PackedOp::Truncate,
    }
}

fn op(packed: &PackedOp) -> Op {
    match packed {
        PackedOp::Insert => Op::Insert,
        PackedOp::Update => Op::Update,
        PackedOp::Delete => Op::Delete,
        PackedOp::Read => Op::Read,
        PackedOp::Truncate => Op::Truncate,
    }
}

fn pack_attempt(attempt: &Attempt, made_at_us: u64) -> PackedAttempt<'_> {
    PackedAttempt {
        started_us: attempt.started_at_us.wrapping_sub(made_at_us).cast_signed(),
        duration_us: attempt.duration_us,
        answer: pack_answer(&attempt.answer),
    }
}

fn pack_answer(answer: &Answer) -> PackedAnswer<'_> {
    match answer {
        Answer::Status { status, excerpt } => PackedAnswer::Status(*status, excerpt),
        Answer::Written { rows } => PackedAnswer::Written(*rows),
        Answer::Failed { error } => PackedAnswer::Failed(error),
    }
}

fn attempt(packed: PackedAttempt, made_at_us: u64) -> Attempt {
    Attempt {
        started_at_us: made_at_us.wrapping_add_signed(packed.started_us),
        duration_us: packed.duration_us,
        answer: match packed.answer {
            PackedAnswer::Status(status, excerpt) => Answer::Status { status, excerpt: excerpt.into() },
            PackedAnswer::Written(rows) => Answer::Written { rows },
            PackedAnswer::Failed(error) => Answer::Failed { error: error.into() },
        },
    }
}

fn pack_definition<'a>(head: &DeadLetterHead, definition: &'a KeyDefinition) -> PackedDefinition<'a> {
    let KeyDefinition { rule, schema, table, by, .. } = definition;
    let is_own = *rule == head.rule && own_place(&head.table) == Some((schema, table));
    PackedDefinition {
        of: (!is_own).then_some((rule, schema, table)),
        by: match by {
            OrderedBy::Columns { key, all } => PackedOrderedBy::Columns {
                key: key.iter().map(|column| (&*column.name, column.declared.to_text().into())).collect(),
                all: all.iter().map(|name| &**name).collect(),
            },
            OrderedBy::Table => PackedOrderedBy::Table,
            OrderedBy::Unknown => PackedOrderedBy::Unknown,
        },
    }
}

/// Schema and table of a letter, where a point can only be the one between them.
fn own_place(table: &str) -> Option<(&str, &str)> {
    table.split_once('.').filter(|(_, name)| !name.contains('.'))
}

fn definition(packed: PackedDefinition, rule: &str, table: &str) -> Result<KeyDefinition, Damage> {
    let own = || own_place(table).map(|(schema, table)| (rule, schema, table));
    let of = packed.of.or_else(own);
    let (rule, schema, table) = of.ok_or_else(|| Damage::Content(format!("`{table}` names no schema and table")))?;
    let column =
        |(name, word): (&str, Cow<str>)| Ok::<_, Damage>(KeyColumn { name: name.into(), declared: declared(&word)? });
    let by = match packed.by {
        PackedOrderedBy::Columns { key, all } => OrderedBy::Columns {
            key: key.into_iter().map(column).collect::<Result<_, _>>()?,
            all: all.into_iter().map(Box::from).collect(),
        },
        PackedOrderedBy::Table => OrderedBy::Table,
        PackedOrderedBy::Unknown => OrderedBy::Unknown,
    };
    Ok(KeyDefinition::new(rule, schema, table, by))
}

fn pack_gtid(gtid: &Gtid, server_uuid: Uuid) -> PackedGtid<'_> {
    PackedGtid {
        uuid: (gtid.uuid != server_uuid).then(|| gtid.uuid.into_bytes()),
        tag: gtid.tag.as_str(),
        number: gtid.number,
    }
}

fn pack_row(cells: &[Cell]) -> Vec<PackedCell<'_>> {
    cells.iter().map(pack_cell).collect()
}

fn pack_cell(cell: &Cell) -> PackedCell<'_> {
    let Cell::Value(value) = cell else { return PackedCell::Absent };
    match value {
        Value::Null => PackedCell::Null,
        Value::Int(number) => PackedCell::Int(*number),
        Value::Uint(number) => PackedCell::Uint(*number),
        Value::Float(number) => PackedCell::Float(*number),
        Value::Double(number) => PackedCell::Double(*number),
        Value::Decimal(text) => PackedCell::Decimal(text),
        Value::Text(text) => PackedCell::Text(text),
        Value::Bytes(bytes) => PackedCell::Bytes(bytes),
        Value::Labels(labels) => PackedCell::Labels(labels.iter().map(|label| &**label).collect()),
        Value::Json(text) => PackedCell::Json(text),
    }
}

fn cell(packed: PackedCell) -> Cell {
    Cell::Value(match packed {
        PackedCell::Absent => return Cell::Absent,
        PackedCell::Null => Value::Null,
        PackedCell::Int(number) => Value::Int(number),
        PackedCell::Uint(number) => Value::Uint(number),
        PackedCell::Float(number) => Value::Float(number),
        PackedCell::Double(number) => Value::Double(number),
        PackedCell::Decimal(text) => Value::Decimal(text.into()),
        PackedCell::Text(text) => Value::Text(text.into()),
        PackedCell::Bytes(bytes) => Value::Bytes(bytes.into()),
        PackedCell::Labels(labels) => Value::Labels(labels.into_iter().map(Box::from).collect()),
        PackedCell::Json(text) => Value::Json(text.into()),
    })
}
