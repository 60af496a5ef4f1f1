//! Comparisons in conditions: as MySQL would decide them, or not at all.
//!
//! In: two operands that are not NULL. Out: their order, or why they can't be compared, with what to write instead (promise 7: never
//! a silent "no"). Columns have types: a text beside a date is read as one, and a number never equals a text. Between values that
//! come from no column (members of JSON documents, results of filters) the interpreter's own comparison holds. Differences from
//! MySQL are listed in docs/rules.md.

use std::cmp::Ordering;

use super::class::Class;
use super::error::Error;
use super::moment;
use super::operand::{Operand, Scalar};
use super::relation::Relation;
use super::{decimal, operators};

const NUMBER: &str = "a number is compared with numbers, such as 12.5, best written without quotes";
const TEXT: &str = "a text is compared with texts, written in quotes";
const DATE: &str = "write the date as '2026-11-20' or '2026-11-20 12:00:00', without a zone";
const TIMESTAMP: &str = "write the time as '2026-11-20 12:00:00' (UTC) or '2026-11-20 12:00:00+02:00'";
const TIME: &str = "write the time as '09:00:00', with a sign or fraction if need be";
const YEAR: &str = "write the year with four digits, 1901 to 2155";
const ZONES: &str = "a TIMESTAMP is a moment and a DATETIME has no zone; compare TIMESTAMPs with TIMESTAMPs only";
const BYTES: &str = "compare its hex digits, `row.column | hex == '00ff'`, or `row.column | uuid`";
const LABELS_ORDER: &str = "labels have no order in conditions; use `==` or `in [...]`";
const ENUM: &str = "compare with a label in quotes";
const SET: &str = "compare with its labels, 'a,b', or ask `'a' in row.column`";
const PARTS: &str = "compare with one of their members";
const UNKNOWN: &str = "the type of the column is not known for a stored row";
const WITHIN: &str =
    "`in` looks for a piece of a text, a label of a SET or an element of a list; dates are compared with `<` and `>=`";

/// The order of two values. Where no order is asked for, any but `Equal` means "not equal".
pub(super) fn compare(relation: Relation, left: &Operand, right: &Operand) -> Result<Ordering, Error> {
    let answer = match (left.class, right.class) {
        (Class::Any | Class::Json, Class::Any | Class::Json) => return untyped(relation, left, right),
        (Class::Any, _) => typed(relation, right, left).map(Ordering::reverse),
        _ => typed(relation, left, right),
    };
    answer.map_err(|remedy| mismatch(relation.as_str(), left, right, remedy))
}

/// Whether `piece` is part of `whole`: a piece of a text, a label of a SET, an element of a list.
pub(super) fn within(piece: &Operand, whole: &Operand) -> Result<bool, Error> {
    match (piece.class, piece.scalar, whole.class, whole.scalar) {
        (
            Class::Any | Class::Text | Class::Enum | Class::Unknown,
            Scalar::Text(piece),
            Class::Any | Class::Text | Class::Enum | Class::Unknown,
            Scalar::Text(whole),
        ) => Ok(whole.contains(piece)),
        (Class::Any | Class::Text | Class::Enum, Scalar::Text(label), Class::Set, Scalar::Labels(labels)) => {
            Ok(labels.iter().any(|known| **known == *label))
        }
        (_, _, Class::Any, Scalar::Labels(texts)) => {
            for text in texts {
                if compare(Relation::Equal, piece, &Operand::of_text(text))?.is_eq() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(mismatch("in", piece, whole, WITHIN)),
    }
}

/// Of two values that come from no column.
fn untyped(relation: Relation, left: &Operand, right: &Operand) -> Result<Ordering, Error> {
    if let (Scalar::Text(left), Scalar::Text(right)) = (left.scalar, right.scalar) {
        return Ok(left.cmp(right));
    }
    let (left, right) = (left.value(), right.value());
    if relation.orders() {
        return operators::order(relation.as_str(), &left, &right);
    }
    Ok(if operators::equal(&left, &right)? { Ordering::Equal } else { Ordering::Less })
}

/// `column` comes from one; an error is what to write instead.
fn typed(relation: Relation, column: &Operand, other: &Operand) -> Result<Ordering, &'static str> {
    use Class::*;
    match (column.class, other.class) {
        (Enum | Set, _) | (_, Enum | Set) if relation.orders() => Err(LABELS_ORDER),
        (Text | Enum | Unknown, Text | Enum) | (Text | Enum, Unknown | Any) => texts(column, other),
        (Unknown, Any) => unknown(column, other),
        (Unknown, Unknown) if relation.orders() => Err(UNKNOWN),
        (Unknown, Unknown) => texts(column, other),
        (Number | Single | Year, Number | Single | Year) => numbers(column, other),
        (Number | Single, Any) => numbers(column, &other.as_number()),
        (Year, Any) => year(column, other),
        (Date | DateTime, Date | DateTime) | (Timestamp, Timestamp) => {
            Ok(cell_moment(column).ok_or(DATE)?.cmp(&cell_moment(other).ok_or(DATE)?))
        }
        (Date | DateTime, Any) => {
            let reading = other.reading().filter(|reading| reading.utc.is_none()).ok_or(DATE)?;
            Ok(cell_moment(column).ok_or(DATE)?.cmp(&reading.written))
        }
        (Timestamp, Any) => {
            let reading = other.reading().ok_or(TIMESTAMP)?;
            Ok(cell_moment(column).ok_or(TIMESTAMP)?.cmp(&reading.utc.unwrap_or(reading.written)))
        }
        (Time, Time | Any) => Ok(column.duration().ok_or(TIME)?.cmp(&other.duration().ok_or(TIME)?)),
        (Timestamp, Date | DateTime) | (Date | DateTime, Timestamp) => Err(ZONES),
        (Set, Set | Any | Text) | (Text, Set) => labels(column, other).ok_or(SET),
        (Bytes, Bytes) => match (column.scalar, other.scalar) {
            (Scalar::Bytes(left), Scalar::Bytes(right)) => Ok(left.cmp(right)),
            _ => Err(BYTES),
        },
        (Bytes, Any) => match (column.scalar, other.written()) {
            (Scalar::Bytes(bytes), Some(text)) => Ok(bytes.cmp(text.as_bytes())),
            _ => Err(BYTES),
        },
        (kind, _) => Err(remedy(kind)),
    }
}

fn remedy(class: Class) -> &'static str {
    match class {
        Class::Number | Class::Single => NUMBER,
        Class::Year => YEAR,
        Class::Date | Class::DateTime => DATE,
        Class::Timestamp => TIMESTAMP,
        Class::Time => TIME,
        Class::Text | Class::Unknown => TEXT,
        Class::Enum => ENUM,
        Class::Set => SET,
        Class::Bytes => BYTES,
        Class::Json | Class::Opaque | Class::Any => PARTS,
    }
}

/// By code points: bytes of UTF-8 are in the same order.
fn texts(left: &Operand, right: &Operand) -> Result<Ordering, &'static str> {
    match (left.scalar, right.scalar) {
        (Scalar::Text(left), Scalar::Text(right)) => Ok(left.cmp(right)),
        _ => Err(if left.class == Class::Enum { ENUM } else { TEXT }),
    }
}

/// As MySQL compares numbers: exactly, unless a FLOAT or DOUBLE is among them.
fn numbers(left: &Operand, right: &Operand) -> Result<Ordering, &'static str> {
    if let (Some(left), Some(right)) = (left.integer(), right.integer()) {
        return Ok(left.cmp(&right));
    }
    let is_double = |operand: &Operand| operand.class != Class::Any && matches!(operand.scalar, Scalar::Float(_));
    if is_double(left) || is_double(right) {
        return match (left.double(), right.double()) {
            (Some(left), Some(right)) => left.partial_cmp(&right).ok_or(NUMBER),
            _ => Err(NUMBER),
        };
    }
    match (left.digits(), right.digits()) {
        (Some(left), Some(right)) => Ok(decimal::compare(&left, &right)),
        _ => Err(NUMBER),
    }
}

/// MySQL turns other numbers and texts beside a YEAR into years in ways that few expect.
fn year(column: &Operand, other: &Operand) -> Result<Ordering, &'static str> {
    let number = match other.scalar {
        Scalar::Text(text) if text.len() == 4 => text.parse().ok(),
        Scalar::Int(number) => Some(i128::from(number)),
        Scalar::Uint(number) => Some(i128::from(number)),
        _ => None,
    };
    let number = number.filter(|number| (1901..=2155).contains(number)).ok_or(YEAR)?;
    Ok(column.integer().ok_or(YEAR)?.cmp(&number))
}

fn cell_moment(cell: &Operand) -> Option<moment::Moment> {
    match cell.scalar {
        Scalar::Text(text) => moment::of_cell(text),
        _ => None,
    }
}

/// The labels of a SET against those of another, a list, or a text that lists them with commas between.
fn labels(left: &Operand, right: &Operand) -> Option<Ordering> {
    let equal = match (left.scalar, right.scalar) {
        (Scalar::Labels(left), Scalar::Labels(right)) => left == right,
        (Scalar::Labels(labels), Scalar::Text(text)) | (Scalar::Text(text), Scalar::Labels(labels)) => {
            is_joined(text, labels)
        }
        (Scalar::Labels(_), Scalar::Other(list)) => {
            operators::equal(&left.value(), list).ok().filter(|_| list.kind() == minijinja::value::ValueKind::Seq)?
        }
        _ => return None,
    };
    Some(if equal { Ordering::Equal } else { Ordering::Less })
}

/// Whether the text is these labels with commas between.
fn is_joined(text: &str, labels: &[Box<str>]) -> bool {
    let mut rest = Some(text);
    for (place, label) in labels.iter().enumerate() {
        let begun = if place == 0 { rest } else { rest.and_then(|rest| rest.strip_prefix(',')) };
        rest = begun.and_then(|rest| rest.strip_prefix(&**label));
    }
    rest == Some("")
}

/// A stored row doesn't say whether a text is one, or a date or a time. Where both readings say the same, that is the answer.
fn unknown(cell: &Operand, literal: &Operand) -> Result<Ordering, &'static str> {
    let as_text = texts(cell, literal)?;
    let as_moment = cell_moment(cell).zip(literal.reading());
    let as_moment = as_moment.map(|(cell, reading)| cell.cmp(&reading.utc.unwrap_or(reading.written)));
    let as_time = cell.duration().zip(literal.duration()).map(|(cell, literal)| cell.cmp(&literal));
    let agrees = |other: Option<Ordering>| other.is_none_or(|other| other == as_text);
    if agrees(as_moment) && agrees(as_time) { Ok(as_text) } else { Err(UNKNOWN) }
}

fn mismatch(operator: &'static str, left: &Operand, right: &Operand, fix: &'static str) -> Error {
    let kind = |operand: &Operand| match (operand.class.describe(), operand.scalar) {
        (_, Scalar::Decimal(_)) => "a DECIMAL".to_string(),
        (Some(column), _) => column.to_string(),
        (None, Scalar::Null) => "NULL".to_string(),
        (None, Scalar::Bool(_)) => "a bool".to_string(),
        (None, Scalar::Int(_) | Scalar::Uint(_) | Scalar::Float(_)) => "a number".to_string(),
        (None, Scalar::Text(_)) => "a string".to_string(),
        (None, Scalar::Bytes(_)) => "bytes".to_string(),
        (None, Scalar::Labels(_)) => "a list".to_string(),
        (None, Scalar::Other(value)) => operators::kind_of(value),
    };
    Error::Operator { operator, left: kind(left), right: kind(right), fix }
}
