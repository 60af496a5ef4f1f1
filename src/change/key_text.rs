//! A row's primary key in few words, as lists show it and as `--key` is compared with it.
//!
//! In: the key as JSON, an object from column to value. Out: `7`, or `a=7, b="x"` where it has several columns. Pure.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{Change, json};
use crate::printable::{one_line, shortened};

/// Longer values are shortened.
const VALUE_CHARS_MAX: usize = 60;

/// In place of a value that is not to be shown.
const REDACTED: &str = "***";

/// Longer keys are shortened: a key stands in an index of the journal, too.
pub const KEY_CHARS_MAX: usize = 120;

/// There is no primary key.
const NO_KEY: &str = "-";

/// An object with its members in their order, which a map would lose.
#[derive(Debug)]
pub struct OrderedMembers(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for OrderedMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OrderedMembers, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = OrderedMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from column to value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedMembers, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(OrderedMembers(columns))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The key of a row: `7`, or `a=7, b="x"` where it has several columns; `***` for those that are redacted. None: the table
/// has no primary key.
pub fn key_in_a_line(change: &Change, is_redacted: impl Fn(&str) -> bool) -> Option<String> {
    let columns = &change.table.primary_key;
    if columns.is_empty() {
        return None;
    }
    let mut text = Vec::new();
    for (n, index) in columns.iter().enumerate() {
        let name = change.table.columns.get(*index)?;
        if n > 0 {
            text.extend_from_slice(b", ");
        }
        if columns.len() > 1 {
            text.extend_from_slice(name.as_bytes());
            text.push(b'=');
        }
        if is_redacted(name) {
            text.extend_from_slice(REDACTED.as_bytes());
        } else if let Some(value) = change.latest(*index) {
            json::write_value(&value, &mut text);
        }
    }
    Some(shortened_key(&String::from_utf8_lossy(&text)))
}

/// A key as it is logged and journaled; also one that a person gives to be compared with these.
pub fn shortened_key(key: &str) -> String {
    one_line(key, KEY_CHARS_MAX)
}

/// The key of which this is the JSON.
pub fn key_text(key: &str) -> String {
    let key: Option<OrderedMembers> = serde_json::from_str(key).ok();
    match key.as_ref().map(|key| key.0.as_slice()) {
        None | Some([]) => NO_KEY.to_string(),
        Some([(_, value)]) => value_text(value),
        Some(columns) => {
            let columns: Vec<String> =
                columns.iter().map(|(name, value)| format!("{name}={}", value_text(value))).collect();
            columns.join(", ")
        }
    }
}

/// A value as JSON, a long one shortened.
pub fn value_text(value: &Value) -> String {
    shortened(&value.to_string(), VALUE_CHARS_MAX)
}

impl Change {
    /// Whether this is the key of its row, as lists show it. The quotes around a single text may be left out.
    pub fn is_of_key(&self, text: &str) -> bool {
        let mut key = Vec::new();
        json::write_key(self, &mut key);
        let key = std::str::from_utf8(&key).map(key_text).unwrap_or_default();
        key == text || key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_value_or_names_its_columns_in_their_order() {
        for (key, expected) in [
            (r#"{"id": 7}"#, "7"),
            (r#"{"code": "a b"}"#, "\"a b\""),
            (r#"{"z": 1, "a": "x"}"#, "z=1, a=\"x\""),
            (r#"{"n": 12.50}"#, "12.50"),
            ("null", "-"),
            ("{}", "-"),
        ] {
            assert_eq!(key_text(key), expected);
        }
    }

    #[test]
    fn a_long_value_is_shortened_between_characters() {
        let long = Value::String("ü".repeat(VALUE_CHARS_MAX));
        assert_eq!(value_text(&long).chars().count(), VALUE_CHARS_MAX + 1);
    }
}
