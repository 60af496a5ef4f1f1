//! What was reported by one alert, and what there is to report now.
//!
//! In: what a condition holds for, moment by moment, and what became of the calls. Out: an alert when there is one to send: for each
//! condition one in `every` at most, and one when it is over. What changed is reported then, what lasts after `repeat`. Pure: it is given
//! the time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::UnsentAlert;
use crate::alert::{Alert, AlertItem, AlertState, ConditionKind};
use crate::in_words::span;
use crate::printable::shortened;
use crate::rules::{AlertCondition, AlertRule, Threshold};

/// More is no title, but a text.
const TITLE_CHARACTERS_MAX: usize = 300;

/// An alert that could not be sent waits for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// How often may be reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct AlertLimits {
    every: Duration,
    repeat: Option<Duration>,
    /// Whether what was reported before this process and is not found is over.
    may_end: bool,
}

impl AlertLimits {
    pub(super) fn of(alert: &AlertRule, may_end: bool) -> AlertLimits {
        AlertLimits { every: alert.every, repeat: alert.repeat, may_end }
    }
}

/// See the module's header.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct AlertLedger {
    reported: BTreeMap<ConditionKind, LastReport>,
    /// When a thing was found first, where the status does not say.
    #[serde(skip)]
    first_found_us: BTreeMap<(ConditionKind, String), u64>,
    #[serde(skip)]
    failures: BTreeMap<ConditionKind, SendFailure>,
    /// What was to be reported by a call that got no answer, with its title and since when it holds: it may have arrived, so its end is
    /// reported.
    #[serde(skip)]
    in_doubt: BTreeMap<ConditionKind, (String, u64)>,
}

/// What was reported last of a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LastReport {
    is_firing: bool,
    since_us: u64,
    /// When it was last reported that it holds.
    fired_at_us: u64,
    sent_at_us: u64,
    title: String,
    /// By this process.
    #[serde(skip)]
    is_own: bool,
    /// Rules, targets, or nothing for the whole; with their dead letters.
    subjects: BTreeMap<String, u64>,
}

/// An alert can't be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SendFailure {
    pub since_us: u64,
    pub error: String,
    /// It is tried again at this moment.
    again_at_us: u64,
}

impl AlertLedger {
    /// The alert that is to be sent now, where there is one. `found`: all that the condition holds for.
    pub(super) fn due(
        &mut self,
        condition: &AlertCondition,
        found: Vec<AlertItem>,
        limits: AlertLimits,
        now_us: u64,
    ) -> Option<Alert> {
        let kind = condition.kind;
        let items = self.lasting(condition, found, now_us);
        // After a start, what is not found yet may still be so.
        if let Some(last) = self.reported.get_mut(&kind).filter(|last| last.is_own || limits.may_end) {
            last.forget_gone(kind, &items);
        }
        let firing = self.reported.get(&kind).filter(|last| last.is_firing);
        let in_doubt = self.in_doubt.get(&kind);
        if items.is_empty() && firing.is_none() && in_doubt.is_none() {
            // There is nothing left that could not be sent.
            self.failures.remove(&kind);
        }
        if self.failures.get(&kind).is_some_and(|failure| now_us < failure.again_at_us) {
            return None;
        }
        let Some(worst) = items.first() else {
            let (title, since_us) = match (firing, in_doubt) {
                (Some(last), _) if last.is_own || limits.may_end => (&last.title, last.since_us),
                (Some(_), _) | (None, None) => return None,
                (None, Some((title, since_us))) => (title, *since_us),
            };
            let lasted = span(Duration::from_micros(now_us.saturating_sub(since_us)));
            let (title, state) = (format!("resolved after {lasted}: {title}"), AlertState::Resolved);
            return Some(Alert { kind, state, title, items: Vec::new(), since_us, at_us: now_us });
        };
        // A time to come is that of another clock.
        let waited = |last: &LastReport, time: Duration| {
            now_us.checked_sub(last.fired_at_us).is_none_or(|since_us| since_us >= micros(time))
        };
        let is_due = match (self.reported.get(&kind), firing) {
            (None, _) => true,
            (Some(last), None) => waited(last, limits.every),
            (Some(last), Some(_)) => {
                (waited(last, limits.every) && last.lacks(kind, &items))
                    || limits.repeat.is_some_and(|repeat| waited(last, repeat.max(limits.every)))
            }
        };
        let more = match items.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        let since_us = match firing {
            Some(last) => last.since_us,
            None => items.iter().filter_map(|item| item.since_us).min().unwrap_or(now_us),
        };
        let title = format!("{}{more}", shortened(&worst.text, TITLE_CHARACTERS_MAX));
        is_due.then_some(Alert { kind, state: AlertState::Firing, title, items, since_us, at_us: now_us })
    }

    /// Those that have lasted as long as the condition asks.
    fn lasting(&mut self, condition: &AlertCondition, found: Vec<AlertItem>, now_us: u64) -> Vec<AlertItem> {
        let kind = condition.kind;
        let names: Vec<String> = found.iter().flat_map(|item| subjects_of(kind, item)).map(|(name, _)| name).collect();
        self.first_found_us.retain(|(of, name), _| *of != kind || names.contains(name));
        let mut dated = |mut item: AlertItem| {
            let name = subjects_of(kind, &item).next().map(|(name, _)| name).unwrap_or_default();
            let first_us = *self.first_found_us.entry((kind, name)).or_insert(now_us);
            item.since_us = Some(item.since_us.unwrap_or(first_us).min(now_us));
            item
        };
        let least_us = match condition.threshold {
            Threshold::Lasts(time) => micros(time),
            Threshold::Any | Threshold::Count(_) | Threshold::Below(_) => 0,
        };
        let items = found.into_iter().map(&mut dated);
        items.filter(|item| item.since_us.is_some_and(|since_us| now_us - since_us >= least_us)).collect()
    }

    /// The alert has arrived.
    pub(super) fn sent(&mut self, alert: Alert) {
        let Alert { kind, state, title, items, since_us, at_us } = alert;
        self.failures.remove(&kind);
        self.in_doubt.remove(&kind);
        match state {
            AlertState::Firing => {
                let subjects = items.iter().flat_map(|item| subjects_of(kind, item)).collect();
                let (fired_at_us, sent_at_us) = (at_us, at_us);
                let last =
                    LastReport { is_firing: true, since_us, fired_at_us, sent_at_us, title, is_own: true, subjects };
                self.reported.insert(kind, last);
            }
            AlertState::Resolved => {
                if let Some(last) = self.reported.get_mut(&kind) {
                    (last.is_firing, last.sent_at_us) = (false, at_us);
                }
            }
        }
    }

    /// The alert did not arrive.
    pub(super) fn failed(&mut self, alert: &Alert, unsent: UnsentAlert, now_us: u64) {
        let kind = alert.kind;
        let UnsentAlert { error, may_have_arrived } = unsent;
        if alert.state == AlertState::Firing && may_have_arrived {
            self.in_doubt.insert(kind, (alert.title.clone(), alert.since_us));
        }
        let since_us = self.failures.get(&kind).map_or(now_us, |failure| failure.since_us);
        self.failures.insert(kind, SendFailure { since_us, error, again_at_us: now_us + micros(AFTER_FAILURE) });
    }

    pub(super) fn firing(&self) -> impl Iterator<Item = ConditionKind> {
        self.reported.iter().filter(|(_, last)| last.is_firing).map(|(kind, _)| *kind)
    }

    pub(super) fn last_sent_us(&self) -> Option<u64> {
        self.reported.values().map(|last| last.sent_at_us).max()
    }

    /// Since when something can't be sent, and why.
    pub(super) fn failure(&self) -> Option<&SendFailure> {
        self.failures.values().min_by_key(|failure| failure.since_us)
    }
}

impl LastReport {
    /// What is gone and comes back is reported again.
    fn forget_gone(&mut self, kind: ConditionKind, items: &[AlertItem]) {
        let now: BTreeMap<String, u64> = items.iter().flat_map(|item| subjects_of(kind, item)).collect();
        self.subjects.retain(|name, _| now.contains_key(name));
        for (name, count) in &mut self.subjects {
            *count = (*count).min(now[name]);
        }
    }

    /// Whether there is something that was not reported: one more, or more dead letters.
    fn lacks(&self, kind: ConditionKind, items: &[AlertItem]) -> bool {
        let is_reported = |(name, count): (String, u64)| self.subjects.get(&name).is_some_and(|last| *last >= count);
        !items.iter().flat_map(|item| subjects_of(kind, item)).all(is_reported)
    }
}

/// What an item is about: each of its rules, or its target, or the whole. Of a target that is unavailable, the target alone.
fn subjects_of(kind: ConditionKind, item: &AlertItem) -> impl Iterator<Item = (String, u64)> {
    let rules = if kind == ConditionKind::Unavailable { &[][..] } else { &item.rules };
    let whole = rules.is_empty().then(|| item.target.clone().unwrap_or_default());
    rules.iter().cloned().chain(whole).map(|name| (name, item.count))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
