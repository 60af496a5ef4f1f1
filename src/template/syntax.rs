//! What single nodes of a syntax tree say: which column, which comparison, which literal.
//!
//! In: expressions as the engine's parser gives them. Out: the same in the words that `rewrite`, comparisons without the interpreter
//! (`compiled`) and literals (`operand`) share, so that they can't read one node in different ways.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOpKind, CompareOpKind, Expr};
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::relation::Relation;

/// Decimal digits that every double keeps.
const DOUBLE_DIGITS: usize = 15;

/// One comparison, as `when:` may link several: `a < b < c`.
#[derive(Clone, Copy)]
pub(super) struct TemplateLink<'e, 's> {
    pub left: &'e Expr<'s>,
    pub operator: Operator,
    pub right: &'e Expr<'s>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Is(Relation),
    In,
}

/// The operator of a comparison as it is written; `in` for `not in`, too.
pub(super) fn operator_of(kind: CompareOpKind) -> Operator {
    Operator::Is(match kind {
        CompareOpKind::Eq => Relation::Equal,
        CompareOpKind::Ne => Relation::Unequal,
        CompareOpKind::Lt => Relation::Less,
        CompareOpKind::Lte => Relation::AtMost,
        CompareOpKind::Gt => Relation::Greater,
        CompareOpKind::Gte => Relation::AtLeast,
        CompareOpKind::In | CompareOpKind::NotIn => return Operator::In,
    })
}

/// The same for the other form in which the parser gives a single comparison.
pub(super) fn binary_operator_of(kind: BinOpKind) -> Option<Operator> {
    Some(Operator::Is(match kind {
        BinOpKind::Eq => Relation::Equal,
        BinOpKind::Ne => Relation::Unequal,
        BinOpKind::Lt => Relation::Less,
        BinOpKind::Lte => Relation::AtMost,
        BinOpKind::Gt => Relation::Greater,
        BinOpKind::Gte => Relation::AtLeast,
        BinOpKind::In => return Some(Operator::In),
        _ => return None,
    }))
}

pub(super) fn is_none_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(constant) if constant.value.is_none())
}

/// The operator that a test is another name of: `is eq`, `is lessthan`, `is in`.
pub(super) fn operator_named(test: &str) -> Option<Operator> {
    Some(Operator::Is(match test {
        "eq" | "equalto" | "==" => Relation::Equal,
        "ne" | "!=" => Relation::Unequal,
        "lt" | "lessthan" | "<" => Relation::Less,
        "le" | "<=" => Relation::AtMost,
        "gt" | "greaterthan" | ">" => Relation::Greater,
        "ge" | ">=" => Relation::AtLeast,
        "in" => return Some(Operator::In),
        _ => return None,
    }))
}

/// The column name when the expression is nothing but `row.column` or `old.column`.
pub(super) fn plain_column<'e>(expr: &'e Expr) -> Option<(&'e str, &'e str)> {
    match expr {
        Expr::GetAttr(node) => match &node.expr {
            Expr::Var(var) if ["row", "old"].contains(&var.id) => Some((var.id, node.name)),
            _ => None,
        },
        Expr::GetItem(node) => match (&node.expr, &node.subscript_expr) {
            (Expr::Var(var), Expr::Const(name)) if ["row", "old"].contains(&var.id) => {
                Some((var.id, name.value.as_str()?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The literal as written, where it has more digits than a double holds: the tree has it as a double already.
pub(super) fn digits_beyond_doubles(value: &minijinja::Value, span: Span, source: &str) -> Option<String> {
    let written = source.get(span.start_offset as usize..span.end_offset as usize)?;
    let digits = written.bytes().filter(u8::is_ascii_digit).count();
    // With an exponent it is a double, as in SQL.
    let is_exact = written.contains('.') && !written.contains(['e', 'E']);
    let beyond = value.is_number() && digits > DOUBLE_DIGITS && is_exact;
    beyond.then(|| written.replace('_', ""))
}

/// The texts between the `and`s that stand in no parentheses, from left to right.
pub(super) fn joined(source: &str) -> Vec<&str> {
    let (mut texts, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (token, span) in tokenize(source, true, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth -= 1,
            Token::Ident("and") if depth == 0 => {
                texts.push(source.get(begin..span.start_offset as usize).unwrap_or(source).trim());
                begin = span.end_offset as usize;
            }
            _ => {}
        }
    }
    texts.push(source.get(begin..).unwrap_or(source).trim());
    texts
}
