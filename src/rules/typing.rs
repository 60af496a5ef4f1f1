//! Checks conditions of rules against the types of the columns that they name.
//!
//! In: rules, and tables as a server has them now. Out: every comparison that can't be decided or can never be true, and every
//! condition that a NULL decides in another way than in earlier versions, each with its place in the rule's file. Used by
//! `tables`.

use super::diagnostic::{Diagnostic, FilePlace, located};
use super::rule::Rule;
use crate::schema::TypedTable;
use crate::template::{Condition, Flaw};

impl Rule {
    /// Objections of this rule for the types of a table's columns. For each: whether the rule can't be used as it is, or only
    /// deserves a check.
    pub(super) fn misfits(&self, found: &TypedTable) -> Vec<(bool, Diagnostic)> {
        let name = found.table.to_string();
        let of = |conditions: &dyn Fn(&Condition) -> Vec<Flaw>, is_problem| -> Vec<(bool, Diagnostic)> {
            let flaws = self.conditions().flat_map(conditions);
            flaws.map(|flaw| (is_problem, self.misfit(flaw))).collect()
        };
        let mut misfits = of(&|condition| condition.misfits(&name, &found.columns), true);
        misfits.extend(of(&|condition| condition.changed_by_nulls(&found.columns), false));
        misfits
    }

    /// `when`, and the `when` of each `verify`.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let verdicts = self.saga.iter().flat_map(|saga| &saga.steps).filter_map(|step| step.verify.as_ref());
        self.when.iter().chain(verdicts.map(|verify| &verify.when))
    }

    fn misfit(&self, flaw: Flaw) -> Diagnostic {
        located(&self.path, FilePlace { line: flaw.line, column: flaw.column }, flaw.message)
    }
}
