//! A binlog file as the crate mysql_cdc reads it.
//!
//! In: a file and the columns of one table. Out: its rows in the form of `forms`. Where mysql_cdc gives less than the event
//! holds, or the same bits under another name, this file says so and why; nothing else is adjusted.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use mysql_cdc::binlog_reader::BinlogReader;
use mysql_cdc::events::binlog_event::BinlogEvent;
use mysql_cdc::events::row_events::mysql_value::MySqlValue;
use mysql_cdc::events::row_events::row_data::RowData;
use mysql_common::binlog::jsonb;
use mysql_common::io::ParseBuf;
use rowhook::change::Op;

use super::columns::{Column, Kind};
use super::forms::{self, Image, Reading, Seen};

/// Fraction digits of a second that mysql_cdc keeps.
const DIGITS_MAX: usize = 3;

/// Reads a whole file. Panics at the first event that mysql_cdc cannot read.
pub fn read(file: &Path, table: &str, columns: &[Column]) -> Reading {
    let mut reading = Reading::default();
    let mut gtid = String::new();
    let mut tables: HashMap<u64, bool> = HashMap::new();
    let image = |row: &RowData| -> Image {
        assert_eq!(row.cells.len(), columns.len());
        row.cells.iter().zip(columns).map(|(cell, column)| cell.as_ref().map(|value| form(value, column))).collect()
    };
    for item in BinlogReader::new(File::open(file).expect("a binlog file")).expect("a binlog file").read_events() {
        let (_, event) = item.expect("an event that mysql_cdc can read");
        match event {
            BinlogEvent::MySqlGtidEvent(event) => gtid = event.gtid.to_string(),
            BinlogEvent::TableMapEvent(event) => {
                let is_wanted = event.database_name == "test" && event.table_name == table;
                if is_wanted && reading.columns.is_empty() {
                    reading.columns = event.table_metadata.and_then(|metadata| metadata.column_names).expect("names");
                }
                tables.insert(event.table_id, is_wanted);
            }
            BinlogEvent::WriteRowsEvent(event) if tables[&event.table_id] => {
                for row in &event.rows {
                    reading.push(&gtid, Seen { op: Op::Insert, before: None, after: Some(image(row)) });
                }
            }
            BinlogEvent::DeleteRowsEvent(event) if tables[&event.table_id] => {
                for row in &event.rows {
                    reading.push(&gtid, Seen { op: Op::Delete, before: Some(image(row)), after: None });
                }
            }
            BinlogEvent::UpdateRowsEvent(event) if tables[&event.table_id] => {
                for row in &event.rows {
                    let (before, after) = (image(&row.before_update), image(&row.after_update));
                    reading.push(&gtid, Seen { op: Op::Update, before: Some(before), after: Some(after) });
                }
            }
            _ => {}
        }
    }
    reading
}

/// What is left of rowhook's reading when it is cut to what mysql_cdc can say.
pub fn cut(mut reading: Reading, columns: &[Column]) -> Reading {
    let rows = reading.transactions.iter_mut().flat_map(|transaction| &mut transaction.rows);
    for image in rows.flat_map(|row| [&mut row.before, &mut row.after]).flatten() {
        for (text, column) in image.iter_mut().zip(columns) {
            let (Some(text), Some(digits)) = (text, fraction_digits(column.kind)) else { continue };
            if let Some(point) = text.find('.').filter(|_| digits > DIGITS_MAX) {
                text.replace_range(point + 1 + DIGITS_MAX..point + 1 + digits, "");
            }
        }
    }
    reading
}

fn fraction_digits(kind: Kind) -> Option<usize> {
    match kind {
        Kind::DateTime { digits } | Kind::Timestamp { digits } | Kind::Time { digits, .. } => Some(digits),
        _ => None,
    }
}

fn form(value: &MySqlValue, column: &Column) -> String {
    use MySqlValue::*;
    let digits = fraction_digits(column.kind).unwrap_or(0).min(DIGITS_MAX);
    match (value, column.kind) {
        // mysql_cdc reads every integer as unsigned, so negative ones are the same bits under the column's sign.
        (TinyInt(number), kind) => whole(u64::from(*number), kind),
        (SmallInt(number), kind) => whole(u64::from(*number), kind),
        (MediumInt(number), kind) => whole(u64::from(*number), kind),
        (Int(number), kind) => whole(u64::from(*number), kind),
        (BigInt(number), kind) => whole(*number, kind),
        // mysql_cdc adds 1900 to the byte in any case; 1900 is no YEAR, so it can only be 0000.
        (Year(year), _) => if *year == 1900 { 0 } else { *year }.to_string(),
        (Float(number), _) => forms::float(*number),
        (Double(number), _) => forms::double(*number),
        (Decimal(text), _) => text.clone(),
        (String(text), Kind::Text { .. }) => text.clone(),
        (Blob(bytes), Kind::Text { .. }) => std::string::String::from_utf8(bytes.clone()).expect("UTF-8"),
        (Blob(bytes), Kind::Bytes { .. }) => forms::hex(bytes),
        // mysql_cdc leaves JSON undecoded: that it found the right bytes shows when another decoder can read them.
        (Blob(bytes), Kind::Json { .. }) => {
            let document: jsonb::Value<'_> = ParseBuf(bytes).parse(()).expect("a JSON document");
            forms::json(&document.parse().expect("a JSON document").into())
        }
        (Bit(bits), _) => bits.iter().fold(0_u64, |number, bit| number << 1 | u64::from(*bit)).to_string(),
        (Enum(index), Kind::Enum(labels)) => forms::label(labels, u64::from(*index)),
        (Set(mask), Kind::Set(labels)) => forms::labels(labels, *mask),
        (Date(date), _) => forms::date(date.year, date.month, date.day),
        (DateTime(at), _) => {
            let (date, clock) =
                (forms::date(at.year, at.month, at.day), forms::clock(at.hour.into(), at.minute, at.second));
            format!("{date}T{clock}{}", forms::fraction(at.millis * 1000, digits))
        }
        (Time(time), _) => {
            let hour = u32::try_from(time.hour).expect("no negative TIME in this table");
            format!("{}{}", forms::clock(hour, time.minute, time.second), forms::fraction(time.millis * 1000, digits))
        }
        (Timestamp(ms), _) => forms::timestamp(ms / 1000, (ms % 1000) as u32 * 1000, digits),
        (other, _) => panic!("{other:?} in column {}", column.name),
    }
}

fn whole(bits_read: u64, kind: Kind) -> String {
    match kind {
        Kind::Int { bits, unsigned: false } => ((bits_read << (64 - bits)) as i64 >> (64 - bits)).to_string(),
        _ => bits_read.to_string(),
    }
}
