//! Rows that an API always answers with 500, and outages: the rows stop no other row, and the outages make no dead letters.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

const RETRIES: u32 = 3;

/// So many first failures open a breaker at most, whatever failed before.
const FIRSTS_MAX: usize = 4 * FAILURES as usize;

/// A world in which some keys are poisoned, and in which everything may fail for a time.
struct PoisonedWorld {
    world: World,
    is_poisoned: Box<dyn Fn(u64) -> bool>,
    outage: Option<Outage>,
    /// The deliveries of each rule and key that have not ended, in their order.
    lanes: BTreeMap<(RuleNumber, u64), VecDeque<Place>>,
    keys: HashMap<Place, (RuleNumber, u64)>,
    /// Keys whose first attempts failed since the last success.
    failed_keys: HashSet<(RuleNumber, u64)>,
    /// First attempts that failed since the last success.
    firsts: usize,
    openings: usize,
    /// The rules that were probed since the target became unavailable, and from which probe on each has waited for its own.
    probed: Vec<RuleNumber>,
    waits_since: HashMap<RuleNumber, usize>,
    /// Attempts whose start was seen.
    seen: usize,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    fate: Fate,
    /// Attempts that have ended in it, and how many may until it is noticed.
    ended: usize,
    ended_max: usize,
}

impl PoisonedWorld {
    fn new(in_flight: &[usize], is_poisoned: impl Fn(u64) -> bool + 'static) -> PoisonedWorld {
        let rules: Vec<(&str, usize)> = in_flight.iter().map(|in_flight| (A, *in_flight)).collect();
        let mut world = World::new(&rules);
        world.retries = Some(RETRIES);
        PoisonedWorld {
            world,
            is_poisoned: Box::new(is_poisoned),
            outage: None,
            lanes: BTreeMap::new(),
            keys: HashMap::new(),
            failed_keys: HashSet::new(),
            firsts: 0,
            openings: 0,
            probed: Vec::new(),
            waits_since: HashMap::new(),
            seen: 0,
        }
    }

    fn availability(&self) -> Availability {
        self.world.admission.targets[0].breaker().availability()
    }

    fn enter(&mut self, rule: RuleNumber, key: u64) {
        // The place is known only when what can start has started.
        let place = self.world.lanes.enter(self.world.queue(rule), LaneKeys::one(lane_key(rule, key)), Turn::Call);
        self.world.entered += 1;
        self.keys.insert(place, (rule, key));
        self.lanes.entry((rule, key)).or_default().push_back(place);
        self.world.start_ready();
        self.check();
    }

    fn end(&mut self, index: usize) {
        let Running { place, .. } = self.world.running[index];
        let own = self.keys[&place];
        let (attempt, was) = (self.world.lanes.attempt(place), self.availability());
        let fate = match &mut self.outage {
            Some(outage) => {
                outage.ended += 1;
                outage.fate
            }
            None if (self.is_poisoned)(own.1) => Fate::Fails,
            None => Fate::Works,
        };
        if matches!(fate, Fate::Works) {
            (self.firsts, self.failed_keys) = (0, HashSet::new());
        } else if attempt == AttemptKind::First {
            self.firsts += 1;
            self.failed_keys.insert(own);
        }
        let others = self.others_about(place);
        let dead = self.world.dead;
        self.world.end(index, fate);
        let is_dead = self.world.dead > dead;
        let now = self.availability();
        assert!(!is_dead || now != Availability::Unavailable, "a dead letter while the target is unavailable");
        if is_dead || matches!(fate, Fate::Works) {
            let first = self.lanes.get_mut(&own).expect("its lane").pop_front();
            assert_eq!(first, Some(place), "out of order");
            self.keys.remove(&place);
        }
        if was == Availability::Available && now != was {
            self.openings += 1;
            (self.probed, self.waits_since) = (Vec::new(), HashMap::new());
            let is_first = attempt == AttemptKind::First;
            assert!(is_first || !others, "a retry opened it while others were about");
        }
        if now == Availability::Unavailable {
            let keys = self.failed_keys.len();
            assert!(self.firsts.min(keys) >= FAILURES as usize, "{} first attempts of {keys} keys", self.firsts);
        }
        self.check();
    }

    /// Whether a first attempt of another delivery is under way or could be made.
    fn others_about(&self, place: Place) -> bool {
        let World { lanes, running, queues, .. } = &self.world;
        let is_first = |running: &Running| running.place != place && lanes.attempt(running.place) == AttemptKind::First;
        running.iter().any(is_first) || queues.iter().any(|queues| lanes.has_first(queues[0].1))
    }

    /// Deliveries with their first attempts ahead, that wait for nothing but their admission.
    fn first_waiting(&self, rule: RuleNumber) -> impl Iterator<Item = Place> {
        let lanes = &self.world.lanes;
        lanes.startable(self.world.queue(rule)).filter(|place| lanes.attempt(*place) == AttemptKind::First)
    }

    fn check(&mut self) {
        let World { running, starts, lanes, .. } = &self.world;
        for Running { place, .. } in running {
            let own = self.keys[place];
            assert_eq!(self.lanes[&own].front(), Some(place), "it overtook an earlier delivery of its key");
        }
        let started: Vec<Place> = starts[self.seen..].iter().map(|(place, _)| *place).collect();
        self.seen = starts.len();
        let is_first = |place: &Place| lanes.attempt(*place) == AttemptKind::First;
        match self.availability() {
            Availability::Available => {}
            // What a few keys show stops no other key, as long as their attempts would not make it a matter of many.
            Availability::UnavailableToFew => {
                let is_other = |place: &Place| !self.failed_keys.contains(&self.keys[place]);
                let rules = 0..self.world.queues.len() as RuleNumber;
                let waits = rules.flat_map(|rule| self.first_waiting(rule)).any(|place| is_other(&place));
                let missing = (FAILURES as usize).saturating_sub(self.firsts.min(self.failed_keys.len()));
                let under_way = running.iter().filter(|running| is_first(&running.place)).count();
                assert!(!waits || under_way >= missing, "{under_way} under way, {missing} missing");
            }
            Availability::Unavailable => {
                let probes = started.iter().filter(|place| self.world.running.iter().any(|own| own.place == **place));
                for place in probes.copied().collect::<Vec<Place>>() {
                    self.note_probe(place);
                }
            }
        }
    }

    /// A rule is not probed again before all others that wait with a first attempt.
    fn note_probe(&mut self, place: Place) {
        let (rule, is_first) = (self.keys[&place].0, self.world.lanes.attempt(place) == AttemptKind::First);
        let last = self.probed.iter().rposition(|probed| *probed == rule);
        let number = self.probed.len();
        for other in 0..self.world.queues.len() as RuleNumber {
            let waits = self.first_waiting(other).next().is_some();
            assert!(is_first || !waits, "a retry was the probe though a first attempt could be made");
            if other == rule || !waits {
                self.waits_since.remove(&other);
                continue;
            }
            let since = *self.waits_since.entry(other).or_insert(number);
            assert!(last.is_none_or(|last| last < since), "rule {rule} was probed twice, rule {other} not at all");
        }
        self.probed.push(rule);
    }

    /// From now on everything fails.
    fn begin(&mut self, fate: Fate) {
        // Each delivery that was attempted before may use up its attempts, and so may those whose first attempts are needed.
        let tried = self.world.failed.len() + self.world.running.len();
        let ended_max = (1 + RETRIES as usize) * (FIRSTS_MAX + tried);
        self.outage = Some(Outage { fate, ended: 0, ended_max });
    }

    fn unresolved(&self, rule: RuleNumber, is_meant: impl Fn(u64) -> bool) -> usize {
        self.keys.values().filter(|(own, key)| *own == rule && is_meant(*key)).count()
    }

    /// Everything works from now on: all that entered must come to its end.
    fn run_to_the_end(&mut self) {
        self.outage = None;
        self.is_poisoned = Box::new(|_| false);
        for _ in 0..200 * self.world.entered + 1000 {
            match self.world.running.is_empty() {
                false => self.end(0),
                true if self.world.lanes.len() == 0 => return,
                true => {
                    assert!(self.world.advance_to_next(), "{} are lost", self.world.lanes.len());
                    self.check();
                }
            }
        }
        panic!("{} never ended", self.world.lanes.len());
    }
}

fn lane_key(rule: RuleNumber, key: u64) -> LaneKey {
    LaneKey(u64::from(rule) << 32 | key)
}

#[derive(Debug, Clone)]
enum Step {
    Enter { rule: RuleNumber, key: u64 },
    End { pick: usize },
    Advance { ms: u64 },
    Begin(Fate),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![Just(Fate::Fails), Just(Fate::Unavailable(0))];
    prop_oneof![
        12 => (any::<RuleNumber>(), any::<u64>()).prop_map(|(rule, key)| Step::Enter { rule, key }),
        12 => any::<usize>().prop_map(|pick| Step::End { pick }),
        6 => (0..4_000u64).prop_map(|ms| Step::Advance { ms }),
        1 => fate.prop_map(Step::Begin),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    /// The world asserts besides: an answer closes it at once, each attempt counts as it should, one probe at a time, a delivery
    /// is no dead letter while the target is unavailable, the order of each key.
    #[test]
    fn rows_that_fail_stop_no_other_and_an_outage_is_noticed(
        steps in prop::collection::vec(step(), 0..400),
        in_flight in prop::collection::vec(1..9usize, 1..4),
        keys in prop::sample::select(&[1u64, 2, 4, 6, 40, 1000][..]),
        poisoned in prop::sample::select(&[0u64, 10, 20, 50, 100][..]),
    ) {
        // Spread over the keys.
        let is_poisoned = move |key: u64| (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 100 < poisoned;
        let mut poisoned_world = PoisonedWorld::new(&in_flight, is_poisoned);
        for step in steps {
            let running = poisoned_world.world.running.len();
            match step {
                Step::Enter { rule, key } => poisoned_world.enter(rule % in_flight.len() as RuleNumber, key % keys),
                // In an outage in their order, so that none is under way for ever.
                Step::End { .. } if running > 0 && poisoned_world.outage.is_some() => poisoned_world.end(0),
                Step::End { pick } if running > 0 => poisoned_world.end(pick % running),
                Step::Advance { ms } => {
                    poisoned_world.world.advance(Duration::from_millis(ms));
                    poisoned_world.check();
                }
                Step::Begin(fate) if poisoned_world.outage.is_none() => poisoned_world.begin(fate),
                Step::Restore => poisoned_world.outage = None,
                _ => {}
            }
            if let Some(outage) = poisoned_world.outage {
                let is_noticed = poisoned_world.availability() != Availability::Available;
                prop_assert!(is_noticed || outage.ended <= outage.ended_max, "{outage:?}");
            }
        }
        poisoned_world.run_to_the_end();
    }

    /// Fewer poisoned keys than failures are configured, beside healthy ones that are always about.
    #[test]
    fn a_few_poisoned_keys_never_open_it_while_others_are_about(
        picks in prop::collection::vec(any::<usize>(), 1..200),
        in_flight in 2..9usize,
    ) {
        const BAD: u64 = 2;
        let mut poisoned_world = PoisonedWorld::new(&[in_flight, in_flight], |key| key < BAD);
        for (n, pick) in picks.into_iter().enumerate() {
            for rule in 0..2 {
                // More than may be under way.
                while poisoned_world.unresolved(rule, |key| key >= BAD) <= in_flight {
                    poisoned_world.enter(rule, BAD + poisoned_world.world.entered as u64);
                }
                if poisoned_world.unresolved(rule, |key| key == n as u64 % BAD) == 0 {
                    poisoned_world.enter(rule, n as u64 % BAD);
                }
            }
            match pick % 3 {
                0 => poisoned_world.world.advance(Duration::from_millis(pick as u64 % 997)),
                _ => poisoned_world.end(pick % poisoned_world.world.running.len()),
            }
            prop_assert_eq!(poisoned_world.openings, 0);
        }
        poisoned_world.run_to_the_end();
    }
}

/// Some thousand rows come at an even rate, and each attempt takes 10 ms. The share of the healthy ones that are delivered
/// within 100 ms, and how often the target became unavailable.
fn delivered_in_time(in_flight: usize, per_s: u64, is_poisoned: impl Fn(u64) -> bool + 'static) -> (f64, usize) {
    const ATTEMPT: Duration = Duration::from_millis(10);
    const ROWS: u64 = 4_000;
    let mut poisoned_world = PoisonedWorld::new(&[in_flight], is_poisoned);
    let begun = poisoned_world.world.now;
    let came_at = |row: u64| begun + Duration::from_micros(row * 1_000_000 / per_s);
    let (mut row, mut healthy, mut in_time, mut started) = (0, 0u32, 0u32, HashMap::new());
    loop {
        let now = poisoned_world.world.now;
        while came_at(row) <= now {
            healthy += u32::from(!(poisoned_world.is_poisoned)(row));
            poisoned_world.enter(0, row);
            row += 1;
        }
        for (place, at) in poisoned_world.world.starts.drain(..) {
            started.insert(place, at);
        }
        poisoned_world.seen = 0;
        let over = |running: &Running| started[&running.place] + ATTEMPT <= now;
        match poisoned_world.world.running.iter().position(over) {
            Some(over) => {
                let row = poisoned_world.keys[&poisoned_world.world.running[over].place].1;
                let is_in_time = !(poisoned_world.is_poisoned)(row) && now - came_at(row) <= Duration::from_millis(100);
                in_time += u32::from(is_in_time);
                poisoned_world.end(over);
            }
            None if row > ROWS => break,
            None => {
                poisoned_world.world.advance(Duration::from_millis(1));
                poisoned_world.check();
            }
        }
    }
    (f64::from(in_time) / f64::from(healthy), poisoned_world.openings)
}

#[test]
fn where_a_fifth_of_all_rows_always_fails_the_others_are_delivered_in_time() {
    // The attempts of all rows would fill two thirds of the slots.
    for (in_flight, per_s) in [(1, 40), (8, 320), (32, 1280)] {
        let is_poisoned = |row: u64| (row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 100 < 20;
        let (share, openings) = delivered_in_time(in_flight, per_s, is_poisoned);
        assert!(
            share >= 0.9 && openings <= 1,
            "{in_flight} in flight: {share:.3} in time, {openings} times unavailable"
        );
    }
}

#[test]
fn hundreds_of_rows_in_a_row_that_always_fail_do_not_hide_the_healthy_ones_behind_them() {
    let mut poisoned_world = PoisonedWorld::new(&[8], |row| row < 500);
    for row in 0..510 {
        poisoned_world.enter(0, row);
    }
    let begun = poisoned_world.world.now;
    while poisoned_world.unresolved(0, |row| row >= 500) == 10 {
        match poisoned_world.world.running.is_empty() {
            false => poisoned_world.end(0),
            true => assert!(poisoned_world.world.advance_to_next()),
        }
    }
    let waited = poisoned_world.world.now - begun;
    assert!(waited < Duration::from_secs(10), "{waited:?} until the first healthy row");
    poisoned_world.run_to_the_end();
}
