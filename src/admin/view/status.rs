//! The documented JSON of `rowhook status`, and what the control socket is asked and says about rules.
//!
//! In: what `admin/status.rs` finds out. Out: plain records. A member that is not known is null, never left out.

use serde::{Deserialize, Serialize};

use crate::position::{Description, Position};

/// The status.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StatusView {
    /// Whether a daemon runs on the data directory. If not, only what the store says is known.
    pub running: bool,
    /// Of the daemon; if none runs, of the command.
    pub version: String,
    pub pid: Option<u32>,
    pub started_at: Option<String>,
    /// The data directory.
    pub data: String,
    pub source: Option<SourceView>,
    /// How far the main stream is read; if no daemon runs, the checkpoint.
    pub position: Option<PositionView>,
    /// Time since the commit of the oldest change that is not resolved, of any rule. Null: not known yet, or no daemon runs.
    #[serde(default)]
    pub lag_seconds: Option<f64>,
    /// Whether the lag is at most that: the oldest change was not read yet.
    #[serde(default)]
    pub lag_is_bound: bool,
    /// Binlog that is not resolved; null while nothing is late, where nothing is left, and where the server does not say.
    #[serde(default)]
    pub backlog: Option<BacklogView>,
    /// When the newest transaction that was read was committed.
    pub read_up_to: Option<String>,
    /// All that was committed before this moment was read.
    #[serde(default)]
    pub complete_up_to: Option<String>,
    /// How long until the server purges what is still needed; null where that is not known, and where it purges nothing by
    /// age.
    pub runway_seconds: Option<u64>,
    /// That the server is kept from purging binlogs (`pin_binlog`); null where it is not.
    #[serde(default)]
    pub binlog_pin: Option<BinlogPinView>,
    /// When the last checkpoint was made durable; null: none since the start.
    #[serde(default)]
    pub checkpointed_at: Option<String>,
    /// The disk under the data directory; null if no daemon runs.
    #[serde(default)]
    pub storage: Option<StorageView>,
    /// The journal; null where none is kept.
    #[serde(default)]
    pub journal: Option<JournalView>,
    pub rule_files: Option<RuleFilesView>,
    /// In the order of the files; if no daemon runs, rules that are paused, were detached or have dead letters.
    pub rules: Vec<RuleView>,
    pub targets: Vec<TargetView>,
    /// The alerts of the settings file.
    #[serde(default)]
    pub alerts: Vec<AlertView>,
    /// What an operator should look at, the worst first; empty: all is well.
    #[serde(default)]
    pub attention: Vec<AttentionView>,
    pub dead_letters: u64,
    /// Those of rules that are not in the rule files; 0 where there are too many to count them by rule.
    #[serde(default)]
    pub dead_letters_of_removed_rules: u64,
    /// Deliveries that wait in the store behind a dead letter of their key; no dead letters.
    #[serde(default)]
    pub blocked: u64,
    /// Dead letters that wait for a person: steps of theirs have, or may have, an effect that is not undone.
    #[serde(default)]
    pub awaiting: u64,
}

/// One thing that an operator should look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionView {
    /// `not_running`, `not_reading`, `stopped`, `disk`, `runway`, `rule_files`, `late`, `unavailable`, `paused`,
    /// `dead_letters`, `journal` or `alerts`: in this order.
    pub kind: String,
    /// One line.
    pub text: String,
    /// The command that helps, where there is one.
    pub fix: Option<String>,
    /// The rules that it is about.
    pub rules: Vec<String>,
    /// The target that it is about.
    pub target: Option<String>,
}

/// The server that is followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceView {
    pub address: String,
    pub version: Option<String>,
    /// Why changes do not arrive right now.
    pub problem: Option<String>,
    /// How long the server keeps its binlog; 0: until a person purges it, or, where `runway_seconds` is known, no longer than until a
    /// file is closed.
    pub binlog_kept_seconds: Option<u64>,
}

/// Binlog between what is resolved and the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BacklogView {
    pub bytes: u64,
    /// By how much it shrinks; null where that is not known yet, below zero where it grows.
    pub shrinks_by_bytes_per_second: Option<f64>,
    /// How long until nothing is left, at that speed; null where it does not shrink.
    pub seconds_left: Option<u64>,
}

/// The disk under the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StorageView {
    /// What the data directory takes.
    pub used_bytes: u64,
    /// What is free for it.
    pub free_bytes: u64,
    /// Whether so little is free that a person should act.
    pub is_short: bool,
}

/// How the journal is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalView {
    /// Of its file, without the write-ahead log.
    pub bytes: u64,
    /// When its oldest entry was resolved; null while it has none.
    pub since: Option<String>,
    /// Deliveries that have no entry, of the time for which it keeps entries.
    pub missed: u64,
    /// Why it is not written, or can't be read.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionView {
    pub server_uuid: String,
    pub gtids: Option<String>,
    pub file: String,
    pub offset: u64,
}

impl PositionView {
    pub fn of(position: &Position) -> PositionView {
        let Description { server_uuid, gtids, file } = position.describe();
        let server_uuid = server_uuid.to_string();
        PositionView { server_uuid, gtids, file: file.file.to_string(), offset: file.offset }
    }
}

/// That the server is kept from purging binlogs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BinlogPinView {
    pub since: String,
    /// This file and all later ones.
    pub file: String,
    /// The late rules that ask for it.
    pub rules: Vec<String>,
    /// False while the connection that pins them is opened, for the first time or again, and for files that are gone or too
    /// small to be pinned.
    pub pinned: bool,
}

/// The state of the rule files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RuleFilesView {
    /// When the current rules were loaded.
    pub loaded_at: String,
    pub problems_since: Option<String>,
    /// Each as `rowhook check` shows it; the previous rules stay active meanwhile.
    pub problems: Vec<String>,
}

/// The status of one rule.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RuleView {
    pub rule: String,
    /// Scheme, host and port.
    pub target: Option<String>,
    /// `attached`, `detached`, `paused` or `stopped`: the last of these that is true. Null if no daemon runs
    /// and it was neither paused nor detached.
    pub state: Option<String>,
    /// Why it is paused or stopped.
    pub why: Option<String>,
    pub detached_since: Option<String>,
    pub paused_since: Option<String>,
    /// Deliveries in memory that are not resolved.
    pub unresolved: Option<u64>,
    /// Attempts under way.
    pub in_flight: Option<u64>,
    pub in_retry: Option<u64>,
    /// Null where there are too many dead letters to count them by rule.
    pub dead_letters: Option<u64>,
    /// Absent for a rule that keeps its dead letters for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionView>,
    /// Whether more may wait in the log than `unresolved` counts.
    #[serde(default)]
    pub has_unread: bool,
    /// Time since the commit of the oldest change that is not resolved. Null: not known yet, or no daemon runs.
    pub lag_seconds: Option<f64>,
    /// Whether the lag is at most that: the oldest change was not read yet.
    #[serde(default)]
    pub lag_is_bound: bool,
    /// When the oldest change that was read and is not resolved was committed.
    pub oldest_unresolved: Option<String>,
    /// Binlog behind its low-water mark; null while nothing is late, where nothing is left, and where the server does not say.
    #[serde(default)]
    pub backlog_bytes: Option<u64>,
    /// Everything before this position is resolved.
    pub low_water_mark: Option<PositionView>,
}

/// An alert and what it has reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    pub alert: String,
    /// The conditions that were reported and hold.
    pub firing: Vec<String>,
    /// Null: nothing was reported yet.
    pub last_sent_at: Option<String>,
    /// Since when it can't be sent; null while it can.
    pub failing_since: Option<String>,
    pub last_error: Option<String>,
}

/// What becomes of a rule's dead letters that it keeps no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionView {
    /// Those that will be dropped.
    pub to_drop: u64,
    /// When the first of them will be.
    pub drop_from: Option<String>,
    /// Those that were dropped since the start.
    pub dropped: u64,
}

/// A target and its state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TargetView {
    pub target: String,
    /// `unavailable` (it did not answer: only probes are sent), `waiting` (it asked for a pause) or `available`.
    pub state: String,
    pub unavailable_since: Option<String>,
    pub waiting_until: Option<String>,
    /// What the last failed attempt came to.
    pub last_error: Option<String>,
    /// What the last attempt came to.
    #[serde(default)]
    pub last_answer: Option<String>,
    /// When the next probe may start; null while one is under way, and while the target is available.
    #[serde(default)]
    pub next_probe: Option<String>,
    /// Attempts under way, of all rules.
    #[serde(default)]
    pub in_flight: u64,
    /// Names of the rules that call it.
    #[serde(default)]
    pub rules: Vec<String>,
}

/// The words of `RuleView::state` and `TargetView::state`.
pub mod state {
    pub const ATTACHED: &str = "attached";
    pub const DETACHED: &str = "detached";
    pub const PAUSED: &str = "paused";
    pub const STOPPED: &str = "stopped";
    pub const UNAVAILABLE: &str = "unavailable";
    pub const WAITING: &str = "waiting";
    pub const AVAILABLE: &str = "available";
}

/// The request of `pause`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    pub rule: String,
    /// For people, one line.
    pub why: Option<String>,
}

/// The request of `resume`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    pub rule: String,
    /// As `--start` takes it.
    pub from: Option<String>,
}

/// The request of `target reset`. Answered with the target as it was before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetTargetRequest {
    pub target: String,
}

/// Names of rules, after a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    pub unchanged: Vec<String>,
}
