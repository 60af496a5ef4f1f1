//! Lanes: which call may start now. A pure state machine: no clock, no I/O, no task.
//!
//! In: calls entering with the keys that their deliveries are ordered by, and what became of them. Out: the ones to
//! start. Owns the queue of every (rule, key), and the target queues of every rule: where calls that head their lanes wait for
//! a slot. Lanes belong to the rule, slots to the target queue: a rule has a target queue for each target that it calls, so
//! that what waits for one target delays no call to another. Keeps promise 2: a call starts only when it heads all its lanes,
//! and leaves them only when it is released; the lanes do not care what it does in between, and in which target queues. Where
//! a row's lane under an earlier key definition can't be determined, a call waits for all that are open under it. All calls
//! queue in one order, so two calls never wait for each other, however many keys they have. Where a target queue is
//! restricted (`is_restricted`), its calls start only when they are admitted. Deliberately knows nothing of what a call
//! carries and why a target queue is restricted.
//!
//! A lane is a linked list through the slots: the map holds its last ticket, each slot the ticket that comes after it. So a
//! lane costs no allocation, and a key that nothing waits for costs no memory.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use crate::ordering::{BlockedKeys, DefinitionId, LaneKey, LaneKeys};
use definitions::{LaneDefinitions, Under};
use links::{KeyHasher, Links};

mod attempts;
mod counts;
mod definitions;
mod enter;
mod links;

pub use attempts::{AttemptKind, CallKey};
pub use counts::RuleUnderWay;

/// The place of one call in the lanes, until it is released. Numbers are used again.
pub type Place = u32;

/// A rule's number within these lanes.
pub type RuleNumber = u32;

/// A target queue's number within these lanes, whatever its rule.
pub type QueueNumber = u32;

/// What a call does when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Attempts, which count against the rule's limit.
    Call,
    /// As `Call`; but as `Block` where a dead letter blocks one of its keys when its turn comes.
    CallUnlessBlocked,
    /// Nothing but keeping the order.
    Pass,
    /// Nothing but keeping the order, behind the dead letter of this number.
    Block { by: u64 },
    /// Nothing any more: it was withdrawn before it had its turn.
    Withdrawn,
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct Lanes {
    slots: Vec<Slot>,
    free: Vec<Place>,
    rules: Vec<RuleLanes>,
    queues: Vec<TargetQueue>,
    /// How many calls have entered so far.
    entered: u64,
    startable: VecDeque<Place>,
    /// Restricted target queues with something to start; one may be listed more than once.
    asking: VecDeque<QueueNumber>,
    running: usize,
    closed: bool,
    /// Keys whose deliveries are not attempted; the decision is made elsewhere.
    blocked: BlockedKeys,
    definitions: LaneDefinitions,
}

#[derive(Debug)]
struct Slot {
    queue: QueueNumber,
    turn: Turn,
    stage: Stage,
    /// What its next attempt is, or the one that is under way.
    attempt: AttemptKind,
    /// The n-th call that entered.
    number: u64,
    links: Links,
    /// What the keys are made by.
    under: Under,
    /// It waits for all earlier calls of these definitions, and for all their dead letters that block keys.
    behind: Box<[DefinitionId]>,
    /// How many lanes it does not head yet, and how many definitions it waits for.
    lanes_ahead: u32,
    /// It has done something before, and has more to do.
    is_begun: bool,
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
    queues: Vec<QueueNumber>,
    /// For each target queue.
    in_flight_max: usize,
    /// Nothing of this rule is started.
    is_paused: bool,
    /// Deliveries entered and not released.
    entered: usize,
    ended: usize,
    /// Calls that have done something before. At most `in_flight_max`: else an unavailable target would leave ever more of
    /// them half done.
    begun: usize,
    last_of_lane: HashMap<LaneKey, Place, BuildHasherDefault<KeyHasher>>,
}

/// Where the calls of a rule to one target wait for their slots.
#[derive(Debug)]
struct TargetQueue {
    rule: RuleNumber,
    running: usize,
    resting: usize,
    /// The target queue is restricted: nothing of it is started unless it is admitted.
    is_restricted: bool,
    /// Calls that head their lanes and wait for a slot, in the order in which they became ready.
    ready: VecDeque<Place>,
    /// The same for calls that have done something before. They start first, so that what is begun is ended.
    ready_to_proceed: VecDeque<Place>,
}

impl Lanes {
    /// Makes room for a rule with at most this many attempts under way in each target queue (at least one).
    pub fn add_rule(&mut self, in_flight_max: usize) -> RuleNumber {
        self.rules.push(RuleLanes {
            queues: Vec::new(),
            in_flight_max: in_flight_max.max(1),
            is_paused: false,
            entered: 0,
            ended: 0,
            begun: 0,
            last_of_lane: HashMap::default(),
        });
        (self.rules.len() - 1) as RuleNumber
    }

    /// Another target queue of the rule.
    pub fn add_target_queue(&mut self, rule: RuleNumber) -> QueueNumber {
        let number = self.queues.len() as QueueNumber;
        self.rules[rule as usize].queues.push(number);
        self.queues.push(TargetQueue {
            rule,
            running: 0,
            resting: 0,
            is_restricted: false,
            ready: VecDeque::new(),
            ready_to_proceed: VecDeque::new(),
        });
        number
    }

    /// Changes a rule's limit. What is under way above a lowered limit goes on.
    pub fn set_in_flight_max(&mut self, rule: RuleNumber, in_flight_max: usize) {
        self.rules[rule as usize].in_flight_max = in_flight_max.max(1);
        self.fill_all(rule);
    }

    /// Pauses or resumes a rule. What is under way goes on.
    pub fn set_paused(&mut self, rule: RuleNumber, is_paused: bool) {
        self.rules[rule as usize].is_paused = is_paused;
        self.fill_all(rule);
    }

    /// From now on these keys are blocked.
    pub fn set_blocked_keys(&mut self, blocked: BlockedKeys) {
        self.blocked = blocked;
    }

    /// Restricts a target queue: its calls start only by [`start`](Lanes::start). Or frees it: its calls start by
    /// themselves. What is under way goes on.
    pub fn set_restricted(&mut self, queue: QueueNumber, is_restricted: bool) {
        self.queues[queue as usize].is_restricted = is_restricted;
        self.fill(queue);
    }

    /// A restricted target queue that got a call to start since this was called last. That call may no longer wait.
    pub fn pop_asking(&mut self) -> Option<QueueNumber> {
        self.asking.pop_front()
    }

    /// Whether the target queue is restricted and has a call that waits only for its admission.
    pub fn asks(&self, queue: QueueNumber) -> bool {
        let waits = &self.queues[queue as usize];
        waits.is_restricted && self.has_ready(queue) && self.has_slot(queue)
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
        self.set_attempt(place, AttemptKind::Again);
        self.queue_of_mut(place).resting += 1;
    }

    /// A call that was to start waits in another target queue of its rule instead.
    pub fn requeue(&mut self, place: Place, queue: QueueNumber) {
        self.leave_slot(place, Stage::Queued);
        self.slots[place as usize].queue = queue;
        self.queue_for_slot(place);
    }

    /// Moves the calls that wait in one target queue and have not begun to another one of the same rule, in the same order.
    pub fn move_queue(&mut self, from: QueueNumber, to: QueueNumber) {
        let moved = std::mem::take(&mut self.queues[from as usize].ready);
        for place in &moved {
            self.slots[*place as usize].queue = to;
        }
        self.queues[to as usize].ready.extend(moved);
        self.fill(to);
    }

    /// The wait for the retry is over.
    pub fn resume(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Resting, "only a call that waits for its retry is resumed");
        slot.stage = Stage::Queued;
        self.queue_of_mut(place).resting -= 1;
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
        let links = std::mem::replace(&mut slot.links, Links::few(LaneKeys::none()));
        let under = std::mem::take(&mut slot.under);
        let rule = self.rule_of(place);
        let lanes = &mut self.rules[rule as usize];
        (lanes.entered, lanes.ended) = (lanes.entered - 1, lanes.ended - 1);
        if std::mem::take(&mut self.slots[place as usize].is_begun) {
            self.rules[rule as usize].begun -= 1;
            self.fill_all(rule);
        }
        self.free.push(place);
        for n in 0.. {
            let Some((key, behind)) = links.get(n) else { break };
            match behind {
                Some(next) => self.come_nearer(next),
                None => {
                    self.rules[rule as usize].last_of_lane.remove(&key);
                }
            }
        }
        for part in under.parts() {
            self.definitions.leave(*part).into_iter().for_each(|waiting| self.come_nearer(waiting));
        }
    }

    /// The call waits for one lane or definition less.
    fn come_nearer(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        slot.lanes_ahead -= 1;
        if slot.lanes_ahead == 0 {
            self.reach_head(place);
        }
    }

    /// Instead of the release: the call keeps its lanes and waits for a slot in this target queue of its rule, ahead of calls
    /// that have not begun.
    pub fn proceed(&mut self, place: Place, queue: QueueNumber) {
        self.follow_up(place, queue, Stage::Queued);
        self.queue_for_slot(place);
    }

    /// The same for a call that waits first, until it is [resumed](Lanes::resume).
    pub fn proceed_after_wait(&mut self, place: Place, queue: QueueNumber) {
        self.follow_up(place, queue, Stage::Resting);
        self.queue_of_mut(place).resting += 1;
    }

    fn follow_up(&mut self, place: Place, queue: QueueNumber, stage: Stage) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Ended, "only what has ended is followed by something else");
        (slot.stage, slot.turn, slot.queue) = (stage, Turn::Call, queue);
        let is_first = !std::mem::replace(&mut slot.is_begun, true);
        let rule = self.rules_of(place);
        rule.ended -= 1;
        rule.begun += usize::from(is_first);
    }

    /// A call that is not under way, and has done nothing that another action follows, is not to start any more: it keeps its
    /// lanes until its turn comes, and then has nothing to do but [`Turn::Withdrawn`]. False: it goes on.
    pub fn withdraw(&mut self, place: Place) -> bool {
        let Slot { queue, stage, is_begun, lanes_ahead, .. } = self.slots[place as usize];
        match stage {
            Stage::Queued if !is_begun => {}
            Stage::Resting if !is_begun => self.queue_of_mut(place).resting -= 1,
            _ => return false,
        }
        let slot = &mut self.slots[place as usize];
        (slot.stage, slot.turn) = (Stage::Queued, Turn::Withdrawn);
        if lanes_ahead == 0 {
            self.queues[queue as usize].ready.retain(|ready| *ready != place);
            self.queue_for_slot(place);
        }
        true
    }

    /// Whether it waits for a lane or for a slot.
    pub fn is_queued(&self, place: Place) -> bool {
        self.slots[place as usize].stage == Stage::Queued
    }

    /// Whether it waits for its retry.
    pub fn is_resting(&self, place: Place) -> bool {
        self.slots[place as usize].stage == Stage::Resting
    }

    /// From now on no call starts; what is under way ends as usual.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
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

    /// In which target queue it waits, or waited last.
    pub fn queue_of(&self, place: Place) -> QueueNumber {
        self.slots[place as usize].queue
    }

    /// The rule of its delivery.
    pub fn rule_of(&self, place: Place) -> RuleNumber {
        self.queues[self.queue_of(place) as usize].rule
    }

    fn queue_of_mut(&mut self, place: Place) -> &mut TargetQueue {
        let queue = self.queue_of(place);
        &mut self.queues[queue as usize]
    }

    fn rules_of(&mut self, place: Place) -> &mut RuleLanes {
        let rule = self.rule_of(place);
        &mut self.rules[rule as usize]
    }

    /// The call heads all its lanes. Only now it is known whether a key is blocked: the outcomes of all earlier calls are
    /// durable.
    fn reach_head(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        if slot.turn == Turn::CallUnlessBlocked {
            let blocker = self.blocked.blocker(slot.links.keys(), &slot.behind);
            slot.turn = blocker.map_or(Turn::Call, |by| Turn::Block { by });
        }
        self.queue_for_slot(place);
    }

    fn queue_for_slot(&mut self, place: Place) {
        let slot = &mut self.slots[place as usize];
        match slot.turn {
            Turn::Pass | Turn::Block { .. } | Turn::Withdrawn if self.closed => {}
            Turn::Pass | Turn::Block { .. } | Turn::Withdrawn => {
                slot.stage = Stage::Running;
                self.startable.push_back(place);
            }
            Turn::Call | Turn::CallUnlessBlocked => {
                let (queue, is_begun) = (slot.queue, slot.is_begun);
                let TargetQueue { ready, ready_to_proceed, .. } = &mut self.queues[queue as usize];
                let calls = if is_begun { ready_to_proceed } else { ready };
                calls.push_back(place);
                self.fill(queue);
            }
        }
    }

    fn fill_all(&mut self, rule: RuleNumber) {
        for n in 0..self.rules[rule as usize].queues.len() {
            self.fill(self.rules[rule as usize].queues[n]);
        }
    }

    fn fill(&mut self, queue: QueueNumber) {
        if self.queues[queue as usize].is_restricted {
            if self.asks(queue) {
                self.asking.push_back(queue);
            }
            return;
        }
        while self.has_slot(queue) {
            if self.start_next(queue).is_none() {
                break;
            }
        }
    }

    fn has_slot(&self, queue: QueueNumber) -> bool {
        let TargetQueue { rule, running, .. } = self.queues[queue as usize];
        let rule = &self.rules[rule as usize];
        running < rule.in_flight_max && !rule.is_paused && !self.closed
    }

    fn has_ready(&self, queue: QueueNumber) -> bool {
        let TargetQueue { ready, ready_to_proceed, .. } = &self.queues[queue as usize];
        !ready_to_proceed.is_empty() || (!ready.is_empty() && self.may_begin(queue))
    }

    fn may_begin(&self, queue: QueueNumber) -> bool {
        let rule = &self.rules[self.queues[queue as usize].rule as usize];
        rule.begun < rule.in_flight_max
    }

    fn start_next(&mut self, queue: QueueNumber) -> Option<Place> {
        let may_begin = self.may_begin(queue);
        let queue = &mut self.queues[queue as usize];
        let place = match queue.ready_to_proceed.pop_front() {
            None if may_begin => queue.ready.pop_front()?,
            begun => begun?,
        };
        self.take_slot(place);
        Some(place)
    }

    fn take_slot(&mut self, place: Place) {
        self.queue_of_mut(place).running += 1;
        self.running += 1;
        self.slots[place as usize].stage = Stage::Running;
        self.startable.push_back(place);
    }

    fn leave_slot(&mut self, place: Place, stage: Stage) {
        let slot = &mut self.slots[place as usize];
        assert_eq!(slot.stage, Stage::Running, "only a call under way gives up its slot");
        slot.stage = stage;
        if slot.turn == Turn::Call {
            let queue = slot.queue;
            self.running -= 1;
            self.queues[queue as usize].running -= 1;
            self.fill(queue);
        }
    }
}

#[cfg(test)]
mod tests;
