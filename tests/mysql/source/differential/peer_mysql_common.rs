//! A binlog file as mysql_common's own row decoder reads it, compressed transactions included.
//!
//! In: a file and the columns of one table. Out: its rows in the form of `forms`. rowhook takes the framing of events from
//! the same crate, but neither table maps nor row images nor JSON, which are compared here. What that decoder is known to
//! get wrong is fixed here where the bits allow it, with the reason beside it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{Event, EventData, OptionalMetadataField, TransactionPayloadEvent};
use mysql_common::binlog::jsonb::{JsonContainer, JsonDom, JsonNumber, JsonScalar};
use mysql_common::binlog::row::BinlogRow;
use mysql_common::binlog::value::BinlogValue;
use mysql_common::binlog::{BinlogFileHeader, EventStreamReader};
use mysql_common::value::Value;
use rowhook::change::Op;

use super::columns::{Charset, Column, Kind};
use super::forms::{self, Image, Reading, Seen};

/// Reads a whole file. Panics at the first event that mysql_common cannot read.
pub fn read(file: &Path, table: &str, columns: &[Column]) -> Reading {
    let mut input = BufReader::new(File::open(file).expect("a binlog file"));
    BinlogFileHeader::read(&mut input).expect("a binlog file");
    let mut reader = EventStreamReader::new(BinlogVersion::Version4);
    let mut reading = FileReading { table, columns, gtid: String::new(), reading: Reading::default() };
    while let Some(event) = reader.read(&mut input).expect("an event that mysql_common can read") {
        match event.read_data().expect("an event that mysql_common can read") {
            Some(EventData::TransactionPayloadEvent(payload)) => reading.unpack(&payload, &mut reader),
            _ => reading.take(&event, &reader),
        }
    }
    reading.reading
}

struct FileReading<'a> {
    table: &'a str,
    columns: &'a [Column],
    gtid: String,
    reading: Reading,
}

impl FileReading<'_> {
    fn unpack(&mut self, payload: &TransactionPayloadEvent<'_>, reader: &mut EventStreamReader) {
        let mut inner = payload.decompressed().expect("a compressed transaction");
        while inner.has_data_left().expect("a compressed transaction") {
            let event = reader.read_decompressed(&mut inner).expect("an event").expect("data is left");
            self.take(&event, reader);
        }
    }

    fn take(&mut self, event: &Event, reader: &EventStreamReader) {
        let rows = match event.read_data().expect("an event that mysql_common can read") {
            Some(EventData::GtidEvent(event)) => {
                self.gtid = format!("{}:{}", uuid::Uuid::from_bytes(event.sid()), event.gno());
                return;
            }
            Some(EventData::RowsEvent(rows)) => rows,
            _ => return,
        };
        let map = reader.get_tme(rows.table_id()).expect("a table map before its rows");
        if map.database_name() != "test" || map.table_name() != self.table {
            return;
        }
        if self.reading.columns.is_empty() {
            for field in map.iter_optional_meta() {
                if let OptionalMetadataField::ColumnName(names) = field.expect("metadata") {
                    let names = names.iter_names().map(|name| name.expect("a name").name().into_owned());
                    self.reading.columns = names.collect();
                }
            }
        }
        for row in rows.rows(map) {
            let (before, after) = row.expect("a row that mysql_common can read");
            let op = match (&before, &after) {
                (None, Some(_)) => Op::Insert,
                (Some(_), Some(_)) => Op::Update,
                (Some(_), None) => Op::Delete,
                (None, None) => panic!("a row without an image"),
            };
            let seen = Seen { op, before: before.map(|row| self.image(row)), after: after.map(|row| self.image(row)) };
            self.reading.push(&self.gtid, seen);
        }
    }

    fn image(&self, row: BinlogRow) -> Image {
        let values = row.unwrap();
        assert_eq!(values.len(), self.columns.len());
        values.into_iter().zip(self.columns).map(|(value, column)| form(value, column)).collect()
    }
}

fn form(value: BinlogValue<'_>, column: &Column) -> Option<String> {
    Some(match value {
        BinlogValue::Value(Value::NULL) => return None,
        BinlogValue::Jsonb(document) => forms::json(&of_document(document.parse().expect("a JSON document"))),
        BinlogValue::JsonDiff(_) => panic!("partial JSON is off"),
        BinlogValue::Value(Value::Bytes(bytes)) => of_bytes(&bytes, column),
        BinlogValue::Value(value) => of_scalar(value, column),
    })
}

fn of_scalar(value: Value, column: &Column) -> String {
    match (value, column.kind) {
        // mysql_common does not extend the sign of 24 bits: -1 arrives as 16777215.
        (Value::Int(number), Kind::Int { bits: 24, unsigned: false }) => (number << 40 >> 40).to_string(),
        (Value::Int(number), Kind::Int { .. }) => number.to_string(),
        (Value::UInt(number), Kind::Int { unsigned: true, .. }) => number.to_string(),
        (Value::Int(index), Kind::Enum(labels)) => forms::label(labels, index as u64),
        (Value::Float(number), Kind::Float) => forms::float(number),
        (Value::Double(number), Kind::Double) => forms::double(number),
        (Value::Date(year, month, day, 0, 0, 0, 0), Kind::Date) => forms::date(year, month, day),
        (Value::Date(year, month, day, hour, minute, second, us), Kind::DateTime { digits }) => {
            let (date, clock) = (forms::date(year, month, day), forms::clock(hour.into(), minute, second));
            format!("{date}T{clock}{}", forms::fraction(us, digits))
        }
        (Value::Time(negative, days, hours, minute, second, us), Kind::Time { digits, .. }) => {
            let clock = forms::clock(days * 24 + u32::from(hours), minute, second);
            format!("{}{clock}{}", if negative { "-" } else { "" }, forms::fraction(us, digits))
        }
        (other, _) => panic!("{other:?} in column {}", column.name),
    }
}

fn of_bytes(bytes: &[u8], column: &Column) -> String {
    match column.kind {
        Kind::Decimal { .. } => utf8(bytes),
        // mysql_common adds 1900 to the byte in any case; 1900 is no YEAR, so it can only be 0000.
        Kind::Year => {
            if bytes == b"1900" {
                "0".to_string()
            } else {
                utf8(bytes)
            }
        }
        Kind::Bit { .. } => bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).to_string(),
        Kind::Set(labels) => {
            forms::labels(labels, bytes.iter().rev().fold(0_u64, |mask, byte| mask << 8 | u64::from(*byte)))
        }
        Kind::Timestamp { digits } => {
            let text = utf8(bytes);
            let (seconds, us) = text.split_once('.').unwrap_or((&text, "0"));
            forms::timestamp(seconds.parse().expect("seconds"), us.parse().expect("microseconds"), digits)
        }
        // mysql_common gives a text's bytes; the character set is taken from CREATE TABLE, because to the right of a
        // VECTOR column mysql_common names another one.
        Kind::Text { charset, .. } => decoded(bytes, charset),
        Kind::Bytes { .. } => forms::hex(bytes),
        // The event leaves out zeros at the end, and mysql_common does not put them back.
        Kind::Padded { bytes: length } => {
            let mut padded = bytes.to_vec();
            padded.resize(length, 0);
            forms::hex(&padded)
        }
        Kind::Vector { numbers } => {
            let chunks = bytes.as_chunks::<4>().0;
            assert_eq!(chunks.len(), numbers);
            let members = chunks.iter().map(|chunk| serde_json::from_str(&f32::from_le_bytes(*chunk).to_string()));
            forms::json(&serde_json::Value::Array(members.collect::<Result<_, _>>().expect("numbers")))
        }
        _ => panic!("bytes in column {}", column.name),
    }
}

/// mysql_common makes strings of DECIMALs in documents, where MySQL prints numbers.
fn of_document(dom: JsonDom) -> serde_json::Value {
    match dom {
        JsonDom::Scalar(JsonScalar::Number(JsonNumber::Decimal(decimal))) => {
            serde_json::from_str(&decimal.to_string()).expect("a number")
        }
        JsonDom::Scalar(scalar) => scalar.into(),
        JsonDom::Container(JsonContainer::Array(members)) => members.into_iter().map(of_document).collect(),
        JsonDom::Container(JsonContainer::Object(members)) => {
            members.into_iter().map(|(key, value)| (key, of_document(value))).collect()
        }
    }
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn decoded(bytes: &[u8], charset: Charset) -> String {
    match charset {
        Charset::Ascii | Charset::Utf8 => utf8(bytes),
        // The palette keeps to the characters that Windows-1252 and ISO 8859-1 share.
        Charset::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Charset::Utf16 => {
            let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            String::from_utf16(&units).expect("UTF-16")
        }
        Charset::Utf32 => {
            let chars = bytes.as_chunks::<4>().0.iter().map(|unit| u32::from_be_bytes(*unit));
            chars.map(|number| char::from_u32(number).expect("UTF-32")).collect()
        }
    }
}
