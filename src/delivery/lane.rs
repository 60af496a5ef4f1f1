//! Lanes: which delivery may start now. A pure state machine: no clock, no I/O, no task.
//!
//! In: deliveries entering with the keys they are ordered by, and what became of them. Out: the ones to start. Owns the
//! queue of every (rule, key) and the number of attempts under way per rule. Keeps promise 2: a delivery starts only
//! when it heads all its lanes, and leaves them only when it is released. Everyone queues in one order, so two
//! deliveries never wait for each other. Deliberately knows nothing of what a delivery is; it deals in tickets.
//!
//! A lane is a linked list through the slots: the map holds its last ticket, each slot the ticket behind it. So a
//! lane costs no allocation, and a key that nothing waits for costs no memory.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::ordering::{Held, LaneKey, LaneKeys};

/// The place of one delivery in the lanes, until it is released. Numbers are used again.
pub type Place = u32;

/// A rule's number within these lanes.
pub type RuleNumber = u32;

/// What a delivery does when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Attempts, which count against the rule's limit.
    Call,
    /// As `Call`; but where a dead letter holds one of its keys by then, `Hold`.
    CallUnlessHeld,
    /// Nothing but keeping the order.
    Pass,
    /// Nothing but keeping the order, behind the dead letter of this number.
    Hold { behind: u64 },
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct Lanes {
    slots: Vec<Slot>,
    free: Vec<Place>,
    rules: Vec<RuleLanes>,
    startable: VecDeque<Place>,
    running: usize,
    closed: bool,
    /// Keys whose deliveries are not attempted, whoever decides that.
    held: Held,
}

#[derive(Debug)]
struct Slot {
    rule: RuleNumber,
    turn: Turn,
    stage: Stage,
    keys: LaneKeys,
    /// Who stands behind in the lane of each key.
    behind: [Option<Place>; 2],
    /// Lanes that this one does not head yet.
    lanes_ahead: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    /// Waits for a lane or for a slot of the rule.
    Queued,
    /// To be started, or started.
    Running,
    /// Waits for its retry: keeps its lanes, has given up its slot.
    Resting,
    /// Over, but not released.
    Ended,
}

#[derive(Debug)]
struct RuleLanes {
    in_flight_max: usize,
    running: usize,
    /// Nothing of this rule is started.
    is_paused: bool,
    /// Head their lanes and wait for a slot, in the order in which they became ready.
    ready: VecDeque<Place>,
    last_of_lane: HashMap<LaneKey, Place, BuildHasherDefault<KeyHasher>>,
}

impl Lanes {
    /// Makes room for a rule with at most this many attempts under way (at least one).
    pub fn add_rule(&mut self, in_flight_max: usize) -> RuleNumber {
        self.rules.push(RuleLanes {
            in_flight_max: in_flight_max.max(1),
            running: 0,
            is_paused: false,
            ready: VecDeque::new(),
            last_of_lane: HashMap::default(),
        });
        (self.rules.len() - 1) as RuleNumber
    }

    /// Changes a rule's limit. What is under way above a lowered limit goes on.
    pub fn set_in_flight_max(&mut self, rule: RuleNumber, in_flight_max: usize) {
        self.rules[rule as usize].in_flight_max = in_flight_max.max(1);
        self.fill(rule);
    }

    /// Stops or lets go on a rule. What is under way goes on.
    pub fn set_paused(&mut self, rule: RuleNumber, is_paused: bool) {
        self.rules[rule as usize].is_paused = is_paused;
        self.fill(rule);
    }

    /// From now on these keys are held.
    pub fn heed(&mut self, held: Held) {
        self.held = held;
    }

    /// Queues a delivery behind all earlier ones of its keys.
    pub fn enter(&mut self, rule: RuleNumber, keys: LaneKeys, turn: Turn) -> Place {
        let slot = Slot { rule, turn, stage: Stage::Queued, keys, behind: [None; 2], lanes_ahead: 0 };
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as Place
            }
        };
        for key in keys.iter() {
            match self.rules[rule as usize].last_of_lane.entry(key) {
                Entry::Occupied(mut last) => {
                    let ahead = &mut self.slots[last.insert(place) as usize];
                    let lane = ahead.keys.position(key).expect("the last of a lane has that lane's key");
                    ahead.behind[lane] = Some(place);
                    self.slots[place as usize].lanes_ahead += 1;
                }
                Entry::Vacant(lane) => {
                    lane.insert(place);
                }
            }
        }
        if self.slots[place as usize].lanes_ahead == 0 {
            self.reach_head(place);
        }
        place
    }

    /// What a delivery that was started has to do.
    pub fn turn(&self, place: Place) -> Turn {
        self.slots[place as usize].turn
    }

    /// The next delivery to start (or to start again); it counts as under way from now on.
    pub fn pop_start(&mut self) -> Option<Place> {
        self.startable.pop_front()
    }

    /// The attempt is over and another will follow: gives up the slot, keeps the lanes.
    pub fn rest(&mut self, place: Place) {
        self.leave_slot(place, Stage::Resting);
    }

    /// The wait for the retry is over.
    pub fn resume(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Resting, "only a delivery that waits for its retry is resumed");
        slot.stage = Stage::Queued;
        self.queue_for_slot(place);
    }

    /// The delivery has its outcome: gives up the slot, keeps the lanes until the release.
    pub fn end(&mut self, place: Place) {
        self.leave_slot(place, Stage::Ended);
    }

    /// The outcome is durable: the lanes move on.
    pub fn release(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Ended, "only a delivery that has its outcome is released");
        slot.stage = Stage::Free;
        let (rule, keys, behind) = (slot.rule, slot.keys, slot.behind);
        self.free.push(place);
        for (key, behind) in keys.iter().zip(behind) {
            match behind {
                Some(next) => {
                    let next_slot = &mut self.slots[next as usize];
                    next_slot.lanes_ahead -= 1;
                    if next_slot.lanes_ahead == 0 {
                        self.reach_head(next);
                    }
                }
                None => {
                    self.rules[rule as usize].last_of_lane.remove(&key);
                }
            }
        }
    }

    /// From now on nobody's turn comes; what is under way ends as ever.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Deliveries entered and not released.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Deliveries whose attempt is under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Those of one rule.
    pub fn running_of(&self, rule: RuleNumber) -> usize {
        self.rules[rule as usize].running
    }

    /// The delivery heads all its lanes. Now and not before it is clear whether they are held: whatever came before it
    /// is durable.
    fn reach_head(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        if slot.turn == Turn::CallUnlessHeld {
            slot.turn = self.held.holder(slot.keys).map_or(Turn::Call, |behind| Turn::Hold { behind });
        }
        self.queue_for_slot(place);
    }

    fn queue_for_slot(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        match slot.turn {
            Turn::Pass | Turn::Hold { .. } if self.closed => {}
            Turn::Pass | Turn::Hold { .. } => {
                slot.stage = Stage::Running;
                self.startable.push_back(place);
            }
            Turn::Call | Turn::CallUnlessHeld => {
                let rule = slot.rule;
                self.rules[rule as usize].ready.push_back(place);
                self.fill(rule);
            }
        }
    }

    fn fill(&mut self, rule: RuleNumber) {
        let lanes = &mut self.rules[rule as usize];
        while lanes.running < lanes.in_flight_max && !lanes.is_paused && !self.closed {
            let Some(place) = lanes.ready.pop_front() else { break };
            lanes.running += 1;
            self.running += 1;
            self.slots[place as usize].stage = Stage::Running;
            self.startable.push_back(place);
        }
    }

    fn leave_slot(&mut self, place: Place, stage: Stage) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Running, "only a delivery under way gives up its slot");
        slot.stage = stage;
        if slot.turn == Turn::Call {
            let rule = slot.rule;
            self.running -= 1;
            self.rules[rule as usize].running -= 1;
            self.fill(rule);
        }
    }
}

/// A lane key is a hash already: its halves are folded and nothing more.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key as u64) ^ ((key >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
