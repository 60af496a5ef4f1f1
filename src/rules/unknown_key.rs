//! What to write instead of a key that a map does not have, and instead of a map that is none.
//!
//! In: the key and the keys that are known there. Out: a part of a message: the name that it has here, the key below which it
//! belongs, or a known one that looks like it. Where it belongs is read from the JSON Schema of rule files.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::json_schema::RULES_JSON_SCHEMA;
use crate::suggest::did_you_mean;

/// Keys with the names that other tools, and people who guess, have for them.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("when", &["if", "where", "condition", "filter"]),
    ("on", &["event", "events", "op", "ops", "operation", "operations"]),
    ("changed", &["columns", "fields", "on_change"]),
    ("order_by", &["key", "group_by", "partition_by", "order"]),
    ("in_flight", &["concurrency", "parallel", "parallelism", "workers", "max_connections"]),
    ("rate", &["rate_limit", "throttle", "limit"]),
    ("steps", &["actions"]),
    ("on_failure", &["on_error", "catch"]),
    ("on_success", &["on_done", "then"]),
    ("undo", &["compensate", "compensation", "rollback"]),
    ("token_url", &["url", "token_endpoint"]),
    ("url", &["uri", "endpoint", "address"]),
    ("method", &["verb", "type"]),
    ("body", &["data", "json", "payload", "content"]),
    ("statement", &["query", "text"]),
    ("params", &["parameters", "args", "values"]),
    ("retries", &["attempts", "max_attempts", "max_retries", "count", "times"]),
    ("initial", &["delay", "interval", "min_delay"]),
    ("multiplier", &["backoff", "factor"]),
    ("size", &["count", "max", "limit"]),
    ("wait", &["delay", "interval", "linger"]),
    ("within", &["window", "delay", "wait"]),
    ("failures", &["threshold", "failure_threshold", "count"]),
    ("probe", &["interval", "cooldown", "reset_timeout"]),
    ("status", &["code", "codes", "statuses"]),
    ("bearer", &["token", "jwt"]),
    ("user", &["username", "login"]),
    ("client_secret", &["secret", "password"]),
    ("ca", &["cacert", "ca_cert", "ca_file"]),
    ("cert", &["certificate", "client_cert", "cert_file"]),
    ("key", &["private_key", "client_key", "key_file"]),
];

/// Keys that a map does not have although people look for them there: a key that the map has, theirs, and why not.
const NOT_THERE: &[(&str, &[&str], &str)] =
    &[("undo", &["when", "if", "condition"], "a step has no condition of its own: write a rule for each case")];

/// The keys that a single value means which stands where their map should.
const OF_SINGLE_VALUES: &[&str] = &["url", "statement", "retries", "size", "within"];

/// What follows the name of an unknown key.
pub(super) fn instead(key: &str, known: &[&str]) -> String {
    let not_there = NOT_THERE.iter().find(|(own, names, _)| known.contains(own) && names.contains(&key));
    if let Some((.., why)) = not_there {
        return format!("; {why}");
    }
    let other = OTHER_NAMES.iter().find(|(own, names)| known.contains(own) && names.contains(&key));
    if let Some((own, _)) = other {
        return format!("; write `{own}`");
    }
    let places = places(key, known);
    if !places.is_empty() {
        return format!("; it belongs below {}", places.join(" or "));
    }
    let hint = did_you_mean(key, known.iter().copied());
    if hint.is_empty() { format!("; known are {}", known.join(", ")) } else { hint }
}

/// What follows the message about a single value in the place of a map with these keys.
pub(super) fn instead_of_single_value(known: &[&str]) -> String {
    let meant = OF_SINGLE_VALUES.iter().find(|key| known.contains(key));
    meant.map_or(String::new(), |key| format!("; write the value below it, as `{key}: ...`"))
}

/// Which of the known keys have the key in the map below them.
fn places(key: &str, known: &[&str]) -> Vec<String> {
    let Ok(schema) = serde_json::from_str::<Json>(RULES_JSON_SCHEMA) else { return Vec::new() };
    let known: BTreeSet<&str> = known.iter().copied().collect();
    let definitions = schema["$defs"].as_object().into_iter().flat_map(|all| all.values());
    let own = std::iter::once(&schema).chain(definitions).find_map(|map| {
        let properties = map["properties"].as_object()?;
        (properties.keys().map(String::as_str).collect::<BTreeSet<_>>() == known).then_some(properties)
    });
    let below = own.into_iter().flatten().filter_map(|(name, property)| {
        if has(&schema, property, key) {
            return Some(format!("`{name}`, indented further"));
        }
        has(&schema, &property["items"], key).then(|| format!("`{name}`, in an item that begins with `- `"))
    });
    below.collect()
}

/// Whether a part of the schema, or what it refers to, is of a map with this key.
fn has(schema: &Json, part: &Json, key: &str) -> bool {
    let own = &part["properties"][key];
    let referred = part["$ref"].as_str().and_then(|target| schema.pointer(target.trim_start_matches('#')));
    *own != false && (own.is_object() || referred.is_some_and(|target| has(schema, target, key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_followed_by_what_to_write() {
        let call = ["call", "sql", "retry", "retry_on"];
        for (key, known, expected) in [
            ("if", &["name", "when"][..], "; write `when`"),
            ("url", &["token_url", "client_id"], "; write `token_url`"),
            ("url", &call, "; it belongs below `call`, indented further"),
            ("statement", &call, "; it belongs below `sql`, indented further"),
            (
                "name",
                &["table", "tables", "vars", "rules"],
                "; it belongs below `rules`, in an item that begins with `- `",
            ),
            ("idempotent", &call, "; known are call, sql, retry, retry_on"),
            ("within", &["size", "bytes"], "; known are size, bytes"),
            ("retires", &["retries", "initial"], "; did you mean `retries`?"),
            ("if", &["undo", "verify"], "; a step has no condition of its own: write a rule for each case"),
            ("weather", &["retries", "initial"], "; known are retries, initial"),
        ] {
            assert_eq!(instead(key, known), expected, "{key}");
        }
        assert_eq!(instead_of_single_value(&["method", "url"]), "; write the value below it, as `url: ...`");
        assert_eq!(instead_of_single_value(&["basic", "bearer"]), "");
    }
}
