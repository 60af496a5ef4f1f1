//! XA in two phases: rows that are prepared wait for their outcome.
//!
//! In: XA_PREPARE events, and the statements that decide prepared transactions. Out: the same as for any transaction. A
//! position covers no prepared transaction before it is decided.

use super::Transactions;
use crate::source::SourceEvent;
use crate::source::error::Error;
use crate::source::group::GroupStage;
use crate::source::lexer::SqlToken;
use crate::source::xa::{self, Decision, Prepare, PreparedXa};

impl Transactions {
    /// Keeps the rows of a prepared transaction until its outcome; no position covers them before.
    pub(super) fn xa_prepare(&mut self, body: &[u8], out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let prepare = Prepare::parse(body).map_err(|error| self.damaged(&format!("an XA_PREPARE event: {error}")))?;
        self.require(GroupStage::OpenXa, "XA_PREPARE")?;
        let Some(group) = &mut self.group else { return Err(self.outside()) };
        let Prepare::TwoPhase(xid) = prepare else { return self.end(out) };
        let (rows, buffered_bytes) = group.take_buffered();
        if rows.is_empty() {
            return self.end(out);
        }
        let (gtid, begin) = (group.transaction.gtid.clone(), group.transaction.begin());
        self.undecided.add(PreparedXa { xid, gtid, begin, rows, buffered_bytes });
        self.end_as(None, None, out)
    }

    /// XA COMMIT and XA ROLLBACK of what was prepared before.
    pub(super) fn decide(&mut self, statement: Option<&[SqlToken]>, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let Some((decision, xid)) = statement.and_then(xa::decision) else {
            return Err(self.stop("an XA statement of unknown form", "upgrade rowhook"));
        };
        let Some(prepared) = self.undecided.take(&xid) else { return self.end(out) };
        let Some(group) = &mut self.group else { return Err(self.outside()) };
        if decision == Decision::Commit {
            group.adopt(prepared.rows);
        }
        let gtid = group.transaction.gtid.clone();
        self.end_as(gtid, prepared.gtid, out)
    }

    /// The one transaction that was read and is undecided.
    pub fn into_prepared(self) -> Option<PreparedXa> {
        self.undecided.into_last()
    }

    /// Adds a transaction that was read again because it is prepared and undecided.
    pub fn add_prepared(&mut self, prepared: PreparedXa) {
        self.undecided.add(prepared);
    }
}
