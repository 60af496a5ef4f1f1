//! A cursor over the bytes of an event that never reads past their end.
//!
//! In: event bodies. Out: integers and slices, or [`Truncated`]. Every length in an event comes from outside, so no
//! read here may panic.

/// The bytes ended before the field did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event ends in the middle of a field")]
pub struct Truncated;

#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned little-endian integer of up to 8 bytes.
    #[inline]
    pub fn le(&mut self, count: usize) -> Result<u64, Truncated> {
        // The common widths by name, because the loop is several times slower and this is what rows are walked with.
        Ok(match *self.take(count)? {
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            ref other => other.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        })
    }

    /// An unsigned big-endian integer of up to 8 bytes.
    pub fn be(&mut self, count: usize) -> Result<u64, Truncated> {
        Ok(self.take(count)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The protocol's length-encoded integer.
    pub fn lenenc(&mut self) -> Result<u64, Truncated> {
        match self.u8()? {
            short @ 0..=0xfa => Ok(u64::from(short)),
            0xfc => self.le(2),
            0xfd => self.le(3),
            0xfe => self.le(8),
            _ => Err(Truncated),
        }
    }

    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Truncated> {
        let length = self.lenenc()?;
        self.take(usize::try_from(length).map_err(|_| Truncated)?)
    }
}
