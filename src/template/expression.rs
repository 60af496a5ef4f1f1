//! Expressions: compiled once, evaluated per row; and `Condition`, the `when:` of a rule.
//!
//! In: the text between `{{` and `}}`, or after `when:`. Out: a value of the expression language. Owns the engine's one
//! environment, which has strict names, fuel, and the operators of `operators`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::machinery::{ast::Expr, parse_expr};
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};

use super::compiled::Compiled;
use super::error::{ColumnUse, Error, Flaw, OperationUse};
use super::rewrite::{self, Rewritten};
use super::scope::{Env, Root, Scope};
use super::secret::Secret;
use super::{EnvLookup, filters, foreign, limits, operators, output};
use crate::change::Change;

/// Instructions that one rendering may take: about 10 ms of loops, far beyond what a rule needs.
const FUEL: u64 = 100_000;

pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(FUEL));
    // Its extended messages quote values.
    env.set_debug(false);
    env.set_formatter(|out, _, value| {
        let mut rendered = String::new();
        output::write_text(value, &mut rendered).map_err(Error::into_engine)?;
        out.write_str(&rendered).map_err(minijinja::Error::from)
    });
    operators::install(&mut env);
    filters::install(&mut env);
    env
});

/// The `when:` of a rule.
#[derive(Debug)]
pub struct Condition {
    expression: Expression,
    /// The same without the interpreter, where the expression is plain enough.
    compiled: Option<Compiled>,
    rule: Arc<str>,
    columns: Vec<ColumnUse>,
    operation: Vec<OperationUse>,
    reads_all_columns: bool,
}

impl Condition {
    /// Compiles an expression for the rule of this name. All flaws are reported, with their places.
    pub fn compile(source: &str, rule: &str, env: EnvLookup) -> Result<Condition, Vec<Flaw>> {
        if source.trim_start().starts_with("{{") {
            let message = "`when` is an expression by itself; write it without `{{ }}`".to_string();
            return Err(vec![Flaw { line: 1, column: 1, message }]);
        }
        limits::check_expression(source)?;
        let tree = parse_expr(source).map_err(|error| vec![flaw_of(&error, source)])?;
        let mut flaws = Vec::new();
        let mut rewritten = rewrite::expression(&tree, source);
        let columns = std::mem::take(&mut rewritten.columns);
        let operation = std::mem::take(&mut rewritten.operation);
        let reads_all_columns = rewritten.reads_all_columns;
        match Expression::new(rewritten, source, env, &mut flaws) {
            Some(expression) => {
                let compiled = Compiled::new(&tree, source);
                Ok(Condition { expression, compiled, rule: rule.into(), columns, operation, reads_all_columns })
            }
            None => Err(flaws),
        }
    }

    /// Whether the change meets the condition; an error when it can't be decided on this row.
    pub fn holds(&self, change: &Arc<Change>) -> Result<bool, Error> {
        let compiled = self.compiled.as_ref().and_then(|compiled| compiled.holds(change));
        compiled.unwrap_or_else(|| self.interpret(change))
    }

    /// As `holds`, by the interpreter alone, which defines what every expression means.
    pub(super) fn interpret(&self, change: &Arc<Change>) -> Result<bool, Error> {
        self.holds_in(&Scope::before_delivery(change, &self.rule))
    }

    /// Whether it holds of what is known of a delivery, such as the `answer` to a query.
    pub fn holds_in(&self, scope: &Scope) -> Result<bool, Error> {
        let value = self.expression.evaluate(scope)?;
        if value.is_undefined() { Err(Error::Undefined) } else { Ok(value.is_true()) }
    }

    /// The columns it reads, in the order of the text.
    pub fn columns(&self) -> &[ColumnUse] {
        &self.columns
    }

    /// What it reads of an operation, in the order of the text.
    pub fn operation_reads(&self) -> &[OperationUse] {
        &self.operation
    }

    /// Whether the decision may depend on this column.
    pub fn reads(&self, column: &str) -> bool {
        self.reads_all_columns || self.columns.iter().any(|used| used.name == column)
    }
}

/// One compiled expression with the secrets it names.
pub(super) struct Expression {
    compiled: minijinja::Expression<'static, 'static>,
    source: Box<str>,
    env: Arc<Env>,
}

impl Expression {
    /// None when there are flaws, which are added to `flaws`.
    pub(super) fn new(rewritten: Rewritten, source: &str, env: EnvLookup, flaws: &mut Vec<Flaw>) -> Option<Expression> {
        let resolved = resolve(&rewritten, env, flaws);
        if !rewritten.flaws.is_empty() || resolved.is_none() {
            flaws.extend(rewritten.flaws);
            return None;
        }
        match ENGINE.compile_expression_owned(rewritten.text) {
            Ok(compiled) => Some(Expression { compiled, source: source.into(), env: resolved? }),
            Err(error) => {
                flaws.push(flaw_of(&error, source));
                None
            }
        }
    }

    pub(super) fn evaluate(&self, scope: &Scope) -> Result<Value, Error> {
        let root = Value::from_object(Root { scope: scope.clone(), env: Arc::clone(&self.env) });
        self.compiled.eval(root).map_err(|error| Error::from_engine(&error, &self.source))
    }

    pub(super) fn uses_env(&self) -> bool {
        !self.env.is_empty()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// Looks up every environment variable that is named; a missing one is a flaw, and so is a file that can't be used.
pub(super) fn resolve(rewritten: &Rewritten, env: EnvLookup, flaws: &mut Vec<Flaw>) -> Option<Arc<Env>> {
    let mut resolved = Env::new();
    let mut complete = true;
    for used in &rewritten.env {
        let message = match Secret::from_env(&used.name, env) {
            Ok(Some(secret)) => {
                resolved.insert(used.name.as_str().into(), secret);
                continue;
            }
            Ok(None) => format!("environment variable `{}` is not set", used.name),
            Err(problem) => problem,
        };
        complete = false;
        flaws.push(Flaw { line: used.line, column: used.column, message });
    }
    complete.then(|| Arc::new(resolved))
}

/// A syntax error with its place; the engine's detail quotes rule text only.
pub(super) fn flaw_of(error: &minijinja::Error, source: &str) -> Flaw {
    let given_up_at = error.range().map(|range| range.start.min(source.len()));
    let instead = foreign::instead(source, given_up_at);
    let start = instead.as_ref().map(|(at, _)| *at).or(given_up_at).unwrap_or(0);
    let line = match (given_up_at, error.line()) {
        (None, Some(line)) if instead.is_none() => line,
        _ => source.get(..start).map_or(1, |before| before.matches('\n').count() + 1),
    };
    let line_start = source.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let column = source.get(line_start..start).map_or(0, |before| before.chars().count()) + 1;
    let detail = error.detail().unwrap_or("not an expression");
    let advice = instead.map_or(String::new(), |(_, advice)| format!("; {advice}"));
    Flaw { line, column, message: format!("template: {detail}{advice}") }
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
