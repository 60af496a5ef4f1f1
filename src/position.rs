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
    /// Set where `gtid_mode=ON`: it is then what a resume uses, and `file` is for people.
    pub gtids: Option<GtidSet>,
    pub file: FileOffset,
    /// Where XA transactions begin that were prepared before `file` and not decided yet; they are read again. Empty where
    /// there are GTIDs: theirs are not in `gtids` as long as they are undecided.
    pub undecided: Arc<[FileOffset]>,
    /// By what the log is known again.
    pub proof: Proof,
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
}

impl Position {
    /// Moves past a transaction. Transactions must be given in the order of the binlog.
    pub fn advance(&mut self, committed: &Committed) {
        self.server_uuid = committed.server_uuid;
        self.file = committed.end.clone();
        self.undecided = Arc::clone(&committed.undecided);
        self.proof.note(&committed.anchor);
        self.proof.file_created_s = committed.file_created_s;
        if let Some(set) = &mut self.gtids {
            committed.gtids().for_each(|gtid| set.insert(gtid));
        }
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
        match (&self.gtids, &other.gtids) {
            (Some(_), Some(_)) => true,
            (None, None) => self.server_uuid == other.server_uuid,
            _ => false,
        }
    }

    /// Whether everything that `other` covers is covered here, too.
    pub fn reaches(&self, other: &Position) -> bool {
        match (&self.gtids, &other.gtids) {
            (Some(ours), Some(theirs)) => theirs.is_subset_of(ours),
            _ => self.server_uuid == other.server_uuid && self.file.order(&other.file) != Ordering::Less,
        }
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
        Position { gtids, proof, ..earlier.clone() }
    }
}

impl std::fmt::Display for Position {
    /// As people name it in the log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.gtids {
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
    fn places_with_gtids_are_ordered_by_their_sets_alone() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let one = at("b.000002", 4, Some(&format!("{uuid}:1-5:8")));
        let other = at("b.000001", 4, Some(&format!("{uuid}:1-6")));
        assert!(!one.reaches(&other) && !other.reaches(&one));
        let before = at("b.000001", 4, Some(&format!("{uuid}:1-5")));
        assert_eq!(one.before_both(&other), before);
        assert!(one.reaches(&before) && other.reaches(&before));
        assert!(one.is_comparable_with(&other) && !one.is_comparable_with(&at("b.000001", 4, None)));
        let elsewhere = Position { server_uuid: Uuid::from_u128(1), ..at("b.000009", 4, None) };
        assert!(!elsewhere.is_comparable_with(&at("b.000001", 4, None)));
        assert!(!elsewhere.reaches(&at("b.000001", 4, None)));
    }
}
