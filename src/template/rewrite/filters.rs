//! Filters: `row.name | upper`.
//!
//! In: the syntax tree of one filter. Out: its text for the engine, with what it reads. In templates a filter of NULL is an error,
//! unless it is one that says what becomes of NULL; in conditions it is NULL, which is for `conditions`.

use minijinja::machinery::ast;

use super::Rewritten;
use super::words::FILTERS;

/// Filters that say themselves what becomes of NULL.
const TAKES_NULL: [&str; 5] = ["bool", "d", "default", "string", "tojson"];

/// Filters whose argument replaces what is no number, NULL included.
const REPLACES_WITH_ARGUMENT: [&str; 2] = ["float", "int"];

impl Rewritten {
    pub(super) fn filter(&mut self, node: &ast::Spanned<ast::Filter>) {
        self.check_word("filter", node.name, &FILTERS, &node.args, node.span());
        let paths_before = self.paths.len();
        if self.in_condition {
            self.filter_of_null(node);
        } else {
            self.plain_filter(node);
        }
        if ["d", "default"].contains(&node.name) {
            node.expr.iter().for_each(|inner| self.forget_path(paths_before, inner));
        }
    }

    fn plain_filter(&mut self, node: &ast::Spanned<ast::Filter>) {
        let replaces = REPLACES_WITH_ARGUMENT.contains(&node.name) && !node.args.is_empty();
        let takes_null = replaces || TAKES_NULL.contains(&node.name);
        self.push("(");
        if !takes_null {
            self.push("_given(");
            self.string(node.name);
            self.push(", ");
        }
        node.expr.iter().for_each(|expr| self.expr(expr));
        self.push(if takes_null { "|" } else { ")|" });
        self.push(node.name);
        self.arguments(&node.args, node.span());
        self.push(")");
    }
}
