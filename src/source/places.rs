//! Places in a server's binlog for an operator who moves a position: where they are, and what lies between two of them.
//!
//! In: a low-water mark, and a place as people name it. Out: a [`Position`] that the server can be read from and that
//! is the beginning of a transaction; the transaction right after a low-water mark; counts of what would be skipped or
//! repeated. Only reads; moves nothing. What can't be counted is reported as unknown, never guessed (promise 7).

use std::cmp::Ordering;

use mysql_async::Row;
use uuid::Uuid;

use crate::position::{FileOffset, FoundBy, Gtid, GtidSet, Position, Start};

use super::begin::{begin_after, first};
use super::connect::connect;
use super::connection::Connection;
use super::error::Error;
use super::event::previous_gtids;
use super::event_type;
use super::passing::{Passing, Passings, What};
use super::server::{FILE_START, Server};
use super::settings::Settings;
use super::wire::{Begin, Wire, of_fault};
use super::xa::Xid;

/// At most so much binlog is read to count what is in it: some seconds of work.
const COUNTED_BYTES_MAX: u64 = 1 << 30;

/// Why there is no such place.
#[derive(Debug, thiserror::Error)]
pub enum NoPlace {
    #[error(transparent)]
    Source(#[from] Error),
    #[error("the server has not executed {gtid}; its gtid_executed is {executed}")]
    NotExecuted { gtid: String, executed: String },
    #[error(
        "the server has purged {gtid}: what followed it is gone, too; `rowhook position set --to earliest` goes to \
         the oldest transaction that it still has"
    )]
    GtidPurged { gtid: String },
}

/// The transaction right after a low-water mark.
#[derive(Debug, Clone)]
pub struct NextTransaction {
    passing: Passing,
    server_uuid: Uuid,
    /// The prepared transaction that it decides, if the mark has that as undecided.
    decided: Option<Prepared>,
}

#[derive(Debug, Clone)]
struct Prepared {
    gtid: Option<Gtid>,
    begin: FileOffset,
}

impl NextTransaction {
    pub fn gtid(&self) -> Option<&Gtid> {
        self.passing.gtid.as_ref()
    }

    pub fn begin(&self) -> &FileOffset {
        &self.passing.begin
    }

    /// Microseconds since the Unix epoch; 0: not known.
    pub fn committed_at_us(&self) -> u64 {
        self.passing.committed_at_us
    }

    pub fn bytes(&self) -> u64 {
        self.passing.bytes()
    }

    pub fn what(&self) -> &What {
        &self.passing.what
    }

    /// The first tables that it changes rows of.
    pub fn tables(&self) -> &[String] {
        &self.passing.tables
    }

    /// Definitions that were known before it may be invalid after it.
    pub fn may_define(&self) -> bool {
        self.passing.may_define
    }

    /// It decides an XA transaction that was read and is undecided; both are skipped together.
    pub fn decides_prepared(&self) -> bool {
        self.decided.is_some()
    }

    pub fn is_same(&self, other: &NextTransaction) -> bool {
        self.passing.begin == other.passing.begin && self.passing.gtid == other.passing.gtid
    }

    /// Whether it lies before a mark.
    pub fn is_before(&self, mark: &Position) -> bool {
        match (&mark.parts().gtids, &self.passing.gtid) {
            (Some(set), Some(gtid)) => set.contains(gtid),
            _ => self.server_uuid == mark.server_uuid() && self.passing.end.order(mark.place()) != Ordering::Greater,
        }
    }

    /// The position right after it, for the mark right before it.
    pub fn passed_from(&self, mark: &Position) -> Position {
        let mut passed = self.without(mark).unwrap_or_else(|| mark.clone()).into_parts();
        passed.server_uuid = self.server_uuid;
        if passed.file.file != self.passing.end.file {
            passed.proof.file_created_s = None;
        }
        passed.file = self.passing.end.clone();
        if let Some(Prepared { begin, .. }) = &self.decided {
            passed.undecided = passed.undecided.iter().filter(|place| *place != begin).cloned().collect();
        }
        let is_in_set = self.passing.gtid.is_some() && passed.gtids.is_some() && passed.undecided.is_empty();
        passed.found_by = if is_in_set { FoundBy::Either } else { FoundBy::Place };
        Position::from_parts(passed)
    }

    /// An earlier mark that leaves out this one transaction. Only a GTID set can express that.
    pub fn without(&self, mark: &Position) -> Option<Position> {
        // Without a GTID of its own no set can name it.
        self.passing.gtid.as_ref()?;
        let mut without = mark.parts().clone();
        let set = without.gtids.as_mut()?;
        let decided = self.decided.as_ref().and_then(|prepared| prepared.gtid.as_ref());
        self.passing.gtid.iter().chain(decided).for_each(|gtid| set.insert(gtid));
        Some(Position::from_parts(without))
    }
}

/// What lies between two low-water marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Between {
    pub skipped: Count,
    pub repeated: Count,
    /// XA transactions that are prepared in what is skipped and not decided there: their rows are skipped, too.
    pub left_prepared: u64,
    /// Why nothing is known: the mark means nothing on this server.
    pub unknown: Option<String>,
}

/// None: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub transactions: Option<u64>,
    pub bytes: Option<u64>,
}

impl Count {
    const NOTHING: Count = Count { transactions: Some(0), bytes: Some(0) };
}

/// A server whose binlog is searched for places.
pub struct Places {
    settings: Settings,
    connection: Connection,
    server: Server,
}

impl Places {
    pub async fn open(settings: Settings) -> Result<Places, Error> {
        let mut connection = connect(&settings).await?;
        let server = Server::inspect(&mut connection, &settings.address()).await?;
        server.require()?;
        Ok(Places { settings, connection, server })
    }

    /// The position at which a reader would begin with this start.
    pub async fn find(&mut self, start: &Start) -> Result<Position, NoPlace> {
        let position = first(&self.settings, &self.server, &mut self.connection, start).await?;
        self.server.permit(&mut self.connection, &position).await?;
        Ok(position)
    }

    /// The position right after a transaction, in the order of the log.
    pub async fn behind(&mut self, gtid: &Gtid) -> Result<Position, NoPlace> {
        if self.server.purged(&mut self.connection).await?.contains(gtid) {
            return Err(NoPlace::GtidPurged { gtid: gtid.to_string() });
        }
        let executed = self.server.executed(&mut self.connection).await?;
        if executed.is_empty() && !self.server.has_gtids {
            return Err(Error::StartNeedsGtids { mode: self.server.gtid_mode() }.into());
        }
        let not_executed = || NoPlace::NotExecuted { gtid: gtid.to_string(), executed: executed.to_string() };
        if !executed.contains(gtid) {
            return Err(not_executed());
        }
        let file = self.file_with(gtid).await?;
        let mut passings = Passings::open(&self.settings, self.server.uuid, Begin::At(file)).await?;
        let end = loop {
            let passing = passings.next().await?.ok_or_else(not_executed)?;
            if passing.gtid.as_ref() == Some(gtid) {
                break passing.end;
            }
        };
        drop(passings);
        self.find(&Start::At(end)).await
    }

    /// The beginning of the file that holds a transaction: the last one whose head does not list it.
    async fn file_with(&mut self, gtid: &Gtid) -> Result<FileOffset, Error> {
        let mut files = self.server.files(&mut self.connection).await?;
        // Of the files before `low` none lists it, of those from `high` on each does.
        let (mut low, mut high) = (1, files.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let lists = self.listed_in(&files[middle]).await?.contains(gtid);
            (low, high) = if lists { (low, middle) } else { (middle + 1, high) };
        }
        Ok(FileOffset { offset: FILE_START, ..files.swap_remove(low - 1) })
    }

    /// The transactions before a file, as its head lists them.
    async fn listed_in(&self, file: &FileOffset) -> Result<GtidSet, Error> {
        let head = FileOffset { offset: FILE_START, ..file.clone() };
        let timeout = self.settings.heartbeat * 3;
        let mut wire = Wire::open(&self.settings, self.server.uuid, Begin::At(head), timeout).await?;
        loop {
            let event = wire.next().await?;
            if event.kind == event_type::PREVIOUS_GTIDS {
                return previous_gtids(&event.body).map_err(|fault| of_fault(fault, &file.file));
            }
        }
    }

    /// The transaction right after a mark; none where the log ends there.
    pub async fn next(&mut self, mark: &Position) -> Result<Option<NextTransaction>, NoPlace> {
        self.server.permit(&mut self.connection, mark).await?;
        let files = self.server.files(&mut self.connection).await?;
        let begin = begin_after(&self.settings, &self.server, &files, mark).await?;
        let mut passings = Passings::open(&self.settings, self.server.uuid, begin).await?;
        let mut prepared = Vec::new();
        let passing = loop {
            match passings.next().await? {
                None => return Ok(None),
                // It was read already; the set lacks it only because it is undecided.
                Some(passing) if self.was_read(&passing, mark) => prepared.push(passing),
                // A stream by place contains them all the same.
                Some(passing) if is_in(mark, passing.gtid.as_ref()) => {}
                Some(passing) => break passing,
            }
        };
        drop(passings);
        let decided = match &passing.decides {
            Some(xid) => self.prepared_as(xid, prepared, mark).await?,
            None => None,
        };
        Ok(Some(NextTransaction { passing, server_uuid: self.server.uuid, decided }))
    }

    fn was_read(&self, passing: &Passing, mark: &Position) -> bool {
        mark.knows_gtids()
            && passing.prepares.is_some()
            && mark.server_uuid() == self.server.uuid
            && passing.begin.order(mark.place()) == Ordering::Less
    }

    /// The XA transaction among those that the mark has as undecided: sent again by the server, or named in the
    /// position.
    async fn prepared_as(
        &self,
        xid: &Xid,
        mut known: Vec<Passing>,
        mark: &Position,
    ) -> Result<Option<Prepared>, Error> {
        for place in mark.parts().undecided.iter() {
            let begin = Begin::At(place.clone());
            known.extend(Passings::open(&self.settings, self.server.uuid, begin).await?.next().await?);
        }
        let found = known.into_iter().find(|passing| passing.prepares.as_ref() == Some(xid));
        Ok(found.map(|Passing { gtid, begin, .. }| Prepared { gtid, begin }))
    }

    /// XA transactions that are prepared at this moment, as far as the account may see them.
    pub async fn prepared(&mut self) -> usize {
        self.connection.query::<Row>("XA RECOVER").await.map_or(0, |list| list.len())
    }

    /// What moving from one place to another skips and repeats. `is_exact`: the file and offset of the new place are
    /// exact, and not only where the search for it begins.
    pub async fn between(&mut self, from: &Position, to: &Position, is_exact: bool) -> Result<Between, Error> {
        if let Err(error) = self.server.permit(&mut self.connection, from).await {
            return match error.next() {
                super::Next::Operator => Ok(Between { unknown: Some(of_what(&error)), ..Between::default() }),
                _ => Err(error),
            };
        }
        let is_one_server = from.server_uuid() == self.server.uuid;
        let span = if is_exact && is_one_server { self.span(from.place(), to.place()).await? } else { Span::default() };
        let is_back = to.place().order(from.place()) == Ordering::Less;
        let (mut skipped, mut repeated) = match (is_exact && is_one_server, is_back) {
            (true, false) => (span.count, Count::NOTHING),
            (true, true) => (Count::NOTHING, span.count),
            (false, _) => (Count::default(), Count::default()),
        };
        if let (true, Some(before), Some(after)) = (self.server.has_gtids, &from.parts().gtids, &to.parts().gtids) {
            let purged = self.server.purged(&mut self.connection).await?;
            skipped.transactions = Some(number_of(&after.missing_from(before)));
            repeated.transactions = Some(number_of(&before.missing_from(after).missing_from(&purged)));
        }
        for count in [&mut skipped, &mut repeated] {
            if count.transactions == Some(0) {
                count.bytes = Some(0);
            }
        }
        let waits_for = from.parts().undecided.len() as u64;
        let left_prepared = if is_back { 0 } else { span.left_prepared + waits_for };
        Ok(Between { skipped, repeated, left_prepared, unknown: None })
    }

    /// What lies between two places of this server.
    async fn span(&mut self, one: &FileOffset, other: &FileOffset) -> Result<Span, Error> {
        let (from, to) = if one.order(other) == Ordering::Greater { (other, one) } else { (one, other) };
        let files = self.server.files(&mut self.connection).await?;
        let Some(bytes) = bytes_between(&files, from, to) else { return Ok(Span::default()) };
        let mut span = Span { count: Count { transactions: None, bytes: Some(bytes) }, left_prepared: 0 };
        if bytes > COUNTED_BYTES_MAX || from.offset > u64::from(u32::MAX) {
            return Ok(span);
        }
        // Binlog that can't be read can't be counted; moving past it is allowed all the same.
        if let Ok((transactions, left_prepared)) = self.count(from, to).await {
            span.count.transactions = Some(transactions);
            span.left_prepared = left_prepared;
        }
        Ok(span)
    }

    async fn count(&self, from: &FileOffset, to: &FileOffset) -> Result<(u64, u64), Error> {
        let mut transactions = 0;
        let mut prepared: Vec<Xid> = Vec::new();
        if from == to {
            return Ok((0, 0));
        }
        let mut passings = Passings::open(&self.settings, self.server.uuid, Begin::At(from.clone())).await?;
        while let Some(passing) = passings.next().await? {
            if passing.begin.order(to) != Ordering::Less {
                break;
            }
            transactions += 1;
            if let Some(xid) = passing.decides {
                prepared.retain(|known| *known != xid);
            }
            prepared.extend(passing.prepares);
            if passing.end.order(to) != Ordering::Less {
                break;
            }
        }
        Ok((transactions, prepared.len() as u64))
    }
}

fn is_in(mark: &Position, gtid: Option<&Gtid>) -> bool {
    mark.parts().gtids.as_ref().zip(gtid).is_some_and(|(set, gtid)| set.contains(gtid))
}

#[derive(Debug, Default)]
struct Span {
    count: Count,
    left_prepared: u64,
}

/// Bytes of the log from one place to a later one; none where the server does not have all of it.
fn bytes_between(files: &[FileOffset], from: &FileOffset, to: &FileOffset) -> Option<u64> {
    let first = files.iter().position(|file| file.file == from.file)?;
    let last = files.iter().position(|file| file.file == to.file)?;
    let whole: u64 = files.get(first..last)?.iter().map(|file| file.offset).sum();
    (whole + to.offset).checked_sub(from.offset)
}

fn number_of(set: &GtidSet) -> u64 {
    set.intervals().map(|(_, _, (first, last))| last - first + 1).fold(0, u64::saturating_add)
}

/// The error without its fix: the operator is about to do that.
fn of_what(error: &Error) -> String {
    let text = error.to_string();
    text.split_once("; fix:").map_or(text.clone(), |(problem, _)| problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: u32, offset: u64) -> FileOffset {
        FileOffset { file: format!("b.{file:06}").into(), offset }
    }

    #[test]
    fn bytes_are_counted_over_existing_files() {
        let files = [place(2, 1000), place(3, 500), place(4, 800)];
        for (from, to, expected) in [
            (place(2, 4), place(2, 4), Some(0)),
            (place(2, 100), place(2, 900), Some(800)),
            (place(2, 400), place(4, 300), Some(600 + 500 + 300)),
            (place(1, 4), place(2, 4), None),
            (place(2, 4), place(5, 4), None),
        ] {
            assert_eq!(bytes_between(&files, &from, &to), expected, "{from} {to}");
        }
    }

    #[test]
    fn transactions_of_a_set_are_counted_over_servers_and_gaps() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        for (text, expected) in [("", 0), (&format!("{uuid}:1-5:9:tag:3-4")[..], 8)] {
            assert_eq!(number_of(&text.parse().expect("a set")), expected);
        }
    }
}
