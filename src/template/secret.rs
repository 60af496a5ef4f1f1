//! Secrets: texts that must not be shown, and where they come from.
//!
//! In: the name of an environment variable, the path of a file, or a string of a rule in which `{{ env.NAME }}` may stand.
//! Out: a `Secret`, read once, when the rules are loaded. The one place of the templates that reads files: what a
//! variable or a rule names as the place of a secret, up to `FILE_BYTES_MAX`. No message ever holds a secret's text.

use std::fmt;
use std::io;
use std::path::Path;

use super::EnvLookup;
use super::error::Flaw;
use crate::file;

/// A hundred times a long token; a file above it is not the one that was meant.
const FILE_BYTES_MAX: u64 = 64 * 1024;

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

    /// The environment variable of this name or, where it is not set, what the file holds that the variable `NAME_FILE`
    /// names. None when neither is set.
    ///
    /// # Errors
    /// A line for people when the file cannot be used.
    pub fn from_env(name: &str, env: EnvLookup) -> Result<Option<Secret>, String> {
        if let Some(text) = env(name) {
            return Ok(Some(Secret::new(&text)));
        }
        let Some(path) = env(&format!("{name}_FILE")) else { return Ok(None) };
        let secret = Secret::from_file(Path::new(&path));
        secret.map(Some).map_err(|problem| format!("environment variable `{name}_FILE`: {problem}"))
    }

    /// What a file holds, without one newline at its end.
    ///
    /// # Errors
    /// A line for people with the file's name: not readable, larger than 64 KiB, no UTF-8.
    pub fn from_file(path: &Path) -> Result<Secret, String> {
        let shown = path.display();
        let bytes = file::read(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => {
                format!("file {shown} is larger than {FILE_BYTES_MAX} bytes, which no secret is")
            }
            _ => format!("file {shown} can't be read: {error}"),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| format!("file {shown} is not UTF-8"))?;
        let line = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
        Ok(Secret::new(line))
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
                Some(name) => match Secret::from_env(name, env) {
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

    fn env(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "s3cret".to_owned())
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

    #[test]
    fn a_variable_that_is_not_set_may_name_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("unix"), "of a file\n").unwrap();
        std::fs::write(path("dos"), "of a file\r\n").unwrap();
        std::fs::write(path("two"), "of a file\n\n").unwrap();
        std::fs::write(path("large"), "s3cret-".repeat(10_000)).unwrap();
        std::fs::write(path("binary"), b"s3cret\xff").unwrap();
        let read = |file: &str| {
            let env = |name: &str| (name == "API_TOKEN_FILE").then(|| path(file));
            Secret::from_env("API_TOKEN", &env)
        };
        for (file, expected) in [("unix", "of a file"), ("dos", "of a file"), ("two", "of a file\n")] {
            assert_eq!(read(file).unwrap().unwrap().reveal(), expected, "{file}");
        }
        for (file, part) in [
            ("large", "is larger than 65536 bytes"),
            ("binary", "is not UTF-8"),
            ("none", "can't be read: No such file"),
        ] {
            let problem = read(file).unwrap_err();
            let begin = format!("environment variable `API_TOKEN_FILE`: file {}", path(file));
            assert!(problem.starts_with(&begin) && problem.contains(part), "{problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }

    #[test]
    fn the_variable_itself_comes_before_its_file_and_neither_is_no_secret() {
        let both = |name: &str| Some(if name == "A" { "direct" } else { "/no/such/file" }.to_owned());
        assert_eq!(Secret::from_env("A", &both).unwrap().unwrap().reveal(), "direct");
        assert_eq!(Secret::from_env("A", &|_| None), Ok(None));
    }
}
