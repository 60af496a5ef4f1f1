//! The way into the lanes: a call takes its place after everything that it has to wait for.
//!
//! In: a call's keys, what they are made by, and the definitions that it waits for as a whole. Out: its place. Everything
//! that it waits for entered before it. Also says under which other definitions a change has to take its lanes.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::definitions::{DefinitionPart, Under};
use super::links::Links;
use super::{AttemptKind, Lanes, Place, QueueNumber, Slot, Stage, Turn};
use crate::ordering::{DefinitionId, KeyDefinition, LaneKey, LaneKeys};

impl Lanes {
    /// Whether a dead letter blocks one of these keys now; they are asked for only where any key is blocked.
    pub fn is_blocked(&self, keys: impl FnOnce() -> LaneKeys) -> bool {
        if self.blocked.keys() == 0 {
            return false;
        }
        let keys = keys();
        self.blocked.blocker(keys.iter(), keys.definitions()).is_some()
    }

    /// The definitions of this rule's table, besides this one, under which calls or dead letters that block keys are open.
    pub fn other_definitions(&self, own: DefinitionId) -> Vec<Arc<KeyDefinition>> {
        let mut others: Vec<Arc<KeyDefinition>> = self.definitions.others(own).cloned().collect();
        for blocked in self.blocked.other_definitions(own) {
            if others.iter().all(|known| known.id() != blocked.id()) {
                others.push(blocked);
            }
        }
        others
    }

    /// Queues a call of one delivery after all earlier ones of its keys.
    #[cfg(test)]
    pub fn enter(&mut self, queue: QueueNumber, keys: LaneKeys, turn: Turn) -> Place {
        self.enter_under(queue, keys, None, turn)
    }

    /// Queues a call of one delivery, whose own keys are made by this definition, after all earlier ones of its keys and
    /// after all of the definitions that it waits for.
    pub fn enter_under(
        &mut self,
        queue: QueueNumber,
        keys: LaneKeys,
        under: Option<&Arc<KeyDefinition>>,
        turn: Turn,
    ) -> Place {
        let behind = keys.definitions().into();
        let links = if keys.is_plain() { Links::few(keys) } else { Links::many(keys.iter().collect()) };
        let under = under.map_or(Under::None, |definition| Under::One(self.definitions.join(definition)));
        self.enter_linked(queue, links, under, behind, turn)
    }

    /// As [`enter`](Lanes::enter), for a call with any number of keys; equal ones are one.
    #[cfg(test)]
    pub fn enter_many(&mut self, queue: QueueNumber, keys: Vec<LaneKey>, turn: Turn) -> Place {
        self.enter_many_under(queue, keys, &[], Vec::new(), turn)
    }

    /// As [`enter_under`](Lanes::enter_under), for a call of deliveries with any number of keys; equal ones are one.
    pub fn enter_many_under(
        &mut self,
        queue: QueueNumber,
        keys: Vec<LaneKey>,
        under: &[Arc<KeyDefinition>],
        mut behind: Vec<DefinitionId>,
        turn: Turn,
    ) -> Place {
        behind.sort_unstable();
        behind.dedup();
        let mut parts: Vec<DefinitionPart> = Vec::new();
        for definition in under {
            if parts.iter().all(|part| part.id != definition.id()) {
                parts.push(self.definitions.join(definition));
            }
        }
        // Deliveries of one call are in their order in it.
        behind.retain(|id| parts.iter().all(|part| part.id != *id));
        self.enter_linked(queue, Links::many(keys), Under::Many(parts.into()), behind.into(), turn)
    }

    fn enter_linked(
        &mut self,
        queue: QueueNumber,
        links: Links,
        under: Under,
        behind: Box<[DefinitionId]>,
        turn: Turn,
    ) -> Place {
        let (number, attempt) = (self.entered, AttemptKind::First);
        self.entered += 1;
        let (stage, lanes_ahead, is_begun) = (Stage::Queued, 0, false);
        let slot = Slot { queue, turn, stage, attempt, number, links, under, behind, lanes_ahead, is_begun };
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
        let rule = self.queues[queue as usize].rule;
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
        for n in 0..self.slots[place as usize].behind.len() {
            let id = self.slots[place as usize].behind[n];
            self.slots[place as usize].lanes_ahead += u32::from(self.definitions.wait(id, place));
        }
        if self.slots[place as usize].lanes_ahead == 0 {
            self.reach_head(place);
        }
        place
    }
}
