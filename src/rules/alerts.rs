//! `alerts` of the settings file: what rowhook reports by itself, by which calls.
//!
//! In: the text of the settings file. Out: one `AlertRule` for each alert, whose call is that of a rule for the table of alerts; or
//! every problem with its place. An alert is compiled exactly as a rule is, so that all that `call` can do is there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::compile::{self, IfNoSecret, Variables};
use super::diagnostic::{Diagnostic, Diagnostics, FilePlace};
use super::reader::{Members, NodeReader, member};
use super::rule::Rule;
use super::yaml::{self, FileWords, Key, Node, NodeKind};
use crate::alert::{ALERTS_TABLE, ConditionKind};
use crate::change::Op;

/// The key of the settings file.
const ALERTS: &str = "alerts";

/// Keys that an alert has in common with a rule.
const KEYS_OF_RULE: [&str; 6] = ["name", "description", "enabled", "call", "retry", "retry_on"];
const ALERT_KEYS: [&str; 9] =
    ["name", "description", "enabled", "conditions", "every", "repeat", "call", "retry", "retry_on"];

/// Keys of a call that say what its body is; without one it is the alert.
const BODY_KEYS: [&str; 6] = ["body", "text", "form", "multipart", "xml", "cloud_event"];

/// Receivers limit how often they are called, and a person reads no faster.
const EVERY_MIN: Duration = Duration::from_secs(10);
const EVERY_DEFAULT: Duration = Duration::from_secs(15 * 60);
const REPEAT_DEFAULT: Duration = Duration::from_secs(4 * 3600);
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

const SETTINGS_FILE: FileWords =
    FileWords { one: "a settings file", several: "settings files", needs: "settings, such as `rules: rules`" };

/// One alert, checked and compiled.
#[derive(Debug)]
pub struct AlertRule {
    /// Its name and call, for changes of the table of alerts.
    pub rule: Arc<Rule>,
    /// What it is about; each kind once, the worst first.
    pub conditions: Vec<AlertCondition>,
    /// At most one call for a condition in this time, and one when it holds no more.
    pub every: Duration,
    /// What lasts unchanged is reported again after this time; None: it is not.
    pub repeat: Option<Duration>,
}

/// A condition and how much of it is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertCondition {
    pub kind: ConditionKind,
    pub threshold: Threshold,
}

/// From where on a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// At once.
    Any,
    /// It has lasted for so long.
    Lasts(Duration),
    /// At least so many.
    Count(u64),
    /// Less than this is left.
    Below(Duration),
}

impl AlertCondition {
    /// With the threshold that it has where none is written.
    pub fn usual(kind: ConditionKind) -> AlertCondition {
        let minutes = |minutes: u64| Threshold::Lasts(Duration::from_secs(minutes * 60));
        let threshold = match kind {
            ConditionKind::Ended | ConditionKind::Disk => Threshold::Any,
            ConditionKind::Stopped => minutes(0),
            ConditionKind::NotReading | ConditionKind::Unavailable => minutes(1),
            ConditionKind::Late | ConditionKind::RuleFiles => minutes(5),
            ConditionKind::Paused => minutes(15),
            ConditionKind::Runway => Threshold::Below(Duration::from_secs(24 * 3600)),
            ConditionKind::Awaiting | ConditionKind::DeadLetters => Threshold::Count(1),
        };
        AlertCondition { kind, threshold }
    }
}

impl AlertRule {
    /// The enabled alerts of a settings file, in its order. `env` resolves the environment variables that they name.
    ///
    /// # Errors
    /// All problems of all alerts.
    pub fn load(path: &Path, text: &str, env: Variables) -> Result<Vec<AlertRule>, Diagnostics> {
        let mut problems = Vec::new();
        let root = yaml::read(path, text, SETTINGS_FILE, &mut problems);
        let mut reader = NodeReader { path, text, problems: &mut problems };
        let alerts = root.map_or(Vec::new(), |root| reader.alerts(&root, env));
        if problems.is_empty() {
            return Ok(alerts);
        }
        // Lines of other settings, and those with a login, may hold a password.
        let own = lines_of_alerts(text);
        let is_shown = |problem: &Diagnostic| {
            problem.place.is_some_and(|place| own.contains(&place.line)) && !problem.line_text.contains('@')
        };
        problems.iter_mut().filter(|problem| !is_shown(problem)).for_each(|problem| problem.line_text.clear());
        Err(Diagnostics(problems))
    }
}

/// The lines below `alerts`, up to the next key; none where they are not lines of their own.
fn lines_of_alerts(text: &str) -> std::ops::Range<usize> {
    let is_within = |line: &str| line.is_empty() || line.starts_with([' ', '-', '#', '\t']);
    let Some(first) = text.lines().position(|line| line.trim_end() == "alerts:") else { return 0..0 };
    let below = text.lines().skip(first + 1).take_while(|line| is_within(line)).count();
    // Lines count from 1.
    first + 2..first + 2 + below
}

/// An alert as written, apart from what makes it a rule.
struct AlertSpec {
    /// A rule with its call.
    rule: Node,
    conditions: Vec<AlertCondition>,
    every: Duration,
    repeat: Option<Duration>,
}

impl NodeReader<'_> {
    fn alerts(&mut self, root: &Node, env: Variables) -> Vec<AlertRule> {
        let NodeKind::Map(members) = &root.kind else { return Vec::new() };
        let Some(node) = member(members, ALERTS).filter(|node| !node.is_null()) else { return Vec::new() };
        let NodeKind::List(items) = &node.kind else {
            let message = format!("`{ALERTS}` is a list, not {}; an alert begins with `- name:`", node.describe());
            self.problem(node.at, message);
            return Vec::new();
        };
        let specs: Vec<AlertSpec> = items.iter().filter_map(|item| self.alert(item)).collect();
        let mut alerts: Vec<AlertRule> = Vec::new();
        for AlertSpec { rule: node, conditions, every, repeat } in &specs {
            let reader = NodeReader { path: self.path, text: self.text, problems: self.problems };
            let Some(mut rule) = compile::alert(node, reader, (env, IfNoSecret::Refuse)) else { continue };
            rule.on = vec![Op::Insert];
            self.problems.extend(unknown_columns(&rule, self.path, self.text));
            if alerts.iter().any(|alert| alert.rule.name == rule.name) {
                self.problem(node.at, format!("there are two alerts `{}`; names are unique", rule.name));
            } else if rule.settings.is_enabled {
                let (conditions, every, repeat) = (conditions.clone(), *every, *repeat);
                alerts.push(AlertRule { rule: Arc::new(rule), conditions, every, repeat });
            }
        }
        alerts
    }

    fn alert(&mut self, node: &Node) -> Option<AlertSpec> {
        let members = self.members(node, "an alert", &ALERT_KEYS)?;
        for (key, what) in [("name", "what it is called"), ("call", "where it is sent to")] {
            if member(members, key).is_none() {
                self.problem(node.at, format!("the alert has no `{key}`: {what}"));
                return None;
            }
        }
        let conditions = match member(members, "conditions") {
            Some(node) => self.conditions(node),
            None => ConditionKind::ALL.map(AlertCondition::usual).to_vec(),
        };
        let every = member(members, "every")
            .and_then(|node| self.duration_from(EVERY_MIN, node, "every", DURATION_MAX))
            .unwrap_or(EVERY_DEFAULT);
        let repeat = match member(members, "repeat") {
            Some(Node { kind: NodeKind::Scalar { text, .. }, .. }) if text == "none" => None,
            Some(node) => self.duration_from(EVERY_MIN, node, "repeat", DURATION_MAX),
            None => Some(REPEAT_DEFAULT),
        };
        Some(AlertSpec { rule: as_rule(node, members), conditions, every, repeat })
    }

    /// A map of conditions with their thresholds, or a list of those that have the usual ones.
    fn conditions(&mut self, node: &Node) -> Vec<AlertCondition> {
        let names = ConditionKind::ALL.map(ConditionKind::as_str);
        let of =
            |name: &str| ConditionKind::ALL.into_iter().find(|kind| kind.as_str() == name).map(AlertCondition::usual);
        let mut conditions = Vec::new();
        match &node.kind {
            NodeKind::Map(members) if members.is_empty() => {
                self.problem(node.at, "`conditions` names none; leave it out for all of them");
            }
            NodeKind::Map(_) => {
                for (key, value) in self.members(node, "`conditions`", &names).unwrap_or_default() {
                    let Some(usual) = of(&key.text) else { continue };
                    conditions.push(AlertCondition { threshold: self.threshold(value, &key.text, usual), ..usual });
                }
            }
            _ => {
                for (word, at) in self.words(node, "conditions") {
                    match of(&word) {
                        Some(condition) => conditions.push(condition),
                        None => self.unknown_word(at, "conditions", &names, None, &word),
                    }
                }
            }
        }
        conditions.sort_by_key(|condition| condition.kind);
        conditions.dedup_by_key(|condition| condition.kind);
        conditions
    }

    /// Nothing and `true` mean the usual one.
    fn threshold(&mut self, node: &Node, name: &str, usual: AlertCondition) -> Threshold {
        let what = format!("conditions.{name}");
        if node.is_null() || node.json_literal() == Some("true") {
            return usual.threshold;
        }
        let read = match usual.threshold {
            Threshold::Lasts(_) => self.duration_from(Duration::ZERO, node, &what, DURATION_MAX).map(Threshold::Lasts),
            Threshold::Below(_) => self.duration(node, &what, DURATION_MAX).map(Threshold::Below),
            Threshold::Count(_) => self.integer(node, &what, 1, u64::from(u32::MAX)).map(Threshold::Count),
            Threshold::Any => {
                self.problem(node.at, format!("`{what}` has no threshold: write `{name}: true`"));
                None
            }
        };
        read.unwrap_or(usual.threshold)
    }
}

/// What an alert has in common with a rule; its call sends the alert where it says nothing of a body.
fn as_rule(node: &Node, members: Members<'_>) -> Node {
    let of_rule = members.iter().filter(|(key, _)| KEYS_OF_RULE.contains(&key.text.as_str()));
    let mut members: Vec<(Key, Node)> = of_rule.cloned().collect();
    let call = members.iter_mut().find(|(key, _)| key.text == "call").map(|(_, call)| call);
    if let Some(Node { at, kind: NodeKind::Map(call), .. }) = call
        && !call
            .iter()
            .any(|(key, node)| BODY_KEYS.contains(&key.text.as_str()) || (key.text == "method" && is_get(node)))
    {
        let key = Key { text: "body".to_owned(), at: *at };
        call.push((key, Node::text("{{ row }}", *at)));
    }
    let mut rule = node.clone();
    rule.kind = NodeKind::Map(members);
    rule
}

/// A GET has no body.
fn is_get(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Scalar { text, .. } if text == "GET")
}

fn unknown_columns(rule: &Rule, path: &Path, text: &str) -> Vec<Diagnostic> {
    let of_alert = |column: &crate::template::ColumnUse| {
        let hint = crate::suggest::did_you_mean(&column.name, ALERTS_TABLE.columns.iter().map(|name| &**name));
        let known = ALERTS_TABLE.columns.join(", ");
        let hint = if hint.is_empty() { format!("; it has {known}") } else { hint };
        let place = FilePlace { line: column.line, column: column.column };
        Diagnostic::at(path, text, place, format!("an alert has no `{}`{hint}", column.name))
    };
    let unknown = rule.needed_columns().filter(|column| ALERTS_TABLE.column(&column.name).is_none());
    unknown.map(of_alert).collect()
}

#[cfg(test)]
mod tests;
