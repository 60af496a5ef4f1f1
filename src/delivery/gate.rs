//! The gate: when an attempt may start that has its turn in the lanes.
//!
//! In: the rules and what they call, attempts as they start and end, the time. Out: admissions of deliveries of gated
//! rules, one by one; what an ended attempt counts for its delivery. Owns all targets, and the pace of each rule. A rule is
//! gated only where a rate or a limit is set, and while its target is away or asked for a pause: otherwise its deliveries
//! never come by here, and starting one costs nothing more.
//! Nothing polls: a target is looked at when something of it has changed, or at the time it named. Deliberately starts
//! nothing itself and has no clock: a pure state machine.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::answer::{self, Health};
use crate::delivery::breaker::May;
use crate::delivery::lane::{Lanes, Place, RuleNumber};
use crate::delivery::pace::{self, Pace};
use crate::delivery::quota::Quota;
use crate::delivery::target::{Target, TargetStatus};
use crate::failure::Answer;
use crate::rules::{Rate, Rule};
use crate::telemetry::Metrics;

type TargetNumber = usize;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Gate {
    metrics: Arc<Metrics>,
    /// By rule number.
    rules: Vec<GatedRule>,
    targets: Vec<Target>,
    by_origin: HashMap<Box<str>, TargetNumber>,
    /// Targets to be looked at, because something has changed.
    stirred: Vec<TargetNumber>,
    /// When to look at targets again; one may stand here more than once.
    wakes: BinaryHeap<Reverse<(Instant, TargetNumber)>>,
}

#[derive(Debug)]
struct GatedRule {
    target: TargetNumber,
    rate: Option<Rate>,
    /// Of its rate.
    pace: Option<Pace>,
    /// Whether it stands in its target's queue.
    is_asking: bool,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct End<'a> {
    pub place: Place,
    pub answer: &'a Answer,
    pub health: Health,
    /// How long the target asks us to wait.
    pub retry_after: Option<Duration>,
    /// What the target says it will still take.
    pub quota: Option<Quota>,
}

/// What an attempt that may be followed by another counts for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// As one of those that the rule allows.
    Fully,
    /// The same, but it is not the last one: the target is away, and the delivery waits for its return.
    ButNeverAsTheLast,
    /// Not at all: it said nothing of the delivery. The next waits for so long, and for the gate.
    Not { wait: Duration },
}

impl Gate {
    pub fn new(metrics: Arc<Metrics>) -> Gate {
        Gate {
            metrics,
            rules: Vec::new(),
            targets: Vec::new(),
            by_origin: HashMap::new(),
            stirred: Vec::new(),
            wakes: BinaryHeap::new(),
        }
    }

    /// Takes in a rule of the lanes, or what has become of it: its target may be another one, or be set otherwise.
    pub fn set_rule(&mut self, number: RuleNumber, rule: &Rule, lanes: &mut Lanes, now: Instant) {
        let target = self.target_number(rule);
        match self.rules.get_mut(number as usize) {
            Some(known) if known.target == target => {}
            Some(known) => {
                let before = std::mem::replace(&mut known.target, target);
                known.is_asking = false;
                self.targets[before].rules.retain(|other| *other != number);
                self.targets[before].asking.retain(|other| *other != number);
                if self.targets[before].rules.is_empty() {
                    self.targets[before].forget();
                }
                self.targets[target].rules.push(number);
            }
            None => {
                debug_assert_eq!(self.rules.len(), number as usize, "rules are numbered as they come");
                self.rules.push(GatedRule { target, rate: None, pace: None, is_asking: false });
                self.targets[target].rules.push(number);
            }
        }
        let known = &mut self.rules[number as usize];
        if known.rate != rule.rate {
            known.rate = rule.rate;
            known.pace = rule.rate.map(|rate| Pace::new(pace::interval(rate)));
        }
        self.targets[target].set(&rule.actions[0].target, now);
        self.apply(target, lanes);
    }

    /// Lets at most one delivery of a gated rule start; false when none may. `now` is asked for only when one might.
    pub fn admit(&mut self, lanes: &mut Lanes, now: impl Fn() -> Instant) -> bool {
        while let Some(rule) = lanes.pop_asking() {
            let GatedRule { target, is_asking, .. } = &mut self.rules[rule as usize];
            if !std::mem::replace(is_asking, true) {
                self.targets[*target].asking.push_back(rule);
            }
            let target = *target;
            self.stir(target);
        }
        while let Some(target) = self.stirred.last().copied() {
            if self.admit_to(target, lanes, now()) {
                return true;
            }
            self.stirred.pop();
            self.targets[target].is_stirred = false;
        }
        false
    }

    /// When to call [`wake`](Gate::wake), so that nothing waits longer than it must.
    pub fn next_wake(&self) -> Option<Instant> {
        self.wakes.peek().map(|Reverse((at, _))| *at)
    }

    /// The time has come for some targets, perhaps.
    pub fn wake(&mut self, now: impl Fn() -> Instant) {
        while let Some(Reverse((at, target))) = self.wakes.peek().copied()
            && at <= now()
        {
            self.wakes.pop();
            self.targets[target].wake_at.take_if(|wake_at| *wake_at == at);
            self.stir(target);
        }
    }

    /// An attempt starts, gated or not.
    pub fn started(&mut self, rule: RuleNumber) -> TargetNumber {
        let target = self.rules[rule as usize].target;
        self.targets[target].started();
        target
    }

    /// An attempt to this target has ended. To be said before its delivery leaves its slot in the lanes.
    pub fn ended(&mut self, target: TargetNumber, end: &End, lanes: &mut Lanes, now: impl Fn() -> Instant) -> Counts {
        let number = target;
        let target = &mut self.targets[number];
        let was_probe = target.is_probe(end.place);
        target.ended(end.place, end.health, end.answer, &now);
        let is_open = target.is_open();
        let pause = pause_of(end);
        if let Some(wait) = pause {
            target.hold(wait, now());
        }
        if let Some(quota) = end.quota {
            target.heed(quota, now());
        }
        let counts = match (end.health, pause) {
            (Health::Throttles, Some(wait)) => Counts::Not { wait: wait.min(answer::RETRY_AFTER_MAX) },
            (Health::Throttles | Health::Away | Health::Unknown, _) if was_probe && is_open => {
                Counts::Not { wait: Duration::ZERO }
            }
            _ if was_probe || !is_open => Counts::Fully,
            _ => Counts::ButNeverAsTheLast,
        };
        if target.wants_gate() != target.gates {
            self.apply(number, lanes);
        }
        if !self.targets[number].asking.is_empty() {
            self.stir(number);
        }
        counts
    }

    /// An attempt to this target was not made after all. To be said before its delivery leaves its slot.
    pub fn cancelled(&mut self, target: TargetNumber, place: Place, now: Instant) {
        self.targets[target].cancelled(place, now);
        self.stir(target);
    }

    /// Whether the rule's target is away.
    pub fn is_open(&self, rule: RuleNumber) -> bool {
        self.targets[self.rules[rule as usize].target].is_open()
    }

    /// All targets that rules call, in the order in which they were first called.
    pub fn statuses(&self, now: Instant) -> Vec<TargetStatus> {
        self.targets.iter().filter(|target| !target.rules.is_empty()).map(|target| target.status(now)).collect()
    }

    fn target_number(&mut self, rule: &Rule) -> TargetNumber {
        if let Some(number) = self.by_origin.get(rule.actions[0].target.origin.as_str()) {
            return *number;
        }
        let number = self.targets.len();
        self.targets.push(Target::new(Arc::clone(&rule.actions[0].target), &self.metrics));
        self.by_origin.insert(rule.actions[0].target.origin.as_str().into(), number);
        number
    }

    /// Gates the rules of a target or lets them go, as it is now.
    fn apply(&mut self, number: TargetNumber, lanes: &mut Lanes) {
        let target = &mut self.targets[number];
        target.gates = target.wants_gate();
        for rule in &target.rules {
            lanes.set_gated(*rule, target.gates || self.rules[*rule as usize].pace.is_some());
        }
        self.stir(number);
    }

    fn stir(&mut self, number: TargetNumber) {
        if !std::mem::replace(&mut self.targets[number].is_stirred, true) {
            self.stirred.push(number);
        }
    }

    fn admit_to(&mut self, number: TargetNumber, lanes: &mut Lanes, now: Instant) -> bool {
        self.targets[number].expire(now);
        if self.targets[number].gates != self.targets[number].wants_gate() {
            self.apply(number, lanes);
            return true;
        }
        let target = &mut self.targets[number];
        let mut free_at: Option<Instant> = None;
        for _ in 0..target.asking.len() {
            let rule = *target.asking.front().expect("as many as were counted");
            if !lanes.asks(rule) {
                target.asking.pop_front();
                self.rules[rule as usize].is_asking = false;
                continue;
            }
            match target.may_start(now) {
                May::Now => {}
                May::AfterAnother => return false,
                May::At(at) => {
                    self.wake_at(number, at);
                    return false;
                }
            }
            // The rules take turns.
            target.asking.rotate_left(1);
            let pace = &mut self.rules[rule as usize].pace;
            if let Some(at) = pace.as_ref().and_then(|pace| pace.free_at(now)) {
                free_at = Some(free_at.map_or(at, |known| known.min(at)));
                continue;
            }
            let place = lanes.admit(rule).expect("a rule that asks has something to start");
            target.admitted(place, now);
            if let Some(pace) = pace {
                pace.take(now);
            }
            return true;
        }
        if let Some(at) = free_at {
            self.wake_at(number, at);
        }
        false
    }

    fn wake_at(&mut self, number: TargetNumber, at: Instant) {
        let wake_at = &mut self.targets[number].wake_at;
        if wake_at.is_none_or(|known| at < known) {
            *wake_at = Some(at);
            self.wakes.push(Reverse((at, number)));
        }
    }
}

/// How long the target wants nothing: what it said with 429 or 503.
fn pause_of(end: &End) -> Option<Duration> {
    let wait = match end.answer {
        Answer::Status { status: 429, .. } => end.retry_after.or(end.quota.map(|quota| quota.reset)),
        Answer::Status { status: 503, .. } => end.retry_after,
        _ => None,
    };
    wait.filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests;
