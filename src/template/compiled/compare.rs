//! Comparisons of two values, as `operators` defines them for the values of the interpreter.
//!
//! In: two operands. Out: whether they stand in the relation, or the error that `operators` gives. DECIMALs are compared
//! by their digits. Pairs of numbers that are not both integers go through the interpreter's own comparison, for its
//! rules at the edge of what a double holds are many.

use std::cmp::Ordering;

use minijinja::value::Value;

use super::term::{Operand, Scalar};
use crate::template::error::Error;
use crate::template::{decimal, operators};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    /// The left text is a piece of the right one.
    Within,
}

impl Relation {
    pub(super) fn holds(self, left: &Operand, right: &Operand) -> Result<bool, Error> {
        Ok(match self {
            Relation::Equal => equal(left, right)?,
            Relation::Unequal => !equal(left, right)?,
            Relation::Less => order("<", left, right)?.is_lt(),
            Relation::AtMost => order("<=", left, right)?.is_le(),
            Relation::Greater => order(">", left, right)?.is_gt(),
            Relation::AtLeast => order(">=", left, right)?.is_ge(),
            Relation::Within => match (left.scalar, right.scalar) {
                (Scalar::Text(piece), Scalar::Text(text)) => text.contains(piece),
                _ => return Err(mismatch("in", left, right, operators::MEND_IN)),
            },
        })
    }
}

fn equal(left: &Operand, right: &Operand) -> Result<bool, Error> {
    Ok(match (left.scalar, right.scalar) {
        (Scalar::Null, Scalar::Null) => true,
        (Scalar::Null, _) | (_, Scalar::Null) => false,
        (Scalar::Decimal(_), _) | (_, Scalar::Decimal(_)) => match (left.digits(), right.digits()) {
            (Some(left), Some(right)) => decimal::compare(&left, &right).is_eq(),
            _ => return Err(mismatch("==", left, right, operators::MEND_EQUAL)),
        },
        (Scalar::Text(left), Scalar::Text(right)) => left == right,
        (Scalar::Text(_), _) | (_, Scalar::Text(_)) => false,
        (left, right) => match (integer(left), integer(right)) {
            (Some(left), Some(right)) => left == right,
            _ => engine(left) == engine(right),
        },
    })
}

fn order(operator: &'static str, left: &Operand, right: &Operand) -> Result<Ordering, Error> {
    let ordering = match (left.scalar, right.scalar) {
        (Scalar::Decimal(_), _) | (_, Scalar::Decimal(_)) => match (left.digits(), right.digits()) {
            (Some(left), Some(right)) => Some(decimal::compare(&left, &right)),
            _ => None,
        },
        (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
        (Scalar::Bool(left), Scalar::Bool(right)) => Some(left.cmp(&right)),
        (Scalar::Null | Scalar::Text(_) | Scalar::Bool(_), _)
        | (_, Scalar::Null | Scalar::Text(_) | Scalar::Bool(_)) => None,
        (left, right) => Some(match (integer(left), integer(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => engine(left).cmp(&engine(right)),
        }),
    };
    ordering.ok_or_else(|| mismatch(operator, left, right, operators::MEND_ORDER))
}

fn integer(scalar: Scalar) -> Option<i128> {
    match scalar {
        Scalar::Int(number) => Some(number.into()),
        Scalar::Uint(number) => Some(number.into()),
        _ => None,
    }
}

/// The value as the interpreter has it.
fn engine(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::from(()),
        Scalar::Bool(truth) => Value::from(truth),
        Scalar::Int(number) => Value::from(number),
        Scalar::Uint(number) => Value::from(number),
        Scalar::Float(number) => Value::from(number),
        Scalar::Decimal(text) | Scalar::Text(text) => Value::from(text),
    }
}

fn mismatch(operator: &'static str, left: &Operand, right: &Operand, mend: &'static str) -> Error {
    let kind = |operand: &Operand| {
        match operand.scalar {
            Scalar::Null => "NULL",
            Scalar::Bool(_) => "a bool",
            Scalar::Int(_) | Scalar::Uint(_) | Scalar::Float(_) => "a number",
            Scalar::Decimal(_) => "a DECIMAL",
            Scalar::Text(_) => "a string",
        }
        .to_string()
    };
    Error::Operator { operator, left: kind(left), right: kind(right), mend }
}
