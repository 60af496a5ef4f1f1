//! One event of the binlog, and the contents of the bodies that the reader itself parses.
//!
//! In: bytes of the stream. Out: [`BinlogEvent`], whose body shares those bytes, and parsers for GTIDs, statements and the heads
//! of compressed transactions. All bytes are read through the checked cursor, so that no input can cause a panic or an
//! allocation larger than itself; what does not fit is an error (promise 7). No I/O, no state.

mod gtid;
mod payload;
mod query;

pub(super) use gtid::{GtidEvent, previous_gtids};
pub(super) use payload::{Payload, PayloadCompression};
pub(super) use query::Query;

use bytes::Buf;

use crate::column::bytes::{Bytes, Truncated};

use super::event_type;

/// Bytes of the header that every event begins with.
pub(super) const HEADER_BYTES: usize = 19;

/// An event without its checksum, which was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BinlogEvent {
    /// A code of [`event_type`].
    pub kind: u8,
    pub flags: u16,
    /// Seconds since the epoch.
    pub timestamp: u32,
    /// Bytes in the log: header, body and, where there is one, checksum.
    pub size: u32,
    /// Where the next event begins in the file, in 32 bits only; 0 for events that are in no file.
    pub log_pos: u32,
    pub body: bytes::Bytes,
    /// As it came after the body; None where there are no checksums.
    pub checksum: Option<u32>,
    /// It was inside a compressed transaction.
    pub is_inner: bool,
}

impl BinlogEvent {
    /// Takes a header off `bytes`; the rest is the body.
    pub fn parse(mut bytes: bytes::Bytes, is_inner: bool) -> Result<BinlogEvent, Truncated> {
        let mut header = Bytes(&bytes);
        let timestamp = header.le(4)? as u32;
        let kind = header.u8()?;
        header.take(4)?;
        let (size, log_pos, flags) = (header.le(4)? as u32, header.le(4)? as u32, header.le(2)? as u16);
        bytes.advance(HEADER_BYTES);
        Ok(BinlogEvent { kind, flags, timestamp, size, log_pos, body: bytes, checksum: None, is_inner })
    }

    /// The server made it for the stream; it is not in the file.
    pub fn is_artificial(&self) -> bool {
        self.flags & event_type::FLAG_ARTIFICIAL != 0
    }

    /// Whether it was run with a temporary table of its session.
    pub fn is_of_session(&self) -> bool {
        self.flags & event_type::FLAG_THREAD_SPECIFIC != 0
    }
}

/// The variable-length integer of the server's serialization library (`libs/mysql/serialization`, "MySQL Serialization
/// Library"): the ones at the low end of the first byte count the bytes that follow it.
fn varlen(bytes: &mut Bytes<'_>) -> Result<u64, Truncated> {
    let first = bytes.u8()?;
    let following = first.trailing_ones() as usize;
    let rest = bytes.le(following)?;
    Ok(match following {
        8 => rest,
        _ => rest << (7 - following) | u64::from(first) >> (following + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_length_integers_read_as_the_server_writes_them() {
        // Lengths as in the server's `variable_length_integers.h`: n bytes hold 7 n bits, nine hold all 64.
        for value in [0, 1, 127, 128, 16_383, 16_384, (1 << 49) - 1, 1 << 49, (1 << 56) - 1, 1 << 56, u64::MAX] {
            let bytes = serialized(value);
            let mut cursor = Bytes(&bytes);
            assert_eq!(varlen(&mut cursor), Ok(value));
            assert!(cursor.is_empty(), "{value}");
            assert_eq!(varlen(&mut Bytes(&bytes[..bytes.len() - 1])), Err(Truncated));
        }
        assert_eq!(serialized(300), [0b1011_0001, 0b0000_0100]);
    }

    /// The other direction, written from the description: low bits first, after the bits that give the length.
    pub(super) fn serialized(value: u64) -> Vec<u8> {
        let bits = 64 - value.leading_zeros().min(63);
        let following = bits.div_ceil(7) - 1;
        if following >= 8 {
            return [&[0xff][..], &value.to_le_bytes()].concat();
        }
        let marked = u128::from(value) << (following + 1) | ((1 << following) - 1);
        marked.to_le_bytes()[..following as usize + 1].to_vec()
    }

    #[test]
    fn a_header_is_removed_without_copying_the_body() {
        let mut raw = vec![1, 0, 0, 0, 16, 9, 0, 0, 0, 31, 0, 0, 0, 0xff, 0, 0, 0x80, 0x20, 0];
        raw.extend(b"the body");
        let raw = bytes::Bytes::from(raw);
        let event = BinlogEvent::parse(raw.clone(), false).expect("an event");
        assert_eq!((event.timestamp, event.kind, event.size, event.log_pos), (1, 16, 31, 0x8000_00ff));
        assert!(event.is_artificial());
        assert_eq!(event.body.as_ptr(), raw[HEADER_BYTES..].as_ptr());
        assert_eq!(BinlogEvent::parse(raw.slice(..HEADER_BYTES - 1), false), Err(Truncated));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_a_parser_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = BinlogEvent::parse(body.clone().into(), true);
            for kind in [event_type::GTID, event_type::ANONYMOUS_GTID, event_type::GTID_TAGGED] {
                let _ = GtidEvent::parse(kind, &body);
            }
            let _ = Query::parse(&body);
            let _ = Payload::parse(&body);
            let _ = previous_gtids(&body);
        }
    }
}
