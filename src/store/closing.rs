//! What is done after the last write to a store that is whole: one that was closed in order, or newly made.
//!
//! In: the directory, in which sled is closed, and the tally. Out: a sled snapshot that contains all, with its copy,
//! and the tally on the disk. Sled makes a snapshot only at an opening; at the next opening it reads again what was
//! written since, and leaves out damaged parts without an error. With a snapshot of the end nothing is read again:
//! damage is found and reported. Opens the store as every opening does, so that a damaged one stays as it is. Keeps the
//! lock until all is done.

use std::path::{Path, PathBuf};

use super::lock::Lock;
use super::tally::{Tally, TallyFile};
use super::{Error, kept, recovery};

/// Makes the snapshot when it is dropped, which must be after sled was closed.
#[derive(Debug)]
pub(super) struct Closing {
    directory: PathBuf,
    lock: Lock,
    /// None: the store is not closed in order, or not yet.
    pub tally: Option<Tally>,
}

impl Closing {
    pub fn of(directory: &Path, lock: Lock) -> Closing {
        Closing { directory: directory.to_path_buf(), lock, tally: None }
    }
}

/// Makes the snapshot, copies it, and writes the tally. Durable.
///
/// # Errors
/// Those of opening the store: then its files and its tally are as they were.
pub(super) fn settle(directory: &Path, mut tally: Tally) -> Result<(), Error> {
    drop(recovery::open(directory, Some(&tally))?);
    let failed = |error| Error::write_io(directory, &error);
    kept::keep(directory, &mut tally).map_err(failed)?;
    kept::restrict(directory).map_err(failed)?;
    TallyFile::create(directory, tally).map(drop)
}

impl Drop for Closing {
    fn drop(&mut self) {
        let Some(tally) = self.tally.take() else { return };
        // There may be another store by now, or none.
        if !self.lock.is_of(&self.directory) {
            return tracing::warn!(directory = %self.directory.display(), "the data directory was moved or removed");
        }
        if let Err(error) = settle(&self.directory, tally) {
            tracing::warn!(%error, "the store was closed, but can't be opened again to write an index of its log");
        }
    }
}
