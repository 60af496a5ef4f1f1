//! Conditions of rules held against the types of the columns that they name.
//!
//! In: rules, and tables as a server has them now. Out: every comparison that can't be decided or can never be true, and every
//! place where a NULL leads to another answer than in earlier versions, each with its place in the rule's file. Used by `check`, by the
//! start and by every reload, so that all three say the same.

use super::diagnostic::{Diagnostic, Diagnostics, Place};
use super::{Rule, RuleSet};
use crate::schema::TypedTable;
use crate::template::{Condition, Flaw};

/// What the types of columns have against one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    pub rule: String,
    /// The rule can't be used as it is; else it is only worth a look.
    pub is_problem: bool,
    pub said: Diagnostic,
}

impl RuleSet {
    /// Everything that the types of these tables have against these rules, in the order of the files.
    pub fn misfits(&self, tables: &[TypedTable]) -> Vec<Misfit> {
        let mut misfits: Vec<Misfit> = Vec::new();
        for rule in self.rules() {
            let of_rule = tables.iter().filter(|table| rule.table.matches(&table.name.schema, &table.name.table));
            misfits.extend(of_rule.flat_map(|table| rule.misfits(table)));
        }
        misfits.sort_by(|a, b| (&a.said.path, a.said.place).cmp(&(&b.said.path, b.said.place)));
        misfits.dedup();
        misfits
    }

    /// The same for rules that are to be put to work.
    ///
    /// # Errors
    ///
    /// When there are problems.
    pub fn require_types(&self, tables: &[TypedTable]) -> Result<(), Diagnostics> {
        let problems = self.misfits(tables).into_iter().filter(|misfit| misfit.is_problem).map(|misfit| misfit.said);
        let problems: Vec<Diagnostic> = problems.collect();
        if problems.is_empty() { Ok(()) } else { Err(Diagnostics(problems)) }
    }
}

impl Rule {
    fn misfits(&self, table: &TypedTable) -> Vec<Misfit> {
        let name = table.name.to_string();
        let of = |conditions: &dyn Fn(&Condition) -> Vec<Flaw>, is_problem| -> Vec<Misfit> {
            let flaws = self.conditions().flat_map(conditions);
            flaws.map(|flaw| self.misfit(flaw, is_problem)).collect()
        };
        let mut misfits = of(&|condition| condition.misfits(&name, &table.columns), true);
        misfits.extend(of(&|condition| condition.changed_by_nulls(&table.columns), false));
        misfits
    }

    /// `when`, and the `when` of each `verify`.
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let verdicts = self.plan.iter().flat_map(|plan| &plan.steps).filter_map(|step| step.verify.as_ref());
        self.when.iter().chain(verdicts.map(|verify| &verify.when))
    }

    /// The file may be another one by now, so its text is not shown.
    fn misfit(&self, flaw: Flaw, is_problem: bool) -> Misfit {
        let place = Some(Place { line: flaw.line, column: flaw.column });
        let said = Diagnostic { path: self.path.clone(), place, message: flaw.message, line_text: String::new() };
        Misfit { rule: self.name.clone(), is_problem, said }
    }
}
