//! The rules as the dispatcher knows them, and the target queue of each of their actions.
//!
//! In: rules, as they come with deliveries and reloads. Out: their numbers in the lanes, and the target queue in which an
//! action waits. A rule has a target queue for each target that it calls or called, so that a saga which began under an older
//! rule goes on with that rule's actions, each in the queue of its target. Target queues are never given up: there are as many
//! as a rule has had targets.

use std::sync::Arc;

use tokio::time::Instant;

use super::Dispatcher;
use super::definitions::KeyDefinitions;
use crate::delivery::counters::AttemptCounters;
use crate::delivery::lane::{QueueNumber, RuleNumber};
use crate::delivery::{Delivery, Origin, TargetStatus};
use crate::rules::{Action, Rule, Target};

/// A rule as it was last seen.
#[derive(Debug)]
pub(super) struct KnownRule {
    rule: Arc<Rule>,
    queues: Vec<KnownQueue>,
    pub keys: KeyDefinitions,
    pub counters: AttemptCounters,
}

#[derive(Debug)]
struct KnownQueue {
    number: QueueNumber,
    target: Arc<Target>,
}

impl KnownRule {
    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }
}

impl KnownQueue {
    fn is_of(&self, action: &Action) -> bool {
        Arc::ptr_eq(&self.target, &action.target) || self.target.origin == action.target.origin
    }
}

impl Dispatcher {
    /// What comes again may have been made from the rules before a reload; the stream's deliveries come with the newest.
    pub(super) fn rule_of(&mut self, delivery: &mut Delivery) -> RuleNumber {
        let number = self.rules.get(&*delivery.rule.name).copied();
        let Some(number) = number.filter(|_| delivery.origin != Origin::Stream) else {
            return self.rule_number(&delivery.rule);
        };
        let known = &self.known[number as usize].rule;
        if known.takes_over_from(&delivery.rule) {
            delivery.rule = Arc::clone(known);
        }
        number
    }

    pub(super) fn rule_number(&mut self, rule: &Arc<Rule>) -> RuleNumber {
        // By name and not by address: after a reload the rule of this name goes on with its lanes.
        let number = match self.rules.get(&*rule.name).copied() {
            Some(number) if Arc::ptr_eq(&self.known[number as usize].rule, rule) => return number,
            Some(number) => {
                self.known[number as usize].rule = Arc::clone(rule);
                self.lanes.set_in_flight_max(number, rule.settings.in_flight);
                number
            }
            None => {
                let number = self.lanes.add_rule(rule.settings.in_flight);
                self.lanes.set_paused(number, self.paused.contains(&*rule.name));
                self.rules.insert(rule.name.as_str().into(), number);
                let counters = AttemptCounters::new(&self.metrics, &rule.name);
                self.known.push(KnownRule {
                    rule: Arc::clone(rule),
                    queues: Vec::new(),
                    keys: KeyDefinitions::default(),
                    counters,
                });
                self.unresolved.push(0);
                number
            }
        };
        self.set_target_queues(number);
        number
    }

    fn set_target_queues(&mut self, rule: RuleNumber) {
        let (now, known) = (Instant::now(), &mut self.known[rule as usize]);
        let retired = |queue: &KnownQueue| !known.rule.actions.iter().any(|action| queue.is_of(action));
        let retired: Vec<QueueNumber> =
            known.queues.iter().filter(|queue| retired(queue)).map(|queue| queue.number).collect();
        for queue in &retired {
            self.admission.retire(*queue, &mut self.lanes);
        }
        for action in &known.rule.actions {
            let target = Arc::clone(&action.target);
            let number = match known.queues.iter_mut().find(|queue| queue.is_of(action)) {
                Some(queue) => {
                    queue.target = target;
                    queue.number
                }
                None => {
                    let number = self.lanes.add_target_queue(rule);
                    known.queues.push(KnownQueue { number, target });
                    number
                }
            };
            self.admission.set_target_queue(number, &action.target, known.rule.settings.rate, &mut self.lanes, now);
        }
        if known.rule.saga.is_none() {
            // What has not begun goes with the rule to its one current target.
            let queue = self.queue(rule, &self.known[rule as usize].rule.actions[0]);
            retired.into_iter().for_each(|from| self.lanes.move_queue(from, queue));
        }
    }

    /// The status of all targets that rules call, as known from deliveries and from [`adopt`](Dispatcher::adopt).
    pub fn targets(&self) -> Vec<TargetStatus> {
        let mut statuses = self.admission.statuses(Instant::now());
        for status in &mut statuses {
            let calls =
                |known: &&KnownRule| known.rule.actions.iter().any(|action| action.target.origin == status.target);
            status.rules = self.known.iter().filter(calls).map(|known| known.rule.name.clone()).collect();
        }
        statuses
    }

    /// An operator says that the target of this name is available: what waits for it starts, also where it asked for a pause.
    /// Its status before; None: no rule calls a target of this name.
    pub fn reset_target(&mut self, target: &str) -> Option<TargetStatus> {
        let before = self.targets().into_iter().find(|status| status.target == target)?;
        self.admission.reset(target, &mut self.lanes, Instant::now());
        self.start_ready();
        Some(before)
    }

    /// Where this action of the rule, or of what the rule was before a reload, waits for its slot.
    pub(super) fn queue(&self, rule: RuleNumber, action: &Action) -> QueueNumber {
        let queue = self.known[rule as usize].queues.iter().find(|queue| queue.is_of(action));
        queue.expect("a rule that was seen has a queue for each of its targets").number
    }

    /// Whether something of this rule waits for a target that is unavailable.
    pub(super) fn awaits_target(&self, rule: RuleNumber) -> bool {
        self.known[rule as usize].queues.iter().any(|queue| self.admission.is_blocked(queue.number, &self.lanes))
    }
}
