//! MySQL's packed DECIMAL as exact text.
//!
//! In: the bytes of a row image or of a JSON document, with precision and scale. Out: the digits as `SELECT` shows them,
//! scale kept. Refuses bytes that no server writes.

use super::bytes::{Bytes, Truncated};

/// Bytes that hold 0 to 9 decimal digits (`dig2bytes` of the server's `strings/decimal.cc`).
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The packed DECIMAL of `decimal2bin`: groups of nine digits in four bytes, big-endian, the odd groups at both ends;
/// the first bit is set for positive numbers, negative ones have all bits inverted.
pub fn decimal(bytes: &mut Bytes<'_>, precision: usize, scale: usize) -> Result<String, Truncated> {
    let whole = precision.checked_sub(scale).ok_or(Truncated)?;
    let size = |digits: usize| digits / 9 * 4 + DIGIT_BYTES[digits % 9];
    let packed = bytes.take(size(whole) + size(scale))?;
    let negative = packed.first().is_some_and(|first| first & 0x80 == 0);
    let invert = if negative { 0xff } else { 0 };
    let mut plain = [0_u8; 32];
    let plain = plain.get_mut(..packed.len()).ok_or(Truncated)?;
    for (target, byte) in plain.iter_mut().zip(packed) {
        *target = byte ^ invert;
    }
    if let Some(first) = plain.first_mut() {
        *first ^= 0x80;
    }
    let mut groups = Bytes(plain);
    let mut text = String::with_capacity(precision + 3);
    let mut group = |digits: usize, text: &mut String| -> Result<(), Truncated> {
        let number = groups.be(DIGIT_BYTES[digits])?;
        std::fmt::Write::write_fmt(text, format_args!("{number:0digits$}")).map_err(|_| Truncated)
    };
    if !whole.is_multiple_of(9) {
        group(whole % 9, &mut text)?;
    }
    for _ in 0..whole / 9 {
        group(9, &mut text)?;
    }
    let leading_zeros = text.bytes().take_while(|digit| *digit == b'0').count();
    text.drain(..leading_zeros);
    if text.is_empty() {
        text.push('0');
    }
    if scale > 0 {
        text.push('.');
        for _ in 0..scale / 9 {
            group(9, &mut text)?;
        }
        if !scale.is_multiple_of(9) {
            group(scale % 9, &mut text)?;
        }
    }
    if negative {
        text.insert(0, '-');
    }
    Ok(text)
}
