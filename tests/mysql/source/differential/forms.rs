//! One form for values of all readers: text, so that a difference can be shown and nothing is compared by accident.
//!
//! In: what rowhook's reader made of a value; in the peers' files the same for theirs. Out: a text per cell, `None` for
//! NULL. Floating point numbers become their bits, bytes hexadecimal digits, JSON numbers their value. Formats dates
//! itself and not with rowhook's code, which is what is under test.

use std::fmt::Write as _;

use rowhook::change::{Cell, Change, Op, Row, Value};

pub type Image = Vec<Option<String>>;

#[derive(Debug, PartialEq)]
pub struct Seen {
    pub op: Op,
    pub before: Option<Image>,
    pub after: Option<Image>,
}

/// A transaction with rows of the compared table.
#[derive(Debug, PartialEq)]
pub struct Transaction {
    pub gtid: String,
    pub rows: Vec<Seen>,
}

/// What one reader made of a file, or of the same transactions over the wire.
#[derive(Debug, Default)]
pub struct Reading {
    pub columns: Vec<String>,
    pub transactions: Vec<Transaction>,
}

impl Reading {
    /// Adds a row; consecutive rows of a transaction belong together.
    pub fn push(&mut self, gtid: &str, row: Seen) {
        match self.transactions.last_mut().filter(|last| last.gtid == gtid) {
            Some(last) => last.rows.push(row),
            None => self.transactions.push(Transaction { gtid: gtid.to_string(), rows: vec![row] }),
        }
    }

    pub fn rows(&self) -> usize {
        self.transactions.iter().map(|transaction| transaction.rows.len()).sum()
    }
}

pub fn of_changes(changes: &[Change]) -> Reading {
    let mut reading = Reading::default();
    for change in changes {
        if reading.columns.is_empty() {
            reading.columns = change.table.columns.iter().map(|name| name.to_string()).collect();
        }
        let gtid = change.transaction.gtid.as_ref().expect("the server has GTIDs").to_string();
        let image = |row: &Option<Row>| row.as_ref().map(image);
        reading.push(&gtid, Seen { op: change.op, before: image(&change.before), after: image(&change.after) });
    }
    reading
}

fn image(row: &Row) -> Image {
    let cell = |cell: Cell| match cell {
        Cell::Absent => panic!("row images are full"),
        Cell::Value(value) => of_value(&value),
    };
    row.cells().into_iter().map(cell).collect()
}

fn of_value(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Double(number) => double(*number),
        Value::Decimal(text) | Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => hex(bytes),
        Value::Labels(labels) => labels.join(","),
        Value::Json(text) => json(&serde_json::from_str(text).expect("valid JSON")),
    })
}

pub fn float(number: f32) -> String {
    format!("float {:08x}", number.to_bits())
}

pub fn double(number: f64) -> String {
    format!("double {:016x}", number.to_bits())
}

pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string");
    }
    text
}

/// Members sorted, whole numbers exact, other numbers by their value as a double.
pub fn json(value: &serde_json::Value) -> String {
    use serde_json::Value::{Array, Number, Object};
    match value {
        Number(number) => {
            let text = number.to_string();
            match text.parse::<i128>() {
                Ok(whole) => whole.to_string(),
                Err(_) => double(text.parse().expect("a JSON number")),
            }
        }
        Array(members) => format!("[{}]", members.iter().map(json).collect::<Vec<_>>().join(",")),
        Object(members) => {
            let mut texts: Vec<String> =
                members.iter().map(|(key, value)| format!("{key:?}:{}", json(value))).collect();
            texts.sort();
            format!("{{{}}}", texts.join(","))
        }
        other => other.to_string(),
    }
}

/// `.123` for 123 456 us and three digits; nothing for no digits.
pub fn fraction(us: u32, digits: usize) -> String {
    if digits == 0 { String::new() } else { format!(".{}", &format!("{us:06}")[..digits]) }
}

pub fn date(year: u16, month: u8, day: u8) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

pub fn clock(hour: u32, minute: u8, second: u8) -> String {
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// A TIMESTAMP; zero is MySQL's zero date, because '1970-01-01 00:00:00' is not allowed.
pub fn timestamp(seconds: u64, us: u32, digits: usize) -> String {
    if seconds == 0 {
        return format!("0000-00-00T00:00:00{}Z", fraction(0, digits));
    }
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    format!("{}{}Z", text.trim_end_matches('Z'), fraction(us, digits))
}

/// The label of an ENUM's index; 0 is MySQL's invalid value.
pub fn label(labels: &[&str], index: u64) -> String {
    match index {
        0 => String::new(),
        index => labels[index as usize - 1].to_string(),
    }
}

pub fn labels(labels: &[&str], mask: u64) -> String {
    let chosen = labels.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, label)| *label);
    chosen.collect::<Vec<_>>().join(",")
}
