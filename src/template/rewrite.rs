//! Checks the syntax tree of a template and writes it out again with safe operators.
//!
//! In: an expression or a template, parsed. Out: its text in which operators are calls of `operators` and `old.x` goes
//! to an object that explains itself when there is no old row; the columns and environment variables it reads; and
//! every flaw with its place: unknown names, filters, tests and functions, and what of Jinja rules do not offer.

use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};
use minijinja::machinery::{Span, ast};
use minijinja::value::ValueKind;

use super::decimal::as_decimal;
use super::error::{ColumnUse, Flaw, Read, SagaUse, place_of};
use super::operators;
use super::saga::{ANSWER_NAMES, OUTCOME_NAMES, STEP_NAMES};
use super::syntax::{binary_operator_of, digits_beyond_doubles, operator_of};
use crate::suggest::did_you_mean;

mod bytes;
mod conditions;
mod filters;
mod is_tests;
mod statements;
mod words;

pub(super) use bytes::Purpose;
pub(super) use conditions::{condition, condition_link};
pub(super) use filters::{is_default, takes_null};
pub(super) use statements::template;
use words::{EVENT_NAMES, FUNCTIONS, NAMES, Word, names};

/// Names that only a saga has.
const SAGA_NAMES: [&str; 3] = ["steps", "answer", "outcome"];

/// What a template reads, and its text with safe operators.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    pub text: String,
    pub columns: Vec<ColumnUse>,
    /// Names whose value differs from delivery to delivery.
    pub names: Vec<ColumnUse>,
    /// Whether it may read any column: `row` as a whole, `key`, `changed`, a name that is computed.
    pub reads_all_columns: bool,
    /// What it reads of a saga.
    pub saga: Vec<SagaUse>,
    /// Environment variables, each with its place.
    pub env: Vec<ColumnUse>,
    pub flaws: Vec<Flaw>,
    /// Columns of which it asks with `is defined` whether the table has them.
    asked_for: Vec<String>,
    /// Ways into documents and answers, the shorter ones first.
    pub paths: Vec<MemberPath>,
    /// With NULL as an operand the result is unknown.
    in_condition: bool,
    /// Texts of the rule are marked, so that only values are escaped.
    is_escaped: bool,
    /// The next expression is the whole value of what can be left out, so that it may be `omit`.
    may_omit: bool,
    /// Names set in the template itself.
    locals: Vec<String>,
    /// The text that spans point into.
    source: String,
}

/// A way into a document that may lead nowhere: `row.items[0].sku`.
#[derive(Debug)]
pub(super) struct MemberPath {
    /// As the rule has it.
    pub written: String,
    pub rewritten: String,
    /// It begins at a name that the template sets itself.
    pub is_local: bool,
}

/// Rewrites one expression.
pub(super) fn expression(expr: &Expr, source: &str, purpose: Purpose) -> Rewritten {
    let mut rewritten = Rewritten { source: source.to_string(), ..Rewritten::default() };
    rewritten.for_purpose(expr, purpose);
    rewritten
}

/// NULL as other languages write it.
fn is_null(name: &str) -> bool {
    ["null", "nil", "None"].contains(&name) || name.eq_ignore_ascii_case("null")
}

/// The members of `answer` or `outcome`.
fn members_of(name: &str) -> &'static [&'static str] {
    if name == "answer" { &ANSWER_NAMES } else { &OUTCOME_NAMES }
}

impl Rewritten {
    fn flaw(&mut self, span: Span, message: impl Into<String>) {
        self.flaws.push(Flaw::at(span, message));
    }

    fn expr(&mut self, expr: &Expr) {
        // Only of an `if`, an `or`, an `and` and a `default` the value may be that of a part.
        let may_omit = std::mem::take(&mut self.may_omit);
        match expr {
            Expr::Var(var) if var.id == "omit" => self.omit(var.span(), may_omit),
            Expr::Var(var) => self.var(var.id, var.span()),
            Expr::Const(constant) => self.constant(&constant.value, constant.span()),
            Expr::GetAttr(node) => self.attribute(node),
            Expr::GetItem(node) => self.item(node),
            Expr::Slice(node) if self.in_condition => self.slice_of_null(node),
            Expr::Slice(node) => {
                self.wrap("_given(\"slice\", ", &node.expr, ")[");
                for (i, bound) in [&node.start, &node.stop, &node.step].into_iter().enumerate() {
                    self.push(if i == 0 { "" } else { ":" });
                    bound.iter().for_each(|bound| self.expr(bound));
                }
                self.push("]");
            }
            Expr::UnaryOp(node) => match (&node.op, &node.expr) {
                (UnaryOpKind::Not, inner) if self.in_condition => self.wrap("_is_not(", inner, ")"),
                (UnaryOpKind::Neg, inner) if self.in_condition => self.wrap("_of_neg(", inner, ")"),
                (UnaryOpKind::Not, inner) => self.wrap("(not ", inner, ")"),
                (UnaryOpKind::Neg, inner) => self.wrap("_neg(", inner, ")"),
            },
            Expr::BinOp(node) if self.in_condition => self.binary_of_nulls(node),
            Expr::BinOp(node) => self.binary(node, may_omit),
            Expr::Compare(node) if self.in_condition => self.compare_nulls(node),
            Expr::Compare(node) => self.compare(node),
            Expr::IfExpr(node) => {
                self.push("(");
                self.part(&node.true_expr, may_omit);
                self.push(" if ");
                self.expr(&node.test_expr);
                if let Some(other) = &node.false_expr {
                    self.push(" else ");
                    self.part(other, may_omit);
                }
                self.push(")");
            }
            Expr::Filter(node) => self.filter(node, may_omit),
            Expr::Test(node) => self.test(node),
            Expr::Call(node) => self.call(node),
            Expr::List(node) => self.sequence("[", node.items.iter(), "]"),
            Expr::Tuple(node) => self.sequence("[", node.items.iter(), "]"),
            Expr::Map(node) => {
                self.push("{");
                for (key, value) in node.keys.iter().zip(&node.values) {
                    self.expr(key);
                    self.push(": ");
                    self.expr(value);
                    self.push(", ");
                }
                self.push("}");
            }
        }
    }

    /// A part that may be the value of the whole.
    fn part(&mut self, expr: &Expr, may_omit: bool) {
        self.may_omit = may_omit;
        self.expr(expr);
    }

    fn omit(&mut self, span: Span, may_omit: bool) {
        if !may_omit {
            self.flaw(
                span,
                "`omit` leaves out a member or element of `body`, a field of `form` or a header, and is its whole value, as in \
                 `{{ row.note or omit }}`; here nothing can be left out",
            );
        }
        self.push("omit");
    }

    fn var(&mut self, name: &str, span: Span) {
        self.reads_all_columns |= ["row", "old", "key", "changed"].contains(&name);
        if name == "env" {
            self.flaw(span, "name the variable after `env`, for example `env.TOKEN`");
        } else if name == "steps" {
            self.flaw(span, "name a step and what of it after `steps`, for example `steps.account.json.id`");
        } else if ["answer", "outcome"].contains(&name) {
            self.flaw(span, format!("name what is meant after `{name}`, for example `{name}.{}`", members_of(name)[0]));
        } else if !NAMES.contains(&name) && !self.locals.iter().any(|local| local == name) {
            let hint = match is_null(name) {
                true => "; write `none`".to_string(),
                false => did_you_mean(name, NAMES),
            };
            self.flaw(span, format!("unknown name `{name}`{hint}; known are {}", NAMES.join(", ")));
        } else if !self.is_local(name) {
            self.read(name, span);
        }
        self.push(name);
    }

    fn constant(&mut self, value: &minijinja::Value, span: Span) {
        if let Some(digits) = digits_beyond_doubles(value, span, &self.source) {
            return self.push(&format!("_decimal(\"{digits}\")"));
        }
        match (value.kind(), value.as_str()) {
            (_, Some(text)) => self.string(text),
            (ValueKind::None, _) => self.push("none"),
            (ValueKind::Bool, _) => self.push(if value.is_true() { "true" } else { "false" }),
            (ValueKind::Number, _) if self.in_condition && as_decimal(&operators::exact(value.clone())).is_some() => {
                self.push(&format!("_decimal(\"{value}\")"));
            }
            // Integers and floats print as the literals they were.
            _ => self.push(&value.to_string()),
        }
    }

    /// A string literal; Jinja's escapes are a superset of JSON's.
    fn string(&mut self, text: &str) {
        let literal = serde_json::to_string(text).expect("a string is always JSON");
        self.push(&literal);
    }

    fn attribute(&mut self, node: &ast::Spanned<ast::GetAttr>) {
        if let Some(step) = self.step(&node.expr) {
            return self.step_member(&step, node.name, node.expr.span());
        }
        match &node.expr {
            Expr::Var(var) if !self.is_local(var.id) => self.member(var.id, node.name, node.span()),
            inner => {
                let begin = self.text.len();
                if self.in_condition {
                    self.wrap("_member(", inner, ", ");
                    self.string(node.name);
                    self.push(")");
                } else {
                    self.wrap("(", inner, ").");
                    self.push(node.name);
                }
                self.path(node.span(), begin, inner);
            }
        }
    }

    fn item(&mut self, node: &ast::Spanned<ast::GetItem>) {
        match (&node.expr, &node.subscript_expr) {
            (Expr::Var(var), Expr::Const(name))
                if ["row", "old"].contains(&var.id) && name.value.as_str().is_some() =>
            {
                let name = name.value.as_str().unwrap_or_default().to_string();
                self.read(var.id, node.span());
                self.column(&name, node.span());
                self.push(if var.id == "old" { "_old[" } else { "row[" });
                self.string(&name);
                self.push("]");
            }
            (Expr::Var(var), subscript) if var.id == "old" => {
                self.read(var.id, node.span());
                self.reads_all_columns = true;
                self.wrap("_old[", subscript, "]");
            }
            (inner, Expr::Const(member)) if self.step(inner).is_some() && member.value.as_str().is_some() => {
                let step = self.step(inner).unwrap_or_default();
                self.step_member(&step, member.value.as_str().unwrap_or_default(), inner.span());
            }
            (Expr::Var(var), Expr::Const(name)) if SAGA_NAMES.contains(&var.id) => {
                self.member(var.id, name.value.as_str().unwrap_or_default(), node.span());
            }
            (inner, subscript) => {
                let begin = self.text.len();
                let (open, between, close) = if self.in_condition { ("_member(", ", ", ")") } else { ("(", ")[", "]") };
                self.wrap(open, inner, between);
                self.expr(subscript);
                self.push(close);
                self.path(node.span(), begin, inner);
            }
        }
    }

    /// `name.member` for one of the names that rules offer.
    fn member(&mut self, name: &str, member: &str, span: Span) {
        match name {
            "row" | "old" => self.column(member, span),
            "env" => {
                self.env.push(self.place(member, span));
            }
            "event" if !EVENT_NAMES.contains(&member) => {
                let hint = did_you_mean(member, EVENT_NAMES);
                self.flaw(span, format!("`event` has no `{member}`{hint}; known are {}", EVENT_NAMES.join(", ")));
            }
            "event" => {}
            "steps" => return self.var(name, span),
            "answer" | "outcome" => {
                let known = members_of(name);
                if !known.contains(&member) {
                    let hint = did_you_mean(member, known.iter().copied());
                    self.flaw(span, format!("`{name}` has no `{member}`{hint}; known are {}", known.join(", ")));
                }
                let what = if name == "answer" { Read::Answer } else { Read::Outcome };
                self.reads_saga(what, span);
            }
            known if NAMES.contains(&known) => self.flaw(span, format!("`{known}` has no members")),
            unknown => return self.var(unknown, span),
        }
        if name != "env" {
            self.read(name, span);
        }
        self.push(if name == "old" { "_old" } else { name });
        self.push(".");
        self.push(member);
    }

    /// The step's name when the expression is `steps.NAME`.
    fn step(&self, expr: &Expr) -> Option<String> {
        let is_steps = |expr: &Expr| matches!(expr, Expr::Var(var) if var.id == "steps");
        match expr {
            Expr::GetAttr(node) if is_steps(&node.expr) => Some(node.name.to_owned()),
            Expr::GetItem(node) if is_steps(&node.expr) => match &node.subscript_expr {
                Expr::Const(name) => name.value.as_str().map(str::to_owned),
                _ => None,
            },
            _ => None,
        }
    }

    fn step_member(&mut self, step: &str, member: &str, span: Span) {
        if !STEP_NAMES.contains(&member) {
            let hint = did_you_mean(member, STEP_NAMES);
            self.flaw(span, format!("a step has no `{member}`{hint}; known are {}", STEP_NAMES.join(", ")));
        }
        self.read("steps", span);
        self.reads_saga(Read::Step { name: step.to_owned(), member: member.to_owned() }, span);
        self.push("steps[");
        self.string(step);
        self.push("].");
        self.push(member);
    }

    fn reads_saga(&mut self, what: Read, span: Span) {
        let (line, column) = place_of(span);
        self.saga.push(SagaUse { what, line, column });
    }

    fn read(&mut self, name: &str, span: Span) {
        let place = self.place(name, span);
        self.names.push(place);
    }

    fn column(&mut self, name: &str, span: Span) {
        let place = self.place(name, span);
        self.columns.push(place);
    }

    fn place(&self, name: &str, span: Span) -> ColumnUse {
        let (line, column) = place_of(span);
        ColumnUse {
            name: name.to_string(),
            line,
            column,
            may_lack: self.asked_for.iter().any(|asked_for| asked_for == name),
        }
    }

    fn binary(&mut self, node: &ast::BinOp, may_omit: bool) {
        let may_omit = may_omit && matches!(node.op, BinOpKind::ScAnd | BinOpKind::ScOr);
        if let Some(operator) = binary_operator_of(node.op) {
            self.wrap(&conditions::function_of_values(operator), &node.left, ", ");
            return self.wrap("", &node.right, ")");
        }
        let (open, between, close) = match node.op {
            BinOpKind::ScAnd => ("(", " and ", ")"),
            BinOpKind::ScOr => ("(", " or ", ")"),
            BinOpKind::Add => ("_add(", ", ", ")"),
            BinOpKind::Sub => ("_sub(", ", ", ")"),
            BinOpKind::Mul => ("_mul(", ", ", ")"),
            BinOpKind::Concat => ("_concat(", ", ", ")"),
            BinOpKind::Div => ("(_float(", ") / _float(", "))"),
            BinOpKind::FloorDiv => ("(_whole(", ") // _whole(", "))"),
            BinOpKind::Rem => ("(_whole(", ") % _whole(", "))"),
            _ => ("(_whole(", ") ** _whole(", "))"),
        };
        self.push(open);
        // Before an `and`, the value would decide and not be sent.
        self.part(&node.left, may_omit && matches!(node.op, BinOpKind::ScOr));
        self.push(between);
        self.part(&node.right, may_omit);
        self.push(close);
    }

    /// `a < b < c` means `a < b and b < c`. Expressions have no effects, so that `b` may be evaluated twice; but it must
    /// be plain, for nested chains would double with each level.
    fn compare(&mut self, node: &ast::Compare) {
        let between = node.ops.iter().rev().skip(1).map(|op| &op.expr);
        for expr in between {
            if !matches!(expr, Expr::Var(_) | Expr::Const(_) | Expr::GetAttr(_)) {
                self.flaw(expr.span(), "write `a < b < c` as `a < b and b < c`");
                return;
            }
        }
        self.push("(");
        let mut left = &node.expr;
        for (i, op) in node.ops.iter().enumerate() {
            self.push(if i == 0 { "" } else { " and " });
            self.push(if matches!(op.op, CompareOpKind::NotIn) { "not " } else { "" });
            self.push(&conditions::function_of_values(operator_of(op.op)));
            self.wrap("", left, ", ");
            self.wrap("", &op.expr, ")");
            left = &op.expr;
        }
        self.push(")");
    }

    fn call(&mut self, node: &ast::Spanned<ast::Call>) {
        match &node.expr {
            Expr::Var(var) => {
                self.check_word("function", var.id, &FUNCTIONS, &node.args, var.span());
                self.push(var.id);
            }
            other => self.flaw(other.span(), "values have no methods here; use a filter, as in `row.name | upper`"),
        }
        self.arguments(&node.args, node.span());
    }

    /// What is wrong with a name or its number of arguments would else only show on a row.
    fn check_word(&mut self, kind: &str, name: &str, known: &[Word], args: &[CallArg], span: Span) {
        match known.iter().find(|word| word.name == name) {
            None if kind == "test" && is_null(name) => {
                self.flaw(span, format!("unknown test `{name}`; write `is none`, or `is not none`"));
            }
            None => self.flaw(span, format!("unknown {kind} `{name}`{}", did_you_mean(name, names(known)))),
            Some(word) if !(word.args_min..=word.args_max).contains(&args.len()) => {
                let takes = match (word.args_min, word.args_max) {
                    (0, 0) => "no arguments".to_string(),
                    (1, 1) => "1 argument".to_string(),
                    (min, max) if min == max => format!("{min} arguments"),
                    (min, max) => format!("{min} to {max} arguments"),
                };
                self.flaw(span, format!("{kind} `{name}` takes {takes}, not {}", args.len()));
            }
            Some(_) => {}
        }
    }

    fn arguments(&mut self, args: &[CallArg], span: Span) {
        self.push("(");
        self.more_arguments(args, span);
        self.push(")");
    }

    fn more_arguments(&mut self, args: &[CallArg], span: Span) {
        for arg in args {
            match arg {
                CallArg::Pos(expr) => self.expr(expr),
                _ => self.flaw(span, "arguments are given by place here, not by name or with `*`"),
            }
            self.push(", ");
        }
    }

    fn sequence<'e, 's: 'e>(&mut self, open: &str, items: impl Iterator<Item = &'e Expr<'s>>, close: &str) {
        self.push(open);
        for item in items {
            self.expr(item);
            self.push(", ");
        }
        self.push(close);
    }

    fn wrap(&mut self, open: &str, inner: &Expr, close: &str) {
        self.push(open);
        self.expr(inner);
        self.push(close);
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|local| local == name)
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }
}
