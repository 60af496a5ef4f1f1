//! How values turn into text and JSON.
//!
//! In: cells of a row and values of the expression language. Out: text, in which NULL has no place, or JSON in the forms
//! of docs/data-format.md. Everything is bounded by `TEXT_BYTES_MAX`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use minijinja::value::{Value, ValueKind};

use super::decimal::as_decimal;
use super::error::Error;
use super::scope::RowObject;
use super::{TEXT_BYTES_MAX, omit};
use crate::change::{Value as CellValue, json};

pub(super) fn within_limit(bytes: usize) -> Result<(), Error> {
    if bytes > TEXT_BYTES_MAX { Err(Error::TooLarge { limit_bytes: TEXT_BYTES_MAX }) } else { Ok(()) }
}

/// What takes text: a buffer, or a writer that escapes on the way into one.
pub(super) trait TextOut {
    /// Appends the text. Err: the text can't be written there.
    fn put(&mut self, text: &str) -> Result<(), Error>;

    /// Appends the digits of a number with sign and point, which nothing escapes.
    fn put_digits(&mut self, digits: &str) -> Result<(), Error> {
        self.put(digits)
    }

    /// The length of the buffer in bytes, with what stood there before.
    fn len(&self) -> usize;
}

impl TextOut for String {
    fn put(&mut self, text: &str) -> Result<(), Error> {
        self.push_str(text);
        Ok(())
    }

    fn len(&self) -> usize {
        String::len(self)
    }
}

impl TextOut for Vec<u8> {
    fn put(&mut self, text: &str) -> Result<(), Error> {
        self.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn len(&self) -> usize {
        Vec::len(self)
    }
}

/// A cell as part of a text: a JSON document as its text, a SET as a JSON array.
pub(super) fn write_cell(value: &CellValue, out: &mut impl TextOut) -> Result<(), Error> {
    match value {
        CellValue::Null => Err(Error::Null),
        CellValue::Text(text) | CellValue::Json(text) => out.put(text),
        CellValue::Decimal(digits) => out.put_digits(digits),
        CellValue::Int(number) => out.put_digits(itoa::Buffer::new().format(*number)),
        CellValue::Uint(number) => out.put_digits(itoa::Buffer::new().format(*number)),
        CellValue::Bytes(bytes) => out.put(&BASE64.encode(bytes)),
        CellValue::Float(_) | CellValue::Double(_) | CellValue::Labels(_) => {
            let mut json = Vec::new();
            json::write_value(value, &mut json);
            out.put(&String::from_utf8_lossy(&json))
        }
    }
}

/// A value as part of a text; lists and maps as JSON.
pub(super) fn write_text(value: &Value, out: &mut impl TextOut) -> Result<(), Error> {
    let begin = out.len();
    if let Some(decimal) = as_decimal(value) {
        return out.put(decimal.as_str());
    }
    match (value.kind(), value.as_str()) {
        (_, Some(text)) => out.put(text)?,
        (ValueKind::Undefined, _) => return Err(Error::Undefined { path: None }),
        (ValueKind::None, _) => return Err(Error::Null),
        _ => {
            let mut json = Vec::new();
            write_json(value, &mut json)?;
            out.put(&String::from_utf8_lossy(&json))?;
        }
    }
    within_limit(out.len() - begin)
}

/// A value as JSON; a DECIMAL as a string, as everywhere in the data format.
pub(super) fn write_json(value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    write_json_within(value, out.len() + TEXT_BYTES_MAX, out)
}

/// As `write_json`, up to this length of `out`.
fn write_json_within(value: &Value, end_max: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    if let Some(decimal) = as_decimal(value) {
        match decimal.is_of_document() {
            true => out.extend_from_slice(decimal.as_str().as_bytes()),
            false => json::write_str(decimal.as_str(), out),
        }
        return Ok(());
    }
    if omit::is_omit(value) {
        return Err(Error::Omitted);
    }
    if let Some(row) = value.downcast_object_ref::<RowObject>() {
        row.write_json(out);
        return Ok(());
    }
    match (value.kind(), value.as_str()) {
        (_, Some(text)) => json::write_str(text, out),
        (ValueKind::Undefined, _) => return Err(Error::Undefined { path: None }),
        (ValueKind::None, _) => out.extend_from_slice(b"null"),
        (ValueKind::Bool, _) => out.extend_from_slice(if value.is_true() { b"true" } else { b"false" }),
        (ValueKind::Number, _) => write_number(value, out),
        (ValueKind::Map, _) => {
            out.push(b'{');
            for (i, key) in iterate(value)?.enumerate() {
                separate(i, out);
                json::write_str(&key.to_string(), out);
                out.push(b':');
                write_json_within(&value.get_item(&key).unwrap_or_default(), end_max, out)?;
                if out.len() > end_max {
                    return Err(Error::TooLarge { limit_bytes: TEXT_BYTES_MAX });
                }
            }
            out.push(b'}');
        }
        _ => {
            out.push(b'[');
            for (i, item) in iterate(value)?.enumerate() {
                separate(i, out);
                write_json_within(&item, end_max, out)?;
                if out.len() > end_max {
                    return Err(Error::TooLarge { limit_bytes: TEXT_BYTES_MAX });
                }
            }
            out.push(b']');
        }
    }
    Ok(())
}

pub(super) fn iterate(value: &Value) -> Result<minijinja::value::ValueIter, Error> {
    value.try_iter().map_err(|error| Error::from_engine(&error, "value"))
}

fn write_number(value: &Value, out: &mut Vec<u8>) {
    if value.is_integer() {
        return out.extend_from_slice(value.to_string().as_bytes());
    }
    // A calculation may give an infinity, for which JSON has no number.
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_finite() => out.extend_from_slice(format!("{number:?}").as_bytes()),
        _ => out.extend_from_slice(b"null"),
    }
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

/// A buffer that refuses to grow beyond `TEXT_BYTES_MAX`.
pub(super) struct Bounded(pub Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
