//! Templates with statements, such as `{% if %}`.
//!
//! In: a template that `rewrite` has checked. Out: its text. It has an environment of its own, because the engine keeps templates there.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::Environment;
use minijinja::value::Value;

use super::error::{Error, Flaw};
use super::expression::{ENGINE, flaw_of, named, resolve};
use super::output::{Bounded, TextOut};
use super::rewrite::{MemberPath, Rewritten};
use super::scope::{Env, Root, Scope};
use super::{EnvLookup, xml};

/// As [`ENGINE`], for programs whose text is XML.
pub(super) static XML_ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = ENGINE.clone();
    engine.set_formatter(|out, _, value| {
        let mut rendered = String::new();
        xml::write(value, &mut rendered).map_err(Error::into_engine)?;
        out.write_str(&rendered).map_err(minijinja::Error::from)
    });
    engine
});

/// The name under which a `Program` holds its template; it shows nowhere.
pub(super) const TEMPLATE: &str = "template";

/// A template with statements, in an environment of its own because the engine keeps templates there.
pub(super) struct Program {
    engine: Environment<'static>,
    source: Box<str>,
    env: Arc<Env>,
    paths: Box<[MemberPath]>,
}

impl Program {
    /// None when there are flaws, which are added to `flaws`.
    pub(super) fn new(
        mut rewritten: Rewritten,
        source: &str,
        engine: &Environment<'static>,
        env: EnvLookup,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Program> {
        let resolved = resolve(&rewritten, env, flaws);
        flaws.extend(rewritten.flaws);
        let env = resolved.filter(|_| flaws.is_empty())?;
        let paths = std::mem::take(&mut rewritten.paths).into();
        let mut engine = engine.clone();
        match engine.add_template_owned(TEMPLATE, rewritten.text) {
            Ok(()) => Some(Program { engine, source: source.into(), env, paths }),
            Err(error) => {
                flaws.push(flaw_of(&error, source));
                None
            }
        }
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    pub(super) fn write(&self, scope: &Scope, out: &mut impl TextOut) -> Result<(), Error> {
        let root = Value::from_object(Root { scope: scope.clone(), env: Arc::clone(&self.env) });
        let mut bounded = Bounded(Vec::new());
        self.engine
            .get_template(TEMPLATE)
            .and_then(|template| template.render_captured_to(root.clone(), &mut bounded).map(drop))
            .map_err(|error| named(Error::from_engine(&error, &self.source), &self.paths, &root))?;
        // The engine writes whole strings.
        out.put(&String::from_utf8_lossy(&bounded.0))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}
