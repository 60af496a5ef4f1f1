//! The set of transactions before a place in a binlog file.
//!
//! In: a place. Out: the GTID set that a reader who begins there needs: the set at the head of the file, and the
//! transactions of the file up to there. Reads the file up to the place again, over a connection of its own; a file is
//! as large as the server's `max_binlog_size`. A place that is not the beginning of a transaction is refused.

use uuid::Uuid;

use crate::position::{FileOffset, GtidSet};

use super::error::Error;
use super::event::{GtidEvent, previous_gtids};
use super::event_type;
use super::server::FILE_START;
use super::settings::Settings;
use super::wire::{Begin, Wire, of_fault};

const GTID_PLACE: &str = "a GTID event";

pub(super) async fn gtids_before(settings: &Settings, server: Uuid, place: &FileOffset) -> Result<GtidSet, Error> {
    let wrong = |problem: &str| Error::BadPosition {
        file: place.file.to_string(),
        offset: place.offset,
        problem: problem.to_string(),
    };
    let head = FileOffset { file: place.file.clone(), offset: FILE_START };
    let mut wire = Wire::open(settings, server, Begin::At(head), settings.heartbeat * 3).await?;
    let mut set: Option<GtidSet> = None;
    let mut end = FILE_START;
    loop {
        let event = wire.next().await?;
        let (kind, is_artificial) = (event.kind, event.is_artificial());
        if kind == event_type::HEARTBEAT || (is_artificial && set.is_some()) {
            // The end of the file, or of its part that is written so far.
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
                let previous = previous_gtids(&event.body).map_err(|fault| of_fault(fault, GTID_PLACE))?;
                if place.offset <= end {
                    return Ok(previous);
                }
                set = Some(previous);
            }
            // Folded at its beginning: if the place lies inside this transaction, nothing is returned.
            (event_type::GTID | event_type::GTID_TAGGED, Some(set)) => {
                let gtid = GtidEvent::parse(kind, &event.body).map_err(|fault| of_fault(fault, GTID_PLACE))?.gtid;
                gtid.iter().for_each(|gtid| set.insert(gtid));
            }
            _ => {}
        }
    }
}
