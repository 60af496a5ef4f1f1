//! Positions in a source's binlog: GTIDs, sets of GTIDs, file and offset, and the two together.
//!
//! In: texts from MySQL, the command line and the store. Out: values with exact set algebra. A position only ever moves
//! forward by whole transactions. No I/O, no MySQL crates.

use std::cmp::Ordering;
use std::sync::Arc;

use uuid::Uuid;

use crate::schema::Schema;

mod gtid;
mod proof;
mod resume;
mod start;

pub use gtid::{Gtid, GtidSet, ParseError, Tag};
pub use proof::{Anchor, Local, Proof};
pub use resume::{Resume, Within};
pub use start::{Retention, Start};

/// A place between two events of one server's binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOffset {
    pub file: Arc<str>,
    /// Bytes from the start of the file.
    pub offset: u64,
}

impl FileOffset {
    /// Which of two places of one server comes first. The server counts its files up.
    pub fn order(&self, other: &FileOffset) -> Ordering {
        (file_number(&self.file), self.offset).cmp(&(file_number(&other.file), other.offset))
    }
}

impl std::fmt::Display for FileOffset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// Binlog files end with a number; none where a name does not.
pub fn file_number(file: &str) -> Option<u64> {
    let (_, number) = file.rsplit_once('.')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

/// Everything that was committed up to some moment, as one value: what a checkpoint stores. Only the source and the
/// store's record know its parts; all other code uses its methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    parts: PositionParts,
}

/// The parts of a position: how it is found in a server's binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionParts {
    /// `@@server_uuid` of the server that `file` belongs to.
    pub server_uuid: Uuid,
    /// The transactions with GTIDs that are covered, whatever `gtid_mode` is; none where they are not known.
    pub gtids: Option<GtidSet>,
    pub file: FileOffset,
    /// Where XA transactions begin that were prepared before `file` and not decided yet; they are read again. Their GTIDs,
    /// if they have any, are not in `gtids` as long as they are undecided.
    pub undecided: Arc<[FileOffset]>,
    pub found_by: FoundBy,
    /// The proof by which the log is recognized.
    pub proof: Proof,
}

/// A position as people and records name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description<'a> {
    pub server_uuid: Uuid,
    /// The set of GTIDs as MySQL prints it; none where it is empty or not known.
    pub gtids: Option<String>,
    pub file: &'a FileOffset,
}

/// By which part a server finds a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The GTID set alone: `file` is only where the search may begin, or is not known to belong to the set.
    Set,
    /// `file` alone, on the server that it belongs to: the set is not known, or transactions without GTIDs follow its
    /// last one. Another server can't know whether these are covered.
    Place,
    /// On the server that `file` belongs to by `file`, on every other one by the GTID set.
    Either,
}

/// The end of one transaction: how a position moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub server_uuid: Uuid,
    pub gtid: Option<Gtid>,
    /// The GTID of the XA PREPARE that this transaction decides.
    pub decided: Option<Gtid>,
    /// Where the next transaction begins.
    pub end: FileOffset,
    /// As in [`Position`], from here on.
    pub undecided: Arc<[FileOffset]>,
    /// Whether only this server's file and offset say what is covered from here on: a transaction without GTID was committed
    /// after the last one with, or is prepared.
    pub anonymous_follow: bool,
    /// The set of everything before the file in which it ended, without what was undecided there; none where the reader did
    /// not come by the head of the file.
    pub gtids_at_head: Option<Arc<GtidSet>>,
    /// The transaction that ended, by which the log is recognized.
    pub anchor: Arc<Anchor>,
    /// As in [`Proof`], of the file in which it ended; none where the stream did not say.
    pub file_created_s: Option<u32>,
    pub committed_at_us: u64,
    /// The definitions known after it; none where they are the previous ones.
    pub schema: Option<Arc<Schema>>,
}

impl Committed {
    /// The transactions that are complete with it. Empty for the end of an XA PREPARE. With GTIDs an undecided one is
    /// read again, possibly before a transaction whose first rows were read already; that transaction continues after
    /// it.
    pub fn gtids(&self) -> impl Iterator<Item = &Gtid> {
        self.gtid.iter().chain(&self.decided)
    }

    pub fn is_anonymous(&self) -> bool {
        self.anchor.gtid.is_none()
    }

    /// Whether the transaction in which rows are counted ends with it. The end of an XA PREPARE with a GTID does not
    /// show that, because it may be read again.
    pub fn is_end(&self) -> bool {
        self.is_anonymous() || self.gtids().next().is_some()
    }
}

impl Position {
    /// From the parts that the source found or the store has kept.
    pub fn from_parts(parts: PositionParts) -> Position {
        Position { parts }
    }

    /// For the source, which searches a log for it, and for the store, which keeps it.
    pub fn parts(&self) -> &PositionParts {
        &self.parts
    }

    /// The same, to be changed.
    pub fn into_parts(self) -> PositionParts {
        self.parts
    }

    /// Before anything was read.
    pub fn nowhere() -> Position {
        let file = FileOffset { file: "".into(), offset: 0 };
        let (undecided, proof, found_by) = (Arc::default(), Proof::default(), FoundBy::Place);
        Position::from_parts(PositionParts { server_uuid: Uuid::nil(), gtids: None, file, undecided, found_by, proof })
    }

    /// When the newest transaction that it covers was committed, in microseconds since the Unix epoch; none where its proof
    /// does not say.
    pub fn committed_at_us(&self) -> Option<u64> {
        let newest = self.parts.proof.anchors().last()?;
        Some(newest.original_commit_us).filter(|us| *us != 0)
    }

    /// In a form for people and for records.
    pub fn describe(&self) -> Description<'_> {
        let PositionParts { server_uuid, gtids, file, .. } = &self.parts;
        let gtids = gtids.as_ref().filter(|set| !set.is_empty()).map(ToString::to_string);
        Description { server_uuid: *server_uuid, gtids, file }
    }

    /// Where the next transaction begins on its server, or where the search for it may begin.
    pub fn place(&self) -> &FileOffset {
        &self.parts.file
    }

    /// `@@server_uuid` of the server that [`place`](Position::place) belongs to.
    pub fn server_uuid(&self) -> Uuid {
        self.parts.server_uuid
    }

    /// Whether the transactions with GTIDs that it covers are known.
    pub fn knows_gtids(&self) -> bool {
        self.parts.gtids.is_some()
    }

    /// Moves past a transaction. Transactions must be given in the order of the binlog.
    pub fn advance(&mut self, committed: &Committed) {
        let parts = &mut self.parts;
        parts.server_uuid = committed.server_uuid;
        parts.file = committed.end.clone();
        parts.undecided = Arc::clone(&committed.undecided);
        parts.proof.note(&committed.anchor);
        parts.proof.file_created_s = committed.file_created_s;
        if parts.gtids.is_none() {
            parts.gtids = committed.gtids_at_head.as_deref().cloned();
        }
        if let Some(set) = &mut parts.gtids {
            committed.gtids().for_each(|gtid| set.insert(gtid));
        }
        let is_found_elsewhere = parts.gtids.is_some() && !committed.anonymous_follow;
        parts.found_by = if is_found_elsewhere { FoundBy::Either } else { FoundBy::Place };
    }

    /// Moves past several transactions at once: the last one, and the GTIDs of all.
    pub fn advance_over(&mut self, last: &Committed, gtids: &GtidSet) {
        self.advance(last);
        if let Some(set) = &mut self.parts.gtids {
            set.union_with(gtids);
        }
    }

    /// Sets the proof by which the log is recognized later.
    pub fn prove_by(&mut self, proof: Proof) {
        self.parts.proof = proof;
    }

    /// Takes over the proof of the log, if it belongs to exactly this place and differs. True: it did.
    pub fn adopt_proof(&mut self, of: &Position) -> bool {
        let is_here = of.parts.file == self.parts.file && of.parts.gtids == self.parts.gtids;
        if !is_here || of.parts.proof == self.parts.proof {
            return false;
        }
        self.parts.proof = of.parts.proof.clone();
        true
    }

    /// Whether a transaction that begins here on this server is covered.
    pub fn covers(&self, gtid: Option<&Gtid>, server_uuid: Uuid, begin: &FileOffset) -> bool {
        match (&self.parts.gtids, gtid) {
            (Some(set), Some(gtid)) => set.contains(gtid),
            _ => self.is_placed() && server_uuid == self.server_uuid() && begin.order(self.place()) == Ordering::Less,
        }
    }

    /// Whether the end of a transaction is covered; where it has a GTID also if none is done by it (an XA PREPARE).
    pub fn covers_end(&self, committed: &Committed) -> bool {
        match self.parts.gtids.as_ref().filter(|_| !committed.is_anonymous()) {
            Some(set) => committed.gtids().all(|gtid| set.contains(gtid)),
            None => {
                self.is_placed()
                    && committed.server_uuid == self.server_uuid()
                    && committed.end.order(self.place()) != Ordering::Greater
            }
        }
    }

    /// Whether a transaction that is read on the way here, and begins there, lies before it.
    pub fn takes_in(&self, gtid: Option<&Gtid>, begin: &FileOffset) -> bool {
        match (&self.parts.gtids, gtid) {
            (Some(set), Some(gtid)) => set.contains(gtid),
            // The end is where the set is complete, wherever that is.
            _ if !self.is_placed() => true,
            _ => begin.order(self.place()).is_lt(),
        }
    }

    /// Whether the transaction that rows were counted in after `earlier` has ended here.
    pub fn has_passed(&self, within: &Within, earlier: &Position) -> bool {
        match (&self.parts.gtids, within.gtid()) {
            (Some(set), Some(transaction)) => transaction.is_subset_of(set),
            _ => earlier.lies_before(self),
        }
    }

    /// Whether `file` says exactly where it is.
    pub fn is_placed(&self) -> bool {
        self.parts.found_by != FoundBy::Set
    }

    /// The set by which it is found on other servers.
    pub fn set(&self) -> Option<&GtidSet> {
        self.parts.gtids.as_ref().filter(|_| self.parts.found_by != FoundBy::Place)
    }

    fn shares_places_with(&self, other: &Position) -> bool {
        self.server_uuid() == other.server_uuid() && self.is_placed() && other.is_placed()
    }

    /// The place from which on a reader needs the binlog files of `server_uuid` to go on here.
    pub fn oldest_needed(&self) -> &FileOffset {
        self.parts.undecided.iter().fold(&self.parts.file, |oldest, place| match place.order(oldest) {
            Ordering::Less => place,
            Ordering::Equal | Ordering::Greater => oldest,
        })
    }

    /// Whether readers need the files of one server from the same one on to go on at both.
    pub fn needs_same_file_as(&self, other: &Position) -> bool {
        self.server_uuid() == other.server_uuid() && self.oldest_needed().file == other.oldest_needed().file
    }

    /// Whether it has the earlier place of the two on one server.
    pub fn lies_before(&self, other: &Position) -> bool {
        self.server_uuid() == other.server_uuid() && self.place().order(other.place()) == Ordering::Less
    }

    /// How many bytes lie from its place to the other one. None: the two are not in one file of one server, or the other one
    /// comes first.
    pub fn bytes_to(&self, other: &Position) -> Option<u64> {
        let (place, end) = (self.place(), other.place());
        let is_one_file = self.server_uuid() == other.server_uuid() && place.file == end.file;
        end.offset.checked_sub(place.offset).filter(|_| is_one_file)
    }

    /// Whether one of the two can be said to lie before the other, or at the same place.
    pub fn is_comparable_with(&self, other: &Position) -> bool {
        self.shares_places_with(other) || (self.set().is_some() && other.set().is_some())
    }

    /// Whether everything that `other` covers is covered here, too. On one server both the sets and the places must say so: the
    /// set alone knows nothing of transactions without GTIDs, and the place alone nothing of those that another server had
    /// in another order.
    pub fn reaches(&self, other: &Position) -> bool {
        let (ours, theirs) = (&self.parts.gtids, &other.parts.gtids);
        let by_set = ours.as_ref().zip(theirs.as_ref()).map(|(ours, theirs)| theirs.is_subset_of(ours));
        if self.shares_places_with(other) {
            return by_set.unwrap_or(true) && self.place().order(other.place()) != Ordering::Less;
        }
        by_set.unwrap_or(false) && other.set().is_some()
    }

    /// The last position from which reading misses nothing that comes after either of the two, which must be
    /// comparable. Both cover all that it covers. `file` and the undecided transactions are those of the earlier one.
    pub fn before_both(&self, other: &Position) -> Position {
        let is_earlier =
            self.server_uuid() != other.server_uuid() || self.place().order(other.place()) != Ordering::Greater;
        let earlier = if is_earlier { &self.parts } else { &other.parts };
        let gtids = match (&self.parts.gtids, &other.parts.gtids) {
            (Some(ours), Some(theirs)) => Some(ours.intersection(theirs)),
            _ => None,
        };
        let proof = gtids.as_ref().map_or_else(|| earlier.proof.clone(), |set| earlier.proof.within(set));
        let found_by = match (self.shares_places_with(other), &gtids) {
            (false, _) => FoundBy::Set,
            (true, None) => FoundBy::Place,
            (true, Some(_)) => earlier.found_by,
        };
        Position::from_parts(PositionParts { gtids, found_by, proof, ..earlier.clone() })
    }

    /// The same, but without a server if the two belong to different ones: files of two servers have no order, so only
    /// GTIDs say what comes first.
    pub fn before_both_anywhere(&self, other: &Position) -> Position {
        let before = self.before_both(other).into_parts();
        let server_uuid = if self.server_uuid() == other.server_uuid() { before.server_uuid } else { Uuid::nil() };
        Position::from_parts(PositionParts { server_uuid, ..before })
    }
}

impl std::fmt::Display for Position {
    /// As people name it in the log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Description { gtids, file, .. } = self.describe();
        match gtids {
            Some(set) => write!(f, "gtid set {set} ({file})"),
            None => file.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, offset: u64, gtids: Option<&str>) -> Position {
        Position::from_parts(PositionParts {
            server_uuid: Uuid::nil(),
            gtids: gtids.map(|set| set.parse().expect("a set")),
            file: FileOffset { file: file.into(), offset },
            undecided: [FileOffset { file: file.into(), offset: 4 }].into(),
            found_by: if gtids.is_some() { FoundBy::Either } else { FoundBy::Place },
            proof: Proof::default(),
        })
    }

    fn on_another_server(position: Position) -> Position {
        Position::from_parts(PositionParts { server_uuid: Uuid::from_u128(1), ..position.into_parts() })
    }

    #[test]
    fn places_are_ordered_by_the_number_of_the_file_then_by_offset() {
        for (one, other) in [
            (("b.000009", 900), ("b.000010", 4)),
            (("b.999999", 4), ("b.1000000", 4)),
            (("b.000001", 4), ("b.000001", 5)),
        ] {
            let (one, other) = (at(one.0, one.1, None), at(other.0, other.1, None));
            assert_eq!(one.place().order(other.place()), Ordering::Less);
            assert_eq!(other.place().order(one.place()), Ordering::Greater);
            assert!(other.reaches(&one) && !one.reaches(&other) && one.reaches(&one));
            assert_eq!(one.before_both(&other), one);
            assert_eq!(other.before_both(&one), one);
        }
    }

    #[test]
    fn places_of_two_servers_are_ordered_by_their_sets_alone() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let one = at("b.000002", 4, Some(&format!("{uuid}:1-5:8")));
        let other = on_another_server(at("b.000001", 4, Some(&format!("{uuid}:1-6"))));
        assert!(!one.reaches(&other) && !other.reaches(&one) && one.is_comparable_with(&other));
        let before = at("b.000001", 4, Some(&format!("{uuid}:1-5")));
        let both = one.before_both(&other);
        assert_eq!((both.parts.gtids.as_ref(), both.parts.found_by), (before.parts.gtids.as_ref(), FoundBy::Set));
        assert!(one.reaches(&before) && other.reaches(&before));
        let without = on_another_server(at("b.000009", 4, None));
        assert!(!without.is_comparable_with(&one) && !without.reaches(&one) && !one.reaches(&without));
        // Transactions without GTIDs follow: no other server can tell which of them are covered.
        let tied = Position::from_parts(PositionParts { found_by: FoundBy::Place, ..before.into_parts() });
        assert!(!other.reaches(&tied) && !tied.is_comparable_with(&other) && one.reaches(&tied));
    }

    #[test]
    fn on_one_server_both_the_place_and_the_set_must_be_reached() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let one = at("b.000001", 400, Some(&format!("{uuid}:1-5")));
        // Another server had 4 and 5 before 3.
        let fewer = at("b.000001", 400, Some(&format!("{uuid}:1-2:4")));
        let later = at("b.000001", 500, Some(&format!("{uuid}:1-5")));
        assert!(one.reaches(&fewer) && !fewer.reaches(&one));
        assert!(later.reaches(&one) && !one.reaches(&later), "a transaction without GTID lies between");
        assert_eq!(later.before_both(&fewer), fewer);
        assert!(one.is_comparable_with(&at("b.000001", 4, None)));
        assert_eq!(one.before_both(&at("b.000001", 4, None)), at("b.000001", 4, None));
    }
    #[test]
    fn what_lies_between_two_places_is_known_within_one_file() {
        for (from, to, lies_before, bytes, needs_same_file) in [
            (at("b.000001", 4, None), at("b.000001", 9, None), true, Some(5), true),
            (at("b.000001", 9, None), at("b.000001", 9, None), false, Some(0), true),
            (at("b.000001", 9, None), at("b.000001", 4, None), false, None, true),
            (at("b.000001", 4, None), at("b.000002", 9, None), true, None, false),
            (at("b.000001", 4, None), on_another_server(at("b.000001", 9, None)), false, None, false),
        ] {
            assert_eq!((from.lies_before(&to), from.bytes_to(&to)), (lies_before, bytes), "{from} {to}");
            assert_eq!(from.needs_same_file_as(&to), needs_same_file, "{from} {to}");
        }
    }

    #[test]
    fn a_place_before_marks_of_two_servers_is_of_neither() {
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        let (one, later) = (at("b.000001", 4, Some(set)), at("b.000002", 4, Some(set)));
        assert_eq!(one.before_both_anywhere(&later), one);
        assert_eq!(one.before_both_anywhere(&on_another_server(later)).server_uuid(), Uuid::nil());
    }

    #[test]
    fn a_proof_is_taken_over_at_the_very_place_alone() {
        let mut here = at("b.000001", 400, None);
        let mut proven = here.clone();
        proven.prove_by(Proof::new(vec![Anchor::of_test(None, 100)], Some(7)));
        assert!(!here.adopt_proof(&at("b.000001", 500, None)));
        assert!(here.adopt_proof(&proven) && here == proven);
        assert!(!here.adopt_proof(&proven), "it has it already");
    }
}
