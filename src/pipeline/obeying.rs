//! What operators ask of the loop, carried out.
//!
//! In: commands. Out: answers, at once or when what was asked for is durable. Reloading exchanges the rules under the
//! streams: a rule keeps its stream by its name.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::command::{Command, CommandRefused, LoopStatus, Paused, RuleStatus};
use super::counts::RuleMetrics;
use super::rule_stream::{Behind, RuleStream, alone};
use super::writes::Written;
use super::{Pipeline, window_of};
use crate::clock::now_us;
use crate::delivery::{Completed, Delivery, Origin};
use crate::outcome;
use crate::position::Start;
use crate::rules::RuleSet;
use crate::store;

type Answer = oneshot::Sender<Result<(), CommandRefused>>;

impl Pipeline {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Replay { delivery, lanes, wish, answer } => self.replay(delivery, lanes, wish, answer),
            Command::AwaitReleases { answer } => self.releases.when_quiet(answer),
            Command::Redeliver { delivery, answer } => {
                self.redelivered += 1;
                self.answers.insert(self.redelivered, answer);
                let origin = Origin::Redelivery { number: self.redelivered };
                self.dispatcher.submit(Delivery { origin, ..delivery });
            }
            Command::Pause { rule, why, answer } => {
                let done = self.pause(&rule, why);
                self.answer_when_durable(done, answer);
            }
            Command::Resume { rule, from, answer } => {
                let done = self.go_on(&rule, from);
                self.answer_when_durable(done, answer);
            }
            // Whoever asked may have gone.
            Command::Status { answer } => {
                let _ = answer.send(self.status());
            }
            Command::Reload { rules, answer } => {
                self.reload(rules);
                let _ = answer.send(());
            }
        }
    }

    fn answer_when_durable(&mut self, done: Result<(), CommandRefused>, answer: Answer) {
        if let Err(refused) = done {
            let _ = answer.send(Err(refused));
            return;
        }
        let paused = Some(self.paused_rules());
        let written = self.store.write(store::Write { paused, ..store::Write::default() });
        self.writes.push(Box::pin(async move {
            let written = written.await;
            let refused = |error: &store::Error| CommandRefused::Store { problem: error.to_string() };
            let _ = answer.send(written.as_ref().map(|_| ()).map_err(refused));
            written.map(|_| Written::Answered)
        }));
    }

    /// Pauses a rule if what becomes a dead letter demands it, unless it is paused or gone. True: this has to be stored.
    pub(super) fn pause_for_letter(&mut self, completed: &Completed) -> bool {
        let Some(why) = outcome::pause(completed, None) else { return false };
        let rule = &*completed.delivery.rule.name;
        self.pause(rule, why).is_ok()
    }

    /// The dead letter has its number: what it paused says so, if it is paused still.
    pub(super) fn name_letter(&mut self, completed: &Completed, number: u64) {
        let (unnamed, named) = (outcome::pause(completed, None), outcome::pause(completed, Some(number)));
        let (Some(unnamed), Some(why)) = (unnamed, named) else { return };
        let rule = &*completed.delivery.rule.name;
        let paused = self.streams.get_mut(rule).and_then(|stream| stream.paused.as_mut());
        if let Some(paused) = paused.filter(|paused| paused.why == unnamed) {
            tracing::error!(rule, why, "the rule is paused; fix what is wrong, then `rowhook resume {rule}`");
            paused.why = why;
            self.store_paused();
        }
    }

    fn store_paused(&mut self) {
        let paused = Some(self.paused_rules());
        let written = self.store.write(store::Write { paused, ..store::Write::default() });
        self.writes.push(Box::pin(async move { written.await.map(|_| Written::Answered) }));
    }

    pub(super) fn is_paused(&self, rule: &str) -> bool {
        self.streams.find(rule).is_some_and(|at| self.streams.list[at].paused.is_some())
    }

    fn pause(&mut self, rule: &str, why: String) -> Result<(), CommandRefused> {
        let no_such_rule = || CommandRefused::NoSuchRule { rule: rule.to_string() };
        let stream = self.streams.get_mut(rule).ok_or_else(no_such_rule)?;
        if stream.paused.is_some() {
            return Err(CommandRefused::AlreadyPaused { rule: rule.to_string() });
        }
        stream.paused = Some(Paused { since_us: now_us(), why });
        if let Some(behind) = &mut stream.behind {
            behind.feed.close();
        }
        self.dispatcher.set_paused(rule, true);
        tracing::info!(rule, "paused");
        Ok(())
    }

    /// Also gives a rule another try whose reader gave up, or whose table lacked a column.
    fn go_on(&mut self, rule: &str, from: Option<Start>) -> Result<(), CommandRefused> {
        let no_such_rule = || CommandRefused::NoSuchRule { rule: rule.to_string() };
        let stream = self.streams.get_mut(rule).ok_or_else(no_such_rule)?;
        let stands = |behind: &Behind| behind.error.is_some() || behind.lacks.is_some();
        let has_given_up = stream.behind.as_ref().is_some_and(stands);
        match (&mut stream.behind, from) {
            (None, Some(_)) => return Err(CommandRefused::NotBehind { rule: rule.to_string() }),
            (Some(behind), Some(from)) => {
                behind.feed.close();
                behind.start = Some(from);
            }
            (_, None) if stream.paused.is_none() && !has_given_up => {
                return Err(CommandRefused::NotPaused { rule: rule.to_string() });
            }
            (_, None) => {}
        }
        if let Some(behind) = &mut stream.behind {
            behind.error = None;
            behind.lacks = None;
        }
        stream.paused = None;
        self.dispatcher.set_paused(rule, false);
        tracing::info!(rule, "resumed");
        Ok(())
    }

    fn status(&self) -> LoopStatus {
        LoopStatus {
            position: self.main.reached().map(|place| place.position().clone()),
            read_up_to_us: self.main.read_up_to_us,
            rules: self.streams.list.iter().map(|stream| self.rule_status(stream)).collect(),
            targets: self.dispatcher.targets(),
            binlog_pin: self.binlog_hold.status(),
        }
    }

    fn rule_status(&self, stream: &RuleStream) -> RuleStatus {
        let counts = self.dispatcher.counts(&stream.name);
        let is_attached = stream.behind.is_none();
        let mark = stream.own_mark().or_else(|| self.main.reached().filter(|_| is_attached));
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

    /// Goes on with other rules. Those of the same name keep their streams.
    fn reload(&mut self, rules: Arc<RuleSet>) {
        let list = std::mem::take(&mut self.streams).list;
        let mut before: HashMap<Arc<str>, RuleStream> =
            list.into_iter().map(|stream| (Arc::clone(&stream.name), stream)).collect();
        let place = self.main.reached().cloned();
        let mut streams = Vec::new();
        for rule in rules.rules() {
            let known = before.remove(rule.name.as_str());
            let mut stream = known.unwrap_or_else(|| {
                // One of this name may have gone before.
                self.dispatcher.set_paused(&rule.name, false);
                RuleStream::not_begun(rule, place.as_ref())
            });
            let is_elsewhere = stream.rule.table != rule.table;
            stream.rule = Arc::clone(rule);
            if let Some(Behind { feed, lacks, .. }) = &mut stream.behind {
                feed.set_rules(alone(rule));
                // It may do without the column now; else the same row pauses it again.
                *lacks = None;
                if is_elsewhere {
                    feed.close();
                }
            }
            streams.push(stream);
        }
        self.streams = streams.into_iter().collect();
        self.dispatcher.adopt(rules.rules());
        self.part_with_vanished(before.into_values());
        self.window = window_of(&self.limits, self.streams.list.len());
        self.relist();
        self.follow_rules(rules);
        self.record_needs();
        self.releases.look_at_all();
        self.has_moved = true;
    }

    fn part_with_vanished(&mut self, vanished: impl Iterator<Item = RuleStream>) {
        let mut was_paused = false;
        for stream in vanished {
            if stream.behind.is_some() {
                let place = stream.own_mark().map(|mark| mark.position().to_string()).unwrap_or_default();
                tracing::warn!(
                    rule = &*stream.name,
                    place,
                    "the rule was removed while it was detached; changes after this position are not delivered"
                );
            }
            // What is queued of it is still not sent, unless the rule comes back.
            was_paused |= stream.paused.is_some();
            RuleMetrics::forget(&self.metrics, &stream.name);
            self.orphans.extend(stream.tracker.abandon());
        }
        if was_paused {
            self.store_paused();
        }
    }

    /// The main stream brings what these rules are about, from where it stands.
    fn follow_rules(&mut self, rules: Arc<RuleSet>) {
        let has_other_tables = self.main.rules().patterns().0 != rules.patterns().0;
        self.main.set_rules(Arc::clone(&rules));
        self.matches.clear();
        if has_other_tables && let Some(reading) = &self.reading {
            self.held = None;
            self.patience_ends_at = None;
            let reader = reading.follow(self.main.reached(), &rules, Arc::clone(&self.metrics));
            self.main.open(reader);
        } else if let Some(change) = &self.held {
            rules.matches(change, &mut self.matches);
        }
    }
}

fn target(stream: &RuleStream) -> String {
    stream.rule.actions[0].target.origin.clone()
}
