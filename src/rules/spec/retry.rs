//! What a rule's `retry` says.
//!
//! In: the node below `retry:`. Out: a `RetryPolicy` within its limits.

use std::time::Duration;

use super::super::reader::Reader;
use super::super::yaml::Node;
use crate::retry::RetryPolicy;

const RETRY_KEYS: [&str; 5] = ["retries", "initial", "multiplier", "max_delay", "jitter"];
/// One try and three retries are what rowhook promises of a delivery.
const RETRIES_MAX: u32 = 3;
const DELAY_MAX: Duration = Duration::from_secs(60 * 60);

impl Reader<'_> {
    pub(super) fn retry(&mut self, node: &Node) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        let Some(members) = self.members(node, "`retry`", &RETRY_KEYS) else { return policy };
        for (key, value) in members {
            let name = key.text.as_str();
            match name {
                "retries" => {
                    let retries = self.integer(value, name, 0, u64::from(RETRIES_MAX));
                    policy.retries = retries.map_or(policy.retries, |retries| retries as u32);
                }
                "initial" => policy.initial = self.duration(value, name, DELAY_MAX).unwrap_or(policy.initial),
                "max_delay" => policy.max_delay = self.duration(value, name, DELAY_MAX).unwrap_or(policy.max_delay),
                "multiplier" => policy.multiplier = self.fraction(value, name, 1.0, 10.0).unwrap_or(policy.multiplier),
                "jitter" => policy.jitter = self.fraction(value, name, 0.0, 1.0).unwrap_or(policy.jitter),
                _ => {}
            }
        }
        if policy.initial > policy.max_delay {
            self.problem(node.at, "`initial` is longer than `max_delay`");
        }
        policy
    }
}
