//! Checksums of events: every byte is verified before an event is used.
//!
//! In: whole events as they came. Out: [`BinlogEvent`]s without their checksum, or the reason why one cannot be what the server
//! wrote. Owns what the newest FORMAT_DESCRIPTION said about checksums (worklog 2540). Events from inside a compressed
//! transaction have none; the transaction has.

use bytes::Bytes;

use crate::column::Fault;
use crate::column::bytes::{Bytes as Cursor, Truncated};

use super::event::{BinlogEvent, HEADER_BYTES};
use super::event_type;

const CHECKSUM_BYTES: usize = 4;

/// The algorithm's code and the checksum, at the end of every FORMAT_DESCRIPTION, also where checksums are off.
const DESCRIPTION_TAIL_BYTES: usize = 1 + CHECKSUM_BYTES;

/// The offset of the flags in a header.
const FLAGS_AT: usize = 17;

/// `LOG_EVENT_BINLOG_IN_USE_F`: changes in the file after the checksum was made, so it does not count.
const FLAG_IN_USE: u8 = 0x01;

/// The only version of the format since MySQL 5.0.
const FORMAT_VERSION: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Off,
    Crc32,
}

#[derive(Debug, Default)]
pub(super) struct Checksums {
    /// None before the first FORMAT_DESCRIPTION.
    algorithm: Option<Algorithm>,
}

impl Checksums {
    /// Verifies an event and takes its checksum off.
    pub fn verify(&mut self, raw: &Bytes) -> Result<BinlogEvent, Fault> {
        let event = BinlogEvent::parse(raw.clone(), false)?;
        if event.size as usize != raw.len() {
            return Err(Fault::new(format!("an event of {} bytes came with {}", event.size, raw.len()), ""));
        }
        let has_checksum = match (event.kind, self.algorithm) {
            (event_type::FORMAT_DESCRIPTION, _) => return self.describe(event, raw),
            // The first event of a stream, when it is not known yet whether there are checksums.
            (event_type::ROTATE, None) => is_intact(raw),
            (_, Some(algorithm)) => algorithm == Algorithm::Crc32,
            (kind, None) => return Err(Fault::new(format!("an event of type {kind} before the format is known"), "")),
        };
        if !has_checksum {
            return Ok(event);
        }
        if !is_intact(raw) {
            return Err(Fault::new(format!("the checksum of an event of type {} is wrong", event.kind), ""));
        }
        let checksum = raw.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        Ok(BinlogEvent { checksum, ..without_tail(event, CHECKSUM_BYTES)? })
    }

    fn describe(&mut self, event: BinlogEvent, raw: &Bytes) -> Result<BinlogEvent, Fault> {
        let tail_at = event.body.len().checked_sub(DESCRIPTION_TAIL_BYTES).ok_or(Truncated)?;
        let mut head = Cursor(&event.body[..tail_at]);
        let version = head.le(2)?;
        // The server's version and the time of the file's creation stand between.
        head.take(50 + 4)?;
        if (version, usize::from(head.u8()?)) != (FORMAT_VERSION, HEADER_BYTES) {
            return Err(Fault::new(format!("a binlog of format version {version}"), "upgrade rowhook"));
        }
        let code = event.body[tail_at];
        let algorithm = match code {
            0 => Algorithm::Off,
            1 => Algorithm::Crc32,
            other => return Err(Fault::new(format!("checksum algorithm {other}"), "upgrade rowhook")),
        };
        let mut settled = raw.to_vec();
        settled[FLAGS_AT] &= !FLAG_IN_USE;
        // Where the code says "off" nothing can be verified, unless it was another code when the checksum was made.
        let code_at = settled.len() - DESCRIPTION_TAIL_BYTES;
        settled[code_at] = 1;
        if is_intact(&settled) != (algorithm == Algorithm::Crc32) {
            return Err(Fault::new("the checksum of a format description is wrong", ""));
        }
        self.algorithm = Some(algorithm);
        Ok(without_tail(event, DESCRIPTION_TAIL_BYTES)?)
    }
}

/// Whether the last four bytes are the CRC32 of the others.
fn is_intact(raw: &[u8]) -> bool {
    raw.split_last_chunk::<CHECKSUM_BYTES>()
        .is_some_and(|(rest, checksum)| crc32fast::hash(rest) == u32::from_le_bytes(*checksum))
}

fn without_tail(mut event: BinlogEvent, tail_bytes: usize) -> Result<BinlogEvent, Truncated> {
    event.body.truncate(event.body.len().checked_sub(tail_bytes).ok_or(Truncated)?);
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(kind: u8, body: &[u8], has_checksum: bool) -> Bytes {
        let size = HEADER_BYTES + body.len() + if has_checksum { CHECKSUM_BYTES } else { 0 };
        let mut raw = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
        raw.extend((size as u32).to_le_bytes());
        raw.extend([0; 6]);
        raw.extend(body);
        if has_checksum {
            raw.extend(crc32fast::hash(&raw).to_le_bytes());
        }
        raw.into()
    }

    fn description(code: u8) -> Bytes {
        let mut body = vec![4, 0];
        body.extend([0; 54]);
        body.extend([HEADER_BYTES as u8, 56, 13, code]);
        // The room for the checksum is there in any case.
        if code == 1 { raw(15, &body, true) } else { raw(15, &[&body[..], &[0; 4]].concat(), false) }
    }

    #[test]
    fn any_flipped_bit_of_any_event_is_noticed() {
        let (rotate, description, row) =
            (raw(4, b"\x04\0\0\0\0\0\0\0b.1", true), description(1), raw(30, b"row", true));
        let mut checksums = Checksums::default();
        assert_eq!(checksums.verify(&rotate).expect("a rotation").body[8..], b"b.1"[..]);
        checksums.verify(&description).expect("a description");
        assert_eq!(checksums.verify(&row).expect("a row").body, b"row"[..]);
        for event in [&rotate, &description, &row] {
            for bit in 0..event.len() * 8 {
                let mut damaged = event.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                // That flag is not part of the checksum.
                if event == &description && bit == FLAGS_AT * 8 {
                    continue;
                }
                checksums.verify(&damaged.into()).expect_err("damage");
            }
            for length in 0..event.len() {
                checksums.verify(&event.slice(..length)).expect_err("a truncated event");
            }
        }
    }

    #[test]
    fn where_checksums_are_off_nothing_is_removed() {
        let mut checksums = Checksums::default();
        let rotate = checksums.verify(&raw(4, b"\x04\0\0\0\0\0\0\0b.1", false)).expect("a rotation");
        assert_eq!(rotate.body[8..], b"b.1"[..]);
        checksums.verify(&raw(30, b"row", false)).expect_err("an event before the format is known");
        checksums.verify(&description(0)).expect("a description");
        assert_eq!(checksums.verify(&raw(30, b"row", false)).expect("a row").body, b"row"[..]);
        let fault = checksums.verify(&description(2)).expect_err("an unknown algorithm");
        assert!(!fault.fix.is_empty(), "{fault:?}");
    }
}
