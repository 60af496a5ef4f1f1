//! Comparisons of the plain kind, decided without the interpreter.
//!
//! In: the syntax tree of one comparison or test of a `when:`; then changes. Out: what the interpreter would answer, errors included,
//! at a small part of its cost; none for expressions that are not plain. A row with a value that only the interpreter reads (JSON)
//! is left to it. Owns no state but where each column was found last.

use minijinja::machinery::ast::Expr;

use super::compare;
use super::error::Error;
use super::nulls;
use super::operand::{Literal, Operand};
use super::relation::Relation;
use super::syntax::{Operator, TemplateLink, is_none_literal};
use crate::change::Change;

mod term;
#[cfg(test)]
mod tests;

pub(super) use term::{ColumnName, Term};

#[derive(Debug)]
pub(super) enum Test {
    Compare(Term, Relation, Term),
    /// Whether it equals one of the literals; and whether `none` is written among them.
    OneOf(Term, Box<[Literal]>, bool),
    /// The left one is a piece of the right one.
    Within(Term, Term),
    IsNone(Term),
    /// False of a column that the table lacks. Every value is defined; what can't be read is an error.
    IsDefined(Term),
    /// A value by itself, which counts as true or not.
    IsTrue(Term),
    /// `old is none`.
    HasNoOld,
    /// `'column' in changed`.
    HasChanged(ColumnName),
}

/// Why a test has no answer.
#[derive(Debug)]
pub(super) enum Stop {
    /// The interpreter has to decide on this row.
    Ask,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Test {
    /// Of what is no comparison and no `and`, `or`, `not`; none when it has to stay with the interpreter. `source` is the text.
    pub fn of(expr: &Expr, source: &str) -> Option<Test> {
        Some(match expr {
            Expr::Test(node) if node.args.is_empty() => match (node.name, &node.expr) {
                ("none", Expr::Var(var)) if var.id == "old" => Test::HasNoOld,
                ("none", expr) => Test::IsNone(Term::of(expr, source)?),
                ("defined", expr) => Test::IsDefined(Term::of(expr, source)?),
                _ => return None,
            },
            expr => Test::IsTrue(Term::of(expr, source)?),
        })
    }

    /// Of a comparison.
    pub fn of_link(link: TemplateLink, source: &str) -> Option<Test> {
        let TemplateLink { left, operator, right } = link;
        match (operator, right) {
            (Operator::In, Expr::List(list)) => one_of(left, &list.items, source),
            (Operator::In, Expr::Tuple(tuple)) => one_of(left, &tuple.items, source),
            (Operator::In, Expr::Var(var)) if var.id == "changed" => match left {
                Expr::Const(name) => Some(Test::HasChanged(ColumnName::new(name.value.as_str()?))),
                _ => None,
            },
            (Operator::In, text) => Some(Test::Within(Term::of(left, source)?, Term::of(text, source)?)),
            (Operator::Is(Relation::Equal), _) if is_none_literal(right) => Some(Test::IsNone(Term::of(left, source)?)),
            (Operator::Is(Relation::Equal), _) if is_none_literal(left) => Some(Test::IsNone(Term::of(right, source)?)),
            // `!= none` is the opposite of `is none`, which is for the caller to say.
            (Operator::Is(Relation::Unequal), _) if is_none_literal(right) || is_none_literal(left) => None,
            (Operator::Is(relation), _) => {
                Some(Test::Compare(Term::of(left, source)?, relation, Term::of(right, source)?))
            }
        }
    }

    /// What it says of the change; none for "unknown", because something is NULL.
    pub fn decide(&self, change: &Change) -> Result<Option<bool>, Stop> {
        Ok(match self {
            Test::Compare(left, relation, right) => {
                left.with(change, |left| right.with(change, |right| Ok(nulls::holds(*relation, left, right)?)))?
            }
            Test::OneOf(term, literals, has_none) => {
                term.with(change, |needle| equals_one(needle, literals, *has_none))?
            }
            Test::Within(piece, whole) => piece.with(change, |piece| {
                whole.with(change, |whole| match piece.is_null() || whole.is_null() {
                    true => Ok(None),
                    false => Ok(Some(compare::within(piece, whole)?)),
                })
            })?,
            Test::IsNone(term) => term.with(change, |operand| Ok(Some(operand.is_null())))?,
            Test::IsDefined(term) if term.is_of_no_column(&change.table) => Some(false),
            Test::IsDefined(term) => term.with(change, |_| Ok(Some(true)))?,
            Test::IsTrue(term) => term.with(change, |operand| Ok(nulls::truth_of(operand)?))?,
            Test::HasNoOld => Some(change.old().is_none()),
            Test::HasChanged(column) => {
                Some(column.index(&change.table).is_some_and(|index| change.column_differs(index)))
            }
        })
    }
}

fn one_of(needle: &Expr, items: &[Expr], source: &str) -> Option<Test> {
    let has_none = items.iter().any(is_none_literal);
    let items = items.iter().filter(|item| !is_none_literal(item));
    let literals = items.map(|item| Literal::of(item, source)).collect::<Option<_>>()?;
    Some(Test::OneOf(Term::of(needle, source)?, literals, has_none))
}

fn equals_one(needle: &Operand, literals: &[Literal], has_none: bool) -> Result<Option<bool>, Stop> {
    if needle.is_null() {
        // Nothing is in an empty list, NULL neither.
        return Ok(if has_none || literals.is_empty() { Some(has_none) } else { None });
    }
    for literal in literals {
        if nulls::holds(Relation::Equal, needle, &literal.operand())? == Some(true) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}
