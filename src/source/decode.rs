//! Row events: row images to changes, value by value.
//!
//! In: the body of a WRITE, UPDATE or DELETE event and the prepared [`TableMap`] of its table. Out: the rows in the forms
//! of docs/data-format.md. Decodes by itself instead of using `mysql_common`'s `BinlogRow`, which bends MEDIUMINT, TIME,
//! YEAR and padded binaries and looks columns up quadratically. Keeps no state; never guesses (promise 7).

use crate::change::{Cell, Op, Row, Value};
use crate::column::bytes::{Bytes, Truncated};
use crate::column::{Fault, Kind, value};

use super::event_type as event;
use super::table_map::TableMap;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Value;
    use crate::column::charset::{Charset, Charsets};
    use crate::column::json;

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

    const KNOWN_TYPES: [u8; 13] = [1, 4, 13, 15, 16, 17, 18, 19, 245, 246, 254, 252, 255];

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
            255 => Kind::Geometry { length_bytes: 4 },
            254 => Kind::Set { bytes: 8, charset: Charset::Utf8, labels: None },
            _ => Kind::Vector { length_bytes: 1 },
        }
    }
}
