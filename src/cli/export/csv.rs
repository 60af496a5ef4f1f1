//! Dead letters as CSV (RFC 4180), with a head line.
//!
//! In: a letter's view. Out: one record. The crate `csv` is not among our dependencies, and writing needs one rule only: a field with a
//! comma, a quote or a line break stands in quotes, and quotes in it are doubled. Nothing is read.

use std::borrow::Cow;

use super::super::page;
use crate::admin::view::LetterView;

const COLUMNS: [&str; 22] = [
    "number",
    "created_at",
    "rule",
    "op",
    "table",
    "key",
    "reason",
    "effect",
    "status",
    "error",
    "excerpt",
    "attempts_total",
    "message",
    "replays",
    "last_replayed_at",
    "resolved_at",
    "resolved_note",
    "id",
    "gtid",
    "change",
    "edited_at",
    "edited_body",
];

pub(super) fn head() -> String {
    COLUMNS.join(",") + "\n"
}

/// What there is not is an empty field.
pub(super) fn line(letter: &LetterView) -> String {
    let last = letter.attempts.last();
    let resolved = letter.resolved.as_ref();
    let edit = letter.edit.as_ref().filter(|edit| !edit.reverted);
    let fields: [Cow<str>; COLUMNS.len()] = [
        letter.number.to_string().into(),
        (&*letter.created_at).into(),
        (&*letter.rule).into(),
        (&*letter.op).into(),
        (&*letter.table).into(),
        page::key(letter).into(),
        (&*letter.reason).into(),
        letter.effect.as_deref().unwrap_or_default().into(),
        last.and_then(|attempt| attempt.status).map(|status| status.to_string()).unwrap_or_default().into(),
        last.and_then(|attempt| attempt.error.as_deref()).unwrap_or_default().into(),
        last.and_then(|attempt| attempt.excerpt.as_deref()).unwrap_or_default().into(),
        letter.attempts_total.to_string().into(),
        (&*letter.message).into(),
        letter.replays.to_string().into(),
        letter.last_replayed_at.as_deref().unwrap_or_default().into(),
        resolved.map(|resolved| &*resolved.at).unwrap_or_default().into(),
        resolved.map(|resolved| &*resolved.note).unwrap_or_default().into(),
        (&*letter.id).into(),
        letter.transaction.as_ref().and_then(|transaction| transaction.gtid.as_deref()).unwrap_or_default().into(),
        letter.change.as_ref().map(|change| change.get()).unwrap_or_default().into(),
        edit.map(|edit| &*edit.at).unwrap_or_default().into(),
        edit.and_then(|edit| edit.body.as_deref()).unwrap_or_default().into(),
    ];
    fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",") + "\n"
}

fn quoted(field: &str) -> Cow<'_, str> {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")).into(),
        false => field.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_would_be_read_as_something_else() {
        for (field, expected) in [
            ("", ""),
            ("plain text; 'x'", "plain text; 'x'"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("two\r", "\"two\r\""),
            (" blanks ", " blanks "),
        ] {
            assert_eq!(quoted(field), expected);
        }
    }
}
