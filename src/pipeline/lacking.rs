//! Rules that need a column that their table lacks.
//!
//! In: the tables as the server has them when reading begins. Out: a start that is refused, where a rule is new or asks for
//! more than before; any other rule goes to work, and is paused before the first row that it can't work on (`streams/pausing`).
//! Owns what rules needed when they went to work.

use std::sync::Arc;

use super::Error;
use crate::rules::{IfMissing, Judgement, Objection, Rule, RuleSet};
use crate::schema::NamedTables;
use crate::store::{self, RuleNeeds, Saved};

/// What rules needed of tables when they went to work, as far as the store knows.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// As they are stored.
    recorded: Vec<RuleNeeds>,
    /// Rules that are at work since a version that did not note what they need; None: all are.
    of_earlier_version: Option<Vec<Arc<str>>>,
    /// The rules were checked against the tables.
    is_judged: bool,
}

impl Needs {
    pub(super) fn of(saved: &Saved) -> Needs {
        let of_earlier_version = match &saved.checkpoint {
            Some(checkpoint) if saved.needs.is_empty() => checkpoint.known.clone(),
            Some(_) | None => Some(Vec::new()),
        };
        Needs { recorded: saved.needs.clone(), of_earlier_version, is_judged: false }
    }

    /// Whether the rule was at work with what it needs now. Earlier versions took every condition, whatever the types were.
    fn knows(&self, rule: &Rule, is_of_types: bool) -> bool {
        let recorded = self.recorded.iter().any(|known| *known.rule == *rule.name && known.needs == rule.needs());
        recorded
            || !is_of_types
                && self.of_earlier_version.as_ref().is_none_or(|names| names.iter().any(|name| **name == *rule.name))
    }

    /// Checks the rules against the tables as they are when the first connection is made, and logs what is doubtful. Returns what must be written.
    pub(super) fn judge(
        &mut self,
        rules: &RuleSet,
        tables: &NamedTables,
        if_missing: IfMissing,
    ) -> Result<Option<store::Write>, Error> {
        if std::mem::replace(&mut self.is_judged, true) {
            return Ok(None);
        }
        let is_at_work =
            |said: &Objection| rules.rule(&said.rule).is_some_and(|rule| self.knows(rule, said.is_of_types));
        Judgement::of(rules.against(tables, if_missing), is_at_work).take().map_err(Error::Rules)?;
        rules.warn_of_doubts(tables, |_| true);
        Ok(self.record(rules))
    }

    /// These rules go to work. Returns what must be written.
    pub(super) fn record(&mut self, rules: &RuleSet) -> Option<store::Write> {
        let needs = |rule: &Arc<Rule>| RuleNeeds { rule: rule.name.as_str().into(), needs: rule.needs() };
        let needs: Vec<RuleNeeds> = rules.rules().iter().map(needs).collect();
        if self.recorded == needs {
            return None;
        }
        self.recorded.clone_from(&needs);
        Some(store::Write { needs: Some(needs), ..store::Write::default() })
    }
}
