//! The page that `dead-letters show` prints: one dead letter for people.
//!
//! In: a letter's view. Out: text in aligned columns. Values are shown as JSON, long ones shortened; `--json` has them whole.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::output::{age, clean, table};
use crate::admin::view::{AttemptView, LetterView};

/// Longer values are shortened on the page.
const VALUE_CHARS_MAX: usize = 60;

pub(super) fn letter(letter: &LetterView, now: SystemTime) -> String {
    let mut page = format!("dead letter {}\n", letter.number);
    for (name, value) in facts(letter, now) {
        page += &format!("  {name:<12}{}\n", clean(&value));
    }
    if !letter.attempts.is_empty() {
        page += "\nattempts\n";
        let rows = letter.attempts.iter().enumerate().map(attempt);
        page += &indent(&table(&["", "at", "took", "answer", "text"], rows));
    }
    if let Some(change) = &letter.change {
        page += "\nrow\n";
        page += &indent(&row(change));
    }
    page
}

fn facts(letter: &LetterView, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("rule", letter.rule.clone()),
        ("change", format!("{} of {}", letter.op, letter.table)),
        ("delivery id", letter.id.clone()),
        ("reason", letter.reason.clone()),
        ("message", letter.message.clone()),
        ("since", format!("{} ({} ago)", letter.created_at, age(&letter.created_at, now))),
    ];
    if let Some(at) = &letter.last_replayed_at {
        facts.push(("replays", format!("{} failed, the last {} ago", letter.replays, age(at, now))));
    }
    if let Some(committed_at) = letter.change.as_ref().and_then(|change| change["committed_at"].as_str()) {
        facts.push(("committed", committed_at.to_string()));
    }
    if let Some(transaction) = &letter.transaction {
        if let Some(gtid) = &transaction.gtid {
            facts.push(("gtid", gtid.clone()));
        }
        facts.push(("binlog", format!("{}:{}", transaction.file, transaction.offset)));
    }
    facts
}

fn attempt((index, attempt): (usize, &AttemptView)) -> Vec<String> {
    let answer = attempt.status.map_or("none".to_string(), |status| status.to_string());
    let text = attempt.error.clone().or_else(|| attempt.excerpt.clone()).unwrap_or_default();
    let number = (index + 1).to_string();
    vec![number, attempt.at.clone(), format!("{} ms", attempt.duration_ms), answer, text]
}

/// The columns with their values; of an update both, the changed ones marked.
fn row(change: &Value) -> String {
    let image = |name: &str| change[name].as_object().filter(|image| !image.is_empty());
    let rows = |image: &Map<String, Value>| -> Vec<Vec<String>> {
        image.iter().map(|(column, value)| vec![column.clone(), shortened(Some(value))]).collect()
    };
    match (image("before"), image("after")) {
        (Some(before), Some(after)) => {
            let changed: Vec<&str> =
                change["changed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut columns: Vec<&String> = after.keys().collect();
            columns.extend(before.keys().filter(|column| !after.contains_key(*column)));
            let rows = columns.into_iter().map(|column| {
                let mark = if changed.contains(&column.as_str()) { "*" } else { "" };
                let (old, new) = (shortened(before.get(column)), shortened(after.get(column)));
                vec![mark.to_string(), column.clone(), old, new]
            });
            table(&["", "column", "before", "after"], rows)
        }
        (Some(before), None) => table(&["column", "before"], rows(before)),
        (None, Some(after)) => table(&["column", "after"], rows(after)),
        (None, None) => "no columns\n".to_string(),
    }
}

/// Empty for a column that the row image does not have.
fn shortened(value: Option<&Value>) -> String {
    let text = value.map(Value::to_string).unwrap_or_default();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
