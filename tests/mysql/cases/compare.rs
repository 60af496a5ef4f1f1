//! Changes as the case files write them, and what differs between two of them.
//!
//! In: a change of the stream, or an expected line. Out: one JSON text of the members that cases compare, in a fixed order,
//! null and empty ones left out; every value is the exact text of the default event. Long strings of one repeated piece get
//! a short form on both sides: `"@repeat:x:17000000"`, with what follows the last whole piece behind a third colon.

use std::fmt;

use rowhook::change::Change;
use rowhook::change::json::write_event;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Id, rule, schema, time and source differ from run to run.
const COMPARED: [&str; 6] = ["op", "table", "key", "before", "after", "changed"];

/// Strings below this length are written as they are.
const REPEAT_LENGTH_MIN: usize = 200;
/// Base64 repeats in fours.
const REPEAT_PIECE_MAX: usize = 4;
const REPEAT_REST_MAX: usize = 8;

/// The change as one line of a case file.
pub fn line_of(change: &Change) -> String {
    let mut event = Vec::new();
    write_event(change, "case", change.delivery_id("case"), &mut event);
    let members = members(std::str::from_utf8(&event).expect("an event is UTF-8")).expect("an event is an object");
    let compared = COMPARED.iter().filter_map(|name| members.iter().find(|(member, _)| member == name));
    let present = compared.filter(|(_, value)| !matches!(value.as_str(), "null" | "[]"));
    let texts: Vec<String> = present.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    shortened(&format!("{{{}}}", texts.join(",")))
}

/// The JSON text with each long string of a repeated piece in its short form.
pub fn shortened(json: &str) -> String {
    let mut out = String::new();
    let mut rest = json;
    while let Some(open) = rest.find('"') {
        let (before, quoted) = rest.split_at(open + 1);
        let end = end_of_string(quoted);
        let (content, tail) = quoted.split_at(end);
        out.push_str(before);
        match repeated(content) {
            Some(short) => out.push_str(&short),
            None => out.push_str(content),
        }
        let closed = tail.len().min(1);
        out.push_str(&tail[..closed]);
        rest = &tail[closed..];
    }
    out.push_str(rest);
    out
}

/// Where the closing quote stands, or the end. Looks for quotes only: a row of many MiB has few.
fn end_of_string(text: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text[from..].find('"').map(|at| from + at) {
        let backslashes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if backslashes % 2 == 0 {
            return at;
        }
        from = at + 1;
    }
    text.len()
}

fn repeated(content: &str) -> Option<String> {
    if content.len() < REPEAT_LENGTH_MIN {
        return None;
    }
    (0..=REPEAT_REST_MAX).find_map(|rest_length| {
        let (body, rest) = content.split_at_checked(content.len() - rest_length)?;
        let length = (1..=REPEAT_PIECE_MAX).find(|length| {
            body.len().is_multiple_of(*length) && body.as_bytes()[*length..] == body.as_bytes()[..body.len() - length]
        })?;
        let colon = if rest.is_empty() { "" } else { ":" };
        Some(format!("@repeat:{}:{}{colon}{rest}", body.get(..length)?, body.len() / length))
    })
}

type Members = Vec<(String, String)>;

/// The members of a JSON object with their exact texts, in order.
pub fn members(json: &str) -> Result<Members, String> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = Members;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
            let mut members = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                members.push((name, value.get().to_string()));
            }
            Ok(members)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(json);
    let members = reader.deserialize_map(Object).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(members)
}

/// What differs between two objects, member by member, the members of row images one by one.
pub fn differences(expected: &str, got: &str) -> Vec<String> {
    let mut found = Vec::new();
    compare("", expected, got, &mut found);
    found
}

fn compare(path: &str, expected: &str, got: &str, found: &mut Vec<String>) {
    let (Ok(wanted), Ok(there)) = (members(expected), members(got)) else {
        found.push(format!("{path}: expected {expected}, got {got}"));
        return;
    };
    let find = |members: &Members, name: &str| members.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let begin = found.len();
    for (name, expected) in &wanted {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match find(&there, name) {
            None => found.push(format!("{path}: expected {expected}, got nothing")),
            Some(got) if got == *expected => {}
            Some(got) if path == "key" || path == "before" || path == "after" => compare(&path, expected, &got, found),
            Some(got) => found.push(format!("{path}: expected {expected}, got {got}")),
        }
    }
    for (name, got) in there.iter().filter(|(name, _)| find(&wanted, name).is_none()) {
        found.push(format!("{path}{}{name}: expected nothing, got {got}", if path.is_empty() { "" } else { "." }));
    }
    if found.len() == begin && expected != got {
        found.push(format!("{path}: the same members in another order or with other white space"));
    }
}

#[test]
fn a_long_repeated_string_has_a_short_form_and_others_stay() {
    for (json, expected) in [
        (format!(r#"{{"a":"{}","b":1}}"#, "x".repeat(300)), r#"{"a":"@repeat:x:300","b":1}"#.to_string()),
        (format!(r#"["{}eA=="]"#, "eHh4".repeat(100)), r#"["@repeat:eHh4:100:eA=="]"#.to_string()),
        (format!(r#"["{}"]"#, "é".repeat(300)), r#"["@repeat:é:300"]"#.to_string()),
        (r#"{"a\"":"\\","b":"xxxx"}"#.to_string(), r#"{"a\"":"\\","b":"xxxx"}"#.to_string()),
        (format!(r#"["{}"]"#, "abcde".repeat(60)), format!(r#"["{}"]"#, "abcde".repeat(60))),
    ] {
        assert_eq!(shortened(&json), expected);
    }
}

#[test]
fn differences_name_the_column_and_tell_order_and_exact_text() {
    for (expected, got, difference) in [
        (r#"{"after":{"d":1.10}}"#, r#"{"after":{"d":1.1}}"#, "after.d: expected 1.10, got 1.1"),
        (r#"{"after":{"d":1}}"#, r#"{"after":{"d":1,"e":null}}"#, "after.e: expected nothing, got null"),
        (r#"{"after":{"d":1}}"#, r#"{"op":"x","after":{"d":1}}"#, "op: expected nothing, got \"x\""),
        (r#"{"after":{"d":1,"e":2}}"#, r#"{"after":{"e":2,"d":1}}"#, "after: the same members in another order"),
        (r#"{"changed":["a"]}"#, r#"{}"#, "changed: expected [\"a\"], got nothing"),
    ] {
        let found = differences(expected, got);
        assert!(found.len() == 1 && found[0].starts_with(difference), "{found:?}, not {difference}");
    }
}
