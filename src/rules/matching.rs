//! Which rules a change matches.
//!
//! In: changes, one after another. Out: the rules whose `on`, `changed` and `when` hold, in the order of the files;
//! cheap tests first. Owns a cache from table to rules, so that patterns are matched once per table, not per row.
//! A rule that can't be decided on a row matches with the reason: it becomes a dead letter, never a silence (promise 7).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Rule;
use crate::change::{Change, Op};
use crate::pattern::TablePatterns;

/// Tables to remember; a server has fewer, or else they come and go and old ones may be forgotten.
const TABLES_MAX: usize = 65_536;

/// A rule that applies to a change.
#[derive(Debug, Clone)]
pub struct Match {
    pub rule: Arc<Rule>,
    /// Why `changed`, `when` or `order_by` can't be decided on this row, without row values.
    pub undecided: Option<String>,
}

/// All rules of a directory.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
    by_table: RwLock<ByTable>,
}

/// Schema, then table: looked up without building a key.
type ByTable = HashMap<Box<str>, HashMap<Box<str>, Arc<[Arc<Rule>]>>>;

impl RuleSet {
    pub(super) fn new(rules: Vec<Arc<Rule>>) -> RuleSet {
        RuleSet { rules, by_table: RwLock::default() }
    }

    /// In the order of the files, and in each from top to bottom.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    pub fn rule(&self, name: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// What the source has to decode for these rules.
    pub fn patterns(&self) -> TablePatterns {
        let mut patterns = Vec::new();
        for rule in &self.rules {
            if !patterns.contains(&rule.table) {
                patterns.push(rule.table.clone());
            }
        }
        TablePatterns(patterns)
    }

    /// Appends the rules that match the change.
    pub fn matches(&self, change: &Arc<Change>, out: &mut Vec<Match>) {
        for rule in self.rules_of(&change.table.schema, &change.table.name).iter() {
            match rule.decide(change) {
                Ok(true) => out.push(Match { rule: Arc::clone(rule), undecided: None }),
                Ok(false) => {}
                Err(reason) => out.push(Match { rule: Arc::clone(rule), undecided: Some(reason) }),
            }
        }
    }

    fn rules_of(&self, schema: &str, table: &str) -> Arc<[Arc<Rule>]> {
        // A panic elsewhere leaves the map whole: it only ever gains entries or is cleared.
        let known = self.by_table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = known.get(schema).and_then(|tables| tables.get(table)) {
            return Arc::clone(rules);
        }
        drop(known);
        let matching = self.rules.iter().filter(|rule| rule.table.matches(schema, table));
        let rules: Arc<[Arc<Rule>]> = matching.cloned().collect();
        let mut known = self.by_table.write().unwrap_or_else(PoisonError::into_inner);
        if known.values().map(HashMap::len).sum::<usize>() >= TABLES_MAX {
            known.clear();
        }
        known.entry(schema.into()).or_default().insert(table.into(), Arc::clone(&rules));
        rules
    }
}

impl Rule {
    /// Whether the rule applies to a change of its table; an error says what can't be decided, without row values.
    pub fn decide(&self, change: &Arc<Change>) -> Result<bool, String> {
        if !self.on.contains(&change.op) || !self.changed_holds(change)? {
            return Ok(false);
        }
        if let Some(when) = &self.when
            && !when.holds(change).map_err(|error| format!("`when`: {error}"))?
        {
            return Ok(false);
        }
        self.unorderable(change).map_or(Ok(true), Err)
    }

    fn changed_holds(&self, change: &Change) -> Result<bool, String> {
        if self.changed.is_empty() || change.op != Op::Update {
            return Ok(true);
        }
        let mut differs = false;
        for name in &self.changed {
            let Some(column) = change.table.column(name) else {
                return Err(format!("table {} has no column `{name}`, which `changed` names", change.table));
            };
            differs |= change.column_differs(column);
        }
        Ok(differs)
    }
}
