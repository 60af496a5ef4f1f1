//! Positions in a source's binlog: GTIDs, sets of GTIDs, file and offset, and the two together.
//!
//! In: texts from MySQL, the command line and the store. Out: values with exact set algebra. A position only ever moves
//! forward by whole transactions. No I/O, no MySQL crates.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::change::Transaction;
use crate::schema::Schema;

mod gtid;
mod proof;

pub use gtid::{Gtid, GtidSet, ParseError, Tag};
pub use proof::{Anchor, Local, Proof};

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

/// Everything that was committed up to some moment, as one value: what a checkpoint stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// `@@server_uuid` of the server that `file` belongs to.
    pub server_uuid: Uuid,
    /// The transactions with GTIDs that are covered, whatever `gtid_mode` is; none where they are not known.
    pub gtids: Option<GtidSet>,
    pub file: FileOffset,
    /// Where XA transactions begin that were prepared before `file` and not decided yet; they are read again. Their GTIDs,
    /// if they have any, are not in `gtids` as long as they are undecided.
    pub undecided: Arc<[FileOffset]>,
    pub found_by: FoundBy,
    /// By what the log is known again.
    pub proof: Proof,
}

/// By what a server finds a position again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The GTID set alone: `file` is only where the search may begin, or is not known to belong to the set.
    Set,
    /// `file` alone, on the server that it belongs to: the set is not known, or transactions without GTIDs follow its last
    /// one, of which another server can't tell whether they are covered.
    Place,
    /// On the server that `file` belongs to by `file`, on every other one by the GTID set.
    Either,
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
    /// Whether only this server's file and offset say what is covered from here on: a transaction without GTID was committed
    /// after the last one with, or is prepared.
    pub anonymous_follow: bool,
    /// The set of everything before the file in which it ended, without what was undecided there; none where the reader did
    /// not come by the head of the file.
    pub gtids_at_head: Option<Arc<GtidSet>>,
    /// The transaction that ended, by which the log is known again.
    pub anchor: Arc<Anchor>,
    /// As in [`Proof`], of the file in which it ended; none where the stream did not say.
    pub file_created_s: Option<u32>,
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

    pub fn is_anonymous(&self) -> bool {
        self.anchor.gtid.is_none()
    }

    /// Whether the transaction that rows were counted in is over with it. The end of an XA PREPARE with a GTID says nothing
    /// of that, as it may be read again.
    pub fn is_end(&self) -> bool {
        self.is_anonymous() || self.gtids().next().is_some()
    }
}

impl Position {
    /// Moves past a transaction. Transactions must be given in the order of the binlog.
    pub fn advance(&mut self, committed: &Committed) {
        self.server_uuid = committed.server_uuid;
        self.file = committed.end.clone();
        self.undecided = Arc::clone(&committed.undecided);
        self.proof.note(&committed.anchor);
        self.proof.file_created_s = committed.file_created_s;
        if self.gtids.is_none() {
            self.gtids = committed.gtids_at_head.as_deref().cloned();
        }
        if let Some(set) = &mut self.gtids {
            committed.gtids().for_each(|gtid| set.insert(gtid));
        }
        let is_found_elsewhere = self.gtids.is_some() && !committed.anonymous_follow;
        self.found_by = if is_found_elsewhere { FoundBy::Either } else { FoundBy::Place };
    }

    /// Whether a transaction that begins here on this server is covered.
    pub fn covers(&self, gtid: Option<&Gtid>, server_uuid: Uuid, begin: &FileOffset) -> bool {
        match (&self.gtids, gtid) {
            (Some(set), Some(gtid)) => set.contains(gtid),
            _ => self.is_placed() && server_uuid == self.server_uuid && begin.order(&self.file) == Ordering::Less,
        }
    }

    /// Whether `file` says exactly where it is.
    pub fn is_placed(&self) -> bool {
        self.found_by != FoundBy::Set
    }

    /// The set by which it is found on other servers.
    pub fn set(&self) -> Option<&GtidSet> {
        self.gtids.as_ref().filter(|_| self.found_by != FoundBy::Place)
    }

    fn shares_places_with(&self, other: &Position) -> bool {
        self.server_uuid == other.server_uuid && self.is_placed() && other.is_placed()
    }

    /// The place from which on a reader needs the binlog files of `server_uuid` to go on here.
    pub fn oldest_needed(&self) -> &FileOffset {
        self.undecided.iter().fold(&self.file, |oldest, place| match place.order(oldest) {
            Ordering::Less => place,
            Ordering::Equal | Ordering::Greater => oldest,
        })
    }

    /// Whether one of the two can be said to lie before the other, or at the same place.
    pub fn is_comparable_with(&self, other: &Position) -> bool {
        self.shares_places_with(other) || (self.set().is_some() && other.set().is_some())
    }

    /// Whether everything that `other` covers is covered here, too. On one server both the sets and the places must say so: the
    /// set alone knows nothing of transactions without GTIDs, and the place alone nothing of those that another server had
    /// in another order.
    pub fn reaches(&self, other: &Position) -> bool {
        let by_set = self.gtids.as_ref().zip(other.gtids.as_ref()).map(|(ours, theirs)| theirs.is_subset_of(ours));
        if self.shares_places_with(other) {
            return by_set.unwrap_or(true) && self.file.order(&other.file) != Ordering::Less;
        }
        by_set.unwrap_or(false) && other.set().is_some()
    }

    /// The last place from which nothing is missed that comes after either; both must be comparable. None of what it
    /// covers is missing in one of them. `file` with what is undecided there is that of the earlier one.
    pub fn before_both(&self, other: &Position) -> Position {
        let is_earlier = self.server_uuid != other.server_uuid || self.file.order(&other.file) != Ordering::Greater;
        let earlier = if is_earlier { self } else { other };
        let gtids = match (&self.gtids, &other.gtids) {
            (Some(ours), Some(theirs)) => Some(ours.intersection(theirs)),
            _ => None,
        };
        let proof = gtids.as_ref().map_or_else(|| earlier.proof.clone(), |set| earlier.proof.within(set));
        let found_by = match (self.shares_places_with(other), &gtids) {
            (false, _) => FoundBy::Set,
            (true, None) => FoundBy::Place,
            (true, Some(_)) => earlier.found_by,
        };
        Position { gtids, found_by, proof, ..earlier.clone() }
    }
}

impl std::fmt::Display for Position {
    /// As people name it in the log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.gtids.as_ref().filter(|set| !set.is_empty()) {
            Some(set) => write!(f, "gtid set {set} ({})", self.file),
            None => self.file.fmt(f),
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
    /// [`crate::change::Transaction::identity`]; stores of format 3 and before have its name here.
    pub transaction: Box<str>,
    /// `schema.table`.
    pub table: Box<str>,
    pub rows: u64,
}

impl Within {
    pub fn is_of(&self, transaction: &Transaction) -> bool {
        let name = transaction.name();
        match self.transaction.strip_prefix(&*name) {
            // The form of before, or a transaction without a time: the two can't be told apart, and both have this name.
            Some("") => true,
            Some(_) => *self.transaction == *transaction.identity(),
            None => false,
        }
    }

    /// Its GTID, if it has one, as a set.
    pub fn gtid(&self) -> Option<GtidSet> {
        let name = self.transaction.split_once('@').map_or(&*self.transaction, |(name, _)| name);
        name.parse().ok()
    }
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

impl Start {
    /// Reads `latest`, `earliest`, a GTID set, or `binlog.000001:4`. The error says what was expected.
    pub fn parse(text: &str) -> Result<Start, &'static str> {
        match text {
            "latest" => return Ok(Start::Latest),
            "earliest" => return Ok(Start::Earliest),
            _ => {}
        }
        // A GTID set has colons too, but begins with a UUID; a binlog file's name ends in a number after a dot.
        if let Some((file, offset)) = text.rsplit_once(':')
            && file_number(file).is_some()
            && !file.contains(':')
        {
            return match offset.parse() {
                Ok(offset) if offset >= 4 => Ok(Start::At(FileOffset { file: file.into(), offset })),
                _ => Err("the offset must be a number of bytes, 4 or more"),
            };
        }
        match text.parse::<GtidSet>() {
            Ok(set) if !set.is_empty() => Ok(Start::After(set)),
            _ => Err("expected latest, earliest, a GTID set (uuid:1-100), or binlog.000001:4"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, offset: u64, gtids: Option<&str>) -> Position {
        Position {
            server_uuid: Uuid::nil(),
            gtids: gtids.map(|set| set.parse().expect("a set")),
            file: FileOffset { file: file.into(), offset },
            undecided: [FileOffset { file: file.into(), offset: 4 }].into(),
            found_by: if gtids.is_some() { FoundBy::Either } else { FoundBy::Place },
            proof: Proof::default(),
        }
    }

    #[test]
    fn places_are_ordered_by_the_number_of_the_file_then_by_offset() {
        for (one, other) in [
            (("b.000009", 900), ("b.000010", 4)),
            (("b.999999", 4), ("b.1000000", 4)),
            (("b.000001", 4), ("b.000001", 5)),
        ] {
            let (one, other) = (at(one.0, one.1, None), at(other.0, other.1, None));
            assert_eq!(one.file.order(&other.file), Ordering::Less);
            assert_eq!(other.file.order(&one.file), Ordering::Greater);
            assert!(other.reaches(&one) && !one.reaches(&other) && one.reaches(&one));
            assert_eq!(one.before_both(&other), one);
            assert_eq!(other.before_both(&one), one);
        }
    }

    #[test]
    fn places_of_two_servers_are_ordered_by_their_sets_alone() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let elsewhere = |position| Position { server_uuid: Uuid::from_u128(1), ..position };
        let one = at("b.000002", 4, Some(&format!("{uuid}:1-5:8")));
        let other = elsewhere(at("b.000001", 4, Some(&format!("{uuid}:1-6"))));
        assert!(!one.reaches(&other) && !other.reaches(&one) && one.is_comparable_with(&other));
        let before = at("b.000001", 4, Some(&format!("{uuid}:1-5")));
        let both = one.before_both(&other);
        assert_eq!((both.gtids.as_ref(), both.found_by), (before.gtids.as_ref(), FoundBy::Set));
        assert!(one.reaches(&before) && other.reaches(&before));
        let without = elsewhere(at("b.000009", 4, None));
        assert!(!without.is_comparable_with(&one) && !without.reaches(&one) && !one.reaches(&without));
        // Transactions without GTIDs follow: nobody else can tell which of them are covered.
        let tied = Position { found_by: FoundBy::Place, ..before };
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
}
