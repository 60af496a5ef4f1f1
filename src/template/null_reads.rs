//! Columns whose NULL no text can be made of, found before the first row comes.
//!
//! In: the syntax tree of a template. Out: each column by whose NULL, whatever else the row holds, rendering fails: written as it is,
//! behind a filter, beside an operator, above a member. What is guarded (`or`, `if … else`, `default(…, true)`, an
//! `if` of the template) is none; nor is, so that there is no false alarm, what other values decide.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{self, BinOpKind, CallArg, Expr, Stmt, UnaryOpKind};

use super::error::{ColumnUse, place_of};
use super::rewrite::{is_default, takes_null};
use super::syntax::{Operator, binary_operator_of, plain_column};

/// A column by whose NULL a template can't be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NullRead {
    pub used: ColumnUse,
    /// It is that of the old row.
    pub is_old: bool,
    /// NULL is the whole value of an expression, which JSON can hold.
    pub is_value: bool,
}

/// What a NULL does to an expression: columns for each consequence.
#[derive(Default)]
struct OnNull {
    /// It can't be evaluated.
    fails: Vec<NullRead>,
    /// Its value is none.
    none: Vec<NullRead>,
    /// Its value is undefined.
    undefined: Vec<NullRead>,
}

/// The columns by whose NULL these statements can't be rendered as a text, in the order of the text.
pub(super) fn of_template(children: &[Stmt]) -> Vec<NullRead> {
    let mut reads: Vec<NullRead> = children.iter().flat_map(of_statement).collect();
    reads.sort_by_key(|read| (read.used.line, read.used.column));
    reads
}

/// The columns of the old row that these statements always read, whatever the row holds: nothing guards them where there is no old row.
pub(super) fn old_reads_of_template(children: &[Stmt]) -> Vec<ColumnUse> {
    children.iter().flat_map(old_reads_of_statement).collect()
}

fn old_reads_of_statement(statement: &Stmt) -> Vec<ColumnUse> {
    match statement {
        Stmt::EmitExpr(emit) => old_reads(&emit.expr),
        Stmt::IfCond(node) => old_reads(&node.expr),
        Stmt::ForLoop(node) => old_reads(&node.iter),
        Stmt::Set(node) => old_reads(&node.expr),
        _ => Vec::new(),
    }
}

fn old_reads(expr: &Expr) -> Vec<ColumnUse> {
    if let Some((side, name)) = plain_column(expr) {
        return if side == "old" { vec![read(side, name, expr.span()).used] } else { Vec::new() };
    }
    let of_all = |exprs: &[&Expr]| exprs.iter().flat_map(|expr| old_reads(expr)).collect();
    match expr {
        Expr::GetAttr(node) => old_reads(&node.expr),
        Expr::GetItem(node) => of_all(&[&node.expr, &node.subscript_expr]),
        Expr::Slice(node) => old_reads(&node.expr),
        Expr::UnaryOp(node) => old_reads(&node.expr),
        // The other side may not be evaluated.
        Expr::BinOp(node) if matches!(node.op, BinOpKind::ScOr | BinOpKind::ScAnd) => old_reads(&node.left),
        Expr::BinOp(node) => of_all(&[&node.left, &node.right]),
        // Nor may a branch.
        Expr::IfExpr(node) => old_reads(&node.test_expr),
        Expr::Filter(node) => node.expr.iter().chain(positional(&node.args)).flat_map(old_reads).collect(),
        Expr::List(node) => node.items.iter().flat_map(old_reads).collect(),
        _ => Vec::new(),
    }
}

fn of_statement(statement: &Stmt) -> Vec<NullRead> {
    match statement {
        Stmt::EmitExpr(emit) => {
            let OnNull { fails, none, undefined } = of(&emit.expr);
            let written = none.into_iter().map(|read| NullRead { is_value: true, ..read });
            fails.into_iter().chain(written).chain(undefined).collect()
        }
        Stmt::IfCond(node) => {
            let [then, other] = [&node.true_body, &node.false_body].map(|body| of_template(body));
            [needed(of(&node.expr)).fails, both(then, &other)].concat()
        }
        // There are no rounds over NULL.
        Stmt::ForLoop(node) => needed(of(&node.iter)).fails,
        Stmt::Set(node) => of(&node.expr).fails,
        _ => Vec::new(),
    }
}

fn of(expr: &Expr) -> OnNull {
    if let Some((side, name)) = plain_column(expr) {
        return OnNull { none: vec![read(side, name, expr.span())], ..OnNull::default() };
    }
    match expr {
        Expr::Var(_) | Expr::Const(_) => OnNull::default(),
        Expr::GetAttr(node) => member(&node.expr),
        Expr::GetItem(node) => {
            let OnNull { mut fails, none, undefined } = member(&node.expr);
            fails.extend(of(&node.subscript_expr).fails);
            OnNull { fails, none, undefined }
        }
        Expr::Slice(node) => {
            let bounds = [&node.start, &node.stop, &node.step].into_iter().flatten();
            let mut value = operand(of(&node.expr));
            value.fails.extend(all(bounds).fails);
            value
        }
        Expr::UnaryOp(node) => match node.op {
            UnaryOpKind::Not => truth(of(&node.expr)),
            UnaryOpKind::Neg => operand(of(&node.expr)),
        },
        Expr::BinOp(node) => binary(node),
        Expr::Compare(node) => all(std::iter::once(&node.expr).chain(node.ops.iter().map(|op| &op.expr))),
        Expr::IfExpr(node) => {
            let test = truth(of(&node.test_expr));
            let Some(other) = &node.false_expr else { return test };
            let (then, other) = (of(&node.true_expr), of(other));
            OnNull {
                fails: [test.fails, both(then.fails, &other.fails)].concat(),
                none: both(then.none, &other.none),
                undefined: both(then.undefined, &other.undefined),
            }
        }
        Expr::Filter(node) => filter(node),
        Expr::Test(node) => all(std::iter::once(&node.expr).chain(positional(&node.args))),
        Expr::Call(node) => all(positional(&node.args)),
        Expr::List(node) => all(node.items.iter()),
        Expr::Tuple(node) => all(node.items.iter()),
        Expr::Map(node) => all(node.keys.iter().chain(&node.values)),
    }
}

fn binary(node: &ast::BinOp) -> OnNull {
    if let Some(Operator::In) = binary_operator_of(node.op) {
        return all([&node.left, &node.right].into_iter());
    }
    let (left, right) = (of(&node.left), of(&node.right));
    match node.op {
        // NULL counts as false.
        BinOpKind::ScOr => {
            let OnNull { fails, none, .. } = needed(left);
            OnNull {
                fails: [fails, both(right.fails, &none)].concat(),
                none: both(right.none, &none),
                undefined: both(right.undefined, &none),
            }
        }
        BinOpKind::ScAnd => needed(left),
        BinOpKind::Eq | BinOpKind::Ne => {
            let fails = [needed(left).fails, needed(right).fails].concat();
            OnNull { fails, ..OnNull::default() }
        }
        _ => OnNull { fails: [operand(left).fails, operand(right).fails].concat(), ..OnNull::default() },
    }
}

fn filter(node: &ast::Filter) -> OnNull {
    let value = node.expr.as_ref().map(of).unwrap_or_default();
    let mut on_null = match node.name {
        "string" => operand(value),
        // A second argument makes it replace what counts as false, too.
        _ if is_default(node) && node.args.len() < 2 => {
            OnNull { fails: value.fails, none: value.none, undefined: vec![] }
        }
        _ if takes_null(node) => OnNull { fails: value.fails, ..OnNull::default() },
        _ => operand(value),
    };
    on_null.fails.extend(all(positional(&node.args)).fails);
    on_null
}

/// A member of NULL is undefined, and one of what is undefined an error.
fn member(expr: &Expr) -> OnNull {
    let OnNull { fails, none, .. } = needed(of(expr));
    OnNull { fails, none: vec![], undefined: none }
}

/// What is asked for its truth, or for a member: it must be defined.
fn needed(OnNull { mut fails, none, undefined }: OnNull) -> OnNull {
    fails.extend(undefined);
    OnNull { fails, none, undefined: vec![] }
}

/// What is only asked whether it counts as true, as NULL does not.
fn truth(value: OnNull) -> OnNull {
    OnNull { fails: needed(value).fails, ..OnNull::default() }
}

/// What an operator or a filter works on.
fn operand(value: OnNull) -> OnNull {
    let OnNull { mut fails, none, .. } = needed(value);
    fails.extend(none);
    OnNull { fails, ..OnNull::default() }
}

/// Each of them is evaluated; what becomes of its value is not known.
fn all<'e, 's: 'e>(exprs: impl Iterator<Item = &'e Expr<'s>>) -> OnNull {
    OnNull { fails: exprs.flat_map(|expr| of(expr).fails).collect(), ..OnNull::default() }
}

fn positional<'e, 's>(args: &'e [CallArg<'s>]) -> impl Iterator<Item = &'e Expr<'s>> {
    args.iter().filter_map(|arg| match arg {
        CallArg::Pos(expr) => Some(expr),
        _ => None,
    })
}

/// Those of `reads` whose column is among `others`, too.
fn both(mut reads: Vec<NullRead>, others: &[NullRead]) -> Vec<NullRead> {
    let is_same = |a: &NullRead, b: &NullRead| (a.is_old, &a.used.name) == (b.is_old, &b.used.name);
    reads.retain(|read| others.iter().any(|other| is_same(read, other)));
    reads
}

fn read(side: &str, name: &str, span: Span) -> NullRead {
    let (line, column) = place_of(span);
    let used = ColumnUse { name: name.to_string(), line, column, may_lack: false };
    NullRead { used, is_old: side == "old", is_value: false }
}
