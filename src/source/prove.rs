//! Proves that the log of a server is still the one that a position belongs to.
//!
//! In: a position with its [`Proof`]. Out: [`Evidence`], or the error that names what differs (promises 1 and 7). A GTID, or
//! a file and an offset, are names that a server gives again after a reset, from a backup, or when it lost its newest
//! transactions in a crash. So the transactions behind the names are checked again, over connections of their own: on
//! the same server at their places, on another one by their GTIDs. Nothing is passed on before.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::position::{Anchor, FileOffset, Gtid, GtidSet, Local, Position, Proof};

use super::connection::Connection;
use super::error::Error;
use super::event::{BinlogEvent, GtidEvent};
use super::event_type;
use super::place;
use super::server::{FILE_START, Server};
use super::settings::Settings;
use super::wire::{Begin, Wire, of_fault};

/// Heartbeats that may be missed before the connection counts as dead.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// At most so many servers and tags whose newest transactions are searched where a position has no proof yet. Each
/// search takes a connection.
const LEARNED_MAX: usize = 16;

/// The end of the year 9999.
const LAST_TIME_US: u64 = 253_402_300_799_999_999;

/// How far a position is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// By the transaction or file that was found again.
    Proven(String),
    /// Names fit, and nothing more could be checked; the reason.
    Unproven(String),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::Proven(by) => write!(f, "proven by {by}"),
            Evidence::Unproven(why) => write!(f, "not proven: {why}"),
        }
    }
}

/// The result of checking one transaction.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Same(String),
    /// It can't be checked, for this reason.
    Nothing(String),
    /// Another log, for this reason.
    Other(String),
}

/// What the log contains at a place.
enum AtPlace {
    Event(BinlogEvent),
    /// Nothing yet: the log ends there or before.
    End,
    /// The middle of something, or a place that the file does not have.
    NoEvent,
    /// The server has no such file.
    Gone,
    /// The server does not send it with its current `gtid_mode`.
    Withheld,
}

/// A server and the settings to ask it.
pub(super) struct Prover<'s> {
    settings: Settings,
    server: &'s Server,
}

impl<'s> Prover<'s> {
    /// The stream goes on meanwhile: the server ends the older one of two connections with the same uuid, so this has
    /// another one.
    pub fn new(settings: &Settings, server: &'s Server) -> Prover<'s> {
        let instance = Uuid::new_v5(&settings.instance, b"proving");
        Prover { settings: Settings { instance, ..settings.clone() }, server }
    }

    /// Checks the position's transactions again. A position without a proof gets one, for the next time. `files` are
    /// all files of the server; None where the account may not ask.
    pub async fn prove(&self, files: Option<&[FileOffset]>, position: &mut Position) -> Result<Evidence, Error> {
        if position.server_uuid() == self.server.uuid {
            not_backwards(files.unwrap_or_default(), position.place())?;
        }
        let mut evidence = None;
        for anchor in position.parts().proof.anchors().iter().rev() {
            match self.check_anchor(anchor, position.parts().gtids.as_ref(), files).await? {
                Found::Other(what) => return Err(Error::AnotherLog { what }),
                found => evidence = evidence.or(Some(found)),
            }
        }
        let head = self.check_file(position, files).await?;
        match (evidence, head) {
            (_, Found::Other(what)) => Err(Error::AnotherLog { what }),
            (Some(Found::Same(by)), _) | (_, Found::Same(by)) => Ok(Evidence::Proven(by)),
            (Some(Found::Nothing(why)), _) => Ok(Evidence::Unproven(why)),
            (_, Found::Nothing(_)) => {
                let proof = self.learn(position).await?;
                position.prove_by(proof);
                Ok(Evidence::Unproven("this position was not recorded before; it is recorded from now on".to_string()))
            }
        }
    }

    /// The same, with the files that the server has now.
    pub async fn prove_over(&self, connection: &mut Connection, position: &mut Position) -> Result<Evidence, Error> {
        let files = match self.server.files(connection).await {
            Ok(files) => Some(files),
            Err(Error::Privilege { .. }) => None,
            Err(error) => return Err(error),
        };
        self.prove(files.as_deref(), position).await
    }

    async fn check_anchor(
        &self,
        anchor: &Anchor,
        gtids: Option<&GtidSet>,
        files: Option<&[FileOffset]>,
    ) -> Result<Found, Error> {
        let Local { server_uuid, begin, .. } = &anchor.local;
        let is_listed = files.is_none_or(|files| files.iter().any(|end| end.file == begin.file));
        if *server_uuid == self.server.uuid && is_listed && begin.offset <= u64::from(u32::MAX) {
            let found = self.at_place(anchor).await?;
            if !matches!(found, Found::Nothing(_)) {
                return Ok(found);
            }
        }
        match (&anchor.gtid, gtids) {
            (Some(gtid), Some(set)) if self.server.has_gtids => self.by_gtid(anchor, gtid, set).await,
            (Some(gtid), _) => Ok(Found::Nothing(format!("the binlog with transaction {gtid} is no longer there"))),
            (None, _) => Ok(Found::Nothing(format!("{} is no longer there", begin.file))),
        }
    }

    /// Reads the event that begins at the anchor's place.
    async fn at_place(&self, anchor: &Anchor) -> Result<Found, Error> {
        let begin = &anchor.local.begin;
        let is_in_log = |event: &BinlogEvent| !event.is_artificial() && event.kind != event_type::FORMAT_DESCRIPTION;
        let now = match self.read_at(begin, is_in_log).await? {
            AtPlace::Event(event) if is_gtid(event.kind) => return self.compare(anchor, &event, begin),
            AtPlace::Gone => return Ok(Found::Nothing(format!("{} is no longer there", begin.file))),
            AtPlace::Withheld => {
                let why = format!("with this gtid_mode the server does not send {}", named(anchor));
                return Ok(Found::Nothing(why));
            }
            AtPlace::Event(_) => "another event does",
            AtPlace::End => "the log ends before it",
            AtPlace::NoEvent => "no event begins there",
        };
        Ok(Found::Other(format!("{} stood at {begin}, and now {now}", named(anchor))))
    }

    /// The first event from a place on that is wanted.
    async fn read_at(&self, place: &FileOffset, is_wanted: impl Fn(&BinlogEvent) -> bool) -> Result<AtPlace, Error> {
        let mut has_failed = false;
        loop {
            let read = async {
                let mut wire = self.open(Begin::At(place.clone())).await?;
                loop {
                    let event = wire.next().await?;
                    if event.kind == event_type::HEARTBEAT {
                        return Ok(AtPlace::End);
                    }
                    if is_wanted(&event) {
                        return Ok(AtPlace::Event(event));
                    }
                }
            };
            match read.await {
                Err(Error::Purged { .. }) => return Ok(AtPlace::Gone),
                Err(Error::AnonymousRefused { .. } | Error::GtidsRefused { .. }) => return Ok(AtPlace::Withheld),
                Err(Error::BadPosition { .. }) => return Ok(AtPlace::NoEvent),
                // Either the connection damaged the event, or there is no event at this place: then a second read
                // fails, too.
                Err(error @ (Error::Damaged { .. } | Error::Uninterpretable { .. } | Error::TooLarge(_))) => {
                    if std::mem::replace(&mut has_failed, true) {
                        tracing::debug!(%error, %place, "no event can be read at this place");
                        return Ok(AtPlace::NoEvent);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Requests the transaction as a replica that lacks only this one.
    async fn by_gtid(&self, anchor: &Anchor, gtid: &Gtid, set: &GtidSet) -> Result<Found, Error> {
        Ok(match self.fetch(gtid, set).await? {
            Ok((event, begin)) => self.compare(anchor, &event, &begin)?,
            Err(why) => Found::Nothing(why),
        })
    }

    /// The GTID event of a transaction, with its place; or why it can't be read.
    async fn fetch(&self, gtid: &Gtid, set: &GtidSet) -> Result<Result<(BinlogEvent, FileOffset), String>, Error> {
        let gone = |error| match error {
            Error::Purged { .. } => Ok(Err(format!("transaction {gtid} was purged"))),
            Error::AnonymousRefused { message } | Error::GtidsRefused { message } => {
                Ok(Err(format!("transaction {gtid}: {message}")))
            }
            Error::Lost(problem) if problem.contains("1236") => Ok(Err(format!("transaction {gtid}: {problem}"))),
            error => Err(error),
        };
        let mut wire = match self.open(Begin::After(set.without(gtid))).await {
            Ok(wire) => wire,
            Err(error) => return gone(error),
        };
        let mut at = FileOffset { file: "".into(), offset: FILE_START };
        let mut last_event_at = Instant::now();
        loop {
            let event = match wire.next().await {
                Ok(event) => event,
                Err(error) => return gone(error),
            };
            let is_idle = last_event_at.elapsed() >= self.settings.heartbeat / 2;
            last_event_at = Instant::now();
            match event.kind {
                // Heartbeats in place of skipped transactions come at once.
                event_type::HEARTBEAT if is_idle => return Ok(Err(format!("transaction {gtid} is not in the binlog"))),
                event_type::ROTATE => at = place::after_rotate(&event.body).unwrap_or(at),
                kind if is_gtid(kind) => {
                    let read = read_gtid(&event)?;
                    if read.gtid.as_ref() == Some(gtid) {
                        at.offset = u64::from(event.log_pos).saturating_sub(u64::from(event.size));
                        return Ok(Ok((event, at)));
                    }
                }
                _ => {}
            }
        }
    }

    fn compare(&self, anchor: &Anchor, event: &BinlogEvent, begin: &FileOffset) -> Result<Found, Error> {
        let read = read_gtid(event)?;
        let Local { server_uuid, begin: known_begin, immediate_commit_us, checksum } = &anchor.local;
        let other = |what: &str, then: &dyn fmt::Display, now: &dyn fmt::Display| {
            Ok(Found::Other(format!("{} had {what} {then}, and now it has {now}", named(anchor))))
        };
        if read.gtid != anchor.gtid {
            let now = read.gtid.map_or("no GTID".to_string(), |gtid| gtid.to_string());
            return Ok(Found::Other(format!("{} stood at {known_begin}, and now {now} does", named(anchor))));
        }
        if read.original_commit_us != anchor.original_commit_us {
            return other("the commit time", &Time(anchor.original_commit_us), &Time(read.original_commit_us));
        }
        let mut by = Vec::new();
        if anchor.original_commit_us != 0 {
            by.push("its commit time");
        }
        if *server_uuid == self.server.uuid {
            if *known_begin != *begin {
                return other("the place", known_begin, begin);
            }
            if read.immediate_commit_us != *immediate_commit_us {
                return other("the commit time here", &Time(*immediate_commit_us), &Time(read.immediate_commit_us));
            }
            match (checksum, event.checksum) {
                (Some(then), Some(now)) if *then != now => return other("the checksum", then, &now),
                (Some(_), Some(_)) => by.push("its place and checksum"),
                _ => {}
            }
        }
        if by.is_empty() {
            return Ok(Found::Nothing(format!("the log has no commit time of {}", named(anchor))));
        }
        Ok(Found::Same(format!("{}: {} are as they were", named(anchor), by.join(", "))))
    }

    /// When the position's own file was begun.
    async fn check_file(&self, position: &Position, files: Option<&[FileOffset]>) -> Result<Found, Error> {
        let file = &position.place().file;
        let is_listed = files.is_none_or(|files| files.iter().any(|end| end.file == *file));
        let Some(known) = position.parts().proof.file_created_s.filter(|_| is_listed) else {
            return Ok(Found::Nothing(format!("nothing is known of file {file}")));
        };
        if position.server_uuid() != self.server.uuid {
            return Ok(Found::Nothing("another server has other files".to_string()));
        }
        Ok(match self.created(file).await? {
            Some(now) if now == known => Found::Same(format!("file {file}, which was begun when it was")),
            Some(now) => {
                let (known, now) = (Time(u64::from(known) * 1_000_000), Time(u64::from(now) * 1_000_000));
                Found::Other(format!("file {file} was begun at {known}, and the file of that name now at {now}"))
            }
            None => Found::Nothing(format!("{file} is no longer there")),
        })
    }

    /// The time in the header of a file's format description; none where there is no such file.
    async fn created(&self, file: &Arc<str>) -> Result<Option<u32>, Error> {
        let head = FileOffset { file: Arc::clone(file), offset: FILE_START };
        let is_description = |event: &BinlogEvent| event.kind == event_type::FORMAT_DESCRIPTION;
        Ok(match self.read_at(&head, is_description).await? {
            AtPlace::Event(event) => Some(event.timestamp),
            AtPlace::End | AtPlace::NoEvent | AtPlace::Gone | AtPlace::Withheld => None,
        })
    }

    /// The proof for a position that has none.
    async fn learn(&self, position: &Position) -> Result<Proof, Error> {
        // Another uuid, because both are read at the same time.
        let beside = Prover::new(&self.settings, self.server);
        let (anchors, file_created_s) = tokio::try_join!(self.learn_anchors(position), async {
            match position.server_uuid() == self.server.uuid {
                true => beside.created(&position.place().file).await,
                false => Ok(None),
            }
        })?;
        Ok(Proof::new(anchors, file_created_s))
    }

    async fn learn_anchors(&self, position: &Position) -> Result<Vec<Arc<Anchor>>, Error> {
        let mut anchors = Vec::new();
        if let Some(set) = position.parts().gtids.as_ref().filter(|_| self.server.has_gtids) {
            for gtid in set.newest().take(LEARNED_MAX) {
                if let Ok((event, begin)) = self.fetch(&gtid, set).await? {
                    anchors.push(Arc::new(self.anchor(&event, begin)?));
                }
            }
        }
        Ok(anchors)
    }

    fn anchor(&self, event: &BinlogEvent, begin: FileOffset) -> Result<Anchor, Error> {
        let read = read_gtid(event)?;
        let (server_uuid, immediate_commit_us) = (self.server.uuid, read.immediate_commit_us);
        let local = Local { server_uuid, begin, immediate_commit_us, checksum: event.checksum };
        Ok(Anchor { gtid: read.gtid, original_commit_us: read.original_commit_us, local })
    }

    async fn open(&self, begin: Begin) -> Result<Wire, Error> {
        let timeout = self.settings.heartbeat * HEARTBEATS_MISSED_MAX;
        Wire::open(&self.settings, self.server.uuid, begin, timeout).await
    }
}

/// An error if the server's newest file is before the place, or if the file of the place ends before it: the files of
/// one log have rising numbers, and the newest one grows.
pub(super) fn not_backwards(files: &[FileOffset], place: &FileOffset) -> Result<(), Error> {
    let Some(newest) = files.last() else { return Ok(()) };
    let is_of_one_name = base_name(&newest.file) == base_name(&place.file);
    if is_of_one_name && newest.order(place) == Ordering::Less {
        let what = format!("it was read up to {place}, and now it ends at {newest}");
        return Err(Error::AnotherLog { what });
    }
    let end = files.iter().find(|end| end.file == place.file);
    match end {
        Some(end) if end.offset < place.offset => {
            let what = format!("{} was read up to {}, and now it has {} bytes", place.file, place.offset, end.offset);
            Err(Error::AnotherLog { what })
        }
        _ => Ok(()),
    }
}

fn base_name(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(base, _)| base)
}

fn is_gtid(kind: u8) -> bool {
    matches!(kind, event_type::GTID | event_type::ANONYMOUS_GTID | event_type::GTID_TAGGED)
}

fn read_gtid(event: &BinlogEvent) -> Result<GtidEvent, Error> {
    GtidEvent::parse(event.kind, &event.body).map_err(|fault| of_fault(fault, "a GTID event"))
}

fn named(anchor: &Anchor) -> String {
    match &anchor.gtid {
        Some(gtid) => format!("transaction {gtid}"),
        None => format!("the transaction at {}", anchor.local.begin),
    }
}

/// A time in microseconds since the Unix epoch, for people.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("none"),
            us => {
                // No clock is set further than the last time that can be written.
                let time = std::time::UNIX_EPOCH + Duration::from_micros(us.min(LAST_TIME_US));
                humantime::format_rfc3339_micros(time).fmt(f)
            }
        }
    }
}
