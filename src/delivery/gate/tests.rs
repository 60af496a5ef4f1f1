//! Tests of the gate with the lanes behind it and a clock of their own: cases by hand, and any interleaving.

use proptest::prelude::*;

use super::*;
use crate::delivery::lane::Turn;
use crate::delivery::testing::rule;
use crate::failure::Answer;
use crate::ordering::{LaneKey, LaneKeys};
use crate::rules::{BreakerPolicy, Target as Settings};

const A: &str = "http://a.test/";
const B: &str = "http://b.test/";
const FAILURES: u32 = 5;

/// Lanes and gate as the dispatcher drives them, with attempts that end when the test says so.
struct World {
    lanes: Lanes,
    gate: Gate,
    now: Instant,
    running: Vec<Running>,
    /// Waiting for the time of their retry.
    resting: Vec<(Instant, Place, RuleNumber)>,
    /// Until when its target wants nothing.
    held_until: HashMap<TargetNumber, Instant>,
    /// How often each target has opened.
    openings: HashMap<TargetNumber, u32>,
    was_open: HashMap<TargetNumber, bool>,
    entered: usize,
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
    Away(u64),
}

impl World {
    fn new(rules: &[(&str, usize)]) -> World {
        let mut world = World {
            lanes: Lanes::default(),
            gate: Gate::new(Arc::default()),
            now: Instant::now(),
            running: Vec::new(),
            resting: Vec::new(),
            held_until: HashMap::new(),
            openings: HashMap::new(),
            was_open: HashMap::new(),
            entered: 0,
        };
        for (url, in_flight) in rules {
            let number = world.lanes.add_rule(*in_flight);
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
            let mut target = Settings { breaker: Some(policy), ..(*rule.target).clone() };
            edit(&mut target);
            (rule.target, rule.rate) = (Arc::new(target), rate);
        });
        self.gate.set_rule(number, &rule, &mut self.lanes, self.now);
        self.note_openings();
        self.start_ready();
    }

    fn enter(&mut self, rule: RuleNumber, key: Option<u64>) -> Place {
        let keys = key.map_or(LaneKeys::none(), |key| LaneKeys::one(LaneKey(key)));
        let place = self.lanes.enter(rule, keys, Turn::Call);
        self.entered += 1;
        self.start_ready();
        place
    }

    fn start_ready(&mut self) {
        loop {
            while let Some(place) = self.lanes.pop_start() {
                let rule = self.lanes.rule_of(place);
                let target = self.gate.started(rule);
                let probe_of = self.gate.is_open(rule).then(|| self.openings[&target]);
                let held_until = self.held_until.get(&target);
                assert!(held_until.is_none_or(|until| *until <= self.now), "started while the target is held");
                self.running.push(Running { place, rule, target, probe_of });
                self.check_probes();
            }
            if !self.gate.admit(&mut self.lanes, || self.now) {
                break;
            }
        }
    }

    /// While a target is open, one attempt at most has been started since it opened.
    fn check_probes(&self) {
        for (target, opening) in &self.openings {
            let is_probe = |running: &&Running| running.target == *target && running.probe_of == Some(*opening);
            let probes: Vec<_> = self.running.iter().filter(is_probe).collect();
            assert!(!self.was_open[target] || probes.len() <= 1, "two probes at a time: {probes:?}");
        }
    }

    fn end(&mut self, index: usize, fate: Fate) -> Counts {
        self.end_with(index, fate, None)
    }

    fn end_with(&mut self, index: usize, fate: Fate, quota: Option<Quota>) -> Counts {
        let Running { place, rule, target, probe_of } = self.running.remove(index);
        let (health, status, wait_ms) = match fate {
            Fate::Works => (Health::Works, 200, 0),
            Fate::Throttles(wait_ms) => (Health::Throttles, 429, wait_ms),
            Fate::Fails => (Health::Fails, 500, 0),
            Fate::Away(wait_ms) => (Health::Away, 503, wait_ms),
        };
        let retry_after = (wait_ms > 0).then_some(Duration::from_millis(wait_ms));
        let answer = Answer::Status { status, excerpt: String::new() };
        let was_open = self.gate.targets[target].is_open();
        let is_probe = was_open && probe_of == self.openings.get(&target).copied();
        let end = End { place, answer: &answer, health, retry_after, quota };
        let now = self.now;
        let counts = self.gate.ended(target, &end, &mut self.lanes, || now);
        let is_open = self.gate.targets[target].is_open();
        self.note_openings();
        if let Some(wait) = retry_after {
            let held_until = self.held_until.entry(target).or_insert(now);
            *held_until = (*held_until).max(now + wait);
        }
        match fate {
            Fate::Works => {
                assert!(!is_open, "an answer closes it");
                self.lanes.end(place);
                self.lanes.release(place);
            }
            _ => {
                let expected = match fate {
                    Fate::Throttles(1..) => Counts::Not { wait: Duration::from_millis(wait_ms) },
                    Fate::Throttles(_) | Fate::Away(_) if is_probe => Counts::Not { wait: Duration::ZERO },
                    _ if is_probe || !is_open => Counts::Fully,
                    _ => Counts::ButNeverAsTheLast,
                };
                assert_eq!(counts, expected, "{fate:?}, probe: {is_probe}, open: {is_open}");
                self.lanes.rest(place);
                match counts {
                    Counts::Not { wait: Duration::ZERO } => self.lanes.resume(place),
                    Counts::Not { wait } => self.resting.push((self.now + wait, place, rule)),
                    _ => self.resting.push((self.now + Duration::from_millis(700), place, rule)),
                }
            }
        }
        self.start_ready();
        counts
    }

    fn note_openings(&mut self) {
        for (number, target) in self.gate.targets.iter().enumerate() {
            let was_open = self.was_open.insert(number, target.is_open()).unwrap_or_default();
            if target.is_open() && !was_open {
                *self.openings.entry(number).or_default() += 1;
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        self.now += by;
        let now = self.now;
        let (due, resting) = self.resting.drain(..).partition(|(at, ..)| *at <= now);
        self.resting = resting;
        let due: Vec<(Instant, Place, RuleNumber)> = due;
        for (_, place, _) in due {
            self.lanes.resume(place);
        }
        self.gate.wake(|| now);
        self.start_ready();
    }

    /// To the next moment at which something may happen by itself.
    fn advance_to_next(&mut self) -> bool {
        let next = self.resting.iter().map(|(at, ..)| *at).chain(self.gate.next_wake()).min();
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
            self.end(0, Fate::Away(0));
        }
        assert!(self.gate.is_open(0));
    }
}

#[test]
fn an_open_target_lets_one_probe_at_a_time_through_over_all_its_rules() {
    let mut world = World::new(&[(A, 10), (A, 10), (B, 10)]);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    world.open_a();
    world.enter(1, None);
    assert_eq!(world.places(), [0; 0], "another rule of the target waits, too");
    world.enter(2, None);
    assert_eq!(world.running.len(), 1, "a rule of another target does not");
    world.end(0, Fate::Works);
    let mut probed = Vec::new();
    for _ in 0..4 {
        while world.running.is_empty() {
            assert!(world.advance_to_next());
        }
        probed.push(world.running[0].rule);
        assert_eq!(world.end(0, Fate::Away(0)), Counts::Not { wait: Duration::ZERO });
    }
    assert!(probed.contains(&0) && probed.contains(&1), "probes rotate over the rules: {probed:?}");
    world.run_to_the_end();
}

#[test]
fn probes_rotate_over_the_deliveries_of_a_rule() {
    let mut world = World::new(&[(A, 10)]);
    let places: Vec<Place> = (0..FAILURES).map(|_| world.enter(0, None)).collect();
    world.open_a();
    world.advance(Duration::from_secs(60));
    let mut probed = Vec::new();
    for _ in &places {
        while world.running.is_empty() {
            assert!(world.advance_to_next());
        }
        probed.push(world.running[0].place);
        world.end(0, Fate::Away(0));
    }
    probed.sort();
    assert_eq!(probed, places);
}

#[test]
fn an_attempt_that_was_under_way_closes_it_and_all_that_wait_start_at_once() {
    let mut world = World::new(&[(A, 10)]);
    for _ in 0..FAILURES + 1 {
        world.enter(0, None);
    }
    world.open_a();
    for _ in 0..3 {
        world.enter(0, None);
    }
    assert_eq!(world.running.len(), 1);
    world.end(0, Fate::Works);
    assert_eq!(world.running.len(), 3);
}

#[test]
fn a_target_that_asks_for_a_pause_gets_it_from_all_its_rules() {
    let mut world = World::new(&[(A, 10), (A, 10), (B, 10)]);
    world.enter(0, None);
    assert_eq!(world.end(0, Fate::Throttles(2_000)), Counts::Not { wait: Duration::from_secs(2) });
    for rule in [0, 1, 2, 1] {
        world.enter(rule, None);
    }
    assert_eq!(world.running.iter().map(|running| running.rule).collect::<Vec<_>>(), [2]);
    let held = world.gate.statuses(world.now)[0].held_until_us;
    assert!(held.is_some() && world.gate.statuses(world.now)[1].held_until_us.is_none());
    world.advance(Duration::from_millis(1_999));
    assert_eq!(world.running.len(), 1);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.running.len(), 5);
    assert_eq!(world.gate.statuses(world.now)[0].held_until_us, None);
    assert!(!world.gate.is_open(0), "throttling opens nothing");
}

#[test]
fn what_one_of_many_hosts_asks_for_holds_for_none_of_the_others() {
    let mut world = World::new(&[(A, 10)]);
    world.set(0, A, |target| target.is_many_hosts = true);
    world.enter(0, None);
    assert_eq!(world.end(0, Fate::Throttles(2_000)), Counts::Not { wait: Duration::from_secs(2) });
    // The world's own check is for targets that are one server.
    world.held_until.clear();
    for _ in 0..3 {
        world.enter(0, None);
    }
    assert_eq!(world.running.len(), 3);
    assert_eq!(world.gate.statuses(world.now)[0].held_until_us, None);
}

#[test]
fn a_target_without_a_breaker_opens_for_nothing_and_lets_go_what_waited() {
    let mut world = World::new(&[(A, 10)]);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    world.open_a();
    world.enter(0, None);
    assert_eq!(world.running.len(), 0);
    world.set(0, A, |target| target.breaker = None);
    assert_eq!((world.running.len(), world.gate.is_open(0)), (1, false));
}

#[test]
fn a_rule_whose_target_changes_waits_for_the_new_one() {
    let mut world = World::new(&[(A, 10), (A, 10)]);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    world.open_a();
    world.enter(0, None);
    assert_eq!(world.running.len(), 0);
    world.set(0, B, |_| {});
    assert_eq!((world.running.len(), world.gate.is_open(0), world.gate.is_open(1)), (1, false, true));
    let origins: Vec<_> = world.gate.statuses(world.now).into_iter().map(|status| status.target).collect();
    assert_eq!(origins, ["http://a.test", "http://b.test"]);
    world.run_to_the_end();
}

/// When each of so many deliveries of one rule starts, in milliseconds, if each attempt is over at once.
fn starts_ms(world: &mut World, count: usize) -> Vec<u128> {
    let begun = world.now;
    let mut starts = Vec::new();
    for _ in 0..count {
        world.enter(0, None);
    }
    while starts.len() < count {
        while !world.running.is_empty() {
            starts.push((world.now - begun).as_millis());
            world.end(0, Fate::Works);
        }
        assert!(starts.len() == count || world.advance_to_next(), "stuck after {starts:?}");
    }
    starts
}

fn per_s(count: u32) -> Option<Rate> {
    Some(Rate { count, per: Duration::from_secs(1) })
}

#[test]
fn a_rate_spreads_starts_evenly_be_it_the_rules_or_the_targets() {
    let expected = [0, 100, 200, 300, 400].map(|ms: u128| ms.saturating_sub(50));
    let mut world = World::new(&[(A, 100)]);
    world.set_rate(0, A, per_s(10), |_| {});
    assert_eq!(starts_ms(&mut world, 5), expected);
    let mut world = World::new(&[(A, 100)]);
    world.set(0, A, |target| target.rate = per_s(10));
    assert_eq!(starts_ms(&mut world, 5), expected);
    let mut world = World::new(&[(A, 100)]);
    world.set_rate(0, A, per_s(1000), |target| target.rate = per_s(10));
    assert_eq!(starts_ms(&mut world, 5), expected, "the slower one counts");
    world.set_rate(0, A, None, |_| {});
    assert_eq!(starts_ms(&mut world, 5), [0; 5], "without a rate all start at once");
}

#[test]
fn rules_share_the_rate_of_their_target_in_turns_and_one_at_its_limit_holds_back_none() {
    let mut world = World::new(&[(A, 100), (A, 100), (A, 100)]);
    for rule in 0..3 {
        let own = if rule == 0 { per_s(1) } else { None };
        world.set_rate(rule, A, own, |target| target.rate = per_s(10));
    }
    for _ in 0..30 {
        for rule in 0..3 {
            world.enter(rule, None);
        }
    }
    let begun = world.now;
    let mut started = [0; 3];
    while world.now - begun < Duration::from_secs(3) {
        while let Some(running) = world.running.first() {
            started[running.rule as usize] += 1;
            world.end(0, Fate::Works);
        }
        assert!(world.advance_to_next());
    }
    assert_eq!(started.iter().sum::<i32>(), 31, "{started:?}");
    assert!(started[0] <= 4 && (started[1] - started[2]).abs() <= 1, "{started:?}");
}

#[test]
fn a_targets_limit_on_attempts_under_way_holds_over_all_its_rules() {
    let mut world = World::new(&[(A, 10), (A, 10)]);
    for rule in 0..2 {
        world.set(rule, A, |target| target.in_flight = Some(3));
    }
    for _ in 0..5 {
        world.enter(0, None);
        world.enter(1, None);
    }
    let mut seen = [0; 2];
    for left in (0..10).rev() {
        assert_eq!(world.running.len(), (left + 1).min(3));
        seen[world.running[0].rule as usize] += 1;
        world.end(0, Fate::Works);
    }
    assert_eq!(seen, [5, 5]);
}

#[test]
fn what_a_target_says_it_will_still_take_is_kept_to() {
    let quota = |limit, remaining, reset_s| Some(Quota { limit, remaining, reset: Duration::from_secs(reset_s) });
    // What was said, and when the next five start, in milliseconds.
    for (said, expected) in [
        (quota(Some(100), Some(0), 12), [12_000; 5]),
        (quota(None, Some(0), 3_600), [300_000; 5]),
        (quota(Some(100), Some(4), 12), [0, 2_950, 5_950, 8_950, 11_950]),
        (quota(Some(100), Some(50), 12), [0; 5]),
        (quota(None, Some(1), 12), [0; 5]),
        (quota(Some(1_000_000), Some(u64::MAX), 12), [0; 5]),
        (quota(Some(u64::MAX), Some(1_000_000), 1), [0; 5]),
        (quota(Some(100), None, 12), [0; 5]),
        (quota(Some(100), Some(1), 86_400), [0, 299_950, 300_000, 300_000, 300_000]),
    ] {
        let mut world = World::new(&[(A, 100)]);
        world.enter(0, None);
        assert_eq!(world.end_with(0, Fate::Works, said), Counts::Fully);
        assert_eq!(starts_ms(&mut world, 5), expected, "{said:?}");
        world.advance(Duration::from_secs(300));
        assert_eq!(starts_ms(&mut world, 5), [0; 5], "later nothing is left of it: {said:?}");
    }
}

#[test]
fn fewer_left_than_are_under_way_are_spread() {
    let mut world = World::new(&[(A, 100)]);
    for _ in 0..10 {
        world.enter(0, None);
    }
    world.end_with(0, Fate::Works, Some(Quota { limit: None, remaining: Some(8), reset: Duration::from_secs(80) }));
    for _ in 0..2 {
        world.enter(0, None);
    }
    assert_eq!(world.running.len(), 10, "nine were under way, and one of two was started");
    world.end_with(0, Fate::Works, Some(Quota { limit: None, remaining: Some(200), reset: Duration::from_secs(80) }));
    world.enter(0, None);
    assert_eq!(world.running.len(), 11, "there is plenty again");
}

#[test]
fn a_429_counts_unless_it_names_a_time() {
    let reset = |remaining| Some(Quota { limit: None, remaining, reset: Duration::from_secs(400) });
    for (quota, expected) in [
        (None, Counts::Fully),
        (reset(None), Counts::Not { wait: Duration::from_secs(300) }),
        (reset(Some(9)), Counts::Not { wait: Duration::from_secs(300) }),
    ] {
        let mut world = World::new(&[(A, 100)]);
        world.enter(0, None);
        let Running { place, target, .. } = world.running[0];
        let answer = Answer::Status { status: 429, excerpt: String::new() };
        let end = End { place, answer: &answer, health: Health::Throttles, retry_after: None, quota };
        let now = world.now;
        assert_eq!(world.gate.ended(target, &end, &mut world.lanes, || now), expected, "{quota:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Enter { rule: RuleNumber, key: Option<u64> },
    End { pick: usize, fate: Fate },
    Cancel { pick: usize },
    Advance { ms: u64 },
    Pause { rule: RuleNumber, is_paused: bool },
    Move { rule: RuleNumber, to_b: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let wait = || prop_oneof![3 => Just(0u64), 1 => 1..5_000u64];
    let fate = prop_oneof![
        2 => Just(Fate::Works),
        1 => wait().prop_map(Fate::Throttles),
        2 => Just(Fate::Fails),
        5 => wait().prop_map(Fate::Away),
    ];
    prop_oneof![
        6 => (0..3u32, prop::option::of(0..4u64)).prop_map(|(rule, key)| Step::Enter { rule, key }),
        9 => (any::<usize>(), fate).prop_map(|(pick, fate)| Step::End { pick, fate }),
        1 => any::<usize>().prop_map(|pick| Step::Cancel { pick }),
        5 => (0..4_000u64).prop_map(|ms| Step::Advance { ms }),
        1 => (0..3u32, any::<bool>()).prop_map(|(rule, is_paused)| Step::Pause { rule, is_paused }),
        1 => (0..3u32, any::<bool>()).prop_map(|(rule, to_b)| Step::Move { rule, to_b }),
    ]
}

proptest! {
    /// At most one probe at a time and the right count of every attempt are asserted by the world itself.
    #[test]
    fn any_interleaving_probes_one_at_a_time_counts_rightly_and_is_never_stuck(
        steps in prop::collection::vec(step(), 0..200),
        rate in prop::option::of(1..20u32),
        in_flight in prop::option::of(1..4usize),
    ) {
        let mut world = World::new(&[(A, 1), (A, 4), (B, 2)]);
        world.set_rate(1, A, rate.and_then(per_s), |target| target.in_flight = in_flight);
        world.set(2, B, |target| target.rate = rate.and_then(per_s));
        for step in steps {
            match step {
                Step::Enter { rule, key } => {
                    world.enter(rule, key);
                }
                Step::End { pick, fate } if !world.running.is_empty() => {
                    let index = pick % world.running.len();
                    world.end(index, fate);
                }
                Step::Cancel { pick } if !world.running.is_empty() => {
                    let Running { place, target, .. } = world.running.remove(pick % world.running.len());
                    world.gate.cancelled(target, place, world.now);
                    world.lanes.end(place);
                    world.lanes.release(place);
                    world.start_ready();
                }
                Step::Advance { ms } => world.advance(Duration::from_millis(ms)),
                Step::Pause { rule, is_paused } => {
                    world.lanes.set_paused(rule, is_paused);
                    world.start_ready();
                }
                Step::Move { rule, to_b } => world.set(rule, if to_b { B } else { A }, |_| {}),
                _ => {}
            }
        }
        for rule in 0..3 {
            world.lanes.set_paused(rule, false);
        }
        world.start_ready();
        world.run_to_the_end();
    }
}
