//! What a rule has had already of what its feed brings.
//!
//! In: a place up to which all is done, then the changes and ends of transactions that a feed brings which began earlier.
//! Out: which of them to leave out (promise 4). By GTID where there are any, because another server may have its
//! transactions in another order; else by place. Pure.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::change::{Change, Table, Transaction};
use crate::position::{Committed, FileOffset, GtidSet, Position, Resume, Within};

/// Everything up to a place.
#[derive(Debug)]
pub(super) struct Coverage {
    position: Position,
    within: Vec<Within>,
    /// The transaction that was looked at last, and how much of it is covered.
    looked_at: Option<(Arc<Transaction>, Covered)>,
}

#[derive(Debug)]
enum Covered {
    Whole,
    /// The first rows of some tables.
    Rows(Vec<Within>),
    Nothing,
}

impl Coverage {
    pub fn new(resume: &Resume) -> Coverage {
        Coverage { position: resume.position.clone(), within: resume.within.clone(), looked_at: None }
    }

    /// Whether a change is covered.
    pub fn holds(&mut self, change: &Change) -> bool {
        let transaction = &change.transaction;
        if !self.looked_at.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, transaction)) {
            self.looked_at = Some((Arc::clone(transaction), self.look_at(transaction)));
        }
        match &self.looked_at {
            Some((_, Covered::Whole)) => true,
            Some((_, Covered::Rows(within))) => {
                within.iter().any(|within| is_of(within, &change.table) && change.ordinal <= within.rows)
            }
            Some((_, Covered::Nothing)) | None => false,
        }
    }

    fn look_at(&self, transaction: &Transaction) -> Covered {
        let is_whole = match (&self.position.gtids, &transaction.gtid) {
            (Some(set), Some(gtid)) => set.contains(gtid),
            _ => {
                let begin = FileOffset { file: Arc::clone(&transaction.file), offset: transaction.offset };
                transaction.server_uuid == self.position.server_uuid
                    && begin.order(&self.position.file) == Ordering::Less
            }
        };
        if is_whole {
            return Covered::Whole;
        }
        let identity = transaction.identity();
        let rows: Vec<Within> = self.within.iter().filter(|within| *within.transaction == *identity).cloned().collect();
        if rows.is_empty() { Covered::Nothing } else { Covered::Rows(rows) }
    }

    /// Whether the end of a transaction is covered; among GTIDs also where none is done by it.
    pub fn holds_commit(&self, committed: &Committed) -> bool {
        match &self.position.gtids {
            Some(set) => committed.gtids().all(|gtid| set.contains(gtid)),
            None => {
                committed.server_uuid == self.position.server_uuid
                    && committed.end.order(&self.position.file) != Ordering::Greater
            }
        }
    }

    /// Whether a feed that has got to this place brings nothing covered any more.
    pub fn is_passed_by(&self, place: &Position) -> bool {
        let is_beyond = || {
            place.server_uuid == self.position.server_uuid && place.file.order(&self.position.file) == Ordering::Greater
        };
        let has_ended = |within: &Within| match (&place.gtids, within.transaction.parse::<GtidSet>()) {
            (Some(set), Ok(transaction)) => transaction.is_subset_of(set),
            _ => is_beyond(),
        };
        place.reaches(&self.position) && self.within.iter().all(has_ended)
    }
}

fn is_of(within: &Within, table: &Table) -> bool {
    let rest = within.table.strip_prefix(&*table.schema).and_then(|rest| rest.strip_prefix('.'));
    rest == Some(&*table.name)
}
