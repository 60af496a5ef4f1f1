//! What proves a position, as it is on disk: part of the checkpoint's record.
//!
//! In: a `Proof`. Out: a record with GTIDs as text and numbers as they are, and back. Has no version of its own.

use std::fmt::Display;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::position::{Anchor, FileOffset, GtidSet, Local, Proof};

#[derive(Serialize, Deserialize, Default)]
pub(super) struct ProofRecord {
    anchors: Vec<AnchorRecord>,
    file_created_s: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct AnchorRecord {
    gtid: Option<String>,
    original_commit_us: u64,
    server_uuid: String,
    file: String,
    offset: u64,
    immediate_commit_us: u64,
    checksum: Option<u32>,
}

impl ProofRecord {
    pub fn of(proof: &Proof) -> ProofRecord {
        let anchors = proof.anchors().iter().map(|anchor| AnchorRecord::of(anchor)).collect();
        ProofRecord { anchors, file_created_s: proof.file_created_s }
    }

    /// The error names the text that is not a GTID or not a UUID.
    pub fn read(self) -> Result<Proof, impl Display> {
        let anchors: Result<_, String> = self.anchors.into_iter().map(AnchorRecord::read).collect();
        anchors.map(|anchors| Proof::new(anchors, self.file_created_s))
    }
}

impl AnchorRecord {
    fn of(Anchor { gtid, original_commit_us, local }: &Anchor) -> AnchorRecord {
        AnchorRecord {
            gtid: gtid.as_ref().map(ToString::to_string),
            original_commit_us: *original_commit_us,
            server_uuid: local.server_uuid.to_string(),
            file: local.begin.file.to_string(),
            offset: local.begin.offset,
            immediate_commit_us: local.immediate_commit_us,
            checksum: local.checksum,
        }
    }

    fn read(self) -> Result<Arc<Anchor>, String> {
        let one = |text: String| {
            let set: GtidSet = text.parse().map_err(|error| format!("{error}"))?;
            set.newest().next().ok_or_else(|| format!("`{text}` is no GTID"))
        };
        let local = Local {
            server_uuid: Uuid::try_parse(&self.server_uuid).map_err(|error| error.to_string())?,
            begin: FileOffset { file: self.file.into(), offset: self.offset },
            immediate_commit_us: self.immediate_commit_us,
            checksum: self.checksum,
        };
        let gtid = self.gtid.map(one).transpose()?;
        Ok(Arc::new(Anchor { gtid, original_commit_us: self.original_commit_us, local }))
    }
}
