//! MySQL's packed DECIMAL as exact text.
//!
//! In: the bytes of a row image or of a JSON document, with precision and scale. Out: the digits as `SELECT` shows them,
//! scale kept. Refuses widths that no server writes.

use super::bytes::{Bytes, Truncated};
use super::digits;

/// Bytes that hold 0 to 9 decimal digits (`dig2bytes` of the server's `strings/decimal.cc`).
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Digits of the longest DECIMAL that a JSON document may hold, where a column has 65 at most: nine groups of nine
/// (`DECIMAL_MAX_POSSIBLE_PRECISION` of the server's `include/my_decimal.h`).
const PRECISION_MAX: usize = 81;

/// Bytes that each number of digits takes on one side of the point. A table, because every row that is walked over needs it.
const SIDE_BYTES: [usize; PRECISION_MAX + 1] = {
    let mut bytes = [0; PRECISION_MAX + 1];
    let mut digits = 0;
    while digits <= PRECISION_MAX {
        bytes[digits] = digits / 9 * 4 + DIGIT_BYTES[digits % 9];
        digits += 1;
    }
    bytes
};

/// Bytes that a DECIMAL of this precision and scale takes.
#[inline]
pub fn width_bytes(precision: usize, scale: usize) -> Result<usize, Truncated> {
    let side = |digits: usize| SIDE_BYTES.get(digits).copied().ok_or(Truncated);
    Ok(side(precision.checked_sub(scale).ok_or(Truncated)?)? + side(scale)?)
}

/// Appends the packed DECIMAL of `decimal2bin` as text: groups of nine digits in four bytes, big-endian, the odd groups at
/// both ends; the first bit is set for positive numbers, negative ones have all bits inverted.
pub fn decimal(bytes: &mut Bytes<'_>, precision: usize, scale: usize, out: &mut Vec<u8>) -> Result<(), Truncated> {
    let packed = bytes.take(width_bytes(precision, scale)?)?;
    let whole = precision - scale;
    let is_negative = packed.first().is_some_and(|first| first & 0x80 == 0);
    let invert = if is_negative { 0xff } else { 0 };
    let mut plain = [0_u8; 40];
    let plain = plain.get_mut(..packed.len()).ok_or(Truncated)?;
    for (target, byte) in plain.iter_mut().zip(packed) {
        *target = byte ^ invert;
    }
    if let Some(first) = plain.first_mut() {
        *first ^= 0x80;
    }
    if is_negative {
        out.push(b'-');
    }
    let mut groups = Bytes(plain);
    let begin = out.len();
    let odd = std::iter::once(whole % 9).filter(|digits| *digits > 0);
    for digits in odd.chain(std::iter::repeat_n(9, whole / 9)) {
        let group = groups.be(DIGIT_BYTES[digits])?;
        match out.len() == begin {
            // Zeros in front are not shown.
            true if group == 0 => {}
            true => digits::integer(group, out),
            false => digits::padded(group, digits, out),
        }
    }
    if out.len() == begin {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        let odd = std::iter::once(scale % 9).filter(|digits| *digits > 0);
        for digits in std::iter::repeat_n(9, scale / 9).chain(odd) {
            digits::padded(groups.be(DIGIT_BYTES[digits])?, digits, out);
        }
    }
    Ok(())
}
