//! What rules take from outside of their files: environment variables, and files with secrets and certificates.
//!
//! In: the name of a variable, or a path, while a rule is compiled. Out: its content, read once, up to `FILE_BYTES_MAX`. No
//! other module of the rules reads such files. Owns the list of files that were opened for the rule that is being compiled.
//! No message ever contains a secret.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use super::super::content::{FILE_BYTES_MAX, OpenedFile};
use crate::file;
use crate::template::Secret;

/// Environment variables, by their names.
pub(in crate::rules) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What happens where a secret is not on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum IfNoSecret {
    /// That is a problem.
    Refuse,
    /// `test-NAME` stands for it, and files of TLS are not read: nothing will be sent.
    StandIn,
}

/// What stands for secrets begins so.
const STAND_IN: &str = "test-";

pub(super) struct Outside<'a> {
    variables: Variables<'a>,
    if_no_secret: IfNoSecret,
    /// Templates read variables through a shared reference.
    opened: RefCell<Vec<OpenedFile>>,
}

impl<'a> Outside<'a> {
    pub(super) fn new(variables: Variables<'a>, if_no_secret: IfNoSecret) -> Outside<'a> {
        Outside { variables, if_no_secret, opened: RefCell::default() }
    }

    /// Whether all will do that has the right form.
    pub(super) fn stands_in(&self) -> bool {
        self.if_no_secret == IfNoSecret::StandIn
    }

    /// Whether this stands for a secret that is not there.
    pub(super) fn is_stand_in(&self, secret: &Secret) -> bool {
        self.stands_in() && secret.reveal().starts_with(STAND_IN)
    }

    /// The environment variable of this name or, where it is not set, what the file holds that the variable `NAME_FILE`
    /// names. None when neither is set.
    ///
    /// # Errors
    /// A line for people when the file cannot be used.
    pub(super) fn variable(&self, name: &str) -> Result<Option<Secret>, String> {
        if let Some(text) = (self.variables)(name) {
            return Ok(Some(Secret::new(&text)));
        }
        let Some(path) = (self.variables)(&format!("{name}_FILE")) else {
            return Ok(self.stands_in().then(|| Secret::new(&format!("{STAND_IN}{name}"))));
        };
        let secret = self.file(Path::new(&path));
        secret.map(Some).map_err(|problem| format!("environment variable `{name}_FILE`: {problem}"))
    }

    /// What a file holds, without one newline at its end.
    ///
    /// # Errors
    /// A line for people with the file's name: not readable, larger than 64 KiB, no UTF-8.
    pub(super) fn file(&self, path: &Path) -> Result<Secret, String> {
        let shown = path.display();
        let read = file::read(path, FILE_BYTES_MAX);
        if read.is_err() && self.stands_in() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Ok(Secret::new(&format!("{STAND_IN}{name}")));
        }
        let bytes = read.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => {
                format!("file {shown} is larger than {FILE_BYTES_MAX} bytes, which no secret is")
            }
            _ => format!("file {shown} can't be read: {error}"),
        })?;
        self.opened.borrow_mut().push(OpenedFile::new(path, &bytes));
        let text = String::from_utf8(bytes).map_err(|_| format!("file {shown} is not UTF-8"))?;
        let line = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
        Ok(Secret::new(line))
    }

    /// The files that were opened since the last call, each with its content.
    pub(super) fn take_opened(&self) -> Vec<OpenedFile> {
        self.opened.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let variables = |name: &str| (name == "API_TOKEN_FILE").then(|| path(file));
            Outside::new(&variables, IfNoSecret::Refuse).variable("API_TOKEN")
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
        let outside = Outside::new(&both, IfNoSecret::Refuse);
        assert_eq!(outside.variable("A").unwrap().unwrap().reveal(), "direct");
        assert_eq!(outside.take_opened(), []);
        assert_eq!(Outside::new(&|_| None, IfNoSecret::Refuse).variable("A"), Ok(None));
    }

    #[test]
    fn where_nothing_is_sent_a_word_stands_for_each_secret_that_is_not_there() {
        let variables = |name: &str| match name {
            "SET" => Some("direct".to_owned()),
            "GONE_FILE" => Some("/no/such/gone.txt".to_owned()),
            _ => None,
        };
        let outside = Outside::new(&variables, IfNoSecret::StandIn);
        let read = |name: &str| outside.variable(name).unwrap().unwrap();
        assert_eq!(
            [read("SET").reveal(), read("OTHER").reveal(), read("GONE").reveal()],
            ["direct", "test-OTHER", "test-gone.txt"]
        );
        assert!(outside.is_stand_in(&read("OTHER")) && !outside.is_stand_in(&read("SET")));
        assert!(!Outside::new(&variables, IfNoSecret::Refuse).is_stand_in(&read("OTHER")));
    }

    #[test]
    fn an_opened_file_is_listed_with_its_content_until_the_list_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "of a\n").unwrap();
        std::fs::write(path("b"), "of b").unwrap();
        let variables = |name: &str| (name == "B_FILE").then(|| path("b").display().to_string());
        let outside = Outside::new(&variables, IfNoSecret::Refuse);
        outside.file(&path("a")).unwrap();
        outside.variable("B").unwrap();
        outside.file(&path("none")).unwrap_err();
        assert_eq!(
            outside.take_opened(),
            [OpenedFile::new(&path("a"), b"of a\n"), OpenedFile::new(&path("b"), b"of b")]
        );
        assert_eq!(outside.take_opened(), []);
    }
}
