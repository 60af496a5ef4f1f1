//! How a stream begins: by file and offset, or by GTID set.
//!
//! In: a position, the server that it is read from, and the binlog files there. Out: the [`Begin`] that brings everything
//! after the position, or the reason why this server has none (promises 1 and 7). On the server that the position's file
//! belongs to it is always the file and the offset: a stream by GTID set knows nothing of transactions without GTIDs, and
//! a server whose `gtid_mode` was switched off and on again leaves them out without a word. On another server it is the set,
//! after a check whether transactions without GTIDs would be left out there.

use std::cmp::Ordering;

use crate::position::{FileOffset, FoundBy, GtidSet, Position, PositionParts, Start, file_number};

use super::connection::Connection;
use super::error::Error;
use super::event_type;
use super::gtids_before::gtids_before;
use super::server::{FILE_START, Server};
use super::settings::Settings;
use super::wire::{Begin, Wire};

/// What a position allows on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// By the position's file and offset.
    Place,
    /// From the head of the oldest file that the server has: everything before it was purged, including the position.
    Oldest,
    Set,
    None(Obstacle),
}

/// Why the server can't be read from the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// Only the server that the position was read from can find it.
    OtherServer,
    /// Only the GTID set can find it, and the server accepts sets only with `gtid_mode=ON`.
    GtidsOff,
    /// Its file is gone, and what may have been in it has no GTIDs.
    Purged,
    /// The protocol has no name for the place.
    Unnameable,
}

/// Where a first start begins. The set of a place that a person named is read from the binlog.
pub(super) async fn first(
    settings: &Settings,
    server: &Server,
    connection: &mut Connection,
    start: &Start,
) -> Result<Position, Error> {
    let position = server.begin(connection, start).await?;
    let Start::At(place) = start else { return Ok(position) };
    let set = match gtids_before(settings, server.uuid, place).await {
        Ok(set) => set,
        // Transactions before it can't be read in this mode. The place alone is enough; a set comes with the next file.
        Err(Error::GtidsRefused { .. } | Error::AnonymousRefused { .. }) => return Ok(position),
        Err(error) => return Err(error),
    };
    let mut parts = position.into_parts();
    parts.gtids = Some(set);
    if server.has_gtids {
        parts.found_by = FoundBy::Either;
    }
    Ok(Position::from_parts(parts))
}

/// Where the stream begins that brings everything after `position`, and with `Begin::At` everything that is in its set and
/// comes all the same.
pub(super) async fn begin_after(
    settings: &Settings,
    server: &Server,
    files: &[FileOffset],
    position: &Position,
) -> Result<Begin, Error> {
    let found_by = match position.parts().found_by {
        FoundBy::Set if position.server_uuid() == server.uuid => found_by(settings, server, files, position).await?,
        found_by => found_by,
    };
    let position = Position::from_parts(PositionParts { found_by, ..position.parts().clone() });
    let set = || position.parts().gtids.clone().unwrap_or_default();
    match way(&position, server.uuid == position.server_uuid(), server.has_gtids, files) {
        Way::Place => Ok(Begin::At(position.place().clone())),
        Way::Oldest => {
            tracing::warn!(
                file = &*position.place().file,
                "the binlog file of the checkpoint is purged; no transaction with a GTID was lost by that. If gtid_mode was \
                 not ON all the time since then, transactions without GTIDs may have been purged unread"
            );
            files.first().map(|file| Begin::At(head(file))).ok_or_else(|| gone(&position))
        }
        Way::Set => {
            nothing_is_left_out(settings, server, files, &position).await?;
            Ok(Begin::After(set()))
        }
        Way::None(obstacle) => Err(refusal(obstacle, server, &position)),
    }
}

fn way(position: &Position, is_same_server: bool, has_gtids: bool, files: &[FileOffset]) -> Way {
    let is_by_set = position.set().is_some();
    let by_set = |otherwise| if is_by_set && has_gtids { Way::Set } else { Way::None(otherwise) };
    if !is_same_server || !position.is_placed() {
        return by_set(if is_by_set { Obstacle::GtidsOff } else { Obstacle::OtherServer });
    }
    let mut places = std::iter::once(position.place()).chain(position.parts().undecided.iter());
    if files.iter().any(|file| file.file == position.place().file) {
        let has_name = places.all(|place| u32::try_from(place.offset).is_ok());
        return if has_name { Way::Place } else { by_set(Obstacle::Unnameable) };
    }
    match files.first() {
        Some(oldest) if is_older(&position.place().file, &oldest.file) && is_by_set && has_gtids => Way::Oldest,
        Some(oldest) if is_older(&position.place().file, &oldest.file) => Way::None(Obstacle::Purged),
        // The server writes files of another name now.
        _ => by_set(Obstacle::Purged),
    }
}

/// Of two names with one stem, whether the first has the lower number.
fn is_older(one: &str, other: &str) -> bool {
    let stem = |file: &str| file.rsplit_once('.').map(|(stem, _)| stem.to_string());
    stem(one) == stem(other) && file_number(one).cmp(&file_number(other)) == Ordering::Less
}

fn refusal(obstacle: Obstacle, server: &Server, position: &Position) -> Error {
    let (expected, found) = (position.server_uuid().to_string(), server.uuid.to_string());
    match obstacle {
        Obstacle::OtherServer if position.knows_gtids() => Error::AnonymousFollow { expected, found },
        Obstacle::OtherServer => Error::OtherServer { expected, found },
        Obstacle::GtidsOff => Error::GtidsOff { mode: server.gtid_mode(), expected, found },
        Obstacle::Purged => gone(position),
        Obstacle::Unnameable => Error::BadPosition {
            file: position.place().file.to_string(),
            offset: position.place().offset,
            problem: "it lies beyond 4 GiB, which the protocol cannot name without GTIDs".to_string(),
        },
    }
}

fn gone(position: &Position) -> Error {
    Error::Purged { missing: position.place().file.to_string() }
}

fn head(file: &FileOffset) -> FileOffset {
    FileOffset { offset: FILE_START, ..file.clone() }
}

/// A place that was stored beside a set by an earlier version, or a set that a person named: whether the place says the same as the set.
/// An earlier version kept no places of XA transactions with GTIDs that are undecided; these are missing in the set.
async fn found_by(
    settings: &Settings,
    server: &Server,
    files: &[FileOffset],
    position: &Position,
) -> Result<FoundBy, Error> {
    let is_there =
        files.iter().any(|file| file.file == position.place().file && file.offset >= position.place().offset);
    let has_name = u32::try_from(position.place().offset).is_ok();
    if !is_there || !has_name {
        return Ok(FoundBy::Set);
    }
    match gtids_before(settings, server.uuid, position.place()).await {
        Ok(set) if position.parts().gtids.as_ref() == Some(&set) => Ok(FoundBy::Either),
        Ok(_) | Err(Error::BadPosition { .. } | Error::AnonymousRefused { .. } | Error::GtidsRefused { .. }) => {
            Ok(FoundBy::Set)
        }
        Err(error) => Err(error),
    }
}

/// A server begins a stream by set in the newest file that has nothing of the set before it, and says nothing of
/// transactions without GTIDs in the files before that. They are after the set's last transaction only if that is not in
/// this file or a later one: then the files before are read.
async fn nothing_is_left_out(
    settings: &Settings,
    server: &Server,
    files: &[FileOffset],
    position: &Position,
) -> Result<(), Error> {
    let Some(set) = &position.parts().gtids else { return Ok(()) };
    // Of the files, the first ones have nothing before them that is not in the set.
    let (mut first, mut end) = (0, files.len());
    while first + 1 < end {
        let middle = first + (end - first) / 2;
        if gtids_before_file(settings, server, &files[middle]).await?.is_subset_of(set) {
            first = middle
        } else {
            end = middle
        }
    }
    if first == 0 || gtids_before_file(settings, server, &files[first]).await? != *set {
        return Ok(());
    }
    for file in files[..first].iter().rev() {
        if last_is_anonymous(settings, server, file).await? {
            return Err(refusal_of_anonymous(server, position, &file.file));
        }
        if gtids_before_file(settings, server, file).await? != *set {
            break;
        }
    }
    Ok(())
}

async fn gtids_before_file(settings: &Settings, server: &Server, file: &FileOffset) -> Result<GtidSet, Error> {
    gtids_before(settings, server.uuid, &head(file)).await
}

/// What a stream by set that the server ended because of a transaction without GTID means.
pub(super) fn refused_by_set(error: Error, server: &Server, position: &Position) -> Error {
    match error {
        // The position is far enough to be found by its place, where the next connection begins.
        Error::AnonymousRefused { message } if position.server_uuid() == server.uuid && position.is_placed() => {
            Error::Lost(message)
        }
        Error::AnonymousRefused { message } => {
            refusal_of_anonymous(server, position, &format!("its binlog ({message})"))
        }
        other => other,
    }
}

fn refusal_of_anonymous(server: &Server, position: &Position, file: &str) -> Error {
    if position.server_uuid() == server.uuid {
        return Error::AnonymousLeftOut { file: file.to_string() };
    }
    let (expected, found) = (position.server_uuid().to_string(), server.uuid.to_string());
    Error::AnonymousHere { expected, found, file: file.to_string() }
}

/// Whether the last transaction in a file has no GTID; also where the server does not send the file because some have none.
async fn last_is_anonymous(settings: &Settings, server: &Server, file: &FileOffset) -> Result<bool, Error> {
    let mut wire = Wire::open(settings, server.uuid, Begin::At(head(file)), settings.heartbeat * 3).await?;
    let (mut has_begun, mut is_anonymous) = (false, false);
    loop {
        let event = match wire.next().await {
            Ok(event) => event,
            Err(Error::AnonymousRefused { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        match event.kind {
            event_type::HEARTBEAT => return Ok(is_anonymous),
            event_type::ROTATE if has_begun => return Ok(is_anonymous),
            event_type::FORMAT_DESCRIPTION => has_begun = true,
            event_type::ANONYMOUS_GTID => is_anonymous = true,
            event_type::GTID | event_type::GTID_TAGGED => is_anonymous = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::position::Proof;

    fn at(file: &str, offset: u64) -> FileOffset {
        FileOffset { file: file.into(), offset }
    }

    fn position(file: FileOffset, gtids: bool, found_by: FoundBy) -> Position {
        let gtids = gtids.then(|| format!("{}:1-5", Uuid::from_u128(7)).parse().expect("a set"));
        let (undecided, proof) = (Arc::default(), Proof::default());
        Position::from_parts(PositionParts { server_uuid: Uuid::nil(), gtids, file, undecided, found_by, proof })
    }

    #[test]
    fn on_its_own_server_a_position_is_found_by_place_and_on_others_by_set() {
        use FoundBy::{Either, Place, Set};
        use Obstacle::{GtidsOff, OtherServer, Purged, Unnameable};
        let files = [at("b.000009", 900), at("b.000010", 900)];
        let there = || at("b.000009", 300);
        let far = || at("b.000010", 1 << 33);
        for (what, position, is_same_server, has_gtids, expected) in [
            ("the usual one", position(there(), true, Either), true, true, Way::Place),
            ("gtids switched off", position(there(), true, Either), true, false, Way::Place),
            ("anonymous ones follow", position(there(), true, Place), true, true, Way::Place),
            ("no set known", position(there(), false, Place), true, true, Way::Place),
            ("another server", position(there(), true, Either), false, true, Way::Set),
            ("another server without gtids", position(there(), true, Either), false, false, Way::None(GtidsOff)),
            ("another server, anonymous", position(there(), true, Place), false, true, Way::None(OtherServer)),
            ("another server, no set", position(there(), false, Place), false, true, Way::None(OtherServer)),
            ("a set alone", position(there(), true, Set), true, true, Way::Set),
            ("a set alone, gtids off", position(there(), true, Set), true, false, Way::None(GtidsOff)),
            ("beyond 4 GiB", position(far(), true, Either), true, true, Way::Set),
            ("beyond 4 GiB, anonymous", position(far(), true, Place), true, true, Way::None(Unnameable)),
            ("beyond 4 GiB, gtids off", position(far(), true, Either), true, false, Way::None(Unnameable)),
            ("purged", position(at("b.000008", 4), true, Either), true, true, Way::Oldest),
            ("purged, gtids off", position(at("b.000008", 4), true, Either), true, false, Way::None(Purged)),
            ("purged, anonymous", position(at("b.000008", 4), true, Place), true, true, Way::None(Purged)),
            ("of another name", position(at("c.000009", 4), true, Either), true, true, Way::Set),
            ("of another name, no set", position(at("c.000009", 4), false, Place), true, true, Way::None(Purged)),
            ("not written yet", position(at("b.000011", 4), true, Place), true, true, Way::None(Purged)),
        ] {
            assert_eq!(way(&position, is_same_server, has_gtids, &files), expected, "{what}");
        }
        let undecided = PositionParts { undecided: [far()].into(), ..position(there(), true, Either).into_parts() };
        let undecided = Position::from_parts(undecided);
        assert_eq!(way(&undecided, true, true, &files), Way::Set, "something undecided beyond 4 GiB");
    }

    #[test]
    fn a_file_is_older_by_its_number() {
        for (one, other, expected) in [
            ("b.000009", "b.000010", true),
            ("b.999999", "b.1000000", true),
            ("b.000010", "b.000010", false),
            ("b.000011", "b.000010", false),
            ("c.000009", "b.000010", false),
            ("b", "b.000010", false),
        ] {
            assert_eq!(is_older(one, other), expected, "{one} {other}");
        }
    }
}
