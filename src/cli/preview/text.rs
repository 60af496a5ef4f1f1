//! How a preview looks: the change on a line, then each rule with its verdict, the request below it.
//!
//! In: a change and what rules make of it. Out: text for a terminal. Control characters of rows are cleaned.

use std::fmt::Write as _;

use super::super::output::clean;
use super::explained::{Explained, PreviewVerdict, RequestView, StatementView};
use crate::change::{Change, json};

/// How a request is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum RequestForm {
    /// Its lines.
    Plain,
    /// As a command for a shell.
    Curl,
}

pub(in crate::cli) fn preview(change: &Change, explained: &[Explained], form: RequestForm) -> String {
    let mut out = head(change);
    if explained.is_empty() {
        out.push_str("  no rule is for this table\n");
    }
    let width = explained.iter().map(|explained| explained.rule.len()).max().unwrap_or_default();
    for one in explained {
        let verdict = match one.verdict {
            PreviewVerdict::Matches => "matches",
            PreviewVerdict::DoesNotMatch => "does not match",
            PreviewVerdict::DeadLetter => "matches, and becomes a dead letter",
            PreviewVerdict::Paused => "would be paused",
        };
        let clause = one.clause.map_or(String::new(), |clause| format!(", `{clause}`"));
        let why = one.why.as_deref().map_or(String::new(), |why| format!(": {}", clean(why)));
        // Writing to a String can't fail, here and below.
        let _ = writeln!(out, "  {:width$}  {verdict}{clause}{why}", one.rule);
        if let Some(request) = &one.request {
            write_request(request, form, &mut out);
        }
        if let Some(statement) = &one.statement {
            write_statement(statement, &mut out);
        }
        for line in &one.then {
            let _ = writeln!(out, "    - {}", clean(line));
        }
    }
    out
}

fn head(change: &Change) -> String {
    let mut key = Vec::new();
    json::write_key(change, &mut key);
    let transaction = &change.transaction;
    let place = match transaction.file.is_empty() {
        true => String::new(),
        false => format!("  {}:{}", transaction.file, transaction.offset),
    };
    format!("{} {} {}{place}\n", change.op.as_str(), change.table, clean(&String::from_utf8_lossy(&key)))
}

fn write_statement(statement: &StatementView, out: &mut String) {
    let StatementView { sql, params } = statement;
    let lines = sql.lines().map(str::to_owned).chain(params.iter().map(|(name, value)| format!("  {name}: {value}")));
    out.push('\n');
    for line in lines {
        let _ = writeln!(out, "    {}", clean(&line));
    }
    out.push('\n');
}

fn write_request(request: &RequestView, form: RequestForm, out: &mut String) {
    let RequestView { method, url, headers, body, curl } = request;
    out.push('\n');
    match form {
        // As it is: blanks before a line would be a part of a text in quotes.
        RequestForm::Curl => curl.split('\n').for_each(|line| out.push_str(&(clean(line) + "\n"))),
        RequestForm::Plain => {
            let mut line = |text: &str| {
                let _ = writeln!(out, "    {}", clean(text));
            };
            line(&format!("{method} {url}"));
            headers.iter().for_each(|(name, value)| line(&format!("{name}: {value}")));
            if !body.is_empty() {
                line("");
                body.lines().for_each(line);
            }
        }
    }
    out.push('\n');
}
