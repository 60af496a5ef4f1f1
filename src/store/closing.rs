//! What is done when a store was closed in order.
//!
//! In: the data directory, and the tally. Out: a snapshot of sled's that holds all, with its copy. Sled makes one at an opening and
//! at no other time; what was written since it reads anew at the next, and leaves out what is damaged there without a word. With
//! a snapshot of the end nothing is read anew: damage is met where it is, and named.

use std::path::{Path, PathBuf};

use super::tally::{Tally, TallyFile};
use super::{Error, kept, recovery};

/// Does it when it is dropped, which must be after sled was closed and before the lock is given back.
#[derive(Debug)]
pub(super) struct Closing {
    directory: PathBuf,
    /// None: the store is not closed in order, or not yet.
    pub tally: Option<Tally>,
}

impl Closing {
    pub fn of(directory: &Path) -> Closing {
        Closing { directory: directory.to_path_buf(), tally: None }
    }

    fn settle(&self, mut tally: Tally) -> Result<(), Error> {
        drop(recovery::open_sled(&self.directory)?);
        kept::keep(&self.directory, &mut tally).map_err(|error| Error::write_io(&self.directory, &error))?;
        TallyFile::create(&self.directory, tally).map(drop)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let Some(tally) = self.tally.take() else { return };
        if let Err(error) = self.settle(tally) {
            // All that was written is there; the next opening reads its log anew.
            tracing::debug!(%error, "no snapshot could be made at the end");
        }
    }
}
