//! A feed: a reader of the binlog, and how far it was read.
//!
//! In: events of a reader, which may be closed and opened again. Out: changes one after another, ends of transactions, and
//! the position between two rows where reading is (promise 4). The main stream is one, each detached rule has one of
//! its own. Does not know what becomes of a change; the caller that takes it reports that with [`Feed::pass`].

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::error::TryRecvError;

use super::Error;
use crate::change::{Change, Changes, Transaction};
use crate::outcome::reached::Reached;
use crate::position::{Committed, Position, Resume};
use crate::rules::{RuleSet, TableRules};
use crate::schema::NamedTables;
use crate::source::{Emptied, Following, SourceEvent};

#[derive(Debug)]
pub(super) struct Feed {
    rules: Arc<RuleSet>,
    reader: Option<Following>,
    /// None until a first reader has said where it begins.
    reached: Option<Reached>,
    rows: Unread,
    /// When the newest transaction that was read was committed, in microseconds since the Unix epoch.
    pub read_up_to_us: Option<u64>,
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
struct Unread {
    events: std::vec::IntoIter<Changes>,
    /// The event whose turn it is, and the rules of its table.
    open: Option<(Changes, Arc<TableRules>)>,
}

impl Unread {
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
        Feed { rules, reader: None, reached, rows: Unread::default(), read_up_to_us: None }
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
        self.reached = Some(place);
    }

    /// Takes the proof of the feed's position, by which the log is recognized later. False: there was nothing new.
    pub fn adopt_proof(&mut self, position: &Position) -> bool {
        self.reached.as_mut().is_some_and(|reached| reached.adopt_proof(position))
    }

    /// The reader must begin where the feed stands.
    pub fn open(&mut self, reader: Following) {
        self.rows = Unread::default();
        self.reader = Some(reader);
    }

    /// Drops the reader; the next one brings again what this one brought and was not passed.
    pub fn close(&mut self) {
        self.rows = Unread::default();
        self.reader = None;
    }

    pub fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    pub fn has_rows(&self) -> bool {
        !self.rows.is_empty()
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
                self.rows = Unread { events: rows.into_iter(), open: None };
                None
            }
            SourceEvent::Committed(committed) => {
                self.read_up_to_us = Some(committed.committed_at_us);
                let ended = self.reached.as_mut().and_then(|reached| {
                    let open = reached.transaction().cloned();
                    reached.pass_commit(&committed);
                    open.filter(|_| reached.transaction().is_none())
                });
                Some(StreamRead::Committed(committed, ended))
            }
            SourceEvent::Emptied(emptied) => Some(StreamRead::Emptied(emptied)),
            SourceEvent::Idle => Some(StreamRead::Idle),
        }
    }

    /// All rules that want the change have taken it.
    pub fn pass(&mut self, change: &Change) {
        if let Some(reached) = &mut self.reached {
            reached.pass_row(&change.transaction, &change.table, change.ordinal);
        }
    }
}
