//! Positions in a source's binlog: GTIDs, sets of GTIDs, file and offset, and the two together.
//!
//! In: texts from MySQL, the command line and the store. Out: values with exact set algebra. A position only ever moves
//! forward by whole transactions. No I/O, no MySQL crates.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::schema::Schema;

mod gtid;

pub use gtid::{Gtid, GtidSet, ParseError, Tag};

/// A place between two events of one server's binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOffset {
    pub file: Arc<str>,
    /// Bytes from the start of the file.
    pub offset: u64,
}

/// Everything that was committed up to some moment, as one value: what a checkpoint stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// `@@server_uuid` of the server that `file` belongs to.
    pub server_uuid: Uuid,
    /// Set where `gtid_mode=ON`: it is then what a resume uses, and `file` is for people.
    pub gtids: Option<GtidSet>,
    pub file: FileOffset,
    /// Where XA transactions begin that were prepared before `file` and not decided yet; they are read again. Empty where
    /// there are GTIDs: theirs are not in `gtids` as long as they are undecided.
    pub undecided: Arc<[FileOffset]>,
}

/// The end of one transaction: how a position moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub server_uuid: Uuid,
    pub gtid: Option<Gtid>,
    /// Of the XA PREPARE that this transaction decides.
    pub decided: Option<Gtid>,
    /// Where the next transaction begins.
    pub end: FileOffset,
    /// As in [`Position`], from here on.
    pub undecided: Arc<[FileOffset]>,
    pub committed_at_us: u64,
    /// The definitions known after it; none where they are those of before.
    pub schema: Option<Arc<Schema>>,
}

impl Committed {
    /// The transactions that are done with it. None where an XA PREPARE ended, also one that is read again for being
    /// undecided: among GTIDs that may stand before a transaction whose first rows were read, which goes on behind it.
    pub fn gtids(&self) -> impl Iterator<Item = &Gtid> {
        self.gtid.iter().chain(&self.decided)
    }
}

impl Position {
    /// Moves past a transaction. Transactions must be given in the order of the binlog.
    pub fn advance(&mut self, committed: &Committed) {
        self.server_uuid = committed.server_uuid;
        self.file = committed.end.clone();
        self.undecided = Arc::clone(&committed.undecided);
        if let Some(set) = &mut self.gtids {
            committed.gtids().for_each(|gtid| set.insert(gtid));
        }
    }
}

/// Where reading goes on: a position, and how much of the transaction after it was already dealt with.
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
    /// [`crate::change::Transaction::identity`].
    pub transaction: Box<str>,
    /// `schema.table`.
    pub table: Box<str>,
    pub rows: u64,
}

/// Where a first start without a checkpoint begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After the newest transaction of the moment.
    Latest,
    /// With the oldest transaction that the server still has.
    Earliest,
    /// After these transactions.
    After(GtidSet),
    /// At this place, which must be the beginning of a transaction.
    At(FileOffset),
}

/// How long a server keeps its binlog by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Until somebody purges it.
    ForEver,
    /// Counted from the end of each file; a file in use is never purged.
    For(Duration),
}
