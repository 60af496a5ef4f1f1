//! Row events: row images to changes, value by value.
//!
//! In: the body of a WRITE, UPDATE or DELETE event and the prepared [`TableMap`] of its table. Out: the rows in the forms
//! of docs/data-format.md. Decodes by itself instead of using `mysql_common`'s `BinlogRow`, which bends MEDIUMINT, TIME,
//! YEAR and padded binaries and looks columns up quadratically. Keeps no state; never guesses (promise 7).

use crate::change::{Cell, Op, Row, Value};

use super::bytes::{Bytes, Truncated};
use super::charset::Charset;
use super::event_type as event;
use super::json;
use super::table_map::{Fault, Kind, TableMap, unreadable};
use super::temporal;

/// The fixed part of a row event; the rows themselves are still bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub table_id: u64,
    pub op: Op,
    columns: usize,
    before: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    data: Bytes<'a>,
}

/// What changed in one row: its images before and after.
pub(super) type Images = (Option<Row>, Option<Row>);

impl<'a> Rows<'a> {
    /// Reads the fixed part of the event.
    pub fn parse(event_type: u8, body: &'a [u8]) -> Result<Rows<'a>, Fault> {
        let mut bytes = Bytes(body);
        let table_id = bytes.le(6)?;
        bytes.take(2)?;
        let (op, has_extra) = match event_type {
            event::WRITE_ROWS => (Op::Insert, true),
            event::UPDATE_ROWS | event::PARTIAL_UPDATE_ROWS => (Op::Update, true),
            event::DELETE_ROWS => (Op::Delete, true),
            event::WRITE_ROWS_V1 => (Op::Insert, false),
            event::UPDATE_ROWS_V1 => (Op::Update, false),
            event::DELETE_ROWS_V1 => (Op::Delete, false),
            other => return Err(Fault::new(format!("row event type {other}"), "")),
        };
        if has_extra {
            // The length counts its own two bytes.
            let extra = bytes.le(2)?.checked_sub(2).ok_or(Truncated)?;
            bytes.take(extra as usize)?;
        }
        let columns = usize::try_from(bytes.lenenc()?).map_err(|_| Truncated)?;
        let mut bitmap = || bytes.take(columns.div_ceil(8));
        let before = if op == Op::Insert { None } else { Some(bitmap()?) };
        let after = if op == Op::Delete { None } else { Some(bitmap()?) };
        Ok(Rows { table_id, op, columns, before, after, data: bytes })
    }

    /// Decodes the next row; none after the last.
    pub fn next(&mut self, table: &TableMap) -> Option<Result<Images, Fault>> {
        if self.data.is_empty() { None } else { Some(self.images(table)) }
    }

    fn images(&mut self, table: &TableMap) -> Result<Images, Fault> {
        if self.columns != table.kinds.len() {
            return Err(Fault::new(format!("{} columns in a row of {}", self.columns, table.kinds.len()), ""));
        }
        let length_before = self.data.0.len();
        let mut image = |bitmap: Option<&[u8]>| bitmap.map(|bits| row(&mut self.data, bits, &table.kinds)).transpose();
        let images = (image(self.before)?, image(self.after)?);
        if self.data.0.len() == length_before {
            return Err(Fault::new("a row without bytes", ""));
        }
        Ok(images)
    }
}

fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// One row image. The NULL bitmap counts only the columns that are present.
fn row(bytes: &mut Bytes<'_>, present: &[u8], kinds: &[Kind]) -> Result<Row, Fault> {
    let count = (0..kinds.len()).filter(|index| bit(present, *index)).count();
    let nulls = bytes.take(count.div_ceil(8))?;
    let mut cells = Vec::with_capacity(kinds.len());
    let mut place = 0;
    for (index, kind) in kinds.iter().enumerate() {
        if !bit(present, index) {
            cells.push(Cell::Absent);
            continue;
        }
        let is_null = bit(nulls, place);
        place += 1;
        cells.push(Cell::Value(if is_null {
            Value::Null
        } else {
            value(kind, bytes).map_err(|fault| at(fault, index))?
        }));
    }
    Ok(Row(cells.into()))
}

fn at(fault: Fault, index: usize) -> Fault {
    Fault { what: format!("column {}: {}", index + 1, fault.what), mend: fault.mend }
}

fn value(kind: &Kind, bytes: &mut Bytes<'_>) -> Result<Value, Fault> {
    Ok(match kind {
        Kind::Int { bytes: width, unsigned: true } => Value::Uint(bytes.le(*width)?),
        Kind::Int { bytes: width, unsigned: false } => {
            let unused_bits = 64 - 8 * width;
            Value::Int((bytes.le(*width)? << unused_bits) as i64 >> unused_bits)
        }
        Kind::Float => Value::Float(f32::from_bits(bytes.le(4)? as u32)),
        Kind::Double => Value::Double(f64::from_bits(bytes.le(8)?)),
        Kind::Decimal { precision, scale } => Value::Decimal(decimal(bytes, *precision, *scale)?.into()),
        Kind::Bit { bits } => Value::Uint(bytes.be(bits.div_ceil(8))?),
        Kind::Year => Value::Int(match bytes.u8()? {
            0 => 0,
            years => 1900 + i64::from(years),
        }),
        Kind::Date => Value::Text(temporal::date(bytes)?.into()),
        Kind::Time { digits } => Value::Text(temporal::time(bytes, *digits)?.into()),
        Kind::DateTime { digits } => Value::Text(temporal::datetime(bytes, *digits)?.into()),
        Kind::Timestamp { digits } => Value::Text(temporal::timestamp(bytes, *digits)?.into()),
        Kind::Text { length_bytes, charset, pad, .. } => {
            let length = bytes.le(*length_bytes)? as usize;
            text(bytes.take(length)?, charset, *pad)?
        }
        Kind::Enum { bytes: width, labels, .. } => Value::Text(enum_label(bytes.le(*width)?, labels.as_deref())?),
        Kind::Set { bytes: width, labels, .. } => Value::Labels(set_labels(bytes.le(*width)?, labels.as_deref())?),
        Kind::Json { length_bytes } => {
            let length = bytes.le(*length_bytes)? as usize;
            Value::Json(json::text(bytes.take(length)?)?.into())
        }
        Kind::Vector { length_bytes } => {
            let length = bytes.le(*length_bytes)? as usize;
            Value::Json(vector(bytes.take(length)?)?.into())
        }
        Kind::Unsupported { type_name, mend } => return Err(Fault::new(*type_name, *mend)),
    })
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
fn enum_label(index: u64, labels: Option<&[Box<str>]>) -> Result<Box<str>, Fault> {
    match index.checked_sub(1) {
        None => Ok("".into()),
        Some(place) => label(place, labels),
    }
}

fn set_labels(mask: u64, labels: Option<&[Box<str>]>) -> Result<Box<[Box<str>]>, Fault> {
    (0..64).filter(|place| mask >> place & 1 == 1).map(|place| label(place, labels)).collect()
}

fn label(place: u64, labels: Option<&[Box<str>]>) -> Result<Box<str>, Fault> {
    let known = labels.and_then(|labels| labels.get(place as usize)).cloned();
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

/// Bytes that hold 0 to 9 decimal digits (`dig2bytes` of the server's `strings/decimal.cc`).
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The packed DECIMAL of `decimal2bin`: groups of nine digits in four bytes, big-endian, the odd groups at both ends;
/// the first bit is set for positive numbers, negative ones have all bits inverted.
pub(super) fn decimal(bytes: &mut Bytes<'_>, precision: usize, scale: usize) -> Result<String, Truncated> {
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

#[cfg(test)]
mod tests {
    use super::super::charset::Charsets;
    use super::*;

    fn decoded(kind: &Kind, bytes: &[u8]) -> Value {
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
            let kind = Kind::Int { bytes: bytes.len(), unsigned: false };
            assert_eq!(decoded(&kind, bytes), Value::Int(expected));
        }
        let kind = Kind::Int { bytes: 8, unsigned: true };
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
        ] {
            assert_eq!(decimal(&mut Bytes(bytes), precision, scale).expect("a decimal"), expected);
        }
    }

    #[test]
    fn a_binary_column_gets_the_zeros_back_that_the_log_leaves_out() {
        let kind = Kind::Text { length_bytes: 1, charset: Charset::Binary, pad: Some(4), octets_max: Some(4) };
        assert_eq!(decoded(&kind, &[1, b'a']), Value::Bytes(Box::new([b'a', 0, 0, 0])));
    }

    #[test]
    fn a_null_bitmap_counts_present_columns_only() {
        let kinds = vec![Kind::Int { bytes: 1, unsigned: false }; 3];
        let row = row(&mut Bytes(&[0b01, 9]), &[0b101], &kinds).expect("a row");
        assert_eq!(*row.0, [Cell::Value(Value::Null), Cell::Absent, Cell::Value(Value::Int(9))]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_whatever_make_the_decoder_panic(
            definition in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            types in proptest::collection::vec(proptest::sample::select(&KNOWN_TYPES[..]), 1..6),
            body in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        ) {
            let _ = TableMap::parse(&definition, &Charsets::default());
            let mut well_begun = vec![types.len() as u8];
            well_begun.extend(&types);
            well_begun.push(definition.len().min(250) as u8);
            well_begun.extend(&definition);
            let _ = TableMap::parse(&well_begun, &Charsets::default());
            let kinds = types.iter().map(|code| kind_of(*code)).collect::<Vec<_>>();
            let present = [0xff];
            let mut bytes = Bytes(&body);
            while row(&mut bytes, &present, &kinds).is_ok() && !bytes.is_empty() {}
            let table = TableMap { kinds, names: None, primary_key: vec![] };
            if let Ok(mut rows) = Rows::parse(event::UPDATE_ROWS, &body) {
                while rows.next(&table).is_some_and(|images| images.is_ok()) {}
            }
            let _ = json::text(&body);
        }
    }

    const KNOWN_TYPES: [u8; 12] = [1, 4, 13, 15, 16, 17, 18, 19, 245, 246, 254, 252];

    fn kind_of(code: u8) -> Kind {
        match code {
            1 => Kind::Int { bytes: 3, unsigned: false },
            4 => Kind::Float,
            13 => Kind::Year,
            15 => Kind::Text { length_bytes: 2, charset: Charset::Utf8, pad: None, octets_max: Some(300) },
            16 => Kind::Bit { bits: 64 },
            17 => Kind::Timestamp { digits: 5 },
            18 => Kind::DateTime { digits: 3 },
            19 => Kind::Time { digits: 2 },
            245 => Kind::Json { length_bytes: 1 },
            246 => Kind::Decimal { precision: 65, scale: 30 },
            254 => Kind::Set { bytes: 8, charset: Charset::Utf8, labels: None },
            _ => Kind::Vector { length_bytes: 1 },
        }
    }

    #[test]
    fn a_row_that_ends_early_is_a_fault_and_not_a_panic() {
        let kinds =
            [Kind::Decimal { precision: 65, scale: 30 }, Kind::Json { length_bytes: 4 }, Kind::DateTime { digits: 6 }];
        for kind in kinds {
            for length in 0..4 {
                assert!(value(&kind, &mut Bytes(&vec![0xff; length])).is_err(), "{kind:?}");
            }
        }
    }
}
