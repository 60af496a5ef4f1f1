//! Tests of admission with real lanes and a clock of their own: cases by hand, and any interleaving.

mod floor;
mod interleavings;
mod poisoned_rows;
mod probes;
mod rate_limit;

use std::collections::HashSet;

use super::*;
use crate::delivery::lane::{RuleNumber, Turn};
use crate::delivery::testing::rule;
use crate::failure::Answer;
use crate::ordering::{LaneKey, LaneKeys};
use crate::rules::{BreakerPolicy, Target as Settings};

const A: &str = "http://a.test/";
const B: &str = "http://b.test/";
const FAILURES: u32 = 5;

/// Lanes and admission as the dispatcher drives them, with attempts that end when the test says so.
struct World {
    lanes: Lanes,
    admission: Admission,
    /// The target queues of each rule, with what is called there; the last one is that of the rule's current target.
    queues: Vec<Vec<(String, QueueNumber)>>,
    now: Instant,
    running: Vec<Running>,
    /// Waiting for the time of their retry.
    resting: Vec<(Instant, Place)>,
    /// Until when its target wants nothing.
    paused_until: HashMap<TargetNumber, Instant>,
    /// How often each target has opened.
    openings: HashMap<TargetNumber, u32>,
    was_open: HashMap<TargetNumber, bool>,
    entered: usize,
    /// First attempts that started while a target was unavailable to few keys.
    other_keys: HashSet<Place>,
    /// How many retries deliveries have; none: any number.
    retries: Option<u32>,
    /// Failed attempts that counted, of what has not ended.
    failed: HashMap<Place, u32>,
    /// How many deliveries were given up.
    dead: usize,
    /// Every attempt that was started.
    starts: Vec<(Place, Instant)>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    place: Place,
    rule: RuleNumber,
    target: TargetNumber,
    /// The opening during which it started; None if its target was not open.
    probe_of: Option<u32>,
}

/// What an attempt comes to; the numbers are milliseconds that the target asks us to wait.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Works,
    Throttles(u64),
    Fails,
    Unavailable(u64),
}

impl World {
    fn new(rules: &[(&str, usize)]) -> World {
        let mut world = World {
            lanes: Lanes::default(),
            admission: Admission::new(Arc::default()),
            queues: Vec::new(),
            now: Instant::now(),
            running: Vec::new(),
            resting: Vec::new(),
            paused_until: HashMap::new(),
            openings: HashMap::new(),
            was_open: HashMap::new(),
            entered: 0,
            other_keys: HashSet::new(),
            retries: None,
            failed: HashMap::new(),
            dead: 0,
            starts: Vec::new(),
        };
        for (url, in_flight) in rules {
            let number = world.lanes.add_rule(*in_flight);
            world.queues.push(Vec::new());
            world.set(number, url, |_| {});
        }
        world
    }

    fn set(&mut self, number: RuleNumber, url: &str, edit: impl FnOnce(&mut Settings)) {
        self.set_rate(number, url, None, edit);
    }

    fn set_rate(&mut self, number: RuleNumber, url: &str, rate: Option<Rate>, edit: impl FnOnce(&mut Settings)) {
        let rule = rule(url, |rule| {
            let policy = BreakerPolicy { failures: FAILURES, ..BreakerPolicy::default() };
            let mut target = Settings { breaker: Some(policy), ..(*rule.actions[0].target).clone() };
            edit(&mut target);
            (rule.actions[0].target, rule.settings.rate) = (Arc::new(target), rate);
        });
        let known = &mut self.queues[number as usize];
        let queue = match known.iter().position(|(origin, _)| *origin == rule.actions[0].target.origin) {
            Some(index) => known.remove(index).1,
            None => self.lanes.add_target_queue(number),
        };
        for (_, other) in known.iter() {
            self.admission.retire(*other, &mut self.lanes);
        }
        known.push((rule.actions[0].target.origin.clone(), queue));
        self.admission.set_target_queue(queue, &rule.actions[0].target, rule.settings.rate, &mut self.lanes, self.now);
        self.note_openings();
        self.start_ready();
    }

    fn enter(&mut self, rule: RuleNumber, key: Option<u64>) -> Place {
        let keys = key.map_or(LaneKeys::none(), |key| LaneKeys::one(LaneKey(key)));
        let place = self.lanes.enter(self.queue(rule), keys, Turn::Call);
        self.entered += 1;
        self.start_ready();
        place
    }

    fn queue(&self, rule: RuleNumber) -> QueueNumber {
        self.queues[rule as usize].last().expect("a rule that was set").1
    }

    fn start_ready(&mut self) {
        loop {
            while let Some(place) = self.lanes.pop_start() {
                let rule = self.lanes.rule_of(place);
                let target = self.admission.started(place, &self.lanes);
                let state = &self.admission.targets[target];
                self.other_keys.remove(&place);
                if self.lanes.attempt(place) == AttemptKind::First
                    && state.breaker().availability() == Availability::UnavailableToFew
                {
                    self.other_keys.insert(place);
                }
                let probe_of = self.admission.targets[target].is_open().then(|| self.openings[&target]);
                let paused_until = self.paused_until.get(&target);
                assert!(
                    paused_until.is_none_or(|until| *until <= self.now),
                    "started during the pause that the target asked for"
                );
                self.running.push(Running { place, rule, target, probe_of });
                self.starts.push((place, self.now));
                self.check_probes();
            }
            if !self.admission.admit(&mut self.lanes, || self.now) {
                break;
            }
        }
    }

    /// While a target is open, one attempt at most has been started since it opened; and first attempts of other keys, as many
    /// as would make it a matter of many keys.
    fn check_probes(&self) {
        for (target, opening) in &self.openings {
            let is_probe = |running: &&Running| running.target == *target && running.probe_of == Some(*opening);
            let probes: Vec<_> = self.running.iter().filter(is_probe).collect();
            let others = probes.iter().filter(|running| self.other_keys.contains(&running.place)).count();
            assert!(!self.was_open[target] || probes.len() <= 1 + others, "two probes at a time: {probes:?}");
            assert!(others <= 1 + FAILURES as usize, "{others} of other keys");
        }
    }

    fn end(&mut self, index: usize, fate: Fate) -> RetryCounts {
        self.end_with(index, fate, None)
    }

    fn end_with(&mut self, index: usize, fate: Fate, server_limit: Option<ServerLimit>) -> RetryCounts {
        let Running { place, target, probe_of, .. } = self.running.remove(index);
        let (health, status, wait_ms) = match fate {
            Fate::Works => (TargetHealth::Works, 200, 0),
            Fate::Throttles(wait_ms) => (TargetHealth::Throttles, 429, wait_ms),
            Fate::Fails => (TargetHealth::Fails, 500, 0),
            Fate::Unavailable(wait_ms) => (TargetHealth::Unavailable, 503, wait_ms),
        };
        let retry_after = (wait_ms > 0).then_some(Duration::from_millis(wait_ms));
        let answer = Answer::Status { status, excerpt: String::new() };
        let was_open = self.admission.targets[target].is_open();
        let is_probe = was_open && probe_of == self.openings.get(&target).copied();
        let end = AttemptEnd { place, answer: &answer, health, retry_after, server_limit };
        let now = self.now;
        let counts = self.admission.ended(target, &end, &mut self.lanes, || now);
        let availability = self.admission.targets[target].breaker().availability();
        let is_open = availability != Availability::Available;
        self.note_openings();
        if let Some(wait) = retry_after {
            let paused_until = self.paused_until.entry(target).or_insert(now);
            *paused_until = (*paused_until).max(now + wait);
        }
        match fate {
            Fate::Works => {
                assert!(!is_open, "an answer closes it");
                self.leave(place);
            }
            _ => {
                let expected = match fate {
                    Fate::Throttles(1..) => {
                        RetryCounts::Not { wait: Duration::from_millis(wait_ms).max(NOT_COUNTED_WAIT_MIN) }
                    }
                    Fate::Throttles(_) | Fate::Unavailable(_) if is_probe => {
                        RetryCounts::Not { wait: NOT_COUNTED_WAIT_MIN }
                    }
                    Fate::Fails if is_probe && availability == Availability::Unavailable => {
                        RetryCounts::Not { wait: NOT_COUNTED_WAIT_MIN }
                    }
                    _ if is_probe || !is_open => RetryCounts::Fully,
                    _ => RetryCounts::ButNeverAsTheLast,
                };
                assert_eq!(counts, expected, "{fate:?}, probe: {is_probe}, open: {is_open}");
                let failed = self.failed.entry(place).or_default();
                *failed += u32::from(!matches!(counts, RetryCounts::Not { .. }));
                if counts == RetryCounts::Fully && self.retries.is_some_and(|retries| *failed > retries) {
                    self.dead += 1;
                    self.leave(place);
                    self.start_ready();
                    return counts;
                }
                self.lanes.rest(place);
                match counts {
                    RetryCounts::Not { wait } => self.resting.push((self.now + wait, place)),
                    _ => self.resting.push((self.now + Duration::from_millis(700), place)),
                }
            }
        }
        self.start_ready();
        counts
    }

    /// It has its outcome.
    fn leave(&mut self, place: Place) {
        self.failed.remove(&place);
        self.lanes.end(place);
        self.lanes.release(place);
    }

    fn note_openings(&mut self) {
        for (number, target) in self.admission.targets.iter().enumerate() {
            let was_open = self.was_open.insert(number, target.is_open()).unwrap_or_default();
            if target.is_open() && !was_open {
                *self.openings.entry(number).or_default() += 1;
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        let now = self.now;
        let (due, resting): (Vec<_>, Vec<_>) = self.resting.drain(..).partition(|(at, _)| *at <= now);
        self.resting = resting;
        for (_, place) in due {
            self.lanes.resume(place);
        }
        self.admission.wake(|| now);
        self.start_ready();
    }

    /// To the next moment at which something may happen by itself.
    fn advance_to_next(&mut self) -> bool {
        let next = self.resting.iter().map(|(at, _)| *at).chain(self.admission.next_wake()).min();
        let Some(next) = next else { return false };
        self.advance(next.saturating_duration_since(self.now));
        true
    }

    /// Everything works from now on: all that entered must come to its end.
    fn run_to_the_end(&mut self) {
        for _ in 0..20 * self.entered + 200 {
            while !self.running.is_empty() {
                self.end(0, Fate::Works);
            }
            if self.lanes.len() == 0 {
                return;
            }
            assert!(self.advance_to_next(), "{} wait, and nothing will happen any more", self.lanes.len());
        }
        panic!("{} never ended", self.lanes.len());
    }

    fn places(&self) -> Vec<Place> {
        self.running.iter().map(|running| running.place).collect()
    }

    fn open_a(&mut self) {
        for _ in 0..FAILURES {
            self.end(0, Fate::Unavailable(0));
        }
        assert!(self.admission.is_open(0));
    }
}

fn per_s(count: u32) -> Option<Rate> {
    Some(Rate { count, per: Duration::from_secs(1) })
}
