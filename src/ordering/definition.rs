//! Key definitions: by which columns a rule orders the changes of a table, and the types of these columns.
//!
//! In: a table, the kinds of its columns and the names that a rule orders by. Out: the definition, and for a change made
//! under another one the lanes that it takes under this one, or that there are none: a column is gone, may be another one
//! of that name, or holds values that its old type would write in another way. Pure; the lanes and the store
//! know what is open under which definition.

use super::form::KeyHash;
use super::{LaneKey, LaneKeys};
use crate::change::{Cell, Change, Row, Table, Value};
use crate::column::ColumnKind;
use crate::column::charset::Charset;

/// See the module's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDefinition {
    pub rule: Box<str>,
    pub schema: Box<str>,
    pub table: Box<str>,
    pub by: OrderedBy,
    id: DefinitionId,
}

/// The identity of a definition, as hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DefinitionId {
    /// The rule and the table; definitions of other rules and tables never matter for it.
    pub table: u64,
    pub definition: LaneKey,
}

impl DefinitionId {
    /// The queue of the dead letters that wait for all dead letters that were made under it.
    pub fn waiting(self) -> LaneKey {
        LaneKey(self.definition.0 ^ 0x9e37_79b9_7f4a_7c15)
    }
}

/// What makes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderedBy {
    Columns {
        key: Vec<KeyColumn>,
        /// All columns of the table in their order, to recognise one that took another one's name.
        all: Vec<Box<str>>,
    },
    /// The table is one lane.
    Table,
    /// A dead letter of an earlier release whose columns can't be determined.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    pub name: Box<str>,
    pub declared: Declared,
}

/// A group of types whose values are written in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// For a change that was stored: only the values are known.
    Unknown,
    Int,
    Bit,
    Year,
    Decimal {
        scale: usize,
    },
    Float,
    Double,
    Date,
    Time {
        digits: usize,
    },
    DateTime {
        digits: usize,
    },
    Timestamp {
        digits: usize,
    },
    Text,
    Bytes,
    Enum,
    Set,
    Other,
}

impl Declared {
    fn of(kind: Option<&ColumnKind>) -> Declared {
        match kind {
            None => Declared::Unknown,
            Some(ColumnKind::Int { .. }) => Declared::Int,
            Some(ColumnKind::Bit { .. }) => Declared::Bit,
            Some(ColumnKind::Year) => Declared::Year,
            Some(ColumnKind::Decimal { scale, .. }) => Declared::Decimal { scale: *scale },
            Some(ColumnKind::Float) => Declared::Float,
            Some(ColumnKind::Double) => Declared::Double,
            Some(ColumnKind::Date) => Declared::Date,
            Some(ColumnKind::Time { digits }) => Declared::Time { digits: *digits },
            Some(ColumnKind::DateTime { digits }) => Declared::DateTime { digits: *digits },
            Some(ColumnKind::Timestamp { digits }) => Declared::Timestamp { digits: *digits },
            Some(ColumnKind::Text { charset: Charset::Binary, .. }) => Declared::Bytes,
            Some(ColumnKind::Text { .. }) => Declared::Text,
            Some(ColumnKind::Enum { .. }) => Declared::Enum,
            Some(ColumnKind::Set { .. }) => Declared::Set,
            Some(_) => Declared::Other,
        }
    }

    /// Whether the values that a column had as this have the same [form](super::form) when it is declared as the other:
    /// the server rewrites them without rounding, cutting or a time zone. A number that is text may be rewritten in
    /// ways that no form covers (`'1e2'` is 100, `'1x'` is 1), so text may not become a number.
    fn keeps_its_values_as(self, now: Declared) -> bool {
        use Declared::*;
        match (self, now) {
            _ if self == now => true,
            (Unknown, _) | (_, Unknown) => true,
            (Int | Year, Int | Decimal { .. } | Text | Bytes) => true,
            (Bit, Int | Decimal { .. }) => true,
            (Decimal { scale: 0 }, Int) => true,
            (Decimal { scale }, Decimal { scale: now }) => now >= scale,
            (Decimal { .. } | Double, Text | Bytes) => true,
            (Date, DateTime { .. }) => true,
            (Time { digits }, Time { digits: now }) => now >= digits,
            (DateTime { digits }, DateTime { digits: now }) => now >= digits,
            (Timestamp { digits }, Timestamp { digits: now }) => now >= digits,
            (Date | Time { .. } | DateTime { .. }, Text | Bytes) => true,
            (Text, Enum) | (Enum, Text) => true,
            _ => false,
        }
    }

    /// As it stands on disk.
    pub fn to_text(self) -> String {
        match self {
            Declared::Unknown => "unknown".into(),
            Declared::Int => "int".into(),
            Declared::Bit => "bit".into(),
            Declared::Year => "year".into(),
            Declared::Decimal { scale } => format!("decimal:{scale}"),
            Declared::Float => "float".into(),
            Declared::Double => "double".into(),
            Declared::Date => "date".into(),
            Declared::Time { digits } => format!("time:{digits}"),
            Declared::DateTime { digits } => format!("datetime:{digits}"),
            Declared::Timestamp { digits } => format!("timestamp:{digits}"),
            Declared::Text => "text".into(),
            Declared::Bytes => "bytes".into(),
            Declared::Enum => "enum".into(),
            Declared::Set => "set".into(),
            Declared::Other => "other".into(),
        }
    }

    pub fn parse(text: &str) -> Option<Declared> {
        let (word, number) = text.split_once(':').unwrap_or((text, "0"));
        let number = number.parse().ok()?;
        Some(match word {
            "unknown" => Declared::Unknown,
            "int" => Declared::Int,
            "bit" => Declared::Bit,
            "year" => Declared::Year,
            "decimal" => Declared::Decimal { scale: number },
            "float" => Declared::Float,
            "double" => Declared::Double,
            "date" => Declared::Date,
            "time" => Declared::Time { digits: number },
            "datetime" => Declared::DateTime { digits: number },
            "timestamp" => Declared::Timestamp { digits: number },
            "text" => Declared::Text,
            "bytes" => Declared::Bytes,
            "enum" => Declared::Enum,
            "set" => Declared::Set,
            "other" => Declared::Other,
            _ => return None,
        })
    }
}

impl OrderedBy {
    /// By these columns of the table, whose row images have these kinds.
    pub fn columns(table: &Table, indexes: &[usize], row: Option<&Row>) -> OrderedBy {
        let kinds = row.and_then(Row::kinds);
        let key = |index: &usize| KeyColumn {
            name: table.columns.get(*index).cloned().unwrap_or_default(),
            declared: Declared::of(kinds.and_then(|kinds| kinds.get(*index))),
        };
        OrderedBy::Columns { key: indexes.iter().map(key).collect(), all: table.columns.clone() }
    }
}

impl KeyDefinition {
    pub fn new(rule: &str, schema: &str, table: &str, by: OrderedBy) -> KeyDefinition {
        let names = [rule, schema, table];
        let of_table = KeyHash::of(names.into_iter().chain(["the table"])).key().0;
        let words: Vec<String> = match &by {
            OrderedBy::Table => vec!["table".into()],
            OrderedBy::Unknown => vec!["unknown".into()],
            OrderedBy::Columns { key, all } => {
                let key_words = key.iter().flat_map(|column| [column.name.to_string(), column.declared.to_text()]);
                [key.len().to_string()]
                    .into_iter()
                    .chain(key_words)
                    .chain(all.iter().map(|name| name.to_string()))
                    .collect()
            }
        };
        let words = words.iter().map(String::as_str);
        let definition = KeyHash::of(names.into_iter().chain(["the definition"]).chain(words)).key();
        let id = DefinitionId { table: of_table, definition };
        KeyDefinition { rule: rule.into(), schema: schema.into(), table: table.into(), by, id }
    }

    pub fn id(&self) -> DefinitionId {
        self.id
    }

    /// The lanes that a change of this table, made under a later definition, takes under this one; none: they can't be
    /// determined.
    pub fn lanes_of(&self, change: &Change, made_under: &KeyDefinition) -> Option<LaneKeys> {
        let key = match &self.by {
            OrderedBy::Unknown => return None,
            OrderedBy::Table => return Some(LaneKeys::one(lane(&self.rule, &change.table, []))),
            OrderedBy::Columns { key, all } if stay_themselves(key, all, &change.table) => key,
            OrderedBy::Columns { .. } => return None,
        };
        let declared = |column: usize| match &made_under.by {
            // For the columns of its own key the kinds are known without the row.
            OrderedBy::Columns { key, .. } => {
                let name = change.table.columns.get(column);
                key.iter().find(|own| Some(&own.name) == name).map(|own| own.declared)
            }
            OrderedBy::Table | OrderedBy::Unknown => None,
        };
        let kinds = change.row().and_then(Row::kinds);
        let mut columns = Vec::with_capacity(key.len());
        for KeyColumn { name, declared: before } in key {
            let column = change.table.column(name)?;
            let now = declared(column).unwrap_or_else(|| Declared::of(kinds.and_then(|kinds| kinds.get(column))));
            if !before.keeps_its_values_as(now) {
                return None;
            }
            columns.push(column);
        }
        key_of(&self.rule, change, &columns)
    }
}

/// The key of these columns of a change, and of an update that gives them other values both; none where the image lacks
/// one of them.
fn key_of(rule: &str, change: &Change, columns: &[usize]) -> Option<LaneKeys> {
    let now: Vec<Value> = columns.iter().map(|column| change.latest(*column)).collect::<Option<_>>()?;
    let now_key = lane(rule, &change.table, &now);
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return Some(LaneKeys::one(now_key)) };
    let mut was = Vec::with_capacity(now.len());
    for (column, now) in columns.iter().zip(&now) {
        was.push(match (before.cell(*column), after.cell(*column)) {
            (Cell::Value(value), _) => value,
            (Cell::Absent, Cell::Absent) => now.clone(),
            (Cell::Absent, Cell::Value(_)) => return None,
        });
    }
    Some(LaneKeys::two(lane(rule, &change.table, &was), now_key))
}

/// The lane of these values; without values, that of the whole table.
pub fn lane<'v>(rule: &str, table: &Table, values: impl IntoIterator<Item = &'v Value>) -> LaneKey {
    let mut hash = KeyHash::of([rule, &table.schema, &table.name]);
    values.into_iter().for_each(|value| hash.add(Some(value)));
    hash.key()
}

/// Whether each column of the key is in the table and is, by names and places, still the same column. A column that got
/// the name by a rename keeps its own place: then the columns that are in both tables have another order, or a
/// neighbour is gone.
fn stay_themselves(key: &[KeyColumn], before: &[Box<str>], table: &Table) -> bool {
    if *before == table.columns {
        return key.iter().all(|column| table.column(&column.name).is_some());
    }
    let stays = |name: &str| table.column(name);
    let places: Vec<Option<usize>> = before.iter().map(|name| stays(name)).collect();
    if !places.iter().flatten().is_sorted() {
        return false;
    }
    key.iter().all(|column| {
        let Some(at) = before.iter().position(|name| *name == column.name) else { return false };
        let is_kept = |at: Option<usize>| at.and_then(|at| places.get(at)).is_none_or(Option::is_some);
        places[at].is_some() && is_kept(at.checked_sub(1)) && is_kept(Some(at + 1))
    })
}
