//! Columns: the bytes of a value in a row image, and their meaning.
//!
//! In: a column's [`ColumnKind`], as the binlog's table map or the schema gives it, and bytes of a row event. Out: where a value
//! ends, and the value in the form of docs/data-format.md. Every length is checked before it is used; bytes that no server
//! writes are a [`Fault`], never a guess (promise 7). No I/O, no MySQL crates.

pub mod bytes;
mod cell;
pub mod charset;
pub mod decimal;
mod digits;
pub mod geometry;
pub mod json;
pub mod json_diff;
pub mod json_string;
pub mod temporal;
pub mod typed_text;
pub mod types;

pub use cell::{Cell, Value};

use bytes::{Bytes, Truncated};
use charset::Charset;
use decimal::decimal;
use json_string::write_str;

/// Why a TABLE_MAP or a row cannot be read: the problem, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: String,
    /// Empty: only damage explains it, so the event is read again.
    pub fix: String,
}

impl Fault {
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Fault {
        Fault { what: what.into(), fix: fix.into() }
    }

    /// The same, with what it was found in.
    pub fn within(self, place: &str) -> Fault {
        Fault { what: format!("{place}: {}", self.what), fix: self.fix }
    }
}

impl From<Truncated> for Fault {
    fn from(problem: Truncated) -> Fault {
        Fault::new(problem.to_string(), "")
    }
}

/// The form of one column's value in a row image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    Int {
        bytes: usize,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Bit {
        bits: usize,
    },
    Year,
    Date,
    Time {
        digits: usize,
    },
    DateTime {
        digits: usize,
    },
    Timestamp {
        digits: usize,
    },
    /// CHAR, VARCHAR and TEXT, and their binary kin; `pad` is the length of a BINARY(n), whose trailing zeros the log
    /// leaves out. `octets_max` is the declared length, if it is in the event.
    Text {
        length_bytes: usize,
        charset: Charset,
        pad: Option<usize>,
        octets_max: Option<usize>,
    },
    Enum {
        bytes: usize,
        charset: Charset,
        labels: Option<Box<[Box<str>]>>,
    },
    Set {
        bytes: usize,
        charset: Charset,
        labels: Option<Box<[Box<str>]>>,
    },
    Json {
        length_bytes: usize,
    },
    /// VECTOR and spatial types: each is read by a function of its own.
    Opaque {
        length_bytes: usize,
        reader: ValueReader,
    },
    /// A type of fixed width that is known but not read.
    Unsupported {
        bytes: usize,
        type_name: &'static str,
        fix: &'static str,
    },
}

/// Makes JSON text of a value's bytes.
#[derive(Debug, Clone, Copy)]
pub struct ValueReader {
    /// No two readers have the same.
    pub name: &'static str,
    pub read: fn(&[u8]) -> Result<String, Fault>,
}

impl PartialEq for ValueReader {
    fn eq(&self, other: &ValueReader) -> bool {
        self.name == other.name
    }
}

impl Eq for ValueReader {}

impl ColumnKind {
    /// Moves past a value without reading it.
    #[inline]
    pub fn skip(&self, bytes: &mut Bytes<'_>) -> Result<(), Truncated> {
        let width = match self {
            ColumnKind::Int { bytes, .. } | ColumnKind::Enum { bytes, .. } | ColumnKind::Set { bytes, .. } => *bytes,
            ColumnKind::Unsupported { bytes, .. } => *bytes,
            ColumnKind::Float => 4,
            ColumnKind::Double => 8,
            ColumnKind::Decimal { precision, scale } => decimal::width_bytes(*precision, *scale)?,
            ColumnKind::Bit { bits } => bits.div_ceil(8),
            ColumnKind::Year => 1,
            ColumnKind::Date => 3,
            ColumnKind::Time { digits } => 3 + digits.div_ceil(2),
            ColumnKind::DateTime { digits } => 5 + digits.div_ceil(2),
            ColumnKind::Timestamp { digits } => 4 + digits.div_ceil(2),
            ColumnKind::Text { length_bytes, .. }
            | ColumnKind::Json { length_bytes }
            | ColumnKind::Opaque { length_bytes, .. } => bytes.le(*length_bytes)? as usize,
        };
        bytes.take(width).map(drop)
    }

    /// Those of an ENUM or SET, where they are known.
    pub fn labels(&self) -> Option<&[Box<str>]> {
        match self {
            ColumnKind::Enum { labels, .. } | ColumnKind::Set { labels, .. } => labels.as_deref(),
            _ => None,
        }
    }
}

/// Reads the value that the bytes begin with.
pub fn value(kind: &ColumnKind, bytes: &mut Bytes<'_>) -> Result<Value, Fault> {
    Ok(match kind {
        ColumnKind::Int { bytes: width, unsigned: true } => Value::Uint(bytes.le(*width)?),
        ColumnKind::Int { bytes: width, unsigned: false } => Value::Int(sign_extended(bytes.le(*width)?, *width)),
        ColumnKind::Float => Value::Float(f32::from_bits(bytes.le(4)? as u32)),
        ColumnKind::Double => Value::Double(f64::from_bits(bytes.le(8)?)),
        ColumnKind::Decimal { precision, scale } => {
            Value::Decimal(ascii(|out| decimal(bytes, *precision, *scale, out))?)
        }
        ColumnKind::Bit { bits } => Value::Uint(bytes.be(bits.div_ceil(8))?),
        ColumnKind::Year => Value::Int(match bytes.u8()? {
            0 => 0,
            years => 1900 + i64::from(years),
        }),
        ColumnKind::Date | ColumnKind::Time { .. } | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            Value::Text(ascii(|out| temporal::write(kind, bytes, out))?)
        }
        ColumnKind::Text { length_bytes, charset, pad, .. } => {
            let length = bytes.le(*length_bytes)? as usize;
            text(bytes.take(length)?, charset, *pad)?
        }
        ColumnKind::Enum { bytes: width, labels, .. } => {
            Value::Text(enum_label(bytes.le(*width)?, labels.as_deref())?.into())
        }
        ColumnKind::Set { bytes: width, labels, .. } => Value::Labels(
            set_labels(bytes.le(*width)?, labels.as_deref())
                .map(|label| label.map(Into::into))
                .collect::<Result<_, Fault>>()?,
        ),
        ColumnKind::Json { length_bytes } => {
            let length = bytes.le(*length_bytes)? as usize;
            Value::Json(json::text(bytes.take(length)?)?.into())
        }
        ColumnKind::Opaque { length_bytes, reader } => {
            let length = bytes.le(*length_bytes)? as usize;
            Value::Json((reader.read)(bytes.take(length)?)?.into())
        }
        ColumnKind::Unsupported { type_name, fix, .. } => return Err(Fault::new(*type_name, *fix)),
    })
}

/// Text of digits and signs, which are written as bytes because most of them go straight into a body.
fn ascii(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Truncated>) -> Result<Box<str>, Truncated> {
    let mut text = Vec::with_capacity(32);
    write(&mut text)?;
    String::from_utf8(text).map(String::into_boxed_str).map_err(|_| Truncated)
}

/// Whether the value that the bytes begin with can be read, at less than the cost of reading it.
pub fn check(kind: &ColumnKind, bytes: &mut Bytes<'_>) -> Result<(), Fault> {
    match kind {
        ColumnKind::Int { .. } | ColumnKind::Float | ColumnKind::Double | ColumnKind::Bit { .. } | ColumnKind::Year => {
            Ok(kind.skip(bytes)?)
        }
        ColumnKind::Date | ColumnKind::Time { .. } | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            Ok(kind.skip(bytes)?)
        }
        // All groups of digits of the width that it has can be read.
        ColumnKind::Decimal { .. } => Ok(kind.skip(bytes)?),
        ColumnKind::Enum { bytes: width, labels, .. } => enum_label(bytes.le(*width)?, labels.as_deref()).map(drop),
        ColumnKind::Set { bytes: width, labels, .. } => {
            set_labels(bytes.le(*width)?, labels.as_deref()).try_for_each(|label| label.map(drop))
        }
        ColumnKind::Text { length_bytes, charset: Charset::Utf8, .. } => {
            let length = bytes.le(*length_bytes)? as usize;
            match std::str::from_utf8(bytes.take(length)?) {
                Ok(_) => Ok(()),
                Err(_) => Err(unreadable("bytes that are not UTF-8")),
            }
        }
        ColumnKind::Text { charset: Charset::Binary, .. } => Ok(kind.skip(bytes)?),
        ColumnKind::Json { length_bytes } => {
            let length = bytes.le(*length_bytes)? as usize;
            json::text(bytes.take(length)?).map(drop)
        }
        other => value(other, bytes).map(drop),
    }
}

/// Writes the value that the bytes begin with as JSON, where that can be done without a value in between; false, and
/// nothing written, where it can't.
pub fn write_json(kind: &ColumnKind, bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<bool, Fault> {
    match kind {
        ColumnKind::Int { bytes: width, unsigned: true } => digits::integer(bytes.le(*width)?, out),
        ColumnKind::Int { bytes: width, unsigned: false } => {
            digits::integer(sign_extended(bytes.le(*width)?, *width), out);
        }
        ColumnKind::Decimal { precision, scale } => {
            out.push(b'"');
            decimal(bytes, *precision, *scale, out)?;
            out.push(b'"');
        }
        ColumnKind::Date | ColumnKind::Time { .. } | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            out.push(b'"');
            temporal::write(kind, bytes, out)?;
            out.push(b'"');
        }
        ColumnKind::Text { length_bytes, charset: Charset::Utf8, .. } => {
            let length = bytes.le(*length_bytes)? as usize;
            let text = std::str::from_utf8(bytes.take(length)?).map_err(|_| unreadable("bytes that are not UTF-8"))?;
            write_str(text, out);
        }
        ColumnKind::Text { length_bytes, charset: Charset::Binary, pad: None, .. } => {
            let length = bytes.le(*length_bytes)? as usize;
            write_base64(bytes.take(length)?, out);
        }
        ColumnKind::Enum { bytes: width, labels, .. } => {
            write_str(enum_label(bytes.le(*width)?, labels.as_deref())?, out);
        }
        ColumnKind::Set { bytes: width, labels, .. } => {
            out.push(b'[');
            for (index, label) in set_labels(bytes.le(*width)?, labels.as_deref()).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_str(label?, out);
            }
            out.push(b']');
        }
        ColumnKind::Json { length_bytes } => {
            let length = bytes.le(*length_bytes)? as usize;
            out.extend_from_slice(json::text(bytes.take(length)?)?.as_bytes());
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn sign_extended(number: u64, width_bytes: usize) -> i64 {
    let unused_bits = 64 - 8 * width_bytes;
    (number << unused_bits) as i64 >> unused_bits
}

fn text(bytes: &[u8], charset: &Charset, pad: Option<usize>) -> Result<Value, Fault> {
    match (charset, pad) {
        (Charset::Binary, Some(length)) if bytes.len() < length => {
            let mut padded = bytes.to_vec();
            padded.resize(length, 0);
            Ok(Value::Bytes(padded.into()))
        }
        (Charset::Binary, _) => Ok(Value::Bytes(bytes.into())),
        _ => charset.decode(bytes).map(Value::Text).map_err(|problem| unreadable(&problem)),
    }
}

/// Index 0 is MySQL's "invalid value", which SELECT shows as the empty string.
fn enum_label(index: u64, labels: Option<&[Box<str>]>) -> Result<&str, Fault> {
    match index.checked_sub(1) {
        None => Ok(""),
        Some(place) => label(place, labels),
    }
}

fn set_labels(mask: u64, labels: Option<&[Box<str>]>) -> impl Iterator<Item = Result<&str, Fault>> {
    (0..64).filter(move |place| mask >> place & 1 == 1).map(move |place| label(place, labels))
}

/// A label in the binary character set, whose bytes mean what the client that made it meant: nearly always UTF-8. Others
/// are given as base64, like other binary values.
pub fn binary_label(bytes: &[u8]) -> Box<str> {
    use base64::Engine as _;
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
    }
}

/// Appends a string of base64, which is how binary values stand in JSON.
pub fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    use base64::Engine as _;
    out.push(b'"');
    let begin = out.len();
    out.resize(begin + bytes.len().div_ceil(3) * 4, 0);
    let encoded = base64::engine::general_purpose::STANDARD.encode_slice(bytes, &mut out[begin..]);
    out.truncate(begin + encoded.expect("base64 takes four bytes for three"));
    out.push(b'"');
}

fn label(place: u64, labels: Option<&[Box<str>]>) -> Result<&str, Fault> {
    let known = labels.and_then(|labels| labels.get(place as usize)).map(|label| &**label);
    known.ok_or_else(|| Fault::new(format!("label number {}", place + 1), "SET PERSIST binlog_row_metadata = 'FULL'"))
}

fn vector(bytes: &[u8]) -> Result<String, Fault> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if !rest.is_empty() || numbers.iter().any(|number| !number.is_finite()) {
        return Err(Fault::new("a vector with a part that is no number", ""));
    }
    Ok(format!("[{}]", numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(",")))
}

pub fn unreadable(problem: &str) -> Fault {
    Fault::new(problem, "convert the column to utf8mb4, or leave this table out of the rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(kind: &ColumnKind, bytes: &[u8]) -> Value {
        let mut cursor = Bytes(bytes);
        let value = value(kind, &mut cursor).expect("a value");
        assert!(cursor.is_empty(), "all bytes are used");
        value
    }

    #[test]
    fn integers_keep_their_sign_at_every_width() {
        for (bytes, expected) in [
            (&[0x80][..], -128_i64),
            (&[0xff, 0xff], -1),
            (&[0x00, 0x00, 0x80], -8_388_608),
            (&[0xff, 0xff, 0xff], -1),
            (&[0, 0, 0, 0x80], i64::from(i32::MIN)),
            (&[0, 0, 0, 0, 0, 0, 0, 0x80], i64::MIN),
        ] {
            let kind = ColumnKind::Int { bytes: bytes.len(), unsigned: false };
            assert_eq!(decoded(&kind, bytes), Value::Int(expected));
        }
        let kind = ColumnKind::Int { bytes: 8, unsigned: true };
        assert_eq!(decoded(&kind, &[0xff; 8]), Value::Uint(u64::MAX));
    }

    #[test]
    fn decimals_read_as_select_shows_them() {
        for (precision, scale, bytes, expected) in [
            (14, 4, &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2][..], "1234567890.1234"),
            (14, 4, &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d], "-1234567890.1234"),
            (5, 5, &[0x80, 0x30, 0x39], "0.12345"),
            (1, 0, &[0x87], "7"),
            (4, 2, &[0x80, 0x00], "0.00"),
            (
                66,
                0,
                &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
                "7",
            ),
        ] {
            assert_eq!(decoded(&ColumnKind::Decimal { precision, scale }, bytes), Value::Decimal(expected.into()));
        }
    }

    #[test]
    fn a_binary_column_gets_the_zeros_back_that_the_log_leaves_out() {
        let kind = ColumnKind::Text { length_bytes: 1, charset: Charset::Binary, pad: Some(4), octets_max: Some(4) };
        assert_eq!(decoded(&kind, &[1, b'a']), Value::Bytes(Box::new([b'a', 0, 0, 0])));
    }

    #[test]
    fn a_row_that_ends_early_is_a_fault_and_not_a_panic() {
        let kinds = [
            ColumnKind::Decimal { precision: 65, scale: 30 },
            ColumnKind::Json { length_bytes: 4 },
            ColumnKind::DateTime { digits: 6 },
        ];
        for kind in kinds {
            for length in 0..4 {
                assert!(value(&kind, &mut Bytes(&vec![0xff; length])).is_err(), "{kind:?}");
            }
        }
    }
}
