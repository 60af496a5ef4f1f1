//! An alert: what rowhook reports an operator by itself, through a call of the operator's choice.
//!
//! In: a condition that holds, or holds no more, with what it is about. Out: the same as a change of a table of its own, so that its
//! call is written in the language of rules: `row.title`, `row.state`. Plain data, pure.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::{Cell, Change, Op, Table, Transaction, Value, json};
use crate::file;

/// What an alert can be about, with how much of it is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// rowhook ended with an error.
    Ended,
    /// MySQL is not read.
    NotReading,
    /// The reader of a rule gave up.
    Stopped,
    Disk,
    Runway,
    Late,
    Unavailable,
    /// Dead letters that wait for an operator: their effect is partial.
    Awaiting,
    RuleFiles,
    Paused,
    DeadLetters,
}

impl ConditionKind {
    /// The worst first.
    pub const ALL: [ConditionKind; 11] = [
        ConditionKind::Ended,
        ConditionKind::NotReading,
        ConditionKind::Stopped,
        ConditionKind::Disk,
        ConditionKind::Runway,
        ConditionKind::Late,
        ConditionKind::Unavailable,
        ConditionKind::Awaiting,
        ConditionKind::RuleFiles,
        ConditionKind::Paused,
        ConditionKind::DeadLetters,
    ];

    /// As settings, alerts and the status name it.
    pub fn as_str(self) -> &'static str {
        match self {
            ConditionKind::Ended => "ended",
            ConditionKind::NotReading => "not_reading",
            ConditionKind::Stopped => "stopped",
            ConditionKind::Disk => "disk",
            ConditionKind::Runway => "runway",
            ConditionKind::Late => "late",
            ConditionKind::Unavailable => "unavailable",
            ConditionKind::Awaiting => "awaiting",
            ConditionKind::RuleFiles => "rule_files",
            ConditionKind::Paused => "paused",
            ConditionKind::DeadLetters => "dead_letters",
        }
    }

    /// In the words that PagerDuty and others take: how soon a person should act.
    pub fn severity(self) -> &'static str {
        match self {
            ConditionKind::Ended | ConditionKind::NotReading | ConditionKind::Stopped => "critical",
            ConditionKind::Disk | ConditionKind::Runway => "critical",
            ConditionKind::Late | ConditionKind::Unavailable | ConditionKind::Awaiting => "error",
            ConditionKind::RuleFiles | ConditionKind::Paused | ConditionKind::DeadLetters => "warning",
        }
    }
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that a condition holds for: a rule, a target, or the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertItem {
    /// One line.
    pub text: String,
    /// The command that helps, where there is one.
    pub fix: Option<String>,
    pub rules: Vec<String>,
    pub target: Option<String>,
    /// Dead letters, where it is about them; else 0.
    #[serde(skip)]
    pub count: u64,
    /// Since when it is so, in microseconds since the Unix epoch; None: that is not known.
    #[serde(skip)]
    pub since_us: Option<u64>,
}

impl AlertItem {
    /// About the whole.
    pub fn new(text: String) -> AlertItem {
        AlertItem { text, fix: None, rules: Vec::new(), target: None, count: 0, since_us: None }
    }
}

/// Whether the condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    Firing,
    Resolved,
}

impl AlertState {
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Firing => "firing",
            AlertState::Resolved => "resolved",
        }
    }
}

/// What all alerts of one rowhook have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertOrigin {
    /// The name of the machine.
    pub host: String,
    /// The data directory, absolute.
    pub data: String,
    /// The server that is followed, `host:port`.
    pub source: String,
}

impl AlertOrigin {
    /// Of a rowhook on this machine.
    pub fn of_this_machine(data: &Path, source: String) -> AlertOrigin {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        AlertOrigin { host, data: file::absolute(data), source }
    }
}

/// One message about one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub kind: ConditionKind,
    pub state: AlertState,
    /// One line: the worst of it.
    pub title: String,
    /// What it holds for, the worst first; none once it holds no more.
    pub items: Vec<AlertItem>,
    pub since_us: u64,
    /// Of this message.
    pub at_us: u64,
}

/// The columns of an alert, in the order of docs/alerts.md.
const COLUMNS: [&str; 16] = [
    "key",
    "condition",
    "state",
    "severity",
    "title",
    "text",
    "fix",
    "rules",
    "targets",
    "items",
    "since",
    "at",
    "host",
    "data",
    "source",
    "version",
];

/// The table that alerts are rows of. No server has it.
pub static ALERTS_TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| {
    let columns = COLUMNS.iter().map(|column| Box::from(*column)).collect();
    Arc::new(Table { schema: "rowhook".into(), name: "alerts".into(), columns, primary_key: vec![0] })
});

impl Alert {
    /// All that it holds for, a line each, with the commands that help.
    fn text(&self) -> String {
        let lines = self.items.iter().map(|item| match &item.fix {
            Some(fix) => format!("{} (fix: {fix})", item.text),
            None => item.text.clone(),
        });
        if self.items.is_empty() { self.title.clone() } else { lines.collect::<Vec<_>>().join("\n") }
    }

    /// The alert as an inserted row. Each has an identity of its own.
    pub fn change(&self, origin: &AlertOrigin) -> Change {
        let text = |text: &str| Cell::Value(Value::Text(text.into()));
        let list = |json: Result<String, serde_json::Error>| {
            Cell::Value(Value::Json(json.expect("texts are written as JSON").into()))
        };
        let fix = self.items.iter().find_map(|item| item.fix.as_deref());
        let mut rules: Vec<&str> = self.items.iter().flat_map(|item| item.rules.iter().map(String::as_str)).collect();
        let mut targets: Vec<&str> = self.items.iter().filter_map(|item| item.target.as_deref()).collect();
        for names in [&mut rules, &mut targets] {
            names.sort_unstable();
            names.dedup();
        }
        let key = format!("{}:{}:{}", origin.host, origin.data, self.kind);
        let cells: [Cell; COLUMNS.len()] = [
            text(&key),
            text(self.kind.as_str()),
            text(self.state.as_str()),
            text(self.kind.severity()),
            text(&self.title),
            text(&self.text()),
            fix.map_or(Cell::Value(Value::Null), text),
            list(serde_json::to_string(&rules)),
            list(serde_json::to_string(&targets)),
            list(serde_json::to_string(&self.items)),
            text(&json::rfc3339(self.since_us)),
            text(&json::rfc3339(self.at_us)),
            text(&origin.host),
            text(&origin.data),
            text(&origin.source),
            text(env!("CARGO_PKG_VERSION")),
        ];
        let transaction = Transaction {
            server_uuid: Uuid::new_v4(),
            gtid: None,
            file: "alerts".into(),
            offset: 0,
            committed_at_us: self.at_us,
            original_commit_us: self.at_us,
            is_own: false,
        };
        Change {
            op: Op::Insert,
            table: Arc::clone(&ALERTS_TABLE),
            before: None,
            after: Some(cells.into_iter().collect()),
            transaction: Arc::new(transaction),
            ordinal: 1,
        }
    }

    /// What a receiver would get: of a condition that begins or, after it, ends. For people who set one up.
    pub fn example(state: AlertState, at_us: u64) -> Alert {
        let item = AlertItem {
            fix: Some("none: this is a test".to_owned()),
            rules: vec!["example-rule".to_owned()],
            target: Some("https://api.example.com".to_owned()),
            ..AlertItem::new("this is a test of rowhook's alerts; nothing is wrong".to_owned())
        };
        let other = AlertItem {
            rules: vec!["other-rule".to_owned()],
            ..AlertItem::new("a second line of the test".to_owned())
        };
        let (title, items) = match state {
            AlertState::Firing => (format!("{} (and 1 more)", item.text), vec![item, other]),
            AlertState::Resolved => (format!("resolved after 1m 0s: {}", item.text), Vec::new()),
        };
        Alert { kind: ConditionKind::Late, state, title, items, since_us: at_us.saturating_sub(60_000_000), at_us }
    }

    /// One with nothing that may be missing: no command that helps, no rule, no target.
    pub fn plain_example(at_us: u64) -> Alert {
        let items = vec![AlertItem::new("this is a test of rowhook's alerts; nothing is wrong".to_owned())];
        Alert { title: items[0].text.clone(), items, ..Alert::example(AlertState::Firing, at_us) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_an_alert_is_readable_by_its_name() {
        let origin = AlertOrigin { host: "db-1".into(), data: "/data".into(), source: "db:3306".into() };
        let alert = Alert::example(AlertState::Firing, 1_700_000_000_000_000);
        let change = alert.change(&origin);
        let cell = |name: &str| change.latest(change.table.column(name).expect(name)).expect(name);
        assert_eq!(cell("key"), Value::Text("db-1:/data:late".into()));
        assert_eq!(cell("state"), Value::Text("firing".into()));
        assert_eq!(cell("at"), Value::Text("2023-11-14T22:13:20.000000Z".into()));
        assert_eq!(cell("rules"), Value::Json("[\"example-rule\",\"other-rule\"]".into()));
        let text = "this is a test of rowhook's alerts; nothing is wrong (fix: none: this is a test)\na second line of the test";
        assert_eq!(cell("text"), Value::Text(text.into()));
        let again = alert.change(&origin);
        assert_ne!(change.delivery_id("r"), again.delivery_id("r"), "each message has an identity of its own");
    }

    #[test]
    fn the_names_of_conditions_are_those_that_are_stored() {
        for kind in ConditionKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
    }
}
