//! Tests of the lanes: the cases by hand, and any interleaving against a model.

mod definitions;

use proptest::prelude::*;

use super::*;

const A: LaneKey = LaneKey(1);
const B: LaneKey = LaneKey(2);

/// A rule with one target queue, both of the same number.
fn add_rule(lanes: &mut Lanes, in_flight_max: usize) -> RuleNumber {
    let rule = lanes.add_rule(in_flight_max);
    assert_eq!(lanes.add_target_queue(rule), rule);
    rule
}

/// Starts the call of a restricted target queue that has been ready for longest.
fn admit(lanes: &mut Lanes, queue: QueueNumber) -> Option<Place> {
    let place = lanes.startable(queue).next()?;
    lanes.start(place);
    Some(place)
}

fn started(lanes: &mut Lanes) -> Vec<Place> {
    std::iter::from_fn(|| lanes.pop_start()).collect()
}

#[test]
fn a_second_delivery_of_a_key_starts_only_after_the_release_of_the_first() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 10);
    let first = lanes.enter(rule, LaneKeys::one(A), Turn::Call);
    let second = lanes.enter(rule, LaneKeys::one(A), Turn::Call);
    assert_eq!(started(&mut lanes), [first]);
    lanes.end(first);
    assert_eq!(started(&mut lanes), [0; 0]);
    lanes.release(first);
    assert_eq!(started(&mut lanes), [second]);
}

#[test]
fn a_delivery_without_keys_waits_for_no_other() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 10);
    let all: Vec<Place> = (0..5).map(|_| lanes.enter(rule, LaneKeys::none(), Turn::Call)).collect();
    assert_eq!(started(&mut lanes), all);
}

#[test]
fn a_delivery_with_two_keys_starts_when_it_heads_both_lanes() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 10);
    let a = lanes.enter(rule, LaneKeys::one(A), Turn::Call);
    let b = lanes.enter(rule, LaneKeys::one(B), Turn::Call);
    let both = lanes.enter(rule, LaneKeys::two(A, B), Turn::Call);
    let after = lanes.enter(rule, LaneKeys::one(B), Turn::Call);
    assert_eq!(started(&mut lanes), [a, b]);
    lanes.end(b);
    lanes.release(b);
    assert_eq!(started(&mut lanes), [0; 0]);
    lanes.end(a);
    lanes.release(a);
    assert_eq!(started(&mut lanes), [both]);
    lanes.end(both);
    lanes.release(both);
    assert_eq!(started(&mut lanes), [after]);
}

#[test]
fn two_equal_keys_are_one() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 10);
    let first = lanes.enter(rule, LaneKeys::two(A, A), Turn::Call);
    let second = lanes.enter(rule, LaneKeys::two(A, A), Turn::Call);
    assert_eq!(started(&mut lanes), [first]);
    lanes.end(first);
    lanes.release(first);
    assert_eq!(started(&mut lanes), [second]);
}

#[test]
fn a_call_with_many_keys_waits_for_each_and_is_waited_for_by_each() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 10);
    let single = lanes.enter(rule, LaneKeys::one(LaneKey(3)), Turn::Call);
    let many = lanes.enter_many(rule, (0..100).chain(0..100).map(LaneKey).collect(), Turn::Call);
    let next = lanes.enter_many(rule, (99..150).map(LaneKey).collect(), Turn::Call);
    let aside = lanes.enter(rule, LaneKeys::one(LaneKey(200)), Turn::Call);
    let moving = lanes.enter(rule, LaneKeys::two(LaneKey(50), LaneKey(149)), Turn::Call);
    assert_eq!(started(&mut lanes), [single, aside]);
    for (ended, then) in [(single, vec![many]), (many, vec![next]), (next, vec![moving]), (moving, vec![])] {
        lanes.end(ended);
        lanes.release(ended);
        assert_eq!(started(&mut lanes), then);
    }
    lanes.end(aside);
    lanes.release(aside);
    assert!(lanes.rules[0].last_of_lane.is_empty());
}

#[test]
fn equal_keys_of_different_rules_do_not_wait_for_each_other() {
    let mut lanes = Lanes::default();
    let (one, two) = (add_rule(&mut lanes, 10), add_rule(&mut lanes, 10));
    let first = lanes.enter(one, LaneKeys::one(A), Turn::Call);
    let second = lanes.enter(two, LaneKeys::one(A), Turn::Call);
    assert_eq!(started(&mut lanes), [first, second]);
}

#[test]
fn a_delivery_that_waits_for_its_retry_gives_up_its_slot_and_keeps_its_lane() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 1);
    let a = lanes.enter(rule, LaneKeys::one(A), Turn::Call);
    let later_a = lanes.enter(rule, LaneKeys::one(A), Turn::Call);
    let b = lanes.enter(rule, LaneKeys::one(B), Turn::Call);
    assert_eq!(started(&mut lanes), [a]);
    lanes.rest(a);
    assert_eq!(started(&mut lanes), [b]);
    lanes.resume(a);
    assert_eq!(started(&mut lanes), [0; 0], "the only slot is taken");
    lanes.end(b);
    assert_eq!(started(&mut lanes), [a]);
    lanes.end(a);
    lanes.release(a);
    assert_eq!(started(&mut lanes), [later_a]);
}

#[test]
fn a_turn_that_passes_needs_no_slot() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 1);
    let call = lanes.enter(rule, LaneKeys::one(A), Turn::Call);
    let pass = lanes.enter(rule, LaneKeys::one(B), Turn::Pass);
    let behind = lanes.enter(rule, LaneKeys::one(A), Turn::Pass);
    assert_eq!(started(&mut lanes), [call, pass]);
    lanes.end(call);
    lanes.release(call);
    assert_eq!(started(&mut lanes), [behind]);
}

#[test]
fn a_raised_limit_starts_what_was_ready() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 1);
    let all: Vec<Place> = (0..3).map(|_| lanes.enter(rule, LaneKeys::none(), Turn::Call)).collect();
    assert_eq!(started(&mut lanes), all[..1]);
    lanes.set_in_flight_max(rule, 3);
    assert_eq!(started(&mut lanes), all[1..]);
}

#[test]
fn a_restricted_target_queue_starts_what_is_admitted_one_by_one() {
    let mut lanes = Lanes::default();
    let (restricted, free) = (add_rule(&mut lanes, 2), add_rule(&mut lanes, 2));
    lanes.set_restricted(restricted, true);
    let all: Vec<Place> = (0..3).map(|_| lanes.enter(restricted, LaneKeys::none(), Turn::Call)).collect();
    let other = lanes.enter(free, LaneKeys::none(), Turn::Call);
    let pass = lanes.enter(restricted, LaneKeys::none(), Turn::Pass);
    assert_eq!(
        started(&mut lanes),
        [other, pass],
        "neither another rule nor a call that only keeps the order is restricted"
    );
    assert_eq!(lanes.pop_asking(), Some(restricted));
    assert_eq!(
        [admit(&mut lanes, restricted), admit(&mut lanes, restricted), admit(&mut lanes, restricted)],
        [Some(all[0]), Some(all[1]), None]
    );
    assert_eq!(started(&mut lanes), all[..2]);
    assert!(!lanes.asks(restricted), "there is no slot");
    while lanes.pop_asking().is_some() {}
    lanes.end(all[0]);
    assert_eq!((lanes.pop_asking(), lanes.asks(restricted)), (Some(restricted), true));
    lanes.set_paused(restricted, true);
    assert!(!lanes.asks(restricted));
    lanes.set_paused(restricted, false);
    lanes.set_restricted(restricted, false);
    assert_eq!(started(&mut lanes), all[2..]);
}

#[test]
fn a_call_with_several_actions_keeps_its_lanes_and_goes_ahead_of_calls_that_have_not_begun() {
    let mut lanes = Lanes::default();
    let rule = lanes.add_rule(1);
    let (one, two) = (lanes.add_target_queue(rule), lanes.add_target_queue(rule));
    let first = lanes.enter(one, LaneKeys::one(A), Turn::Call);
    let same_key = lanes.enter(one, LaneKeys::one(A), Turn::Call);
    let other = lanes.enter(two, LaneKeys::one(B), Turn::Call);
    let waiting = lanes.enter(two, LaneKeys::none(), Turn::Call);
    assert_eq!(started(&mut lanes), [first, other], "each queue has its slot");
    lanes.end(first);
    lanes.proceed(first, two);
    assert_eq!(started(&mut lanes), [0; 0], "the other queue's slot is taken, and the key is not free");
    assert_eq!(lanes.counts(rule), RuleUnderWay { unresolved: 4, in_flight: 1, in_retry: 0, queued: 3 });
    lanes.end(other);
    assert_eq!(started(&mut lanes), [first]);
    lanes.rest(first);
    assert_eq!(started(&mut lanes), [0; 0], "as many are half done as may be under way");
    lanes.resume(first);
    assert_eq!(started(&mut lanes), [first]);
    lanes.end(first);
    assert_eq!(started(&mut lanes), [0; 0]);
    lanes.release(first);
    assert_eq!(started(&mut lanes), [waiting, same_key]);
}

#[test]
fn a_pause_stops_every_target_queue_of_its_rule() {
    let mut lanes = Lanes::default();
    let rule = lanes.add_rule(1);
    let queues = [lanes.add_target_queue(rule), lanes.add_target_queue(rule)];
    lanes.set_paused(rule, true);
    let all = queues.map(|queue| lanes.enter(queue, LaneKeys::none(), Turn::Call));
    assert_eq!(started(&mut lanes), [0; 0]);
    lanes.set_paused(rule, false);
    assert_eq!(started(&mut lanes), all);
}

#[test]
fn what_a_rule_has_in_the_lanes_is_counted_by_stage() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 2);
    let all: Vec<Place> = (0..4).map(|_| lanes.enter(rule, LaneKeys::none(), Turn::Call)).collect();
    started(&mut lanes);
    lanes.rest(all[0]);
    lanes.end(all[1]);
    let counts = RuleUnderWay { unresolved: 4, in_flight: 2, in_retry: 1, queued: 0 };
    assert_eq!(lanes.counts(rule), counts);
    lanes.release(all[1]);
    lanes.resume(all[0]);
    assert_eq!(lanes.counts(rule), RuleUnderWay { unresolved: 3, in_retry: 0, queued: 1, ..counts });
}

#[test]
fn once_closed_nothing_starts() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 1);
    let running = lanes.enter(rule, LaneKeys::one(A), Turn::Call);
    lanes.enter(rule, LaneKeys::one(B), Turn::Call);
    lanes.enter(rule, LaneKeys::one(A), Turn::Pass);
    assert_eq!(started(&mut lanes), [running]);
    lanes.close();
    lanes.end(running);
    lanes.release(running);
    assert_eq!(started(&mut lanes), [0; 0]);
    assert_eq!((lanes.running(), lanes.len()), (0, 2));
}

#[test]
fn an_empty_lane_takes_no_memory() {
    let mut lanes = Lanes::default();
    let rule = add_rule(&mut lanes, 1);
    for key in 0..100 {
        let place = lanes.enter(rule, LaneKeys::two(LaneKey(key), LaneKey(key + 1)), Turn::Call);
        assert_eq!(started(&mut lanes), [place]);
        lanes.end(place);
        lanes.release(place);
    }
    assert!(lanes.rules[0].last_of_lane.is_empty());
    assert_eq!((lanes.len(), lanes.slots.len()), (0, 1));
}

/// One thing that happens to the lanes; the number picks among the deliveries it can happen to.
#[derive(Debug, Clone)]
enum Step {
    Enter { queue: usize, keys: Vec<u64>, turn: Turn, is_batch: bool },
    Rest(usize),
    Resume(usize),
    End(usize),
    Proceed(usize, usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let turn = prop_oneof![5 => Just(Turn::Call), 1 => Just(Turn::Pass)];
    prop_oneof![
        3 => (0..QUEUES, prop::collection::vec(0..5u64, 0..3), turn)
            .prop_map(|(queue, keys, turn)| Step::Enter { queue, keys, turn, is_batch: false }),
        // Keys may come several times, and any number of calls may share any of them.
        2 => (0..QUEUES, prop::collection::vec(0..9u64, 0..12))
            .prop_map(|(queue, keys)| Step::Enter { queue, keys, turn: Turn::Call, is_batch: true }),
        1 => any::<usize>().prop_map(Step::Rest),
        1 => any::<usize>().prop_map(Step::Resume),
        2 => any::<usize>().prop_map(Step::End),
        1 => (any::<usize>(), 0..QUEUES_OF_A_RULE).prop_map(|(pick, queue)| Step::Proceed(pick, queue)),
        2 => any::<usize>().prop_map(Step::Release),
    ]
}

/// What must be true, kept in the plainest way: every delivery in the order of entering, with all that is known of it.
#[derive(Default)]
struct Model {
    lanes: Lanes,
    all: Vec<Entered>,
}

struct Entered {
    place: Place,
    /// Target queues of a rule are numbered one after another.
    queue: usize,
    keys: Vec<u64>,
    turn: Turn,
    stage: Expected,
    /// It has done something before.
    is_begun: bool,
}

impl Entered {
    fn rule(&self) -> usize {
        self.queue / QUEUES_OF_A_RULE
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Queued,
    Running,
    Resting,
    Ended,
    Released,
}

const IN_FLIGHT_MAX: [usize; 2] = [1, 3];
const QUEUES_OF_A_RULE: usize = 2;
const QUEUES: usize = IN_FLIGHT_MAX.len() * QUEUES_OF_A_RULE;

impl Model {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Enter { queue, keys, turn, is_batch } => {
                let few = match keys[..] {
                    [] => Some(LaneKeys::none()),
                    [key] => Some(LaneKeys::one(LaneKey(key))),
                    [old, new] => Some(LaneKeys::two(LaneKey(old), LaneKey(new))),
                    _ => None,
                };
                let number = *queue as QueueNumber;
                let place = match few {
                    Some(keys) if !*is_batch => self.lanes.enter(number, keys, *turn),
                    _ => self.lanes.enter_many(number, keys.iter().copied().map(LaneKey).collect(), Turn::Call),
                };
                let turn = if *is_batch { &Turn::Call } else { turn };
                let stage = Expected::Queued;
                let is_begun = false;
                self.all.push(Entered { place, queue: *queue, keys: keys.clone(), turn: *turn, stage, is_begun });
            }
            Step::Rest(pick) => self.change(*pick, Expected::Running, Expected::Resting, Some(Turn::Call), Lanes::rest),
            Step::Resume(pick) => self.change(*pick, Expected::Resting, Expected::Queued, None, Lanes::resume),
            Step::End(pick) => self.change(*pick, Expected::Running, Expected::Ended, None, Lanes::end),
            Step::Proceed(pick, queue) => self.proceed(*pick, *queue),
            Step::Release(pick) => self.change(*pick, Expected::Ended, Expected::Released, None, Lanes::release),
        }
        self.start_all();
        self.check();
    }

    fn change(
        &mut self,
        pick: usize,
        from: Expected,
        to: Expected,
        turn: Option<Turn>,
        change: impl Fn(&mut Lanes, Place),
    ) {
        let mut fitting: Vec<&mut Entered> = self
            .all
            .iter_mut()
            .filter(|entered| entered.stage == from && turn.is_none_or(|turn| turn == entered.turn))
            .collect();
        if !fitting.is_empty() {
            let chosen = pick % fitting.len();
            fitting[chosen].stage = to;
            let place = fitting[chosen].place;
            change(&mut self.lanes, place);
        }
    }

    fn proceed(&mut self, pick: usize, queue: usize) {
        let mut ended: Vec<&mut Entered> =
            self.all.iter_mut().filter(|entered| entered.stage == Expected::Ended).collect();
        if !ended.is_empty() {
            let chosen = pick % ended.len();
            let entered = &mut ended[chosen];
            entered.queue = entered.rule() * QUEUES_OF_A_RULE + queue;
            (entered.stage, entered.turn, entered.is_begun) = (Expected::Queued, Turn::Call, true);
            self.lanes.proceed(entered.place, entered.queue as QueueNumber);
        }
    }

    fn start_all(&mut self) {
        while let Some(place) = self.lanes.pop_start() {
            let started = self
                .all
                .iter()
                .rposition(|entered| entered.place == place && entered.stage != Expected::Released)
                .expect("only what entered is started");
            assert_eq!(self.all[started].stage, Expected::Queued, "started once per turn");
            assert!(self.heads_its_lanes(started), "an earlier delivery of the key is not released");
            self.all[started].stage = Expected::Running;
        }
    }

    fn heads_its_lanes(&self, index: usize) -> bool {
        let entered = &self.all[index];
        self.all[..index].iter().all(|earlier| {
            earlier.stage == Expected::Released
                || earlier.rule() != entered.rule()
                || !earlier.keys.iter().any(|key| entered.keys.contains(key))
        })
    }

    fn running(&self, queue: usize) -> usize {
        let counts = |e: &&Entered| e.queue == queue && e.turn == Turn::Call && e.stage == Expected::Running;
        self.all.iter().filter(counts).count()
    }

    fn may_begin(&self, rule: usize) -> bool {
        let is_half_done = |e: &&Entered| e.rule() == rule && e.is_begun && e.stage != Expected::Released;
        self.all.iter().filter(is_half_done).count() < IN_FLIGHT_MAX[rule]
    }

    fn check(&self) {
        let max = |queue: usize| IN_FLIGHT_MAX[queue / QUEUES_OF_A_RULE];
        for queue in 0..QUEUES {
            assert!(self.running(queue) <= max(queue), "more attempts under way than the rule allows");
        }
        assert_eq!(self.lanes.running(), (0..QUEUES).map(|queue| self.running(queue)).sum::<usize>());
        for (index, entered) in self.all.iter().enumerate() {
            let could_start = entered.stage == Expected::Queued && self.heads_its_lanes(index);
            let may_go_on = entered.is_begun || self.may_begin(entered.rule());
            let has_slot = self.running(entered.queue) < max(entered.queue) && may_go_on;
            let has_slot = entered.turn == Turn::Pass || has_slot;
            assert!(!(could_start && has_slot), "a delivery that could start was not started");
        }
        assert_eq!(self.lanes.len(), self.all.iter().filter(|e| e.stage != Expected::Released).count());
    }
}

proptest! {
    #[test]
    fn any_interleaving_keeps_order_and_limits_and_loses_nothing(steps in prop::collection::vec(step(), 0..120)) {
        let mut model = Model::default();
        for max in IN_FLIGHT_MAX {
            let rule = model.lanes.add_rule(max);
            for _ in 0..QUEUES_OF_A_RULE {
                model.lanes.add_target_queue(rule);
            }
        }
        for step in &steps {
            model.apply(step);
        }
        // Whatever is left ends when everything that can happen goes on happening.
        for _ in 0..4 * model.all.len() {
            for step in [Step::Resume(0), Step::End(0), Step::Release(0)] {
                model.apply(&step);
            }
        }
        prop_assert!(model.all.iter().all(|entered| entered.stage == Expected::Released));
        prop_assert!(model.lanes.rules.iter().all(|rule| rule.last_of_lane.is_empty()));
    }
}
