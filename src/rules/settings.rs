//! The plain settings of a rule: each key is one independent value.
//!
//! In: the members of a rule. Out: `RuleSettings` within their limits; they are a part of the compiled rule as they are read here.
//! A new one is a field, its default and a line of `KEYS`, all in this file. `spec` says what settings must have in common with other
//! keys (an order, a batch).

use std::time::Duration;

use super::reader::{Members, NodeReader, member};
use super::target::Rate;
use super::yaml::Node;
use crate::position::Start;
use crate::suggest::did_you_mean;

/// So many attempts at the same time to one API would be a load test.
const IN_FLIGHT_MAX: u64 = 1024;
/// The default for a rule that matches what rowhook itself writes: a row that is written once a second is a loop.
const FUSE_OF_OWN_WRITES: Rate = Rate { count: 60, per: Duration::from_secs(60) };

/// What a rule sets besides what it matches and calls.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSettings {
    /// Whether later changes go on after one that could not be delivered.
    pub on_dead_letter: OnDeadLetter,
    /// Attempts of this rule under way at the same time.
    pub in_flight: usize,
    /// Attempts of this rule that may begin in a time.
    pub rate: Option<Rate>,
    /// It matches changes, too, that rowhook itself wrote.
    pub own_writes: bool,
    /// So many changes of one ordering key per time, by the time of their commits; those above are dead letters.
    pub fuse: Option<Rate>,
    /// Where it begins when it is new; None: at the position of the main stream.
    pub start: Option<Start>,
    /// While it is late, the server is kept from purging what it still needs.
    pub pin_binlog: bool,
}

impl Default for RuleSettings {
    fn default() -> RuleSettings {
        RuleSettings {
            on_dead_letter: OnDeadLetter::Continue,
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
    /// They are sent.
    Continue,
    /// Those of its ordering key are stored and wait behind it until it is replayed or discarded.
    HoldKey,
    /// The rule is paused.
    Pause,
}

/// Reads the value of a key into its setting.
type Read = fn(&mut RuleSettings, &mut NodeReader, &Node, &str);

/// In the order in which messages name them.
const KEYS: &[(&str, Read)] = &[
    ("on_dead_letter", |to, reader, node, _| set(&mut to.on_dead_letter, reader.on_dead_letter(node))),
    ("in_flight", |to, reader, node, key| {
        set(&mut to.in_flight, reader.integer(node, key, 1, IN_FLIGHT_MAX).map(|number| number as usize))
    }),
    ("rate", |to, reader, node, _| set(&mut to.rate, reader.rate(node))),
    ("own_writes", |to, reader, node, key| set(&mut to.own_writes, reader.truth(node, key))),
    ("fuse", |to, reader, node, _| set(&mut to.fuse, reader.rate(node))),
    ("start", |to, reader, node, _| set(&mut to.start, reader.start(node))),
    ("pin_binlog", |to, reader, node, key| set(&mut to.pin_binlog, reader.truth(node, key))),
];

/// The keys of all settings.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

/// What could not be read leaves the setting as it was: a problem is reported already.
fn set<T>(setting: &mut T, read: Option<impl Into<T>>) {
    if let Some(value) = read {
        *setting = value.into();
    }
}

impl NodeReader<'_> {
    pub(super) fn settings(&mut self, members: Members<'_>) -> RuleSettings {
        let mut settings = RuleSettings::default();
        for (key, read) in KEYS {
            if let Some(node) = member(members, key) {
                read(&mut settings, self, node, key);
            }
        }
        if settings.own_writes {
            settings.fuse.get_or_insert(FUSE_OF_OWN_WRITES);
        }
        settings
    }

    fn start(&mut self, node: &Node) -> Option<Start> {
        let text = self.string(node, "start")?;
        Start::parse(text).map_err(|expected| self.problem(node.at, format!("`start: {text}`: {expected}"))).ok()
    }

    fn on_dead_letter(&mut self, node: &Node) -> Option<OnDeadLetter> {
        match self.string(node, "on_dead_letter")? {
            "continue" => Some(OnDeadLetter::Continue),
            "hold_key" => Some(OnDeadLetter::HoldKey),
            "pause" => Some(OnDeadLetter::Pause),
            word => {
                let hint = did_you_mean(word, ["continue", "hold_key", "pause"]);
                self.problem(node.at, format!("`on_dead_letter` is continue, hold_key or pause, not `{word}`{hint}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::yaml::{self, NodeKind};
    use super::*;

    /// What the members of a rule set, and what is wrong with them.
    fn settings(text: &str) -> (RuleSettings, Vec<String>) {
        let (path, mut problems) = (Path::new("f.yaml"), Vec::new());
        let root = yaml::read(path, text, &mut problems).expect("sound YAML");
        let NodeKind::Map(members) = &root.kind else { panic!("no map: {text}") };
        let settings = NodeReader { path, text, problems: &mut problems }.settings(members);
        (settings, problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn each_key_sets_what_it_names_and_nothing_else() {
        let usual = RuleSettings::default;
        let per_minute = |count| Rate { count, per: Duration::from_secs(60) };
        for (text, expected) in [
            ("name: r", usual()),
            ("on_dead_letter: pause", RuleSettings { on_dead_letter: OnDeadLetter::Pause, ..usual() }),
            ("in_flight: 1024", RuleSettings { in_flight: 1024, ..usual() }),
            ("rate: 5/min", RuleSettings { rate: Some(per_minute(5)), ..usual() }),
            ("own_writes: true", RuleSettings { own_writes: true, fuse: Some(per_minute(60)), ..usual() }),
            ("own_writes: false", usual()),
            ("fuse: 7/m", RuleSettings { fuse: Some(per_minute(7)), ..usual() }),
            ("fuse: 7/m\nown_writes: true", RuleSettings { own_writes: true, fuse: Some(per_minute(7)), ..usual() }),
            ("start: earliest", RuleSettings { start: Some(Start::Earliest), ..usual() }),
            ("pin_binlog: true", RuleSettings { pin_binlog: true, ..usual() }),
        ] {
            assert_eq!(settings(text), (expected, vec![]), "{text}");
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
            ("rate: 5/d", "`5/d` is no rate; write one as `50/s`, `50/m` or `50/h`, from 1 to 1000000"),
            ("own_writes: 1", "`own_writes` is true or false"),
            ("fuse: [1/s]", "`rate` must be a single value, not a list"),
            ("pin_binlog:", "`pin_binlog` must be a single value, not nothing"),
        ] {
            assert_eq!(settings(text), (RuleSettings::default(), vec![expected.to_owned()]), "{text}");
        }
    }
}
