//! Column types as conditions tell them apart.
//!
//! In: a column's [`ColumnKind`], or what a cell holds where the kind is not known. Out: a [`Class`], which says what a value may be
//! compared with and how.

use crate::change::Value as CellValue;
use crate::column::ColumnKind;
use crate::column::charset::Charset;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// No column: a literal, a name, the result of a filter, a member of a JSON document.
    Any,
    /// Integers, BIT, DECIMAL and DOUBLE.
    Number,
    /// FLOAT, whose values are compared as the doubles that they are.
    Single,
    Year,
    Date,
    DateTime,
    Timestamp,
    Time,
    Text,
    /// BINARY, VARBINARY, BLOB.
    Bytes,
    Enum,
    Set,
    Json,
    /// VECTOR and spatial types.
    Opaque,
    /// Text of a column whose type is not known: a stored row. It may be a date or a time.
    Unknown,
}

impl Class {
    pub fn of(kind: &ColumnKind) -> Class {
        match kind {
            ColumnKind::Int { .. } | ColumnKind::Double | ColumnKind::Decimal { .. } | ColumnKind::Bit { .. } => {
                Class::Number
            }
            ColumnKind::Float => Class::Single,
            ColumnKind::Year => Class::Year,
            ColumnKind::Date => Class::Date,
            ColumnKind::DateTime { .. } => Class::DateTime,
            ColumnKind::Timestamp { .. } => Class::Timestamp,
            ColumnKind::Time { .. } => Class::Time,
            ColumnKind::Text { charset: Charset::Binary, .. } => Class::Bytes,
            ColumnKind::Text { .. } => Class::Text,
            ColumnKind::Enum { .. } => Class::Enum,
            ColumnKind::Set { .. } => Class::Set,
            ColumnKind::Json { .. } => Class::Json,
            ColumnKind::Opaque { .. } | ColumnKind::Unsupported { .. } => Class::Opaque,
        }
    }

    /// Of a cell whose column's kind is not known.
    pub fn of_cell(cell: &CellValue) -> Class {
        match cell {
            CellValue::Null => Class::Any,
            CellValue::Int(_) | CellValue::Uint(_) | CellValue::Double(_) | CellValue::Decimal(_) => Class::Number,
            CellValue::Float(_) => Class::Single,
            CellValue::Text(_) => Class::Unknown,
            CellValue::Bytes(_) => Class::Bytes,
            CellValue::Labels(_) => Class::Set,
            CellValue::Json(_) => Class::Json,
        }
    }

    /// For messages; none for what is no column.
    pub fn describe(self) -> Option<&'static str> {
        Some(match self {
            Class::Any => return None,
            Class::Number => "a number column",
            Class::Single => "a FLOAT column",
            Class::Year => "a YEAR column",
            Class::Date => "a DATE column",
            Class::DateTime => "a DATETIME column",
            Class::Timestamp => "a TIMESTAMP column",
            Class::Time => "a TIME column",
            Class::Text | Class::Unknown => "a text column",
            Class::Bytes => "a binary column",
            Class::Enum => "an ENUM column",
            Class::Set => "a SET column",
            Class::Json => "a JSON column",
            Class::Opaque => "a VECTOR or spatial column",
        })
    }
}
