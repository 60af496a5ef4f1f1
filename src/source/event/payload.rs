//! The head of a TRANSACTION_PAYLOAD event: a whole transaction in one event, usually compressed.
//!
//! In: the body of the event. Out: [`Payload`]: how it is packed, what it promises to unpack to, and the packed bytes.
//! Format: `Transaction_payload_event`, worklog 3549: fields of type, length and value, up to a field of type 0. Does not
//! unpack.

use crate::column::Fault;
use crate::column::bytes::{Bytes, Truncated};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum PayloadCompression {
    Zstd,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) struct Payload<'a> {
    pub compression: PayloadCompression,
    /// Bytes of the events inside, as promised.
    pub unpacked_bytes: u64,
    pub packed: &'a [u8],
}

impl<'a> Payload<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Payload<'a>, Fault> {
        let mut bytes = Bytes(body);
        let (mut size, mut compression, mut unpacked) = (None, None, None);
        loop {
            let field = bytes.lenenc()?;
            if field == 0 {
                break;
            }
            let mut value = Bytes(bytes.lenenc_bytes()?);
            match field {
                1 => size = Some(value.lenenc()?),
                2 => compression = Some(value.lenenc()?),
                3 => unpacked = Some(value.lenenc()?),
                // Fields that came later: the server skips them too.
                _ => {}
            }
        }
        let compression = match compression {
            Some(0) => PayloadCompression::Zstd,
            Some(255) => PayloadCompression::None,
            Some(other) => {
                return Err(Fault::new(format!("a transaction compressed in way {other}"), "upgrade rowhook"));
            }
            None => return Err(Truncated.into()),
        };
        let packed = bytes.0;
        if size != Some(packed.len() as u64) {
            return Err(Fault::new("a compressed transaction of another length than it says", ""));
        }
        let unpacked_bytes = match (compression, unpacked) {
            (PayloadCompression::None, None) => packed.len() as u64,
            (_, Some(bytes)) => bytes,
            (PayloadCompression::Zstd, None) => return Err(Truncated.into()),
        };
        Ok(Payload { compression, unpacked_bytes, packed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_payload_says_how_it_is_packed_and_what_comes_out() {
        let payload = Payload::parse(b"\x02\x01\x00\x03\x03\xfc\x10\x27\x09\x01\x05\x01\x01\x04\x00abcd");
        let expected = Payload { compression: PayloadCompression::Zstd, unpacked_bytes: 10_000, packed: b"abcd" };
        assert_eq!(payload, Ok(expected));
        let payload = Payload::parse(b"\x02\x03\xfc\xff\x00\x01\x01\x02\x00ab").expect("a payload");
        assert_eq!((payload.compression, payload.unpacked_bytes), (PayloadCompression::None, 2));
    }

    #[test]
    fn a_head_that_lacks_a_field_or_lies_is_an_error() {
        for body in [
            &b"\x02\x01\x00\x01\x01\x04\x00abcd"[..],
            b"\x03\x01\x09\x01\x01\x04\x00abcd",
            b"\x02\x01\x00\x03\x01\x09\x01\x01\x05\x00abcd",
            b"\x02\x01\x00\x03\x01\x09\x01\x01\x03\x00abcd",
            b"\x02\x01\x07\x03\x01\x09\x01\x01\x04\x00abcd",
            b"\x02\x09\x00",
            b"\x02\x01\x00",
        ] {
            Payload::parse(body).expect_err("a bad head");
        }
    }
}
