//! Filters that the engine lacks, and those in its own ones' place that would be wrong about a DECIMAL or could grow a text without bound.
//!
//! In: a value of an expression. Out: another. Numbers stay exact, lists are ordered only where their elements can be, and what is here
//! gives no text of more than `TEXT_BYTES_MAX`. Encodings are in `encode`, digests in `digest`, dates in `dates`, parts of lists in `lists`.

mod dates;
mod digest;
mod encode;
mod lists;
mod strftime;
mod zone;

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, State};

use super::decimal::{Decimal, as_decimal};
use super::error::Error;
use super::operators::{self, EngineOutcome, add, integer, number, order};
use super::output::{self, within_limit};

pub(super) use dates::literal_flaw;

/// Puts the filters into an environment.
pub(super) fn install(env: &mut Environment<'static>) {
    // What `rewrite` puts around the value of a filter, where the rule doesn't say what becomes of NULL.
    env.add_function("_given", |filter: &str, value: Value| match (value.is_none(), value.is_undefined()) {
        (true, _) => Err(Error::FilterOfNull { filter: filter.to_owned() }.into_engine()),
        (_, true) => Err(Error::Undefined { path: None }.into_engine()),
        _ => Ok(value),
    });
    env.add_filter("int", int);
    env.add_filter("float", float);
    env.add_filter("round", round);
    env.add_filter("abs", abs);
    env.add_filter("cents", |value: &Value| cents(value).map_err(Error::into_engine));
    env.add_filter("min", |list: &Value| extreme(list, Ordering::Less));
    env.add_filter("max", |list: &Value| extreme(list, Ordering::Greater));
    env.add_filter("sort", sort);
    env.add_filter("sum", sum);
    env.add_filter("join", join);
    env.add_filter("list", |state: &State, value: Value| {
        splittable(&value)?;
        minijinja::filters::list(state, value)
    });
    env.add_filter("lines", |value: &Value| {
        splittable(value)?;
        minijinja::filters::lines(value)
    });
    env.add_filter("split", |value: &Value, separator: Option<Arc<str>>, splits_max: Option<i64>| {
        splittable(value)?;
        minijinja::filters::split(value, separator, splits_max)
    });
    env.add_filter("replace", replace);
    encode::install(env);
    digest::install(env);
    dates::install(env);
    lists::install(env);
    env.add_filter("tojson", |value: &Value| {
        let mut out = Vec::new();
        output::write_json(value, &mut out).map_err(Error::into_engine)?;
        EngineOutcome::Ok(String::from_utf8_lossy(&out).into_owned())
    });
    env.add_filter("string", |value: &Value| {
        let mut out = String::new();
        output::write_text(value, &mut out).map_err(Error::into_engine)?;
        EngineOutcome::Ok(out)
    });
}

/// A list takes many times the memory of the text that it is made of.
fn splittable(value: &Value) -> EngineOutcome<()> {
    within_limit(value.as_str().map_or(0, str::len)).map_err(Error::into_engine)
}

fn int(state: &State, value: &Value, default: Option<Value>, kwargs: Kwargs) -> EngineOutcome<Value> {
    match as_decimal(value) {
        Some(decimal) => {
            decimal.truncate().map(integer).ok_or_else(|| Error::Inexact { operator: "| int" }.into_engine())
        }
        None => minijinja::filters::int(state, value, default, None, kwargs),
    }
}

fn float(state: &State, value: &Value, default: Option<Value>, kwargs: Kwargs) -> EngineOutcome<Value> {
    match as_decimal(value) {
        Some(decimal) => Ok(Value::from(decimal.to_f64())),
        None => minijinja::filters::float(state, value, default, kwargs),
    }
}

/// Exact numbers half away from zero, as MySQL does; a double as the engine does.
fn round(value: Value, precision: Option<i32>, kwargs: Kwargs) -> EngineOutcome<Value> {
    let digits = precision.unwrap_or(0);
    let is_integer = value.is_integer();
    let exact = if is_integer { number(&value) } else { as_decimal(&value).cloned() };
    let Some(exact) = exact else {
        return minijinja::filters::round(value, precision, None, kwargs);
    };
    let inexact = || Error::Inexact { operator: "| round" }.into_engine();
    let rounded = exact.round(digits).ok_or_else(inexact)?;
    if is_integer { rounded.truncate().map(integer).ok_or_else(inexact) } else { Ok(Value::from_object(rounded)) }
}

/// An amount in its hundredth parts.
fn cents(value: &Value) -> Result<Value, Error> {
    const FILTER: &str = "cents";
    operators::defined(value, value)?;
    let amount = number(value).or_else(|| value.as_str().and_then(Decimal::parse));
    let amount = amount
        .ok_or(Error::Filter { filter: FILTER, problem: "this value is no number, and no text such as '12.30'" })?;
    match amount.scaled(2) {
        Some((cents, true)) => Ok(integer(cents)),
        Some((_, false)) => Err(Error::Filter {
            filter: FILTER,
            problem: "the number has more than two decimals, and is not rounded silently; write `| round(2) | cents`",
        }),
        None => Err(Error::Inexact { operator: "| cents" }),
    }
}

fn abs(value: Value) -> EngineOutcome<Value> {
    match as_decimal(&value) {
        Some(decimal) => Ok(Value::from_object(
            Decimal::parse(decimal.as_str().trim_start_matches('-')).expect("a DECIMAL without its sign is one"),
        )),
        None => minijinja::filters::abs(value),
    }
}

fn extreme(list: &Value, wanted: Ordering) -> EngineOutcome<Value> {
    let mut best: Option<Value> = None;
    for item in list.try_iter()? {
        let better = match &best {
            None => true,
            Some(best) => order("min and max", &item, best).map_err(Error::into_engine)? == wanted,
        };
        if better {
            best = Some(item);
        }
    }
    Ok(best.unwrap_or_default())
}

fn sort(list: &Value) -> EngineOutcome<Value> {
    let mut items: Vec<Value> = list.try_iter()?.collect();
    // Compared against the first before sorting: an order that fails midway is no order.
    if let Some((first, rest)) = items.split_first() {
        for item in rest {
            order("sort", first, item).map_err(Error::into_engine)?;
        }
    }
    items.sort_by(|a, b| order("sort", a, b).unwrap_or(Ordering::Equal));
    Ok(Value::from(items))
}

fn sum(list: &Value) -> EngineOutcome<Value> {
    list.try_iter()?.try_fold(Value::from(0), |total, item| add(&total, &item).map_err(Error::into_engine))
}

/// The elements as one text, with `between` in between.
fn join(list: &Value, between: Option<&str>) -> EngineOutcome<String> {
    let mut out = String::new();
    for (i, item) in list.try_iter()?.enumerate() {
        out.push_str(if i > 0 { between.unwrap_or_default() } else { "" });
        output::write_text(&item, &mut out).and_then(|()| within_limit(out.len())).map_err(Error::into_engine)?;
    }
    Ok(out)
}

fn replace(text: &str, from: &str, to: &str) -> EngineOutcome<String> {
    let grown = text.matches(from).count().saturating_mul(to.len().saturating_sub(from.len()));
    within_limit(text.len().saturating_add(grown)).map_err(Error::into_engine)?;
    Ok(text.replace(from, to))
}
