//! Checkpoints: how far each rule is, taken as one set and made durable.
//!
//! In: the tick. Out: a set for the store, when anything moved: the main stream's place, the mark of every rule that is not
//! there, and what the ledger must be told. One is under way at a time, but for those that a letter must not overtake. Keeps promise 1: each mark is its own tracker's.

use std::sync::Arc;

use tracing::debug;

use super::Pipeline;
use super::rule_stream::RuleStream;
use super::writes::Written;
use crate::store::{self, CheckpointSet, LedgerEntry, PausedRule, RuleCheckpoint};

impl Pipeline {
    /// Writes down what moved since the last time, unless that is still under way.
    pub(super) fn checkpoint(&mut self) {
        if self.recording.is_empty() {
            self.checkpoint_now();
        }
    }

    /// As [`Pipeline::checkpoint`], whether another is under way or not: it is durable no later than any later write.
    pub(super) fn checkpoint_now(&mut self) {
        if let Some(write) = self.take_checkpoint() {
            debug!("checkpoint taken");
            let written = self.store.write(write);
            self.writes.push(Box::pin(async move { written.await.map(|_| Written::Checkpoint) }));
        }
    }

    /// None: nothing moved, or nothing has begun.
    pub(super) fn take_checkpoint(&mut self) -> Option<store::Write> {
        let main = self.main.reached()?;
        let mut write = store::Write::default();
        let mut has_moved = std::mem::take(&mut self.has_moved);
        for stream in &mut self.streams.list {
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
        for stream in &mut self.streams.list {
            include(&mut set, stream);
        }
        self.recording.push_back(set.known.clone());
        write.checkpoint = Some(set);
        Some(write)
    }

    /// All rules that are paused, as the store keeps them.
    pub(super) fn paused_rules(&self) -> Vec<PausedRule> {
        let paused = |stream: &RuleStream| {
            let paused = stream.paused.as_ref()?;
            Some(PausedRule { rule: Arc::clone(&stream.name), since_us: paused.since_us, why: paused.why.clone() })
        };
        self.streams.list.iter().filter_map(paused).collect()
    }

    /// The checkpoint is durable.
    pub(super) fn checkpointed(&mut self) {
        debug!("checkpoint durable");
        self.has_begun = true;
        self.metrics.checkpoints.inc();
        for rule in self.recording.pop_front().unwrap_or_default() {
            if let Some(behind) = self.streams.get_mut(&rule).and_then(|stream| stream.behind.as_mut()) {
                behind.is_recorded = true;
            }
        }
    }
}

fn include(set: &mut CheckpointSet, stream: &mut RuleStream) {
    let own = stream.own_resume(&set.main.schema);
    let behind_since_us = stream.behind.as_ref().map(|behind| behind.since_us);
    match own {
        // It has not begun: after a crash it begins as it does now.
        None if behind_since_us.is_some() => return,
        None => {}
        Some(resume) => set.rules.push(RuleCheckpoint { rule: Arc::clone(&stream.name), resume, behind_since_us }),
    }
    set.known.push(Arc::clone(&stream.name));
}
