//! A feed: a reader of the binlog, and how far it was read.
//!
//! In: events of a reader, which may be closed and opened again. Out: changes one after another, ends of transactions, and
//! the position between two rows where reading is (promise 4). The main stream is one, each detached rule has one of
//! its own. Does not know what becomes of a change; the caller that takes it reports that with [`Feed::pass`].

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;

use super::Error;
use crate::change::{Change, Changes, Transaction};
use crate::clock::now_us;
use crate::lag::OldestChange;
use crate::outcome::reached::Reached;
use crate::position::{Committed, Position, Resume};
use crate::rules::{RuleSet, TableRules};
use crate::schema::NamedTables;
use crate::source::{Emptied, Following, SourceEvent};

/// A reader that gets transactions so soon after their commit is at the end of the log: what is later is on its way.
const AT_END_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Feed {
    rules: Arc<RuleSet>,
    reader: Option<Following>,
    /// None until a first reader has said where it begins.
    reached: Option<Reached>,
    rows: UnreadRows,
    /// When the newest transaction that was read was committed, in microseconds since the Unix epoch.
    pub read_up_to_us: Option<u64>,
    /// What was committed before this moment was read, in microseconds since the Unix epoch.
    complete_up_to_us: Option<u64>,
}

/// What a feed brings.
#[derive(Debug)]
pub(super) enum StreamRead {
    Tables(NamedTables),
    Started(Resume),
    /// A change of a table that some of the rules are about, with the rules of that table.
    Change(Arc<Change>, Arc<TableRules>),
    /// The feed's position has passed it already. With the transaction, if rows of it were passed.
    Committed(Committed, Option<Arc<Transaction>>),
    Emptied(Emptied),
    Idle,
}

/// Row events whose rows were not all taken.
#[derive(Debug, Default)]
struct UnreadRows {
    events: std::vec::IntoIter<Changes>,
    /// The event whose turn it is, and the rules of its table.
    open: Option<(Changes, Arc<TableRules>)>,
}

impl UnreadRows {
    fn is_empty(&self) -> bool {
        self.open.is_none() && self.events.as_slice().is_empty()
    }

    /// The next change that some rule may want, with the rules of its table. Events that no rule wants are skipped as a whole.
    fn next(&mut self, rules: &RuleSet) -> Option<(Arc<Change>, Arc<TableRules>)> {
        loop {
            if let Some((changes, rules)) = &mut self.open {
                match changes.next() {
                    Some(change) => return Some((change, Arc::clone(rules))),
                    None => self.open = None,
                }
            }
            let changes = self.events.next()?;
            let rules = rules.of_table(changes.table());
            if rules.concern(changes.op()) {
                self.open = Some((changes, rules));
            }
        }
    }
}

impl Feed {
    pub fn new(rules: Arc<RuleSet>, reached: Option<Reached>) -> Feed {
        let complete_up_to_us = reached.as_ref().and_then(|place| place.position().committed_at_us());
        Feed { rules, reader: None, reached, rows: UnreadRows::default(), read_up_to_us: None, complete_up_to_us }
    }

    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Uses other rules from the next change on. A reader that reads other tables must be closed.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) {
        if let Some((changes, of_table)) = &mut self.rows.open {
            *of_table = rules.of_table(changes.table());
        }
        self.rules = rules;
    }

    /// The position between two rows where reading is.
    pub fn reached(&self) -> Option<&Reached> {
        self.reached.as_ref()
    }

    /// Goes on from elsewhere.
    pub fn leap(&mut self, place: Reached) {
        self.complete_up_to_us = place.position().committed_at_us();
        self.reached = Some(place);
    }

    /// Takes the proof of the feed's position, by which the log is recognized later. False: there was nothing new.
    pub fn adopt_proof(&mut self, position: &Position) -> bool {
        self.reached.as_mut().is_some_and(|reached| reached.adopt_proof(position))
    }

    /// The reader must begin where the feed stands.
    pub fn open(&mut self, reader: Following) {
        self.rows = UnreadRows::default();
        self.reader = Some(reader);
    }

    /// Drops the reader; the next one brings again what this one brought and was not passed.
    pub fn close(&mut self) {
        self.rows = UnreadRows::default();
        self.reader = None;
    }

    pub fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// What was committed before this moment was read, in microseconds since the Unix epoch; none: that is not known yet.
    pub fn complete_up_to_us(&self) -> Option<u64> {
        self.complete_up_to_us
    }

    /// The feed of the same stream before has read so far.
    pub fn is_complete_up_to(&mut self, us: Option<u64>) {
        self.complete_up_to_us = us.or(self.complete_up_to_us);
    }

    /// The oldest change that may be in the log and is not read.
    pub fn oldest_unread(&self, now_us: u64) -> OldestChange {
        let not_before = |us: Option<u64>| us.map_or(OldestChange::Unknown, OldestChange::NotBefore);
        let Some(reader) = self.reader.as_ref().filter(|reader| !self.has_rows() && reader.events.is_empty()) else {
            return not_before(self.complete_up_to_us);
        };
        let lag = reader.status.borrow().streaming_lag();
        match lag {
            // All that its reader has read is taken.
            Some(lag) if lag < AT_END_WITHIN && self.reached.is_some() => OldestChange::None,
            Some(lag) => {
                let read_us = now_us.saturating_sub(lag.as_micros() as u64);
                not_before(self.complete_up_to_us.map(|complete_us| complete_us.max(read_us)))
            }
            None => not_before(self.complete_up_to_us),
        }
    }

    /// What is there, without waiting; none: nothing at the moment.
    pub fn try_read(&mut self) -> Result<Option<StreamRead>, Error> {
        loop {
            if let Some((change, rules)) = self.rows.next(&self.rules) {
                return Ok(Some(StreamRead::Change(change, rules)));
            }
            let Some(reader) = &mut self.reader else { return Ok(None) };
            match reader.events.try_recv() {
                Ok(event) => {
                    if let Some(read) = self.take(event?) {
                        return Ok(Some(read));
                    }
                }
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(Error::SourceVanished),
            }
        }
    }

    /// Waits for the reader's next event; to be taken with [`Feed::take`]. All rows must have been read.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<SourceEvent, Error>> {
        let Some(reader) = &mut self.reader else { return Poll::Pending };
        reader.events.poll_recv(context).map(|event| Ok(event.ok_or(Error::SourceVanished)??))
    }

    /// Takes an event in; rows are read one by one afterwards.
    pub fn take(&mut self, event: SourceEvent) -> Option<StreamRead> {
        match event {
            SourceEvent::Tables(tables) => Some(StreamRead::Tables(tables)),
            SourceEvent::Started(resume) => Some(StreamRead::Started(resume)),
            SourceEvent::Rows(rows) => {
                self.rows = UnreadRows { events: rows.into_iter(), open: None };
                None
            }
            SourceEvent::Committed(committed) => {
                self.read_up_to_us = Some(committed.committed_at_us);
                self.complete_up_to_us = self.read_up_to_us;
                let ended = self.reached.as_mut().and_then(|reached| {
                    let open = reached.transaction().cloned();
                    reached.pass_commit(&committed);
                    open.filter(|_| reached.transaction().is_none())
                });
                Some(StreamRead::Committed(committed, ended))
            }
            SourceEvent::Emptied(emptied) => Some(StreamRead::Emptied(emptied)),
            SourceEvent::Idle => {
                self.complete_up_to_us = Some(now_us());
                Some(StreamRead::Idle)
            }
        }
    }

    /// All rules that want the change have taken it.
    pub fn pass(&mut self, change: &Change) {
        if let Some(reached) = &mut self.reached {
            reached.pass_row(&change.transaction, &change.table, change.ordinal);
        }
    }
}
