//! What a condition holds for at this moment, by the status.
//!
//! In: a condition, the status, or why there is none. Out: the things that it holds for, the worst first; None where the status can't
//! say, as right after a start: then nothing begins and nothing is over. Pure.

use std::time::{Duration, SystemTime};

use super::super::attention;
use super::super::view::status::{AttentionView, RuleView, StatusView, TargetView, state};
use crate::alert::{AlertItem, ConditionKind};
use crate::clock::since_epoch_us;
use crate::in_words;
use crate::rules::{AlertCondition, Threshold};

/// See the module's header. An `Err` says why the loop gives no status.
pub(super) fn found(
    condition: &AlertCondition,
    status: Result<&StatusView, &String>,
    now: SystemTime,
) -> Option<Vec<AlertItem>> {
    let status = match (condition.kind, status) {
        (_, Ok(status)) => status,
        (ConditionKind::NotReading, Err(problem)) => return Some(vec![AlertItem::new(problem.clone())]),
        (_, Err(_)) => return None,
    };
    let problem = status.source.as_ref().and_then(|source| source.problem.as_ref());
    let rules_in = |wanted: &'static str| status.rules.iter().filter(move |rule| rule.state.as_deref() == Some(wanted));
    Some(match condition.kind {
        ConditionKind::Ended if problem.is_some() => return None,
        ConditionKind::Ended => Vec::new(),
        ConditionKind::NotReading => {
            let text = problem.map(|problem| format!("MySQL is not read: {problem}"));
            text.map(AlertItem::new).into_iter().collect()
        }
        ConditionKind::Stopped => rules_in(state::STOPPED).filter_map(attention::stopped).map(item).collect(),
        ConditionKind::Disk => attention::short_disk(status).map(item).into_iter().collect(),
        ConditionKind::Runway => {
            let Threshold::Below(least) = condition.threshold else { return None };
            attention::short_runway(status, least).map(item).into_iter().collect()
        }
        ConditionKind::Late => {
            status.lag_seconds?;
            let Threshold::Lasts(after) = condition.threshold else { return None };
            // A paused rule is another condition; its line is about paused rules alone.
            let lines = attention::late(status, after, now).into_iter().filter(|line| !is_of_paused(line, status));
            lines.map(|line| late(line, status, now)).collect()
        }
        // While nothing is read, nothing is called either.
        ConditionKind::Unavailable if problem.is_some() && !status.targets.iter().any(is_unavailable) => return None,
        ConditionKind::Unavailable => {
            let targets = status.targets.iter().filter(|target| is_unavailable(target));
            let of = |target: &TargetView| AlertItem {
                since_us: since(target.unavailable_since.as_deref()),
                rules: target.rules.clone(),
                ..item(attention::unavailable_line(target, now))
            };
            targets.map(of).collect()
        }
        ConditionKind::Awaiting => at_least(condition, status.awaiting)
            .map(|count| {
                let letters = in_words::count(count, "dead letter needs", "dead letters need");
                let text = format!("{letters} an operator: the effect is partial");
                AlertItem { count, fix: Some(LIST.to_owned()), ..AlertItem::new(text) }
            })
            .into_iter()
            .collect(),
        ConditionKind::RuleFiles => {
            let of_files = attention::invalid_files(status, now);
            let begun = status.rule_files.as_ref().and_then(|files| files.problems_since.as_deref());
            of_files.map(|line| AlertItem { since_us: since(begun), ..item(line) }).into_iter().collect()
        }
        ConditionKind::Paused => rules_in(state::PAUSED)
            .map(|rule| AlertItem {
                since_us: since(rule.paused_since.as_deref()),
                ..item(attention::paused_line(rule, now))
            })
            .collect(),
        ConditionKind::DeadLetters => dead_letters(condition, status),
    })
}

const LIST: &str = "rowhook dead-letters list";

fn is_unavailable(target: &TargetView) -> bool {
    target.state == state::UNAVAILABLE
}

fn item(line: AttentionView) -> AlertItem {
    AlertItem { fix: line.fix, rules: line.rules, target: line.target, ..AlertItem::new(line.text) }
}

fn is_of_paused(line: &AttentionView, status: &StatusView) -> bool {
    let is_paused = |rule: &RuleView| rule.state.as_deref() == Some(state::PAUSED);
    status.rules.iter().any(|rule| is_paused(rule) && line.rules.contains(&rule.rule))
}

/// A late rule has been late since the commit of its oldest change. Where that was not read yet, as after a start, the lag is a bound and
/// may be none at all: then the time begins when it is first found.
fn late(line: AttentionView, status: &StatusView, now: SystemTime) -> AlertItem {
    let rules = || line.rules.iter().filter_map(|name| status.rules.iter().find(|rule| rule.rule == *name));
    let lag = rules().filter(|rule| !rule.lag_is_bound).filter_map(|rule| rule.lag_seconds).fold(0.0, f64::max);
    let begun = Duration::try_from_secs_f64(lag).ok().filter(|lag| !lag.is_zero()).and_then(|lag| now.checked_sub(lag));
    AlertItem { since_us: begun.map(since_epoch_us), ..item(line) }
}

/// Of each rule that has so many; of the whole where they are too many to be counted by rule.
fn dead_letters(condition: &AlertCondition, status: &StatusView) -> Vec<AlertItem> {
    let text = |count| in_words::count(count, "dead letter", "dead letters");
    let of_rule = |rule: &RuleView| {
        let count = at_least(condition, rule.dead_letters?)?;
        let fix = Some(format!("{LIST} --rule {}", rule.rule));
        let rules = vec![rule.rule.clone()];
        Some(AlertItem { count, fix, rules, ..AlertItem::new(format!("{}: {}", rule.rule, text(count))) })
    };
    let mut items: Vec<AlertItem> = status.rules.iter().filter_map(of_rule).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.count));
    if let Some(count) = at_least(condition, status.dead_letters_of_removed_rules) {
        let text = format!("{} of rules that are not in the rule files", text(count));
        items.push(AlertItem { count, fix: Some(LIST.to_owned()), ..AlertItem::new(text) });
    }
    let is_counted = status.rules.iter().any(|rule| rule.dead_letters.is_some());
    if let (false, Some(count)) = (is_counted, at_least(condition, status.dead_letters)) {
        items.push(AlertItem { count, fix: Some(LIST.to_owned()), ..AlertItem::new(text(count)) });
    }
    items
}

fn at_least(condition: &AlertCondition, count: u64) -> Option<u64> {
    let Threshold::Count(least) = condition.threshold else { return None };
    (count >= least).then_some(count)
}

fn since(at: Option<&str>) -> Option<u64> {
    humantime::parse_rfc3339(at?).ok().map(since_epoch_us)
}

#[cfg(test)]
mod tests;
