//! `and`, `or`, `not` and `if` of a condition, with SQL's three values.
//!
//! In: the syntax tree of a `when:`; then changes. Out: true, false, or none for "unknown", which is what a comparison with NULL is. Reads
//! from left to right and no further than needed, for errors depend on it. Each comparison is a [`Leaf`], decided without the
//! interpreter where it is plain and the row allows it.

use std::sync::Arc;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};

use super::EnvLookup;
use super::compiled::{Stop, Term, Test};
use super::error::{Error, Flaw, place_of};
use super::expression::Expression;
use super::nulls;
use super::relation::Relation;
use super::rewrite::{self, Rewritten};
use super::scope::Scope;
use super::syntax::{Operator, TemplateLink, binary_operator_of, is_none_literal, operator_named, operator_of};
use crate::change::{Change, Op};
use crate::suggest::did_you_mean;

#[derive(Debug)]
pub(super) enum Logic {
    And(Box<[Logic; 2]>),
    Or(Box<[Logic; 2]>),
    Not(Box<Logic>),
    /// Condition, then, else.
    If(Box<[Logic; 3]>),
    Leaf(Box<Leaf>),
}

/// One comparison, test or value.
#[derive(Debug)]
pub(super) struct Leaf {
    pub test: Option<Test>,
    expression: Expression,
    /// Line and column; first within the condition's text, later in the file.
    pub at: (usize, usize),
}

/// What a condition is asked about.
pub(super) enum Subject<'s> {
    /// A change of which no delivery exists yet, and the rule's name.
    Change(&'s Arc<Change>, &'s Arc<str>),
    /// The same, decided by the interpreter alone.
    #[cfg(test)]
    Interpreted(&'s Arc<Change>, &'s Arc<str>),
    Scope(&'s Scope),
}

impl Subject<'_> {
    fn scope(&self) -> Scope {
        match self {
            Subject::Change(change, rule) => Scope::before_delivery(change, rule),
            #[cfg(test)]
            Subject::Interpreted(change, rule) => Scope::before_delivery(change, rule),
            Subject::Scope(scope) => (*scope).clone(),
        }
    }

    /// The change, for what needs no interpreter.
    fn change(&self) -> Option<&Change> {
        match self {
            Subject::Change(change, _) => Some(change),
            #[cfg(test)]
            Subject::Interpreted(..) => None,
            Subject::Scope(scope) => Some(scope.change()),
        }
    }
}

impl Logic {
    /// Whether it holds; none for "unknown".
    pub fn decide(&self, subject: &Subject) -> Result<Option<bool>, Error> {
        Ok(match self {
            Logic::And(both) => match both[0].decide(subject)? {
                Some(false) => Some(false),
                left => and(left, both[1].decide(subject)?),
            },
            Logic::Or(both) => match both[0].decide(subject)? {
                Some(true) => Some(true),
                left => and(left.map(|truth| !truth), both[1].decide(subject)?.map(|truth| !truth)).map(|truth| !truth),
            },
            Logic::Not(inner) => inner.decide(subject)?.map(|truth| !truth),
            Logic::If(parts) => {
                let chosen = if parts[0].decide(subject)? == Some(true) { 1 } else { 2 };
                parts[chosen].decide(subject)?
            }
            Logic::Leaf(leaf) => leaf.decide(subject)?,
        })
    }

    /// What `and` joins, from left to right.
    pub fn joined(&self) -> Vec<&Logic> {
        match self {
            Logic::And(both) => both.iter().flat_map(Logic::joined).collect(),
            other => vec![other],
        }
    }

    pub fn each_leaf<'l>(&'l self, visit: &mut dyn FnMut(&'l Leaf)) {
        match self {
            Logic::And(parts) | Logic::Or(parts) => parts.iter().for_each(|part| part.each_leaf(visit)),
            Logic::If(parts) => parts.iter().for_each(|part| part.each_leaf(visit)),
            Logic::Not(inner) => inner.each_leaf(visit),
            Logic::Leaf(leaf) => visit(leaf),
        }
    }

    pub fn each_leaf_mut(&mut self, visit: &mut dyn FnMut(&mut Leaf)) {
        match self {
            Logic::And(parts) | Logic::Or(parts) => parts.iter_mut().for_each(|part| part.each_leaf_mut(visit)),
            Logic::If(parts) => parts.iter_mut().for_each(|part| part.each_leaf_mut(visit)),
            Logic::Not(inner) => inner.each_leaf_mut(visit),
            Logic::Leaf(leaf) => visit(leaf),
        }
    }
}

/// SQL's AND.
pub(super) fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

impl Leaf {
    #[inline]
    fn decide(&self, subject: &Subject) -> Result<Option<bool>, Error> {
        if let (Some(test), Some(change)) = (&self.test, subject.change()) {
            match test.decide(change) {
                Ok(answer) => return Ok(answer),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Ask) => {}
            }
        }
        let value = self.expression.evaluate(&subject.scope())?;
        match subject {
            // Of what an API answers `"false"`, `[]` and `{"error": …}` are no yes.
            Subject::Scope(_) => nulls::strict_truth_of(&value),
            _ => Ok((!value.is_none()).then(|| value.is_true())),
        }
    }
}

/// Makes a [`Logic`] of a syntax tree, and gathers what its leaves read.
pub(super) struct Builder<'b> {
    pub source: &'b str,
    pub env: EnvLookup<'b>,
    /// Without their texts.
    pub reads: Vec<Rewritten>,
    pub flaws: Vec<Flaw>,
}

impl Builder<'_> {
    /// None when there are flaws.
    pub fn logic(&mut self, expr: &Expr) -> Option<Logic> {
        match expr {
            Expr::UnaryOp(node) if matches!(node.op, UnaryOpKind::Not) => {
                Some(Logic::Not(Box::new(self.logic(&node.expr)?)))
            }
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScAnd) => {
                self.both(&node.left, &node.right).map(Logic::And)
            }
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScOr) => {
                self.both(&node.left, &node.right).map(Logic::Or)
            }
            Expr::BinOp(node) => match binary_operator_of(node.op) {
                Some(operator) => self.link(TemplateLink { left: &node.left, operator, right: &node.right }, false),
                None => self.leaf(expr),
            },
            Expr::Compare(node) => {
                let lefts = std::iter::once(&node.expr).chain(node.ops.iter().map(|op| &op.expr));
                let mut all: Option<Logic> = None;
                for (left, op) in lefts.zip(&node.ops) {
                    let is_negated = matches!(op.op, CompareOpKind::NotIn);
                    let link = TemplateLink { left, operator: operator_of(op.op), right: &op.expr };
                    let link = self.link(link, is_negated)?;
                    all = Some(match all {
                        Some(before) => Logic::And(Box::new([before, link])),
                        None => link,
                    });
                }
                all
            }
            Expr::Test(node) => match (operator_named(node.name), &node.args[..]) {
                (Some(operator), [CallArg::Pos(right)]) => {
                    self.link(TemplateLink { left: &node.expr, operator, right }, false)
                }
                _ => self.leaf(expr),
            },
            Expr::IfExpr(node) if node.false_expr.is_some() => {
                let (then, test) = (self.logic(&node.true_expr), self.logic(&node.test_expr));
                let other = node.false_expr.as_ref().and_then(|other| self.logic(other));
                Some(Logic::If(Box::new([test?, then?, other?])))
            }
            other => self.leaf(other),
        }
    }

    fn both(&mut self, left: &Expr, right: &Expr) -> Option<Box<[Logic; 2]>> {
        // Both first: each may have flaws to report.
        let (left, right) = (self.logic(left), self.logic(right));
        Some(Box::new([left?, right?]))
    }

    fn link(&mut self, link: TemplateLink, is_negated: bool) -> Option<Logic> {
        self.misread(&link);
        let is_none_test = is_none_literal(link.right) || is_none_literal(link.left);
        if let (true, Operator::Is(relation)) = (is_none_test, link.operator)
            && relation.orders()
        {
            let message = format!("`{}` with none never holds; write `is none`", relation.as_str());
            self.flaw(link.right.span(), message);
        }
        let is_not_none = link.operator == Operator::Is(Relation::Unequal) && is_none_test;
        let link = if is_not_none { TemplateLink { operator: Operator::Is(Relation::Equal), ..link } } else { link };
        let test = Test::of_link(link, self.source);
        self.impossible(&test, link.left.span());
        let leaf = self.finish(rewrite::condition_link(link, self.source), test, link.left.span())?;
        Some(if is_not_none || is_negated { Logic::Not(Box::new(leaf)) } else { leaf })
    }

    fn leaf(&mut self, expr: &Expr) -> Option<Logic> {
        if is_text(expr) {
            let message =
                "a text by itself is no condition; compare it, or write all texts as a list: `in ['paid', 'new']`";
            self.flaw(expr.span(), message.to_string());
        }
        let test = Test::of(expr, self.source);
        self.finish(rewrite::condition(expr, self.source), test, expr.span())
    }

    fn finish(&mut self, mut rewritten: Rewritten, test: Option<Test>, span: Span) -> Option<Logic> {
        self.reads.push(rewritten.take_reads());
        let expression = Expression::new(rewritten, self.source, self.env, &mut self.flaws)?;
        Some(Logic::Leaf(Box::new(Leaf { test, expression, at: place_of(span) })))
    }

    /// What means another thing than its author believes.
    fn misread(&mut self, link: &TemplateLink) {
        let TemplateLink { left, operator, right } = *link;
        if operator == Operator::In && is_text(right) {
            let message = "`in` with a text looks for a piece of that text; write a list: `in ['paid']`";
            self.flaw(right.span(), message.to_string());
        }
        for (status, other) in [(left, right), (right, left)] {
            if is_status(status) && holds_text(other) {
                let message = "a status is a number; write it without quotes, as in `== 200`";
                self.flaw(other.span(), message.to_string());
            }
        }
    }

    /// `op == 'inserted'` is not true of any change.
    fn impossible(&mut self, test: &Option<Test>, span: Span) {
        let literals: Vec<_> = match test {
            Some(Test::Compare(Term::Op, relation, Term::Literal(literal)))
            | Some(Test::Compare(Term::Literal(literal), relation, Term::Op))
                if !relation.orders() =>
            {
                vec![literal]
            }
            Some(Test::OneOf(Term::Op, literals, _)) => literals.iter().collect(),
            _ => return,
        };
        for literal in literals {
            let text = literal.text().unwrap_or_default();
            if Op::parse(text).is_none() {
                let hint = did_you_mean(text, ["insert", "update", "delete", "truncate"]);
                self.flaw(span, format!("`op` is never this{hint}; it is 'insert', 'update', 'delete' or 'truncate'"));
            }
        }
    }

    fn flaw(&mut self, span: Span, message: String) {
        self.flaws.push(Flaw::at(span, message));
    }
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(constant) if constant.value.as_str().is_some())
}

/// A text, or a list with one in it.
fn holds_text(expr: &Expr) -> bool {
    match expr {
        Expr::List(list) => list.items.iter().any(is_text),
        Expr::Tuple(tuple) => tuple.items.iter().any(is_text),
        other => is_text(other),
    }
}

/// `answer.status` or `steps.NAME.status`.
fn is_status(expr: &Expr) -> bool {
    let Some(("status", of)) = member(expr) else { return false };
    let is_step = member(of).is_some_and(|(_, steps)| matches!(steps, Expr::Var(var) if var.id == "steps"));
    is_step || matches!(of, Expr::Var(var) if var.id == "answer")
}

/// The name of a member, and of what.
fn member<'e>(expr: &'e Expr) -> Option<(&'e str, &'e Expr<'e>)> {
    match expr {
        Expr::GetAttr(node) => Some((node.name, &node.expr)),
        Expr::GetItem(node) => match &node.subscript_expr {
            Expr::Const(name) => Some((name.value.as_str()?, &node.expr)),
            _ => None,
        },
        _ => None,
    }
}
