//! What a column can hold at all, against a literal that is of the right kind.
//!
//! In: a relation, a column's kind and a literal. Out: what the column holds, where no value of it can stand in the relation to the
//! literal: a number beyond the type, more decimals than the column has, a time of day beside a DATE.

use std::cmp::Ordering;

use super::decimal;
use super::moment;
use super::operand::Literal;
use super::relation::Relation;
use crate::column::ColumnKind;
use crate::printable::shortened;

/// Of a literal in a message.
const LITERAL_CHARS_MAX: usize = 60;

/// What is wrong with `column RELATION literal`, if no value of the column meets it. With `!=` it is asked whether they could be
/// equal.
pub(super) fn beyond(name: &str, relation: Relation, kind: &ColumnKind, literal: &Literal) -> Option<String> {
    let holds = match kind {
        ColumnKind::Time { .. } => {
            // In lists, and beside a `TIME'…'`, it is not rounded.
            let holds = time_beyond(kind, literal)?;
            let literal = wanted(Relation::Equal, literal);
            return Some(format!(
                "column `{name}` holds {holds}, to which MySQL rounds {literal}; write no more decimals than the column has"
            ));
        }
        ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
            (!relation.orders()).then(|| time_beyond(kind, literal)).flatten()?
        }
        _ => number_beyond(relation, kind, &literal.operand().as_number().digits()?)?,
    };
    Some(format!("column `{name}` is never {}: it holds {holds}", wanted(relation, literal)))
}

/// The relation and the literal, for a message.
fn wanted(relation: Relation, literal: &Literal) -> String {
    let text = match (literal.text(), literal.operand().digits()) {
        (Some(text), _) => format!("'{text}'"),
        (None, digits) => digits.map(String::from).unwrap_or_default(),
    };
    let text = shortened(&text, LITERAL_CHARS_MAX);
    if relation.orders() { format!("{} {text}", relation.as_str()) } else { text }
}

fn number_beyond(relation: Relation, kind: &ColumnKind, digits: &str) -> Option<String> {
    let (least, greatest) = bounds(kind)?;
    let decimals_max = match kind {
        ColumnKind::Decimal { scale, .. } => *scale,
        _ => 0,
    };
    let is_met = match relation {
        Relation::Less => decimal::compare(&least, digits).is_lt(),
        Relation::AtMost => decimal::compare(&least, digits).is_le(),
        Relation::Greater => decimal::compare(&greatest, digits).is_gt(),
        Relation::AtLeast => decimal::compare(&greatest, digits).is_ge(),
        Relation::Equal | Relation::Unequal => {
            decimal::compare(&least, digits) != Ordering::Greater
                && decimal::compare(&greatest, digits) != Ordering::Less
                && decimals(digits) <= decimals_max
        }
    };
    (!is_met).then(|| match kind {
        ColumnKind::Decimal { scale, .. } => format!("numbers from {least} to {greatest} with {scale} decimals"),
        _ => format!("whole numbers from {least} to {greatest}"),
    })
}

/// The least and the greatest number that the column holds.
pub(super) fn bounds(kind: &ColumnKind) -> Option<(String, String)> {
    Some(match kind {
        ColumnKind::Int { bytes, unsigned } => {
            let bits = u32::try_from(8 * bytes).ok()?;
            if *unsigned {
                ("0".to_string(), ((1u128 << bits) - 1).to_string())
            } else {
                ((-(1i128 << (bits - 1))).to_string(), ((1i128 << (bits - 1)) - 1).to_string())
            }
        }
        ColumnKind::Bit { bits } => ("0".to_string(), ((1u128 << bits) - 1).to_string()),
        ColumnKind::Decimal { precision, scale } => {
            let whole = "9".repeat(precision.checked_sub(*scale)?);
            let whole = if whole.is_empty() { "0" } else { &whole };
            let greatest = if *scale == 0 { whole.to_string() } else { format!("{whole}.{}", "9".repeat(*scale)) };
            (format!("-{greatest}"), greatest)
        }
        _ => return None,
    })
}

/// Digits after the point that count.
fn decimals(digits: &str) -> usize {
    digits.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len())
}

fn time_beyond(kind: &ColumnKind, literal: &Literal) -> Option<String> {
    let operand = literal.operand();
    let (micros, is_midnight) = match kind {
        ColumnKind::Time { .. } => (operand.duration()? % moment::MICROS_PER_SECOND, true),
        _ => {
            let reading = operand.reading()?.written;
            (i64::try_from(reading.micros()).ok()?, reading.is_midnight())
        }
    };
    let digits = match kind {
        ColumnKind::Date if !is_midnight => return Some("days without a time of day".to_string()),
        ColumnKind::Time { digits } | ColumnKind::DateTime { digits } | ColumnKind::Timestamp { digits } => *digits,
        _ => 0,
    };
    let unit = 10i64.pow(u32::try_from(6usize.saturating_sub(digits)).ok()?);
    (micros % unit != 0).then(|| match digits {
        0 => "whole seconds".to_string(),
        digits => format!("seconds with {digits} decimals"),
    })
}
