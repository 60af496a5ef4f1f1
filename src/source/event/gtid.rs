//! GTID events, which begin a transaction, and the sets of GTIDs at the head of every file.
//!
//! In: bodies of GTID, ANONYMOUS_GTID, GTID_TAGGED and PREVIOUS_GTIDS events. Out: which transaction begins, when it was
//! committed and how many bytes it has; or a [`GtidSet`]. Formats: `Gtid_event` in `libs/mysql/binlog/event`, for the
//! tagged one the server's serialization library, and `Gtid_set::encode`. Does not check that sizes come true.

use std::collections::HashSet;

use uuid::Uuid;

use crate::column::Fault;
use crate::column::bytes::{Bytes, Truncated};
use crate::position::{Gtid, GtidSet, Tag};

use super::super::event_type;
use super::varlen;

/// What the first event of a transaction says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct GtidEvent {
    /// None for an anonymous transaction.
    pub gtid: Option<Gtid>,
    /// Commit on the server that is being read, microseconds since the epoch; 0 where the server does not say.
    pub immediate_commit_us: u64,
    /// The same for the server that ran the transaction first.
    pub original_commit_us: u64,
    /// Bytes of all its events, this one included; 0 where the server does not say.
    pub transaction_bytes: u64,
}

/// Set in the immediate commit time when the original one differs and follows (`ENCODED_COMMIT_TIMESTAMP_LENGTH`).
const HAS_ORIGINAL_TIME: u64 = 1 << 55;

/// `LOGICAL_TIMESTAMP_TYPECODE`: the fields of 5.7.5 and later follow.
const HAS_LOGICAL_TIMES: u8 = 2;

/// The format of a GTID_TAGGED event.
const SERIALIZATION_VERSION: u8 = 2;

impl GtidEvent {
    pub fn parse(kind: u8, body: &[u8]) -> Result<GtidEvent, Fault> {
        match kind {
            event_type::GTID_TAGGED => GtidEvent::parse_tagged(body),
            _ => GtidEvent::parse_plain(Bytes(body), kind == event_type::ANONYMOUS_GTID),
        }
    }

    fn parse_plain(mut bytes: Bytes<'_>, is_anonymous: bool) -> Result<GtidEvent, Fault> {
        bytes.take(1)?;
        let uuid = uuid(bytes.take(16)?)?;
        let number = bytes.le(8)?;
        let gtid = if is_anonymous { None } else { Some(gtid(uuid, Tag::default(), number)?) };
        let mut event = GtidEvent { gtid, immediate_commit_us: 0, original_commit_us: 0, transaction_bytes: 0 };
        if bytes.is_empty() || bytes.u8()? != HAS_LOGICAL_TIMES {
            return Ok(event);
        }
        bytes.take(16)?;
        if bytes.is_empty() {
            return Ok(event);
        }
        let immediate = bytes.le(7)?;
        event.immediate_commit_us = immediate & !HAS_ORIGINAL_TIME;
        event.original_commit_us =
            if immediate & HAS_ORIGINAL_TIME == 0 { event.immediate_commit_us } else { bytes.le(7)? };
        if !bytes.is_empty() {
            event.transaction_bytes = bytes.lenenc()?;
        }
        Ok(event)
    }

    /// Version, size of the whole, number of the last field that must be understood; then fields, each after its number,
    /// in ascending order.
    fn parse_tagged(body: &[u8]) -> Result<GtidEvent, Fault> {
        let mut bytes = Bytes(body);
        let version = bytes.u8()?;
        if version != SERIALIZATION_VERSION {
            return Err(Fault::new(format!("a GTID event of version {version}"), "upgrade rowhook"));
        }
        let size = usize::try_from(varlen(&mut bytes)?).map_err(|_| Truncated)?;
        let last_needed = varlen(&mut bytes)?;
        let read = body.len() - bytes.0.len();
        let mut bytes = Bytes(bytes.take(size.checked_sub(read).ok_or(Truncated)?)?);
        let mut fields = Fields::default();
        while !bytes.is_empty() {
            let field = varlen(&mut bytes)?;
            if !fields.take(field, &mut bytes)? {
                if field <= last_needed {
                    return Err(Fault::new(format!("field {field} in a GTID event"), "upgrade rowhook"));
                }
                // The length of an unknown field is unknown.
                break;
            }
        }
        fields.finish()
    }
}

/// The fields of a tagged event as they come (`define_fields` in `control_events.h`).
#[derive(Debug, Default)]
struct Fields {
    uuid: Option<Uuid>,
    number: Option<u64>,
    tag: Option<Tag>,
    immediate_commit_us: u64,
    original_commit_us: Option<u64>,
    transaction_bytes: u64,
}

impl Fields {
    /// Reads one field; false when it is not known.
    fn take(&mut self, field: u64, bytes: &mut Bytes<'_>) -> Result<bool, Fault> {
        match field {
            1 => {
                let mut raw = [0; 16];
                for byte in &mut raw {
                    *byte = u8::try_from(varlen(bytes)?).map_err(|_| Fault::new("a UUID with an odd byte", ""))?;
                }
                self.uuid = Some(Uuid::from_bytes(raw));
            }
            // Signed: the lowest bit is the sign.
            2 => {
                let zigzag = varlen(bytes)?;
                let number = if zigzag & 1 == 0 { zigzag >> 1 } else { 0 };
                self.number = Some(number);
            }
            3 => self.tag = Some(tag(bytes)?),
            6 => self.immediate_commit_us = varlen(bytes)?,
            7 => self.original_commit_us = Some(varlen(bytes)?),
            8 => self.transaction_bytes = varlen(bytes)?,
            // Flags, logical times, versions and the commit group: nothing here depends on them.
            0 | 4 | 5 | 9 | 10 | 11 => {
                varlen(bytes)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Result<GtidEvent, Fault> {
        let (Some(uuid), Some(number), Some(tag)) = (self.uuid, self.number, self.tag) else {
            return Err(Fault::new("a GTID event without a GTID", ""));
        };
        Ok(GtidEvent {
            gtid: Some(gtid(uuid, tag, number)?),
            immediate_commit_us: self.immediate_commit_us,
            original_commit_us: self.original_commit_us.unwrap_or(self.immediate_commit_us),
            transaction_bytes: self.transaction_bytes,
        })
    }
}

fn uuid(bytes: &[u8]) -> Result<Uuid, Truncated> {
    Uuid::from_slice(bytes).map_err(|_| Truncated)
}

fn tag(bytes: &mut Bytes<'_>) -> Result<Tag, Fault> {
    let length = usize::try_from(varlen(bytes)?).map_err(|_| Truncated)?;
    match std::str::from_utf8(bytes.take(length)?) {
        Ok("") => Ok(Tag::default()),
        Ok(text) => Tag::parse(text).map_err(|error| Fault::new(error.to_string(), "")),
        Err(_) => Err(Fault::new("a GTID tag that is not UTF-8", "")),
    }
}

fn gtid(uuid: Uuid, tag: Tag, number: u64) -> Result<Gtid, Fault> {
    if is_number(number) {
        Ok(Gtid { uuid, tag, number })
    } else {
        Err(Fault::new(format!("transaction number {number}"), ""))
    }
}

/// `GNO_END` is the first number that no transaction has.
fn is_number(number: u64) -> bool {
    (1..i64::MAX as u64).contains(&number)
}

/// The set in a PREVIOUS_GTIDS event: everything committed before the file that it heads.
pub(in crate::source) fn previous_gtids(body: &[u8]) -> Result<GtidSet, Fault> {
    let mut bytes = Bytes(body);
    let head = bytes.le(8)?;
    // The highest byte is the format: with tags, the count stands between it and a repetition of it.
    let (has_tags, servers) = match head >> 56 {
        0 => (false, head),
        1 => (true, head << 8 >> 16),
        other => return Err(Fault::new(format!("a GTID set of format {other}"), "upgrade rowhook")),
    };
    let mut set = GtidSet::new();
    let mut listed = HashSet::new();
    for _ in 0..servers {
        let uuid = uuid(bytes.take(16)?)?;
        let tag = if has_tags { tag(&mut bytes)? } else { Tag::default() };
        // Intervals of one server in one list are in order and quick to take in; over many lists they need not be.
        if !listed.insert((uuid, tag.clone())) {
            return Err(Fault::new("a GTID set that lists a server twice", ""));
        }
        // The log writes intervals without their last number, in ascending order.
        let mut floor = 1;
        for _ in 0..bytes.le(8)? {
            let (first, end) = (bytes.le(8)?, bytes.le(8)?);
            if first < floor || end <= first || !is_number(end - 1) {
                return Err(Fault::new("a GTID set whose intervals are out of order", ""));
            }
            floor = end;
            set.insert_interval(uuid, tag.clone(), (first, end - 1));
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::super::tests::serialized;
    use super::*;

    const SERVER: u128 = 0x3e11fa47_71ca_11e1_9e33_c80aa9429562;

    fn plain(times: &[u8]) -> Vec<u8> {
        let mut body = vec![0];
        body.extend(SERVER.to_be_bytes());
        body.extend(7_u64.to_le_bytes());
        body.push(HAS_LOGICAL_TIMES);
        body.extend([0; 16]);
        body.extend(times);
        body
    }

    #[test]
    fn a_plain_gtid_event_gives_gtid_times_and_length() {
        let mut times = 1_000_000_u64.to_le_bytes()[..7].to_vec();
        times.extend([0xfc, 0x10, 0x27]);
        let event = GtidEvent::parse(event_type::GTID, &plain(&times)).expect("an event");
        assert_eq!(event.gtid.expect("a gtid").to_string(), "3e11fa47-71ca-11e1-9e33-c80aa9429562:7");
        assert_eq!((event.immediate_commit_us, event.original_commit_us), (1_000_000, 1_000_000));
        assert_eq!(event.transaction_bytes, 10_000);
        let mut times = (5_u64 | HAS_ORIGINAL_TIME).to_le_bytes()[..7].to_vec();
        times.extend(&4_u64.to_le_bytes()[..7]);
        let event = GtidEvent::parse(event_type::ANONYMOUS_GTID, &plain(&times)).expect("an event");
        assert_eq!((event.gtid, event.immediate_commit_us, event.original_commit_us), (None, 5, 4));
        GtidEvent::parse(event_type::GTID, &plain(&[1, 2])).expect_err("a truncated time");
    }

    fn tagged(fields: &[u8], last_needed: u64) -> Vec<u8> {
        let size = 1 + 1 + 1 + fields.len();
        [&[SERIALIZATION_VERSION][..], &serialized(size as u64), &serialized(last_needed), fields].concat()
    }

    fn fields() -> Vec<u8> {
        let mut fields = [serialized(0), serialized(1), serialized(1)].concat();
        SERVER.to_be_bytes().iter().for_each(|byte| fields.extend(serialized(u64::from(*byte))));
        fields.extend([serialized(2), serialized(7 << 1), serialized(3), serialized(3)].concat());
        fields.extend(b"tag");
        fields.extend([serialized(6), serialized(1_000), serialized(8), serialized(99)].concat());
        fields
    }

    #[test]
    fn a_tagged_gtid_event_is_read_up_to_the_fields_that_may_be_unknown() {
        let event = GtidEvent::parse(event_type::GTID_TAGGED, &tagged(&fields(), 8)).expect("an event");
        assert_eq!(event.gtid.expect("a gtid").to_string(), "3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:7");
        assert_eq!((event.immediate_commit_us, event.original_commit_us, event.transaction_bytes), (1_000, 1_000, 99));
        let more = [fields(), serialized(12), serialized(1)].concat();
        GtidEvent::parse(event_type::GTID_TAGGED, &tagged(&more, 8)).expect("a field that may be unknown");
        let fault = GtidEvent::parse(event_type::GTID_TAGGED, &tagged(&more, 12)).expect_err("one that may not");
        assert!(fault.what.contains("12") && !fault.fix.is_empty(), "{fault:?}");
        let short = tagged(&fields()[..12], 8);
        GtidEvent::parse(event_type::GTID_TAGGED, &short).expect_err("a GTID that ends early");
    }

    #[test]
    fn a_set_reads_the_same_in_both_formats() {
        let interval = |first: u64, end: u64| [first.to_le_bytes(), end.to_le_bytes()].concat();
        let server = SERVER.to_be_bytes();
        let count = |count: u64| count.to_le_bytes();
        let body = [&count(1)[..], &server, &count(2), &interval(1, 4), &interval(6, 7)].concat();
        let plain = previous_gtids(&body).expect("a set");
        assert_eq!(plain.to_string(), "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:6");
        let head = count(1 << 56 | 2 << 8 | 1);
        let body = [&head[..], &server, &[0], &count(1), &interval(1, 4), &server, &serialized(1), b"x", &count(1)];
        let body = [&body.concat()[..], &interval(2, 3)].concat();
        let set = previous_gtids(&body).expect("a set");
        assert_eq!(set.to_string(), "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-3:x:2");
        let body = [&count(1)[..], &server, &count(2), &interval(5, 6), &interval(1, 2)].concat();
        previous_gtids(&body).expect_err("intervals out of order");
    }
}
