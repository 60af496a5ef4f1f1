//! Problems in rule files, as a person wants to read them.
//!
//! In: a file's text and a place in it. Out: `path:line:column: message` with the offending line and a caret below it.
//! All problems of all files are reported at once, in the order of the files and of the places in them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::printable::{is_printable, shortened};

/// Lines of generated files may be very long; the beginning shows where one is.
const LINE_CHARACTERS_MAX: usize = 200;

/// A place in a file; lines and columns (in characters) count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub path: PathBuf,
    /// None for a problem with the file or directory as a whole.
    pub place: Option<Place>,
    pub message: String,
    /// The text of the line at `place`; empty where it is not to be shown.
    pub line_text: String,
}

impl Diagnostic {
    /// A problem with a file or directory as a whole.
    pub fn of_file(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic { path: path.to_path_buf(), place: None, message: message.into(), line_text: String::new() }
    }

    /// A problem at a place in a file of this text.
    pub fn at(path: &Path, text: &str, place: Place, message: impl Into<String>) -> Diagnostic {
        // Tabs stay: the caret is placed by them.
        let clean =
            |text: &str| text.chars().map(|c| if is_printable(c) || c == '\t' { c } else { '\u{fffd}' }).collect();
        let line_text = clean(text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default());
        Diagnostic { path: path.to_path_buf(), place: Some(place), message: clean(&message.into()), line_text }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Place { line, column }) = self.place else {
            return write!(f, "{}: {}", self.path.display(), self.message);
        };
        write!(f, "{}:{line}:{column}: {}", self.path.display(), self.message)?;
        if self.line_text.is_empty() {
            return Ok(());
        }
        let shown = shortened(&self.line_text, LINE_CHARACTERS_MAX);
        // Tabs stay tabs below, so that the caret stands where the terminal puts the character.
        let indent: String =
            shown.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n{line:>4} | {shown}\n     | {indent}^")
    }
}

/// More at once than anybody mends; a file that is no rule file at all could bring one per line.
const PROBLEMS_MAX: usize = 200;

/// Adds a problem at a place of a file, up to a limit over all files.
pub(super) fn add(problems: &mut Vec<Diagnostic>, path: &Path, text: &str, at: Place, message: impl Into<String>) {
    match problems.len() {
        0..PROBLEMS_MAX => problems.push(Diagnostic::at(path, text, at, message)),
        PROBLEMS_MAX => {
            problems.push(Diagnostic::of_file(path, format!("more than {PROBLEMS_MAX} problems; mend these first")))
        }
        _ => {}
    }
}

/// Every problem of one load; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            write!(f, "{}{diagnostic}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
