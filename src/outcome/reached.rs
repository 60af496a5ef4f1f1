//! How far reading, or a low-water mark, has got in the binlog.
//!
//! In: rows and ends of transactions, in the order of the binlog. Out: the [`Resume`] from which reading brings everything
//! later and nothing of this again, also inside a transaction (promise 4). Pure: no I/O, no clock.

use std::sync::Arc;

use crate::change::{Table, Transaction};
use crate::position::{Committed, GtidSet, Position, Resume, Within};
use crate::schema::Schema;

/// A position between two rows.
#[derive(Debug, Clone)]
pub struct Reached {
    position: Position,
    /// The definitions known there.
    schema: Arc<Schema>,
    /// Rows of the transaction after `position` that were passed before this was made, and will not come again.
    within_before: Vec<Within>,
    /// Rows of that transaction that were passed since, by table.
    within: Vec<(Arc<Table>, u64)>,
    /// The transaction that `within` counts in.
    transaction: Option<Arc<Transaction>>,
}

impl From<Resume> for Reached {
    fn from(resume: Resume) -> Reached {
        Reached {
            position: resume.position,
            schema: resume.schema,
            within_before: resume.within,
            within: Vec::new(),
            transaction: None,
        }
    }
}

impl Reached {
    /// Before anything was read.
    pub fn nowhere() -> Reached {
        Resume { position: Position::nowhere(), within: Vec::new(), schema: Arc::default() }.into()
    }

    /// The end of the last transaction that was passed.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Takes over the proof of which log it is, if it is for this exact position and differs. True: it did.
    pub fn adopt_proof(&mut self, position: &Position) -> bool {
        self.position.adopt_proof(position)
    }

    /// The transaction of which rows were passed and which has not ended.
    pub fn transaction(&self) -> Option<&Arc<Transaction>> {
        self.transaction.as_ref()
    }

    /// Whether the end of every transaction of which rows were passed was passed, too.
    pub fn is_between_transactions(&self) -> bool {
        self.within_before.is_empty() && self.within.is_empty()
    }

    pub fn resume(&self) -> Resume {
        let identity = self.transaction.as_ref().map(|transaction| transaction.identity()).unwrap_or_default();
        let now = self.within.iter().map(|(table, rows)| Within {
            transaction: identity.as_str().into(),
            table: table.to_string().into(),
            rows: *rows,
        });
        let mut within: Vec<Within> = now.collect();
        for before in &self.within_before {
            if within.iter().all(|now| now.table != before.table) {
                within.push(before.clone());
            }
        }
        Resume { position: self.position.clone(), within, schema: Arc::clone(&self.schema) }
    }

    /// Passes the end of a transaction.
    pub fn pass_commit(&mut self, committed: &Committed) {
        self.position.advance(committed);
        self.learn_schema(committed);
        self.end_transaction(committed.is_end());
    }

    /// Passes the ends of several transactions at once: the last one, the GTIDs of all, and whether one of them
    /// [is an end](Committed::is_end).
    pub fn pass_commits(&mut self, last: &Committed, gtids: &GtidSet, has_end: bool) {
        self.position.advance_over(last, gtids);
        self.learn_schema(last);
        self.end_transaction(has_end);
    }

    /// Passes the n-th row of a table in its transaction, and with it all before.
    pub fn pass_row(&mut self, transaction: &Arc<Transaction>, table: &Arc<Table>, ordinal: u64) {
        let is_same = self.transaction.as_ref().is_some_and(|known| Arc::ptr_eq(known, transaction));
        if !is_same {
            self.begin_transaction(transaction);
        }
        let same = |known: &Arc<Table>| {
            Arc::ptr_eq(known, table) || (known.schema == table.schema && known.name == table.name)
        };
        match self.within.iter_mut().find(|(known, _)| same(known)) {
            Some((_, rows)) => *rows = ordinal,
            None => self.within.push((Arc::clone(table), ordinal)),
        }
    }

    fn begin_transaction(&mut self, transaction: &Arc<Transaction>) {
        // After a break the same transaction comes again, or, from another server, another one instead: the rows
        // counted in the former say nothing about the latter.
        let identity = transaction.identity();
        if self.transaction.as_ref().is_some_and(|known| known.identity() != identity) {
            self.within.clear();
        }
        self.within_before.retain(|before| transaction.has_rows(before));
        self.transaction = Some(Arc::clone(transaction));
    }

    fn learn_schema(&mut self, committed: &Committed) {
        if let Some(schema) = &committed.schema {
            self.schema = Arc::clone(schema);
        }
    }

    /// With GTIDs, an XA PREPARE that is read again ends no transaction: the one that rows were counted in continues after it.
    fn end_transaction(&mut self, is_end: bool) {
        if self.position.knows_gtids() && !is_end {
            return;
        }
        self.within_before.clear();
        self.within.clear();
        self.transaction = None;
    }
}
