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
const TAKES_BYTES: [&str; 3] = ["base64", "hmac", "sha256"];

impl Rewritten {
    pub(super) fn filter(&mut self, node: &ast::Spanned<ast::Filter>) {
        self.filter_giving(node, node.name, Self::expr);
    }

    /// `name`: that of the engine's filter. `value`: writes what it is applied to.
    fn filter_giving(
        &mut self,
        node: &ast::Spanned<ast::Filter>,
        name: &str,
        value: impl FnOnce(&mut Rewritten, &Expr),
    ) {
        self.check_filter(node);
        let paths_before = self.paths.len();
        let takes_bytes = TAKES_BYTES.contains(&node.name);
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
        match &node.expr {
            Some(inner) if takes_bytes => self.bytes(inner),
            Some(inner) => value(self, inner),
            None => {}
        }
        self.push(if is_given { ")" } else { "" });
        if self.in_condition {
            self.push(", ");
        } else {
            self.push("|");
            self.push(name);
            self.push("(");
        }
        match &node.args[..] {
            [CallArg::Pos(key)] if takes_bytes => self.bytes(key),
            args => self.more_arguments(args, node.span()),
        }
        self.push(if self.in_condition { ")" } else { "))" });
        if ["d", "default"].contains(&node.name) {
            node.expr.iter().for_each(|inner| self.forget_path(paths_before, inner));
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
    fn bytes(&mut self, expr: &Expr) {
        match expr {
            Expr::Filter(node) if node.name == "unhex" => self.filter_giving(node, "_unhex", Self::expr),
            Expr::Filter(node) if node.name == "unbase64" => self.filter_giving(node, "_unbase64", Self::expr),
            Expr::Filter(node) if ["d", "default"].contains(&node.name) => {
                self.filter_giving(node, node.name, Self::bytes);
            }
            Expr::IfExpr(node) => {
                self.push("(");
                self.bytes(&node.true_expr);
                self.push(" if ");
                self.expr(&node.test_expr);
                if let Some(other) = &node.false_expr {
                    self.push(" else ");
                    self.bytes(other);
                }
                self.push(")");
            }
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScOr) => {
                self.push("(");
                self.bytes(&node.left);
                self.push(" or ");
                self.bytes(&node.right);
                self.push(")");
            }
            other => {
                let begin = self.text.len();
                self.expr(other);
                if let Some((image, name)) = plain_column(other) {
                    self.text.truncate(begin);
                    self.push(if image == "old" { "_bytes_old[" } else { "_bytes_row[" });
                    self.string(name);
                    self.push("]");
                }
            }
        }
    }
}

fn takes_null(node: &ast::Filter) -> bool {
    let replaces = REPLACES_WITH_ARGUMENT.contains(&node.name) && !node.args.is_empty();
    replaces || TAKES_NULL.contains(&node.name)
}
