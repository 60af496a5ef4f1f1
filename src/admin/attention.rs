//! What an operator should look at, the worst first.
//!
//! In: the status. Out: one line for each thing that is late, unavailable, paused, stopped or waits for a person, with the
//! command that helps. The first line is the headline; none at all means that all is well. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::runway;
use super::view::status::{AlertView, AttentionView, RuleView, StatusView, TargetView, state};
use crate::in_words::{ago, bytes, count, span};

/// A rule is late from here on, unless told otherwise: more than the waits of a delivery's retries by default.
pub const LATE_AFTER: Duration = Duration::from_secs(30);

/// The lines, the worst first. What is late for less than `late_after` is not told.
pub fn attention(status: &StatusView, late_after: Duration, now: SystemTime) -> Vec<AttentionView> {
    let mut found = Vec::new();
    if !status.running {
        found.push(line("not_running", "not running".to_owned()).fix("rowhook run"));
    }
    if let Some(problem) = status.source.as_ref().and_then(|source| source.problem.as_ref()) {
        found.push(line("not_reading", format!("MySQL is not read: {problem}")));
    }
    found.extend(status.rules.iter().filter_map(stopped));
    found.extend(short_disk(status));
    found.extend(short_runway(status, runway::SHORT));
    found.extend(invalid_files(status, now));
    found.extend(late(status, late_after, now));
    let is_named = |target: &TargetView| found.iter().any(|line| line.target.as_ref() == Some(&target.target));
    let others = status.targets.iter().filter(|target| target.state == state::UNAVAILABLE && !is_named(target));
    let unavailable: Vec<AttentionView> = others.map(|target| unavailable_line(target, now)).collect();
    found.extend(unavailable);
    let is_late = |rule: &RuleView| found.iter().any(|line| line.rules.contains(&rule.rule));
    let paused = status.rules.iter().filter(|rule| rule.state.as_deref() == Some(state::PAUSED) && !is_late(rule));
    let paused: Vec<AttentionView> = paused.map(|rule| paused_line(rule, now)).collect();
    found.extend(paused);
    found.extend(letters(status));
    found.extend(unwritten_journal(status));
    found.extend(status.alerts.iter().filter_map(|alert| unsent(alert, now)));
    found
}

fn line(kind: &str, text: String) -> AttentionView {
    AttentionView { kind: kind.to_owned(), text, ..AttentionView::default() }
}

impl AttentionView {
    fn fix(self, command: &str) -> AttentionView {
        AttentionView { fix: Some(command.to_owned()), ..self }
    }
}

pub(super) fn unavailable_line(target: &TargetView, now: SystemTime) -> AttentionView {
    AttentionView { target: Some(target.target.clone()), ..line("unavailable", target_cause(target, now)) }
}

pub(super) fn paused_line(rule: &RuleView, now: SystemTime) -> AttentionView {
    let text = format!("{} {}", rule.rule, paused_cause(rule, now));
    AttentionView { rules: vec![rule.rule.clone()], ..line("paused", text) }
        .fix(&format!("rowhook resume {}", rule.rule))
}

pub(super) fn short_disk(status: &StatusView) -> Option<AttentionView> {
    let storage = status.storage.filter(|storage| storage.is_short)?;
    Some(line("disk", format!("{} left on the disk of {}", bytes(storage.free_bytes), status.data)))
}

pub(super) fn invalid_files(status: &StatusView, now: SystemTime) -> Option<AttentionView> {
    let since = status.rule_files.as_ref()?.problems_since.as_ref()?;
    let text = format!("rule files are invalid for {}; the previous rules stay active", ago(since, now, span));
    Some(line("rule_files", text).fix("rowhook check"))
}

/// Deliveries go on without it, and can't be looked up later.
fn unwritten_journal(status: &StatusView) -> Option<AttentionView> {
    let problem = status.journal.as_ref()?.problem.as_ref()?;
    Some(line("journal", format!("deliveries are not journaled: {problem}")))
}

/// An alert that does not arrive.
fn unsent(alert: &AlertView, now: SystemTime) -> Option<AttentionView> {
    let (since, error) = (time_of_day(alert.failing_since.as_ref()?, now), alert.last_error.as_ref()?);
    let text = format!("alert {} is not sent since {since}: {error}", alert.alert);
    Some(line("alerts", text).fix(&format!("rowhook alert test {}", alert.alert)))
}

pub(super) fn stopped(rule: &RuleView) -> Option<AttentionView> {
    let is_stopped = rule.state.as_deref() == Some(state::STOPPED);
    let why = rule.why.as_deref().unwrap_or("its reader gave up");
    is_stopped.then(|| AttentionView {
        rules: vec![rule.rule.clone()],
        ..line("stopped", format!("{} is stopped: {why}", rule.rule)).fix(&format!("rowhook resume {}", rule.rule))
    })
}

/// Less than `least` is short; see [`runway::is_short`].
pub(super) fn short_runway(status: &StatusView, least: Duration) -> Option<AttentionView> {
    let left = Duration::from_secs(status.runway_seconds?);
    let kept = Duration::from_secs(status.source.as_ref()?.binlog_kept_seconds?);
    let is_late = |rule: &RuleView| rule.state.as_deref() != Some(state::ATTACHED) && rule.lag_seconds != Some(0.0);
    let when = if left.is_zero() { "at any moment".to_owned() } else { format!("in {}", span(left)) };
    (runway::is_short(left, kept, least) && status.rules.iter().any(is_late))
        .then(|| line("runway", format!("the server may purge binlog that is still needed {when}")))
}

/// Late rules, those with the same cause in one line.
pub(super) fn late(status: &StatusView, late_after: Duration, now: SystemTime) -> Vec<AttentionView> {
    let mut by_cause: BTreeMap<String, Vec<&RuleView>> = BTreeMap::new();
    for rule in &status.rules {
        let is_stopped = rule.state.as_deref() == Some(state::STOPPED);
        if !is_stopped && lag(rule).is_some_and(|lag| lag >= late_after) {
            by_cause.entry(cause(rule, status, now)).or_default().push(rule);
        }
    }
    let mut groups: Vec<(String, Vec<&RuleView>)> = by_cause.into_iter().collect();
    for (_, rules) in &mut groups {
        rules.sort_by_key(|rule| std::cmp::Reverse(lag(rule)));
    }
    groups.sort_by_key(|(_, rules)| std::cmp::Reverse(lag(rules[0])));
    let of_group = |(cause, rules): (String, Vec<&RuleView>)| {
        let worst = rules[0];
        let bound = if worst.lag_is_bound { "at most " } else { "" };
        let late_by = span(lag(worst).unwrap_or_default());
        let names = match rules.len() {
            1 => worst.rule.clone(),
            2 => format!("{} and {}", worst.rule, rules[1].rule),
            all => format!("{} and {} more rules", worst.rule, all - 1),
        };
        let target = unavailable(worst, status).map(|target| target.target.clone());
        let is_paused = worst.state.as_deref() == Some(state::PAUSED);
        let fix = is_paused.then(|| format!("rowhook resume {}", worst.rule));
        let rules: Vec<String> = rules.iter().map(|rule| rule.rule.clone()).collect();
        AttentionView { rules, target, fix, ..line("late", format!("{names} late by {bound}{late_by}: {cause}")) }
    };
    groups.into_iter().map(of_group).collect()
}

fn lag(rule: &RuleView) -> Option<Duration> {
    Duration::try_from_secs_f64(rule.lag_seconds?).ok()
}

/// Why a rule is late.
fn cause(rule: &RuleView, status: &StatusView, now: SystemTime) -> String {
    if rule.state.as_deref() == Some(state::PAUSED) {
        return paused_cause(rule, now);
    }
    if let Some(target) = unavailable(rule, status) {
        return target_cause(target, now);
    }
    let target = status.targets.iter().find(|target| Some(&target.target) == rule.target.as_ref());
    if let Some((target, until)) = target.and_then(|target| Some((target, target.waiting_until.as_ref()?))) {
        return format!("{} asked for a pause until {}", target.target, time_of_day(until, now));
    }
    match (rule.in_retry.unwrap_or(0), rule.unresolved.unwrap_or(0), rule.has_unread) {
        (_, 0, _) => "the binlog is not read to its end yet".to_owned(),
        (retry @ 1.., unresolved, false) if retry == unresolved => "all that waits is in retry".to_owned(),
        (retry, unresolved, has_unread) => {
            let more = if has_unread { "more than " } else { "" };
            let retry = if retry > 0 { format!(", {retry} of them in retry") } else { String::new() };
            let deliveries = count(unresolved, "delivery waits", "deliveries wait");
            format!("{more}{deliveries}{retry}")
        }
    }
}

fn unavailable<'s>(rule: &RuleView, status: &'s StatusView) -> Option<&'s TargetView> {
    let is_meant =
        |target: &&TargetView| target.state == state::UNAVAILABLE && Some(&target.target) == rule.target.as_ref();
    status.targets.iter().find(is_meant)
}

fn target_cause(target: &TargetView, now: SystemTime) -> String {
    let since = target.unavailable_since.as_deref().map_or("?".to_owned(), |at| time_of_day(at, now));
    let error = target.last_error.as_deref().unwrap_or("unavailable");
    format!("{} {error}, unavailable since {since}", target.target)
}

fn paused_cause(rule: &RuleView, now: SystemTime) -> String {
    let since = rule.paused_since.as_deref().map_or("?".to_owned(), |at| time_of_day(at, now));
    let why = rule.why.as_deref().filter(|why| !why.is_empty()).map_or(String::new(), |why| format!(" ({why})"));
    format!("paused since {since}{why}")
}

fn letters(status: &StatusView) -> Option<AttentionView> {
    if status.dead_letters == 0 {
        return None;
    }
    let mut text = count(status.dead_letters, "dead letter", "dead letters");
    if status.awaiting > 0 {
        let (one, several) =
            ("of them needs an operator: its effect is partial", "of them need an operator: their effect is partial");
        text += &format!("; {}", count(status.awaiting, one, several));
    }
    if status.blocked > 0 {
        let waiting = count(status.blocked, "delivery waits behind them", "deliveries wait behind them");
        text += &format!("; {waiting}");
    }
    Some(line("dead_letters", text).fix("rowhook dead-letters list"))
}

/// `12:04 UTC`, with the day where it was another one.
fn time_of_day(at: &str, now: SystemTime) -> String {
    let today = humantime::format_rfc3339_seconds(now).to_string();
    match (at.get(..10), at.get(11..16)) {
        (Some(day), Some(time)) if today.starts_with(day) => format!("{time} UTC"),
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => at.to_owned(),
    }
}

#[cfg(test)]
mod tests;
