//! Commands of a replica, as bytes.
//!
//! In: who we are and where to begin. Out: the packets COM_REGISTER_SLAVE, COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID, in the
//! forms of MySQL's client/server protocol and, for sets of GTIDs, of `Gtid_set::encode`; and the numbers of the two commands
//! that every session gives. Sends nothing.

use std::time::Duration;

use crate::position::{FileOffset, GtidSet};

use super::super::server::FILE_START;

/// A server that takes longer to say goodbye is not waited for.
pub(super) const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) const COM_QUIT: u8 = 1;
pub(super) const COM_QUERY: u8 = 3;
const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;

/// `BINLOG_THROUGH_GTID`: a set goes with the command.
const THROUGH_GTID: u16 = 4;

/// Makes us visible in SHOW REPLICAS as `rowhook`; without user, password and port.
pub(in crate::source) fn register(server_id: u32) -> Vec<u8> {
    let mut packet = vec![COM_REGISTER_SLAVE];
    packet.extend(server_id.to_le_bytes());
    packet.push(NAME.len() as u8);
    packet.extend(NAME);
    packet.extend([0; 1 + 1 + 2 + 4 + 4]);
    packet
}

const NAME: &[u8] = b"rowhook";

/// Everything from a place in a file on. The protocol has 32 bits for it; larger offsets were refused before.
pub(in crate::source) fn dump_from(server_id: u32, place: &FileOffset) -> Vec<u8> {
    let mut packet = vec![COM_BINLOG_DUMP];
    packet.extend((place.offset as u32).to_le_bytes());
    packet.extend(0_u16.to_le_bytes());
    packet.extend(server_id.to_le_bytes());
    packet.extend(place.file.as_bytes());
    packet
}

/// Everything but these transactions. No file goes with it: the server would skip missing transactions before that file.
pub(in crate::source) fn dump_after(server_id: u32, set: &GtidSet) -> Vec<u8> {
    let set = encoded(set);
    let mut packet = vec![COM_BINLOG_DUMP_GTID];
    packet.extend(THROUGH_GTID.to_le_bytes());
    packet.extend(server_id.to_le_bytes());
    packet.extend(0_u32.to_le_bytes());
    packet.extend(FILE_START.to_le_bytes());
    packet.extend((set.len() as u32).to_le_bytes());
    packet.extend(set);
    packet
}

/// The format with tags is used only where there are some, because servers before 8.4 know the other one only.
fn encoded(set: &GtidSet) -> Vec<u8> {
    let has_tags = set.intervals().any(|(_, tag, _)| !tag.as_str().is_empty());
    let mut bytes = vec![0; 8];
    let mut heads = 0_u64;
    let mut previous = None;
    let mut count_at = 0;
    for (uuid, tag, (first, last)) in set.intervals() {
        if previous != Some((uuid, tag)) {
            previous = Some((uuid, tag));
            heads += 1;
            bytes.extend(uuid.as_bytes());
            if has_tags {
                // A variable-length integer of one byte: tags have at most 32 characters.
                bytes.push((tag.as_str().len() as u8) << 1);
                bytes.extend(tag.as_str().as_bytes());
            }
            count_at = bytes.len();
            bytes.extend([0; 8]);
        }
        let count = u64::from_le_bytes(bytes[count_at..count_at + 8].try_into().expect("eight bytes")) + 1;
        bytes[count_at..count_at + 8].copy_from_slice(&count.to_le_bytes());
        bytes.extend(first.to_le_bytes());
        bytes.extend((last + 1).to_le_bytes());
    }
    let head = if has_tags { 1 << 56 | heads << 8 | 1 } else { heads };
    bytes[..8].copy_from_slice(&head.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::super::event::previous_gtids;
    use super::*;

    #[test]
    fn a_set_is_sent_as_the_server_itself_writes_it_into_its_files() {
        let (a, b) = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562");
        for text in [
            String::new(),
            format!("{a}:1-233"),
            format!("{a}:1-3:11:47-49,{b}:7"),
            format!("{a}:1-233:mytag:1-4:other:9,{b}:7:mytag:5"),
        ] {
            let set: GtidSet = text.parse().expect(&text);
            assert_eq!(previous_gtids(&encoded(&set)).expect(&text), set);
        }
    }

    #[test]
    fn a_dump_by_gtids_names_no_file() {
        let packet = dump_after(7, &GtidSet::new());
        assert_eq!(packet[..11], [COM_BINLOG_DUMP_GTID, 4, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(packet[11..], [&4_u64.to_le_bytes()[..], &8_u32.to_le_bytes(), &[0; 8]].concat());
    }
}
