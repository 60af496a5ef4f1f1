//! Operators that must not be silently wrong: comparison, arithmetic, joining of text.
//!
//! In: operands from an expression. Out: what the engine's own operators would give, with three differences: DECIMAL
//! counts as an exact number, ordering values of different kinds is an error (the engine would order them by kind, so
//! that NULL is less than every number), and NULL is an error in text. `rewrite` puts these in the operators' place in
//! templates; conditions have those of `nulls`.

use std::cmp::Ordering;

use minijinja::Environment;
use minijinja::value::{Value, ValueKind};

use super::decimal::{Decimal, as_decimal};
use super::error::Error;
use super::{TEXT_BYTES_MAX, output};

const FIX_EQUAL: &str = "a DECIMAL compares with numbers, written without quotes";
const FIX_ORDER: &str = "guard it, for example with `row.column is not none and …`, or convert one side";
const FIX_IN: &str = "the right side must be a list, or both sides texts";

/// What the engine expects of a function.
pub(super) type EngineOutcome<T> = Result<T, minijinja::Error>;

/// Puts everything here into an environment under the names that `rewrite` writes.
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_function("_eq", |a: &Value, b: &Value| equal(a, b).map_err(Error::into_engine));
    env.add_function("_ne", |a: &Value, b: &Value| equal(a, b).map(|same| !same).map_err(Error::into_engine));
    env.add_function("_lt", |a: &Value, b: &Value| ordered("<", a, b, Ordering::is_lt));
    env.add_function("_le", |a: &Value, b: &Value| ordered("<=", a, b, Ordering::is_le));
    env.add_function("_gt", |a: &Value, b: &Value| ordered(">", a, b, Ordering::is_gt));
    env.add_function("_ge", |a: &Value, b: &Value| ordered(">=", a, b, Ordering::is_ge));
    env.add_function("_in", |a: &Value, b: &Value| contains(a, b).map_err(Error::into_engine));
    env.add_function("_add", |a: &Value, b: &Value| add(a, b).map_err(Error::into_engine));
    env.add_function("_sub", |a: &Value, b: &Value| subtract(a, b).map_err(Error::into_engine));
    env.add_function("_mul", |a: &Value, b: &Value| multiply(a, b).map_err(Error::into_engine));
    env.add_function("_neg", |a: &Value| subtract(&Value::from(0), a).map_err(Error::into_engine));
    env.add_function("_float", as_float);
    env.add_function("_whole", |a: &Value| whole(a).map_err(Error::into_engine));
    env.add_function("_concat", |a: &Value, b: &Value| concat(a, b).map_err(Error::into_engine));
    env.add_function("_decimal", |a: &str| Decimal::parse(a).map(Value::from_object).unwrap_or_default());
    env.add_test("containing", |text: &str, piece: &str| text.contains(piece));
    env.add_test("number", |value: &Value| value.is_number() || as_decimal(value).is_some());
}

/// The value as an exact number, if it is a number at all.
pub(super) fn number(value: &Value) -> Option<Decimal> {
    if let Some(decimal) = as_decimal(value) {
        return Some(decimal.clone());
    }
    if !value.is_number() {
        return None;
    }
    match i128::try_from(value.clone()) {
        Ok(integer) if value.is_integer() => Some(Decimal::from_i128(integer)),
        _ => f64::try_from(value.clone()).ok().and_then(Decimal::from_f64),
    }
}

pub(super) fn defined(a: &Value, b: &Value) -> Result<(), Error> {
    // An invalid value is a lookup that failed inside a list.
    let has_none = |value: &Value| matches!(value.kind(), ValueKind::Undefined | ValueKind::Invalid);
    if has_none(a) || has_none(b) { Err(Error::Undefined { path: None }) } else { Ok(()) }
}

fn mismatch(operator: &'static str, a: &Value, b: &Value, fix: &'static str) -> Error {
    Error::Operator { operator, left: kind_of(a), right: kind_of(b), fix }
}

pub(super) fn kind_of(value: &Value) -> String {
    if as_decimal(value).is_some() {
        return "a DECIMAL".to_string();
    }
    match value.kind() {
        ValueKind::None => "NULL".to_string(),
        kind => format!("a {kind}"),
    }
}

pub(super) fn equal(a: &Value, b: &Value) -> Result<bool, Error> {
    defined(a, b)?;
    if as_decimal(a).is_some() || as_decimal(b).is_some() {
        if a.is_none() || b.is_none() {
            return Ok(false);
        }
        return match (number(a), number(b)) {
            (Some(a), Some(b)) => Ok(a == b),
            _ => Err(mismatch("==", a, b, FIX_EQUAL)),
        };
    }
    if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq {
        if a.len() != b.len() {
            return Ok(false);
        }
        let pairs = a.try_iter().into_iter().flatten().zip(b.try_iter().into_iter().flatten());
        for (a, b) in pairs {
            if !equal(&a, &b)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(a == b)
}

pub(super) fn order(operator: &'static str, a: &Value, b: &Value) -> Result<Ordering, Error> {
    defined(a, b)?;
    if as_decimal(a).is_some() || as_decimal(b).is_some() {
        if let (Some(a), Some(b)) = (number(a), number(b)) {
            return Ok(a.cmp(&b));
        }
    } else if a.kind() == b.kind() && matches!(a.kind(), ValueKind::Number | ValueKind::String | ValueKind::Bool) {
        return Ok(a.cmp(b));
    }
    Err(mismatch(operator, a, b, FIX_ORDER))
}

fn ordered(operator: &'static str, a: &Value, b: &Value, holds: fn(Ordering) -> bool) -> EngineOutcome<bool> {
    order(operator, a, b).map(holds).map_err(Error::into_engine)
}

/// `needle in container`: a piece of a text, an element of a list, a key of a map.
fn contains(needle: &Value, container: &Value) -> Result<bool, Error> {
    defined(needle, container)?;
    match (container.kind(), needle.as_str()) {
        (ValueKind::String, Some(piece)) => Ok(container.as_str().is_some_and(|text| text.contains(piece))),
        (ValueKind::Seq | ValueKind::Map | ValueKind::Iterable, _) => {
            for item in container.try_iter().map_err(|_| Error::Undefined { path: None })? {
                if equal(needle, &item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(mismatch("in", needle, container, FIX_IN)),
    }
}

pub(super) fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    defined(a, b)?;
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        return joined([left, right]);
    }
    calculate("+", a, b, i128::checked_add, |a, b| a + b, Decimal::checked_add)
}

pub(super) fn subtract(a: &Value, b: &Value) -> Result<Value, Error> {
    defined(a, b)?;
    calculate("-", a, b, i128::checked_sub, |a, b| a - b, |a, b| a.checked_add(&b.checked_neg()?))
}

pub(super) fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    defined(a, b)?;
    calculate("*", a, b, i128::checked_mul, |a, b| a * b, Decimal::checked_mul)
}

fn calculate(
    operator: &'static str,
    a: &Value,
    b: &Value,
    integers: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
    decimals: fn(&Decimal, &Decimal) -> Option<Decimal>,
) -> Result<Value, Error> {
    let inexact = Error::Inexact { operator };
    if as_decimal(a).is_some() || as_decimal(b).is_some() {
        if let (Some(a), Some(b)) = (number(a), number(b)) {
            return decimals(&a, &b).map(Value::from_object).ok_or(inexact);
        }
    } else if a.is_integer() && b.is_integer() {
        return match (i128::try_from(a.clone()), i128::try_from(b.clone())) {
            (Ok(a), Ok(b)) => integers(a, b).map(integer).ok_or(inexact),
            _ => Err(inexact),
        };
    } else if let (true, true, Ok(x), Ok(y)) =
        (a.is_number(), b.is_number(), f64::try_from(a.clone()), f64::try_from(b.clone()))
    {
        return Ok(Value::from(floats(x, y)));
    }
    Err(mismatch(operator, a, b, "both sides must be numbers; join texts with `~`"))
}

pub(super) fn integer(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// An integer that no column holds as an exact number; other values as they are.
pub(super) fn exact(value: Value) -> Value {
    let is_wide = value.is_integer() && i64::try_from(value.clone()).is_err() && u64::try_from(value.clone()).is_err();
    let decimal = if is_wide { Decimal::parse(&value.to_string()) } else { None };
    decimal.map_or(value, Value::from_object)
}

/// A DECIMAL as the nearest double; other values as they are.
pub(super) fn as_float(value: &Value) -> Value {
    as_decimal(value).map_or_else(|| value.clone(), |decimal| Value::from(decimal.to_f64()))
}

pub(super) fn whole(value: &Value) -> Result<Value, Error> {
    if as_decimal(value).is_some() {
        let fix = "convert it with `| int` or `| float` first";
        return Err(Error::Operator { operator: "//, % and **", left: kind_of(value), right: "a number".into(), fix });
    }
    Ok(value.clone())
}

pub(super) fn concat(a: &Value, b: &Value) -> Result<Value, Error> {
    defined(a, b)?;
    let (mut left, mut right) = (String::new(), String::new());
    output::write_text(a, &mut left)?;
    output::write_text(b, &mut right)?;
    joined([&left, &right])
}

/// Bounded, because a loop may double a text in each round.
fn joined(parts: [&str; 2]) -> Result<Value, Error> {
    if parts[0].len() + parts[1].len() > TEXT_BYTES_MAX {
        return Err(Error::TooLarge { limit_bytes: TEXT_BYTES_MAX });
    }
    Ok(Value::from(parts.concat()))
}
