//! The progress of a reader: what it has handed on, over all its connections.
//!
//! In: portions of rows and ends of transactions as they are handed on. Out: the position from which a new connection reads, and
//! the rows of the transaction after it that must not be handed on again (promises 1 and 4). No I/O.

use std::sync::Arc;

use crate::change::{Changes, Table, Transaction};
use crate::position::{Position, Start, Within};
use crate::schema::Schema;

use super::From;

/// What was handed on so far.
pub(super) struct ReadProgress {
    pub from: Option<Start>,
    pub position: Option<Position>,
    /// The definitions known there.
    pub schema: Arc<Schema>,
    /// Rows handed on of the transaction after `position`.
    partial: Partial,
    pub has_announced: bool,
    pub has_streamed: bool,
    /// Grows with everything handed on; shows whether a new connection made progress.
    pub steps: u64,
}

#[derive(Debug, Default)]
struct Partial {
    /// Rows that an earlier process handed on.
    resumed: Vec<Within>,
    transaction: Option<Arc<Transaction>>,
    tables: Vec<(Arc<Table>, u64)>,
}

impl ReadProgress {
    pub fn new(from: From) -> ReadProgress {
        let (from, position, resumed, schema) = match from {
            From::Start(start) => (Some(start), None, Vec::new(), Arc::default()),
            From::Resume(resume) => (None, Some(resume.position), resume.within, resume.schema),
        };
        ReadProgress {
            from,
            position,
            schema,
            partial: Partial { resumed, ..Partial::default() },
            has_announced: false,
            has_streamed: false,
            steps: 0,
        }
    }

    /// What was handed on of the transaction that the connection broke in.
    pub fn skip(&self) -> Vec<Within> {
        let Partial { resumed, transaction, tables } = &self.partial;
        let mut within = resumed.clone();
        let Some(transaction) = transaction else { return within };
        let identity = transaction.identity();
        for (table, rows) in tables {
            let table = table.to_string();
            match within.iter_mut().find(|known| transaction.has_rows(known) && *known.table == *table) {
                Some(known) => known.rows = known.rows.max(*rows),
                None => {
                    let transaction = identity.as_str().into();
                    within.push(Within { transaction, table: table.into(), rows: *rows });
                }
            }
        }
        within
    }

    pub fn note_rows(&mut self, events: &[Changes]) {
        let Some(first) = events.first() else { return };
        let same = |known: &Arc<Transaction>| {
            Arc::ptr_eq(known, first.transaction()) || known.identity() == first.transaction().identity()
        };
        if !self.partial.transaction.as_ref().is_some_and(same) {
            self.partial.transaction = Some(Arc::clone(first.transaction()));
            self.partial.tables.clear();
        }
        for changes in events {
            match self.partial.tables.iter_mut().find(|(table, _)| Arc::ptr_eq(table, changes.table())) {
                Some((_, rows)) => *rows = changes.last_ordinal(),
                None => self.partial.tables.push((Arc::clone(changes.table()), changes.last_ordinal())),
            }
        }
    }

    /// Nothing of the transaction after `position` was handed on yet.
    pub fn end_transaction(&mut self) {
        self.partial = Partial::default();
    }
}
