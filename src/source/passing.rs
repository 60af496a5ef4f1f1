//! The binlog transaction by transaction, without decoding rows: what an operator needs to know before passing over
//! one.
//!
//! In: where to begin. Out: one [`Passing`] after another: which transaction, from where to where, and what kind of thing it
//! is. Where its first event says how long it is, its end is known even if nothing else of it can be read: a transaction
//! that stops the reader must not stop this one. Keeps no rows and no texts of statements (promise 8). Reads over a
//! connection of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::column::charset::Charsets;
use crate::position::{FileOffset, Gtid};

use super::error::Error;
use super::event::{BinlogEvent, GtidEvent, Payload, Query};
use super::event_type as event;
use super::place;
use super::server::FILE_START;
use super::settings::Settings;
use super::statement::{self, QueryStatement};
use super::table_map;
use super::wire::{Begin, Wire, of_fault};
use super::xa::{self, Prepare, Xid};

/// Heartbeats that may be missed before the connection counts as dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Tables that are named; a transaction may touch thousands.
const TABLES_MAX: usize = 10;

/// So many bytes of a transaction with rows are read: the events before its rows say what it is.
const READ_BYTES_MAX: u64 = 16 << 20;

/// One transaction, passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passing {
    pub gtid: Option<Gtid>,
    pub begin: FileOffset,
    /// Where the next one begins.
    pub end: FileOffset,
    /// The commit on the server that ran it first; microseconds since the Unix epoch.
    pub committed_at_us: u64,
    pub what: What,
    /// `schema.table`, at most `TABLES_MAX` of them.
    pub tables: Vec<String>,
    /// It may give tables another definition.
    pub may_define: bool,
    /// It ends with the PREPARE of this XA transaction, which a later one decides.
    pub prepares: Option<Xid>,
    /// It decides this XA transaction, which an earlier one prepared.
    pub decides: Option<Xid>,
    /// Its first event gave its length.
    is_end_known: bool,
    seen_bytes: u64,
    /// Unpacked bytes that are still to come: the events of a compressed transaction follow the event that contains
    /// them.
    packed_bytes_left: u64,
}

/// What a transaction is, as far as it was read. Of several, the last one of this list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Nothing,
    Rows,
    /// Creates, alters, grants, administers.
    Definition,
    /// XA COMMIT or XA ROLLBACK.
    XaOutcome,
    XaPrepare,
    /// Rows changed by a statement, which is all that was logged.
    Statement,
    /// The server lost events.
    Incident,
    /// Its events can't be read; the reason.
    Unreadable(String),
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            What::Nothing => "no rows",
            What::Rows => "rows",
            What::Definition => "a statement that defines or administers",
            What::XaOutcome => "XA COMMIT or XA ROLLBACK",
            What::XaPrepare => "XA PREPARE",
            What::Statement => "a statement that changes rows, logged as text",
            What::Incident => "a sign of the server that events were lost",
            What::Unreadable(problem) => return write!(f, "not readable: {problem}"),
        })
    }
}

impl Passing {
    fn begins(event: &BinlogEvent, at: &FileOffset) -> Result<Passing, Error> {
        let read = GtidEvent::parse(event.kind, &event.body).map_err(|fault| of_fault(fault, &at.to_string()))?;
        let begin = FileOffset { offset: at.offset.saturating_sub(u64::from(event.size)), ..at.clone() };
        let is_end_known = read.transaction_bytes != 0;
        let promised_end = begin.offset.saturating_add(read.transaction_bytes);
        let end = FileOffset { offset: if is_end_known { promised_end } else { at.offset }, ..at.clone() };
        let times = [read.original_commit_us, read.immediate_commit_us, u64::from(event.timestamp) * 1_000_000];
        Ok(Passing {
            gtid: read.gtid,
            begin,
            end,
            committed_at_us: times.into_iter().find(|time| *time != 0).unwrap_or(0),
            what: What::Nothing,
            tables: Vec::new(),
            may_define: false,
            prepares: None,
            decides: None,
            is_end_known,
            seen_bytes: u64::from(event.size),
            packed_bytes_left: 0,
        })
    }

    pub fn bytes(&self) -> u64 {
        self.end.offset.saturating_sub(self.begin.offset)
    }

    fn is(&mut self, what: What) {
        if what > self.what {
            self.what = what;
        }
    }

    fn breaks_off(&mut self, problem: String) {
        self.may_define = true;
        self.is(What::Unreadable(problem));
    }

    /// Adds one of its events; the next one begins at `at`.
    fn take(&mut self, event: &BinlogEvent, at: &FileOffset) {
        if !self.is_end_known {
            self.end = at.clone();
        }
        self.seen_bytes += u64::from(event.size);
        if event.is_inner {
            self.packed_bytes_left = self.packed_bytes_left.saturating_sub(u64::from(event.size));
        }
        match event.kind {
            event::TRANSACTION_PAYLOAD => match Payload::parse(&event.body) {
                Ok(payload) => self.packed_bytes_left = payload.unpacked_bytes,
                Err(fault) => self.breaks_off(fault.what),
            },
            event::TABLE_MAP => self.table(&event.body),
            event::QUERY => self.query(&event.body),
            event::WRITE_ROWS | event::UPDATE_ROWS | event::DELETE_ROWS | event::PARTIAL_UPDATE_ROWS => {
                self.is(What::Rows);
            }
            event::WRITE_ROWS_V1 | event::UPDATE_ROWS_V1 | event::DELETE_ROWS_V1 => self.is(What::Rows),
            event::EXECUTE_LOAD_QUERY => self.is(What::Statement),
            event::INCIDENT => self.is(What::Incident),
            event::XA_PREPARE => match Prepare::parse(&event.body) {
                Ok(Prepare::OnePhase) => {}
                Ok(Prepare::TwoPhase(xid)) => {
                    self.prepares = Some(xid);
                    self.is(What::XaPrepare);
                }
                Err(error) => self.breaks_off(format!("an XA_PREPARE event: {error}")),
            },
            _ => {}
        }
    }

    fn table(&mut self, body: &[u8]) {
        if let Ok((_, schema, table, _)) = table_map::heading(body) {
            let name = format!("{schema}.{table}");
            if self.tables.len() < TABLES_MAX && !self.tables.contains(&name) {
                self.tables.push(name);
            }
        }
    }

    fn query(&mut self, body: &[u8]) {
        let query = match Query::parse(body) {
            Ok(query) => query,
            Err(error) => return self.breaks_off(format!("a QUERY event: {error}")),
        };
        // The first words say what it is, in any character set.
        let (statement, tokens) = statement::read(&query, &Charsets::default());
        match statement {
            QueryStatement::Definition | QueryStatement::DefinitionWithRows => {
                self.may_define = true;
                self.is(What::Definition);
            }
            QueryStatement::RowChange => {
                self.may_define |= !changes_rows_only(query.text);
                self.is(What::Statement);
            }
            QueryStatement::XaOutcome => {
                self.decides = tokens.as_deref().and_then(xa::decision).map(|(_, xid)| xid);
                self.is(What::XaOutcome);
            }
            QueryStatement::Begin | QueryStatement::Commit | QueryStatement::Rollback | QueryStatement::Savepoint => {}
            QueryStatement::XaStart | QueryStatement::XaEnd => {}
        }
    }

    fn is_complete(&self, at: &FileOffset) -> bool {
        let is_read_enough = self.what == What::Rows && self.seen_bytes > READ_BYTES_MAX;
        let is_whole = at.offset >= self.end.offset && self.packed_bytes_left == 0;
        self.is_end_known && (is_whole || is_read_enough)
    }
}

/// Whether the statement is certain to define nothing: it begins with a word that only changes rows.
fn changes_rows_only(text: &[u8]) -> bool {
    let head = statement::head_of(text);
    head.first().is_some_and(|first| first.is_any(&["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD"]))
}

/// The transactions from a place on.
pub(super) struct Passings {
    wire: Wire,
    /// Where the next event begins.
    at: FileOffset,
    /// The first event of the next transaction, where the previous one was read up to it.
    first_of_next: Option<BinlogEvent>,
    heartbeat: Duration,
    last_event_at: Instant,
}

impl Passings {
    pub async fn open(settings: &Settings, server: Uuid, begin: Begin) -> Result<Passings, Error> {
        let at = match &begin {
            Begin::At(place) => place.clone(),
            // The stream names its file before anything else.
            Begin::After(_) => FileOffset { file: Arc::from(""), offset: FILE_START },
        };
        let heartbeat = settings.heartbeat;
        let wire = Wire::open(settings, server, begin, heartbeat * HEARTBEATS_MISSED_MAX).await?;
        Ok(Passings { wire, at, first_of_next: None, heartbeat, last_event_at: Instant::now() })
    }

    /// The next transaction; none at the end of the log.
    pub async fn next(&mut self) -> Result<Option<Passing>, Error> {
        let mut passing: Option<Passing> = None;
        loop {
            let event = match self.event().await {
                Ok(event) => event,
                Err(error) => return broken_off(passing, error),
            };
            let waited = std::mem::replace(&mut self.last_event_at, Instant::now()).elapsed();
            match event.kind {
                // Others stand in for transactions that the server leaves out, and come at once.
                event::HEARTBEAT if waited >= self.heartbeat / 2 => return Ok(passing),
                event::HEARTBEAT => continue,
                event::ROTATE => {
                    let next = place::after_rotate(&event.body);
                    self.at = next.ok_or_else(|| self.damaged("a ROTATE event without a file"))?;
                    match passing {
                        Some(_) => return Ok(passing),
                        None => continue,
                    }
                }
                event::GTID | event::ANONYMOUS_GTID | event::GTID_TAGGED if passing.is_some() => {
                    self.first_of_next = Some(event);
                    return Ok(passing);
                }
                _ => {}
            }
            let is_in_file = !event.is_inner && !event.is_artificial() && event.log_pos != 0;
            if is_in_file && !place::move_to(&mut self.at, event.log_pos) {
                return Err(self.damaged("an offset that no file can have"));
            }
            match (&mut passing, event.kind) {
                (None, event::GTID | event::ANONYMOUS_GTID | event::GTID_TAGGED) => {
                    passing = Some(Passing::begins(&event, &self.at)?);
                }
                (None, _) => {}
                (Some(passing), _) => passing.take(&event, &self.at),
            }
            if passing.as_ref().is_some_and(|passing| passing.is_complete(&self.at)) {
                return Ok(passing);
            }
        }
    }

    async fn event(&mut self) -> Result<BinlogEvent, Error> {
        match self.first_of_next.take() {
            Some(event) => Ok(event),
            None => self.wire.next().await,
        }
    }

    fn damaged(&self, problem: &str) -> Error {
        Error::Damaged { place: self.at.to_string(), problem: problem.to_string() }
    }
}

/// A transaction that can't be read to its end still has a known end, if its first event gave its length.
fn broken_off(passing: Option<Passing>, error: Error) -> Result<Option<Passing>, Error> {
    match passing {
        Some(mut passing) if passing.is_end_known => {
            passing.breaks_off(error.to_string());
            Ok(Some(passing))
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(end: Option<u64>) -> Passing {
        let place = |offset| FileOffset { file: "b.000001".into(), offset };
        Passing {
            gtid: None,
            begin: place(100),
            end: place(end.unwrap_or(150)),
            committed_at_us: 0,
            what: What::Nothing,
            tables: Vec::new(),
            may_define: false,
            prepares: None,
            decides: None,
            is_end_known: end.is_some(),
            seen_bytes: 0,
            packed_bytes_left: 0,
        }
    }

    fn event(kind: u8, body: Vec<u8>, size: u32) -> BinlogEvent {
        BinlogEvent {
            kind,
            flags: 0,
            timestamp: 0,
            size,
            log_pos: 0,
            body: body.into(),
            checksum: None,
            is_inner: false,
        }
    }

    fn query(text: &str) -> BinlogEvent {
        // Thread, time, schema length, error code, length of the variables; the schema's zero.
        let body = [&[0; 8][..], &[0, 0, 0, 0, 0, 0], text.as_bytes()].concat();
        event(event::QUERY, body, 10)
    }

    #[test]
    fn a_transaction_is_described_by_its_most_important_event() {
        let rows = || event(event::WRITE_ROWS, vec![], 10);
        let prepare = || event(event::XA_PREPARE, vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a'], 10);
        for (events, what, may_define) in [
            (vec![query("BEGIN"), query("COMMIT")], What::Nothing, false),
            (vec![query("BEGIN"), rows()], What::Rows, false),
            (vec![query("ALTER TABLE t ADD c INT")], What::Definition, true),
            (vec![query("CREATE TABLE t SELECT 1"), rows()], What::Definition, true),
            (vec![query("BEGIN"), rows(), query("insert INTO t VALUES (1)")], What::Statement, false),
            (vec![query("BEGIN"), query("/* who knows */ DO f()")], What::Statement, true),
            (vec![query("XA START X'61',X'',1"), rows(), prepare()], What::XaPrepare, false),
            (vec![query("XA COMMIT X'61',X'',1")], What::XaOutcome, false),
            (vec![event(event::EXECUTE_LOAD_QUERY, vec![], 10)], What::Statement, false),
            (vec![event(event::INCIDENT, vec![], 10), rows()], What::Incident, false),
            (
                vec![event(event::QUERY, vec![1], 10)],
                What::Unreadable("a QUERY event: the bytes end early".to_string()),
                true,
            ),
        ] {
            let mut passing = passing(None);
            let at = FileOffset { file: "b.000001".into(), offset: 400 };
            events.iter().for_each(|event| passing.take(event, &at));
            match (&passing.what, &what) {
                (What::Unreadable(_), What::Unreadable(_)) => {}
                (found, expected) => assert_eq!(found, expected),
            }
            assert_eq!(passing.may_define, may_define, "{what}");
            assert_eq!((passing.end.offset, passing.bytes()), (400, 300));
        }
    }

    #[test]
    fn the_transaction_that_prepares_and_the_one_that_decides_name_the_same_xa_transaction() {
        let at = FileOffset { file: "b.000001".into(), offset: 400 };
        let (mut prepares, mut decides) = (passing(None), passing(None));
        prepares.take(&event(event::XA_PREPARE, vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a'], 10), &at);
        decides.take(&query("XA COMMIT X'61',X'',1"), &at);
        assert!(prepares.prepares.is_some());
        assert_eq!(prepares.prepares, decides.decides);
    }

    #[test]
    fn an_end_that_the_first_event_gives_is_kept_whatever_follows() {
        let at = |offset| FileOffset { file: "b.000001".into(), offset };
        let mut known = passing(Some(1000));
        known.take(&query("BEGIN"), &at(300));
        assert_eq!((known.end.offset, known.is_complete(&at(300)), known.is_complete(&at(1000))), (1000, false, true));
        let broken = Error::Lost("gone".to_string());
        let broken = broken_off(Some(known), broken).expect("it has an end").expect("a transaction");
        assert!(matches!(broken.what, What::Unreadable(_)) && broken.may_define && broken.end.offset == 1000);
        broken_off(Some(passing(None)), Error::Lost("gone".to_string())).expect_err("no end");
        // What came packed is read before it counts as complete.
        let mut packed = passing(Some(1000));
        packed.packed_bytes_left = 30;
        assert!(!packed.is_complete(&at(1000)));
        packed.take(&BinlogEvent { is_inner: true, ..event(event::WRITE_ROWS, vec![], 30) }, &at(1000));
        assert!(packed.is_complete(&at(1000)) && packed.what == What::Rows);
        // A long one with rows need not be read to its end.
        let mut long = passing(Some(1 << 30));
        long.take(&event(event::WRITE_ROWS, vec![], 17 << 20), &at(17 << 20));
        assert!(long.is_complete(&at(17 << 20)));
    }
}
