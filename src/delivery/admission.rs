//! Admission: when an attempt may start whose turn in the lanes has come.
//!
//! In: the target queues of the rules and what they call, attempts as they start and end, the time. Out: admissions of
//! deliveries of restricted target queues, one by one; what an ended attempt counts for its delivery. Owns all targets, and the
//! rate limit of each target queue. A target queue is restricted only where a rate or a limit is set, and while its target is
//! unavailable or asked for a pause. Deliveries of other target queues start without admission, at no extra cost.
//! Nothing polls: a target is checked when its state has changed, or when its pause or interval is over. Deliberately
//! starts nothing itself and has no clock: a pure state machine.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::answer::{self, TargetHealth};
use crate::delivery::breaker::May;
use crate::delivery::lane::{Lanes, Place, QueueNumber};
use crate::delivery::rate_limit::{self, RateLimit};
use crate::delivery::server_limit::ServerLimit;
use crate::delivery::sink::Judged;
use crate::delivery::target::{TargetState, TargetStatus};
use crate::failure::Answer;
use crate::rules::{self, Rate};
use crate::telemetry::Metrics;

type TargetNumber = usize;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Admission {
    metrics: Arc<Metrics>,
    /// By number of the target queue.
    queues: Vec<QueueAdmission>,
    targets: Vec<TargetState>,
    by_origin: HashMap<Box<str>, TargetNumber>,
    /// Targets to be checked, because their state has changed.
    to_check: Vec<TargetNumber>,
    /// When to check targets again; one may be listed more than once.
    wakes: BinaryHeap<Reverse<(Instant, TargetNumber)>>,
}

#[derive(Debug)]
struct QueueAdmission {
    target: TargetNumber,
    /// Whether the current rule of the target queue calls the target.
    is_called: bool,
    rate: Option<Rate>,
    /// Follows from `rate`.
    rate_limit: Option<RateLimit>,
    /// Whether it is listed in `asking` of its target.
    is_asking: bool,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct AttemptEnd<'a> {
    pub place: Place,
    pub answer: &'a Answer,
    pub health: TargetHealth,
    /// How long the target asks us to wait.
    pub retry_after: Option<Duration>,
    /// What the target says it will still take.
    pub server_limit: Option<ServerLimit>,
}

impl AttemptEnd<'_> {
    /// How the attempt at this place ended, of which `judged` is known.
    pub fn of<'a>(place: Place, answer: &'a Answer, judged: &Judged) -> AttemptEnd<'a> {
        let Judged { health, server_limit, .. } = *judged;
        AttemptEnd { place, answer, health, retry_after: judged.asked_wait(), server_limit }
    }
}

/// What an attempt that may be followed by another counts for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryCounts {
    /// As one of those that the rule allows.
    Fully,
    /// As one of them, but never as the last one: the target is unavailable, and the delivery waits until it is available.
    ButNeverAsTheLast,
    /// Not at all: the answer says nothing about the delivery. The next attempt waits for `wait`, at least
    /// [`NOT_COUNTED_WAIT_MIN`], and for its admission.
    Not { wait: Duration },
}

impl RetryCounts {
    /// `is_open`: its target is unavailable after it.
    pub fn of(end: &AttemptEnd, was_probe: bool, is_open: bool) -> RetryCounts {
        match (end.health, pause_of(end)) {
            (TargetHealth::Throttles, Some(wait)) => {
                RetryCounts::Not { wait: wait.clamp(NOT_COUNTED_WAIT_MIN, answer::RETRY_AFTER_MAX) }
            }
            (TargetHealth::Throttles | TargetHealth::Unavailable | TargetHealth::Unknown, _)
                if was_probe && is_open =>
            {
                RetryCounts::Not { wait: NOT_COUNTED_WAIT_MIN }
            }
            _ if was_probe || !is_open => RetryCounts::Fully,
            _ => RetryCounts::ButNeverAsTheLast,
        }
    }
}

/// The number of attempts that do not count is unlimited, so the wait between them has a minimum: a delivery is sent at most
/// four times a second, even if the target names a shorter wait. Other deliveries use what the target allows meanwhile.
pub(super) const NOT_COUNTED_WAIT_MIN: Duration = Duration::from_millis(250);

impl Admission {
    pub fn new(metrics: Arc<Metrics>) -> Admission {
        Admission {
            metrics,
            queues: Vec::new(),
            targets: Vec::new(),
            by_origin: HashMap::new(),
            to_check: Vec::new(),
            wakes: BinaryHeap::new(),
        }
    }

    /// Adds a target queue of the lanes, with the target that its rule calls there; or updates the settings of a known one.
    /// A target queue never gets another target.
    pub fn set_target_queue(
        &mut self,
        queue: QueueNumber,
        settings: &Arc<rules::Target>,
        rate: Option<Rate>,
        lanes: &mut Lanes,
        now: Instant,
    ) {
        if queue as usize == self.queues.len() {
            let target = self.target_number(settings);
            self.targets[target].queues.push(queue);
            self.queues.push(QueueAdmission {
                target,
                is_called: false,
                rate: None,
                rate_limit: None,
                is_asking: false,
            });
        }
        let known = &mut self.queues[queue as usize];
        let (number, target) = (known.target, &mut self.targets[known.target]);
        target.set(settings, now);
        if !std::mem::replace(&mut known.is_called, true) {
            target.call();
        }
        if known.rate != rate {
            known.rate = rate;
            known.rate_limit = rate.map(|rate| RateLimit::new(rate_limit::interval(rate)));
        }
        self.apply(number, lanes);
    }

    /// The rule no longer calls the target of this target queue; what is left in the queue still does.
    pub fn retire(&mut self, queue: QueueNumber, lanes: &mut Lanes) {
        let known = &mut self.queues[queue as usize];
        let target = known.target;
        if std::mem::replace(&mut known.is_called, false) {
            self.targets[target].forget();
            self.apply(target, lanes);
        }
    }

    /// Lets at most one delivery of a restricted target queue start; false when none may. `now` is asked for only when one might.
    pub fn admit(&mut self, lanes: &mut Lanes, now: impl Fn() -> Instant) -> bool {
        while let Some(queue) = lanes.pop_asking() {
            let QueueAdmission { target, is_asking, .. } = &mut self.queues[queue as usize];
            if !std::mem::replace(is_asking, true) {
                self.targets[*target].asking.push_back(queue);
            }
            let target = *target;
            self.mark_for_check(target);
        }
        while let Some(target) = self.to_check.last().copied() {
            if self.admit_to(target, lanes, now()) {
                return true;
            }
            self.to_check.pop();
            self.targets[target].is_marked = false;
        }
        false
    }

    /// When to call [`wake`](Admission::wake), so that nothing waits longer than it must.
    pub fn next_wake(&self) -> Option<Instant> {
        self.wakes.peek().map(|Reverse((at, _))| *at)
    }

    /// Checks again the targets whose time has come.
    pub fn wake(&mut self, now: impl Fn() -> Instant) {
        while let Some(Reverse((at, target))) = self.wakes.peek().copied()
            && at <= now()
        {
            self.wakes.pop();
            self.targets[target].wake_at.take_if(|wake_at| *wake_at == at);
            self.mark_for_check(target);
        }
    }

    /// An attempt starts, from a restricted target queue or not.
    pub fn started(&mut self, queue: QueueNumber) -> TargetNumber {
        let target = self.queues[queue as usize].target;
        self.targets[target].started();
        target
    }

    /// An attempt to this target has ended. To be called before its delivery leaves its slot in the lanes.
    pub fn ended(
        &mut self,
        target: TargetNumber,
        end: &AttemptEnd,
        lanes: &mut Lanes,
        now: impl Fn() -> Instant,
    ) -> RetryCounts {
        let number = target;
        let target = &mut self.targets[number];
        let was_probe = target.is_probe(end.place);
        target.ended(end.place, end.health, end.answer, &now);
        let is_open = target.is_open();
        if let Some(wait) = pause_of(end) {
            target.pause(wait, now());
        }
        if let Some(server_limit) = end.server_limit {
            target.set_server_limit(server_limit, now());
        }
        let counts = RetryCounts::of(end, was_probe, is_open);
        if target.wants_admission() != target.is_restricting {
            self.apply(number, lanes);
        }
        if !self.targets[number].asking.is_empty() {
            self.mark_for_check(number);
        }
        counts
    }

    /// An attempt to this target was not made after all. To be called before its delivery leaves its slot.
    pub fn cancelled(&mut self, target: TargetNumber, place: Place, now: Instant) {
        self.targets[target].cancelled(place, now);
        self.mark_for_check(target);
    }

    /// Whether the rule of the target queue calls a target that is unavailable.
    pub fn is_open(&self, queue: QueueNumber) -> bool {
        let QueueAdmission { target, is_called, .. } = self.queues[queue as usize];
        is_called && self.targets[target].is_open()
    }

    /// All targets that rules call, in the order in which they were first called.
    pub fn statuses(&self, now: Instant) -> Vec<TargetStatus> {
        self.targets.iter().filter(|target| target.is_called()).map(|target| target.status(now)).collect()
    }

    fn target_number(&mut self, settings: &Arc<rules::Target>) -> TargetNumber {
        if let Some(number) = self.by_origin.get(settings.origin.as_str()) {
            return *number;
        }
        let number = self.targets.len();
        self.targets.push(TargetState::new(Arc::clone(settings), &self.metrics));
        self.by_origin.insert(settings.origin.as_str().into(), number);
        number
    }

    /// Restricts the target queues of a target or frees them, by the target's current state.
    fn apply(&mut self, number: TargetNumber, lanes: &mut Lanes) {
        let target = &mut self.targets[number];
        target.is_restricting = target.wants_admission();
        for queue in &target.queues {
            lanes.set_restricted(*queue, target.is_restricting || self.queues[*queue as usize].rate_limit.is_some());
        }
        self.mark_for_check(number);
    }

    fn mark_for_check(&mut self, number: TargetNumber) {
        if !std::mem::replace(&mut self.targets[number].is_marked, true) {
            self.to_check.push(number);
        }
    }

    fn admit_to(&mut self, number: TargetNumber, lanes: &mut Lanes, now: Instant) -> bool {
        self.targets[number].expire(now);
        if self.targets[number].is_restricting != self.targets[number].wants_admission() {
            self.apply(number, lanes);
            return true;
        }
        let target = &mut self.targets[number];
        let mut free_at: Option<Instant> = None;
        for _ in 0..target.asking.len() {
            let queue = *target.asking.front().expect("as many as were counted");
            if !lanes.asks(queue) {
                target.asking.pop_front();
                self.queues[queue as usize].is_asking = false;
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
            // The target queues take turns.
            target.asking.rotate_left(1);
            let rate_limit = &mut self.queues[queue as usize].rate_limit;
            if let Some(at) = rate_limit.as_ref().and_then(|rate_limit| rate_limit.free_at(now)) {
                free_at = Some(free_at.map_or(at, |known| known.min(at)));
                continue;
            }
            let place = lanes.admit(queue).expect("a queue that asks has something to start");
            target.admitted(place, now);
            if let Some(rate_limit) = rate_limit {
                rate_limit.take(now);
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

/// How long the target asked for no calls, in its answer 429 or 503.
fn pause_of(end: &AttemptEnd) -> Option<Duration> {
    let wait = match end.answer {
        Answer::Status { status: 429, .. } => {
            end.retry_after.or(end.server_limit.map(|server_limit| server_limit.reset))
        }
        Answer::Status { status: 503, .. } => end.retry_after,
        _ => None,
    };
    wait.filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests;
