//! Ordering keys: which deliveries of a rule wait for one another (promise 2).
//!
//! In: a rule's `order_by` and a change. Out: no key, one, or, for an update that moves the row to another key, both
//! the old and the new one. A key is a hash: equal values always give equal keys, and two different rows that meet by
//! chance only wait for each other. Keys of held deliveries stand on disk, so the hash is one that no release of Rust or
//! rowhook changes: SipHash-1-3 with key 0 over the bytes that `Bytes` and `hash_value` write.

use std::borrow::Cow;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::{OrderBy, Rule};
use crate::change::{Cell, Change, Row, Value};
use crate::ordering::{LaneKey, LaneKeys};

impl Rule {
    /// The lanes of the delivery that this rule makes of the change. Where the columns of `order_by` have no value,
    /// the table as a whole is the lane; `decide` has made such a delivery a dead letter then.
    pub fn ordering_keys(&self, change: &Change) -> LaneKeys {
        let columns = match self.key_columns(change) {
            Some(columns) => columns,
            None if self.order_by == OrderBy::None => return LaneKeys::none(),
            None => return LaneKeys::one(self.lane(change, |_| {})),
        };
        let now = self.lane(change, |bytes| columns.iter().for_each(|c| hash_value(change.latest(*c).as_ref(), bytes)));
        let Some(before) = change.before.as_ref().filter(|_| change.after.is_some()) else { return LaneKeys::one(now) };
        let old =
            self.lane(change, |bytes| columns.iter().for_each(|c| hash_value(was(change, before, *c).as_ref(), bytes)));
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
    fn key_columns<'c>(&self, change: &'c Change) -> Option<Cow<'c, [usize]>> {
        let columns: Cow<[usize]> = match &self.order_by {
            OrderBy::PrimaryKey => Cow::Borrowed(&change.table.primary_key),
            OrderBy::Columns(names) => names.iter().map(|name| change.table.column(name)).collect::<Option<_>>()?,
            OrderBy::Table | OrderBy::None => return None,
        };
        let complete = !columns.is_empty() && columns.iter().all(|column| change.latest(*column).is_some());
        complete.then_some(columns)
    }

    fn lane(&self, change: &Change, add_values: impl FnOnce(&mut Bytes)) -> LaneKey {
        let mut bytes = Bytes(SipHasher13::new());
        for name in [self.name.as_str(), &change.table.schema, &change.table.name] {
            bytes.text(name.as_bytes());
        }
        add_values(&mut bytes);
        LaneKey(bytes.0.finish())
    }
}

/// A value before the update; one that a partial image leaves out has not changed.
fn was(change: &Change, before: &Row, column: usize) -> Option<Value> {
    match before.cell(column) {
        Cell::Value(value) => Some(value),
        Cell::Absent => change.latest(column),
    }
}

/// Writes a kind, then the value.
fn hash_value(value: Option<&Value>, bytes: &mut Bytes) {
    match value {
        None => bytes.kind(0),
        Some(Value::Null) => bytes.kind(1),
        Some(Value::Int(number)) => bytes.kind(2).number(*number as u64),
        Some(Value::Uint(number)) => bytes.kind(3).number(*number),
        Some(Value::Float(number)) => bytes.kind(4).number(number.to_bits().into()),
        Some(Value::Double(number)) => bytes.kind(5).number(number.to_bits()),
        Some(Value::Decimal(text)) => bytes.kind(6).text(text.as_bytes()),
        Some(Value::Text(text)) => bytes.kind(7).text(text.as_bytes()),
        Some(Value::Bytes(content)) => bytes.kind(8).text(content),
        Some(Value::Labels(labels)) => {
            bytes.kind(9).number(labels.len() as u64);
            labels.iter().fold(bytes, |bytes, label| bytes.text(label.as_bytes()))
        }
        Some(Value::Json(text)) => bytes.kind(10).text(text.as_bytes()),
    };
}

/// What a key is the hash of: kinds as one byte, numbers as eight, little-endian, texts behind their length.
struct Bytes(SipHasher13);

impl Bytes {
    fn kind(&mut self, kind: u8) -> &mut Bytes {
        self.0.write(&[kind]);
        self
    }

    fn number(&mut self, number: u64) -> &mut Bytes {
        self.0.write(&number.to_le_bytes());
        self
    }

    fn text(&mut self, text: &[u8]) -> &mut Bytes {
        self.number(text.len() as u64);
        self.0.write(text);
        self
    }
}
