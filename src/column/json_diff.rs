//! Partial updates of JSON columns (`binlog_row_value_options=PARTIAL_JSON`, event type 39).
//!
//! In: the part of an after image that says which columns are partial, the document before the update, and the list of
//! differences that the log has in place of the document after it (the server's `sql/json_diff.cc`). Out: that document, in
//! the form of [`super::json::text`]. A difference that does not fit the document is a [`Fault`], never skipped
//! (promise 7). Only the containers that lie on a path are taken apart; all else stays text, so numbers stay exact.

mod document;
mod path;

use super::bytes::{Bytes, Truncated};
use super::json;
use super::{Cell, ColumnKind, Fault, Value};

use document::Document;
use path::JsonPath;

/// The bit of the value options that says that partial columns follow (`PARTIAL_JSON_UPDATES`).
const PARTIAL_JSON: u64 = 1;

/// Which columns of an after image are partial, one entry per column of the table.
///
/// To be called for events of type 39 only, when the before image is read and the after image comes next: takes the
/// value options and, if they say so, the bitmap, and leaves `bytes` at the after image's NULL bitmap. The bitmap has a
/// bit for each JSON column of the table, also for those that are not in the image. A column that is NULL in the after
/// image is never read, whatever its bit.
pub fn partial_columns(bytes: &mut Bytes<'_>, kinds: &[ColumnKind]) -> Result<Vec<bool>, Fault> {
    let options = bytes.lenenc()?;
    if options & !PARTIAL_JSON != 0 {
        let fix = "this server writes row options that this version of rowhook does not know; upgrade rowhook";
        return Err(Fault::new(format!("row value options {options}"), fix));
    }
    if options == 0 {
        return Ok(vec![false; kinds.len()]);
    }
    let is_json = |kind: &&ColumnKind| matches!(kind, ColumnKind::Json { .. });
    let bits = bytes.take(kinds.iter().filter(is_json).count().div_ceil(8))?;
    let mut places = 0..;
    let partial = kinds.iter().map(|kind| {
        let place: Option<usize> = if is_json(&kind) { places.next() } else { None };
        place.is_some_and(|place| bits[place / 8] >> (place % 8) & 1 == 1)
    });
    Ok(partial.collect())
}

/// The cell of a partial column that is not NULL, read from where an ordinary value would stand; absent where the before
/// image lacks the column, so that there is nothing to apply the differences to.
///
/// `length_bytes` is that of its [`ColumnKind::Json`], `before` the same column's cell in the before image.
pub fn cell(length_bytes: usize, before: &Cell, bytes: &mut Bytes<'_>) -> Result<Cell, Fault> {
    let length = bytes.le(length_bytes)? as usize;
    let diffs = bytes.take(length)?;
    match before {
        Cell::Value(Value::Json(before)) => Ok(Cell::Value(Value::Json(apply(before, diffs)?.into()))),
        Cell::Absent => Ok(Cell::Absent),
        Cell::Value(_) => Err(misfit("a value that is no document")),
    }
}

/// The document after the update. Without any difference it is the one before, as the log says it of a column that did
/// not change.
pub fn apply(before: &str, diffs: &[u8]) -> Result<String, Fault> {
    let mut document = Document::of(before);
    let mut bytes = Bytes(diffs);
    while !bytes.is_empty() {
        let operation = bytes.u8()?;
        let path = JsonPath::parse(bytes.lenenc_bytes()?)?;
        match operation {
            0 => document.replace(&path, changed(&mut bytes)?)?,
            1 => document.insert(&path, changed(&mut bytes)?)?,
            2 => document.remove(&path)?,
            other => return Err(Fault::new(format!("a partial JSON update with operation {other}"), "")),
        }
    }
    Ok(document.text())
}

/// The value of a REPLACE or INSERT, as text.
fn changed(bytes: &mut Bytes<'_>) -> Result<String, Fault> {
    match bytes.lenenc_bytes()? {
        [] => Err(Truncated.into()),
        value => json::text(value),
    }
}

fn misfit(what: &str) -> Fault {
    Fault::new(format!("a partial JSON update of {what}"), "")
}

#[cfg(test)]
mod tests;
