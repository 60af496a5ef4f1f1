//! Problems in rule files, in a form for people.
//!
//! In: a file's text and a place in it. Out: `path:line:column: message` with the offending line and a caret below it.
//! All problems of all files are reported at once, in the order of the files and of the places in them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::printable::{columns_of, is_printable};

/// Lines of generated files may be very long: so many characters are shown, around the place of the problem.
const LINE_CHARACTERS_MAX: usize = 200;

/// Of a line that is cut, so much is shown before the place.
const CHARACTERS_BEFORE: usize = 120;

/// A place in a file; lines and columns (in characters) count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePlace {
    pub line: usize,
    pub column: usize,
}

impl FilePlace {
    /// `path:line:column`.
    pub fn within(self, path: &Path) -> String {
        format!("{}:{}:{}", path.display(), self.line, self.column)
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub path: PathBuf,
    /// None for a problem with the file or directory as a whole.
    pub place: Option<FilePlace>,
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
    pub fn at(path: &Path, text: &str, place: FilePlace, message: impl Into<String>) -> Diagnostic {
        // Tabs stay: the caret is placed by them.
        let clean =
            |text: &str| text.chars().map(|c| if is_printable(c) || c == '\t' { c } else { '\u{fffd}' }).collect();
        let line_text = clean(text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default());
        Diagnostic { path: path.to_path_buf(), place: Some(place), message: clean(&message.into()), line_text }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place @ FilePlace { line, column }) = self.place else {
            return write!(f, "{}: {}", self.path.display(), self.message);
        };
        write!(f, "{}: {}", place.within(&self.path), self.message)?;
        if self.line_text.is_empty() {
            return Ok(());
        }
        let (shown, before) = window(&self.line_text, column.saturating_sub(1));
        // Tabs stay tabs below, so that the caret stands where the terminal puts the character.
        let below = |c: char| if c == '\t' { "\t".to_string() } else { " ".repeat(columns_of(c)) };
        let indent: String = shown.chars().take(before).map(below).collect();
        let number = format!("{line:>4}");
        write!(f, "\n{number} | {shown}\n{:1$} | {indent}^", "", number.len())
    }
}

/// The part of a line that is shown, and how many characters of it stand before the one that is meant.
fn window(line: &str, before: usize) -> (String, usize) {
    let length = line.chars().count();
    if length <= LINE_CHARACTERS_MAX {
        return (line.to_string(), before);
    }
    let latest = length - LINE_CHARACTERS_MAX;
    let first = if before < LINE_CHARACTERS_MAX { 0 } else { (before - CHARACTERS_BEFORE).min(latest) };
    let part: String = line.chars().skip(first).take(LINE_CHARACTERS_MAX).collect();
    let (open, close) = (if first > 0 { "…" } else { "" }, if first < latest { "…" } else { "" });
    (format!("{open}{part}{close}"), before - first + open.chars().count())
}

/// More than a person fixes at once; a file that is no rule file could have a problem in every line.
const PROBLEMS_MAX: usize = 200;

/// Adds a problem at a place of a file, up to a limit over all files.
pub(super) fn add(problems: &mut Vec<Diagnostic>, path: &Path, text: &str, at: FilePlace, message: impl Into<String>) {
    match problems.len() {
        0..PROBLEMS_MAX => problems.push(Diagnostic::at(path, text, at, message)),
        PROBLEMS_MAX => {
            problems.push(Diagnostic::of_file(path, format!("more than {PROBLEMS_MAX} problems; fix these first")))
        }
        _ => {}
    }
}

/// At a place of a file that may be another one by now, so that its text is not shown.
pub(super) fn located(path: &Path, place: FilePlace, message: String) -> Diagnostic {
    Diagnostic { path: path.to_path_buf(), place: Some(place), message, line_text: String::new() }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The character above the caret, with tabs of eight columns, and the width of what is shown.
    fn above_caret(text: &str, column: usize) -> (char, usize) {
        let diagnostic = Diagnostic::at(Path::new("f"), text, FilePlace { line: 1, column }, "m").to_string();
        let lines: Vec<&str> = diagnostic.lines().collect();
        let [_, shown, caret] = lines[..] else { panic!("{diagnostic}") };
        let end = |at: usize, c: char| if c == '\t' { (at / 8 + 1) * 8 } else { at + columns_of(c) };
        let wanted = caret.chars().take_while(|c| *c != '^').fold(0, end);
        let mut at = 0;
        let found = shown.chars().find(|c| {
            let is_there = at == wanted && columns_of(*c) > 0;
            at = end(at, *c);
            is_there
        });
        (found.unwrap_or('$'), shown.chars().count())
    }

    #[test]
    fn the_caret_stands_below_the_place_in_lines_of_any_length() {
        let long = |before: usize, after: usize| format!("{}X{}", "ab".repeat(before / 2), "c".repeat(after));
        for (text, column) in [
            ("X".to_string(), 1),
            ("a: X".to_string(), 4),
            ("\ta:\tX b".to_string(), 5),
            ("名前: X".to_string(), 5),
            ("e\u{301}🎉X".to_string(), 4),
            (long(198, 0), 199),
            (long(198, 300), 199),
            (long(200, 0), 201),
            (long(200, 900), 201),
            (long(900, 0), 901),
            (long(900, 4), 901),
            (long(15_000, 1_000), 15_001),
            ("名".repeat(700) + "X" + &"前".repeat(300), 701),
            ("\t".repeat(300) + "X", 301),
        ] {
            let (found, shown) = above_caret(&text, column);
            assert_eq!(found, 'X', "{column} of {text}");
            assert!(shown <= LINE_CHARACTERS_MAX + 12, "{shown} characters of {text}");
        }
        assert_eq!(above_caret("abc", 4).0, '$', "behind the end");
    }

    #[test]
    fn the_caret_stands_right_in_a_file_of_very_many_lines() {
        let text = "\n".repeat(99_999) + "abc";
        let shown = Diagnostic::at(Path::new("f"), &text, FilePlace { line: 100_000, column: 2 }, "m").to_string();
        assert!(shown.ends_with("\n100000 | abc\n       |  ^"), "{shown}");
    }
}
