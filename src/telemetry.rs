//! What rowhook counts about itself, in Prometheus' terms.
//!
//! Any stage may count here; only `admin` writes the text out. Labels are rule names, outcomes and status classes, never
//! row values (promise 8). Names and meanings are listed in docs/operations.md.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RuleLabel {
    pub rule: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    pub rule: String,
    /// `delivered`, `dead`, `blocked`, or `coalesced`: resolved as a part of a later delivery.
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabels {
    pub rule: String,
    /// `2xx` to `5xx`, `other` for the rest, or `error` when no answer came.
    pub status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabel {
    /// Scheme, host and port.
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    pub rule: String,
    /// As dead letters say it.
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabels {
    /// Its name in the settings file.
    pub alert: String,
    /// `firing` or `resolved`.
    pub state: &'static str,
    /// `sent`, or `failed` when no attempt succeeded.
    pub result: &'static str,
}

/// Durations by rule, in seconds.
#[derive(Debug, Clone)]
pub struct Durations(Family<RuleLabel, Histogram, fn() -> Histogram>);

/// From a call within one machine to a delivery that waited through an outage.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0];

impl Default for Durations {
    fn default() -> Durations {
        Durations(Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)))
    }
}

impl Durations {
    /// Those of one rule.
    pub fn of(&self, rule: &str) -> Histogram {
        self.0.get_or_create_owned(&RuleLabel { rule: rule.to_owned() })
    }
}

/// All counters and gauges; cheap to share behind an `Arc`.
#[derive(Debug, Default)]
pub struct Metrics {
    pub changes_read: Counter,
    /// Statements that took or brought rows of watched tables without row events.
    pub rows_without_events: Counter,
    pub changes_matched: Family<RuleLabel, Counter>,
    pub deliveries: Family<OutcomeLabels, Counter>,
    pub attempts: Family<AttemptLabels, Counter>,
    /// Attempts that were not the first of their call.
    pub retries: Family<RuleLabel, Counter>,
    /// From the request to its answer, or to the lack of one.
    pub attempt_duration: Durations,
    /// From the commit of a change to the outcome of its delivery; of blocked ones to their being stored.
    pub delivery_duration: Durations,
    /// Deliveries that became dead letters.
    pub letters_made: Family<ReasonLabels, Counter>,
    /// Alerts of the settings file, by what became of them.
    pub alerts: Family<AlertLabels, Counter>,
    /// Dead letters that were dropped, because their rule keeps them no longer.
    pub letters_dropped: Family<RuleLabel, Counter>,
    /// 1 while nothing but probes is sent to the target, because it did not answer.
    pub target_unavailable: Family<TargetLabel, Gauge>,
    pub target_outages: Family<TargetLabel, Counter>,
    pub reconnects: Counter,
    /// 1 while events or heartbeats arrive from the source, else 0.
    pub source_connected: Gauge,
    /// Age of the oldest change that is not resolved; 0 when there is none, not a number as long as it is not known.
    pub lag_seconds: Gauge<f64, AtomicU64>,
    /// Binlog between what is resolved and the end of the log, while something is late.
    pub backlog_bytes: Gauge<i64, AtomicI64>,
    /// What the data directory takes.
    pub data_bytes: Gauge<i64, AtomicI64>,
    /// What is free on its disk.
    pub disk_free_bytes: Gauge<i64, AtomicI64>,
    /// When the last checkpoint was made durable, in seconds since the Unix epoch; 0: none since the start.
    pub last_checkpoint: Gauge<f64, AtomicU64>,
    /// Times that the machine's clock was set.
    pub clock_jumps: Counter,
    /// Attempts under way.
    pub rule_in_flight: Family<RuleLabel, Gauge<i64, AtomicI64>>,
    /// Deliveries that wait for their next attempt.
    pub rule_in_retry: Family<RuleLabel, Gauge<i64, AtomicI64>>,
    /// 1 while the rule's reader has given up, else 0.
    pub rule_stopped: Family<RuleLabel, Gauge<i64, AtomicI64>>,
    pub rule_unresolved: Family<RuleLabel, Gauge<i64, AtomicI64>>,
    /// 1 while the main stream goes on without the rule, else 0.
    pub rule_detached: Family<RuleLabel, Gauge<i64, AtomicI64>>,
    /// 1 while the rule is paused, for whatever reason, else 0.
    pub rule_paused: Family<RuleLabel, Gauge<i64, AtomicI64>>,
    /// 1 while it is paused because a table lacks a column that it needs, else 0.
    pub rule_lacks_column: Family<RuleLabel, Gauge<i64, AtomicI64>>,
    /// As `lag_seconds`, of one rule.
    pub rule_lag_seconds: Family<RuleLabel, Gauge<f64, AtomicU64>>,
    pub window_deliveries: Gauge<i64, AtomicI64>,
    pub window_bytes: Gauge<i64, AtomicI64>,
    pub dead_letters: Gauge<i64, AtomicI64>,
    /// Deliveries that wait in the store behind a dead letter.
    pub blocked_deliveries: Gauge<i64, AtomicI64>,
    /// Ordering keys that a dead letter blocks.
    pub blocked_keys: Gauge<i64, AtomicI64>,
    /// Dead letters whose steps have, or may have, an effect that is not undone.
    pub dead_letters_awaiting: Gauge<i64, AtomicI64>,
    pub checkpoints: Counter,
    pub rules_reloaded: Counter,
    /// 1 while the rule files are invalid and the previous rules stay active, else 0.
    pub rules_reload_failed: Gauge<i64, AtomicI64>,
    /// Seconds until the server may purge what is still needed of its binlog; infinite where it purges nothing by age, not
    /// a number as long as it is not known.
    pub runway_seconds: Gauge<f64, AtomicU64>,
    /// 1 while the server is kept from purging what a late rule needs, else 0.
    pub binlog_pinned: Gauge<i64, AtomicI64>,
    /// Size of the journal's file; 0 without one.
    pub journal_bytes: Gauge<i64, AtomicI64>,
    /// Deliveries that are not in the journal, because it could not be written.
    pub journal_deliveries_missed: Counter,
}

impl Metrics {
    /// A registry that names every metric; counters get Prometheus' `_total` when they are written out.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("rowhook");
        let r = &mut registry;
        r.register(
            "rows_without_events",
            "Statements that took or brought rows of watched tables without row events (TRUNCATE, DROP TABLE, partitions)",
            self.rows_without_events.clone(),
        );
        r.register("changes_read", "Row changes read of tables that a rule names", self.changes_read.clone());
        r.register("changes_matched", "Row changes that matched a rule", self.changes_matched.clone());
        r.register("deliveries", "Deliveries resolved, by rule and outcome", self.deliveries.clone());
        r.register("attempts", "HTTP requests sent, by rule and class of the answer", self.attempts.clone());
        r.register("retries", "Attempts that were not the first of their call", self.retries.clone());
        r.register_with_unit(
            "attempt_duration",
            "From the request to its answer, or to the lack of one",
            Unit::Seconds,
            self.attempt_duration.0.clone(),
        );
        r.register_with_unit(
            "delivery_duration",
            "From the commit of a change to the outcome of its delivery",
            Unit::Seconds,
            self.delivery_duration.0.clone(),
        );
        r.register("dead_letters_made", "Deliveries that became dead letters, by reason", self.letters_made.clone());
        r.register("alerts", "Alerts by what became of them", self.alerts.clone());
        r.register(
            "dead_letters_dropped",
            "Dead letters that were dropped by `dead_letters`",
            self.letters_dropped.clone(),
        );
        r.register("build", "The version", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        r.register("rule_in_flight", "Attempts under way", self.rule_in_flight.clone());
        r.register("rule_in_retry", "Deliveries that wait for their next attempt", self.rule_in_retry.clone());
        r.register("rule_stopped", "1 while the rule's reader has given up", self.rule_stopped.clone());
        r.register(
            "target_unavailable",
            "1 while a target is unavailable and gets only probes",
            self.target_unavailable.clone(),
        );
        r.register("target_outages", "Times a target became unavailable", self.target_outages.clone());
        r.register("source_reconnects", "Times the connection to MySQL was opened again", self.reconnects.clone());
        r.register("source_connected", "1 while MySQL sends events or heartbeats", self.source_connected.clone());
        r.register("lag_seconds", "Age of the oldest change that is not resolved", self.lag_seconds.clone());
        r.register("backlog_bytes", "Binlog that is not resolved, while something is late", self.backlog_bytes.clone());
        r.register("data_bytes", "What the data directory takes", self.data_bytes.clone());
        r.register("disk_free_bytes", "What is free on the disk of the data directory", self.disk_free_bytes.clone());
        r.register(
            "last_checkpoint_timestamp_seconds",
            "When the last checkpoint was made durable; 0: none since the start",
            self.last_checkpoint.clone(),
        );
        r.register("clock_jumps", "Times that the clock of this machine was set", self.clock_jumps.clone());
        r.register("rule_unresolved", "Deliveries of the rule that are not resolved yet", self.rule_unresolved.clone());
        r.register("rule_detached", "1 while the rule has its own reader, or none", self.rule_detached.clone());
        r.register("rule_paused", "1 while the rule is paused", self.rule_paused.clone());
        r.register(
            "rule_lacks_column",
            "1 while the rule is paused because a table lacks a column that it needs",
            self.rule_lacks_column.clone(),
        );
        r.register(
            "rule_lag_seconds",
            "Age of the oldest change of the rule that is not resolved",
            self.rule_lag_seconds.clone(),
        );
        r.register("window_deliveries", "Deliveries that are not resolved yet", self.window_deliveries.clone());
        r.register("window_bytes", "Memory of deliveries that are not resolved yet", self.window_bytes.clone());
        r.register("dead_letters", "Dead letters in the store, without blocked deliveries", self.dead_letters.clone());
        r.register(
            "blocked_deliveries",
            "Deliveries stored behind a dead letter of their key",
            self.blocked_deliveries.clone(),
        );
        r.register("blocked_keys", "Ordering keys that a dead letter blocks", self.blocked_keys.clone());
        r.register(
            "dead_letters_awaiting",
            "Dead letters that need an operator: their effect is partial",
            self.dead_letters_awaiting.clone(),
        );
        r.register("checkpoints", "Checkpoints made durable", self.checkpoints.clone());
        r.register("rules_reloaded", "Times that rules were reloaded", self.rules_reloaded.clone());
        r.register("rules_reload_failed", "1 while the rule files have problems", self.rules_reload_failed.clone());
        r.register("runway_seconds", "Time until the server purges what is still needed", self.runway_seconds.clone());
        r.register("binlog_pinned", "1 while the server is kept from purging binlogs", self.binlog_pinned.clone());
        r.register(
            "journal_bytes",
            "Size of the journal's file, without its write-ahead log",
            self.journal_bytes.clone(),
        );
        r.register(
            "journal_deliveries_missed",
            "Deliveries that could not be journaled",
            self.journal_deliveries_missed.clone(),
        );
        registry
    }
}
