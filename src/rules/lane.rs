//! Ordering keys: which deliveries of a rule wait for one another (promise 2).
//!
//! In: a rule's `order_by` and a change. Out: no key, one, or, for an update that moves the row to another key, both
//! the old and the new one; and their key definition. A key is a hash of values in their
//! [form](crate::ordering::KeyHash): equal values always give equal keys, and two different rows with the same hash only wait
//! for each other.

use std::borrow::Cow;

use super::rule::{OrderBy, Rule};
use crate::change::{Cell, Change, Op, Row, Table, Value};
use crate::ordering::{KeyDefinition, KeyHash, LaneKey, LaneKeys, OrderedBy};

impl Rule {
    /// The lanes of the delivery that this rule makes from the change. Where the columns of `order_by` have no value, the lane
    /// is that of the whole table; `decide` has made such a delivery a dead letter before.
    pub fn ordering_keys(&self, change: &Change) -> LaneKeys {
        let columns = match self.key_columns(change) {
            Some(columns) => columns,
            None if self.order_by == OrderBy::None => return LaneKeys::none(),
            None => return LaneKeys::one(self.lane(change, |_| {})),
        };
        let now = self.lane(change, |hash| columns.iter().for_each(|c| hash.add(change.latest(*c).as_ref())));
        let Some(before) = change.before.as_ref().filter(|_| change.after.is_some()) else { return LaneKeys::one(now) };
        let old = self.lane(change, |hash| columns.iter().for_each(|c| hash.add(was(change, before, *c).as_ref())));
        LaneKeys::two(old, now)
    }

    /// Whether the change's lane is that of its own key, and not of a table whose rows have none.
    pub fn has_key_for(&self, change: &Change) -> bool {
        self.order_by == OrderBy::Table || self.key_columns(change).is_some()
    }

    /// Why the change can't be ordered as the rule demands.
    pub(super) fn unorderable(&self, change: &Change) -> Option<String> {
        let OrderBy::Columns(names) = &self.order_by else { return None };
        if change.op == Op::Truncate {
            // It waits for the whole table.
            return None;
        }
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
    fn key_columns<'c>(&self, change: &'c Change) -> Option<Cow<'c, [usize]>> {
        let columns: Cow<[usize]> = match &self.order_by {
            OrderBy::PrimaryKey => Cow::Borrowed(&change.table.primary_key),
            OrderBy::Columns(names) => names.iter().map(|name| change.table.column(name)).collect::<Option<_>>()?,
            OrderBy::Table | OrderBy::None => return None,
        };
        let complete = !columns.is_empty() && columns.iter().all(|column| change.latest(*column).is_some());
        complete.then_some(columns)
    }

    /// The key definition for changes of this table whose row images are like this one; None where the rule keeps no order.
    /// Costs more than the key itself: call it once per table, not per row.
    pub fn key_definition(&self, table: &Table, row: Option<&Row>) -> Option<KeyDefinition> {
        let columns: Option<Cow<[usize]>> = match &self.order_by {
            OrderBy::None => return None,
            OrderBy::Table => None,
            OrderBy::PrimaryKey => Some(Cow::Borrowed(&table.primary_key)),
            OrderBy::Columns(names) => names.iter().map(|name| table.column(name)).collect::<Option<_>>(),
        };
        let by = match columns.filter(|columns| !columns.is_empty()) {
            Some(columns) => OrderedBy::columns(table, &columns, row),
            None => OrderedBy::Table,
        };
        Some(KeyDefinition::new(&self.name, &table.schema, &table.name, by))
    }

    fn lane(&self, change: &Change, add_values: impl FnOnce(&mut KeyHash)) -> LaneKey {
        let mut hash = KeyHash::of([self.name.as_str(), &change.table.schema, &change.table.name]);
        add_values(&mut hash);
        hash.key()
    }
}

/// A value before the update; one that a partial image leaves out has not changed.
fn was(change: &Change, before: &Row, column: usize) -> Option<Value> {
    match before.cell(column) {
        Cell::Value(value) => Some(value),
        Cell::Absent => change.latest(column),
    }
}
