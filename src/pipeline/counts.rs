//! The counters and gauges of one rule, looked up once: counting a delivery is an atomic addition or two.
//!
//! In: what the loop does with deliveries of the rule. Out: metrics. A rule that no longer exists keeps its counters, which
//! say what it did; its gauges are no longer reported.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::clock::now_us;
use crate::delivery::{Completed, Outcome};
use crate::telemetry::{Metrics, OutcomeLabels, ReasonLabels, RuleLabel};

/// See the module's header.
#[derive(Debug)]
pub(super) struct RuleMetrics {
    pub matched: Counter,
    delivered: Counter,
    dead: Counter,
    blocked: Counter,
    coalesced: Counter,
    pub unresolved: Gauge<i64, AtomicI64>,
    pub detached: Gauge<i64, AtomicI64>,
    pub paused: Gauge<i64, AtomicI64>,
    pub lacks_column: Gauge<i64, AtomicI64>,
    pub stopped: Gauge<i64, AtomicI64>,
    pub in_flight: Gauge<i64, AtomicI64>,
    pub in_retry: Gauge<i64, AtomicI64>,
    pub lag_seconds: Gauge<f64, AtomicU64>,
    durations: Histogram,
}

impl RuleMetrics {
    pub fn of(metrics: &Metrics, rule: &str) -> RuleMetrics {
        let outcome = |outcome| {
            let labels = OutcomeLabels { rule: rule.to_string(), outcome };
            metrics.deliveries.get_or_create_owned(&labels)
        };
        let label = RuleLabel { rule: rule.to_string() };
        RuleMetrics {
            matched: metrics.changes_matched.get_or_create_owned(&label),
            delivered: outcome("delivered"),
            dead: outcome("dead"),
            blocked: outcome("blocked"),
            coalesced: outcome("coalesced"),
            unresolved: metrics.rule_unresolved.get_or_create_owned(&label),
            detached: metrics.rule_detached.get_or_create_owned(&label),
            paused: metrics.rule_paused.get_or_create_owned(&label),
            lacks_column: metrics.rule_lacks_column.get_or_create_owned(&label),
            stopped: metrics.rule_stopped.get_or_create_owned(&label),
            in_flight: metrics.rule_in_flight.get_or_create_owned(&label),
            in_retry: metrics.rule_in_retry.get_or_create_owned(&label),
            lag_seconds: metrics.rule_lag_seconds.get_or_create_owned(&label),
            durations: metrics.delivery_duration.of(rule),
        }
    }

    /// Counts what came of a delivery, and of those merged into it.
    pub fn settled(&self, completed: &Completed, metrics: &Metrics) {
        let Completed { delivery, outcome, .. } = completed;
        let age_us = now_us().saturating_sub(delivery.change.transaction.committed_at_us);
        self.durations.observe(age_us as f64 / 1e6);
        match outcome {
            Outcome::Delivered { .. } => self.delivered.inc(),
            Outcome::Dead(failure) => {
                let labels = ReasonLabels { rule: delivery.rule.name.clone(), reason: failure.reason.as_str() };
                metrics.letters_made.get_or_create_owned(&labels).inc();
                self.dead.inc()
            }
            Outcome::Blocked { .. } => self.blocked.inc(),
        };
        if !completed.merged.is_empty() {
            self.coalesced.inc_by(completed.merged.len() as u64);
        }
    }

    /// The rule no longer exists.
    pub fn forget(metrics: &Metrics, rule: &str) {
        let label = RuleLabel { rule: rule.to_string() };
        metrics.rule_unresolved.remove(&label);
        metrics.rule_detached.remove(&label);
        metrics.rule_paused.remove(&label);
        metrics.rule_lacks_column.remove(&label);
        metrics.rule_stopped.remove(&label);
        metrics.rule_in_flight.remove(&label);
        metrics.rule_in_retry.remove(&label);
        metrics.rule_lag_seconds.remove(&label);
    }
}
