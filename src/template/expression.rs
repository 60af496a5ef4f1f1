//! Expressions: compiled once, evaluated per row.
//!
//! In: the text between `{{` and `}}`, or a part of what stands after `when:`. Out: a value of the expression language; where
//! there is none, an error that names the path that led nowhere. Owns the engine's one environment, which has strict names,
//! fuel, and the operators of `operators` and `nulls`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};

use super::error::{Error, Flaw};
use super::rewrite::{MemberPath, Rewritten};
use super::scope::{Env, Root, Scope};
use super::{EnvLookup, filters, foreign, nulls, operators, output};
use crate::printable::shortened;

/// Instructions that one rendering may take: about 10 ms of loops, far beyond what a rule needs.
const FUEL: u64 = 100_000;

/// A path in a message; longer ones are cut.
const PATHS_CHARS_MAX: usize = 120;

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
    nulls::install(&mut env);
    filters::install(&mut env);
    env
});

/// One compiled expression with the secrets it names.
pub(super) struct Expression {
    compiled: minijinja::Expression<'static, 'static>,
    source: Box<str>,
    env: Arc<Env>,
    paths: Box<[MemberPath]>,
}

impl Expression {
    /// None when there are flaws, which are added to `flaws`.
    pub(super) fn new(
        mut rewritten: Rewritten,
        source: &str,
        env: EnvLookup,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Expression> {
        let resolved = resolve(&rewritten, env, flaws);
        let paths = std::mem::take(&mut rewritten.paths).into();
        if !rewritten.flaws.is_empty() || resolved.is_none() {
            flaws.extend(rewritten.flaws);
            return None;
        }
        match ENGINE.compile_expression_owned(rewritten.text) {
            Ok(compiled) => Some(Expression { compiled, source: source.into(), env: resolved?, paths }),
            Err(error) => {
                flaws.push(flaw_of(&error, source));
                None
            }
        }
    }

    /// A value that is defined, though what is in it may not be.
    pub(super) fn evaluate(&self, scope: &Scope) -> Result<Value, Error> {
        let root = self.root(scope);
        let error = match self.compiled.eval(root.clone()) {
            Ok(value) if value.is_undefined() => Error::Undefined { path: None },
            Ok(value) => return Ok(value),
            Err(error) => Error::from_engine(&error, &self.source),
        };
        Err(named(error, &self.paths, &root))
    }

    /// An error that writing the value brought, with what is undefined.
    pub(super) fn naming(&self, error: Error, scope: &Scope) -> Error {
        named(error, &self.paths, &self.root(scope))
    }

    fn root(&self, scope: &Scope) -> Value {
        Value::from_object(Root { scope: scope.clone(), env: Arc::clone(&self.env) })
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// The error with what is undefined, as the rule writes it: the first path that leads nowhere. Where paths that begin at a name of a loop
/// led is unknown afterwards, so all of them are named.
pub(super) fn named(error: Error, paths: &[MemberPath], root: &Value) -> Error {
    let Error::Undefined { path: None } = error else { return error };
    let leads_nowhere = |path: &&MemberPath| {
        let compiled = ENGINE.compile_expression(&path.rewritten);
        compiled.is_ok_and(|path| path.eval(root).map_or_else(is_undefined_error, |value| value.is_undefined()))
    };
    let mut known = paths.iter().filter(|path| !path.is_local);
    if let Some(path) = known.find(leads_nowhere) {
        return Error::Undefined { path: Some(quoted(&path.written)) };
    }
    let local: Vec<String> = paths.iter().filter(|path| path.is_local).map(|path| quoted(&path.written)).collect();
    let path = (!local.is_empty()).then(|| shortened(&local.join(" or "), PATHS_CHARS_MAX));
    Error::Undefined { path }
}

fn is_undefined_error(error: minijinja::Error) -> bool {
    matches!(Error::from_engine(&error, ""), Error::Undefined { .. })
}

fn quoted(path: &str) -> String {
    format!("`{}`", shortened(path, PATHS_CHARS_MAX))
}

/// Looks up every environment variable that is named; a missing one is a flaw, and so is a file that can't be used.
pub(super) fn resolve(rewritten: &Rewritten, env: EnvLookup, flaws: &mut Vec<Flaw>) -> Option<Arc<Env>> {
    let mut resolved = Env::new();
    let mut complete = true;
    for used in &rewritten.env {
        let message = match env(&used.name) {
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
    flaw_at(error, error.range().map(|range| range.start), source)
}

/// The same at a place that the caller knows, as an offset.
pub(super) fn flaw_at(error: &minijinja::Error, given_up_at: Option<usize>, source: &str) -> Flaw {
    let given_up_at = given_up_at.map(|at| at.min(source.len()));
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
