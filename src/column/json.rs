//! MySQL's binary JSON as JSON text.
//!
//! In: the bytes of a JSON column (`sql-common/json_binary.h` describes the format). Out: text with members in stored
//! order, integers exact, DECIMAL as a number, dates and times and opaque values as strings, as MySQL prints them. All
//! offsets come from outside: they are checked, nesting is limited to MySQL's own 100 levels, and the text to what a document
//! of that size can become.

use std::fmt::Write as _;

use super::json_string::is_plain;

use super::bytes::{Bytes, Truncated};
use super::decimal::decimal;
use super::temporal;
use super::types::{ColumnType, InJson};
use super::{Fault, ascii};

/// MySQL refuses documents that nest deeper than 100 levels (`JSON_DOCUMENT_MAX_DEPTH`).
const DEPTH_MAX: usize = 101;

/// A byte becomes six at most: a control character is \u0001. Entries that share a value would become more.
const TEXT_BYTES_PER_BYTE_MAX: usize = 8;

/// What a value may still become.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    depth: usize,
    text_bytes_max: usize,
}

/// The document as text; an empty value is how the server logs a NOT NULL column's missing default.
pub fn text(document: &[u8]) -> Result<String, Fault> {
    // Names and numbers are longer as text; a buffer that grows costs more than one that is too large.
    let mut out = String::with_capacity(document.len() * 2);
    match document.split_first() {
        None => out.push_str("null"),
        Some((kind, body)) => {
            let text_bytes_max = document.len().saturating_mul(TEXT_BYTES_PER_BYTE_MAX);
            value(*kind, body, Bounds { depth: DEPTH_MAX, text_bytes_max }, &mut out)?;
        }
    }
    Ok(out)
}

fn damaged(what: &str) -> Fault {
    Fault::new(format!("a JSON document with {what}"), "")
}

fn value(kind: u8, body: &[u8], bounds: Bounds, out: &mut String) -> Result<(), Fault> {
    let depth = bounds.depth.checked_sub(1).ok_or_else(|| damaged("more than 100 levels"))?;
    let bounds = Bounds { depth, ..bounds };
    let mut bytes = Bytes(body);
    match kind {
        0x00..=0x03 => container(kind, body, bounds, out)?,
        0x04 => out.push_str(literal(bytes.u8()?)?),
        0x05 => push(out, bytes.le(2)? as u16 as i16),
        0x06 => push(out, bytes.le(2)?),
        0x07 => push(out, bytes.le(4)? as u32 as i32),
        0x08 => push(out, bytes.le(4)?),
        0x09 => push(out, bytes.le(8)? as i64),
        0x0a => push(out, bytes.le(8)?),
        0x0b => double(f64::from_bits(bytes.le(8)?), out)?,
        0x0c => {
            let length = variable_length(&mut bytes)?;
            string(bytes.take(length)?, out)?;
        }
        0x0f => {
            let type_code = bytes.u8()?;
            let length = variable_length(&mut bytes)?;
            opaque(type_code, bytes.take(length)?, out)?;
        }
        other => return Err(damaged(&format!("value type {other}"))),
    }
    Ok(())
}

fn push(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

fn literal(code: u8) -> Result<&'static str, Fault> {
    match code {
        0 => Ok("null"),
        1 => Ok("true"),
        2 => Ok("false"),
        other => Err(damaged(&format!("literal {other}"))),
    }
}

/// Shortest text that reads back the same, with a fraction so that it stays a double.
fn double(number: f64, out: &mut String) -> Result<(), Fault> {
    if !number.is_finite() {
        return Err(damaged("a number that is not finite"));
    }
    push_double(number, out);
    Ok(())
}

/// Adds a finite number.
pub fn push_double(number: f64, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{number:?}");
}

fn string(bytes: &[u8], out: &mut String) -> Result<(), Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("a string that is not UTF-8"))?;
    quote(text, out);
    Ok(())
}

/// Adds `text` as a JSON string.
pub fn quote(text: &str, out: &mut String) {
    if is_plain(text) {
        out.extend(["\"", text, "\""]);
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Seven bits a byte, the lowest first; the high bit says that more follow.
fn variable_length(bytes: &mut Bytes<'_>) -> Result<usize, Truncated> {
    let mut length = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.u8()?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).map_err(|_| Truncated);
        }
    }
    Err(Truncated)
}

/// Objects and arrays: counts, then key entries, then value entries, whose offsets count from the container's start.
/// The small kind has 2-byte offsets, the large kind 4.
fn container(kind: u8, body: &[u8], bounds: Bounds, out: &mut String) -> Result<(), Fault> {
    let is_object = kind < 0x02;
    let width = if kind & 1 == 0 { 2 } else { 4 };
    let mut head = Bytes(body);
    let count = head.le(width)? as usize;
    let size = head.le(width)? as usize;
    let body = body.get(..size).ok_or(Truncated)?;
    let mut keys = Bytes(if is_object { head.take(count.checked_mul(width + 2).ok_or(Truncated)?)? } else { &[] });
    out.push(if is_object { '{' } else { '[' });
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        if out.len() > bounds.text_bytes_max {
            return Err(damaged("values in more than one place"));
        }
        if is_object {
            let (offset, length) = (keys.le(width)? as usize, keys.le(2)? as usize);
            let end = offset.checked_add(length).ok_or(Truncated)?;
            string(body.get(offset..end).ok_or(Truncated)?, out)?;
            out.push(':');
        }
        let entry_kind = head.u8()?;
        let entry = head.take(width)?;
        if is_inlined(entry_kind, width) {
            value(entry_kind, entry, bounds, out)?;
        } else {
            let offset = Bytes(entry).le(width)? as usize;
            value(entry_kind, body.get(offset..).ok_or(Truncated)?, bounds, out)?;
        }
    }
    out.push(if is_object { '}' } else { ']' });
    Ok(())
}

/// Literals and 16-bit integers stand in the entry itself, 32-bit ones only in the large kind.
fn is_inlined(kind: u8, width: usize) -> bool {
    matches!(kind, 0x04..=0x06) || (width == 4 && matches!(kind, 0x07 | 0x08))
}

/// Values of SQL types without a JSON counterpart.
fn opaque(type_code: u8, data: &[u8], out: &mut String) -> Result<(), Fault> {
    let mut bytes = Bytes(data);
    let form = match ColumnType::of_code(type_code).map_or(InJson::Base64, |known| known.in_json) {
        InJson::Decimal => {
            let (precision, scale) = (usize::from(bytes.u8()?), usize::from(bytes.u8()?));
            let text = ascii(|text| decimal(&mut bytes, precision, scale, text))?;
            out.push_str(&text);
            return Ok(());
        }
        InJson::Moment(form) => form,
        InJson::Base64 => {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(data);
            return string(format!("base64:type{type_code}:{encoded}").as_bytes(), out);
        }
    };
    let packed = bytes.le(8)? as i64;
    let text = ascii(|text| {
        temporal::in_json(packed, form, text);
        Ok(())
    })?;
    string(text.as_bytes(), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_object_reads_as_json_text() {
        // {"a": 1, "b": null}
        let document = [0x00, 2, 0, 20, 0, 18, 0, 1, 0, 19, 0, 1, 0, 0x05, 1, 0, 0x04, 0, 0, b'a', b'b'];
        assert_eq!(text(&document).expect("a document"), r#"{"a":1,"b":null}"#);
    }

    #[test]
    fn a_document_cut_anywhere_is_a_fault_and_not_a_panic() {
        let document = [0x00, 2, 0, 20, 0, 18, 0, 1, 0, 19, 0, 1, 0, 0x05, 1, 0, 0x04, 0, 0, b'a', b'b'];
        for length in 1..document.len() {
            assert!(text(&document[..length]).is_err(), "{length}");
        }
        assert_eq!(text(&[]).expect("an empty value"), "null");
    }

    #[test]
    fn a_container_that_holds_itself_ends_at_the_depth_limit() {
        // An array whose only element is an array at offset 0: itself.
        assert!(text(&[0x02, 1, 0, 7, 0, 0x02, 0, 0]).is_err());
    }

    #[test]
    fn a_container_that_holds_itself_many_times_ends_before_its_text_grows() {
        let itself_twice = [0x02, 2, 0, 10, 0, 0x02, 0, 0, 0x02, 0, 0];
        text(&itself_twice).expect_err("too deep");
        // Fifty levels of arrays, each of which holds the next one twice.
        let mut shared = vec![0x02];
        for level in (2..=50_u16).rev() {
            let [low, high] = (10 * level).to_le_bytes();
            shared.extend([2, 0, low, high, 0x02, 10, 0, 0x02, 10, 0]);
        }
        shared.extend([2, 0, 10, 0, 0x04, 0, 0, 0x04, 0, 0]);
        let fault = text(&shared).expect_err("too much text");
        assert!(fault.what.contains("more than one place"), "{fault:?}");
    }

    #[test]
    fn text_that_grows_most_is_within_the_bound() {
        for document in
            [&[0x0c, 4, 1, 1, 1, 1][..], &[0x0f, 252, 0], &[0x0b, 0xe7, 0x51, 0xa7, 0x2e, 0x85, 0x0d, 0x21, 0x80]]
        {
            let array = [&[0x02, 1, 0, (7 + document.len() - 1) as u8, 0, document[0], 7, 0], &document[1..]].concat();
            let text = text(&array).expect("a document");
            assert!(text.len() <= array.len() * TEXT_BYTES_PER_BYTE_MAX, "{text}");
        }
    }
}
