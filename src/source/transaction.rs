//! Binlog events to transactions.
//!
//! In: checked events, one after another. Out: [`SourceEvent`]s: the rows of watched tables, then one `Committed` for every
//! transaction, also an empty or filtered one, so that a checkpoint moves on a quiet table too. Owns the open
//! transaction and the tables known on this connection. A small transaction is held until its commit is seen, a larger one
//! streams (promise 6). What it does not understand with certainty is an error, never skipped (promise 7). No sockets,
//! but for the names that `schema` looks up.

use std::collections::HashMap;
use std::sync::Arc;

use mysql_async::binlog::events::{AnonymousGtidEvent, Event, GtidEvent, QueryEvent, TransactionPayloadEvent};
use uuid::Uuid;

use crate::change::{Change, Table, Transaction};
use crate::pattern::TablePatterns;
use crate::position::{Committed, FileOffset, Gtid, Tag, Within};

use super::SourceEvent;
use super::charset::Charsets;
use super::decode::{self, Rows};
use super::error::Error;
use super::schema::Definitions;
use super::statement::{Statement, classify};
use super::table_map::{self, Fault, TableMap};

/// Bytes of watched rows that wait for the commit before they are sent on.
const HELD_BYTES_MAX: usize = 4 << 20;

/// The same for XA, whose rows must wait: only its end says whether they count.
const XA_HELD_BYTES_MAX: usize = 64 << 20;

/// Rows of a large transaction travel in portions of about this size.
const PORTION_BYTES: usize = 64 << 10;

/// Uncompressed size above which a compressed transaction is refused: the client library unpacks it as a whole.
const PAYLOAD_BYTES_MAX: u64 = 2 << 30;

/// Tables known at most on one connection; the ids of dropped and reopened tables never come back.
const TABLES_MAX: usize = 1024;

/// `Log_event_type` of `libs/mysql/binlog/event/binlog_event.h`.
mod code {
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const APPEND_BLOCK: u8 = 9;
    pub const DELETE_FILE: u8 = 11;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD: u8 = 17;
    pub const EXECUTE_LOAD: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PAYLOAD: u8 = 40;
    pub const TAGGED_GTID: u8 = 42;
}

/// `LOG_EVENT_ARTIFICIAL_F`: made up for the stream, not in the file.
const FLAG_ARTIFICIAL: u16 = 0x20;
/// `LOG_EVENT_IGNORABLE_F`: may be skipped by who does not know it.
const FLAG_IGNORABLE: u16 = 0x80;

/// The table id of the dummy row event that only ends a statement.
const DUMMY_TABLE_ID: u64 = 0x00ff_ffff;

/// Rows that were sent before the connection broke, to be left out of the first transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skip {
    /// The transaction meant; none: the first one, whichever it is.
    pub identity: Option<String>,
    pub within: Vec<Within>,
}

/// What an event was, beyond what it gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Heartbeat,
    Other,
}

pub(super) struct Transactions {
    server_uuid: Uuid,
    charsets: Arc<Charsets>,
    patterns: TablePatterns,
    definitions: Definitions,
    /// Where the next event begins.
    place: FileOffset,
    tables: HashMap<u64, Known>,
    group: Option<Group>,
    skip: Option<Skip>,
    /// Commit time, on the server that is being read, of the newest transaction begun; microseconds since the epoch.
    pub newest_commit_us: u64,
}

/// A table id of this connection. `body` is the event that defined it: the same bytes need no second look.
struct Known {
    body: Box<[u8]>,
    watched: Option<Watched>,
}

#[derive(Clone)]
struct Watched {
    table: Arc<Table>,
    qualified: Arc<str>,
    map: Arc<TableMap>,
}

/// A transaction from its GTID event to its end.
struct Group {
    transaction: Arc<Transaction>,
    stage: Stage,
    /// Bytes seen on the wire, and what the GTID event promises (0: nothing).
    wire_bytes: u64,
    wire_bytes_promised: u64,
    payload: Option<Payload>,
    held: Vec<Change>,
    held_bytes: usize,
    /// Part of it was given out before its end.
    is_streaming: bool,
    counts: Vec<(Arc<str>, u64)>,
    skip: Vec<Within>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its GTID event was read, nothing else.
    Announced,
    Open,
    OpenXa,
}

/// A compressed transaction: bytes inside, said and seen.
#[derive(Debug, Clone, Copy)]
struct Payload {
    promised: u64,
    seen: u64,
}

pub(super) struct Origin {
    pub server_uuid: Uuid,
    pub charsets: Arc<Charsets>,
    pub place: FileOffset,
    pub skip: Option<Skip>,
}

impl Transactions {
    pub fn new(origin: Origin, patterns: TablePatterns, definitions: Definitions) -> Transactions {
        let Origin { server_uuid, charsets, place, skip } = origin;
        Transactions {
            server_uuid,
            charsets,
            patterns,
            definitions,
            place,
            tables: HashMap::new(),
            group: None,
            skip,
            newest_commit_us: 0,
        }
    }

    pub fn is_between_transactions(&self) -> bool {
        self.group.is_none()
    }

    /// Where reading stands, for messages.
    pub fn place(&self) -> String {
        match &self.group {
            Some(Group { transaction, .. }) => {
                let gtid = transaction.gtid.as_ref().map(|gtid| format!(" (gtid {gtid})")).unwrap_or_default();
                format!("{}:{}{gtid}", transaction.file, transaction.offset)
            }
            None => format!("{}:{}", self.place.file, self.place.offset),
        }
    }

    /// Takes the next event; what it completes is appended to `out`.
    pub async fn take(&mut self, event: &Event, out: &mut Vec<SourceEvent>) -> Result<Seen, Error> {
        let header = event.header();
        let kind = header.event_type_raw();
        if kind == code::HEARTBEAT {
            return Ok(Seen::Heartbeat);
        }
        let flags = header.flags_raw();
        // Only events from a compressed transaction come without the means to check them.
        let is_inner = !event.footer().get_checksum_enabled();
        self.count_bytes(is_inner, flags & FLAG_ARTIFICIAL != 0, u64::from(header.event_size()))?;
        if kind == code::ROTATE {
            return self.rotate(event.data()).map(|()| Seen::Other);
        }
        if !is_inner && flags & FLAG_ARTIFICIAL == 0 && header.log_pos() != 0 {
            self.move_to(header.log_pos());
        }
        match kind {
            code::GTID | code::ANONYMOUS_GTID | code::TAGGED_GTID => self.begin(event)?,
            code::QUERY => self.query(event, out)?,
            code::XID => self.end(out)?,
            code::TABLE_MAP => self.table_map(event.data()).await?,
            code::PAYLOAD => self.payload(event)?,
            code::XA_PREPARE => self.xa_prepare(event.data(), out)?,
            code::EXECUTE_LOAD => return Err(self.statement_change("LOAD DATA")),
            code::INCIDENT => {
                let mend = "the server lost events: check the rows by hand, then start anew after this place";
                return Err(self.stop("an INCIDENT event", mend));
            }
            decode::event::WRITE_V1
            | decode::event::UPDATE_V1
            | decode::event::DELETE_V1
            | decode::event::WRITE
            | decode::event::UPDATE
            | decode::event::DELETE
            | decode::event::PARTIAL_UPDATE => self.rows(kind, event.data(), out)?,
            // They say how statements were run; the statement itself decides. The rest is housekeeping.
            code::INTVAR | code::RAND | code::USER_VAR | code::BEGIN_LOAD | code::APPEND_BLOCK | code::DELETE_FILE => {}
            code::STOP | code::FORMAT | code::IGNORABLE | code::ROWS_QUERY | code::PREVIOUS_GTIDS => {}
            code::TRANSACTION_CONTEXT | code::VIEW_CHANGE => {}
            _ if flags & FLAG_IGNORABLE != 0 => {}
            other => return Err(self.stop(&format!("binlog event type {other}"), "upgrade rowhook")),
        }
        Ok(Seen::Other)
    }

    /// Sums up what was promised: a corrupt payload makes the client library drop a whole transaction without a word.
    fn count_bytes(&mut self, is_inner: bool, is_artificial: bool, size: u64) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        match (&mut group.payload, is_inner) {
            (Some(payload), true) => payload.seen += size,
            (Some(payload), false) if payload.seen != payload.promised => {
                let Payload { promised, seen } = *payload;
                return Err(self.damaged(&format!("a compressed transaction gave {seen} of {promised} bytes")));
            }
            (None, true) => return Err(self.damaged("an event from a compressed transaction that did not begin")),
            (_, false) if !is_artificial => group.wire_bytes += size,
            (_, false) => {}
        }
        Ok(())
    }

    fn rotate(&mut self, data: &[u8]) -> Result<(), Error> {
        let wrong = |this: &Self| this.damaged("a ROTATE event without a file name");
        let (position, name) = data.split_first_chunk::<8>().ok_or_else(|| wrong(self))?;
        if self.group.is_some() {
            return Err(self.damaged("the file ends inside a transaction"));
        }
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty()).ok_or_else(|| wrong(self))?;
        self.place = FileOffset { file: name.into(), offset: u64::from_le_bytes(*position) };
        Ok(())
    }

    /// `log_pos` is where the next event begins, in 32 bits only: in a file over 4 GiB it wraps.
    fn move_to(&mut self, log_pos: u32) {
        let low = u64::from(log_pos);
        let same_lap = self.place.offset & !0xffff_ffff | low;
        self.place.offset = if same_lap < self.place.offset { same_lap + (1 << 32) } else { same_lap };
    }

    fn begin(&mut self, event: &Event) -> Result<(), Error> {
        if self.group.is_some() {
            return Err(self.damaged("a transaction begins inside another"));
        }
        let is_anonymous = event.header().event_type_raw() == code::ANONYMOUS_GTID;
        let read = if is_anonymous {
            event.read_event::<AnonymousGtidEvent>().map(|anonymous| anonymous.0)
        } else {
            event.read_event::<GtidEvent>()
        };
        let read = read.map_err(|error| self.damaged(&format!("a GTID event: {error}")))?;
        let gtid = if is_anonymous { None } else { Some(self.gtid(&read)?) };
        let header_us = u64::from(event.header().timestamp()) * 1_000_000;
        let immediate_us = Some(read.immediate_commit_timestamp()).filter(|time| *time != 0).unwrap_or(header_us);
        let transaction = Arc::new(Transaction {
            server_uuid: self.server_uuid,
            gtid,
            file: Arc::clone(&self.place.file),
            offset: self.place.offset.saturating_sub(u64::from(event.header().event_size())),
            committed_at_us: Some(read.original_commit_timestamp()).filter(|time| *time != 0).unwrap_or(immediate_us),
        });
        let skip = self
            .skip
            .take()
            .filter(|skip| skip.identity.as_ref().is_none_or(|identity| *identity == transaction.identity()));
        if self.tables.len() > TABLES_MAX {
            self.tables.clear();
        }
        self.newest_commit_us = immediate_us;
        self.group = Some(Group {
            transaction,
            stage: Stage::Announced,
            wire_bytes: u64::from(event.header().event_size()),
            wire_bytes_promised: read.tx_length(),
            payload: None,
            held: Vec::new(),
            held_bytes: 0,
            is_streaming: false,
            counts: Vec::new(),
            skip: skip.map(|skip| skip.within).unwrap_or_default(),
        });
        Ok(())
    }

    fn gtid(&self, read: &GtidEvent) -> Result<Gtid, Error> {
        let tag = match read.tag() {
            Some(tag) => Tag::parse(tag.as_str()).map_err(|error| self.damaged(&error.to_string()))?,
            None => Tag::default(),
        };
        Ok(Gtid { uuid: Uuid::from_bytes(read.sid()), tag, number: read.gno() })
    }

    fn payload(&mut self, event: &Event) -> Result<(), Error> {
        let read = event.read_event::<TransactionPayloadEvent<'_>>();
        let read = read.map_err(|error| self.damaged(&format!("a compressed transaction: {error}")))?;
        let size = read.uncompressed_size();
        let size = if size == 0 { read.payload_size() } else { size };
        if size > PAYLOAD_BYTES_MAX {
            let mend = "SET PERSIST binlog_transaction_compression = OFF for jobs that write this much at once";
            return Err(self.stop(&format!("a compressed transaction of {size} bytes"), mend));
        }
        match &mut self.group {
            Some(group) if group.stage == Stage::Announced && group.payload.is_none() => {
                group.payload = Some(Payload { promised: size, seen: 0 });
                Ok(())
            }
            _ => Err(self.damaged("a compressed transaction in a place where none may be")),
        }
    }

    fn query(&mut self, event: &Event, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let query = event.read_event::<QueryEvent<'_>>();
        let query = query.map_err(|error| self.damaged(&format!("a QUERY event: {error}")))?;
        let Some(stage) = self.group.as_ref().map(|group| group.stage) else { return Err(self.outside()) };
        let statement = classify(query.query_raw());
        match (stage, statement) {
            (Stage::Announced, Statement::Begin) => self.set_stage(Stage::Open),
            (Stage::Announced, Statement::XaStart) => self.set_stage(Stage::OpenXa),
            (Stage::Announced, Statement::XaOutcome | Statement::Commit | Statement::Rollback) => self.end(out)?,
            (Stage::Announced, Statement::Definition) => {
                self.tables.clear();
                self.end(out)?;
            }
            (Stage::Open | Stage::OpenXa, Statement::Definition) => self.tables.clear(),
            (Stage::Open, Statement::Commit) => self.end(out)?,
            (Stage::Open, Statement::Rollback) => self.roll_back(out)?,
            (Stage::Open | Stage::OpenXa, Statement::Savepoint) | (Stage::OpenXa, Statement::XaEnd) => {}
            (_, Statement::RowChange) => {
                if !self.concerns_only_others(&query) {
                    return Err(self.statement_change("a statement that changes rows"));
                }
                if stage == Stage::Announced {
                    self.end(out)?;
                }
            }
            (stage, statement) => return Err(self.damaged(&format!("{statement:?} in stage {stage:?}"))),
        }
        Ok(())
    }

    /// Whether the event names the schemas it writes to (`Q_UPDATED_DB_NAMES`) and no rule watches any of them.
    fn concerns_only_others(&self, query: &QueryEvent<'_>) -> bool {
        use mysql_async::binlog::StatusVarKey;
        use mysql_async::binlog::events::StatusVarVal;
        let Some(variable) = query.status_vars().get_status_var(StatusVarKey::UpdatedDbNames) else { return false };
        let Ok(StatusVarVal::UpdatedDbNames(names)) = variable.get_value() else { return false };
        !names.is_empty()
            && names.iter().all(|name| {
                std::str::from_utf8(name.as_bytes())
                    .is_ok_and(|schema| !schema.is_empty() && !self.patterns.match_schema(schema))
            })
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(group) = &mut self.group {
            group.stage = stage;
        }
    }

    async fn table_map(&mut self, body: &[u8]) -> Result<(), Error> {
        if self.group.is_none() {
            return Err(self.outside());
        }
        let (id, schema, table, rest) = table_map::heading(body).map_err(|fault| self.fault(fault, "a table map"))?;
        if self.tables.get(&id).is_some_and(|known| *known.body == *body) {
            return Ok(());
        }
        let watched =
            if self.patterns.match_any(schema, table) { Some(self.watch(schema, table, rest).await?) } else { None };
        self.tables.insert(id, Known { body: body.into(), watched });
        Ok(())
    }

    async fn watch(&mut self, schema: &str, name: &str, rest: &[u8]) -> Result<Watched, Error> {
        let qualified = format!("{schema}.{name}");
        let mut map = TableMap::parse(rest, &self.charsets).map_err(|fault| self.fault(fault, &qualified))?;
        if map.names.is_none() {
            map = self.definitions.complete(schema, name, map).await?.map_err(|problem| {
                let mend = "SET PERSIST binlog_row_metadata = 'FULL', so that the binlog itself names the columns, and \
                            start anew after this place; if the account lacks it: GRANT SELECT on the table";
                self.stop(&format!("rows of table {qualified}: {problem}"), mend)
            })?;
        }
        let table = Table {
            schema: schema.into(),
            name: name.into(),
            columns: map.names.clone().unwrap_or_default(),
            primary_key: map.primary_key.clone(),
        };
        Ok(Watched { table: Arc::new(table), qualified: qualified.into(), map: Arc::new(map) })
    }

    fn rows(&mut self, kind: u8, body: &[u8], out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        if self.group.as_ref().is_none_or(|group| group.stage == Stage::Announced) {
            return Err(self.outside());
        }
        let mut rows = Rows::parse(kind, body).map_err(|fault| self.fault(fault, "a row event"))?;
        let Some(known) = self.tables.get(&rows.table_id) else {
            if rows.table_id == DUMMY_TABLE_ID {
                return Ok(());
            }
            return Err(self.damaged("rows of a table without its table map"));
        };
        let Some(watched) = known.watched.clone() else { return Ok(()) };
        if kind == decode::event::PARTIAL_UPDATE {
            let mend = "SET PERSIST binlog_row_value_options = '', and start anew after this place";
            return Err(self.stop(&format!("a partial JSON update of table {}", watched.qualified), mend));
        }
        let group = self.group.as_mut().expect("checked above");
        if let Err(fault) = group.collect(&mut rows, &watched) {
            return Err(self.fault(fault, &watched.qualified));
        }
        group.held_bytes += body.len();
        self.release(out)
    }

    /// Gives out what is held when it has grown too large to hold.
    fn release(&mut self, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        if group.stage == Stage::OpenXa {
            if group.held_bytes > XA_HELD_BYTES_MAX {
                let mend = "commit such large transactions without XA, or leave the table out of the rules";
                return Err(self.stop("an XA transaction with more than 64 MiB of watched rows", mend));
            }
            return Ok(());
        }
        let limit = if group.is_streaming { PORTION_BYTES } else { HELD_BYTES_MAX };
        if group.held_bytes > limit {
            group.is_streaming = true;
            group.give_out(out);
        }
        Ok(())
    }

    fn xa_prepare(&mut self, data: &[u8], out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let Some(group) = &self.group else { return Err(self.outside()) };
        let is_one_phase = data.first() == Some(&1);
        if !is_one_phase && !group.counts.is_empty() {
            let mend = "commit transactions on this table in one phase (no XA PREPARE), or leave it out of the rules, and \
                        start anew after this place";
            let tables: Vec<&str> = group.counts.iter().map(|(table, _)| &**table).collect();
            return Err(self.stop(&format!("a prepared XA transaction with rows of {}", tables.join(", ")), mend));
        }
        self.end(out)
    }

    fn roll_back(&mut self, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Err(self.outside()) };
        if group.is_streaming {
            let mend = "part of its rows was delivered: check them by hand, then start anew after this place";
            return Err(self.stop("a large transaction that ends with ROLLBACK", mend));
        }
        group.held.clear();
        self.end(out)
    }

    /// The transaction is complete: checks it and gives it out.
    fn end(&mut self, out: &mut Vec<SourceEvent>) -> Result<(), Error> {
        let Some(group) = &self.group else { return Err(self.outside()) };
        if let Some(Payload { promised, seen }) = group.payload
            && promised != seen
        {
            return Err(self.damaged(&format!("a compressed transaction gave {seen} of {promised} bytes")));
        }
        if group.wire_bytes_promised != 0 && group.wire_bytes != group.wire_bytes_promised {
            let (seen, promised) = (group.wire_bytes, group.wire_bytes_promised);
            return Err(self.damaged(&format!("a transaction of {promised} bytes came with {seen}")));
        }
        let mut group = self.group.take().expect("checked above");
        group.give_out(out);
        out.push(SourceEvent::Committed(Committed {
            server_uuid: self.server_uuid,
            gtid: group.transaction.gtid.clone(),
            end: self.place.clone(),
            committed_at_us: group.transaction.committed_at_us,
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

    fn statement_change(&self, what: &str) -> Error {
        let mend = "SET PERSIST binlog_format = 'ROW' and let sessions that set it themselves reconnect; the rows of this \
                    transaction are not in the binlog: check them by hand, then start anew after this place";
        self.stop(&format!("{what} in the binlog, logged as text and not as rows"), mend)
    }

    fn stop(&self, what: &str, mend: &str) -> Error {
        Error::Uninterpretable { what: what.to_string(), place: self.place(), mend: mend.to_string() }
    }

    fn damaged(&self, problem: &str) -> Error {
        Error::Damaged { place: self.place(), problem: problem.to_string() }
    }

    fn fault(&self, fault: Fault, table: &str) -> Error {
        let what = format!("{table}: {}", fault.what);
        if fault.mend.is_empty() { self.damaged(&what) } else { self.stop(&what, &fault.mend) }
    }
}

impl Group {
    fn collect(&mut self, rows: &mut Rows<'_>, watched: &Watched) -> Result<(), Fault> {
        let at = self.counts.iter().position(|(table, _)| *table == watched.qualified).unwrap_or_else(|| {
            self.counts.push((Arc::clone(&watched.qualified), 0));
            self.counts.len() - 1
        });
        let skipped =
            self.skip.iter().find(|within| *within.table == *watched.qualified).map_or(0, |within| within.rows);
        let op = rows.op;
        while let Some(images) = rows.next(&watched.map) {
            let (before, after) = images?;
            self.counts[at].1 += 1;
            let ordinal = self.counts[at].1;
            if ordinal > skipped {
                let (table, transaction) = (Arc::clone(&watched.table), Arc::clone(&self.transaction));
                self.held.push(Change { op, table, before, after, transaction, ordinal });
            }
        }
        Ok(())
    }

    fn give_out(&mut self, out: &mut Vec<SourceEvent>) {
        self.held_bytes = 0;
        if !self.held.is_empty() {
            out.push(SourceEvent::Rows(std::mem::take(&mut self.held)));
        }
    }
}
