//! How the streams are doing, for operators and in the metrics.
//!
//! In: the streams as they are. Out: their status and gauges. Changes nothing.

use super::Streams;
use crate::clock::now_us;
use crate::delivery::Dispatcher;
use crate::lag::OldestChange;
use crate::pipeline::binlog_pin::BinlogPin;
use crate::pipeline::command::{LoopStatus, RuleStatus};
use crate::pipeline::rule_stream::RuleStream;

impl Streams {
    /// The status of the loop, with that of the dispatcher and of the binlog pin; nothing of the journal.
    pub fn status(&self, dispatcher: &Dispatcher, binlog_pin: &BinlogPin) -> LoopStatus {
        let now_us = now_us();
        let unread = self.main.oldest_unread(now_us);
        let rule = |stream| self.rule_status(stream, dispatcher, unread, now_us);
        let rules: Vec<RuleStatus> = self.rules.iter().map(rule).collect();
        LoopStatus {
            position: self.main.feed.reached().map(|place| place.position().clone()),
            read_up_to_us: self.main.feed.read_up_to_us,
            checkpointed_at_us: self.checkpointed_at_us,
            complete_up_to_us: self.main.feed.complete_up_to_us(),
            oldest: rules.iter().fold(unread, |oldest, rule| oldest.or_older(rule.oldest)),
            rules,
            targets: dispatcher.targets(),
            binlog_pin: binlog_pin.status(),
            journal: None,
        }
    }

    fn rule_status(&self, stream: &RuleStream, dispatcher: &Dispatcher, main: OldestChange, now_us: u64) -> RuleStatus {
        let counts = dispatcher.counts(&stream.name);
        let is_attached = stream.detached.is_none();
        let unread = stream.oldest_unread(main, now_us);
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
            unread,
            oldest: stream.oldest(unread),
        }
    }

    /// Reports the state of all rules in the metrics.
    pub fn report_metrics(&mut self, dispatcher: &Dispatcher) {
        let (mut deliveries, mut bytes) = (0, 0);
        let now_us = now_us();
        let unread = self.main.oldest_unread(now_us);
        let mut oldest = unread;
        for stream in self.rules.iter_mut() {
            deliveries += stream.tracker.unresolved();
            bytes += stream.tracker.unresolved_bytes();
            let of_rule = stream.oldest(stream.oldest_unread(unread, now_us));
            oldest = oldest.or_older(of_rule);
            stream.report_metrics(&self.metrics, of_rule.lag(now_us), dispatcher.counts(&stream.name));
        }
        self.metrics.lag_seconds.set(oldest.lag(now_us).seconds());
        self.metrics.window_deliveries.set(deliveries as i64);
        self.metrics.window_bytes.set(bytes as i64);
    }
}

fn target(stream: &RuleStream) -> String {
    stream.rule.first_action().target.origin.clone()
}
