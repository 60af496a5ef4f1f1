//! How the streams are doing, for operators and in the metrics.
//!
//! In: the streams as they are. Out: their status and gauges. Changes nothing.

use super::Streams;
use crate::clock::now_us;
use crate::delivery::Dispatcher;
use crate::pipeline::binlog_pin::BinlogPin;
use crate::pipeline::command::{LoopStatus, RuleStatus};
use crate::pipeline::rule_stream::RuleStream;

impl Streams {
    /// The status of the loop, with that of the dispatcher and of the binlog pin.
    pub fn status(&self, dispatcher: &Dispatcher, binlog_pin: &BinlogPin) -> LoopStatus {
        LoopStatus {
            position: self.main.feed.reached().map(|place| place.position().clone()),
            read_up_to_us: self.main.feed.read_up_to_us,
            rules: self.rules.iter().map(|stream| self.rule_status(stream, dispatcher)).collect(),
            targets: dispatcher.targets(),
            binlog_pin: binlog_pin.status(),
        }
    }

    fn rule_status(&self, stream: &RuleStream, dispatcher: &Dispatcher) -> RuleStatus {
        let counts = dispatcher.counts(&stream.name);
        let is_attached = stream.detached.is_none();
        let mark = stream.own_mark().or_else(|| self.main.feed.reached().filter(|_| is_attached));
        RuleStatus {
            rule: stream.name.to_string(),
            target: target(stream),
            stream: stream.feed_status(),
            paused: stream.paused.clone(),
            lacks: stream.lacks().cloned(),
            unresolved: stream.tracker.unresolved() as u64,
            in_flight: counts.in_flight as u64,
            in_retry: counts.in_retry as u64,
            low_water_mark: mark.map(|mark| mark.position().clone()),
            oldest_unresolved_us: stream.tracker.oldest_unresolved_us(),
        }
    }

    /// Reports the state of all rules in the metrics.
    pub fn report_metrics(&mut self) {
        let (mut deliveries, mut bytes) = (0, 0);
        let now_us = now_us();
        for stream in self.rules.iter_mut() {
            deliveries += stream.tracker.unresolved();
            bytes += stream.tracker.unresolved_bytes();
            stream.report_metrics(&self.metrics, now_us);
        }
        self.metrics.window_deliveries.set(deliveries as i64);
        self.metrics.window_bytes.set(bytes as i64);
    }
}

fn target(stream: &RuleStream) -> String {
    stream.rule.first_action().target.origin.clone()
}
