//! Checkpoints: how far each rule is, taken as one set.
//!
//! In: the tick. Out: a set for the store, when anything moved: the main stream's position, the low-water mark of every rule
//! that is not there, and the changes of the ledger. Keeps promise 1: each mark is its own tracker's. The loop decides when a
//! checkpoint is taken, and how many are under way.

use std::sync::Arc;

use super::Streams;
use crate::clock::now_us;
use crate::pipeline::rule_stream::RuleStream;
use crate::store::{self, CheckpointSet, LedgerEntry, RuleCheckpoint};

impl Streams {
    /// What moved since the last time, to be written. None: nothing moved, or nothing has begun.
    pub fn take_checkpoint(&mut self) -> Option<store::Write> {
        let main = self.main.feed.reached()?;
        let mut write = store::Write::default();
        let mut has_moved = std::mem::take(&mut self.has_moved);
        for stream in self.rules.iter_mut() {
            if let Some(change) = stream.tracker.checkpoint() {
                has_moved = true;
                let entry = |id| LedgerEntry { id, rule: Arc::clone(&stream.name) };
                write.ledger_add.extend(change.add.into_iter().map(entry));
                write.ledger_remove.extend(change.remove);
            }
        }
        write.ledger_remove.append(&mut self.orphans);
        if !has_moved {
            return None;
        }
        let main = main.resume();
        let mut set = CheckpointSet { main, rules: Vec::new(), known: Vec::new(), former_ids: self.former_ids.clone() };
        for stream in self.rules.iter_mut() {
            include(&mut set, stream);
        }
        write.checkpoint = Some(set);
        Some(write)
    }

    /// A checkpoint that knows these rules is durable.
    pub fn checkpointed(&mut self, known: &[Arc<str>]) {
        self.has_begun = true;
        self.checkpointed_at_us = Some(now_us());
        self.metrics.checkpoints.inc();
        self.metrics.last_checkpoint.set(now_us() as f64 / 1e6);
        for rule in known {
            if let Some(detached) = self.rules.get_mut(rule).and_then(|stream| stream.detached.as_mut()) {
                detached.is_recorded = true;
            }
        }
    }
}

fn include(set: &mut CheckpointSet, stream: &mut RuleStream) {
    let own = stream.own_resume(&set.main.schema);
    let detached_since_us = stream.detached.as_ref().map(|detached| detached.since_us);
    match own {
        // It has not begun: after a crash it begins as it does now.
        None if detached_since_us.is_some() => return,
        None => {}
        Some(resume) => set.rules.push(RuleCheckpoint { rule: Arc::clone(&stream.name), resume, detached_since_us }),
    }
    set.known.push(Arc::clone(&stream.name));
}
