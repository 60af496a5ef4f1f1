//! Places in a server's binlog files, as its events give them.
//!
//! In: the positions in event headers and ROTATE events. Out: files and offsets, also beyond 32 bits. Pure; does not
//! read other events.

use crate::position::{FileOffset, file_number};

/// `log_pos` is where the next event begins, in 32 bits only: in a file over 4 GiB it wraps. False, and nothing moved,
/// where no offset is left.
#[must_use]
pub(super) fn move_to(place: &mut FileOffset, log_pos: u32) -> bool {
    let low = u64::from(log_pos);
    let same_lap = place.offset & !0xffff_ffff | low;
    let lap = if same_lap < place.offset { 1 << 32 } else { 0 };
    let moved = same_lap.checked_add(lap);
    place.offset = moved.unwrap_or(place.offset);
    moved.is_some()
}

/// The place that a ROTATE event names; none if its body is not one.
pub(super) fn after_rotate(body: &[u8]) -> Option<FileOffset> {
    let (position, name) = body.split_first_chunk::<8>()?;
    // Garbage after the number is a checksum that was taken for text.
    let name = std::str::from_utf8(name).ok().filter(|name| file_number(name).is_some())?;
    Some(FileOffset { file: name.into(), offset: u64::from_le_bytes(*position) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &str, offset: u64) -> FileOffset {
        FileOffset { file: file.into(), offset }
    }

    #[test]
    fn offsets_go_on_beyond_four_gib() {
        let mut at = place("b.000001", 0xffff_fff0);
        assert!(move_to(&mut at, 0x10));
        assert_eq!(at.offset, 0x1_0000_0010);
        assert!(!move_to(&mut place("b.000001", u64::MAX), 0x10));
    }

    #[test]
    fn a_rotate_event_names_a_file_with_a_number() {
        assert_eq!(after_rotate(b"\x04\0\0\0\0\0\0\0log.000007"), Some(place("log.000007", 4)));
        for body in [&b"\x04\0\0"[..], b"\x04\0\0\0\0\0\0\0log", b"\x04\0\0\0\0\0\0\0log.0007\x7f"] {
            assert_eq!(after_rotate(body), None);
        }
    }
}
