//! Statements of a template: `if`, `for` and `set`, and nothing else of what Jinja offers.
//!
//! In: the children of a parsed template. Out: their text, rewritten. Literal text becomes a string expression, so that
//! nothing in it is read as syntax a second time; whitespace control has been applied by the parser before.

use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::machinery::{Span, ast};

use super::Rewritten;
use super::words::NAMES;

/// Rewrites a whole template with its statements.
/// `is_escaped`: the engine escapes values, and the text of the rule must stay as it is.
pub(in crate::template) fn template(children: &[Stmt], source: &str, is_escaped: bool) -> Rewritten {
    let mut rewritten = Rewritten { source: source.to_string(), is_escaped, ..Rewritten::default() };
    rewritten.collect_locals(children);
    rewritten.body(children);
    rewritten
}

impl Rewritten {
    fn collect_locals(&mut self, children: &[Stmt]) {
        for child in children {
            match child {
                Stmt::ForLoop(node) => {
                    self.locals.push("loop".to_string());
                    self.assign(&node.target);
                    self.collect_locals(&node.body);
                    self.collect_locals(&node.else_body);
                }
                Stmt::IfCond(node) => {
                    self.collect_locals(&node.true_body);
                    self.collect_locals(&node.false_body);
                }
                Stmt::Set(node) => self.assign(&node.target),
                _ => {}
            }
        }
    }

    fn assign(&mut self, target: &Expr) {
        match target {
            Expr::Var(var) if NAMES.contains(&var.id) || var.id.starts_with('_') => {
                self.flaw(var.span(), format!("`{}` is taken; choose another name", var.id));
            }
            Expr::Var(var) => self.locals.push(var.id.to_string()),
            Expr::List(list) => list.items.iter().for_each(|item| self.assign(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.assign(item)),
            other => self.flaw(other.span(), "only plain names can be set"),
        }
    }

    fn body(&mut self, children: &[Stmt]) {
        for child in children {
            self.stmt(child);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            // As an expression, so that nothing in it is read as syntax again.
            Stmt::EmitRaw(node) => {
                self.push("{{ ");
                self.string(node.raw);
                self.push(if self.is_escaped { " | safe }}" } else { " }}" });
            }
            Stmt::EmitExpr(node) => {
                self.push("{{ ");
                self.expr(&node.expr);
                self.push(" }}");
            }
            Stmt::IfCond(node) => {
                self.tag("if ", &node.expr);
                self.push(" %}");
                self.body(&node.true_body);
                self.push("{% else %}");
                self.body(&node.false_body);
                self.push("{% endif %}");
            }
            Stmt::ForLoop(node) => self.for_loop(node),
            Stmt::Set(node) => {
                self.tag("set ", &node.target);
                self.push(" = ");
                self.expr(&node.expr);
                self.push(" %}");
            }
            other => match span_of(other) {
                Some(span) => self.flaw(span, "only `if`, `for` and `set` are available in rules"),
                None => self.flaw(Span::default(), "only `if`, `for` and `set` are available in rules"),
            },
        }
    }

    fn for_loop(&mut self, node: &ast::ForLoop) {
        self.tag("for ", &node.target);
        self.push(" in ");
        self.expr(&node.iter);
        if let Some(filter) = &node.filter_expr {
            self.push(" if ");
            self.expr(filter);
        }
        self.push(" %}");
        self.body(&node.body);
        self.push("{% else %}");
        self.body(&node.else_body);
        self.push("{% endfor %}");
    }

    fn tag(&mut self, word: &str, expr: &Expr) {
        self.push("{% ");
        self.push(word);
        self.expr(expr);
    }
}

fn span_of(stmt: &Stmt) -> Option<Span> {
    Some(match stmt {
        Stmt::WithBlock(node) => node.span(),
        Stmt::SetBlock(node) => node.span(),
        Stmt::AutoEscape(node) => node.span(),
        Stmt::FilterBlock(node) => node.span(),
        Stmt::Block(node) => node.span(),
        Stmt::Import(node) => node.span(),
        Stmt::FromImport(node) => node.span(),
        Stmt::Extends(node) => node.span(),
        Stmt::Include(node) => node.span(),
        Stmt::Macro(node) => node.span(),
        Stmt::CallBlock(node) => node.span(),
        Stmt::Do(node) => node.span(),
        _ => return None,
    })
}
