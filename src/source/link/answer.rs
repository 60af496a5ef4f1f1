//! What the first packet of an answer says.
//!
//! In: a packet of the server. Out: OK, an error with its number and text, or neither. Reads nothing else of it.

use super::super::error::said;

/// What a packet says by its first byte.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::source) enum PacketKind {
    Ok,
    Error { code: u16, message: String },
    Other(u8),
}

/// Sorts a packet. An error may come with or, before the login, without an SQL state.
pub(in crate::source) fn answer(packet: &[u8]) -> PacketKind {
    match packet {
        [0, ..] => PacketKind::Ok,
        [0xff, low, high, text @ ..] => {
            let text = if text.first() == Some(&b'#') { text.get(6..).unwrap_or_default() } else { text };
            let message = said(&String::from_utf8_lossy(text));
            PacketKind::Error { code: u16::from_le_bytes([*low, *high]), message }
        }
        // An empty packet is no answer either.
        _ => PacketKind::Other(packet.first().copied().unwrap_or(0xff)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_with_and_without_its_sql_state() {
        let error = |message: &str| PacketKind::Error { code: 1045, message: message.to_string() };
        assert_eq!(answer(b"\xff\x15\x04#28000Access denied"), error("Access denied"));
        assert_eq!(answer(b"\xff\x15\x04Access denied"), error("Access denied"));
        assert_eq!(answer(b"\xff\x15\x04#28"), error(""));
        assert_eq!(answer(b"\xff\x15\x04\x1b[2J\x07a\r\nb\xe2\x80\xae!"), error(" [2J a  b !"));
        let PacketKind::Error { message, .. } = answer(&[&b"\xff\x15\x04"[..], &[b'x'; 100_000]].concat()) else {
            panic!("no error");
        };
        assert_eq!(message.chars().count(), 1025);
        assert_eq!(answer(b"\x00\x00"), PacketKind::Ok);
        assert_eq!(
            (answer(b"\xfe"), answer(b""), answer(b"\xff\x15")),
            (PacketKind::Other(0xfe), PacketKind::Other(0xff), PacketKind::Other(0xff))
        );
    }
}
