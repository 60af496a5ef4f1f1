//! Ordering keys: which deliveries of a rule wait for one another (promise 2).
//!
//! In: a rule's `order_by` and a change. Out: no key, one, or, for an update that moves the row to another key, both
//! the old and the new one. A key is a hash: equal values always give equal keys, and two different rows that meet by
//! chance only wait for each other. Keys live in memory and never on disk.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{OrderBy, Rule};
use crate::change::{Cell, Change, Row, Value};

/// Identity of a lane: rule, table and the values that deliveries are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey(pub u64);

/// The lanes that a delivery has to wait in: none, one, or both of an update that changes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneKeys([Option<LaneKey>; 2]);

impl LaneKeys {
    pub fn none() -> LaneKeys {
        LaneKeys([None, None])
    }

    pub fn one(key: LaneKey) -> LaneKeys {
        LaneKeys([Some(key), None])
    }

    /// Both keys; equal ones are one.
    pub fn two(old: LaneKey, new: LaneKey) -> LaneKeys {
        LaneKeys([Some(old), (old != new).then_some(new)])
    }

    pub fn iter(self) -> impl Iterator<Item = LaneKey> {
        self.0.into_iter().flatten()
    }

    /// Which of the two a key is.
    pub fn position(self, key: LaneKey) -> Option<usize> {
        self.0.iter().position(|own| *own == Some(key))
    }
}

impl Rule {
    /// The lanes of the delivery that this rule makes of the change. Where the columns of `order_by` have no value,
    /// the table as a whole is the lane; `decide` has made such a delivery a dead letter then.
    pub fn ordering_keys(&self, change: &Change) -> LaneKeys {
        let columns = match self.key_columns(change) {
            Some(columns) => columns,
            None if self.order_by == OrderBy::None => return LaneKeys::none(),
            None => return LaneKeys::one(self.lane(change, |_| {})),
        };
        let now =
            self.lane(change, |hasher| columns.iter().for_each(|c| hash_value(change.latest(*c).as_ref(), hasher)));
        let Some(before) = change.before.as_ref().filter(|_| change.after.is_some()) else { return LaneKeys::one(now) };
        let old = self
            .lane(change, |hasher| columns.iter().for_each(|c| hash_value(was(change, before, *c).as_ref(), hasher)));
        LaneKeys::two(old, now)
    }

    /// Whether the change's lane is that of its own key, and not of a table whose rows have none.
    pub fn has_key_for(&self, change: &Change) -> bool {
        self.order_by == OrderBy::Table || self.key_columns(change).is_some()
    }

    /// Why the change can't be ordered as the rule demands.
    pub(super) fn unorderable(&self, change: &Change) -> Option<String> {
        let OrderBy::Columns(names) = &self.order_by else { return None };
        names.iter().find_map(|name| {
            let Some(index) = change.table.column(name) else {
                return Some(format!("table {} has no column `{name}`, which `order_by` names", change.table));
            };
            let moved_from_unknown = matches!((&change.before, &change.after), (Some(before), Some(after))
                if before.cell(index) == Cell::Absent && after.cell(index) != Cell::Absent);
            (moved_from_unknown || change.latest(index).is_none()).then(|| {
                format!(
                    "column `{name}` of table {}, which `order_by` names, is not in the row image; \
                     set binlog_row_image=FULL on the server",
                    change.table
                )
            })
        })
    }

    /// The columns whose values make the key; none where the rule or the table has no such columns.
    fn key_columns(&self, change: &Change) -> Option<Vec<usize>> {
        let columns = match &self.order_by {
            OrderBy::PrimaryKey => change.table.primary_key.clone(),
            OrderBy::Columns(names) => names.iter().map(|name| change.table.column(name)).collect::<Option<_>>()?,
            OrderBy::Table | OrderBy::None => return None,
        };
        let complete = !columns.is_empty() && columns.iter().all(|column| change.latest(*column).is_some());
        complete.then_some(columns)
    }

    fn lane(&self, change: &Change, add_values: impl FnOnce(&mut DefaultHasher)) -> LaneKey {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        change.table.schema.hash(&mut hasher);
        change.table.name.hash(&mut hasher);
        add_values(&mut hasher);
        LaneKey(hasher.finish())
    }
}

/// A value before the update; one that a partial image leaves out has not changed.
fn was(change: &Change, before: &Row, column: usize) -> Option<Value> {
    match before.cell(column) {
        Cell::Value(value) => Some(value),
        Cell::Absent => change.latest(column),
    }
}

fn hash_value(value: Option<&Value>, hasher: &mut DefaultHasher) {
    value.map(std::mem::discriminant).hash(hasher);
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Int(number)) => number.hash(hasher),
        Some(Value::Uint(number)) => number.hash(hasher),
        Some(Value::Float(number)) => number.to_bits().hash(hasher),
        Some(Value::Double(number)) => number.to_bits().hash(hasher),
        Some(Value::Decimal(text) | Value::Text(text) | Value::Json(text)) => text.hash(hasher),
        Some(Value::Bytes(bytes)) => bytes.hash(hasher),
        Some(Value::Labels(labels)) => labels.hash(hasher),
    }
}
