//! What the trees of checkpoints and definitions contain after the queued writes.
//!
//! In: the set that is to be stored. Out: the records that turn what is stored into it, and only those that differ: most of
//! the time the main stream's alone. Owns the set that was stored last. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::checkpoint::{self, CheckpointSet, FormerIds, KNOWN, MAIN, RuleCheckpoint};
use super::chunks::Edits;
use super::definitions::{self, Owner};
use super::former_ids::{self, FORMER_IDS};
use crate::position::Resume;
use crate::schema::Schema;

#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// None: no checkpoint was ever written.
    pub main: Option<Resume>,
    /// The main stream's definitions, as far as they are stored.
    pub schema: Arc<Schema>,
    pub rules: HashMap<Arc<str>, RecordedRule>,
    /// None: an earlier version wrote the store.
    pub known: Option<Vec<Arc<str>>>,
    pub former_ids: Option<FormerIds>,
}

#[derive(Debug)]
pub(super) struct RecordedRule {
    pub checkpoint: RuleCheckpoint,
    /// Its definitions, where they are stored beside it.
    pub own: Option<Arc<Schema>>,
}

/// The part of a set that must be written.
#[derive(Debug, Default)]
pub(super) struct SetEdits {
    pub checkpoints: Edits,
    pub definitions: Edits,
}

impl SetEdits {
    pub(super) fn len_bytes(&self) -> usize {
        self.checkpoints.len_bytes() + self.definitions.len_bytes()
    }
}

impl Recorded {
    /// From now on the set counts as what is stored.
    pub(super) fn replace(&mut self, set: CheckpointSet) -> SetEdits {
        let CheckpointSet { main, rules, known, former_ids } = set;
        let definitions = definitions::between(Owner::Main, &self.schema, &main.schema);
        let mut edits = SetEdits { checkpoints: Edits::default(), definitions };
        self.schema = Arc::clone(&main.schema);
        let mut before = std::mem::take(&mut self.rules);
        for rule in rules {
            let recorded = RecordedRule::next(before.remove(&rule.rule), rule, &main.schema, &mut edits);
            self.rules.insert(Arc::clone(&recorded.checkpoint.rule), recorded);
        }
        for (rule, gone) in before {
            edits.checkpoints.remove.push(checkpoint::rule_name(&rule));
            edits.forget_own(&rule, gone.own);
        }
        if self.main.as_ref() != Some(&main) {
            edits.checkpoints.put.push((MAIN.to_vec(), checkpoint::encode(&main)));
            self.main = Some(main);
        }
        if self.known.as_ref() != Some(&known) {
            edits.checkpoints.put.push((KNOWN.to_vec(), checkpoint::encode_known(&known)));
            self.known = Some(known);
        }
        if self.former_ids != former_ids {
            match &former_ids {
                Some(former) => edits.checkpoints.put.push((FORMER_IDS.to_vec(), former_ids::encode(former))),
                None => edits.checkpoints.remove.push(FORMER_IDS.to_vec()),
            }
            self.former_ids = former_ids;
        }
        edits
    }
}

impl SetEdits {
    fn forget_own(&mut self, rule: &str, own: Option<Arc<Schema>>) {
        let Some(own) = own else { return };
        self.definitions.append(definitions::between(Owner::Rule(rule), &own, &Arc::default()));
    }
}

impl RecordedRule {
    fn next(
        before: Option<RecordedRule>,
        checkpoint: RuleCheckpoint,
        main: &Arc<Schema>,
        edits: &mut SetEdits,
    ) -> RecordedRule {
        let schema = &checkpoint.resume.schema;
        let own = (!Arc::ptr_eq(schema, main) && schema != main).then(|| Arc::clone(schema));
        let (last, own_before) = before.map(|before| (before.checkpoint, before.own)).unzip();
        let own_before = own_before.flatten();
        let is_same = own.is_some() == own_before.is_some()
            && last.is_some_and(|last| {
                let RuleCheckpoint { rule: _, resume: Resume { position, within, schema: _ }, detached_since_us } =
                    &last;
                *position == checkpoint.resume.position
                    && *within == checkpoint.resume.within
                    && *detached_since_us == checkpoint.detached_since_us
            });
        if !is_same {
            let record = checkpoint::encode_rule(&checkpoint, own.is_some());
            edits.checkpoints.put.push((checkpoint::rule_name(&checkpoint.rule), record));
        }
        match &own {
            Some(own) => {
                let before = own_before.unwrap_or_default();
                edits.definitions.append(definitions::between(Owner::Rule(&checkpoint.rule), &before, own));
            }
            None => edits.forget_own(&checkpoint.rule, own_before),
        }
        RecordedRule { checkpoint, own }
    }
}
