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
use crate::delivery::breaker::{Availability, Breaker, EndedAttempt, May, StartedAs};
use crate::delivery::lane::{AttemptKind, Lanes, Place, QueueNumber};
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
    /// A failed answer to a probe may be the row's own fault, unless the rows of many keys fail.
    pub fn of(end: &AttemptEnd, was_probe: bool, target_after: Availability) -> RetryCounts {
        let is_of_target = match (target_after, end.health) {
            (Availability::Available, _) => false,
            (Availability::UnavailableToFew, health) => health != TargetHealth::Fails,
            (Availability::Unavailable, _) => true,
        };
        match (end.health, pause_of(end)) {
            (TargetHealth::Throttles, Some(wait)) => {
                RetryCounts::Not { wait: wait.clamp(NOT_COUNTED_WAIT_MIN, answer::RETRY_AFTER_MAX) }
            }
            _ if was_probe && is_of_target => RetryCounts::Not { wait: NOT_COUNTED_WAIT_MIN },
            _ if was_probe || target_after == Availability::Available => RetryCounts::Fully,
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

    /// An attempt of the call at this place starts, from a restricted target queue or not.
    pub fn started(&mut self, place: Place, lanes: &Lanes) -> TargetNumber {
        let target = self.queues[lanes.queue_of(place) as usize].target;
        self.targets[target].started(lanes.attempt(place));
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
        let was_probe = target.breaker().is_probe(end.place);
        let place = end.place;
        let ended = EndedAttempt { place, attempt: lanes.attempt(place), keys: lanes.call_keys(place) };
        let could_start = |queue: QueueNumber| {
            let rate_limit = &self.queues[queue as usize].rate_limit;
            lanes.has_first(queue) && rate_limit.as_ref().is_none_or(|rate_limit| rate_limit.free_at(now()).is_none())
        };
        target.ended(ended, end.health, end.answer, could_start, &now);
        let availability = target.breaker().availability();
        if let Some(wait) = pause_of(end) {
            target.pause(wait, now());
        }
        if let Some(server_limit) = end.server_limit {
            target.set_server_limit(server_limit, now());
        }
        let counts = RetryCounts::of(end, was_probe, availability);
        if target.wants_admission() != target.is_restricting {
            self.apply(number, lanes);
        }
        if !self.targets[number].asking.is_empty() {
            self.mark_for_check(number);
        }
        counts
    }

    /// An attempt to this target was not made after all. To be called before its delivery leaves its slot.
    pub fn cancelled(&mut self, target: TargetNumber, place: Place, lanes: &Lanes, now: Instant) {
        self.targets[target].cancelled(place, lanes.attempt(place), now);
        self.mark_for_check(target);
    }

    /// Whether the rule of the target queue calls a target that is unavailable.
    pub fn is_open(&self, queue: QueueNumber) -> bool {
        let QueueAdmission { target, is_called, .. } = self.queues[queue as usize];
        is_called && self.targets[target].is_open()
    }

    /// As [`is_open`](Admission::is_open), where also nothing of the target queue can show that the target works: a first
    /// attempt that is under way or can be made may do so while only a few keys fail.
    pub fn is_blocked(&self, queue: QueueNumber, lanes: &Lanes) -> bool {
        let target = &self.targets[self.queues[queue as usize].target];
        let may_recover = target.breaker().availability() == Availability::UnavailableToFew
            && (target.has_first_in_flight() || lanes.has_first(queue));
        self.is_open(queue) && !may_recover
    }

    /// All targets that rules call, in the order in which they were first called.
    pub fn statuses(&self, now: Instant) -> Vec<TargetStatus> {
        self.targets.iter().filter(|target| target.is_called()).map(|target| target.status(now)).collect()
    }

    /// The target of this name counts as available from now on, and may be called at once.
    pub fn reset(&mut self, origin: &str, lanes: &mut Lanes, now: Instant) {
        if let Some(number) = self.by_origin.get(origin).copied() {
            self.targets[number].reset(now);
            self.apply(number, lanes);
        }
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
        let target = &self.targets[number];
        let (may_start, may_probe) = (target.may_start(now), target.breaker().may_probe(now));
        let (is_open, admits_other_keys) = (target.is_open(), target.breaker().admits_other_keys());
        if may_start != May::Now || is_open {
            self.forget_idle(number, lanes);
        }
        let target = &self.targets[number];
        if target.asking.is_empty() {
            return false;
        }
        // So that a long row of rows that fail does not hide those behind it, every other round asks with the newest ones.
        let is_newest = target.breaker().probes() / target.asking.len() % 2 == 1;
        let probes = [Choice::FirstAttempt { is_newest }, Choice::Next { is_probe: true }];
        let choices: &[Choice] = match (may_start, may_probe) {
            (May::At(at), _) => {
                self.wake_at(number, at);
                return false;
            }
            (May::AfterAnother, _) => return false,
            _ if !is_open => &[Choice::Next { is_probe: false }],
            (May::Now, May::Now) => &probes,
            (May::Now, May::At(_) | May::AfterAnother) => &[],
        };
        let mut wakes_at = if let May::At(due) = may_probe { Some(due) } else { None };
        let other_keys = admits_other_keys.then_some(Choice::OtherKey);
        for choice in other_keys.iter().chain(choices) {
            match self.admit_by(*choice, number, lanes, now) {
                Ok(()) => return true,
                Err(Some(at)) => wakes_at = Some(wakes_at.map_or(at, |known| known.min(at))),
                Err(None) => {}
            }
        }
        if let Some(at) = wakes_at {
            self.wake_at(number, at);
        }
        false
    }

    /// Target queues that have nothing to start any more no longer take turns.
    fn forget_idle(&mut self, number: TargetNumber, lanes: &Lanes) {
        let Admission { targets, queues, .. } = self;
        targets[number].asking.retain(|queue| {
            let is_asking = lanes.asks(*queue);
            queues[*queue as usize].is_asking = is_asking;
            is_asking
        });
    }

    /// Lets one delivery start that is chosen so; the target queues take turns. If there is none, the time when a rate allows
    /// one.
    fn admit_by(
        &mut self,
        choice: Choice,
        number: TargetNumber,
        lanes: &mut Lanes,
        now: Instant,
    ) -> Result<(), Option<Instant>> {
        let mut free_at: Option<Instant> = None;
        for _ in 0..self.targets[number].asking.len() {
            let target = &mut self.targets[number];
            let queue = target.asking.pop_front().expect("as many as were counted");
            if !lanes.asks(queue) {
                self.queues[queue as usize].is_asking = false;
                continue;
            }
            target.asking.push_back(queue);
            let Some(place) = choice.of(queue, lanes, target.breaker()) else { continue };
            let rate_limit = &mut self.queues[queue as usize].rate_limit;
            if let Some(at) = rate_limit.as_ref().and_then(|rate_limit| rate_limit.free_at(now)) {
                free_at = Some(free_at.map_or(at, |known| known.min(at)));
                continue;
            }
            lanes.start(place);
            target.admitted(place, choice.started_as(), now);
            if let Some(rate_limit) = rate_limit {
                rate_limit.take(now);
            }
            return Ok(());
        }
        Err(free_at)
    }

    fn wake_at(&mut self, number: TargetNumber, at: Instant) {
        let wake_at = &mut self.targets[number].wake_at;
        if wake_at.is_none_or(|known| at < known) {
            *wake_at = Some(at);
            self.wakes.push(Reverse((at, number)));
        }
    }
}

/// Which delivery of a target queue may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The one that has been ready for longest.
    Next { is_probe: bool },
    /// As a probe, one that was not attempted before: the oldest or the newest of them.
    FirstAttempt { is_newest: bool },
    /// One that was not attempted before, of a key of which no first attempt has failed.
    OtherKey,
}

impl Choice {
    fn of(self, queue: QueueNumber, lanes: &Lanes, breaker: &Breaker) -> Option<Place> {
        let mut startable = lanes.startable(queue);
        let is_first = |place: &Place| lanes.attempt(*place) == AttemptKind::First;
        match self {
            Choice::Next { .. } => startable.next(),
            Choice::FirstAttempt { is_newest: false } => startable.find(is_first),
            Choice::FirstAttempt { is_newest: true } => startable.rfind(is_first),
            Choice::OtherKey => {
                startable.find(|place| is_first(place) && breaker.are_other_keys(lanes.call_keys(*place)))
            }
        }
    }

    fn started_as(self) -> StartedAs {
        match self {
            Choice::Next { is_probe: false } => StartedAs::Ordinary,
            Choice::Next { is_probe: true } | Choice::FirstAttempt { .. } => StartedAs::Probe,
            Choice::OtherKey => StartedAs::OtherKey,
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
