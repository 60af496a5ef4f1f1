//! What the names in an expression stand for: `row`, `old`, `op`, `schema`, `table`, `key`, `changed`, `event`, `env`; of
//! a saga also those of `saga`.
//!
//! In: a change, the delivery's identity, what was done of it. Out: objects that look a column up when it is asked for; nothing is
//! converted beforehand. An unknown or absent column is an error at once, also under `default`; `is defined` asks for an
//! unknown one.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value};

use super::class::Class;
use super::decimal::Decimal;
use super::document::parse_json;
use super::error::Error;
use super::saga::{AnswerObject, OutcomeObject, StepsObject};
use super::secret::Secret;
use super::{bytes, omit};
use crate::change::{Change, DeliveryId, Op, Value as CellValue, json};
use crate::saga::{KeptAnswer, SagaLog};

/// A change as templates see it.
#[derive(Debug, Clone)]
pub struct Scope {
    change: Arc<Change>,
    id: Id,
    log: Option<Arc<SagaLog>>,
    answer: Option<Arc<KeptAnswer>>,
}

#[derive(Debug, Clone)]
enum Id {
    Known(DeliveryId),
    /// Computed when `event.id` is read, which conditions hardly ever do.
    OfRule(Arc<str>),
}

impl Scope {
    pub fn new(change: &Arc<Change>, id: DeliveryId) -> Scope {
        Scope { change: Arc::clone(change), id: Id::Known(id), log: None, answer: None }
    }

    /// For a condition: the delivery does not exist yet, its id follows from the rule's name.
    pub fn before_delivery(change: &Arc<Change>, rule: &Arc<str>) -> Scope {
        Scope { change: Arc::clone(change), id: Id::OfRule(Arc::clone(rule)), log: None, answer: None }
    }

    /// With `steps` and `outcome`.
    pub fn with_saga(self, log: Arc<SagaLog>) -> Scope {
        Scope { log: Some(log), ..self }
    }

    /// With `answer`: that of a query.
    pub fn with_answer(self, answer: KeptAnswer) -> Scope {
        Scope { answer: Some(Arc::new(answer)), ..self }
    }

    pub(super) fn change(&self) -> &Arc<Change> {
        &self.change
    }

    fn delivery_id(&self) -> DeliveryId {
        match &self.id {
            Id::Known(id) => *id,
            Id::OfRule(rule) => self.change.delivery_id(rule),
        }
    }
}

/// Which row a template reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowSide {
    Row,
    Old,
}

/// The value of one column; `row` falls back to the before image, because a partial after image leaves out what
/// did not change.
pub(super) fn cell(change: &Change, side: RowSide, column: &str) -> Result<CellValue, Error> {
    match change.table.column(column) {
        Some(index) => cell_at(change, side, index),
        None => Err(unknown_column(change, column)),
    }
}

/// As `cell`, for the column at this place of the table.
pub(super) fn cell_at(change: &Change, side: RowSide, index: usize) -> Result<CellValue, Error> {
    let value = match (side, change.old()) {
        (RowSide::Row, _) => change.latest(index),
        (RowSide::Old, Some(old)) => match old.cell(index) {
            crate::change::Cell::Value(value) => Some(value),
            crate::change::Cell::Absent => None,
        },
        (RowSide::Old, None) => {
            return Err(Error::NoOldRow { op: change.op.as_str(), column: column_name(change, index) });
        }
    };
    value.ok_or_else(|| Error::AbsentColumn { table: change.table.to_string(), column: column_name(change, index) })
}

fn column_name(change: &Change, index: usize) -> String {
    change.table.columns.get(index).map(ToString::to_string).unwrap_or_default()
}

pub(super) fn unknown_column(change: &Change, column: &str) -> Error {
    if change.op == Op::Truncate {
        return Error::NoRow { column: column.to_string() };
    }
    Error::UnknownColumn { table: change.table.to_string(), column: column.to_string() }
}

/// A FLOAT by way of its shortest text, so that one of 0.1 equals the literal 0.1.
pub(super) fn double_of(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// The environment variables that one template names.
pub(super) type Env = BTreeMap<Box<str>, Secret>;

/// The root of all names.
#[derive(Debug)]
pub(super) struct Root {
    pub scope: Scope,
    pub env: Arc<Env>,
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let change = self.scope.change();
        let row = |side| Value::from_object(RowObject { change: Arc::clone(change), side });
        Some(match key {
            "row" => row(RowSide::Row),
            // `_old` is what `old.column` is rewritten to: it explains itself where `old` is none.
            "_old" => row(RowSide::Old),
            // What `row.column is defined` is rewritten to.
            "_any_row" => Value::from_object(AnyColumn { change: Arc::clone(change), side: RowSide::Row }),
            "_any_old" => Value::from_object(AnyColumn { change: Arc::clone(change), side: RowSide::Old }),
            // What columns are rewritten to beside an operator of a condition.
            "_typed_row" => Value::from_object(TypedRow { change: Arc::clone(change), side: RowSide::Row }),
            "_typed_old" => Value::from_object(TypedRow { change: Arc::clone(change), side: RowSide::Old }),
            // What columns are rewritten to in front of a filter that tells bytes from texts.
            "_bytes_row" => Value::from_object(BytesRow { change: Arc::clone(change), side: RowSide::Row }),
            "_bytes_old" => Value::from_object(BytesRow { change: Arc::clone(change), side: RowSide::Old }),
            "old" => match change.old() {
                Some(_) => row(RowSide::Old),
                None => Value::from(()),
            },
            "omit" => omit::value(),
            "op" => Value::from(change.op.as_str()),
            "schema" => Value::from(&*change.table.schema),
            "table" => Value::from(&*change.table.name),
            "key" => key_values(change),
            "changed" => change.changed_columns().map(Value::from).collect(),
            "event" => Value::from_object(EventObject(self.scope.clone())),
            "env" => Value::from_object(EnvObject(Arc::clone(&self.env))),
            "steps" => Value::from_object(StepsObject(Arc::clone(self.scope.log.as_ref()?))),
            "outcome" => Value::from_object(OutcomeObject(Arc::clone(self.scope.log.as_ref()?))),
            "answer" => Value::from_object(AnswerObject(Arc::clone(self.scope.answer.as_ref()?))),
            _ => return None,
        })
    }
}

fn key_values(change: &Arc<Change>) -> Value {
    let columns = change.table.primary_key.iter().filter_map(|index| change.table.columns.get(*index));
    columns.map(|column| cell_value(change, RowSide::Row, column)).collect()
}

/// A row of which a column that its table lacks is undefined, and no error.
#[derive(Debug)]
struct AnyColumn {
    change: Arc<Change>,
    side: RowSide,
}

impl Object for AnyColumn {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let column = key.as_str()?;
        self.change.table.column(column)?;
        Some(cell_value(&self.change, self.side, column))
    }
}

#[derive(Debug)]
pub(super) struct RowObject {
    change: Arc<Change>,
    side: RowSide,
}

impl RowObject {
    /// The row as a JSON object, without the columns that are not in its image.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        let row = match self.side {
            RowSide::Row => self.change.row(),
            RowSide::Old => self.change.old(),
        };
        match row {
            Some(row) => json::write_row(&self.change.table, row, out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

impl Object for RowObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(cell_value(&self.change, self.side, key))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names: Vec<Value> = self.change.table.columns.iter().map(|name| Value::from(&**name)).collect();
        Enumerator::Values(names)
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        let (other, row) = (other.downcast_ref::<RowObject>()?, |it: &RowObject| match it.side {
            RowSide::Row => it.change.row().cloned(),
            RowSide::Old => it.change.old().cloned(),
        });
        // Rows have no order; only `row == old` has a meaning.
        Some(if row(self) == row(other) { std::cmp::Ordering::Equal } else { std::cmp::Ordering::Less })
    }
}

/// Columns with their types, for comparisons.
#[derive(Debug)]
struct TypedRow {
    change: Arc<Change>,
    side: RowSide,
}

impl Object for TypedRow {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let column = key.as_str()?;
        Some(match cell(&self.change, self.side, column) {
            Ok(value @ (CellValue::Null | CellValue::Json(_))) => plain_value(&self.change, column, value),
            Ok(value) => Value::from_object(TypedCell { class: class_of(&self.change, column, &value), value }),
            Err(error) => Value::from(error.into_engine()),
        })
    }
}

/// A row whose bytes are not yet base64.
#[derive(Debug)]
struct BytesRow {
    change: Arc<Change>,
    side: RowSide,
}

impl Object for BytesRow {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let column = key.as_str()?;
        Some(match cell(&self.change, self.side, column) {
            Ok(CellValue::Bytes(content)) => bytes::value(content),
            Ok(value) => plain_value(&self.change, column, value),
            Err(error) => Value::from(error.into_engine()),
        })
    }
}

fn class_of(change: &Change, column: &str, value: &CellValue) -> Class {
    let kind = change.table.column(column).and_then(|index| change.kind(index));
    kind.map_or_else(|| Class::of_cell(value), Class::of)
}

/// A cell beside an operator of a condition, never NULL and never a document; or, of no class, a text of the rule.
#[derive(Debug)]
pub(super) struct TypedCell {
    pub value: CellValue,
    pub class: Class,
}

impl Object for TypedCell {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

#[derive(Debug)]
struct EventObject(Scope);

impl Object for EventObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let transaction = &self.0.change.transaction;
        Some(match key.as_str()? {
            "id" => Value::from(self.0.delivery_id().to_string()),
            "committed_at" => Value::from(json::rfc3339(transaction.committed_at_us)),
            "gtid" => transaction.gtid.as_ref().map_or(Value::from(()), |gtid| Value::from(gtid.to_string())),
            "file" => Value::from(&*transaction.file),
            "offset" => Value::from(transaction.offset),
            _ => return None,
        })
    }
}

/// Only names that were resolved at load can be read.
#[derive(Debug)]
struct EnvObject(Arc<Env>);

impl Object for EnvObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).map(|secret| Value::from(secret.reveal()))
    }
}

/// A cell as a value of the expression language; a lookup that fails is an invalid value, which ends the evaluation.
fn cell_value(change: &Change, side: RowSide, column: &str) -> Value {
    match cell(change, side, column) {
        Ok(value) => plain_value(change, column, value),
        Err(error) => Value::from(error.into_engine()),
    }
}

pub(super) fn plain_value(change: &Change, column: &str, value: CellValue) -> Value {
    match value {
        CellValue::Null => Value::from(()),
        CellValue::Int(number) => Value::from(number),
        CellValue::Uint(number) => Value::from(number),
        CellValue::Float(number) => Value::from(double_of(number)),
        CellValue::Double(number) => Value::from(number),
        CellValue::Decimal(text) => Decimal::parse(&text).map_or_else(|| Value::from(&*text), Value::from_object),
        CellValue::Text(text) => Value::from(&*text),
        CellValue::Bytes(bytes) => Value::from(base64::engine::general_purpose::STANDARD.encode(&bytes)),
        CellValue::Labels(labels) => labels.iter().map(|label| Value::from(&**label)).collect(),
        CellValue::Json(text) => parse_json(&text).unwrap_or_else(|problem| {
            let (table, column) = (change.table.to_string(), column.to_string());
            Value::from(Error::BadJson { table, column, problem }.into_engine())
        }),
    }
}
