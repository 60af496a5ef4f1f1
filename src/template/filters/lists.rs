//! Filters of lists: one member of each element, elements that are true, different elements, parts.
//!
//! In: a list. Out: a list that is not longer. A member that an element lacks is an error, as it is everywhere.

use std::collections::HashSet;

use minijinja::value::{Rest, Value, ValueIter, ValueKind};
use minijinja::{Environment, State};

use super::super::error::Error;
use super::super::operators::{EngineOutcome, defined, number};
use super::super::output::{iterate, write_json};

/// Lists that one list may be cut into; each takes memory, also where it is empty.
const SLICES_MAX: usize = 1000;

pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("map", |list: &Value, args: Rest<Value>| map(list, &args).map_err(Error::into_engine));
    env.add_filter("select", |list: &Value, args: Rest<Value>| {
        chosen("select", true, list, args.first()).map_err(Error::into_engine)
    });
    env.add_filter("reject", |list: &Value, args: Rest<Value>| {
        chosen("reject", false, list, args.first()).map_err(Error::into_engine)
    });
    env.add_filter("unique", |list: &Value| unique(list).map_err(Error::into_engine));
    env.add_filter("slice", slice);
}

/// The elements; a text, whose characters the engine would take for some, is no list.
fn elements(filter: &'static str, list: &Value) -> Result<impl Iterator<Item = Result<Value, Error>>, Error> {
    defined(list, list)?;
    match list.kind() {
        ValueKind::Seq | ValueKind::Iterable => Ok(valid(iterate(list)?)),
        _ => Err(Error::Filter { filter, problem: "this value is no list" }),
    }
}

/// A look-up that failed, such as that of a column, is a value until it is used.
fn valid(values: ValueIter) -> impl Iterator<Item = Result<Value, Error>> {
    values.checked().map(|value| value.map_err(|error| Error::from_engine(&error, "value")))
}

/// The member of this name, or at this place, of an element that has one.
fn member_of(element: &Value, member: &Value) -> Result<Option<Value>, Error> {
    match element.get_item(member) {
        Ok(value) if value.kind() == ValueKind::Invalid => {
            valid(iterate(&Value::from(vec![value]))?).next().transpose()
        }
        found => Ok(found.ok().filter(|value| !value.is_undefined())),
    }
}

fn lacking(filter: &'static str) -> Error {
    Error::Filter { filter, problem: "an element of the list has no such member" }
}

fn map(list: &Value, args: &[Value]) -> Result<Vec<Value>, Error> {
    let (member, replacement) = (args.first().ok_or_else(|| lacking("map"))?, args.get(1));
    let pick = |element: Value| member_of(&element, member)?.or(replacement.cloned()).ok_or_else(|| lacking("map"));
    elements("map", list)?.map(|element| pick(element?)).collect()
}

/// The elements that are true, or whose member is, or the others; NULL is not true.
fn chosen(filter: &'static str, wanted: bool, list: &Value, member: Option<&Value>) -> Result<Vec<Value>, Error> {
    let mut chosen = Vec::new();
    for element in elements(filter, list)? {
        let element = element?;
        let judged = match member {
            Some(member) => member_of(&element, member)?.ok_or_else(|| lacking(filter))?,
            None => element.clone(),
        };
        if judged.is_true() == wanted {
            chosen.push(element);
        }
    }
    Ok(chosen)
}

/// The first of equal elements; numbers are equal by value, texts exactly.
fn unique(list: &Value) -> Result<Vec<Value>, Error> {
    let (mut seen, mut kept) = (HashSet::new(), Vec::new());
    for element in elements("unique", list)? {
        let element = element?;
        let mut key = Vec::new();
        match number(&element) {
            // Not the form of any JSON text.
            Some(number) => key.extend(format!("={}", number.shortest()).into_bytes()),
            None => write_json(&element, &mut key)?,
        }
        if seen.insert(key) {
            kept.push(element);
        }
    }
    Ok(kept)
}

/// As Jinja has it: so many lists, which differ in length by one at most.
fn slice(state: &State, list: Value, count: usize, fill_with: Option<Value>) -> EngineOutcome<Value> {
    if !(1..=SLICES_MAX).contains(&count) {
        let problem = "it makes 1 to 1000 lists; the first elements of a list are `items[:5]`";
        return Err(Error::Filter { filter: "slice", problem }.into_engine());
    }
    elements("slice", &list).map(drop).map_err(Error::into_engine)?;
    minijinja::filters::slice(state, list, count, fill_with)
}
