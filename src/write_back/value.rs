//! Values of statements: JSON as MySQL takes it.
//!
//! In: a JSON value. Out: what is bound to a `?`. Nothing is lost on the way: numbers that are no 64-bit integer travel as
//! their own text, which MySQL reads exactly for a DECIMAL. Pure.

use mysql_async::Value;
use serde_json::Value as Json;

/// Null is NULL, a boolean 1 or 0, an array or object its JSON text.
pub(super) fn of_json(value: Json) -> Value {
    match value {
        Json::Null => Value::NULL,
        Json::Bool(is_true) => Value::Int(i64::from(is_true)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Value::Int(integer),
            (None, Some(integer)) => Value::UInt(integer),
            (None, None) => Value::Bytes(number.to_string().into_bytes()),
        },
        Json::String(text) => Value::Bytes(text.into_bytes()),
        document @ (Json::Array(_) | Json::Object(_)) => Value::Bytes(document.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_json_has_its_form() {
        for (json, expected) in [
            ("null", Value::NULL),
            ("true", Value::Int(1)),
            ("false", Value::Int(0)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("18446744073709551615", Value::UInt(u64::MAX)),
            ("18446744073709551616", Value::Bytes(b"18446744073709551616".to_vec())),
            ("12.3000", Value::Bytes(b"12.3000".to_vec())),
            ("\"12.30\"", Value::Bytes(b"12.30".to_vec())),
            ("\"\"", Value::Bytes(Vec::new())),
            ("[1,null]", Value::Bytes(b"[1,null]".to_vec())),
            ("{\"a\":\"\\u00e9\"}", Value::Bytes("{\"a\":\"é\"}".into())),
        ] {
            assert_eq!(of_json(serde_json::from_str(json).expect(json)), expected, "{json}");
        }
    }
}
