//! The replication stream: packets of one connection, each checked.
//!
//! In: an open connection and where to begin. Out: events whose CRC32 was verified, which the client library never does.
//! Watches the clock on every read: after the given patience without a packet the connection counts as dead. Sets the
//! session up as a replica would (heartbeat, uuid). Does not look into events, but for the position that a GTID set is
//! wanted for.

use std::time::Duration;

use futures_util::StreamExt;
use mysql_async::binlog::BinlogChecksumAlg;
use mysql_async::binlog::events::Event as ClientEvent;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, DriverError, IoError, Sid};

use crate::column::Fault;
use crate::position::{FileOffset, GtidSet};

use super::error::Error;
use super::event::{Event, GtidEvent, previous_gtids};
use super::event_type;
use super::server::FILE_START;
use super::settings::Settings;

/// Longer than any pause we make while rows wait for room: we end connections ourselves. A literal, because plain accounts
/// may not use expressions here.
const NET_WRITE_TIMEOUT_SQL: &str = "SET SESSION net_write_timeout = 31536000";

/// Where a stream begins.
#[derive(Debug, Clone)]
pub(super) enum Begin {
    /// After these transactions. No file goes with it: the server would skip missing transactions before that file.
    After(GtidSet),
    At(FileOffset),
}

pub(super) struct Wire {
    stream: BinlogStream,
    begin: Begin,
    patience: Duration,
}

impl Wire {
    /// Asks for the stream. `patience` is the longest silence that is borne.
    pub async fn open(
        mut connection: Conn,
        settings: &Settings,
        begin: Begin,
        patience: Duration,
    ) -> Result<Wire, Error> {
        let failed = |error| of_stream(error, &begin, settings);
        let (period, uuid) = (settings.heartbeat.as_nanos(), settings.instance.hyphenated());
        // Both spellings: servers before 8.0.26 know the old one only, later ones may drop it.
        connection
            .query_drop(format!(
                "SET @master_heartbeat_period = {period}, @source_heartbeat_period = {period}, \
                 @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"
            ))
            .await
            .map_err(failed)?;
        connection.query_drop(NET_WRITE_TIMEOUT_SQL).await.map_err(failed)?;
        let request = BinlogStreamRequest::new(settings.effective_server_id()).with_hostname(b"rowhook");
        let opening = match &begin {
            Begin::After(set) => {
                let sids = sids(set)?;
                connection.get_binlog_stream(request.with_gtid().with_pos(FILE_START).with_gtid_set(sids)).await
            }
            Begin::At(place) => {
                let request = request.with_filename(place.file.as_bytes()).with_pos(place.offset);
                connection.get_binlog_stream(request).await
            }
        };
        let stream = opening.map_err(failed)?;
        Ok(Wire { stream, begin, patience })
    }

    /// The next event. Any error ends the stream: what follows one is undefined in the client library.
    pub async fn next(&mut self, settings: &Settings) -> Result<Event, Error> {
        match tokio::time::timeout(self.patience, self.stream.next()).await {
            Err(_) => Err(Error::Silent { seconds: self.patience.as_secs() }),
            Ok(None) => Err(Error::Lost("the server ended the stream".to_string())),
            Ok(Some(Err(error))) => Err(of_stream(error, &self.begin, settings)),
            Ok(Some(Ok(event))) => {
                verify(&event)?;
                Ok(own(&event))
            }
        }
    }
}

fn own(event: &ClientEvent) -> Event {
    let header = event.header();
    Event {
        kind: header.event_type_raw(),
        flags: header.flags_raw(),
        timestamp: header.timestamp(),
        size: header.event_size(),
        log_pos: header.log_pos(),
        body: bytes::Bytes::copy_from_slice(event.data()),
        // Only events from a compressed transaction come without the means to check them.
        is_inner: !event.footer().get_checksum_enabled(),
    }
}

fn verify(event: &ClientEvent) -> Result<(), Error> {
    let footer = event.footer();
    let has_crc = matches!(footer.get_checksum_alg(), Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)));
    if !has_crc || !footer.get_checksum_enabled() {
        return Ok(());
    }
    let expected = event.checksum().map(u32::from_le_bytes);
    if expected == Some(event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)) {
        return Ok(());
    }
    let header = event.header();
    Err(Error::Damaged {
        place: format!("the event that ends at offset {}", header.log_pos()),
        problem: format!("the checksum of an event of type {} is wrong", header.event_type_raw()),
    })
}

/// The set in the client library's form: one entry for each server and tag.
fn sids(set: &GtidSet) -> Result<Vec<Sid<'static>>, Error> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for (uuid, tag, (first, last)) in set.intervals() {
        let head = if tag.as_str().is_empty() { uuid.to_string() } else { format!("{uuid}:{}", tag.as_str()) };
        match texts.last_mut() {
            Some((same, intervals)) if *same == head => intervals.push_str(&format!(":{first}-{last}")),
            _ => texts.push((head, format!(":{first}-{last}"))),
        }
    }
    let parse = |(head, intervals): (String, String)| {
        let text = format!("{head}{intervals}");
        text.parse::<Sid<'static>>().map_err(|error| Error::Lost(format!("GTID set {text}: {error}")))
    };
    texts.into_iter().map(parse).collect()
}

/// Errors while streaming: a broken connection and a broken event must not be mixed up.
fn of_stream(error: mysql_async::Error, begin: &Begin, settings: &Settings) -> Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other};
    match error {
        mysql_async::Error::Io(IoError::Io(problem))
            if matches!(problem.kind(), InvalidData | InvalidInput | Other) =>
        {
            Error::Damaged { place: "an event".to_string(), problem: problem.to_string() }
        }
        mysql_async::Error::Io(problem) => Error::Lost(problem.to_string()),
        mysql_async::Error::Driver(problem @ (DriverError::ConnectionClosed | DriverError::PacketOutOfOrder)) => {
            Error::Lost(problem.to_string())
        }
        other => match (Error::of_client(other, &settings.address()), begin) {
            (Error::Connect { problem, .. }, _) => Error::Lost(problem),
            // The login is long done: what is denied here is the dump, whatever the text says.
            (Error::Login { problem, .. }, _) => Error::replication_privilege(problem),
            (Error::BadPosition { problem, .. }, Begin::At(place)) => {
                Error::BadPosition { file: place.file.to_string(), offset: place.offset, problem }
            }
            (error, _) => error,
        },
    }
}

/// The transactions before a place in a file: those before the file, which its head lists, and those in it up to there.
/// Reads the file up to the place once more; its size is the server's `max_binlog_size`.
pub(super) async fn gtids_before(connection: Conn, settings: &Settings, place: &FileOffset) -> Result<GtidSet, Error> {
    let wrong = |problem: &str| Error::BadPosition {
        file: place.file.to_string(),
        offset: place.offset,
        problem: problem.to_string(),
    };
    let head = FileOffset { file: place.file.clone(), offset: FILE_START };
    let mut wire = Wire::open(connection, settings, Begin::At(head), settings.heartbeat * 3).await?;
    let mut set: Option<GtidSet> = None;
    let mut end = FILE_START;
    loop {
        let event = wire.next(settings).await?;
        let (kind, is_artificial) = (event.kind, event.is_artificial());
        if kind == event_type::HEARTBEAT || (is_artificial && set.is_some()) {
            // The end of the file, or of what is written so far.
            return if end == place.offset {
                set.ok_or_else(|| wrong("nothing stands there"))
            } else {
                Err(wrong("the file ends before it"))
            };
        }
        if is_artificial || event.log_pos == 0 {
            continue;
        }
        let begins_at = u64::from(event.log_pos).saturating_sub(u64::from(event.size));
        end = u64::from(event.log_pos);
        if let Some(set) = set.take_if(|_| begins_at >= place.offset) {
            let is_boundary = begins_at == place.offset
                && matches!(
                    kind,
                    event_type::ROTATE
                        | event_type::STOP
                        | event_type::GTID
                        | event_type::ANONYMOUS_GTID
                        | event_type::GTID_TAGGED
                );
            return if is_boundary { Ok(set) } else { Err(wrong("it is not the beginning of a transaction")) };
        }
        match (kind, &mut set) {
            (event_type::PREVIOUS_GTIDS, _) => {
                let previous = previous_gtids(&event.body).map_err(unreadable)?;
                if place.offset <= end {
                    return Ok(previous);
                }
                set = Some(previous);
            }
            // Folded at its beginning: if the place lies inside this transaction, nothing is returned.
            (event_type::GTID | event_type::GTID_TAGGED, Some(set)) => {
                let gtid = GtidEvent::parse(kind, &event.body).map_err(unreadable)?.gtid;
                gtid.iter().for_each(|gtid| set.insert(gtid));
            }
            _ => {}
        }
    }
}

fn unreadable(fault: Fault) -> Error {
    let (place, Fault { what, mend }) = ("a GTID event".to_string(), fault);
    if mend.is_empty() { Error::Damaged { place, problem: what } } else { Error::Uninterpretable { what, place, mend } }
}
