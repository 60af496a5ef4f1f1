//! What a rule makes of a change, and why.
//!
//! In: a rule and a change. Out: the verdict that the rule's own decision gives, the clause that says no with the values that it
//! read, and what would be sent. Sends nothing. Row values are in it, but no secrets and none of the columns that the rule redacts.

use std::sync::Arc;

use serde::Serialize;

use crate::change::{Cell, Change, Op, json};
use crate::delivery::{Delivery, ShownRequest, ShownWork};
use crate::printable::shortened;
use crate::retry::{Retries, RetryPolicy};
use crate::rules::{Clause, OrderBy, Rule};

/// A value in an explanation; longer ones are cut.
const VALUE_CHARS_MAX: usize = 60;

/// A filter may take a redacted value, and not the `***` in its place.
const NOT_SHOWN: &str = "what is sent can't be shown, because it is made from a redacted column";

/// What a rule makes of a change.
#[derive(Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Explained {
    pub rule: String,
    pub verdict: PreviewVerdict,
    /// The clause that says no.
    pub clause: Option<&'static str>,
    /// Why it does not match, can't be decided, can't be sent, or would be paused.
    pub why: Option<String>,
    pub request: Option<RequestView>,
    /// Instead of a request.
    pub statement: Option<StatementView>,
    /// What else is true of the delivery.
    pub then: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum PreviewVerdict {
    Matches,
    DoesNotMatch,
    /// It would become a dead letter without a call.
    DeadLetter,
    /// The table lacks a column that the rule needs.
    Paused,
}

/// A request with secrets masked.
#[derive(Debug, PartialEq, Serialize)]
pub(in crate::cli) struct RequestView {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The same as a command for a shell.
    pub curl: String,
}

impl RequestView {
    fn of(request: ShownRequest) -> RequestView {
        let curl = request.to_curl();
        let ShownRequest { method, url, headers, body } = request;
        RequestView { method, url, headers, body, curl }
    }
}

/// A statement that would be executed, with secrets masked.
#[derive(Debug, PartialEq, Serialize)]
pub(in crate::cli) struct StatementView {
    /// With `?` where values go.
    pub sql: String,
    /// One for each `?`: its name, and its value as JSON; long ones are cut.
    pub params: Vec<(String, String)>,
}

impl Explained {
    /// `change` is of a table that the rule is for.
    pub fn of(rule: &Arc<Rule>, change: &Arc<Change>) -> Explained {
        let explained = Explained {
            rule: rule.name.clone(),
            verdict: PreviewVerdict::Matches,
            clause: None,
            why: None,
            request: None,
            statement: None,
            then: Vec::new(),
        };
        let refusal = rule.refusal(change);
        if let Ok(Some(clause)) = refusal {
            let why = Some(why_not(rule, change, clause));
            return Explained { verdict: PreviewVerdict::DoesNotMatch, clause: Some(clause.key()), why, ..explained };
        }
        if let Some(lacks) = rule.lacks(&change.table) {
            return Explained { verdict: PreviewVerdict::Paused, why: Some(lacks.to_string()), ..explained };
        }
        let sent = match refusal.and_then(|_| sent(rule, change)) {
            Ok(sent) => sent,
            Err(why) => return Explained { verdict: PreviewVerdict::DeadLetter, why: Some(why), ..explained },
        };
        let shown = match rule.redact.is_empty() {
            true => Ok(sent),
            false => self::sent(rule, &Arc::new(change.redacted(|name| rule.redacts(name)))),
        };
        let explained = Explained { then: then(rule, change), ..explained };
        match shown {
            Ok(ShownWork::Request(mut request)) => {
                if !rule.redact.is_empty() {
                    request.url = request.url.replace("%2A%2A%2A", "***");
                }
                Explained { request: Some(RequestView::of(request)), ..explained }
            }
            Ok(ShownWork::Statement(shown)) => {
                let params = shown.shown_params().map(|(name, value)| (name.to_owned(), value)).collect();
                Explained { statement: Some(StatementView { sql: shown.statement, params }), ..explained }
            }
            Err(_) => Explained { why: Some(NOT_SHOWN.to_owned()), ..explained },
        }
    }
}

/// What the first call of a delivery would send: a request or a statement.
fn sent(rule: &Arc<Rule>, change: &Arc<Change>) -> Result<ShownWork, String> {
    Ok(Delivery::of(rule, change).preview()?.work())
}

fn why_not(rule: &Rule, change: &Arc<Change>, clause: Clause) -> String {
    match clause {
        Clause::On => {
            let ops: Vec<&str> = rule.on.iter().map(|op| op.as_str()).collect();
            let article = if matches!(change.op, Op::Insert | Op::Update) { "an" } else { "a" };
            format!("it is for {}, and this is {article} {}", ops.join(", "), change.op.as_str())
        }
        Clause::OwnWrites => "rowhook wrote this change itself, and the rule has no `own_writes: true`".to_owned(),
        Clause::Changed => {
            let same =
                rule.changed.iter().map(|name| format!("{name} is the same, {}", value(rule, change, false, name)));
            same.collect::<Vec<_>>().join("; ")
        }
        Clause::When => why_not_when(rule, change),
    }
}

fn why_not_when(rule: &Rule, change: &Arc<Change>) -> String {
    let Some(when) = &rule.when else { return String::new() };
    let (part, says) = when.refusal(change).unwrap_or((when.text().trim(), Some(false)));
    let says = if says.is_none() { "unknown, because of a NULL" } else { "false" };
    let mut names: Vec<&str> = when.columns().iter().map(|used| used.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut values = Vec::new();
    for (name, (side, is_old)) in names.iter().flat_map(|name| [("row", false), ("old", true)].map(|side| (name, side)))
    {
        if [format!("{side}.{name}"), format!("{side}['{name}']")].iter().any(|way| reads(part, way)) {
            values.push(format!("{side}.{name} is {}", value(rule, change, is_old, name)));
        }
    }
    let values = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
    format!("`{part}` is {says}{values}")
}

/// Whether the text holds this way to a column, and not only the beginning of a longer one.
fn reads(text: &str, way: &str) -> bool {
    text.match_indices(way).any(|(at, _)| {
        let behind = text[at + way.len()..].chars().next();
        way.ends_with(']') || !behind.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// A column's value as JSON.
fn value(rule: &Rule, change: &Change, is_old: bool, name: &str) -> String {
    if rule.redacts(name) {
        return "***".to_owned();
    }
    let Some(index) = change.table.column(name) else { return "not there".to_owned() };
    let value = match is_old {
        false => change.latest(index),
        true => change.old().and_then(|old| match old.cell(index) {
            Cell::Value(value) => Some(value),
            Cell::Absent => None,
        }),
    };
    let Some(value) = value else { return "not in the row image".to_owned() };
    let mut text = Vec::new();
    json::write_value(&value, &mut text);
    shortened(&String::from_utf8_lossy(&text), VALUE_CHARS_MAX)
}

/// In which order it goes, how often it is tried again, what it waits for.
fn then(rule: &Rule, change: &Change) -> Vec<String> {
    let mut then = vec![order(rule, change), retries(&rule.first_action().retry)];
    let settings = &rule.settings;
    then.push(format!("at most {} at the same time", settings.in_flight));
    if let Some(rate) = settings.rate {
        then.push(format!("at most {} in {}", rate.count, humantime::format_duration(rate.per)));
    }
    if let Some(batch) = &rule.batch {
        then.push(format!("up to {} changes in one call", batch.size));
    }
    if let Some(within) = rule.coalesce {
        then.push(format!("changes of the same key within {} are merged", humantime::format_duration(within)));
    }
    if let Some(saga) = &rule.saga
        && saga.steps.len() > 1
    {
        then.push(format!("{} more steps follow, which may read the answer", saga.steps.len() - 1));
    }
    then
}

fn order(rule: &Rule, change: &Change) -> String {
    let columns: Vec<&str> = match &rule.order_by {
        OrderBy::None => return "in no order".to_owned(),
        OrderBy::Table => return "in order with all changes of the table".to_owned(),
        OrderBy::PrimaryKey => change
            .table
            .primary_key
            .iter()
            .filter_map(|index| change.table.columns.get(*index))
            .map(|name| &**name)
            .collect(),
        OrderBy::Columns(names) => names.iter().map(String::as_str).collect(),
    };
    if columns.is_empty() {
        return "in order with all changes of the table, which has no primary key".to_owned();
    }
    let values: Vec<String> =
        columns.iter().map(|name| format!("{name} = {}", value(rule, change, false, name))).collect();
    format!("in order with other changes of {}", values.join(", "))
}

fn retries(policy: &RetryPolicy) -> String {
    let first = humantime::format_duration(policy.initial);
    match policy.retries {
        Retries::AtMost(0) => "no retries".to_owned(),
        Retries::AtMost(1) => format!("one retry after {first}"),
        Retries::AtMost(retries) => format!("up to {retries} retries, the first after {first}"),
        Retries::Forever => format!("retries without end, the first after {first}"),
    }
}
