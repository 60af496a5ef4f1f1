//! Clearing away changes that belong to no dead letter and no saga.
//!
//! A change may be too large to be written or removed in one transaction. Then a sweep mark in `meta` says, from the first
//! of its transactions to the last, that there may be chunks without a head. In: the sweep marks. Out: chunks and sweep marks
//! are removed, whether a removal continues here or a crash cut short a removal or the making of a dead letter. Until then no
//! read sees the chunks.

use sled::Transactional as _;
use sled::transaction::{ConflictableTransactionError, TransactionError};

use super::Error;
use super::trees::Trees;
use super::walk;
use super::watchdog::WriterProgress;
use crate::change::DeliveryId;

/// Chunks (4 KiB each) removed in one transaction: some tens of milliseconds.
pub(super) const CHUNKS_MAX: u32 = 1024;

const MARK_PREFIX: &[u8] = b"sweep/";
const SAGA_PREFIX: &[u8] = b"sweep_operation/";

/// The key in `meta` that marks the change of this dead letter.
pub(super) fn mark(number: u64) -> Vec<u8> {
    [MARK_PREFIX, &number.to_be_bytes()].concat()
}

/// The key in `meta` that marks the change of this saga.
pub(super) fn saga_mark(id: DeliveryId) -> Vec<u8> {
    [SAGA_PREFIX, id.0.as_bytes()].concat()
}

/// Sweeps all that is marked. Must not run between the transactions that write one large dead letter. Needs no sync: what a
/// power cut takes back is swept when the store is opened again.
pub(super) fn sweep(db: &sled::Db, trees: &Trees, progress: &WriterProgress) -> Result<(), Error> {
    sweep_tree(db, trees, progress, MARK_PREFIX, &trees.changes)?;
    sweep_tree(db, trees, progress, SAGA_PREFIX, &trees.saga_changes)
}

/// A sweep mark is its prefix and the name of the record.
fn sweep_tree(
    db: &sled::Db,
    trees: &Trees,
    progress: &WriterProgress,
    prefix: &[u8],
    tree: &sled::Tree,
) -> Result<(), Error> {
    loop {
        let next = walk::prefix(&trees.meta, prefix).keys().next();
        let Some(mark) = next.transpose().map_err(Error::read(&trees.directory))? else { return Ok(()) };
        let keys = walk::prefix(tree, &mark[prefix.len()..]).keys().take(CHUNKS_MAX as usize);
        let keys = keys.collect::<Result<Vec<_>, _>>().map_err(Error::read(&trees.directory))?;
        let removed = (&trees.meta, tree).transaction(|(meta, changes)| {
            for key in &keys {
                changes.remove(key)?;
            }
            if keys.len() < CHUNKS_MAX as usize {
                meta.remove(&mark)?;
            }
            Ok::<_, ConflictableTransactionError<std::convert::Infallible>>(())
        });
        let removed = removed.map_err(|error| match error {
            TransactionError::Storage(error) => error,
            TransactionError::Abort(never) => match never {},
        });
        removed.and_then(|()| db.flush()).map_err(|error| Error::write(&trees.directory, &error))?;
        progress.step();
    }
}
