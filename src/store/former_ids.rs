//! How long deliveries are also known by the ids that they had up to format 3.
//!
//! In: a store of an older format, then the end of the log as it was seen first after the upgrade. Out: a record that says
//! up to where ledger and sagas may name deliveries by their former ids. Removed when every rule's low-water
//! mark has passed that end.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checkpoint::FormerIds;
use super::chunks::{self, Damage, Framed};
use super::{Error, checkpoint, walk};
use crate::position::Resume;

/// Name of the record, among those of checkpoints.
pub(super) const FORMER_IDS: &[u8] = b"former_ids";

#[derive(Serialize, Deserialize)]
struct Record {
    up_to: Option<checkpoint::CheckpointRecord>,
}

/// To be called before an older store gets this format.
pub(super) fn expect(checkpoints: &sled::Tree, directory: &Path) -> Result<(), Error> {
    let failed = |error| Error::write(directory, &error);
    let has_checkpoint = walk::contains(checkpoints, chunks::key(checkpoint::MAIN, 0)).map_err(failed)?;
    let is_known = walk::contains(checkpoints, chunks::key(FORMER_IDS, 0)).map_err(failed)?;
    if has_checkpoint && !is_known {
        for (chunk, content) in encode(&FormerIds::Everywhere).chunks() {
            checkpoints.insert(chunks::key(FORMER_IDS, chunk), content).map_err(failed)?;
        }
    }
    Ok(())
}

pub(super) fn encode(former: &FormerIds) -> Framed {
    let up_to = match former {
        FormerIds::Everywhere => None,
        FormerIds::UpTo(position) => {
            let resume = Resume { position: position.clone(), within: Vec::new(), schema: Default::default() };
            Some(checkpoint::record(&resume))
        }
    };
    Framed::json(&Record { up_to })
}

pub(super) fn decode(content: &[u8]) -> Result<FormerIds, Damage> {
    let Record { up_to } = chunks::decode(content)?;
    Ok(match up_to {
        None => FormerIds::Everywhere,
        Some(record) => FormerIds::UpTo(checkpoint::resume_of(record, Default::default())?.position),
    })
}
