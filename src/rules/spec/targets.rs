//! What a file says of targets.
//!
//! In: the node below `targets:`. Out: one `Target` per origin, with its place. What is not set is as without the file.

use std::time::Duration;

use url::Url;

use super::super::defaults::DEFAULTS;
use super::super::diagnostic::FilePlace;
use super::super::reader::{NodeReader, member};
use super::super::settings::SettingKey::{self, Other, Plain};
use super::super::settings::{self, set};
use super::super::target::{BreakerPolicy, Target};
use super::super::yaml::{Node, NodeKind};

/// As many as connections are kept.
const IN_FLIGHT_MAX: u64 = 4096;
/// With a larger number a target would hardly ever become unavailable.
const FAILURES_MAX: u64 = 1000;
const PROBE_MAX: Duration = Duration::from_secs(60 * 60);

/// In the order in which messages name them, as the next.
const TARGET_KEYS: &[SettingKey<Target>] = &[
    Plain("rate", |to, reader, node, key| set(&mut to.rate, reader.rate(node, key))),
    Plain("in_flight", |to, reader, node, key| {
        set(&mut to.in_flight, reader.integer(node, key, 1, IN_FLIGHT_MAX).map(|number| number as usize))
    }),
    Plain("breaker", |to, reader, node, _| to.breaker = reader.breaker(node)),
    // A secret, which `compile` reads.
    Other("proxy"),
];
const BREAKER_KEYS: &[SettingKey<BreakerPolicy>] = &[
    Plain("failures", |to, reader, node, key| {
        set(&mut to.failures, reader.integer(node, key, 1, FAILURES_MAX).map(|number| number as u32))
    }),
    Plain("probe", |to, reader, node, key| set(&mut to.probe, reader.duration(node, key, PROBE_MAX))),
    Plain("max_probe", |to, reader, node, key| set(&mut to.max_probe, reader.duration(node, key, PROBE_MAX))),
];

/// A target as written.
pub(in crate::rules) struct TargetSpec<'n> {
    /// Without its proxy.
    pub target: Target,
    pub at: FilePlace,
    pub proxy: Option<&'n Node>,
}

impl<'n> NodeReader<'_> {
    /// Reads a whole file of targets; those with problems are left out.
    pub(in crate::rules) fn targets(&mut self, root: &'n Node) -> Vec<TargetSpec<'n>> {
        let Some(members) = self.members(root, "a file of targets", &["targets", DEFAULTS]) else { return Vec::new() };
        match member(members, "targets").map(|node| (node, &node.kind)) {
            Some((_, NodeKind::Map(targets))) => {
                targets.iter().filter_map(|(key, node)| self.target(&key.text, key.at, node)).collect()
            }
            Some((node, _)) => {
                let message = format!(
                    "`targets` must be a map from origin, such as `https://api.example.com`, to settings, not {}",
                    node.describe()
                );
                self.problem(node.at, message);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn target(&mut self, origin: &str, at: FilePlace, node: &'n Node) -> Option<TargetSpec<'n>> {
        let url = match Url::parse(origin) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => url,
            _ => {
                self.problem(at, format!("`{origin}` is no origin; write one as `https://api.example.com`"));
                return None;
            }
        };
        let mut target = Target::of(&url.origin());
        // Parsing gives an empty path as `/`; whatever else is there would be lost.
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            let message = format!("a target is scheme, host and port alone: `{}`", target.origin);
            self.problem(at, message);
            return None;
        }
        let members = self.members(node, "a target", &settings::names(TARGET_KEYS))?;
        self.settings(&mut target, TARGET_KEYS, members);
        Some(TargetSpec { target, at, proxy: member(members, "proxy") })
    }

    fn breaker(&mut self, node: &Node) -> Option<BreakerPolicy> {
        if let NodeKind::Scalar { text, .. } = &node.kind
            && !node.is_null()
        {
            if text != "off" {
                let message = format!("`breaker` is off or a map with failures, probe and max_probe, not `{text}`");
                self.problem(node.at, message);
            }
            return None;
        }
        let mut policy = BreakerPolicy::default();
        let members = self.members(node, "`breaker`", &settings::names(BREAKER_KEYS))?;
        self.settings(&mut policy, BREAKER_KEYS, members);
        if policy.probe > policy.max_probe {
            self.problem(node.at, "`probe` is longer than `max_probe`");
        }
        Some(policy)
    }
}
