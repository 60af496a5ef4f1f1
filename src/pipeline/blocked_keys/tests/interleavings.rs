//! Any interleaving of changes, failures, replays, discards and restarts, with the lanes and a model of the store; also
//! while the key is made by other columns now and then.

mod disk;

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::delivery::{Lanes, Place, Turn};
use crate::ordering::{KeyDefinition, LaneKey, MoreKeys, OrderedBy};
use disk::{Disk, Letter};

#[derive(Clone, Copy)]
enum What {
    Change(usize),
    Letter(u64),
}

enum Write {
    /// With what else is known to be resolved.
    Add {
        change: usize,
        is_blocked: bool,
        place: Place,
        resolved: BTreeSet<usize>,
    },
    Replayed {
        number: u64,
        place: Place,
        outcome: Outcome,
    },
    Discard(u64),
}

/// One key's history: what was answered with success, in order, and after which of them there was a restart.
#[derive(Default)]
struct History {
    successes: Vec<(usize, usize)>,
}

/// A change of two rows, or of one, and the definition of its key: 0, 1, or 2, whose lanes those of the others can't tell.
#[derive(Clone, Copy)]
struct Changed {
    from: u64,
    to: u64,
    definition: u64,
}

impl Changed {
    fn definition(self) -> Arc<KeyDefinition> {
        let by = match self.definition {
            0 => OrderedBy::Table,
            1 => OrderedBy::Columns { key: Vec::new(), all: Vec::new() },
            _ => OrderedBy::Unknown,
        };
        Arc::new(KeyDefinition::new("r", "shop", "t", by))
    }

    fn keys(self, definition: u64) -> LaneKeys {
        LaneKeys::two(LaneKey(definition * 10 + self.from), LaneKey(definition * 10 + self.to))
    }

    fn is_of(self, key: u64) -> bool {
        self.from == key || self.to == key
    }
}

/// The loop, the lanes and the store, with all that may happen at any moment decided by the test.
struct World {
    changes: Vec<Changed>,
    /// What each change waited in when it last came.
    entered: HashMap<usize, LaneKeys>,
    disk: Disk,
    blocked: BlockedKeys,
    turns: Turns,
    lanes: Lanes,
    places: HashMap<Place, What>,
    started: Vec<Place>,
    fresh: BTreeSet<usize>,
    writes: VecDeque<Write>,
    reads: VecDeque<(u64, Option<Letter>)>,
    run: usize,
    history: History,
    discarded: BTreeSet<usize>,
    /// Dead letters that are being discarded.
    closing: BTreeSet<u64>,
}

impl World {
    fn new() -> World {
        let disk = Disk { next_number: 1, ..Disk::default() };
        let mut world = World {
            changes: Vec::new(),
            entered: HashMap::new(),
            disk,
            blocked: BlockedKeys::default(),
            turns: Turns::new(BlockedKeys::default()),
            lanes: Lanes::default(),
            places: HashMap::new(),
            started: Vec::new(),
            fresh: BTreeSet::new(),
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            run: 0,
            history: History::default(),
            discarded: BTreeSet::new(),
            closing: BTreeSet::new(),
        };
        world.restart(0);
        world
    }

    /// Some of the writes that were queued became durable, nothing else is left in memory.
    fn restart(&mut self, durable: usize) {
        for _ in 0..durable.min(self.writes.len()) {
            let write = self.writes.pop_front().expect("as many as there are");
            self.apply(&write);
        }
        self.writes.clear();
        self.reads.clear();
        self.closing.clear();
        self.blocked = BlockedKeys::new(self.disk.queues(), self.disk.definitions());
        self.blocked.inspect_all();
        self.turns = Turns::new(self.blocked.clone());
        self.lanes = Lanes::default();
        let rule = self.lanes.add_rule(3);
        self.lanes.add_target_queue(rule);
        self.lanes.set_blocked_keys(self.blocked.clone());
        self.places.clear();
        self.started.clear();
        self.fresh.clear();
        self.run += 1;
        for change in 0..self.changes.len() {
            if !self.disk.ledger.contains(&change) {
                self.submit(What::Change(change));
            }
        }
    }

    fn submit(&mut self, what: What) {
        let (change, turn) = match what {
            What::Change(change) => (change, Turn::CallUnlessBlocked),
            What::Letter(number) => (self.disk.letters[&number].change, Turn::Call),
        };
        let stored = match what {
            What::Change(_) => Vec::new(),
            What::Letter(number) => self.disk.letters[&number].lanes.iter().collect(),
        };
        let under = self.changes[change].definition();
        let keys = self.lanes_of(change, stored);
        self.entered.insert(change, keys.clone());
        let place = self.lanes.enter_under(0, keys, Some(&under), turn);
        self.places.insert(place, what);
        self.start();
    }

    /// As `Dispatcher::take_lanes_of_other_definitions` has it.
    fn lanes_of(&self, change: usize, stored: Vec<LaneKey>) -> LaneKeys {
        let changed = self.changes[change];
        let mut more = MoreKeys { keys: stored, ..MoreKeys::default() };
        for other in self.lanes.other_definitions(changed.definition().id()) {
            let other_number = (0..3).find(|n| Changed { definition: *n, ..changed }.definition() == other);
            match other_number.expect("one of three") {
                2 => more.definitions.push(other.id()),
                _ if changed.definition == 2 => more.definitions.push(other.id()),
                number => more.keys.extend(changed.keys(number).iter()),
            }
        }
        changed.keys(changed.definition).with(more)
    }

    /// As `outcome::queues_of_letter` has it.
    fn queues_of_letter(&self, change: usize, is_blocked: bool) -> LaneKeys {
        let lanes = &self.entered[&change];
        let mut keys: Vec<LaneKey> = lanes.own().iter().collect();
        let mut definitions = Vec::new();
        if is_blocked {
            keys = lanes.iter().chain(lanes.definitions().iter().map(|id| id.waiting())).collect();
            definitions = lanes.definitions().to_vec();
        }
        keys.sort_unstable();
        keys.dedup();
        LaneKeys::stored(keys, definitions, Some(self.changes[change].definition()))
    }

    fn start(&mut self) {
        while let Some(place) = self.lanes.pop_start() {
            match (self.lanes.turn(place), self.places[&place]) {
                (Turn::Block { .. }, What::Change(change)) => {
                    self.lanes.end(place);
                    // As `outcome::blocks_a_free_key` has it.
                    let lanes = &self.entered[&change];
                    let resolved = match lanes.iter().count() {
                        1 if lanes.definitions().is_empty() => BTreeSet::new(),
                        _ => std::mem::take(&mut self.fresh),
                    };
                    self.writes.push_back(Write::Add { change, is_blocked: true, place, resolved });
                }
                (Turn::Block { .. }, What::Letter(number)) => panic!("letter {number} was held"),
                (Turn::Withdrawn, What::Letter(number)) => {
                    self.lanes.end(place);
                    self.lanes.release(place);
                    self.turns.given_back(number);
                }
                (Turn::Withdrawn, What::Change(change)) => panic!("change {change} is lost"),
                (_, What::Letter(number)) => {
                    let is_closed = self.closing.contains(&number) || !self.disk.letters.contains_key(&number);
                    assert!(!is_closed, "letter {number} is sent although it was discarded");
                    self.started.push(place);
                }
                _ => self.started.push(place),
            }
        }
    }

    fn finish(&mut self, which: usize, success: bool) {
        let place = self.started.remove(which);
        self.lanes.end(place);
        let what = self.places[&place];
        let change = match what {
            What::Change(change) => Some(change),
            What::Letter(number) => self.disk.letters.get(&number).map(|letter| letter.change),
        };
        if let (true, Some(change)) = (success, change) {
            self.history.successes.push((self.run, change));
        }
        match (what, success) {
            (What::Change(change), true) => {
                self.fresh.insert(change);
                self.lanes.release(place);
            }
            (What::Change(change), false) => {
                let resolved = std::mem::take(&mut self.fresh);
                self.writes.push_back(Write::Add { change, is_blocked: false, place, resolved });
            }
            (What::Letter(number), success) => {
                let outcome = if success { delivered() } else { dead() };
                self.writes.push_back(Write::Replayed { number, place, outcome });
            }
        }
        self.start();
    }

    /// What the writer does, up to the moment in which it answers.
    fn apply(&mut self, write: &Write) {
        match write {
            Write::Add { change, is_blocked, resolved, .. } => {
                let number = self.disk.next_number;
                self.disk.next_number += 1;
                let lanes = self.queues_of_letter(*change, *is_blocked);
                let letter = Letter { change: *change, lanes, is_blocked: *is_blocked };
                self.disk.letters.insert(number, letter.clone());
                self.disk.ledger.insert(*change);
                self.disk.ledger.extend(resolved);
                self.blocked.add(number, &letter.lanes, *is_blocked);
            }
            Write::Replayed { number, outcome: Outcome::Delivered { .. }, .. } => self.remove(*number),
            Write::Replayed { number, .. } => {
                if let Some(letter) = self.disk.letters.get_mut(number) {
                    letter.is_blocked = false;
                }
            }
            Write::Discard(number) => {
                if let Some(letter) = self.disk.letters.get(number) {
                    self.discarded.insert(letter.change);
                }
                self.remove(*number);
            }
        }
    }

    fn remove(&mut self, number: u64) {
        if let Some(letter) = self.disk.letters.remove(&number) {
            self.blocked
                .remove(number, &letter.lanes, |key| Ok::<_, Infallible>(self.disk.front(key)))
                .expect("infallible");
        }
    }

    fn write(&mut self) {
        let Some(write) = self.writes.pop_front() else { return };
        self.apply(&write);
        match write {
            Write::Add { place, .. } => self.lanes.release(place),
            Write::Replayed { number, place, outcome } => {
                self.turns.ended(number, Ok(outcome));
                self.lanes.release(place);
            }
            Write::Discard(number) => {
                self.closing.remove(&number);
                self.turns.updated(&[number]);
            }
        }
        self.start();
    }

    fn inspect(&mut self) {
        if let Some(number) = self.turns.inspect() {
            self.reads.push_back((number, self.disk.letters.get(&number).cloned()));
        }
    }

    /// Decides about a dead letter that was read some time ago.
    fn decide(&mut self) {
        let Some((number, seen)) = self.reads.pop_front() else { return };
        let seen = seen.map(|letter| Seen { rule: "r", lanes: letter.lanes, is_blocked: letter.is_blocked, bytes: 1 });
        if self.turns.inspected(number, seen) {
            self.submit(What::Letter(number));
        }
    }

    fn letter(&self, which: prop::sample::Index) -> Option<u64> {
        let numbers: Vec<u64> = self.disk.letters.keys().copied().collect();
        (!numbers.is_empty()).then(|| numbers[which.index(numbers.len())])
    }

    fn replay(&mut self, number: u64) {
        let (awaited, _gone) = answer();
        if self.turns.replay(number, self.disk.letters[&number].lanes.clone(), SagaCommand::Resume, awaited) {
            self.submit(What::Letter(number));
        }
    }

    /// As `Dispatcher::withdraw` has it.
    fn withdraw(&mut self, numbers: &[u64]) -> HashSet<Origin> {
        let is_meant = |what: &What| matches!(what, What::Letter(number) if numbers.contains(number));
        let meant: Vec<(Place, What)> =
            self.places.iter().filter(|(_, what)| is_meant(what)).map(|(place, what)| (*place, *what)).collect();
        let mut withdrawn = HashSet::new();
        for (place, what) in meant {
            let What::Letter(number) = what else { continue };
            // Places of calls that are over may be those of others by now.
            if self.lanes.is_queued(place) && self.lanes.withdraw(place) {
                withdrawn.insert(Origin::Replay { dead_letter: number });
            }
        }
        withdrawn
    }

    /// The operators of all replays have gone.
    fn leave(&mut self) {
        let meant = self.turns.unheard();
        for origin in self.withdraw(&meant) {
            let Origin::Replay { dead_letter } = origin else { continue };
            self.turns.withdrawn(dead_letter, |_| NotReplayed::Gone);
        }
        self.start();
    }

    fn discard(&mut self, number: u64) {
        let withdrawn = self.withdraw(&[number]);
        if self.turns.hold_back(&[number], &withdrawn, &NotReplayed::Gone).is_empty() {
            self.closing.insert(number);
            self.writes.push_back(Write::Discard(number));
        }
        self.start();
    }

    /// Lets everything succeed from now on.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.writes.is_empty() {
                self.write();
            } else if !self.started.is_empty() {
                self.finish(0, true);
            } else if !self.reads.is_empty() {
                self.decide();
            } else if self.blocked.has_moved() {
                self.inspect();
            } else if let Some((number, _)) = self.disk.letters.first_key_value() {
                self.replay(*number);
            } else {
                return;
            }
        }
        panic!("it does not come to an end: {} letters, {} places", self.disk.letters.len(), self.lanes.len());
    }
}

#[derive(Debug, Clone)]
enum Event {
    Change { from: u64, to: u64, definition: u64 },
    Finish(prop::sample::Index, bool),
    Write,
    Look,
    Decide,
    Replay(prop::sample::Index),
    Leave,
    Discard(prop::sample::Index),
    Restart { durable: usize },
}

fn events(definition: impl Strategy<Value = u64> + 'static) -> impl Strategy<Value = Vec<Event>> {
    let index = any::<prop::sample::Index>;
    let event = prop_oneof![
        8 => (0..3u64, 0..3u64, definition).prop_map(|(from, to, definition)| Event::Change { from, to, definition }),
        8 => (index(), prop::bool::weighted(0.6)).prop_map(|(which, success)| Event::Finish(which, success)),
        8 => Just(Event::Write),
        4 => Just(Event::Look),
        4 => Just(Event::Decide),
        3 => index().prop_map(Event::Replay),
        1 => Just(Event::Leave),
        1 => index().prop_map(Event::Discard),
        1 => (0..4usize).prop_map(|durable| Event::Restart { durable }),
    ];
    proptest::collection::vec(event, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn order_holds_through_failures_replays_discards_and_restarts(events in events(Just(0))) {
        check(events)?;
    }

    #[test]
    fn order_holds_while_the_key_is_made_by_other_columns(events in events(prop_oneof![4 => Just(0), 4 => Just(1), 1 => Just(2)])) {
        check(events)?;
    }
}

/// Whatever happens in whatever order: within a run the successes of a key are in commit order, in the end every
/// change has succeeded or was discarded, the last success of a key is that of its last change that was not, and only a restart
/// repeats anything.
fn check(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for event in events {
        match event {
            Event::Change { from, to, definition } => {
                world.changes.push(Changed { from, to, definition });
                world.submit(What::Change(world.changes.len() - 1));
            }
            Event::Finish(which, success) if !world.started.is_empty() => {
                world.finish(which.index(world.started.len()), success);
            }
            Event::Finish(..) => {}
            Event::Write => world.write(),
            Event::Look => world.inspect(),
            Event::Decide => world.decide(),
            Event::Replay(which) => {
                if let Some(number) = world.letter(which) {
                    world.replay(number);
                }
            }
            Event::Discard(which) => {
                if let Some(number) = world.letter(which) {
                    world.discard(number);
                }
            }
            Event::Leave => world.leave(),
            Event::Restart { durable } => world.restart(durable),
        }
    }
    world.settle();
    prop_assert_eq!(world.blocked.keys(), 0);
    prop_assert_eq!(world.lanes.len(), 0);
    for key in [0, 1, 2] {
        let of_key = |change: &usize| world.changes[*change].is_of(key);
        let successes: Vec<_> = world.history.successes.iter().filter(|(_, change)| of_key(change)).collect();
        for pair in successes.windows(2) {
            let ((run, change), (next_run, next)) = (pair[0], pair[1]);
            prop_assert!(run != next_run || change < next, "{change} before {next} in run {run}");
        }
        let mut furthest = None;
        for (_, change) in &successes {
            let skipped = (0..*change)
                .filter(of_key)
                .find(|earlier| Some(*earlier) > furthest && !world.discarded.contains(earlier));
            prop_assert_eq!(skipped, None, "{} came before it", change);
            furthest = furthest.max(Some(*change));
        }
        let meant: Vec<usize> = (0..world.changes.len())
            .filter(of_key)
            .filter(|change| !world.discarded.contains(change) || successes.iter().any(|(_, c)| c == change))
            .collect();
        let distinct: BTreeSet<usize> = successes.iter().map(|(_, change)| *change).collect();
        prop_assert_eq!(distinct.iter().copied().collect::<Vec<_>>(), meant.clone());
        // A repeat that failed may have been discarded although the change had succeeded before.
        let last_kept = meant.iter().rfind(|change| !world.discarded.contains(change)).copied();
        prop_assert!(successes.last().map(|(_, change)| *change) >= last_kept);
    }
    Ok(())
}
