//! `Condition`: the `when:` of a rule, or of a query.
//!
//! In: the expression's text; then changes. Out: whether it holds. As in SQL, what is not true (false or, for a NULL, unknown) is no
//! match; an error is what can't be decided on this row. Knows where in the file its comparisons stand, for `typing`.

use std::sync::Arc;

use minijinja::machinery::parse_expr;

use super::error::{ColumnUse, Error, Flaw, SagaUse};
use super::logic::{Builder, Logic, Subject};
use super::scope::{RowSide, Scope};
use super::{EnvLookup, limits, never, null_changes, syntax, tokens, typing};
use crate::change::{Change, Op};
use crate::schema::TypedColumn;

/// The `when:` of a rule.
#[derive(Debug)]
pub struct Condition {
    text: Box<str>,
    logic: Logic,
    rule: Arc<str>,
    columns: Vec<ColumnUse>,
    saga: Vec<SagaUse>,
    reads_all_columns: bool,
}

impl Condition {
    /// Compiles an expression for the rule of this name. All flaws are reported, with their places.
    pub fn compile(source: &str, rule: &str, env: EnvLookup) -> Result<Condition, Vec<Flaw>> {
        if source.trim_start().starts_with("{{") {
            let message = "`when` is an expression by itself; write it without `{{ }}`".to_string();
            return Err(vec![Flaw { line: 1, column: 1, message }]);
        }
        limits::check_expression(source)?;
        let tree = tokens::all_read(parse_expr(source), source, true)?;
        let mut builder = Builder { source, env, reads: Vec::new(), flaws: Vec::new() };
        let logic = builder.logic(&tree);
        let Builder { reads, mut flaws, .. } = builder;
        let mut columns: Vec<ColumnUse> = reads.iter().flat_map(|part| part.columns.clone()).collect();
        let mut saga: Vec<SagaUse> = reads.iter().flat_map(|part| part.saga.clone()).collect();
        // The middle of `a < b < c` was read twice.
        columns.sort_by_key(|used| (used.line, used.column));
        columns.dedup();
        // What one part asks for with `is defined`, another one may read.
        let asked_for: Vec<String> =
            columns.iter().filter(|used| used.may_lack).map(|used| used.name.clone()).collect();
        columns.iter_mut().for_each(|used| used.may_lack |= asked_for.contains(&used.name));
        saga.sort_by_key(|used| (used.line, used.column));
        saga.dedup();
        flaws.sort_by_key(|flaw| (flaw.line, flaw.column));
        flaws.dedup();
        let reads_all_columns = reads.iter().any(|part| part.reads_all_columns);
        match logic.filter(|_| flaws.is_empty()) {
            Some(logic) => {
                Ok(Condition { text: source.into(), logic, rule: rule.into(), columns, saga, reads_all_columns })
            }
            None => Err(flaws),
        }
    }

    /// With the places of its comparisons, which count within its text, as places in the file.
    pub fn placed(mut self, place: impl Fn(usize, usize) -> (usize, usize)) -> Condition {
        self.logic.each_leaf_mut(&mut |leaf| leaf.at = place(leaf.at.0, leaf.at.1));
        self
    }

    /// Whether the change meets the condition; an error when it can't be decided on this row.
    pub fn holds(&self, change: &Arc<Change>) -> Result<bool, Error> {
        Ok(self.logic.decide(&Subject::Change(change, &self.rule))? == Some(true))
    }

    /// As `holds`, by the interpreter alone, and with unknown and false as different results.
    #[cfg(test)]
    pub(super) fn interpret(&self, change: &Arc<Change>) -> Result<Option<bool>, Error> {
        self.logic.decide(&Subject::Interpreted(change, &self.rule))
    }

    /// Whether all of it can be decided without the interpreter.
    pub(super) fn is_plain(&self) -> bool {
        let mut is_plain = true;
        self.logic.each_leaf(&mut |leaf| is_plain &= leaf.test.is_some());
        is_plain
    }

    /// As `holds`, with unknown and false as different results.
    #[cfg(test)]
    pub(super) fn decide(&self, change: &Arc<Change>) -> Result<Option<bool>, Error> {
        self.logic.decide(&Subject::Change(change, &self.rule))
    }

    /// Whether it holds of what is known of a delivery, such as the `answer` to a query; none for "unknown", which here is
    /// another thing than "no": a call that may have happened is not repeated for a NULL.
    pub fn decide_in(&self, scope: &Scope) -> Result<Option<bool>, Error> {
        self.logic.decide(&Subject::Scope(scope))
    }

    /// Of the parts that `and` joins, the first that is not true of the change, as the rule has it; and whether it is false or, because
    /// of a NULL, unknown. None where all are true, or one can't be decided.
    pub fn refusal(&self, change: &Arc<Change>) -> Option<(&str, Option<bool>)> {
        let (subject, parts) = (Subject::Change(change, &self.rule), self.logic.joined());
        // A chain of comparisons is joined, too, and has one text.
        let texts = syntax::joined(&self.text);
        let has_texts = parts.len() == texts.len();
        for (n, part) in parts.iter().enumerate() {
            let says = part.decide(&subject).ok()?;
            if says != Some(true) {
                return Some((if has_texts { texts[n] } else { &self.text }, says));
            }
        }
        None
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns it reads, in the order of the text.
    pub fn columns(&self) -> &[ColumnUse] {
        &self.columns
    }

    /// What it reads of a saga, in the order of the text.
    pub fn saga_reads(&self) -> &[SagaUse] {
        &self.saga
    }

    /// Whether the decision may depend on this column.
    pub fn reads(&self, column: &str) -> bool {
        self.reads_all_columns || self.columns.iter().any(|used| used.name == column)
    }

    /// Comparisons that can't be decided, or can never hold, in a table of this name with these columns.
    pub fn misfits(&self, table: &str, columns: &[TypedColumn]) -> Vec<Flaw> {
        typing::misfits(&self.logic, table, columns)
    }

    /// Where a NULL in one of these columns leads to another answer than in earlier versions, to which NULL was a value.
    pub fn changed_by_nulls(&self, columns: &[TypedColumn]) -> Vec<Flaw> {
        null_changes::changed_by_nulls(&self.logic, columns)
    }

    /// Why no change with one of these ops can meet it, where that is certain; `columns` may be empty, where they are not known.
    pub fn never(&self, ops: &[Op], columns: &[TypedColumn]) -> Option<Flaw> {
        never::never(&self.logic, ops, columns)
    }

    /// Whether it may be true of a change with one of these ops in which this column of the row, or of the old row, is NULL.
    pub fn allows_null(&self, ops: &[Op], is_old: bool, column: &TypedColumn, columns: &[TypedColumn]) -> bool {
        let side = if is_old { RowSide::Old } else { RowSide::Row };
        // What an expression makes of NULL is known on the row only.
        (!self.reads(&column.name) || self.is_plain())
            && null_changes::allows_null(&self.logic, ops, side, column, columns)
    }
}
