//! Filters: `row.name | upper`.
//!
//! In: the syntax tree of one filter. Out: its text for the engine, with what it reads. In templates a filter of NULL is an error,
//! unless it is one that says what becomes of NULL; in conditions it is NULL. `bytes` says which values are the bytes of a column.

use minijinja::machinery::ast::{self, CallArg, Expr};

use super::Rewritten;
use super::bytes::Purpose;
use super::words::FILTERS;
use crate::template::filters::literal_flaw;

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

impl Rewritten {
    pub(super) fn filter(&mut self, node: &ast::Spanned<ast::Filter>, may_omit: bool) {
        let purpose = if may_omit && is_default(node) { Purpose::Sent } else { Purpose::Operand };
        self.filter_giving(node, node.name, purpose);
    }

    /// `name`: that of the engine's filter. `purpose`: that of the value it is applied to.
    pub(super) fn filter_giving(&mut self, node: &ast::Spanned<ast::Filter>, name: &str, purpose: Purpose) {
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
}

pub(in crate::template) fn is_default(node: &ast::Filter) -> bool {
    ["d", "default"].contains(&node.name)
}

/// Whether the filter says itself what becomes of NULL.
pub(in crate::template) fn takes_null(node: &ast::Filter) -> bool {
    let replaces = REPLACES_WITH_ARGUMENT.contains(&node.name) && !node.args.is_empty();
    replaces || TAKES_NULL.contains(&node.name)
}
