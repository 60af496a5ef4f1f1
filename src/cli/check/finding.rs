//! What `check` found, for people and as JSON.
//!
//! In: a level, a sentence, its place in the rule files where it has one, and what to do. Out: lines of text, on a terminal folded at
//! its width, and the document of `--json`. Judges nothing.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::output;
use crate::rules::{Diagnostic, Doubt, FilePlace, Objection};
use crate::source::{self, Level};

pub(super) const OK: &str = "ok";
pub(super) const WARNING: &str = "warning";
pub(super) const PROBLEM: &str = "problem";

/// Below the level and its blank.
const INDENT: &str = "         ";

/// A fold leaves at least so much room, however narrow the terminal is.
const TEXT_COLUMNS_MIN: usize = 30;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct CheckFinding {
    /// `ok`, `warning` or `problem`.
    pub level: &'static str,
    pub what: String,
    /// The SQL, setting or change of the rule that fixes it.
    pub fix: Option<String>,
    /// The rule file that it is about, or the directory; none of what is about the server.
    pub file: Option<PathBuf>,
    /// From 1; none where it is about the file as a whole.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
}

impl CheckFinding {
    pub fn new(level: &'static str, what: impl Into<String>, fix: Option<String>) -> CheckFinding {
        CheckFinding { level, what: what.into(), fix, file: None, line: None, column: None }
    }

    pub fn ok(what: impl Into<String>) -> CheckFinding {
        CheckFinding::new(OK, what, None)
    }

    /// At its place in a rule file.
    pub fn at(level: &'static str, said: &Diagnostic, fix: Option<String>) -> CheckFinding {
        let place = |part: fn(FilePlace) -> usize| said.place.map(part);
        CheckFinding {
            file: Some(said.path.clone()),
            line: place(|place| place.line),
            column: place(|place| place.column),
            ..CheckFinding::new(level, said.to_string(), fix)
        }
    }
}

impl From<Objection> for CheckFinding {
    fn from(objection: Objection) -> CheckFinding {
        CheckFinding::at(if objection.is_problem { PROBLEM } else { WARNING }, &objection.said, objection.fix)
    }
}

impl From<Doubt> for CheckFinding {
    fn from(doubt: Doubt) -> CheckFinding {
        CheckFinding::at(WARNING, &doubt.said, Some(doubt.fix))
    }
}

impl From<source::Finding> for CheckFinding {
    fn from(finding: source::Finding) -> CheckFinding {
        let level = match finding.level {
            Level::Good => OK,
            Level::Warning => WARNING,
            Level::Problem => PROBLEM,
        };
        CheckFinding::new(level, finding.what, finding.fix)
    }
}

/// One finding per line; its details are indented below. `columns` is the width of the terminal.
pub(super) fn text(findings: &[CheckFinding], columns: Option<u16>) -> String {
    let width = columns.map(|columns| usize::from(columns).saturating_sub(INDENT.len()).max(TEXT_COLUMNS_MIN));
    let mut text = String::new();
    for CheckFinding { level, what, fix, .. } in findings {
        let mut lines = what.lines();
        let first = output::folded(lines.next().unwrap_or_default(), (INDENT, ""), width);
        text += &format!("{level:<8} {first}\n");
        // A line of the file with its caret stays as it is.
        lines.for_each(|line| text += &format!("{INDENT}{line}\n"));
        if let Some(fix) = fix {
            text += &format!("{INDENT}{}\n", output::folded(&format!("fix: {fix}"), (INDENT, "     "), width));
        }
    }
    let number = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let (problems, warnings) = (number(PROBLEM), number(WARNING));
    text + &match (problems, warnings) {
        (0, 0) => "all is well\n".to_string(),
        _ => format!(
            "{}, {}\n",
            output::count(problems, "problem", "problems"),
            output::count(warnings, "warning", "warnings")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_with_their_fixes_below() {
        let findings = [
            CheckFinding::ok("2 rules in rules"),
            CheckFinding::new(PROBLEM, "log_bin = OFF", Some("start with --log-bin".to_string())),
        ];
        let expected = "ok       2 rules in rules\nproblem  log_bin = OFF\n         fix: start with --log-bin\n1 problem, 0 warnings\n";
        assert_eq!(text(&findings, None), expected);
        assert_eq!(text(&findings, Some(80)), expected);
        assert!(text(&findings[..1], None).ends_with("all is well\n"));
    }

    #[test]
    fn on_a_terminal_long_lines_are_folded_between_words_and_lines_of_files_are_not() {
        let what = format!("rules/a.yaml:1:1: {}\n   1 | {}", "word ".repeat(20).trim_end(), "long ".repeat(30));
        let findings = [CheckFinding::new(WARNING, what, Some("write ".repeat(20).trim_end().to_string()))];
        let folded = text(&findings, Some(60));
        let (of_file, others): (Vec<&str>, Vec<&str>) = folded.lines().partition(|line| line.contains("| long"));
        assert_eq!(of_file.len(), 1);
        assert!(others.iter().all(|line| line.chars().count() <= 60), "{folded}");
        assert!(others.iter().skip(1).all(|line| line.starts_with(INDENT) || line.ends_with("warning")), "{folded}");
        assert!(folded.contains("\n              write"), "a fix goes on below its first word:\n{folded}");
        assert_eq!(text(&findings, None).lines().count(), 4, "into a pipe every line is whole");
    }
}
