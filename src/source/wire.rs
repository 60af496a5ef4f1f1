//! The replication stream: packets of one connection as verified events.
//!
//! In: where to begin, and which server that position was checked against. Out: events, each verified, those of a compressed
//! transaction after the event that holds them. Sets the session up as a replica does (heartbeat, uuid, checksums), never
//! for semi-synchronous replication. Where the next event lies in the buffer already, giving it costs no wait and no
//! copy. Any error ends the stream. Does not parse events.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::column::Fault;
use crate::position::{FileOffset, GtidSet};

use super::checksum::Checksums;
use super::error::{Error, said};
use super::event::BinlogEvent;
use super::event_type;
use super::link::{self, MysqlLink, PacketKind, Packets, Room, ServerRefusal, answer};
use super::settings::Settings;
use super::unpack::Unpacker;

/// Longer than any time in which rowhook does not read, because rows wait for room or the binlog is only pinned:
/// rowhook ends connections itself. A literal, because accounts without privileges may not use expressions here.
const NET_WRITE_TIMEOUT_SQL: &str = "SET SESSION net_write_timeout = 31536000";

/// The statement by which a replica announces that it knows checksums: without it a server that writes them refuses to
/// send. Both spellings: servers before 8.0.26 know only the old one, later ones may drop it.
const CHECKSUM_SQL: &str = "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, \
     @source_binlog_checksum = @@GLOBAL.binlog_checksum";

/// Where a stream begins.
#[derive(Debug, Clone)]
pub(super) enum Begin {
    /// After these transactions.
    After(GtidSet),
    At(FileOffset),
}

pub(super) struct Wire {
    packets: Packets,
    checksums: Checksums,
    unpacker: Unpacker,
    /// For messages: the end of the event that is being unpacked.
    unpacking_at: u32,
    begin: Begin,
    address: String,
}

impl Wire {
    /// Requests the stream. `server` is the one that `begin` was checked against: one address may lead to several
    /// servers, and another server that lacks the place would send its log from the beginning. `timeout` is the longest
    /// silence that is accepted.
    pub async fn open(settings: &Settings, server: Uuid, begin: Begin, timeout: Duration) -> Result<Wire, Error> {
        let address = settings.address();
        let link = session(settings, server, Room::Usual, timeout).await?;
        let packets = set_up(link, settings, settings.heartbeat, &begin).await;
        let packets = packets.map_err(|refusal| of_refusal(refusal, &begin, &address))?;
        let unpacker = Unpacker::new().map_err(|fault| of_fault(fault, "the start of the stream"))?;
        Ok(Wire { packets, checksums: Checksums::default(), unpacker, unpacking_at: 0, begin, address })
    }

    /// The next event.
    pub async fn next(&mut self) -> Result<BinlogEvent, Error> {
        loop {
            if let Some(event) = self.try_next()? {
                if event.is_inner {
                    // Unpacking may take long without reading a socket, and a task that is aborted stops only where it
                    // waits.
                    tokio::task::coop::consume_budget().await;
                }
                return Ok(event);
            }
            self.packets.fill().await.map_err(Error::of_broken)?;
        }
    }

    /// The next event, if all its bytes are here.
    fn try_next(&mut self) -> Result<Option<BinlogEvent>, Error> {
        match self.unpacker.next() {
            Ok(None) => {}
            Ok(event) => return Ok(event),
            Err(fault) => return Err(of_fault(fault, &ends_at(self.unpacking_at))),
        }
        match self.packets.try_next().map_err(Error::of_broken)? {
            Some(packet) => self.event(packet).map(Some),
            None => Ok(None),
        }
    }

    fn event(&mut self, mut packet: Bytes) -> Result<BinlogEvent, Error> {
        match answer(&packet) {
            PacketKind::Ok => {}
            PacketKind::Error { code, message } => {
                return Err(of_refusal(ServerRefusal::Answer { code, message }, &self.begin, &self.address));
            }
            PacketKind::Other(0xfe) => return Err(Error::Lost("the server ended the stream".to_string())),
            PacketKind::Other(_) => return Err(Error::Lost("unexpected packet".to_string())),
        }
        let raw = packet.split_off(1);
        let event = self.checksums.verify(&raw).map_err(|fault| {
            let log_pos = BinlogEvent::parse(raw, false).map_or(0, |event| event.log_pos);
            of_fault(fault, &ends_at(log_pos))
        })?;
        if event.kind == event_type::TRANSACTION_PAYLOAD {
            self.unpacking_at = event.log_pos;
            self.unpacker.open(&event.body).map_err(|fault| of_fault(fault, &ends_at(event.log_pos)))?;
        }
        Ok(event)
    }
}

/// A stream that is requested and never read. Dropping it ends the connection and, at once, the server's thread, which
/// waits for room in the connection.
pub(super) struct UnreadStream {
    /// The number of the thread, as SHOW PROCESSLIST has it.
    pub thread: u64,
    /// Not read: all bytes stay in the socket.
    _packets: Packets,
}

impl UnreadStream {
    /// Requests the stream of this server, without heartbeats: MySQL 8.0 sends those while it holds a lock
    /// (`LOCK_binlog_end_pos`) that each commit needs, and a heartbeat that is not read would stop all commits.
    pub async fn open(settings: &Settings, server: Uuid, begin: &Begin) -> Result<UnreadStream, Error> {
        let address = settings.address();
        let failed = |refusal: ServerRefusal| of_refusal(refusal, begin, &address);
        let mut link = session(settings, server, Room::Least, settings.connect_timeout).await?;
        let thread = link.text("SELECT CONNECTION_ID()").await.map_err(failed)?;
        let thread = thread.parse().map_err(|_| failed(ServerRefusal::Unclear))?;
        let packets = set_up(link, settings, Duration::ZERO, begin).await.map_err(failed)?;
        Ok(UnreadStream { thread, _packets: packets })
    }
}

/// A session with exactly this server.
async fn session(settings: &Settings, server: Uuid, room: Room, timeout: Duration) -> Result<MysqlLink, Error> {
    let mut link = link::open(settings, room, timeout).await?;
    let answering = link.text("SELECT @@GLOBAL.server_uuid").await;
    let answering = answering.map_err(|refusal| Error::of_refusal(refusal, &settings.address()))?;
    if Uuid::try_parse(&answering).ok() != Some(server) {
        return Err(Error::Lost(format!("first server {server} answered, now {} does", said(&answering))));
    }
    Ok(link)
}

/// Everything that a replica sends before the stream begins. `heartbeat` zero: no heartbeats.
async fn set_up(
    mut link: MysqlLink,
    settings: &Settings,
    heartbeat: Duration,
    begin: &Begin,
) -> Result<Packets, ServerRefusal> {
    let (period, uuid) = (heartbeat.as_nanos(), settings.instance.hyphenated());
    link.execute(&format!(
        "SET @master_heartbeat_period = {period}, @source_heartbeat_period = {period}, \
         @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"
    ))
    .await?;
    link.execute(NET_WRITE_TIMEOUT_SQL).await?;
    link.execute(CHECKSUM_SQL).await?;
    let server_id = settings.effective_server_id();
    link.command(&link::register(server_id)).await?;
    match begin {
        Begin::After(set) => link.stream(&link::dump_after(server_id, set)).await,
        Begin::At(place) => link.stream(&link::dump_from(server_id, place)).await,
    }
}

fn ends_at(log_pos: u32) -> String {
    format!("the event that ends at offset {log_pos}")
}

/// What an event or its absence says about the stream; nothing but damage explains a fault without a fix.
pub(super) fn of_fault(Fault { what, fix }: Fault, place: &str) -> Error {
    let place = place.to_string();
    if fix.is_empty() { Error::Damaged { place, problem: what } } else { Error::Uninterpretable { what, place, fix } }
}

fn of_refusal(refusal: ServerRefusal, begin: &Begin, address: &str) -> Error {
    match (Error::of_refusal(refusal, address), begin) {
        (Error::BadPosition { problem, .. }, Begin::At(place)) => {
            Error::BadPosition { file: place.file.to_string(), offset: place.offset, problem }
        }
        (Error::Purged { missing }, Begin::At(place)) => {
            Error::Purged { missing: format!("{} ({missing})", place.file) }
        }
        (error, _) => error,
    }
}
