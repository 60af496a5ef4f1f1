//! The binlog pin: keeps the server from purging its binlog from some place on.
//!
//! In: the place. Out: a [`PinnedBinlog`], which requests a stream and does not read it: MySQL purges no file that a
//! thread is sending, nor any after it, neither by age nor by hand. Owns that connection and opens it again for ever.
//! Checks it over another connection, because a connection that is not read does not notice its end. Reads nothing into
//! memory (promise 6). Never moves the pin: a caller that needs a later place makes another pin.

use std::cmp::Ordering;
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::position::{FileOffset, Position};

use super::connect::connect;
use super::connection::Connection;
use super::error::Error;
use super::server::{FILE_START, Server};
use super::settings::Settings;
use super::wire::{Begin, UnreadStream};

/// More than the server can send into a connection that is not read: the buffers of both systems, and those of a proxy
/// or tunnel between them. The stream begins so many bytes before the end of the needed file, so that the server has to
/// wait before it has sent all of it.
const UNREAD_BYTES_MAX: u64 = 8 << 20;

/// At least as much as the buffers of a connection take on a system with usual settings: 50 KiB were measured.
const UNREAD_BYTES_MIN: u64 = 64 << 10;

/// The interval at which the server is asked whether the thread still exists.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The interval at which a thread that was just requested is checked.
const FIRST_CHECKS_INTERVAL: Duration = Duration::from_millis(50);

/// A place from which on the server keeps its binlog. Dropping it lets the server purge again.
#[derive(Debug)]
pub struct PinnedBinlog {
    is_pinned: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl PinnedBinlog {
    /// Whether the binlog is pinned, as far as is known. False before the first connection, while the connection is
    /// opened again, and when the needed file is purged already or too small.
    pub fn is_pinned(&self) -> bool {
        *self.is_pinned.borrow()
    }
}

impl Drop for PinnedBinlog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a task that pins the binlog from the file of this place on, or from an earlier file in which an undecided XA
/// transaction begins. If that file is purged, or belongs to another server, it pins from the first needed file on that
/// is left. `settings` must have an `instance` of their own. Must be called within a Tokio runtime.
///
/// Files at the beginning of the binlog that together are smaller than the buffers of the connection (about 50 KiB)
/// can't be pinned: the thread has sent all of them before it has to wait.
pub fn pin_binlog(settings: Settings, place: Position) -> PinnedBinlog {
    let (is_pinned, receiver) = watch::channel(false);
    let task = tokio::spawn(pin_for_ever(settings, place, is_pinned));
    PinnedBinlog { is_pinned: receiver, task }
}

async fn pin_for_ever(settings: Settings, place: Position, is_pinned: watch::Sender<bool>) {
    let mut waits = settings.reconnect.waits();
    loop {
        let Err(error) = pin_once(&settings, &place, &is_pinned).await;
        if is_pinned.send_replace(false) {
            waits.reset();
        }
        tracing::warn!(%error, file = &*place.oldest_needed().file, "the server may purge binlogs that a rule needs; trying to pin them again");
        sleep(waits.next_wait()).await;
    }
}

/// One stream from its opening to its end.
async fn pin_once(settings: &Settings, place: &Position, is_pinned: &watch::Sender<bool>) -> Result<Infallible, Error> {
    let mut connection = connect(settings).await?;
    let server = Server::inspect(&mut connection, &settings.address()).await?;
    let files = server.files(&mut connection).await?;
    let begin = pin_start(place, server.uuid, &files).ok_or_else(|| server.other_server(place))?;
    let unread = UnreadStream::open(settings, server.uuid, &begin).await?;
    wait_until_sending(&server, &mut connection, unread.thread, settings.connect_timeout).await?;
    drop(connection);
    tracing::debug!(?begin, thread = unread.thread, "the binlog is requested and not read");
    let mut is_kept = keeps_needed(place, server.uuid, &files);
    let mut was_kept = true;
    loop {
        is_pinned.send_replace(is_kept);
        if was_kept && !is_kept {
            let file = &*place.oldest_needed().file;
            tracing::warn!(
                file,
                "the binlog can't be pinned from this file on: the file is gone, or so small that it fits into a connection's buffers"
            );
        }
        was_kept = is_kept;
        sleep(CHECK_INTERVAL).await;
        match inspect_pin(settings, &server, unread.thread).await {
            Ok(Some(files)) => is_kept = keeps_needed(place, server.uuid, &files),
            Ok(None) => return Err(Error::Lost("the server ended the stream that is not read".to_string())),
            // A failed check, for example because no connection was free, is no reason to give the stream up.
            Err(error) => tracing::debug!(%error, "the connection that pins the binlog can't be checked"),
        }
    }
}

/// The files of the server; None: it is another server, or the thread has ended.
async fn inspect_pin(settings: &Settings, server: &Server, thread: u64) -> Result<Option<Vec<FileOffset>>, Error> {
    let mut connection = connect(settings).await?;
    let now = Server::inspect(&mut connection, &settings.address()).await?;
    if now.uuid != server.uuid || !now.is_dumping(&mut connection, thread).await? {
        return Ok(None);
    }
    now.files(&mut connection).await.map(Some)
}

/// Waits until the server's thread sends the binlog.
async fn wait_until_sending(
    server: &Server,
    connection: &mut Connection,
    thread: u64,
    timeout: Duration,
) -> Result<(), Error> {
    let give_up_at = Instant::now() + timeout;
    while !server.is_dumping(connection, thread).await? {
        if Instant::now() > give_up_at {
            return Err(Error::Lost("the server sends no binlog to the stream that is not read".to_string()));
        }
        sleep(FIRST_CHECKS_INTERVAL).await;
    }
    Ok(())
}

/// Where the stream must begin so that the server has to wait no later than in the first needed file. `files` are the
/// ends of all files of the server, the oldest first. None: the server has no file, or the position belongs to another
/// server and has no GTID set.
fn pin_start(place: &Position, server: Uuid, files: &[FileOffset]) -> Option<Begin> {
    if place.server_uuid() != server {
        return place.parts().gtids.clone().map(Begin::After);
    }
    let needed = place.oldest_needed();
    let is_before = |file: &&FileOffset| {
        let start = FileOffset { file: file.file.clone(), offset: 0 };
        start.order(needed) != Ordering::Greater
    };
    let mut first = files.first()?;
    let mut bytes = 0;
    for file in files.iter().filter(is_before).rev() {
        first = file;
        bytes += file.offset;
        if bytes >= UNREAD_BYTES_MAX {
            break;
        }
    }
    Some(Begin::At(FileOffset { file: first.file.clone(), offset: FILE_START }))
}

/// Whether a stream that begins at [`pin_start`] keeps the server from purging the first needed file. The server never
/// purges the newest file.
fn keeps_needed(place: &Position, server: Uuid, files: &[FileOffset]) -> bool {
    if place.server_uuid() != server {
        return true;
    }
    let needed = &*place.oldest_needed().file;
    let Some(at) = files.iter().position(|file| *file.file == *needed) else { return false };
    let bytes: u64 = files[..=at].iter().map(|file| file.offset).sum();
    at + 1 == files.len() || bytes >= UNREAD_BYTES_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{FoundBy, PositionParts, Proof};

    const MIB: u64 = 1 << 20;

    fn at(number: u32, offset: u64) -> FileOffset {
        FileOffset { file: format!("b.{number:06}").into(), offset }
    }

    fn position(file: FileOffset, undecided: &[FileOffset], gtids: Option<&str>) -> Position {
        let gtids = gtids.map(|set| set.parse().expect("a set"));
        let found_by = if gtids.is_some() { FoundBy::Either } else { FoundBy::Place };
        let (undecided, proof) = (undecided.into(), Proof::default());
        Position::from_parts(PositionParts { server_uuid: Uuid::nil(), gtids, file, undecided, found_by, proof })
    }

    #[test]
    fn the_stream_begins_far_enough_before_the_end_of_the_needed_file() {
        let large = [at(7, 100 * MIB), at(8, 100 * MIB), at(9, 100 * MIB)];
        let small = [at(3, MIB), at(4, 6 * MIB), at(5, MIB), at(6, MIB), at(7, MIB), at(8, MIB)];
        for (what, place, files, expected) in [
            ("a file larger than the buffers, at its end", position(at(8, 100 * MIB), &[], None), &large[..], 8),
            ("with something undecided", position(at(9, 4), &[at(8, 700), at(7, 9)], None), &large, 7),
            ("small files", position(at(6, 4), &[], None), &small, 4),
            ("nothing before them", position(at(4, 4), &[], None), &small, 3),
            ("gone", position(at(2, 4), &[], None), &small, 3),
        ] {
            let Some(Begin::At(place)) = pin_start(&place, Uuid::nil(), files) else { panic!("{what}: no place") };
            assert_eq!(place, at(expected, FILE_START), "{what}");
        }
    }

    #[test]
    fn on_another_server_only_gtids_say_what_is_needed() {
        let (files, other) = ([at(1, 100 * MIB)], Uuid::from_u128(1));
        let set = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
        assert!(matches!(pin_start(&position(at(9, 4), &[], Some(set)), other, &files), Some(Begin::After(_))));
        assert!(pin_start(&position(at(1, 4), &[], None), other, &files).is_none());
    }

    #[test]
    fn a_file_that_is_purged_or_fits_into_the_buffers_is_not_pinned() {
        const KIB: u64 = 1 << 10;
        let files = [at(3, 10 * KIB), at(4, 10 * KIB), at(5, 50 * KIB), at(6, KIB)];
        for (needed, expected) in [(2, false), (3, false), (4, false), (5, true), (6, true)] {
            assert_eq!(keeps_needed(&position(at(needed, 4), &[], None), Uuid::nil(), &files), expected, "{needed}");
        }
        assert!(
            keeps_needed(&position(at(3, 4), &[], None), Uuid::nil(), &files[..1]),
            "the newest file is never purged"
        );
        assert!(!keeps_needed(&position(at(5, 4), &[at(3, 4)], None), Uuid::nil(), &files), "something undecided");
    }
}
