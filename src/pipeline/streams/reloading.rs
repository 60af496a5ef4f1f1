//! Other rules under the streams: a rule keeps its stream by its name.
//!
//! In: the current rules. Out: a stream for each, and whether a paused rule is gone. New rules begin at the main
//! stream's position, or where they say.

use std::collections::HashMap;
use std::sync::Arc;

use super::Streams;
use crate::delivery::Dispatcher;
use crate::pipeline::counts::RuleMetrics;
use crate::pipeline::rule_stream::{DetachedStream, RuleStream, alone};
use crate::rules::{Rule, RuleSet};

/// Whether a paused rule is gone: the store must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Vanished {
    Paused,
    NonePaused,
}

impl Streams {
    /// Goes on with other rules. Those of the same name keep their streams.
    pub fn reload(&mut self, rules: Arc<RuleSet>, dispatcher: &mut Dispatcher) -> Vanished {
        let list = self.rules.take();
        let mut before: HashMap<Arc<str>, RuleStream> =
            list.into_iter().map(|stream| (Arc::clone(&stream.name), stream)).collect();
        let mut streams = Vec::new();
        for rule in rules.rules() {
            let known = before.remove(rule.name.as_str());
            let mut stream = known.unwrap_or_else(|| {
                // A rule of this name may have existed earlier.
                dispatcher.set_paused(&rule.name, false);
                RuleStream::not_begun(rule, self.main.feed.reached())
            });
            set_rule(&mut stream, rule);
            streams.push(stream);
        }
        self.rules.replace(streams);
        dispatcher.adopt(rules.rules());
        let vanished = self.part_with_vanished(before.into_values(), dispatcher);
        self.follow_rules(rules);
        self.has_moved = true;
        vanished
    }

    fn part_with_vanished(&mut self, vanished: impl Iterator<Item = RuleStream>, dispatcher: &Dispatcher) -> Vanished {
        let mut said = Vanished::NonePaused;
        for stream in vanished {
            if stream.detached.is_some() {
                let place = stream.own_mark().map(|mark| mark.position().to_string()).unwrap_or_default();
                tracing::warn!(
                    rule = &*stream.name,
                    place,
                    "the rule was removed while it was detached; changes after this position are not delivered"
                );
            }
            let deliveries = dispatcher.counts(&stream.name).unresolved;
            if deliveries > 0 {
                tracing::warn!(
                    rule = &*stream.name,
                    deliveries,
                    paused = stream.paused.is_some(),
                    "the rule was removed while it had deliveries; they are sent as long as rowhook runs, unless it was paused"
                );
            }
            // What is queued of it is still not sent, unless the rule comes back.
            if stream.paused.is_some() {
                said = Vanished::Paused;
            }
            RuleMetrics::forget(&self.metrics, &stream.name);
            self.orphans.extend(stream.tracker.abandon());
        }
        said
    }

    /// The main stream brings what these rules are about, from its position on.
    fn follow_rules(&mut self, rules: Arc<RuleSet>) {
        let has_other_tables = self.main.feed.rules().patterns().0 != rules.patterns().0;
        self.main.set_rules(rules);
        if has_other_tables && let Some(reading) = &self.reading {
            let feed = &self.main.feed;
            let reader = reading.follow(feed.reached(), feed.rules(), Arc::clone(&self.metrics));
            self.main.open(reader);
        }
    }
}

fn set_rule(stream: &mut RuleStream, rule: &Arc<Rule>) {
    let is_elsewhere = stream.rule.tables != rule.tables;
    stream.rule = Arc::clone(rule);
    if let Some(DetachedStream { feed, lacks, .. }) = &mut stream.detached {
        feed.set_rules(alone(rule));
        // It may do without the column now; else the same row pauses it again.
        *lacks = None;
        if is_elsewhere {
            feed.close();
        }
    }
}
