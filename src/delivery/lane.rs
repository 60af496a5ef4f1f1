//! Lanes: which call may start now. A pure state machine: no clock, no I/O, no task.
//!
//! In: calls entering with the keys that their deliveries are ordered by, and what became of them. Out: the ones to
//! start. Owns the queue of every (rule, key) and the number of attempts under way per rule. Keeps promise 2: a call
//! starts only when it heads all its lanes, and leaves them only when it is released. Everyone queues in one order, so
//! two calls never wait for each other, however many keys they have. Where a rule is gated, its turns come only when they
//! are admitted. Deliberately knows nothing of what a call holds and why a rule is gated.
//!
//! A lane is a linked list through the slots: the map holds its last ticket, each slot the ticket behind it. So a
//! lane costs no allocation, and a key that nothing waits for costs no memory.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::ordering::{Held, LaneKey, LaneKeys};

/// The place of one call in the lanes, until it is released. Numbers are used again.
pub type Place = u32;

/// A rule's number within these lanes.
pub type RuleNumber = u32;

/// What a call does when its turn comes.
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
    /// Gated rules with something to start; a rule may stand here more than once.
    asking: VecDeque<RuleNumber>,
    running: usize,
    closed: bool,
    /// Keys whose deliveries are not attempted, whoever decides that.
    held: Held,
}

/// What one rule has under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleCounts {
    /// Deliveries submitted and not released.
    pub unresolved: usize,
    /// Attempts under way.
    pub in_flight: usize,
    /// Waiting for the time of their next attempt.
    pub in_retry: usize,
    /// Waiting for their turn: for an earlier delivery of the key, a slot, or the target.
    pub queued: usize,
}

#[derive(Debug)]
struct Slot {
    rule: RuleNumber,
    turn: Turn,
    stage: Stage,
    links: Links,
    /// Lanes that this one does not head yet.
    lanes_ahead: u32,
}

/// The keys of a call, and who stands behind it in the lane of each.
#[derive(Debug)]
enum Links {
    /// Of a single delivery, which costs no allocation.
    Few { keys: LaneKeys, behind: [Option<Place>; 2] },
    /// Of many deliveries: ascending by key, each key once.
    Many(Box<[(LaneKey, Option<Place>)]>),
}

impl Links {
    fn few(keys: LaneKeys) -> Links {
        Links::Few { keys, behind: [None; 2] }
    }

    fn many(mut keys: Vec<LaneKey>) -> Links {
        keys.sort_unstable();
        keys.dedup();
        Links::Many(keys.into_iter().map(|key| (key, None)).collect())
    }

    /// The n-th key and who stands behind in its lane.
    fn get(&self, n: usize) -> Option<(LaneKey, Option<Place>)> {
        match self {
            Links::Few { keys, behind } => Some((keys.iter().nth(n)?, behind[n])),
            Links::Many(links) => links.get(n).copied(),
        }
    }

    fn keys(&self) -> impl Iterator<Item = LaneKey> {
        let (few, many) = match self {
            Links::Few { keys, .. } => (*keys, &[][..]),
            Links::Many(links) => (LaneKeys::none(), &links[..]),
        };
        few.iter().chain(many.iter().map(|(key, _)| *key))
    }

    fn set_behind(&mut self, key: LaneKey, place: Place) {
        let found = match self {
            Links::Few { keys, behind } => keys.position(key).map(|n| &mut behind[n]),
            Links::Many(links) => links.binary_search_by_key(&key, |(key, _)| *key).ok().map(|n| &mut links[n].1),
        };
        *found.expect("the last of a lane has that lane's key") = Some(place);
    }
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
    /// Nothing of this rule is started unless it is admitted.
    is_gated: bool,
    /// Deliveries entered and not released.
    entered: usize,
    resting: usize,
    ended: usize,
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
            is_gated: false,
            entered: 0,
            resting: 0,
            ended: 0,
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

    /// Whether a dead letter holds one of these keys now; they are asked for only where any key is held.
    pub fn is_held(&self, keys: impl FnOnce() -> LaneKeys) -> bool {
        self.held.keys() > 0 && self.held.holder(keys().iter()).is_some()
    }

    /// From now on the rule's turns come only by [`admit`](Lanes::admit), or by themselves again. What is under way goes on.
    pub fn set_gated(&mut self, rule: RuleNumber, is_gated: bool) {
        self.rules[rule as usize].is_gated = is_gated;
        self.fill(rule);
    }

    /// A gated rule that got something to start since it was last asked for; it may be gone meanwhile.
    pub fn pop_asking(&mut self) -> Option<RuleNumber> {
        self.asking.pop_front()
    }

    /// Whether a gated rule has something that nothing but the gate holds back.
    pub fn asks(&self, rule: RuleNumber) -> bool {
        let lanes = &self.rules[rule as usize];
        lanes.is_gated && !lanes.ready.is_empty() && lanes.has_slot() && !self.closed
    }

    /// Starts the next delivery of a rule that [`asks`](Lanes::asks), the one that has been ready for longest.
    pub fn admit(&mut self, rule: RuleNumber) -> Option<Place> {
        if !self.asks(rule) {
            return None;
        }
        self.start_next(rule)
    }

    /// Queues a call of one delivery behind all earlier ones of its keys.
    pub fn enter(&mut self, rule: RuleNumber, keys: LaneKeys, turn: Turn) -> Place {
        self.enter_linked(rule, Links::few(keys), turn)
    }

    /// As [`enter`](Lanes::enter), for a call with any number of keys; equal ones are one.
    pub fn enter_many(&mut self, rule: RuleNumber, keys: Vec<LaneKey>, turn: Turn) -> Place {
        self.enter_linked(rule, Links::many(keys), turn)
    }

    fn enter_linked(&mut self, rule: RuleNumber, links: Links, turn: Turn) -> Place {
        let slot = Slot { rule, turn, stage: Stage::Queued, links, lanes_ahead: 0 };
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
        self.rules[rule as usize].entered += 1;
        for n in 0.. {
            let Some((key, _)) = self.slots[place as usize].links.get(n) else { break };
            match self.rules[rule as usize].last_of_lane.entry(key) {
                Entry::Occupied(mut last) => {
                    let ahead = &mut self.slots[last.insert(place) as usize];
                    ahead.links.set_behind(key, place);
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

    /// What a call that was started has to do.
    pub fn turn(&self, place: Place) -> Turn {
        self.slots[place as usize].turn
    }

    /// The next call to start (or to start again); it counts as under way from now on.
    pub fn pop_start(&mut self) -> Option<Place> {
        self.startable.pop_front()
    }

    /// The attempt is over and another will follow: gives up the slot, keeps the lanes.
    pub fn rest(&mut self, place: Place) {
        self.leave_slot(place, Stage::Resting);
        self.rules_of(place).resting += 1;
    }

    /// The wait for the retry is over.
    pub fn resume(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Resting, "only a call that waits for its retry is resumed");
        slot.stage = Stage::Queued;
        self.rules_of(place).resting -= 1;
        self.queue_for_slot(place);
    }

    /// All its deliveries have their outcomes: gives up the slot, keeps the lanes until the release.
    pub fn end(&mut self, place: Place) {
        self.leave_slot(place, Stage::Ended);
        self.rules_of(place).ended += 1;
    }

    /// The outcomes are durable: the lanes move on.
    pub fn release(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Ended, "only a call that has its outcome is released");
        slot.stage = Stage::Free;
        let rule = slot.rule;
        let links = std::mem::replace(&mut slot.links, Links::few(LaneKeys::none()));
        let lanes = &mut self.rules[rule as usize];
        (lanes.entered, lanes.ended) = (lanes.entered - 1, lanes.ended - 1);
        self.free.push(place);
        for n in 0.. {
            let Some((key, behind)) = links.get(n) else { break };
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

    /// Calls entered and not released.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Calls whose attempt is under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// What one rule has in the lanes.
    pub fn counts(&self, rule: RuleNumber) -> RuleCounts {
        let lanes = &self.rules[rule as usize];
        let (in_flight, in_retry) = (lanes.running, lanes.resting);
        let queued = lanes.entered.saturating_sub(in_flight + in_retry + lanes.ended);
        RuleCounts { unresolved: lanes.entered, in_flight, in_retry, queued }
    }

    /// Whose delivery it is.
    pub fn rule_of(&self, place: Place) -> RuleNumber {
        self.slots[place as usize].rule
    }

    fn rules_of(&mut self, place: Place) -> &mut RuleLanes {
        let rule = self.rule_of(place);
        &mut self.rules[rule as usize]
    }

    /// The call heads all its lanes. Now and not before it is clear whether they are held: whatever came before it
    /// is durable.
    fn reach_head(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        if slot.turn == Turn::CallUnlessHeld {
            slot.turn = self.held.holder(slot.links.keys()).map_or(Turn::Call, |behind| Turn::Hold { behind });
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
        if self.rules[rule as usize].is_gated {
            if self.asks(rule) {
                self.asking.push_back(rule);
            }
            return;
        }
        while self.rules[rule as usize].has_slot() && !self.closed {
            if self.start_next(rule).is_none() {
                break;
            }
        }
    }

    fn start_next(&mut self, rule: RuleNumber) -> Option<Place> {
        let lanes = &mut self.rules[rule as usize];
        let place = lanes.ready.pop_front()?;
        lanes.running += 1;
        self.running += 1;
        self.slots[place as usize].stage = Stage::Running;
        self.startable.push_back(place);
        Some(place)
    }

    fn leave_slot(&mut self, place: Place, stage: Stage) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Running, "only a call under way gives up its slot");
        slot.stage = stage;
        if slot.turn == Turn::Call {
            let rule = slot.rule;
            self.running -= 1;
            self.rules[rule as usize].running -= 1;
            self.fill(rule);
        }
    }
}

impl RuleLanes {
    fn has_slot(&self) -> bool {
        self.running < self.in_flight_max && !self.is_paused
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
