//! Secrets: texts that must not be shown.
//!
//! In: a text, or a string of a rule in which `{{ env.NAME }}` may stand. Out: a `Secret`. The caller says what a variable
//! stands for, once, when the rules are loaded. No message ever holds a secret's text.

use std::fmt;

use super::EnvLookup;
use super::error::Flaw;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(text: &str) -> Secret {
        Secret(text.into())
    }

    /// The text itself; the caller keeps it out of logs, errors and the store.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A string of a rule in which nothing but `{{ env.NAME }}` may stand: no row has a part in it.
    ///
    /// # Errors
    /// The flaws, with their places in the string.
    pub fn compile(source: &str, env: EnvLookup) -> Result<Secret, Vec<Flaw>> {
        let (mut text, mut flaws, mut rest) = (String::new(), Vec::new(), source);
        while let Some(begin) = rest.find("{{") {
            text.push_str(&rest[..begin]);
            let at = source.len() - rest.len() + begin;
            let inner = &rest[begin + 2..];
            let end = inner.find("}}");
            match end.and_then(|end| env_name(&inner[..end])) {
                Some(name) => match env(name) {
                    Ok(Some(secret)) => text.push_str(secret.reveal()),
                    Ok(None) => flaws.push(flaw(source, at, format!("environment variable `{name}` is not set"))),
                    Err(problem) => flaws.push(flaw(source, at, problem)),
                },
                None => {
                    let message = "a secret takes `{{ env.NAME }}` only; it is read once, when the rules are loaded";
                    flaws.push(flaw(source, at, message.to_owned()));
                }
            }
            rest = end.map_or("", |end| &inner[end + 2..]);
        }
        text.push_str(rest);
        if flaws.is_empty() { Ok(Secret(text.into())) } else { Err(flaws) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `NAME` of ` env.NAME `.
fn env_name(expression: &str) -> Option<&str> {
    let name = expression.trim().strip_prefix("env.")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(allowed)).then_some(name)
}

fn flaw(source: &str, at: usize, message: String) -> Flaw {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    Flaw { line, column: before[line_start..].chars().count() + 1, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Result<Option<Secret>, String> {
        Ok((name == "TOKEN").then(|| Secret::new("s3cret")))
    }

    #[test]
    fn a_string_takes_variables_and_nothing_else() {
        let secret = Secret::compile("a {{ env.TOKEN }}-{{env.TOKEN}} b", &env).unwrap();
        assert_eq!(secret.reveal(), "a s3cret-s3cret b");
        assert_eq!(format!("{secret:?}"), "***");
        for (source, column, part) in [
            ("x {{ env.GONE }}", 3, "environment variable `GONE` is not set"),
            ("{{ row.token }}", 1, "`{{ env.NAME }}` only"),
            ("{{ env.TOKEN | upper }}", 1, "`{{ env.NAME }}` only"),
            ("ä{{ env.TOKEN", 2, "`{{ env.NAME }}` only"),
        ] {
            let flaws = Secret::compile(source, &env).unwrap_err();
            assert_eq!((flaws[0].line, flaws[0].column), (1, column), "{source}");
            assert!(flaws[0].message.contains(part), "{source}: {}", flaws[0].message);
        }
    }
}
