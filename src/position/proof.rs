//! The proof that a position still means the same log.
//!
//! In: the transactions that a position moves past. Out: for each server and tag the newest one, with what its GTID event
//! said. A GTID, or a file and an offset, are names: after a reset, from a backup or on a rebuilt server they are given
//! again to other transactions. The time of a transaction's first commit is not given again. Pure; the source looks up
//! whether the log still says the same.

use std::sync::Arc;

use uuid::Uuid;

use super::{FileOffset, Gtid, GtidSet};

/// Anchors kept, those noted last. Each pair of server and tag has one, and few replica sets have had more servers.
const ANCHORS_MAX: usize = 64;

/// A transaction by which a log is recognized: the content of its GTID event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// None: an anonymous transaction, which only the server it was read from knows.
    pub gtid: Option<Gtid>,
    /// The first commit, wherever that was, in microseconds since the Unix epoch: the same on every server. 0: the log
    /// does not say, and then it proves nothing.
    pub original_commit_us: u64,
    pub local: Local,
}

/// Facts that hold on one server only: its replicas write other values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    pub server_uuid: Uuid,
    /// Where the GTID event begins.
    pub begin: FileOffset,
    /// The commit on this server, in microseconds since the Unix epoch; 0: the log does not say.
    pub immediate_commit_us: u64,
    /// Of the GTID event; none where the log has no checksums.
    pub checksum: Option<u32>,
}

/// What proves a position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// The newest transaction of each server and tag, and the newest anonymous one; in the order in which they were noted.
    anchors: Vec<Arc<Anchor>>,
    /// When the position's file was begun: the time in the header of its format description event, in seconds since the
    /// Unix epoch. (The time in that event's body is 0 in every file but the first after the server's start.)
    pub file_created_s: Option<u32>,
}

impl Proof {
    pub fn new(anchors: Vec<Arc<Anchor>>, file_created_s: Option<u32>) -> Proof {
        Proof { anchors, file_created_s }
    }

    /// The newest transaction of each server and tag, the one noted last at the end.
    pub fn anchors(&self) -> &[Arc<Anchor>] {
        &self.anchors
    }

    /// Takes the place of the earlier transaction of the same server and tag.
    pub fn note(&mut self, anchor: &Arc<Anchor>) {
        // Nearly always it is the one that was noted last.
        if let Some(last) = self.anchors.last_mut()
            && last.is_of_the_same_origin(anchor)
        {
            *last = Arc::clone(anchor);
            return;
        }
        self.anchors.retain(|known| !known.is_of_the_same_origin(anchor));
        if self.anchors.len() == ANCHORS_MAX {
            self.anchors.remove(0);
        }
        self.anchors.push(Arc::clone(anchor));
    }

    /// The part of the proof for a position that covers only these transactions.
    pub(super) fn within(&self, gtids: &GtidSet) -> Proof {
        let is_in = |anchor: &&Arc<Anchor>| anchor.gtid.as_ref().is_none_or(|gtid| gtids.contains(gtid));
        Proof { anchors: self.anchors.iter().filter(is_in).cloned().collect(), ..*self }
    }
}

impl Anchor {
    /// Whether both are of one server and tag, or both anonymous.
    fn is_of_the_same_origin(&self, other: &Anchor) -> bool {
        match (&self.gtid, &other.gtid) {
            (Some(ours), Some(theirs)) => ours.uuid == theirs.uuid && ours.tag == theirs.tag,
            (None, None) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
impl Anchor {
    /// Of a transaction that begins here.
    pub fn of_test(gtid: Option<Gtid>, offset: u64) -> Arc<Anchor> {
        let begin = FileOffset { file: "b.000001".into(), offset };
        let local =
            Local { server_uuid: Uuid::nil(), begin, immediate_commit_us: offset, checksum: Some(offset as u32) };
        Arc::new(Anchor { gtid, original_commit_us: offset, local })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tag;
    use super::*;

    fn anchor(server: Option<u128>, tag: &str, number: u64) -> Arc<Anchor> {
        let tag = if tag.is_empty() { Tag::default() } else { Tag::parse(tag).expect("a tag") };
        Anchor::of_test(server.map(|server| Gtid { uuid: Uuid::from_u128(server), tag, number }), number)
    }

    #[test]
    fn the_newest_transaction_of_each_server_and_tag_is_kept() {
        let mut proof = Proof::default();
        let noted =
            [(Some(1), "", 5), (Some(2), "", 1), (Some(1), "", 6), (Some(1), "t", 1), (None, "", 8), (None, "", 9)];
        for (server, tag, number) in noted {
            proof.note(&anchor(server, tag, number));
        }
        let kept = [anchor(Some(2), "", 1), anchor(Some(1), "", 6), anchor(Some(1), "t", 1), anchor(None, "", 9)];
        assert_eq!(proof.anchors(), kept);
        let set = format!("{}:1-5,{}:1", Uuid::from_u128(1), Uuid::from_u128(2)).parse().expect("a set");
        assert_eq!(proof.within(&set).anchors(), [kept[0].clone(), kept[3].clone()]);
    }

    #[test]
    fn the_number_of_anchors_is_bounded() {
        let mut proof = Proof::default();
        for server in 0..2 * ANCHORS_MAX as u128 {
            proof.note(&anchor(Some(server), "", 1));
        }
        assert_eq!(proof.anchors().len(), ANCHORS_MAX);
        assert_eq!(proof.anchors().last(), Some(&anchor(Some(2 * ANCHORS_MAX as u128 - 1), "", 1)));
    }
}
