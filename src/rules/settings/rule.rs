//! The plain settings of a rule.
//!
//! In: the members of a rule. Out: `RuleSettings` within their limits. A new one is a field, its default and a line of `RULE_KEYS`.

use std::time::Duration;

use super::super::reader::{Members, NodeReader, member};
use super::super::target::Rate;
use super::super::yaml::Node;
use super::SettingKey::{self, Other, Plain};
use super::{LetterRetention, set};
use crate::position::Start;

/// More at once to one API is a load test.
const IN_FLIGHT_MAX: u64 = 1024;
/// Of a rule that matches what rowhook itself writes: a row that is written once a second is a loop.
const FUSE_OF_OWN_WRITES: Rate = Rate { count: 60, per: Duration::from_secs(60) };

/// What a rule sets besides what it matches and calls.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSettings {
    /// For people; nothing depends on it.
    pub description: Option<String>,
    /// Else it is checked, and then as if it were not there.
    pub is_enabled: bool,
    /// Whether later changes go on after one that could not be delivered.
    pub on_dead_letter: OnDeadLetter,
    /// Beyond which its dead letters are dropped; none: they are kept for ever.
    pub retention: Option<LetterRetention>,
    /// Attempts of this rule under way at the same time.
    pub in_flight: usize,
    /// Attempts of this rule that may begin in a time.
    pub rate: Option<Rate>,
    /// It matches changes, too, that rowhook itself wrote.
    pub own_writes: bool,
    /// So many changes of one ordering key per time, by the time of their commits; those above are dead letters.
    pub fuse: Option<Rate>,
    /// Where it begins when it is new; none: where the others are.
    pub start: Option<Start>,
    /// While it is late, the server is kept from purging what it still needs.
    pub pin_binlog: bool,
}

impl Default for RuleSettings {
    fn default() -> RuleSettings {
        RuleSettings {
            description: None,
            is_enabled: true,
            on_dead_letter: OnDeadLetter::Continue,
            retention: None,
            in_flight: 32,
            rate: None,
            own_writes: false,
            fuse: None,
            start: None,
            pin_binlog: false,
        }
    }
}

/// What a dead letter of a rule means for the changes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeadLetter {
    /// They go on.
    Continue,
    /// Those of its ordering key wait behind it, stored, until it is replayed or discarded.
    HoldKey,
    /// The rule is paused.
    Pause,
}

const ON_DEAD_LETTER: &[(&str, OnDeadLetter)] =
    &[("continue", OnDeadLetter::Continue), ("hold_key", OnDeadLetter::HoldKey), ("pause", OnDeadLetter::Pause)];

/// In the order in which messages name them.
pub(in crate::rules) const RULE_KEYS: &[SettingKey<RuleSettings>] = &[
    Other("name"),
    Plain("description", |to, reader, node, key| to.description = reader.string(node, key).map(str::to_owned)),
    Plain("enabled", |to, reader, node, key| set(&mut to.is_enabled, reader.truth(node, key))),
    Other("on"),
    Other("changed"),
    Other("when"),
    Other("order_by"),
    Other("call"),
    Other("calls"),
    Other("steps"),
    Other("on_success"),
    Other("on_failure"),
    Other("retry"),
    Other("retry_on"),
    Plain("on_dead_letter", |to, reader, node, key| {
        set(&mut to.on_dead_letter, reader.word(node, key, ON_DEAD_LETTER))
    }),
    Plain("dead_letters", |to, reader, node, key| set(&mut to.retention, reader.retention(node, key))),
    Plain("in_flight", |to, reader, node, key| {
        set(&mut to.in_flight, reader.integer(node, key, 1, IN_FLIGHT_MAX).map(|number| number as usize))
    }),
    Plain("rate", |to, reader, node, key| set(&mut to.rate, reader.rate_or_none(node, key))),
    Plain("own_writes", |to, reader, node, key| set(&mut to.own_writes, reader.truth(node, key))),
    Plain("fuse", |to, reader, node, key| set(&mut to.fuse, reader.rate_or_none(node, key))),
    Plain("start", |to, reader, node, key| set(&mut to.start, reader.start(node, key))),
    Plain("pin_binlog", |to, reader, node, key| set(&mut to.pin_binlog, reader.truth(node, key))),
    Other("batch"),
    Other("coalesce"),
    Other("per"),
    Other("redact"),
];

impl NodeReader<'_> {
    pub(in crate::rules) fn rule_settings(&mut self, members: Members<'_>) -> RuleSettings {
        let mut settings = RuleSettings::default();
        self.settings(&mut settings, RULE_KEYS, members);
        if settings.own_writes && member(members, "fuse").is_none() {
            settings.fuse = Some(FUSE_OF_OWN_WRITES);
        }
        settings
    }

    fn start(&mut self, node: &Node, key: &str) -> Option<Start> {
        let text = self.string(node, key)?;
        Start::parse(text).map_err(|expected| self.problem(node.at, format!("`{key}: {text}`: {expected}"))).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::yaml::{self, NodeKind};
    use super::*;

    /// What the members of a rule set, and what is wrong with them.
    fn settings(text: &str) -> (RuleSettings, Vec<String>) {
        let (path, mut problems) = (Path::new("f.yaml"), Vec::new());
        let root = yaml::read(path, text, yaml::RULE_FILES, &mut problems).expect("sound YAML");
        let NodeKind::Map(members) = &root.kind else { panic!("no map: {text}") };
        let settings = NodeReader { path, text, problems: &mut problems }.rule_settings(members);
        (settings, problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn each_key_sets_what_it_names_and_nothing_else() {
        let usual = RuleSettings::default;
        let per_minute = |count| Rate { count, per: Duration::from_secs(60) };
        for (text, expected) in [
            ("name: r", usual()),
            ("on_dead_letter: pause", RuleSettings { on_dead_letter: OnDeadLetter::Pause, ..usual() }),
            ("dead_letters: none", usual()),
            (
                "dead_letters: {keep: 30d}",
                RuleSettings {
                    retention: Some(LetterRetention {
                        keep: Some(Duration::from_secs(30 * 86_400)),
                        ..LetterRetention::default()
                    }),
                    ..usual()
                },
            ),
            (
                "dead_letters: {max: 10000, max_bytes: 1 GiB}",
                RuleSettings {
                    retention: Some(LetterRetention {
                        keep: None,
                        letters_max: Some(10_000),
                        bytes_max: Some(1 << 30),
                    }),
                    ..usual()
                },
            ),
            ("in_flight: 1024", RuleSettings { in_flight: 1024, ..usual() }),
            ("rate: 5/min", RuleSettings { rate: Some(per_minute(5)), ..usual() }),
            ("own_writes: true", RuleSettings { own_writes: true, fuse: Some(per_minute(60)), ..usual() }),
            ("own_writes: false", usual()),
            ("fuse: 7/m", RuleSettings { fuse: Some(per_minute(7)), ..usual() }),
            ("fuse: 7/m\nown_writes: true", RuleSettings { own_writes: true, fuse: Some(per_minute(7)), ..usual() }),
            ("fuse: none\nown_writes: true", RuleSettings { own_writes: true, ..usual() }),
            ("fuse: none\nrate: none", usual()),
            ("start: earliest", RuleSettings { start: Some(Start::Earliest), ..usual() }),
            ("description: paid orders", RuleSettings { description: Some("paid orders".to_owned()), ..usual() }),
            ("enabled: false", RuleSettings { is_enabled: false, ..usual() }),
            ("pin_binlog: true", RuleSettings { pin_binlog: true, ..usual() }),
        ] {
            assert_eq!(settings(text), (expected, vec![]), "{text}");
        }
    }

    #[test]
    fn dead_letters_are_kept_within_limits_that_make_sense() {
        let size = "`max_bytes` must be between `1 MiB` and `1024 TiB`, written like these";
        for (text, expected) in [
            (
                "30d",
                "`dead_letters` is none or a map with keep, max and max_bytes, not `30d`; write `dead_letters: {keep: 30d}`",
            ),
            ("{}", "`dead_letters` has no limit; write `dead_letters: {keep: 30d}`"),
            ("{kep: 30d}", "unknown key `kep` in `dead_letters`; did you mean `keep`?"),
            ("{keep: 23h}", "`keep` must be between 1day and 10years"),
            ("{keep: soon}", "`keep` is a duration such as `500ms`, `10s` or `1m 30s`, not `soon`"),
            ("{max: 0}", "`max` must be a whole number from 1 to 1000000000"),
            ("{max_bytes: 1 GB}", size),
            ("{max_bytes: 1048576}", size),
            ("{max_bytes: 0 MiB}", size),
            ("{max_bytes: 99999999999999 TiB}", size),
        ] {
            let (_, problems) = settings(&format!("dead_letters: {text}"));
            assert_eq!(problems, [expected], "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_a_problem_and_leaves_the_default() {
        for (text, expected) in [
            (
                "on_dead_letter: puase",
                "`on_dead_letter` is continue, hold_key or pause, not `puase`; did you mean `pause`?",
            ),
            ("in_flight: 0", "`in_flight` must be a whole number from 1 to 1024"),
            ("in_flight: 1025", "`in_flight` must be a whole number from 1 to 1024"),
            ("rate: 5/d", "`rate` is `none` or a rate such as `50/s`, `50/m` or `50/h`, from 1 to 1000000, not `5/d`"),
            ("fuse: 5", "`fuse` is `none` or a rate such as `50/s`, `50/m` or `50/h`, from 1 to 1000000, not `5`"),
            ("own_writes: 1", "`own_writes` is true or false, not `1`"),
            ("fuse: [1/s]", "`fuse` must be a single value, not a list"),
            ("enabled: no", "`enabled` is true or false, not `no`"),
            ("description: [a]", "`description` must be a single value, not a list"),
            ("pin_binlog:", "`pin_binlog` must be a single value, not nothing"),
        ] {
            assert_eq!(settings(text), (RuleSettings::default(), vec![expected.to_owned()]), "{text}");
        }
    }
}
