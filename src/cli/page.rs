//! The page that `dead-letters show` prints: one dead letter for people; and its key in few words.
//!
//! In: a dead letter's view, and how wide the terminal is. Out: text in aligned columns, folded where it is too wide. Values are shown as
//! JSON, long ones shortened; `--json` has them whole.

mod saga;

use std::time::SystemTime;

use serde_json::Value;

use super::output::{ago, clean, folded_table, short};
use crate::admin::view::{AttemptView, EditView, LetterView};
use crate::change::key_text::{OrderedMembers, key_text, value_text};
use crate::failure::{answer_word, attempt_numbers};

/// Blanks before what belongs to a heading.
const INDENT: u16 = 2;

/// `width`: of the terminal, where it is one.
pub(super) fn letter(letter: &LetterView, now: SystemTime, width: Option<u16>) -> String {
    let width = width.map(|width| width.saturating_sub(INDENT));
    // An event of a newer rowhook that does not read is left out; the rest of the page is still of use.
    let event: Option<Event> = letter.change.as_ref().and_then(|change| serde_json::from_str(change.get()).ok());
    let mut page = format!("dead letter {}\n", letter.number);
    for (name, value) in facts(letter, event.as_ref(), now) {
        page += &format!("  {name:<12}{}\n", clean(&value));
    }
    if !letter.attempts.is_empty() {
        page += "\nattempts\n";
        let numbers = attempt_numbers(letter.attempts.len(), letter.attempts_total);
        let rows = numbers.zip(&letter.attempts).map(attempt);
        page += &indent(&folded_table(&["", "at", "took", "answer", "text"], rows, width));
    }
    if let Some(log) = &letter.saga {
        page += "\nsaga\n";
        page += &indent(&saga::saga(log, letter.number, letter.resolved.is_some(), width));
    }
    if let Some(body) = letter.edit.as_ref().and_then(|edit| edit.body.as_deref()) {
        page += "\nedited body\n";
        page += &body_lines(body);
    }
    if let Some(event) = &event {
        page += "\nrow\n";
        page += &indent(&row(event, width));
    }
    page
}

fn facts(letter: &LetterView, event: Option<&Event>, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("rule", letter.rule.clone()),
        ("change", format!("{} of {}", letter.op, letter.table)),
        ("key", key(letter)),
        ("delivery id", letter.id.clone()),
        ("reason", letter.reason.clone()),
        ("message", letter.message.clone()),
        ("since", format!("{} ({} ago)", letter.created_at, ago(&letter.created_at, now, short))),
    ];
    if let Some(resolved) = &letter.resolved {
        facts.push(("resolved", format!("{} ago: {}", ago(&resolved.at, now, short), resolved.note)));
    }
    if let Some(edit) = &letter.edit {
        facts.push(("edited", edited(edit, now)));
    }
    if let Some(at) = &letter.last_replayed_at {
        facts.push(("replays", format!("{} failed, the last {} ago", letter.replays, ago(at, now, short))));
    }
    if !letter.redacted.is_empty() {
        facts.push(("redacted", letter.redacted.join(", ")));
    }
    if let Some(event) = event {
        facts.push(("committed", event.committed_at.clone()));
    }
    if let Some(transaction) = &letter.transaction {
        if let Some(gtid) = &transaction.gtid {
            facts.push(("gtid", gtid.clone()));
        }
        facts.push(("binlog", format!("{}:{}", transaction.file, transaction.offset)));
    }
    facts
}

fn edited(edit: &EditView, now: SystemTime) -> String {
    let EditView { number, at, idempotency_key, .. } = edit;
    let ago = ago(at, now, short);
    match idempotency_key {
        Some(key) => format!("{ago} ago ({number}): a replay sends the body below under Idempotency-Key {key}"),
        None => format!("reverted {ago} ago: a replay sends the rule's body"),
    }
}

/// Line by line, so that nothing in it steers the terminal.
fn body_lines(body: &str) -> String {
    body.lines().map(|line| format!("  {}\n", clean(line))).collect()
}

fn attempt((number, attempt): (u64, &AttemptView)) -> Vec<String> {
    let answer = answer_word(attempt.status, attempt.error.as_deref()).into_owned();
    let text = attempt.error.clone().or_else(|| attempt.excerpt.clone()).unwrap_or_default();
    vec![number.to_string(), attempt.at.clone(), format!("{} ms", attempt.duration_ms), answer, text]
}

/// What the page shows of a change event.
#[derive(Debug, serde::Deserialize)]
struct Event {
    committed_at: String,
    before: Option<OrderedMembers>,
    after: Option<OrderedMembers>,
    changed: Vec<String>,
}

/// The value of a row image in this column.
fn value_of<'a>(image: &'a OrderedMembers, column: &str) -> Option<&'a Value> {
    image.0.iter().find(|(name, _)| name == column).map(|(_, value)| value)
}

/// The columns with their values; of an update both, the changed ones marked.
fn row(event: &Event, width: Option<u16>) -> String {
    let rows = |image: &OrderedMembers| -> Vec<Vec<String>> {
        image.0.iter().map(|(column, value)| vec![column.clone(), shown(Some(value))]).collect()
    };
    match (&event.before, &event.after) {
        (Some(before), Some(after)) => {
            let only_before = before.0.iter().filter(|(column, _)| value_of(after, column).is_none());
            let rows = after.0.iter().chain(only_before).map(|(column, _)| {
                let mark = if event.changed.contains(column) { "*" } else { "" };
                let (old, new) = (shown(value_of(before, column)), shown(value_of(after, column)));
                vec![mark.to_string(), column.clone(), old, new]
            });
            folded_table(&["", "column", "before", "after"], rows, width)
        }
        (Some(before), None) => folded_table(&["column", "before"], rows(before), width),
        (None, Some(after)) => folded_table(&["column", "after"], rows(after), width),
        (None, None) => "no columns\n".to_string(),
    }
}

/// The row's primary key in few words.
pub(super) fn key(letter: &LetterView) -> String {
    letter.key.as_ref().map_or_else(|| "-".to_string(), |key| key_text(key.get()))
}

/// Empty for a column that the row image does not have.
fn shown(value: Option<&Value>) -> String {
    value.map(value_text).unwrap_or_default()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", format!("  {line}").trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_shown_in_the_order_of_its_columns_with_the_changed_ones_marked() {
        let text = r#"{"committed_at": "-", "before": {"z": 1, "a": "x", "gone": null}, "after": {"z": 12.50, "a": "x"},
            "changed": ["z"]}"#;
        let event: Event = serde_json::from_str(text).expect("an event");
        let expected =
            "   column  before  after\n*  z       1       12.50\n   a       \"x\"     \"x\"\n   gone    null\n";
        assert_eq!(row(&event, None), expected);
    }
}
