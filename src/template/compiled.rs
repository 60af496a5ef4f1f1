//! Conditions of the plain kind, decided without the interpreter.
//!
//! In: the syntax tree of a `when:`; then changes. Out: a tree of comparisons, or none when any part of the expression
//! is beyond it; then for each change exactly what the interpreter would answer, errors included, at a small part of
//! its cost. A value that only the interpreter reads (JSON, SET, BLOB) is left to it, and with it the whole row. Owns no
//! state but where each column was found last.

use minijinja::machinery::ast::{BinOpKind, CompareOpKind, Expr, UnaryOpKind};

use super::error::Error;
use crate::change::Change;

mod compare;
mod term;
#[cfg(test)]
mod tests;

use compare::Relation;
use term::{ColumnName, Literal, Operand, Term};

/// A condition that needs no interpreter for most rows.
#[derive(Debug)]
pub(super) struct Compiled(Test);

#[derive(Debug)]
enum Test {
    All(Box<[Test; 2]>),
    Any(Box<[Test; 2]>),
    Not(Box<Test>),
    Compare(Term, Relation, Term),
    OneOf(Term, Box<[Literal]>),
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
enum Stop {
    /// The interpreter has to decide on this row.
    Ask,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Compiled {
    /// None when the expression, or any part of it, has to stay with the interpreter. `source` is its text.
    pub(super) fn new(expr: &Expr, source: &str) -> Option<Compiled> {
        test(expr, source).map(Compiled)
    }

    /// Whether the change meets the condition; none when the interpreter has to decide on this row.
    pub(super) fn holds(&self, change: &Change) -> Option<Result<bool, Error>> {
        match self.0.decide(change) {
            Ok(truth) => Some(Ok(truth)),
            Err(Stop::Failed(error)) => Some(Err(error)),
            Err(Stop::Ask) => None,
        }
    }
}

fn test(expr: &Expr, source: &str) -> Option<Test> {
    Some(match expr {
        Expr::UnaryOp(node) if matches!(node.op, UnaryOpKind::Not) => Test::Not(Box::new(test(&node.expr, source)?)),
        Expr::BinOp(node) => match node.op {
            BinOpKind::ScAnd => Test::All(Box::new([test(&node.left, source)?, test(&node.right, source)?])),
            BinOpKind::ScOr => Test::Any(Box::new([test(&node.left, source)?, test(&node.right, source)?])),
            BinOpKind::In => within(&node.left, &node.right, source)?,
            BinOpKind::Eq => comparison(&node.left, Relation::Equal, &node.right, source)?,
            BinOpKind::Ne => comparison(&node.left, Relation::Unequal, &node.right, source)?,
            BinOpKind::Lt => comparison(&node.left, Relation::Less, &node.right, source)?,
            BinOpKind::Lte => comparison(&node.left, Relation::AtMost, &node.right, source)?,
            BinOpKind::Gt => comparison(&node.left, Relation::Greater, &node.right, source)?,
            BinOpKind::Gte => comparison(&node.left, Relation::AtLeast, &node.right, source)?,
            _ => return None,
        },
        Expr::Compare(node) => {
            let lefts = std::iter::once(&node.expr).chain(node.ops.iter().map(|op| &op.expr));
            let pairs = lefts.zip(&node.ops).map(|(left, op)| link(left, op.op, &op.expr, source));
            pairs.reduce(|all, pair| Some(Test::All(Box::new([all?, pair?]))))??
        }
        Expr::Test(node) if node.args.is_empty() => match (node.name, &node.expr) {
            ("none", Expr::Var(var)) if var.id == "old" => Test::HasNoOld,
            ("none", expr) => Test::IsNone(Term::of(expr, source)?),
            ("defined", expr) => Test::IsDefined(Term::of(expr, source)?),
            _ => return None,
        },
        expr => Test::IsTrue(Term::of(expr, source)?),
    })
}

/// One link of `a < b < c`.
fn link(left: &Expr, op: CompareOpKind, right: &Expr, source: &str) -> Option<Test> {
    let relation = match op {
        CompareOpKind::Eq => Relation::Equal,
        CompareOpKind::Ne => Relation::Unequal,
        CompareOpKind::Lt => Relation::Less,
        CompareOpKind::Lte => Relation::AtMost,
        CompareOpKind::Gt => Relation::Greater,
        CompareOpKind::Gte => Relation::AtLeast,
        CompareOpKind::In => return within(left, right, source),
        CompareOpKind::NotIn => return Some(Test::Not(Box::new(within(left, right, source)?))),
    };
    comparison(left, relation, right, source)
}

fn comparison(left: &Expr, relation: Relation, right: &Expr, source: &str) -> Option<Test> {
    Some(Test::Compare(Term::of(left, source)?, relation, Term::of(right, source)?))
}

/// `needle in container`.
fn within(needle: &Expr, container: &Expr, source: &str) -> Option<Test> {
    let items = match container {
        Expr::List(list) => &list.items,
        Expr::Tuple(tuple) => &tuple.items,
        Expr::Var(var) if var.id == "changed" => match needle {
            Expr::Const(name) => return Some(Test::HasChanged(ColumnName::new(name.value.as_str()?))),
            _ => return None,
        },
        text => return comparison(needle, Relation::Within, text, source),
    };
    let literals = items.iter().map(|item| Literal::of(item, source)).collect::<Option<_>>()?;
    Some(Test::OneOf(Term::of(needle, source)?, literals))
}

impl Test {
    /// Reads from left to right and no further than needed, as the interpreter does: errors depend on it.
    fn decide(&self, change: &Change) -> Result<bool, Stop> {
        Ok(match self {
            Test::All(both) => both[0].decide(change)? && both[1].decide(change)?,
            Test::Any(both) => both[0].decide(change)? || both[1].decide(change)?,
            Test::Not(test) => !test.decide(change)?,
            Test::Compare(left, relation, right) => {
                left.with(change, |left| right.with(change, |right| Ok(relation.holds(left, right)?)))?
            }
            Test::OneOf(term, literals) => term.with(change, |needle| one_of(needle, literals))?,
            Test::IsNone(term) => term.with(change, |operand| Ok(operand.is_null()))?,
            Test::IsDefined(term) if term.is_of_no_column(&change.table) => false,
            Test::IsDefined(term) => term.with(change, |_| Ok(true))?,
            Test::IsTrue(term) => term.with(change, |operand| Ok(operand.is_true()))?,
            Test::HasNoOld => change.old().is_none(),
            Test::HasChanged(column) => column.index(&change.table).is_some_and(|index| change.column_differs(index)),
        })
    }
}

fn one_of(needle: &Operand, literals: &[Literal]) -> Result<bool, Stop> {
    for literal in literals {
        if Relation::Equal.holds(needle, &literal.operand())? {
            return Ok(true);
        }
    }
    Ok(false)
}
