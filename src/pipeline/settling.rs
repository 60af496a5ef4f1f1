//! What becomes durable before a delivery is over, and where its end is reported.
//!
//! In: deliveries that are over, and writes that became durable. Out: dead letters, pauses that they demand, resolved entries
//! in the trackers, answers, and lanes that move on. Keeps promise 1: first the dead letter, then the low-water mark.

use std::time::Instant;

use super::Pipeline;
use super::writes::DurableWrite;
use crate::change::DeliveryId;
use crate::delivery::{Completed, Origin};
use crate::outcome;
use crate::outcome::tracker::Tracker;

impl Pipeline {
    /// A delivery is over: writes what must be durable before it counts as resolved.
    pub(super) fn settle(&mut self, completed: Completed) {
        self.log.log(&completed, Instant::now());
        let stream = self.streams.count(&completed);
        self.writes.record(&completed);
        if outcome::blocks_a_free_key(&completed) {
            self.checkpoint_now();
        }
        match outcome::settle(&completed) {
            None => self.conclude(stream, completed, Tracker::resolve),
            Some(mut write) => {
                // In one write with the dead letter: no crash leaves the dead letter without the pause.
                if self.pause_for_letter(&completed) {
                    write.paused = Some(self.streams.paused_rules());
                }
                self.writes.settle(write, completed);
            }
        }
    }

    /// A write became durable: what waited for it goes on.
    pub(super) fn written(&mut self, written: DurableWrite) {
        match written {
            DurableWrite::Checkpoint(known) => self.streams.checkpointed(&known),
            DurableWrite::Answered => {}
            DurableWrite::LettersUpdated(numbers) => self.replays.releases.updated(&numbers),
            DurableWrite::Begun(due) => self.deliveries.intent_written(*due, &mut self.writes),
            DurableWrite::Acted { ticket, delivery, intent } => {
                self.deliveries.dispatcher.proceed(ticket, *delivery, intent);
            }
            DurableWrite::Settled(completed, letter) => {
                if let Some(number) = letter {
                    self.name_letter(&completed, number);
                }
                let stream = self.streams.find(&completed.delivery.rule.name);
                self.conclude(stream, *completed, Tracker::resolve_in_ledger);
            }
        }
    }

    /// Nothing more must become durable: the outcome is reported to who waits for it, and the lanes move on. `stream` is the
    /// index of its rule's stream, if the rule still exists.
    fn conclude(&mut self, stream: Option<usize>, completed: Completed, resolve: fn(&mut Tracker, &DeliveryId)) {
        for part in completed.parts() {
            match part.origin {
                Origin::Stream => {
                    if let Some(at) = stream {
                        self.streams.resolve(at, &part.id, resolve);
                    }
                }
                origin => self.replays.ended(origin, &completed.outcome),
            }
        }
        self.deliveries.dispatcher.release(completed.ticket);
    }

    /// Pauses a rule if what becomes a dead letter demands it, unless it is paused or gone. True: this has to be stored.
    fn pause_for_letter(&mut self, completed: &Completed) -> bool {
        let Some(why) = outcome::pause(completed, None) else { return false };
        let rule = &*completed.delivery.rule.name;
        self.streams.pause(rule, why, &mut self.deliveries.dispatcher).is_ok()
    }

    /// The dead letter has its number: the rule that it paused names it as the reason, if the rule is still paused.
    fn name_letter(&mut self, completed: &Completed, number: u64) {
        let (unnamed, named) = (outcome::pause(completed, None), outcome::pause(completed, Some(number)));
        let (Some(unnamed), Some(why)) = (unnamed, named) else { return };
        let rule = &*completed.delivery.rule.name;
        if self.streams.name_pause(rule, &unnamed, &why) {
            tracing::error!(rule, why, "the rule is paused; fix what is wrong, then `rowhook resume {rule}`");
            self.writes.pauses(self.streams.paused_rules());
        }
    }
}
