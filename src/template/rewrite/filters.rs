//! Filters: `row.name | upper`.
//!
//! In: the syntax tree of one filter. Out: its text for the engine, with what it reads. In templates a filter of NULL is an error,
//! unless it is one that says what becomes of NULL; in conditions it is NULL. Filters that tell bytes from texts get a column's
//! bytes.

use minijinja::machinery::ast::{self, BinOpKind, CallArg, Expr};

use super::Rewritten;
use super::words::FILTERS;
use crate::template::filters::literal_flaw;
use crate::template::syntax::plain_column;

/// Filters that say themselves what becomes of NULL.
const TAKES_NULL: [&str; 5] = ["bool", "d", "default", "string", "tojson"];

/// Filters whose argument replaces what is no number, NULL included.
const REPLACES_WITH_ARGUMENT: [&str; 2] = ["float", "int"];

/// Filters of Jinja that have another name here, or none.
const JINJA_NAMES: [(&str, &str); 5] = [
    ("selectattr", "select('member')"),
    ("rejectattr", "reject('member')"),
    ("strftime", "date('%Y-%m-%d')"),
    ("b64encode", "base64"),
    ("b64decode", "unbase64"),
];

/// Filters that tell the bytes of a column from a text.
const TAKES_BYTES: [&str; 5] = ["base64", "hex", "hmac", "sha256", "uuid"];

/// What the value of a filter, or an argument that may take its place, is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It is worked on.
    Operand,
    /// It is sent as it is, unless it is `omit`.
    Sent,
    /// Its bytes count; a text may be base64.
    Bytes,
    /// As `Bytes`, where it stands in for them: a text is its bytes in UTF-8.
    BytesInstead,
}

impl Purpose {
    /// That of the replacement of such a value.
    fn instead(self) -> Purpose {
        if self == Purpose::Bytes { Purpose::BytesInstead } else { self }
    }
}

impl Rewritten {
    pub(super) fn filter(&mut self, node: &ast::Spanned<ast::Filter>, may_omit: bool) {
        let purpose = if may_omit && is_default(node) { Purpose::Sent } else { Purpose::Operand };
        self.filter_giving(node, node.name, purpose);
    }

    /// `name`: that of the engine's filter. `purpose`: that of the value it is applied to.
    fn filter_giving(&mut self, node: &ast::Spanned<ast::Filter>, name: &str, purpose: Purpose) {
        self.check_filter(node);
        let paths_before = self.paths.len();
        let purpose = if TAKES_BYTES.contains(&node.name) { Purpose::Bytes } else { purpose };
        if self.in_condition {
            self.push("_filter(");
            self.string(name);
            self.push(", ");
        } else {
            self.push("(");
        }
        let is_given = !self.in_condition && !takes_null(node);
        if is_given {
            self.push("_given(");
            self.string(node.name);
            self.push(", ");
        }
        node.expr.iter().for_each(|value| self.for_purpose(value, purpose));
        self.push(if is_given { ")" } else { "" });
        if self.in_condition {
            self.push(", ");
        } else {
            self.push("|");
            self.push(name);
            self.push("(");
        }
        match (&node.args[..], node.name) {
            ([CallArg::Pos(key)], "hmac") => self.for_purpose(key, Purpose::Bytes),
            ([CallArg::Pos(replacement), rest @ ..], _) if is_default(node) => {
                self.for_purpose(replacement, purpose.instead());
                self.push(", ");
                self.more_arguments(rest, node.span());
            }
            (args, _) => self.more_arguments(args, node.span()),
        }
        self.push(if self.in_condition { ")" } else { "))" });
        if is_default(node) {
            node.expr.iter().for_each(|inner| self.forget_path(paths_before, inner));
        }
    }

    fn for_purpose(&mut self, expr: &Expr, purpose: Purpose) {
        match purpose {
            Purpose::Operand => self.expr(expr),
            Purpose::Sent => self.part(expr, true),
            Purpose::Bytes | Purpose::BytesInstead => self.bytes(expr, purpose),
        }
    }

    fn check_filter(&mut self, node: &ast::Spanned<ast::Filter>) {
        if let Some((_, instead)) = JINJA_NAMES.iter().find(|(name, _)| *name == node.name) {
            return self.flaw(node.span(), format!("unknown filter `{}`; write `{instead}`", node.name));
        }
        self.check_word("filter", node.name, &FILTERS, &node.args, node.span());
        for (index, argument) in node.args.iter().enumerate() {
            if let CallArg::Pos(Expr::Const(literal)) = argument
                && let Some(message) = literal_flaw(node.name, index, &literal.value)
            {
                self.flaw(literal.span(), message);
            }
        }
    }

    /// A value in which the bytes of a column are not yet base64; a value of any other kind as it is.
    fn bytes(&mut self, expr: &Expr, purpose: Purpose) {
        match expr {
            Expr::Filter(node) if node.name == "unhex" => self.filter_giving(node, "_unhex", Purpose::Operand),
            Expr::Filter(node) if node.name == "unbase64" => self.filter_giving(node, "_unbase64", Purpose::Operand),
            Expr::Filter(node) if is_default(node) => self.filter_giving(node, node.name, purpose),
            Expr::IfExpr(node) => {
                self.push("(");
                self.bytes(&node.true_expr, of_branch(&node.true_expr, purpose));
                self.push(" if ");
                self.expr(&node.test_expr);
                if let Some(other) = &node.false_expr {
                    self.push(" else ");
                    self.bytes(other, of_branch(other, purpose));
                }
                self.push(")");
            }
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScOr) => {
                self.push("(");
                self.bytes(&node.left, purpose);
                self.push(" or ");
                self.bytes(&node.right, purpose.instead());
                self.push(")");
            }
            other => {
                let is_instead = purpose == Purpose::BytesInstead;
                self.push(if is_instead { "_bytes(" } else { "" });
                let begin = self.text.len();
                self.expr(other);
                if let Some((side, name)) = plain_column(other) {
                    self.text.truncate(begin);
                    self.push(if side == "old" { "_bytes_old[" } else { "_bytes_row[" });
                    self.string(name);
                    self.push("]");
                }
                self.push(if is_instead { ")" } else { "" });
            }
        }
    }
}

/// Of `a if … else b`, a literal stands in for the other side.
fn of_branch(branch: &Expr, purpose: Purpose) -> Purpose {
    if matches!(branch, Expr::Const(_)) { purpose.instead() } else { purpose }
}

fn is_default(node: &ast::Filter) -> bool {
    ["d", "default"].contains(&node.name)
}

fn takes_null(node: &ast::Filter) -> bool {
    let replaces = REPLACES_WITH_ARGUMENT.contains(&node.name) && !node.args.is_empty();
    replaces || TAKES_NULL.contains(&node.name)
}
