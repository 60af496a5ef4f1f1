//! JSON documents as values of the expression language.
//!
//! In: the text of a document: of a column, or of an answer. Out: its value, in which numbers are exact; or why it is none, without
//! quoting it, for it may be private.

use std::collections::BTreeMap;

use minijinja::value::Value;

use super::decimal::Decimal;

/// The value of the document with this text.
pub(super) fn parse_json(text: &str) -> Result<Value, String> {
    let parsed: serde_json::Value = serde_json::from_str(text).map_err(|error| not_json(text, &error))?;
    json_value(&parsed)
}

/// In plain words.
fn not_json(text: &str, error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.is_eof() {
        _ if text.trim().is_empty() => "it is empty, not JSON".to_string(),
        true => format!("it is JSON that ends too early, at {place}"),
        false => format!("it is not JSON, at {place}"),
    }
}

fn json_value(json: &serde_json::Value) -> Result<Value, String> {
    Ok(match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(truth) => Value::from(*truth),
        serde_json::Value::Number(number) => json_number(number.as_str())?,
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::from(items.iter().map(json_value).collect::<Result<Vec<_>, _>>()?),
        serde_json::Value::Object(members) => {
            let pairs = members.iter().map(|(name, member)| Ok((name.clone(), json_value(member)?)));
            pairs.collect::<Result<BTreeMap<String, Value>, String>>()?.into()
        }
    })
}

fn json_number(text: &str) -> Result<Value, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Value::from(number));
    }
    if let Ok(number) = text.parse::<i128>() {
        return Ok(Value::from(number));
    }
    let double: f64 = text.parse().map_err(|_| "a number is not in JSON's form".to_string())?;
    // MySQL's JSON holds doubles, 64-bit integers and DECIMALs; a DECIMAL with more digits than a double keeps stays exact.
    match Decimal::of_document(text) {
        Some(exact) if Decimal::from_f64(double).as_ref() != Some(&exact) => Ok(Value::from_object(exact)),
        _ if double.is_finite() => Ok(Value::from(double)),
        _ => Err("a number is larger than any double".to_string()),
    }
}
