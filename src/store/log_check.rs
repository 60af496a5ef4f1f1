//! Checking sled's log before sled reads it: sled leaves out a damaged message of what it reads again, without an error.
//!
//! In: the log, and the log position up to which sled's snapshot contains all. Out: the first byte after this position that was
//! durable and is not as it was written. What is torn at the log's end is no damage: sled cuts it off, and the counters show whether
//! it was acknowledged. Format: sled 0.34.7, `pagecache/{constants,iterator,logger}.rs` and `serialization.rs`. A log position
//! ("lsn") counts bytes since the store was made. Segment n begins at the log position of n segments, and may be anywhere in the
//! file; its messages carry its number.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// sled's default, which rowhook leaves as it is.
const SEGMENT_BYTES: usize = 512 << 10;
/// CRC-32 of the rest, the segment's log position, and the log position up to which all was durable when the segment was begun.
const SEGMENT_HEADER_BYTES: usize = 20;
/// What the log positions in a segment's header are combined with.
const PLACE_MASK: i64 = 0x7FFF_FFFF_FFFF_FFFF;

/// No message begins in fewer bytes than this before the end of a segment.
const MESSAGE_HEADER_BYTES_MAX: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// Kinds of messages go from 1 to 11. This one fills the rest of a segment.
const KIND_CAP: u8 = 2;
const KINDS: std::ops::RangeInclusive<u8> = 1..=11;

/// The file's byte at which damage begins; none where nothing is damaged. Reads the headers of all segments, and all of those after
/// `from`.
pub(super) fn first_damage(log: &Path, from: u64) -> io::Result<Option<u64>> {
    let file = File::open(log)?;
    let mut content = Vec::new();
    let mut segments = Vec::new();
    for offset in (0..file.metadata()?.len()).step_by(SEGMENT_BYTES) {
        read(&file, offset, SEGMENT_HEADER_BYTES, &mut content)?;
        segments.push((offset, Header::parse(&content)));
    }
    let durable = segments.iter().filter_map(|(_, header)| Some(header.as_ref()?.durable)).max().unwrap_or(0);
    for (offset, header) in segments {
        if header.as_ref().is_some_and(|header| number(header.place) < number(from) || header.place > durable) {
            continue;
        }
        read(&file, offset, SEGMENT_BYTES, &mut content)?;
        let damage = match header {
            Some(header) => first_bad_message(&content, header.place, durable),
            // It counts if its messages do.
            None => holds_message_of(&content, 0, &(number(from)..number(durable))).then_some(0),
        };
        if let Some(at) = damage {
            return Ok(Some(offset + at as u64));
        }
    }
    Ok(None)
}

/// Which segment a log position is in.
fn number(place: u64) -> u64 {
    place / SEGMENT_BYTES as u64
}

/// Reads so many bytes, or what there is before the file's end.
fn read(file: &File, offset: u64, bytes: usize, content: &mut Vec<u8>) -> io::Result<()> {
    content.resize(bytes, 0);
    let mut length = 0;
    while length < bytes {
        match file.read_at(&mut content[length..], offset + length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    content.truncate(length);
    Ok(())
}

struct Header {
    place: u64,
    durable: u64,
}

impl Header {
    /// None: it is not whole, or was never written.
    fn parse(content: &[u8]) -> Option<Header> {
        let (checksum, rest) = content.first_chunk::<SEGMENT_HEADER_BYTES>()?.split_first_chunk::<CHECKSUM_BYTES>()?;
        let (place, durable) = rest.split_first_chunk::<8>()?;
        let is_whole = u32::from_le_bytes(*checksum) == !crc32fast::hash(rest);
        // Nothing durable yet is -1.
        let of = |bytes: [u8; 8]| u64::try_from(i64::from_le_bytes(bytes) ^ PLACE_MASK).unwrap_or(0);
        is_whole.then_some(Header { place: of(*place), durable: of(*durable.first_chunk::<8>()?) })
    }
}

/// Where in a segment the first message begins that was durable and is not as it was written.
fn first_bad_message(content: &[u8], place: u64, durable: u64) -> Option<usize> {
    let mut at = SEGMENT_HEADER_BYTES;
    while at + MESSAGE_HEADER_BYTES_MAX <= SEGMENT_BYTES && place + (at as u64) < durable {
        let message = Message::parse(content.get(at..).unwrap_or_default());
        match message.filter(|message| message.segment == number(place) && message.is_whole()) {
            Some(message) if message.kind == KIND_CAP => return None,
            Some(message) => at += message.bytes(),
            // Sled reuses segments that it does not need any more, and may write the second half before the first.
            None if holds_message_of(content, at, &(number(place) + 1..u64::MAX)) => return None,
            None => return Some(at),
        }
    }
    None
}

/// Whether it contains a whole message of one of these segments, at this byte or after it.
fn holds_message_of(content: &[u8], from: usize, segments: &Range<u64>) -> bool {
    let messages = (from..content.len()).filter_map(|at| Message::parse(&content[at..]));
    messages.filter(|message| segments.contains(&message.segment)).any(|message| message.is_whole())
}

/// A checksum of the body and of what stands between them; kind; the body's length, segment and page as numbers of one to nine bytes;
/// the body.
struct Message<'c> {
    checksum: u32,
    kind: u8,
    segment: u64,
    header: &'c [u8],
    body: &'c [u8],
}

impl<'c> Message<'c> {
    /// None: no message begins here.
    fn parse(content: &'c [u8]) -> Option<Message<'c>> {
        let (checksum, after) = content.split_first_chunk::<CHECKSUM_BYTES>()?;
        let (kind, mut rest) = after.split_first()?;
        if !KINDS.contains(kind) {
            return None;
        }
        let length = usize::try_from(take_number(&mut rest)?).ok()?;
        let segment = take_number(&mut rest)?;
        take_number(&mut rest)?;
        let body = rest.get(..length)?;
        let header = &after[..after.len() - rest.len()];
        Some(Message { checksum: u32::from_le_bytes(*checksum), kind: *kind, segment, header, body })
    }

    fn is_whole(&self) -> bool {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.body);
        hasher.update(self.header);
        self.checksum == !hasher.finalize()
    }

    fn bytes(&self) -> usize {
        CHECKSUM_BYTES + self.header.len() + self.body.len()
    }
}

/// Takes a number off the front, in sled's form: the first byte is the number, or says how many follow.
fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (first, mut after) = rest.split_first()?;
    let first = u64::from(*first);
    let mut little_endian = |count: usize| {
        let (bytes, behind) = after.split_at_checked(count)?;
        after = behind;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let number = match first {
        0..=240 => first,
        241..=248 => 240 + 256 * (first - 241) + little_endian(1)?,
        249 => {
            let [high, low] = little_endian(2)?.to_le_bytes()[..2].try_into().ok()?;
            2288 + 256 * u64::from(high) + u64::from(low)
        }
        _ => little_endian(first as usize - 247)?,
    };
    *rest = after;
    Some(number)
}
