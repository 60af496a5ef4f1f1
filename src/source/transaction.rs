//! Binlog events to transactions.
//!
//! In: checked events, one after another. Out: [`SourceEvent`]s: the rows of watched tables, then one `Committed` for every
//! transaction, also an empty or filtered one, so that a checkpoint moves on a quiet table too. Owns the open
//! transaction and the tables known on this connection. A small transaction is buffered until its commit is read, a
//! larger one streams (promise 6). What it does not understand with certainty is an error, never skipped (promise 7).
//! Uses no socket, except through `tracking`, which reads names from the server.

use std::sync::Arc;

use uuid::Uuid;

use crate::change::{OWN_MARKER, Transaction};
use crate::column::Fault;
use crate::position::{Anchor, Committed, FileOffset, FoundBy, Gtid, GtidSet, Local, Position, Within};

use super::SourceEvent;
use super::decode::RowsEvent;
use super::emptied::Emptied;
use super::error::Error;
use super::event::{BinlogEvent, GtidEvent, Payload, Query, previous_gtids};
use super::event_type as event;
use super::group::{Group, GroupStage};
use super::lexer::SqlToken;
use super::place;
use super::statement::{self, QueryStatement};
use super::tables::{TableRefusal, Tables};
use super::wire::of_fault;
use super::xa::Undecided;

mod prepared;

/// At most so many bytes of watched rows are buffered until the commit; a larger transaction is handed on in portions.
const BUFFERED_BYTES_MAX: usize = 4 << 20;

/// The same for XA, whose rows must be buffered: only its end decides whether they count.
const XA_BUFFERED_BYTES_MAX: usize = 64 << 20;

/// Rows of a large transaction travel in portions of about this size.
const PORTION_BYTES: usize = 64 << 10;

/// The table id of the dummy row event that only ends a statement.
const DUMMY_TABLE_ID: u64 = 0x00ff_ffff;

/// What kind of event was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Heartbeat,
    Other,
}

pub(super) struct Transactions {
    server_uuid: Uuid,
    /// Where the next event begins.
    place: FileOffset,
    /// As in [`crate::position::Proof`], of the file there.
    file_created_s: Option<u32>,
    tables: Tables,
    group: Option<Group>,
    skip: Vec<Within>,
    undecided: Undecided,
    /// GTIDs that are covered already. A stream that begins at a place contains them all the same if another server had
    /// another order.
    covered: Option<GtidSet>,
    /// Whether the transaction that is being read is one of these.
    is_passing_over: bool,
    /// Whether the last transaction that counts had no GTID.
    last_is_anonymous: bool,
    /// As in [`Committed`].
    gtids_at_head: Option<Arc<GtidSet>>,
    /// Commit time, on the server that is being read, of the newest transaction begun; microseconds since the epoch.
    pub newest_commit_us: u64,
}

impl Transactions {
    pub fn new(server_uuid: Uuid, place: FileOffset, skip: Vec<Within>, tables: Tables) -> Transactions {
        Transactions {
            server_uuid,
            place,
            file_created_s: None,
            tables,
            group: None,
            skip,
            undecided: Undecided::default(),
            covered: None,
            is_passing_over: false,
            last_is_anonymous: false,
            gtids_at_head: None,
            newest_commit_us: 0,
        }
    }

    /// The events that follow come after this position, at which the stream begins by its place or by its set.
    pub fn go_on_after(&mut self, position: &Position, is_by_place: bool) {
        self.last_is_anonymous = position.parts().found_by == FoundBy::Place;
        self.covered = position.parts().gtids.clone().filter(|set| is_by_place && !set.is_empty());
    }

    pub fn is_between_transactions(&self) -> bool {
        self.group.is_none()
    }

    /// Where reading stands, for messages.
    pub fn place(&self) -> String {
        match &self.group {
            Some(group) => group.transaction.place(),
            None => format!("{}:{}", self.place.file, self.place.offset),
        }
    }

    /// Takes the next event; what it completes is appended to `out`.
    pub async fn take(&mut self, event: &BinlogEvent, out: &mut Vec<SourceEvent>) -> Result<Seen, Error> {
        let kind = event.kind;
        if kind == event::HEARTBEAT {
            return Ok(Seen::Heartbeat);
        }
        self.count_bytes(event)?;
        let is_in_file = !event.is_inner && !event.is_artificial() && event.log_pos != 0 && kind != event::ROTATE;
        if is_in_file && !place::move_to(&mut self.place, event.log_pos) {
            return Err(self.damaged("an offset that no file can have"));
        }
        if self.is_passing_over && !ends_passing_over(event) {
            return Ok(Seen::Other);
        }
        self.is_passing_over = false;
        match kind {
            event::ROTATE => self.rotate(&event.body)?,
            event::GTID | event::ANONYMOUS_GTID | event::GTID_TAGGED => self.begin(event)?,
            event::QUERY => self.query(event, out).await?,
            event::XID => {
                self.require(GroupStage::Open, "XID")?;
                self.end(out)?;
            }
            event::TABLE_MAP => self.table_map(&event.body).await?,
            event::TRANSACTION_PAYLOAD => self.payload(event)?,
            event::XA_PREPARE => self.xa_prepare(&event.body, out)?,
            event::EXECUTE_LOAD_QUERY => self.load_query(event).await?,
            event::INCIDENT => {
                let fix = "the server lost events: check the rows by hand, then pass over this place: `rowhook position set \
                            --skip-transaction`";
                return Err(self.stop("an INCIDENT event", fix));
            }
            event::WRITE_ROWS | event::UPDATE_ROWS | event::DELETE_ROWS | event::PARTIAL_UPDATE_ROWS => {
                self.rows(kind, &event.body, out)?;
            }
            event::WRITE_ROWS_V1 | event::UPDATE_ROWS_V1 | event::DELETE_ROWS_V1 => {
                self.rows(kind, &event.body, out)?;
            }
            // These events say how a statement was run; the statement itself, or EXECUTE_LOAD_QUERY, decides.
            event::INTVAR | event::RAND | event::USER_VAR => {}
            event::BEGIN_LOAD_QUERY | event::APPEND_BLOCK | event::DELETE_FILE => {}
            event::FORMAT_DESCRIPTION => self.file_created_s = Some(event.timestamp).filter(|time| *time != 0),
            event::PREVIOUS_GTIDS => self.head(event)?,
            event::STOP => {}
            event::ROWS_QUERY => self.rows_query(&event.body),
            event::IGNORABLE | event::TRANSACTION_CONTEXT | event::VIEW_CHANGE => {}
            _ if event.flags & event::FLAG_IGNORABLE != 0 => {}
            other => return Err(self.stop(&format!("binlog event type {other}"), "upgrade rowhook")),
        }
        Ok(Seen::Other)
    }

    /// The event that ends a transaction must be of its kind: rows of another kind may have been handed on already.
    fn require(&self, wanted: GroupStage, event: &str) -> Result<(), Error> {
        match &self.group {
            None => Err(self.outside()),
            Some(group) if group.stage == wanted => Ok(()),
            Some(group) => Err(self.damaged(&format!("{event} in stage {:?}", group.stage))),
        }
    }

    fn count_bytes(&mut self, event: &BinlogEvent) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let bytes = u64::from(event.size);
        let counted = match (event.is_inner, event.is_artificial()) {
            (true, _) => group.count_inner(bytes),
            (false, false) => group.count_outer(bytes),
            (false, true) => group.count_outer(0),
        };
        counted.map_err(|problem| self.damaged(&problem))
    }

    fn rotate(&mut self, body: &[u8]) -> Result<(), Error> {
        let place = place::after_rotate(body).ok_or_else(|| self.damaged("a ROTATE event without a file name"))?;
        if self.group.is_some() {
            return Err(self.damaged("the file ends inside a transaction"));
        }
        if place.file != self.place.file {
            self.file_created_s = None;
            self.gtids_at_head = None;
        }
        self.place = place;
        Ok(())
    }

    /// The head of a file lists everything before it.
    fn head(&mut self, event: &BinlogEvent) -> Result<(), Error> {
        if self.group.is_some() || event.is_artificial() {
            return Ok(());
        }
        let mut set = previous_gtids(&event.body).map_err(|fault| self.fault(fault.within("the head of the file")))?;
        self.undecided.gtids().for_each(|gtid| set = set.without(gtid));
        self.gtids_at_head = Some(set.into());
        Ok(())
    }

    fn begin(&mut self, event: &BinlogEvent) -> Result<(), Error> {
        if self.group.is_some() {
            return Err(self.damaged("a transaction begins inside another"));
        }
        let read =
            GtidEvent::parse(event.kind, &event.body).map_err(|fault| self.fault(fault.within("a GTID event")))?;
        if let Some(gtid) = &read.gtid
            && self.covered.as_ref().is_some_and(|set| set.contains(gtid))
        {
            self.is_passing_over = true;
            return Ok(());
        }
        let event_bytes = u64::from(event.size);
        let header_us = u64::from(event.timestamp) * 1_000_000;
        let immediate_us = Some(read.immediate_commit_us).filter(|time| *time != 0).unwrap_or(header_us);
        let mut transaction = Transaction {
            server_uuid: self.server_uuid,
            gtid: read.gtid.clone(),
            file: Arc::clone(&self.place.file),
            offset: self.place.offset.saturating_sub(event_bytes),
            committed_at_us: Some(read.original_commit_us).filter(|time| *time != 0).unwrap_or(immediate_us),
            original_commit_us: read.original_commit_us,
            is_own: false,
        };
        transaction.is_own = transaction.has_own_tag();
        self.tables.trim();
        self.newest_commit_us = immediate_us;
        let anchor = self.anchor(&transaction, &read, event.checksum);
        // Only if it is the transaction whose rows were handed on: another server may continue with another one.
        let (skip, others) = std::mem::take(&mut self.skip).into_iter().partition(|rows| transaction.has_rows(rows));
        self.skip = others;
        self.group = Some(Group::new(Arc::new(transaction), anchor.into(), event_bytes, read.transaction_bytes, skip));
        Ok(())
    }

    fn anchor(&self, transaction: &Transaction, read: &GtidEvent, checksum: Option<u32>) -> Anchor {
        let begin = transaction.begin();
        let (server_uuid, immediate_commit_us) = (self.server_uuid, read.immediate_commit_us);
        Anchor {
            gtid: read.gtid.clone(),
            original_commit_us: read.original_commit_us,
            local: Local { server_uuid, begin, immediate_commit_us, checksum },
        }
    }

    fn payload(&mut self, event: &BinlogEvent) -> Result<(), Error> {
        let read = Payload::parse(&event.body).map_err(|fault| self.fault(fault.within("a compressed transaction")))?;
        let opened = self.group.as_mut().ok_or_else(|| "a compressed transaction without a GTID event".to_string());
        opened.and_then(|group| group.open_payload(read.unpacked_bytes)).map_err(|problem| self.damaged(&problem))
    }

    async fn query(&mut self, event: &BinlogEvent, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let query = Query::of(event).map_err(|error| self.damaged(&format!("a QUERY event: {error}")))?;
        let Some(stage) = self.group.as_ref().map(|group| group.stage) else { return Err(self.outside()) };
        let (statement, tokens) = statement::read(&query, self.tables.charsets());
        match (stage, statement) {
            (GroupStage::Announced, QueryStatement::Begin) => self.set_stage(GroupStage::Open),
            (GroupStage::Announced, QueryStatement::XaStart) => self.set_stage(GroupStage::OpenXa),
            (GroupStage::Announced, QueryStatement::XaOutcome) => self.decide(tokens.as_deref(), out)?,
            (GroupStage::Announced, QueryStatement::Commit | QueryStatement::Rollback) => self.end(out)?,
            (GroupStage::Announced, QueryStatement::Definition) => {
                self.note_emptied(&query, tokens.as_deref(), out);
                self.tables.define(&query);
                self.end(out)?;
            }
            (
                GroupStage::Open | GroupStage::OpenXa,
                QueryStatement::Definition | QueryStatement::DefinitionWithRows,
            ) => {
                self.tables.define(&query);
            }
            (GroupStage::Open, QueryStatement::Commit) => self.end(out)?,
            (GroupStage::Open, QueryStatement::Rollback) => self.roll_back(out)?,
            (GroupStage::Open | GroupStage::OpenXa, QueryStatement::Savepoint)
            | (GroupStage::OpenXa, QueryStatement::XaEnd) => {}
            (_, QueryStatement::RowChange | QueryStatement::DefinitionWithRows) => {
                self.pass_over(&query, tokens.as_deref(), "a statement that changes rows").await?;
                self.tables.define(&query);
                if stage == GroupStage::Announced {
                    self.end(out)?;
                }
            }
            (stage, statement) => return Err(self.damaged(&format!("{statement:?} in stage {stage:?}"))),
        }
        Ok(())
    }

    fn note_emptied(&mut self, query: &Query<'_>, tokens: Option<&[SqlToken]>, out: &mut Vec<SourceEvent>) {
        let Some((what, tables)) = tokens.and_then(|tokens| self.tables.emptied(query, tokens)) else { return };
        let emptied = Emptied { what, tables, place: self.place() };
        if query.is_of_session && emptied.truncated().is_some() {
            // A temporary table, which hides the one of that name.
            return;
        }
        if let (Some(group), Some(table)) = (&mut self.group, emptied.truncated()) {
            group.truncate(table);
        }
        out.push(SourceEvent::Emptied(emptied));
    }

    /// The text of the statement whose rows follow. Without a GTID tag it shows whether rowhook wrote them.
    fn rows_query(&mut self, body: &[u8]) {
        if let Some(group) = &mut self.group {
            // A length of one byte comes before the text; it is not used, because a text may be longer.
            group.attribute(body.get(1..).is_some_and(|text| text.starts_with(OWN_MARKER.as_bytes())));
        }
    }

    /// LOAD DATA in statement form: its file came in events before.
    async fn load_query(&mut self, event: &BinlogEvent) -> Result<(), Error> {
        let query =
            Query::of_load(event).map_err(|error| self.damaged(&format!("an EXECUTE_LOAD_QUERY event: {error}")))?;
        if self.group.as_ref().is_none_or(|group| group.stage == GroupStage::Announced) {
            return Err(self.outside());
        }
        let (_, tokens) = statement::read(&query, self.tables.charsets());
        self.pass_over(&query, tokens.as_deref(), "LOAD DATA").await
    }

    /// Rows that changed without row events: an error, unless no watched table can be among those that were written to.
    async fn pass_over(&mut self, query: &Query<'_>, tokens: Option<&[SqlToken]>, what: &str) -> Result<(), Error> {
        let Some(group) = &self.group else { return Err(self.outside()) };
        let since = FileOffset { file: Arc::clone(&group.transaction.file), offset: group.transaction.offset };
        match self.tables.may_write(query, tokens, &since).await? {
            None => Ok(()),
            Some(reason) => Err(self.statement_change(what, &reason)),
        }
    }

    fn set_stage(&mut self, stage: GroupStage) {
        if let Some(group) = &mut self.group {
            group.stage = stage;
        }
    }

    async fn table_map(&mut self, body: &[u8]) -> Result<(), Error> {
        let Some(group) = &self.group else { return Err(self.outside()) };
        let since = group.transaction.begin();
        match self.tables.learn(body, &since).await {
            Ok(()) => Ok(()),
            Err(TableRefusal::Event(fault)) => Err(self.fault(fault)),
            Err(TableRefusal::Server(error)) => Err(error),
        }
    }

    fn rows(&mut self, kind: u8, body: &[u8], out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let rows = RowsEvent::parse(kind, body).map_err(|fault| self.fault(fault))?;
        let Some(group) = self.group.as_mut().filter(|group| group.stage != GroupStage::Announced) else {
            return Err(self.outside());
        };
        let watched = match self.tables.find(rows.table_id) {
            Some(Some(watched)) => watched,
            Some(None) => return Ok(()),
            None if rows.table_id == DUMMY_TABLE_ID => return Ok(()),
            None => return Err(self.damaged("rows of a table without its table map")),
        };
        if let Err(fault) = group.collect(&rows, watched) {
            let fault = fault.within(&format!("table {}", watched.qualified));
            return Err(self.fault(fault));
        }
        group.buffered_bytes += body.len();
        self.release(out)
    }

    /// Hands on the buffered rows when they have become too many to buffer.
    fn release(&mut self, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        if group.stage == GroupStage::OpenXa {
            if group.buffered_bytes + self.undecided.buffered_bytes() > XA_BUFFERED_BYTES_MAX {
                let fix = "commit large transactions without XA, decide those that are prepared (XA RECOVER lists them), \
                            leave the table out of the rules, or pass over this transaction: `rowhook position set \
                            --skip-transaction`";
                return Err(self.stop("XA transactions with more than 64 MiB of watched rows", fix));
            }
            return Ok(());
        }
        let limit = if group.is_streaming { PORTION_BYTES } else { BUFFERED_BYTES_MAX };
        if group.buffered_bytes > limit {
            group.is_streaming = true;
            group.give_out(out);
        }
        Ok(())
    }

    fn roll_back(&mut self, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Err(self.outside()) };
        if group.is_streaming {
            let fix = "part of its rows was delivered: check them by hand, then pass over this transaction: `rowhook position \
                        set --skip-transaction`";
            return Err(self.stop("a large transaction that ends with ROLLBACK", fix));
        }
        group.discard();
        self.end(out)
    }

    /// The transaction is complete.
    fn end(&mut self, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let gtid = self.group.as_ref().and_then(|group| group.transaction.gtid.clone());
        self.end_as(gtid, None, out)
    }

    /// Checks the complete transaction and hands it on; positions cover these GTIDs from now on.
    fn end_as(&mut self, gtid: Option<Gtid>, decided: Option<Gtid>, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        if let Some(Err(problem)) = self.group.as_ref().map(Group::is_whole) {
            return Err(self.damaged(&problem));
        }
        let Some(mut group) = self.group.take() else { return Err(self.outside()) };
        group.give_out(out);
        // The end of an XA PREPARE with a GTID covers nothing.
        if group.transaction.gtid.is_none() || gtid.is_some() {
            self.last_is_anonymous = group.transaction.gtid.is_none();
        }
        out.push(SourceEvent::Committed(Committed {
            server_uuid: self.server_uuid,
            gtid,
            decided,
            end: self.place.clone(),
            undecided: self.undecided.places(),
            anonymous_follow: self.last_is_anonymous || self.undecided.has_anonymous(),
            gtids_at_head: self.gtids_at_head.clone(),
            anchor: group.anchor,
            file_created_s: self.file_created_s,
            committed_at_us: group.transaction.committed_at_us,
            schema: self.tables.take_change(),
        }));
        Ok(())
    }

    fn outside(&self) -> Error {
        Error::BadPosition {
            file: self.place.file.to_string(),
            offset: self.place.offset,
            problem: "it lies inside a transaction".to_string(),
        }
    }

    fn statement_change(&self, what: &str, reason: &str) -> Error {
        let fix = "SET PERSIST binlog_format = 'ROW' and let sessions that set it themselves reconnect; the rows of this \
                    transaction are not in the binlog: check them by hand, then pass over it: `rowhook position set \
                    --skip-transaction`";
        self.stop(&format!("{what} in the binlog, logged as text and not as rows: {reason}"), fix)
    }

    fn stop(&self, what: &str, fix: &str) -> Error {
        Error::Uninterpretable { what: what.to_string(), place: self.place(), fix: fix.to_string() }
    }

    fn damaged(&self, problem: &str) -> Error {
        Error::Damaged { place: self.place(), problem: problem.to_string() }
    }

    fn fault(&self, fault: Fault) -> Error {
        of_fault(fault, &self.place())
    }
}

/// Whether the event belongs to no transaction that began before it.
fn ends_passing_over(event: &BinlogEvent) -> bool {
    let kind = event.kind;
    let is_of_file = matches!(kind, event::ROTATE | event::FORMAT_DESCRIPTION | event::PREVIOUS_GTIDS | event::STOP);
    !event.is_inner && (is_of_file || matches!(kind, event::GTID | event::ANONYMOUS_GTID | event::GTID_TAGGED))
}
