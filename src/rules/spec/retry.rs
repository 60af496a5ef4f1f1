//! What a rule says of its retries: `retry` and `retry_on`.
//!
//! In: the nodes below these keys. Out: a `RetryPolicy` and a `RetryOn`, within their limits.

use std::time::Duration;

use super::super::call::RetryOn;
use super::super::reader::{NodeReader, member};
use super::super::settings::SettingKey::{self, Plain};
use super::super::settings::{self, SuccessStatuses, set, status_range};
use super::super::yaml::{Node, NodeKind};
use super::call::when_of;
use crate::retry::{Retries, RetryPolicy};

/// With the longest waits more than a lifetime; for more there is `forever`.
const RETRIES_MAX: u32 = 1_000_000;
const DELAY_MAX: Duration = Duration::from_secs(60 * 60);

/// In the order in which messages name them.
const RETRY_KEYS: &[SettingKey<RetryPolicy>] = &[
    Plain("retries", |to, reader, node, _| set(&mut to.retries, reader.retries(node))),
    Plain("initial", |to, reader, node, key| set(&mut to.initial, reader.duration(node, key, DELAY_MAX))),
    Plain("multiplier", |to, reader, node, key| set(&mut to.multiplier, reader.fraction(node, key, 1.0, 10.0))),
    Plain("max_delay", |to, reader, node, key| set(&mut to.max_delay, reader.duration(node, key, DELAY_MAX))),
    Plain("jitter", |to, reader, node, key| set(&mut to.jitter, reader.fraction(node, key, 0.0, 1.0))),
];

/// What may stand below `retry_on`, besides a list.
const RETRY_ON_KEYS: [&str; 3] = ["status", "when", "wait"];

/// What of `retry_on` is read of an answer: templates, still nodes.
#[derive(Clone, Copy, Default)]
pub(in crate::rules) struct RetryByAnswerSpec<'n> {
    pub when: Option<&'n Node>,
    pub wait: Option<&'n Node>,
}

impl<'n> RetryByAnswerSpec<'n> {
    /// Of the value of `retry_on`.
    pub fn of(node: &'n Node) -> RetryByAnswerSpec<'n> {
        let NodeKind::Map(members) = &node.kind else { return RetryByAnswerSpec::default() };
        RetryByAnswerSpec { when: when_of(node), wait: member(members, "wait") }
    }
}

impl NodeReader<'_> {
    pub(in crate::rules) fn retry(&mut self, node: &Node) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        let Some(members) = self.members(node, "`retry`", &settings::names(RETRY_KEYS)) else { return policy };
        self.settings(&mut policy, RETRY_KEYS, members);
        if policy.initial > policy.max_delay {
            self.problem(node.at, "`initial` is longer than `max_delay`");
        }
        policy
    }

    fn retries(&mut self, node: &Node) -> Option<Retries> {
        let word = self.string(node, "retries")?;
        let number = word.parse().ok().filter(|retries| *retries <= RETRIES_MAX).map(Retries::AtMost);
        let retries = number.or_else(|| (word == "forever").then_some(Retries::Forever));
        if retries.is_none() {
            self.problem(node.at, format!("`retries` must be a whole number from 0 to {RETRIES_MAX}, or `forever`"));
        }
        retries
    }

    /// What to retry on: a list, or the map that has it under `status`. A status that is also in `success` is a problem: it can't mean both.
    pub(in crate::rules) fn retry_on(&mut self, node: &Node, success: &[&SuccessStatuses]) -> RetryOn {
        let mut retry_on = RetryOn { statuses: Vec::new(), network: false, timeout: false };
        let Some(node) = self.statuses(node, "retry_on", &RETRY_ON_KEYS) else { return RetryOn::default() };
        for (word, at) in self.words(node, "retry_on") {
            match (word.as_str(), status_range(&word)) {
                ("network", _) => retry_on.network = true,
                ("timeout", _) => retry_on.timeout = true,
                (_, Some((first, last))) => {
                    if (first..=last).any(|status| success.iter().any(|success| success.contains(status))) {
                        self.problem(at, format!("`{word}` of `retry_on` is in `success`, too; it can't mean both"));
                    }
                    retry_on.statuses.push((first, last));
                }
                (_, None) => {
                    let all = "statuses such as `429`, classes such as `5xx`, `network` and `timeout`";
                    self.problem(at, format!("`retry_on` has {all}, not `{word}`"));
                }
            }
        }
        retry_on
    }
}
