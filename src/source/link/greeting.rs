//! The first packet of a server, HandshakeV10 of the protocol.
//!
//! In: its bytes, from any server that answers at the address. Out: what a login needs of it; None where the bytes are
//! no greeting. Checks each length; the library's own reader uses some of them unchecked.

use mysql_common::constants::{CapabilityFlags, StatusFlags};

use crate::column::bytes::{Bytes, Truncated};

const PROTOCOL: u8 = 10;

/// The plugin's data that is the nonce: 20 bytes and a zero.
pub(super) const NONCE_BYTES: usize = 20;

/// The part of the nonce that has a place of its own, before the capabilities.
const FIRST_BYTES: usize = 8;

/// The rest of it has at least this length, whatever the packet says.
const REST_BYTES_MIN: usize = 13;

const RESERVED_BYTES: usize = 10;

#[derive(Debug)]
pub(super) struct Greeting {
    pub connection_id: u32,
    pub nonce: Vec<u8>,
    pub capabilities: CapabilityFlags,
    pub status: StatusFlags,
    /// What the server proposes; empty where it proposes none.
    pub plugin: Vec<u8>,
}

impl Greeting {
    pub fn parse(packet: &[u8]) -> Option<Greeting> {
        read(packet).ok().flatten()
    }
}

fn read(packet: &[u8]) -> Result<Option<Greeting>, Truncated> {
    let mut bytes = Bytes(packet);
    if bytes.u8()? != PROTOCOL {
        return Ok(None);
    }
    while bytes.u8()? != 0 {}
    let connection_id = bytes.le(4)? as u32;
    let first = bytes.take(FIRST_BYTES)?;
    bytes.take(1)?;
    let low = bytes.le(2)?;
    bytes.take(1)?;
    let status = bytes.le(2)? as u16;
    let capabilities = CapabilityFlags::from_bits_truncate((low | bytes.le(2)? << 16) as u32);
    let nonce_bytes = usize::from(bytes.u8()?);
    bytes.take(RESERVED_BYTES)?;
    let rest = bytes.take(nonce_bytes.saturating_sub(FIRST_BYTES).max(REST_BYTES_MIN))?;
    let mut nonce = [first, rest].concat();
    nonce.resize(NONCE_BYTES, 0);
    let plugin = bytes.0.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    Ok(Some(Greeting { connection_id, nonce, capabilities, status: StatusFlags::from_bits_truncate(status), plugin }))
}

#[cfg(test)]
mod tests {
    use mysql_common::packets::HandshakePacket;

    use super::super::login::{OWN_CAPABILITIES, serialized};
    use super::*;

    const NONCE: &[u8; NONCE_BYTES] = b"nonce-of-twenty-byte";

    fn packet(version: &str, plugin: &str) -> Vec<u8> {
        serialized(&HandshakePacket::new(
            PROTOCOL,
            version.as_bytes(),
            7,
            *NONCE.first_chunk().expect("eight bytes"),
            Some([&NONCE[FIRST_BYTES..], &[0]].concat()),
            OWN_CAPABILITIES | CapabilityFlags::CLIENT_SSL,
            45,
            StatusFlags::SERVER_STATUS_AUTOCOMMIT,
            Some(plugin.as_bytes()),
        ))
    }

    #[test]
    fn the_fields_that_a_login_needs_are_read() {
        for (version, plugin) in [("8.0.40", "caching_sha2_password"), ("", ""), ("99999.99999.99999", "x")] {
            for end in [&[][..], &[0]] {
                let greeting = Greeting::parse(&[&packet(version, plugin), end].concat()).expect("a greeting");
                assert_eq!((greeting.connection_id, greeting.nonce.as_slice()), (7, &NONCE[..]));
                assert_eq!(greeting.capabilities, OWN_CAPABILITIES | CapabilityFlags::CLIENT_SSL);
                assert_eq!(greeting.status, StatusFlags::SERVER_STATUS_AUTOCOMMIT);
                assert_eq!(greeting.plugin, plugin.as_bytes());
            }
        }
    }

    #[test]
    fn lengths_beyond_reason_and_packets_that_end_early_are_no_greeting() {
        let whole = packet("8.0.40", "");
        let length_at = 1 + "8.0.40".len() + 1 + 4 + FIRST_BYTES + 1 + 2 + 1 + 2 + 2;
        // With a byte more the nonce would take the one that ends the name.
        assert_eq!(whole[length_at], 21);
        for length in 0..=u8::MAX {
            let mut packet = whole.clone();
            packet[length_at] = length;
            assert_eq!(Greeting::parse(&packet).is_some(), length <= 22, "{length}");
        }
        // The last byte ends the nonce, and a name that may be missing.
        for end in 0..whole.len() - 1 {
            assert!(Greeting::parse(&whole[..end]).is_none(), "{end}");
        }
        assert!(Greeting::parse(&[&[9], &whole[1..]].concat()).is_none(), "another protocol");
        assert!(Greeting::parse(&[10; 10_000]).is_none(), "a version without an end");
    }
}
