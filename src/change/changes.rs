//! The rows of one row event, as changes.
//!
//! In: an event's bytes and where its row images lie. Out: one [`Change`] after another. A change that was not
//! kept is reused for the next row, so that rows that no rule wants take no memory. What must be
//! kept is taken out with [`Change::detach`].

use std::sync::Arc;

use super::partial::Updates;
use super::row::{Row, Span};
use super::{Change, Op, Table, Transaction};

/// Changes of one table by one event, in its order.
#[derive(Debug, Clone)]
pub struct Changes {
    current: Arc<Change>,
    rows: Rows,
    next: usize,
    first_ordinal: u64,
}

/// What the changes are made of.
#[derive(Debug, Clone)]
pub enum Rows {
    /// The first row's images, pointing into the event, and where those of all rows lie.
    Images { first: Images, spans: Vec<Spans> },
    /// Updates of parts of JSON documents: the first row's image before, and what makes the images after.
    Updates { before: Row, updates: Updates, spans: Vec<Spans> },
}

/// The images before and after.
pub type Images = (Option<Row>, Option<Row>);

/// Where a row's images lie in the event; empty where the op has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spans {
    pub before: Span,
    pub after: Span,
}

impl Rows {
    pub fn len(&self) -> usize {
        match self {
            Rows::Images { spans, .. } | Rows::Updates { spans, .. } => spans.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn first(&self) -> Images {
        match self {
            Rows::Images { first, .. } => first.clone(),
            Rows::Updates { before, .. } => (Some(before.clone()), None),
        }
    }
}

impl Changes {
    /// `first_ordinal` is the number, counted from 1, of the first row among its table's rows in the transaction.
    pub fn new(op: Op, table: Arc<Table>, transaction: Arc<Transaction>, rows: Rows, first_ordinal: u64) -> Changes {
        let (before, after) = rows.first();
        let current = Arc::new(Change { op, table, before, after, transaction, ordinal: first_ordinal });
        Changes { current, rows, next: 0, first_ordinal }
    }

    /// The table was truncated: no images.
    pub fn truncate(schema: &str, table: &str, transaction: Arc<Transaction>) -> Changes {
        let (columns, primary_key) = (Vec::new(), Vec::new());
        let table = Table { schema: schema.into(), name: table.into(), columns, primary_key };
        let rows = Rows::Images { first: (None, None), spans: vec![Spans::default()] };
        Changes::new(Op::Truncate, Arc::new(table), transaction, rows, 0)
    }

    pub fn op(&self) -> Op {
        self.current.op
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.current.table
    }

    pub fn transaction(&self) -> &Arc<Transaction> {
        &self.current.transaction
    }

    /// Rows that are still to come.
    pub fn len(&self) -> usize {
        self.rows.len() - self.next
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ordinal of the last row, also when it has been taken already.
    pub fn last_ordinal(&self) -> u64 {
        (self.first_ordinal + self.rows.len() as u64).saturating_sub(1)
    }

    /// Leaves out the rows up to and including this ordinal.
    pub fn skip_through(&mut self, ordinal: u64) {
        let rows = ordinal.saturating_add(1).saturating_sub(self.first_ordinal);
        self.next = self.next.max(usize::try_from(rows).unwrap_or(usize::MAX).min(self.rows.len()));
    }

    /// Sets the transaction that the rows belong to: rows of an XA transaction belong to the one that commits it.
    pub fn belong_to(&mut self, transaction: &Arc<Transaction>) {
        Arc::make_mut(&mut self.current).transaction = Arc::clone(transaction);
    }
}

impl Iterator for Changes {
    type Item = Arc<Change>;

    fn next(&mut self) -> Option<Arc<Change>> {
        let at = self.next;
        if at >= self.rows.len() {
            return None;
        }
        self.next += 1;
        let change = Arc::make_mut(&mut self.current);
        change.ordinal = self.first_ordinal + at as u64;
        match &self.rows {
            Rows::Images { spans, .. } => {
                let Spans { before, after } = spans[at];
                for (image, span) in [(&mut change.before, before), (&mut change.after, after)] {
                    if let Some(row) = image {
                        row.move_to(span);
                    }
                }
            }
            Rows::Updates { updates, spans, .. } => {
                if let Some(before) = &mut change.before {
                    before.move_to(spans[at].before);
                    change.after = updates.again(before, spans[at].after);
                }
            }
        }
        Some(Arc::clone(&self.current))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cell, Value, row::Image};
    use super::*;
    use crate::column::ColumnKind;

    /// Ten one-column rows with the values 0 to 9.
    fn ten() -> Changes {
        let event: Arc<[u8]> = (0..10).flat_map(|n| [0, n]).collect();
        let spans = (0..10).map(|n| Spans { after: Span { start: n * 2, end: n * 2 + 2 }, ..Spans::default() });
        let kinds: Arc<[ColumnKind]> = [ColumnKind::Int { bytes: 1, unsigned: false }].into();
        let first = (None, Some(Row::from(Image::new(event, kinds, None, Span::default()))));
        let table = Table { schema: "s".into(), name: "t".into(), columns: vec!["n".into()], primary_key: vec![] };
        let transaction = Transaction::example();
        let rows = Rows::Images { first, spans: spans.collect() };
        Changes::new(Op::Insert, Arc::new(table), Arc::new(transaction), rows, 5)
    }

    fn value(change: &Change) -> Cell {
        change.after.as_ref().expect("an after image").cell(0)
    }

    #[test]
    fn a_change_that_is_kept_does_not_change_when_the_next_one_comes() {
        let kept: Vec<Arc<Change>> = ten().collect();
        for (n, change) in kept.iter().enumerate() {
            assert_eq!((change.ordinal, value(change)), (n as u64 + 5, Cell::Value(Value::Int(n as i64))));
        }
        let seen: Vec<Cell> = ten().map(|change| value(&change)).collect();
        assert_eq!(seen, kept.iter().map(|change| value(change)).collect::<Vec<_>>());
    }

    #[test]
    fn rows_up_to_an_ordinal_are_left_out() {
        for (through, left) in [(0, 10), (4, 10), (5, 9), (13, 1), (14, 0), (u64::MAX, 0)] {
            let mut changes = ten();
            changes.skip_through(through);
            assert_eq!(changes.len(), left, "{through}");
            assert_eq!(changes.last_ordinal(), 14);
            assert_eq!(changes.next().map(|change| change.ordinal), (left > 0).then_some(15 - left as u64));
        }
    }
}
