//! The paths of partial JSON updates, as the server writes them: `$.a."b c"[3]`, `$.a[last-1]`.
//!
//! In: the bytes of a path. Out: its legs. A member is quoted, as a JSON string, unless it is an ECMAScript identifier
//! (`Json_path_leg::to_string` of the server's `sql-common/json_path.cc`). Wildcards and ranges do not occur: a
//! difference has one place.

use super::super::Fault;

/// A document has no more levels (`JSON_DOCUMENT_MAX_DEPTH`).
const LEGS_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leg {
    Member(String),
    /// A place in an array, from 0.
    Cell(usize),
    /// A place counted from the array's last one, which is 0: `[last]`, `[last-1]`.
    CellFromEnd(usize),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct JsonPath(pub Vec<Leg>);

impl JsonPath {
    pub fn parse(bytes: &[u8]) -> Result<JsonPath, Fault> {
        let text = std::str::from_utf8(bytes).ok();
        let legs = text.and_then(|text| text.strip_prefix('$')).and_then(legs);
        legs.filter(|legs| legs.len() <= LEGS_MAX)
            .map(JsonPath)
            .ok_or_else(|| Fault::new("a partial JSON update with a path that cannot be read", ""))
    }
}

fn legs(mut rest: &str) -> Option<Vec<Leg>> {
    let mut legs = Vec::new();
    while !rest.is_empty() {
        let leg;
        (leg, rest) = if let Some(tail) = rest.strip_prefix('[') {
            let (place, tail) = tail.split_once(']')?;
            (cell(place)?, tail)
        } else {
            let (name, tail) = member(rest.strip_prefix('.')?)?;
            (Leg::Member(name), tail)
        };
        legs.push(leg);
    }
    Some(legs)
}

fn cell(place: &str) -> Option<Leg> {
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    };
    match place.strip_prefix("last") {
        Some("") => Some(Leg::CellFromEnd(0)),
        Some(rest) => Some(Leg::CellFromEnd(number(rest.strip_prefix('-')?)?)),
        None => Some(Leg::Cell(number(place)?)),
    }
}

/// The name at the head of `text`, and what follows it.
fn member(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (name, tail) = text.split_at(end);
        let is_wildcard = name.contains('*');
        return (!name.is_empty() && !is_wildcard).then(|| (name.to_string(), tail));
    };
    let mut is_escaped = false;
    for (place, byte) in quoted.bytes().enumerate() {
        match byte {
            b'"' if !is_escaped => {
                // The quotes around the name, one byte each, and what they hold.
                let (string, tail) = text.split_at(place + 2);
                return serde_json::from_str(string).ok().map(|name| (name, tail));
            }
            _ => is_escaped = byte == b'\\' && !is_escaped,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_the_server_writes_them() {
        let member = |name: &str| Leg::Member(name.to_string());
        for (text, expected) in [
            ("$", vec![]),
            ("$.a", vec![member("a")]),
            (r#"$.a."b c"[3]"#, vec![member("a"), member("b c"), Leg::Cell(3)]),
            (r#"$."".e"#, vec![member(""), member("e")]),
            (
                r#"$."q\"k"."back\\slash"[0][12]"#,
                vec![member("q\"k"), member("back\\slash"), Leg::Cell(0), Leg::Cell(12)],
            ),
            (r#"$."a.b[0]"."tab\tx\u0001""#, vec![member("a.b[0]"), member("tab\tx\u{1}")]),
            ("$[last].a[last-12]", vec![Leg::CellFromEnd(0), member("a"), Leg::CellFromEnd(12)]),
            ("$.é.$", vec![member("é"), member("$")]),
        ] {
            assert_eq!(JsonPath::parse(text.as_bytes()), Ok(JsonPath(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_in_a_document_is_refused() {
        for text in [
            "",
            "a",
            ".a",
            "$a",
            "$.",
            "$..a",
            "$[",
            "$[]",
            "$[a]",
            "$[-1]",
            "$[+1]",
            "$[last-]",
            "$[last+1]",
            "$[last--1]",
            "$[1 to 2]",
            "$.*",
            "$[*]",
            "$**.a",
            "$.\"a",
            "$.\"\\\"",
            "$.\"a\"b",
            "$[99999999999999999999]",
        ] {
            JsonPath::parse(text.as_bytes()).expect_err(text);
        }
        JsonPath::parse(b"$.\xff").expect_err("no UTF-8");
    }
}
