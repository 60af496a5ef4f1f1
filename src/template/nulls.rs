//! Operators of conditions: with NULL as an operand the result is unknown, as in SQL.
//!
//! In: operands in the interpreter. Out: true, false, or none for "unknown"; of arithmetic, filters and members the result, or none where
//! an operand is none. `rewrite` puts these in the operators' place in conditions; templates have those of `operators`.

use std::sync::LazyLock;

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Expression, State};

use super::class::Class;
use super::compare::{compare, within};
use super::decimal;
use super::error::Error;
use super::operand::{Operand, Scalar};
use super::operators::{self, EngineOutcome};
use super::relation::Relation;
use super::scope::TypedCell;
use crate::change::Value as CellValue;

/// Filters that are asked about NULL; of it all others give NULL.
const REPLACING: [&str; 2] = ["default", "d"];

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(Environment::empty);

/// What the engine's own operators do with numbers that are no DECIMALs.
static DIVIDE: LazyLock<[Option<Expression<'static, 'static>>; 4]> =
    LazyLock::new(|| ["a / b", "a // b", "a % b", "a ** b"].map(|text| PLAIN.compile_expression(text).ok()));
static SLICE: LazyLock<Option<Expression<'static, 'static>>> =
    LazyLock::new(|| PLAIN.compile_expression("a[b:c:d]").ok());

/// Puts everything here into an environment under the names that `rewrite` writes.
pub(super) fn install(env: &mut Environment<'static>) {
    env.add_function("_is_eq", |a: &Value, b: &Value| related(Relation::Equal, a, b));
    env.add_function("_is_ne", |a: &Value, b: &Value| related(Relation::Unequal, a, b));
    env.add_function("_is_lt", |a: &Value, b: &Value| related(Relation::Less, a, b));
    env.add_function("_is_le", |a: &Value, b: &Value| related(Relation::AtMost, a, b));
    env.add_function("_is_gt", |a: &Value, b: &Value| related(Relation::Greater, a, b));
    env.add_function("_is_ge", |a: &Value, b: &Value| related(Relation::AtLeast, a, b));
    env.add_function("_is_in", |a: &Value, b: &Value| truth(contained(a, b)));
    env.add_function("_one_of", |a: &Value, list: &Value, none: bool| truth(one_of(a, list, none)));
    env.add_function("_written", |text: &str| {
        Value::from_object(TypedCell { value: CellValue::Text(text.into()), class: Class::Any })
    });
    env.add_function("_is_none", |a: &Value| {
        operators::defined(a, a).map(|()| a.is_none()).map_err(Error::into_engine)
    });
    env.add_function("_is_not", |a: &Value| if a.is_none() { Value::from(()) } else { Value::from(!a.is_true()) });
    env.add_function("_is_true", |a: &Value| {
        truth(operators::defined(a, a).and_then(|()| truth_of(&Operand::of_value(a))))
    });
    env.add_function("_of_add", |a: &Value, b: &Value| calculated(a, b, operators::add));
    env.add_function("_of_sub", |a: &Value, b: &Value| calculated(a, b, operators::subtract));
    env.add_function("_of_mul", |a: &Value, b: &Value| calculated(a, b, operators::multiply));
    env.add_function("_of_concat", |a: &Value, b: &Value| calculated(a, b, operators::concat));
    env.add_function("_of_neg", |a: &Value| calculated(&Value::from(0), a, operators::subtract));
    env.add_function("_of_div", |a: &Value, b: &Value| divided(0, a, b));
    env.add_function("_of_floor", |a: &Value, b: &Value| divided(1, a, b));
    env.add_function("_of_rem", |a: &Value, b: &Value| divided(2, a, b));
    env.add_function("_of_pow", |a: &Value, b: &Value| divided(3, a, b));
    env.add_function(
        "_member",
        |a: &Value, name: &Value| if a.is_none() { Ok(Value::from(())) } else { a.get_item(name) },
    );
    env.add_function("_slice", |a: &Value, from: &Value, to: &Value, step: &Value| match SLICE.as_ref() {
        _ if a.is_undefined() => Err(Error::Undefined { path: None }.into_engine()),
        Some(expression) if !a.is_none() => {
            expression.eval(minijinja::context! { a => a, b => from, c => to, d => step })
        }
        _ => Ok(Value::from(())),
    });
    env.add_function("_filter", |state: &mut State, name: &str, args: Rest<Value>| match args.first() {
        Some(value) if value.is_none() && !REPLACING.contains(&name) => Ok(Value::from(())),
        _ => state.apply_filter(name, &args),
    });
    env.add_function("_test", |state: &mut State, name: &str, args: Rest<Value>| match args.first() {
        Some(value) if value.is_none() => Ok(Value::from(())),
        _ => state.perform_test(name, &args).map(Value::from),
    });
}

/// Whether the relation holds of two operands in this order.
pub(super) fn holds(relation: Relation, left: &Operand, right: &Operand) -> Result<Option<bool>, Error> {
    if left.is_null() || right.is_null() {
        return Ok(None);
    }
    Ok(Some(relation.is_met_by(compare(relation, left, right)?)))
}

/// Whether a value by itself counts as true: a number that is not zero, as in MySQL; what comes from no column, as in Jinja.
pub(super) fn truth_of(operand: &Operand) -> Result<Option<bool>, Error> {
    match operand.class {
        _ if operand.is_null() => Ok(None),
        Class::Any => Ok(Some(operand.value().is_true())),
        Class::Number | Class::Single | Class::Year => Ok(Some(match operand.scalar {
            Scalar::Decimal(digits) => !decimal::is_zero(digits),
            _ => operand.double().is_some_and(|number| number != 0.0),
        })),
        class => Err(Error::NoTruth { column: class.describe().unwrap_or_default() }),
    }
}

/// The same where only what is true, false or a number decides: a text, a list and a map are neither yes nor no, whatever is in them.
pub(super) fn strict_truth_of(value: &Value) -> Result<Option<bool>, Error> {
    let of_kind = |kind, fix| Err(Error::NoTruthOfKind { kind, fix });
    match (Operand::of_value(value).scalar, value.kind()) {
        (Scalar::Null, _) => Ok(None),
        (Scalar::Decimal(digits), _) => Ok(Some(!decimal::is_zero(digits))),
        (_, ValueKind::Bool | ValueKind::Number) => Ok(Some(value.is_true())),
        (Scalar::Text(_) | Scalar::Bytes(_), _) => of_kind("a text", "answer.json.ok == 'true'"),
        (_, ValueKind::Map) => of_kind("a map", "answer.json.error is defined"),
        _ => of_kind("a list", "answer.json.items | length > 0"),
    }
}

fn related(relation: Relation, a: &Value, b: &Value) -> EngineOutcome<Value> {
    truth(operators::defined(a, b).and_then(|()| holds(relation, &Operand::of_value(a), &Operand::of_value(b))))
}

fn truth(answer: Result<Option<bool>, Error>) -> EngineOutcome<Value> {
    match answer {
        Ok(Some(truth)) => Ok(Value::from(truth)),
        Ok(None) => Ok(Value::from(())),
        Err(error) => Err(error.into_engine()),
    }
}

/// `needle in [...]`: `==` to one of its elements; `has_none` says that `none` is written among them.
fn one_of(needle: &Value, list: &Value, has_none: bool) -> Result<Option<bool>, Error> {
    operators::defined(needle, list)?;
    let needle = Operand::of_value(needle);
    let mut answer = Some(false);
    if needle.is_null() && has_none {
        return Ok(Some(true));
    }
    for item in list.try_iter().map_err(|_| Error::Undefined { path: None })? {
        operators::defined(&item, list)?;
        match holds(Relation::Equal, &needle, &Operand::of_value(&item))? {
            Some(true) => return Ok(Some(true)),
            Some(false) => {}
            None => answer = None,
        }
    }
    Ok(answer)
}

/// `needle in container` for what is no list in the rule's text; elements that are none equal nothing.
fn contained(needle: &Value, container: &Value) -> Result<Option<bool>, Error> {
    operators::defined(needle, container)?;
    if needle.is_none() || container.is_none() {
        return Ok(None);
    }
    let (piece, whole) = (Operand::of_value(needle), Operand::of_value(container));
    match (whole.scalar, container.kind()) {
        (Scalar::Other(_), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) => {
            for item in container.try_iter().map_err(|_| Error::Undefined { path: None })? {
                if holds(Relation::Equal, &piece, &Operand::of_value(&item))? == Some(true) {
                    return Ok(Some(true));
                }
            }
            Ok(Some(false))
        }
        _ => within(&piece, &whole).map(Some),
    }
}

fn calculated(a: &Value, b: &Value, operator: fn(&Value, &Value) -> Result<Value, Error>) -> EngineOutcome<Value> {
    if a.is_none() || b.is_none() {
        return Ok(Value::from(()));
    }
    operator(a, b).map(operators::exact).map_err(Error::into_engine)
}

/// NULL for a division by zero, as in MySQL.
fn divided(operator: usize, a: &Value, b: &Value) -> EngineOutcome<Value> {
    if a.is_none() || b.is_none() {
        return Ok(Value::from(()));
    }
    operators::defined(a, b).map_err(Error::into_engine)?;
    let convert = if operator == 0 { |value: &Value| Ok(operators::as_float(value)) } else { operators::whole };
    let (a, b) = (convert(a).map_err(Error::into_engine)?, convert(b).map_err(Error::into_engine)?);
    if operator < 3 && b.is_number() && !b.is_true() {
        return Ok(Value::from(()));
    }
    match &DIVIDE[operator] {
        Some(expression) => expression.eval(minijinja::context! { a => a, b => b }),
        None => Ok(Value::from(())),
    }
}
