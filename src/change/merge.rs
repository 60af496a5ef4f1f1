//! Two changes of one row as one.
//!
//! In: a change and a later one of the same row. Out: the change that leads from the first one's before to the last one's
//! after, with the identity of the last. Pure; the caller decides whether two changes may be merged. Only different
//! definitions are checked here.

use std::sync::Arc;

use super::{Cell, Change, Op, Row};

impl Change {
    /// This change and a later one of the same row as one change: insert and update become an insert of the newest row,
    /// insert and delete become a delete, delete and insert become an update. None where the two can't be merged,
    /// because the table's columns differ or a backfill read the row in between.
    pub fn merged_with(&self, later: &Change) -> Option<Change> {
        let same_columns = Arc::ptr_eq(&self.table, &later.table) || self.table == later.table;
        if !same_columns {
            return None;
        }
        let (op, before, after) = match (self.op, later.op) {
            (Op::Insert | Op::Read, Op::Update) => (self.op, None, over(&later.after, &self.after)),
            (Op::Insert | Op::Read, Op::Delete) => (Op::Delete, over(&later.before, &self.after), None),
            (Op::Update, Op::Update) => (Op::Update, self.before.clone(), over(&later.after, &self.after)),
            (Op::Update, Op::Delete) => (Op::Delete, self.before.clone(), None),
            (Op::Delete, Op::Insert) => (Op::Update, self.before.clone(), later.after.clone()),
            _ => return None,
        };
        let (table, transaction) = (Arc::clone(&later.table), Arc::clone(&later.transaction));
        Some(Change { op, table, before, after, transaction, ordinal: later.ordinal })
    }
}

/// The newer image, with the cells of the older one where a partial image leaves out what did not change.
fn over(newer: &Option<Row>, older: &Option<Row>) -> Option<Row> {
    let (newer, older) = match (newer, older) {
        (Some(newer), Some(older)) => (newer, older),
        (one, other) => return one.as_ref().or(other.as_ref()).cloned(),
    };
    if newer.is_complete() {
        return Some(newer.clone());
    }
    let (newer, older) = (newer.cells(), older.cells());
    let columns = newer.len().max(older.len());
    let cell = |column: usize| match newer.get(column) {
        Some(Cell::Value(value)) => Cell::Value(value.clone()),
        _ => older.get(column).cloned().unwrap_or(Cell::Absent),
    };
    Some(Row::from_iter((0..columns).map(cell)))
}

#[cfg(test)]
mod tests {

    use super::super::{Table, Transaction, Value};
    use super::*;

    fn row(cells: [Option<i64>; 3]) -> Option<Row> {
        Some(Row::from_iter(cells.map(|cell| cell.map_or(Cell::Absent, |number| Cell::Value(Value::Int(number))))))
    }

    fn change(op: Op, before: Option<Row>, after: Option<Row>, ordinal: u64) -> Change {
        let table = Table {
            schema: "shop".into(),
            name: "stock".into(),
            columns: vec!["id".into(), "a".into(), "b".into()],
            primary_key: vec![0],
        };
        let transaction = Transaction { committed_at_us: ordinal, ..Transaction::example() };
        Change { op, table: Arc::new(table), before, after, transaction: Arc::new(transaction), ordinal }
    }

    fn full(version: i64) -> Option<Row> {
        row([Some(7), Some(version), Some(version * 10)])
    }

    #[test]
    fn two_changes_of_a_row_merge_from_the_first_before_image_to_the_last_after_image() {
        let (insert, delete) = (change(Op::Insert, None, full(1), 1), change(Op::Delete, full(2), None, 2));
        let update = |ordinal| change(Op::Update, full(ordinal), full(ordinal + 1), ordinal as u64);
        let read = change(Op::Read, None, full(1), 1);
        for (first, later, op, before, after) in [
            (&insert, &update(2), Op::Insert, None, full(3)),
            (&update(1), &update(2), Op::Update, full(1), full(3)),
            (&update(1), &delete, Op::Delete, full(1), None),
            (&insert, &delete, Op::Delete, full(2), None),
            (&delete, &change(Op::Insert, None, full(3), 3), Op::Update, full(2), full(3)),
            (&read, &update(2), Op::Read, None, full(3)),
            (&read, &delete, Op::Delete, full(2), None),
        ] {
            let merged = first.merged_with(later).expect("of one row");
            let expected = Change { op, before, after, ..later.clone() };
            assert_eq!(merged, expected, "{} and {}", first.op, later.op);
        }
    }

    #[test]
    fn what_a_partial_image_leaves_out_comes_from_the_one_before() {
        let first = change(Op::Update, row([Some(7), None, None]), row([None, Some(1), None]), 1);
        let later = change(Op::Update, row([Some(7), None, None]), row([None, None, Some(2)]), 2);
        let merged = first.merged_with(&later).expect("of one row");
        assert_eq!(merged.before, row([Some(7), None, None]));
        assert_eq!(merged.after, row([None, Some(1), Some(2)]));
        assert_eq!(merged.changed_columns().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn changes_with_another_definition_or_a_backfill_between_them_are_not_merged() {
        let first = change(Op::Insert, None, full(1), 1);
        let mut altered = change(Op::Update, full(1), full(2), 2);
        altered.table = Arc::new(Table { columns: vec!["id".into()], ..(*altered.table).clone() });
        assert_eq!(first.merged_with(&altered), None);
        assert_eq!(first.merged_with(&change(Op::Read, None, full(1), 2)), None);
        assert_eq!(first.merged_with(&change(Op::Insert, None, full(1), 2)), None);
    }
}
