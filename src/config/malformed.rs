//! What is wrong with a settings file that can't be read.
//!
//! In: its text and what the YAML reader says. Out: place, key and what to write instead. Values are never shown: one of them may
//! contain the password.

use std::path::Path;

use serde_saphyr::Error as YamlError;

use super::Error;
use crate::suggest::did_you_mean;

/// Names for settings that flags and people have, each with what to write.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("no_watch", "watch: false"),
    ("config", "--config FILE on the command line"),
    ("mysql_password", "mysql_password_file: FILE"),
    ("password", "mysql_password_file: FILE"),
    ("password_file", "mysql_password_file: FILE"),
    ("user", "mysql_user: USER"),
    ("host", "mysql: mysql://user@host:3306"),
    ("url", "mysql: mysql://user@host:3306"),
    ("rule", "rules: DIRECTORY"),
];

pub(super) fn malformed(path: &Path, text: &str, error: &YamlError) -> Error {
    let error = error.without_snippet();
    let place = error.location().map(|location| (location.line(), location.column())).filter(|(line, _)| *line > 0);
    let key = place.and_then(|(line, _)| key_at(text, line as usize)).unwrap_or("a setting");
    let message = match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            // A value that stands where a key should may be an address with a password.
            let shown = if field.contains("://") || field.contains('@') { "***" } else { field };
            format!("unknown key `{shown}`{}", instead(field, expected))
        }
        YamlError::DuplicateMappingKey { .. } => format!("key `{key}` is given twice; remove one of them"),
        YamlError::InvalidBooleanStrict { .. } => format!("`{key}` is true or false"),
        YamlError::InvalidScalar { ty: "u32", .. } => format!("`{key}` must be a whole number from 0 to {}", u32::MAX),
        YamlError::InvalidScalar { ty, .. } if ty.starts_with('u') => {
            format!("`{key}` must be a whole number, 0 or more")
        }
        YamlError::InvalidScalar { .. } => format!("`{key}` is true or false"),
        YamlError::Unexpected { expected, .. } if expected.contains("mapping") => {
            "a settings file is a map of settings, such as `rules: rules`".to_owned()
        }
        YamlError::Unexpected { .. } | YamlError::SerdeInvalidType { .. } => {
            format!("`{key}` must be a single value, not a list or a map")
        }
        other => {
            let said = other.to_string();
            let said = said.lines().next().unwrap_or_default();
            format!("not YAML: {}", said.rsplit_once(" at line ").map_or(said, |(said, _)| said))
        }
    };
    let place = place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
    Error::Malformed { path: path.to_path_buf(), place, message }
}

/// The setting that a line belongs to: the last key without indentation.
fn key_at(text: &str, line: usize) -> Option<&str> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let keys = lines.into_iter().rev().filter(|line| !line.starts_with([' ', '\t', '#', '-']));
    keys.filter_map(|line| Some(line.split_once(':')?.0)).next()
}

fn instead(key: &str, known: &[&str]) -> String {
    let plain = key.trim_start_matches('-').replace('-', "_");
    if known.contains(&plain.as_str()) {
        return format!("; write `{plain}`");
    }
    match OTHER_NAMES.iter().find(|(name, _)| *name == plain) {
        Some((_, own)) => format!("; write `{own}`"),
        None => {
            let hint = did_you_mean(&plain, known.iter().copied());
            if hint.is_empty() { format!("; known are {}", known.join(", ")) } else { hint }
        }
    }
}
