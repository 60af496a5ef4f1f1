//! Reading for ever: connect, stream, and after a failure connect again and continue from the progress.
//!
//! In: settings and a first position. Out: the channel of [`Following`]. Owns the progress: what was handed on, by
//! transaction and by row, so that a new connection repeats nothing and leaves nothing out (promises 1 and 4). A panic
//! counts as a broken connection, so that it never ends the process. Errors that waiting cannot fix end the task.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::change::{Changes, Op};
use crate::pattern::TablePatterns;
use crate::position::{FileOffset, Position, Resume, Start};
use crate::schema::Schema;
use crate::telemetry::Metrics;

use super::begin::{begin_after, first, refused_by_set};
use super::clock::{StatusClock, age};
use super::connect::connect;
use super::connection::Connection;
use super::error::{Error, Next};
use super::event_type;
use super::logged::{gaps, require_logged};
use super::named::named_tables_over;
use super::progress::ReadProgress;
use super::prove::{Evidence, Prover};
use super::sentinel::{Sentinel, StreamLag, place_of_heartbeat};
use super::server::Server;
use super::settings::{FirstConnect, Settings};
use super::tables::Tables;
use super::tracking::Tracking;
use super::transaction::{Seen, Transactions};
use super::wire::{Begin, Wire};
use super::xa::PreparedXa;
use super::{From, ReadStatus, ServerFacts, SourceEvent};

use failures::Failures;

mod failures;

/// Items in the channel; one item is at most a transaction of a few MiB or a portion of a larger one.
const CHANNEL_ITEMS: usize = 32;

/// So many heartbeat intervals without a packet, and a connection counts as dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// A server that takes longer than the timeout to begin sending (an event of hundreds of MiB from a busy disk) gets twice
/// the time at the next try, up to this many doublings.
const TIMEOUT_DOUBLINGS_MAX: u32 = 6;

/// So many tries at one place, and damage there counts as permanent.
const TRIES_AT_ONE_PLACE_MAX: u32 = 3;

/// A running reader. Dropping it ends the reader and its connection.
#[derive(Debug)]
pub struct Following {
    /// An error is the last item: a person must act.
    pub events: mpsc::Receiver<Result<SourceEvent, Error>>,
    pub status: watch::Receiver<ReadStatus>,
    /// None before the first connection.
    pub server: watch::Receiver<Option<ServerFacts>>,
    task: JoinHandle<()>,
}

/// What a reader reports about itself, for code that does not receive its events.
#[derive(Debug, Clone)]
pub struct Watch {
    pub status: watch::Receiver<ReadStatus>,
    /// None before the first connection.
    pub server: watch::Receiver<Option<ServerFacts>>,
}

impl Following {
    pub fn watch(&self) -> Watch {
        Watch { status: self.status.clone(), server: self.server.clone() }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a task that reads from `from` on, for ever. Must be called within a Tokio runtime.
pub fn follow(settings: Settings, from: From, tables: TablePatterns, metrics: Arc<Metrics>) -> Following {
    let (events, receiver) = mpsc::channel(CHANNEL_ITEMS);
    let (status, status_receiver) =
        watch::channel(ReadStatus::Connecting { attempt: 1, last_error: None, since: None });
    let (server, server_receiver) = watch::channel(None);
    let reader = Reader { settings, tables, metrics, events, status, server };
    let task = tokio::spawn(reader.run(ReadProgress::new(from)));
    Following { events: receiver, status: status_receiver, server: server_receiver, task }
}

struct Reader {
    settings: Settings,
    tables: TablePatterns,
    metrics: Arc<Metrics>,
    events: mpsc::Sender<Result<SourceEvent, Error>>,
    status: watch::Sender<ReadStatus>,
    server: watch::Sender<Option<ServerFacts>>,
}

/// Why a connection ended.
enum End {
    ReceiverGone,
    /// No room in the channel for the stall timeout.
    Stalled,
    Failed(Error),
}

impl std::convert::From<Error> for End {
    fn from(error: Error) -> End {
        End::Failed(error)
    }
}

impl Reader {
    async fn run(self, mut progress: ReadProgress) {
        let mut waits = self.settings.reconnect.waits();
        let mut failures = Failures::default();
        loop {
            self.status.send_replace(failures.status());
            let steps_before = progress.steps;
            let session = self.connection(&mut progress, failures.silences);
            let end = AssertUnwindSafe(session).catch_unwind().await.unwrap_or_else(|_| {
                let place = "an event that could not be taken apart".to_string();
                End::Failed(Error::Damaged { place, problem: "reading it panicked".to_string() })
            });
            self.metrics.source_connected.set(0);
            if progress.steps > steps_before {
                failures = Failures::default();
                waits.reset();
            }
            match end {
                End::ReceiverGone => break,
                End::Stalled => {
                    if self.wait_for_room().await.is_err() {
                        break;
                    }
                }
                End::Failed(error) => match self.judge(error, &mut failures, &progress) {
                    Ok(()) => {
                        self.status.send_replace(failures.status());
                        tokio::time::sleep(waits.next_wait()).await;
                        self.metrics.reconnects.inc();
                    }
                    Err(error) => return self.stop(error).await,
                },
            }
        }
        self.status.send_replace(ReadStatus::Stopped { error: None });
    }

    /// A refusal at a reader's first connection, while another reader of the same account has read before: a password that
    /// is being rotated, most likely.
    fn may_be_passing(&self) -> bool {
        self.settings.learned.has_streamed() && self.settings.first_connect == FirstConnect::Wait
    }

    /// Whether to try again; an error is for a person.
    fn judge(&self, error: Error, failures: &mut Failures, progress: &ReadProgress) -> Result<(), Error> {
        match error.next() {
            Next::Operator => return Err(error),
            Next::Login if !progress.has_streamed && !self.may_be_passing() => return Err(error),
            Next::Reconnect if !progress.has_streamed && self.settings.first_connect == FirstConnect::FailFast => {
                return Err(error);
            }
            Next::Reconnect | Next::Login => {}
        }
        failures.attempts += 1;
        let since = humantime::format_rfc3339_seconds(*failures.since.get_or_insert_with(SystemTime::now));
        match &error {
            Error::Silent { .. } => failures.silences += 1,
            Error::Damaged { place, problem } => {
                failures.damages += 1;
                if failures.damages >= TRIES_AT_ONE_PLACE_MAX {
                    let position = progress.position.as_ref().map(Position::to_string).unwrap_or_default();
                    return Err(Error::GaveUp {
                        place: format!("{place}, reading on after {position}"),
                        tries: failures.damages,
                        problem: problem.clone(),
                    });
                }
            }
            _ => {}
        }
        if matches!(error, Error::AnonymousRefused { .. } | Error::GtidsRefused { .. }) {
            tracing::error!(%error, attempt = failures.attempts, %since, "mysql does not send what comes next; trying again");
        } else if error.next() == Next::Login {
            tracing::error!(%error, attempt = failures.attempts, %since, "mysql refuses the connection; trying again");
        } else {
            tracing::warn!(%error, attempt = failures.attempts, %since, "connection to mysql failed; trying again");
        }
        failures.last = Some(error.to_string());
        Ok(())
    }

    async fn stop(&self, error: Error) {
        self.status.send_replace(ReadStatus::Stopped { error: Some(error.to_string()) });
        // A closed channel is no error: without a receiver the event is not needed.
        let _ = self.events.send(Err(error)).await;
    }

    async fn wait_for_room(&self) -> Result<(), ()> {
        tracing::debug!("no rule takes changes: the connection to mysql is closed until a rule does");
        self.status.send_replace(ReadStatus::Stalled { since: Instant::now() });
        // Half of the channel, so that a slow consumer does not cause one connection per item.
        self.events.reserve_many(CHANNEL_ITEMS / 2).await.map(drop).map_err(drop)
    }

    /// One connection from its opening to its end.
    async fn connection(&self, progress: &mut ReadProgress, silences: u32) -> End {
        match self.stream(progress, silences).await {
            Ok(never) => match never {},
            Err(End::Failed(error)) => End::Failed(error.naming(self.settings.learned.account().as_deref())),
            Err(end) => end,
        }
    }

    async fn stream(&self, progress: &mut ReadProgress, silences: u32) -> Result<std::convert::Infallible, End> {
        let mut connection = connect(&self.settings).await?;
        let server = Server::inspect(&mut connection, &self.settings.address()).await?;
        server.require()?;
        server.require_names(&self.tables)?;
        require_logged(gaps(&mut connection, &server, &self.tables).await?)?;
        self.server.send_replace(Some(server.facts()));
        let mut position = self.position(progress, &server, &mut connection).await?;
        let files = server.files(&mut connection).await?;
        // Before the position is reported: one that is refused must not become a checkpoint.
        let names_tables = !progress.has_announced && self.settings.names_tables;
        let named = async {
            match names_tables {
                true => named_tables_over(&mut connection, &self.settings, &self.tables).await.map(Some),
                false => Ok(None),
            }
        };
        let is_first = progress.from.is_some();
        let (named, proven) = tokio::join!(named, self.prove(&server, &files, &mut position, is_first));
        proven?;
        progress.position = Some(position.clone());
        let named = named?;
        // Read again: some may have been purged meanwhile.
        let files = server.files(&mut connection).await?;
        let begin = begin_after(&self.settings, &server, &files, &position).await?;
        let mut tracking = Tracking::new(&self.settings, &server, &progress.schema);
        if !progress.has_announced {
            if let Some(named) = named {
                self.hand_on(SourceEvent::Tables(named)).await?;
            }
            if progress.from.is_some() {
                server.warn_of_prepared(&mut connection).await;
            }
        }
        // The stream has a connection of its own; this one is for queries about tables, if there will be any.
        if server.has_full_metadata() {
            drop(connection);
        } else {
            tracking.ask_over(connection);
        }
        if !progress.has_announced {
            if matches!(progress.from, Some(Start::Latest)) && !server.has_full_metadata() {
                // Read at the start, so that tables that are altered before their first row stay known.
                if let Err(error) = tracking.learn_all(&self.tables, position.place()).await {
                    tracing::warn!(%error, "tables could not be read in advance; each is read when its first row comes");
                }
            }
            if let Some(schema) = tracking.take_change() {
                progress.schema = schema;
            }
            let (within, schema) = (progress.skip(), Arc::clone(&progress.schema));
            self.hand_on(SourceEvent::Started(Resume { position: position.clone(), within, schema })).await?;
            progress.has_announced = true;
        }
        let timeout = self.settings.heartbeat * HEARTBEATS_MISSED_MAX * 2_u32.pow(silences.min(TIMEOUT_DOUBLINGS_MAX));
        let skip = progress.skip();
        let mut transactions =
            Transactions::new(server.uuid, position.place().clone(), skip, self.tables_of(&server, tracking));
        // Before the stream is asked for: the server ends the older one of two that come from one replica. A stream by set
        // brings them by itself.
        let is_by_place = matches!(begin, Begin::At(_));
        transactions.go_on_after(&position, is_by_place);
        for place in position.parts().undecided.iter().filter(|_| is_by_place) {
            if let Some(prepared) = self.prepared_at(place, &server, &progress.schema, timeout).await? {
                transactions.add_prepared(prepared);
            }
        }
        let mut wire = Wire::open(&self.settings, server.uuid, begin, timeout).await?;
        tracing::info!(server = %self.settings.address(), version = %server.version, "reading after {position}");
        match self.events_of(&mut wire, &mut transactions, progress, &server).await {
            Err(End::Failed(error)) if !is_by_place => {
                let position = progress.position.as_ref().unwrap_or(&position);
                Err(End::Failed(refused_by_set(error, &server, position)))
            }
            ended => ended,
        }
    }

    fn tables_of(&self, server: &Server, tracking: Tracking) -> Tables {
        Tables::new(self.tables.clone(), Arc::clone(&server.charsets), tracking)
    }

    /// Reads the XA transaction that begins here again; None when its rows belong to no table that is watched now.
    async fn prepared_at(
        &self,
        place: &FileOffset,
        server: &Server,
        schema: &Schema,
        timeout: Duration,
    ) -> Result<Option<PreparedXa>, Error> {
        let begin = Begin::At(place.clone());
        let mut wire = Wire::open(&self.settings, server.uuid, begin, timeout).await?;
        // The current definitions of its tables were valid then: while it is undecided, the server lets no client alter
        // them.
        let tables = self.tables_of(server, Tracking::new(&self.settings, server, schema));
        let mut transactions = Transactions::new(server.uuid, place.clone(), Vec::new(), tables);
        let mut out = Vec::new();
        while !out.iter().any(|event| matches!(event, SourceEvent::Committed(_))) {
            let event = wire.next().await?;
            transactions.take(&event, &mut out).await?;
        }
        Ok(transactions.into_prepared())
    }

    async fn events_of(
        &self,
        wire: &mut Wire,
        transactions: &mut Transactions,
        progress: &mut ReadProgress,
        server: &Server,
    ) -> Result<std::convert::Infallible, End> {
        let mut out = Vec::new();
        let mut sentinel = Sentinel::new(&self.settings);
        let mut descriptions = 0;
        let mut last_event_at = Instant::now();
        let mut status = StatusClock::new();
        loop {
            let event = wire.next().await?;
            let now = Instant::now();
            if !progress.has_streamed {
                progress.has_streamed = true;
                self.settings.learned.set_has_streamed();
            }
            match transactions.take(&event, &mut out).await? {
                // The server also sends heartbeats in place of transactions that it skips; those come at once.
                Seen::Heartbeat if now.duration_since(last_event_at) >= self.settings.heartbeat / 2 => {
                    let place = place_of_heartbeat(&event.body, event.log_pos);
                    let lag = match (place, &mut progress.position) {
                        (Some(place), Some(position)) => sentinel.inspect(server, &place, position).await?,
                        _ => StreamLag::AtEnd,
                    };
                    match lag {
                        StreamLag::Behind(since) => self.publish(Instant::now(), Some(since)),
                        StreamLag::AtEnd => {
                            self.publish(Instant::now(), Some(Duration::ZERO));
                            if transactions.is_between_transactions() {
                                self.idle()?;
                            }
                        }
                    }
                }
                Seen::Heartbeat => {}
                Seen::Other => {
                    sentinel.moved();
                    if status.is_due(now) {
                        self.publish(now, age(transactions.newest_commit_us));
                    }
                }
            }
            last_event_at = Instant::now();
            for event in out.drain(..) {
                self.give(event, progress).await?;
            }
            if event.kind == event_type::FORMAT_DESCRIPTION {
                descriptions += 1;
                // The first one is that of the file in which the stream begins.
                if descriptions > 1
                    && let Some(position) = &mut progress.position
                {
                    let mut connection = connect(&self.settings).await?;
                    Prover::new(&self.settings, server).prove_over(&mut connection, position).await?;
                }
            }
        }
    }

    async fn position(
        &self,
        progress: &ReadProgress,
        server: &Server,
        connection: &mut Connection,
    ) -> Result<Position, Error> {
        let position = match (&progress.position, &progress.from) {
            (Some(position), _) => position.clone(),
            (None, Some(start)) => first(&self.settings, server, connection, start).await?,
            (None, None) => unreachable!("a reader begins at a start or a position"),
        };
        server.permit(connection, &position).await?;
        Ok(position)
    }

    /// To be called before anything is passed on: the names in a position may mean other transactions than before. For
    /// a position where reading begins for the first time nothing is known, and nothing is checked.
    async fn prove(
        &self,
        server: &Server,
        files: &[FileOffset],
        position: &mut Position,
        is_first: bool,
    ) -> Result<(), Error> {
        match Prover::new(&self.settings, server).prove(Some(files), position).await? {
            evidence @ Evidence::Proven(_) => tracing::info!("the position is {evidence}"),
            evidence @ Evidence::Unproven(_) if is_first => tracing::debug!("the position is {evidence}"),
            evidence @ Evidence::Unproven(_) => tracing::warn!("the position is {evidence}"),
        }
        Ok(())
    }

    /// Hands an event on and records that in the progress.
    async fn give(&self, event: SourceEvent, progress: &mut ReadProgress) -> Result<(), End> {
        match &event {
            SourceEvent::Rows(changes) => {
                let permit = self.room().await?;
                let of_rows = changes.iter().filter(|changes| changes.op() != Op::Truncate);
                self.metrics.changes_read.inc_by(of_rows.map(Changes::len).sum::<usize>() as u64);
                progress.note_rows(changes);
                permit.send(Ok(event));
            }
            SourceEvent::Committed(committed) => {
                let permit = self.room().await?;
                if let Some(position) = &mut progress.position {
                    position.advance(committed);
                }
                if let Some(schema) = &committed.schema {
                    progress.schema = Arc::clone(schema);
                }
                let is_among_gtids = progress.position.as_ref().is_some_and(Position::knows_gtids);
                if !is_among_gtids || committed.is_end() {
                    progress.end_transaction();
                }
                permit.send(Ok(event));
            }
            SourceEvent::Tables(_) | SourceEvent::Started(_) | SourceEvent::Emptied(_) | SourceEvent::Idle => {
                self.hand_on(event).await?;
            }
        }
        progress.steps += 1;
        Ok(())
    }

    async fn hand_on(&self, event: SourceEvent) -> Result<(), End> {
        self.room().await?.send(Ok(event));
        Ok(())
    }

    /// Room for one item, or the end when there is no receiver.
    async fn room(&self) -> Result<mpsc::Permit<'_, Result<SourceEvent, Error>>, End> {
        match self.events.try_reserve() {
            Ok(permit) => return Ok(permit),
            Err(TrySendError::Closed(())) => return Err(End::ReceiverGone),
            Err(TrySendError::Full(())) => {}
        }
        match tokio::time::timeout(self.settings.stall_timeout, self.events.reserve()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(End::ReceiverGone),
            Err(_) => Err(End::Stalled),
        }
    }

    /// Reports that nothing is newer, unless the consumer is late anyway.
    fn idle(&self) -> Result<(), End> {
        match self.events.try_send(Ok(SourceEvent::Idle)) {
            Err(TrySendError::Closed(_)) => Err(End::ReceiverGone),
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
        }
    }

    fn publish(&self, last_packet_at: Instant, lag: Option<Duration>) {
        self.metrics.source_connected.set(1);
        self.status.send_replace(ReadStatus::Streaming { last_packet_at, lag });
    }
}
