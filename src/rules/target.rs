//! Targets: what several rules call together, and what applies to all calls to it.
//!
//! A target is an origin: scheme, host and port, or all hosts that the rows of one rule choose. Which rules call it follows
//! from their URLs; what is set for it stands under `targets:` in a file of the rule directory. Plain data; delivery acts on it.

use std::time::Duration;

use super::proxy::ProxyChoice;

/// One target with what is set for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// `https://api.example.com`, with the port where it is not the scheme's own.
    pub origin: String,
    pub rate: Option<Rate>,
    /// Attempts under way at the same time, over all rules.
    pub in_flight: Option<usize>,
    /// None: it never counts as unavailable.
    pub breaker: Option<BreakerPolicy>,
    pub proxy: ProxyChoice,
    /// It stands for the many hosts that the rows of a rule choose: what one of them asks for applies to none of the others.
    pub is_many_hosts: bool,
}

impl Target {
    /// A target for which nothing is set.
    pub fn of(origin: &url::Origin) -> Target {
        Target { origin: origin.ascii_serialization(), ..Target::unset() }
    }

    fn unset() -> Target {
        Target {
            origin: String::new(),
            rate: None,
            in_flight: None,
            breaker: Some(BreakerPolicy::default()),
            proxy: ProxyChoice::AsSet,
            is_many_hosts: false,
        }
    }

    /// The server that `sql` writes to, of which there is one.
    pub fn of_write_url() -> Target {
        Target { origin: WRITE_URL.to_owned(), ..Target::unset() }
    }

    /// All hosts that the rows of this rule choose, under one name. One that is unavailable must not stop the others.
    pub fn of_chosen_hosts(rule: &str) -> Target {
        Target { origin: format!("hosts of {rule}"), breaker: None, is_many_hosts: true, ..Target::unset() }
    }
}

/// The name of the server that statements are for; no origin is spelt like it.
const WRITE_URL: &str = "write_url";

/// So many attempts in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    pub per: Duration,
}

impl Rate {
    /// More than one process can send: such a number is meant as no limit.
    pub const COUNT_MAX: u32 = 1_000_000;

    /// `50/s`, `50/m` or `50/h`.
    pub fn parse(text: &str) -> Option<Rate> {
        let (count, unit) = text.split_once('/')?;
        let per_s = match unit.trim() {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            _ => return None,
        };
        let count = count.trim().parse().ok().filter(|count| (1..=Rate::COUNT_MAX).contains(count))?;
        Some(Rate { count, per: Duration::from_secs(per_s) })
    }
}

/// When a target counts as unavailable, and how it is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many failed first attempts in a row, of as many keys, over all rules.
    pub failures: u32,
    /// The wait before the first probe; each further one waits twice as long, with jitter.
    pub probe: Duration,
    /// No probe waits longer.
    pub max_probe: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy { failures: 5, probe: Duration::from_secs(1), max_probe: Duration::from_secs(30) }
    }
}
