//! A cell: the value that a row image has for a column, or none.
//!
//! Plain data, in the forms of docs/data-format.md; made by `column` from bytes of the log.

/// One column of a row image. With `binlog_row_image=MINIMAL` a column may not be in the image at all, which is not
/// the same as NULL.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Absent,
    Value(Value),
}

/// A column's value in the form that DESIGN's data format (docs/data-format.md) gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    /// Signed integers, and YEAR.
    Int(i64),
    /// Unsigned integers, and BIT.
    Uint(u64),
    Float(f32),
    Double(f64),
    /// Exact text with the column's scale, for example `12.30`.
    Decimal(Box<str>),
    /// Character data, ENUM labels, and dates and times as docs/data-format.md prints them.
    Text(Box<str>),
    /// BINARY, VARBINARY, BLOB.
    Bytes(Box<[u8]>),
    /// The labels of a SET, in the column's order.
    Labels(Box<[Box<str>]>),
    /// A JSON document as JSON text; also VECTOR, and spatial values as GeoJSON.
    Json(Box<str>),
}
