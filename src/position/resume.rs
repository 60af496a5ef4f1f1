//! Where reading continues, also inside a transaction.
//!
//! In: a position, and rows that were dealt with after it. Out: the same as one value. Pure.

use std::sync::Arc;

use super::{GtidSet, Position};
use crate::schema::Schema;

/// Where reading continues: a position, and how many rows of the transaction after it are already resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    pub position: Position,
    /// Of the transaction and table named here, the first `rows` rows are not to be sent again. By identity, table and
    /// ordinal, because those stay the same on another server of the replica set, and because rows of another
    /// transaction must never be taken for these.
    pub within: Vec<Within>,
    /// The definitions known at `position`, which no later ones may stand in for.
    pub schema: Arc<Schema>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// The identity of the transaction that the rows are of; stores of format 3 and before have its name here.
    pub transaction: Box<str>,
    /// `schema.table`.
    pub table: Box<str>,
    pub rows: u64,
}

impl Within {
    /// Its GTID, if it has one, as a set.
    pub fn gtid(&self) -> Option<GtidSet> {
        let name = self.transaction.split_once('@').map_or(&*self.transaction, |(name, _)| name);
        name.parse().ok()
    }
}
