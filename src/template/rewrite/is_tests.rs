//! Tests: `row.a is none`, `row.a is defined`, `row.a is in [1, 2]`.
//!
//! In: the syntax tree of one test. Out: its text for the engine, with what it reads. In conditions NULL makes the answer of some
//! tests unknown: those are for `conditions`.

use minijinja::machinery::Span;
use minijinja::machinery::ast::{self, CallArg, Expr};

use super::Rewritten;
use super::conditions;
use super::words::TESTS;
use crate::template::syntax::{TemplateLink, operator_named, plain_column};

impl Rewritten {
    pub(super) fn test(&mut self, node: &ast::Spanned<ast::Test>) {
        if let (Some(operator), [CallArg::Pos(right)]) = (operator_named(node.name), &node.args[..]) {
            if self.in_condition {
                return self.link(TemplateLink { left: &node.expr, operator, right });
            }
            self.wrap(&conditions::function_of_values(operator), &node.expr, ", ");
            return self.wrap("", right, ")");
        }
        self.check_word("test", node.name, &TESTS, &node.args, node.span());
        if self.in_condition && conditions::TESTS_OF_TEXT.contains(&node.name) {
            return self.test_of_null(node);
        }
        if let (Some((side, name)), "defined" | "undefined", []) = (plain_column(&node.expr), node.name, &node.args[..])
            && !self.is_local(side)
        {
            return self.asks_for_column(side, name, node.name, node.expr.span());
        }
        let (reads_all_columns, paths_before) = (self.reads_all_columns, self.paths.len());
        // What is undefined is neither NULL nor not.
        let is_of_null = self.in_condition && node.name == "none";
        self.push(if is_of_null { "_is_none(" } else { "(" });
        self.expr(&node.expr);
        if ["defined", "undefined"].contains(&node.name) {
            self.forget_path(paths_before, &node.expr);
        }
        if matches!((&node.expr, node.name), (Expr::Var(_), "none" | "defined" | "undefined")) {
            // `old is none` asks for the `op` and reads no column.
            self.reads_all_columns = reads_all_columns;
        }
        if !is_of_null {
            self.push(" is ");
            self.push(node.name);
            self.arguments(&node.args, node.span());
        }
        self.push(")");
    }

    /// `row.x is defined`: false, and no error, where the table has no such column. What else this template reads of the
    /// column is no mistake then.
    fn asks_for_column(&mut self, side: &str, name: &str, test: &str, span: Span) {
        self.asked_for.push(name.to_string());
        self.columns.iter_mut().filter(|column| column.name == name).for_each(|column| column.may_lack = true);
        self.read(side, span);
        self.column(name, span);
        self.push(if side == "old" { "(_any_old[" } else { "(_any_row[" });
        self.string(name);
        self.push("] is ");
        self.push(test);
        self.push(")");
    }
}
