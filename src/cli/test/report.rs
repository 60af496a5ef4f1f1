//! How the result of fixtures looks: a line for each, what differs below those that failed, and the counts.
//!
//! In: fixtures with their results. Out: text for a terminal or a log, or the same as plain data for JSON. Control characters
//! of rows are cleaned.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::super::output::{clean, count};
use super::super::preview::explained::Explained;
use crate::fixtures::{Fixture, FixtureDifference, FixtureResult};
use crate::printable::shortened;
use crate::rules::RuleSet;

/// What all fixtures gave.
#[derive(Debug, Default)]
pub(super) struct TestReport {
    pub files: Vec<(PathBuf, Vec<FixtureLine>)>,
    pub problems: Vec<String>,
    pub took: Duration,
    /// Each with its place.
    without_fixture: Vec<(String, String)>,
    matched: BTreeSet<String>,
}

/// One fixture.
#[derive(Debug)]
pub(super) struct FixtureLine {
    pub name: String,
    pub verdict: FixtureVerdict,
    /// Why `--update` left it as it is.
    pub not_updated: Option<String>,
    line: usize,
    column: usize,
    differences: Vec<FixtureDifference>,
    /// By rule: why it does not match, or makes no call.
    whys: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FixtureVerdict {
    Passed,
    Failed,
    /// It failed, and its file has other expectations now.
    Updated,
}

impl FixtureLine {
    pub fn of(fixture: &Fixture, result: FixtureResult) -> FixtureLine {
        let why = |rule: &Arc<_>| {
            // Where no change matches, the last one says why.
            let explained = Explained::of(rule, fixture.changes.last()?);
            Some((explained.rule, explained.why?))
        };
        let whys = result.rules_that_differ().filter_map(why).collect();
        let verdict = if result.passed() { FixtureVerdict::Passed } else { FixtureVerdict::Failed };
        FixtureLine {
            name: fixture.name.clone(),
            verdict,
            not_updated: None,
            line: fixture.at.line,
            column: fixture.at.column,
            differences: result.differences,
            whys,
        }
    }

    /// What the fixture lacks. The first difference of a rule that says "no match" is followed by the values that decided.
    fn why<'a>(&'a self, difference: &'a FixtureDifference) -> Option<&'a str> {
        let says_no = difference.part == "result" && difference.actual.starts_with("no match");
        let why = self.whys.iter().find(|(rule, _)| *rule == difference.rule);
        let why = why.filter(|_| says_no || difference.part == "none").map(|(_, why)| why.as_str());
        difference.why.as_deref().or(why)
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct TestView<'r> {
    ok: bool,
    passed: usize,
    failed: usize,
    updated: usize,
    fixtures: Vec<FixtureView<'r>>,
    /// Of files that can't be read.
    problems: &'r [String],
    rules_without_fixture: Vec<&'r str>,
}

#[derive(Debug, Serialize)]
struct FixtureView<'r> {
    file: String,
    line: usize,
    name: &'r str,
    verdict: FixtureVerdict,
    differences: Vec<DifferenceView<'r>>,
}

#[derive(Debug, Serialize)]
struct DifferenceView<'r> {
    rule: &'r str,
    step: Option<&'r str>,
    part: &'r str,
    expected: &'r str,
    actual: &'r str,
    why: Option<&'r str>,
}

impl TestReport {
    pub fn note_matches(&mut self, results: &[FixtureResult]) {
        let matched = results.iter().flat_map(FixtureResult::rules_that_match).map(str::to_owned);
        self.matched.extend(matched);
    }

    /// To be called after all fixtures.
    pub fn note_rules_without_fixture(&mut self, rules: &RuleSet) {
        let without = rules.rules().iter().filter(|rule| !self.matched.contains(&rule.name));
        self.without_fixture = without.map(|rule| (rule.name.clone(), rule.path.display().to_string())).collect();
    }

    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.number(FixtureVerdict::Failed) == 0
    }

    fn number(&self, verdict: FixtureVerdict) -> usize {
        self.files.iter().flat_map(|(_, lines)| lines).filter(|line| line.verdict == verdict).count()
    }

    pub fn view(&self) -> TestView<'_> {
        let fixtures = self.files.iter().flat_map(|(path, lines)| {
            lines.iter().map(move |line| FixtureView {
                file: path.display().to_string(),
                line: line.line,
                name: &line.name,
                verdict: line.verdict,
                differences: line
                    .differences
                    .iter()
                    .map(|difference| DifferenceView {
                        rule: &difference.rule,
                        step: difference.step.as_deref(),
                        part: &difference.part,
                        expected: &difference.expected,
                        actual: &difference.actual,
                        why: line.why(difference),
                    })
                    .collect(),
            })
        });
        TestView {
            ok: self.is_good(),
            passed: self.number(FixtureVerdict::Passed),
            failed: self.number(FixtureVerdict::Failed),
            updated: self.number(FixtureVerdict::Updated),
            fixtures: fixtures.collect(),
            problems: &self.problems,
            rules_without_fixture: self.without_fixture.iter().map(|(rule, _)| rule.as_str()).collect(),
        }
    }

    pub fn text(&self, is_coloured: bool) -> String {
        let ink = Ink { is_coloured };
        let mut out = String::new();
        for (path, lines) in self.files.iter().filter(|(_, lines)| !lines.is_empty()) {
            out += &format!("{}\n", path.display());
            for line in lines {
                out += &fixture_text(&path.display().to_string(), line, ink);
            }
        }
        for problem in &self.problems {
            out += &format!("{problem}\n");
        }
        for (rule, path) in &self.without_fixture {
            out += &format!("note: no fixture has a change that rule {rule} matches ({path})\n");
        }
        out + &self.closing(ink)
    }

    /// `12 passed, 1 failed in 0.02s`
    fn closing(&self, ink: Ink) -> String {
        let of = |verdict, word: &str| match self.number(verdict) {
            0 => None,
            number => Some(format!("{number} {word}")),
        };
        let problems = self.problems.len() as u64;
        let parts = [
            Some(format!("{} passed", self.number(FixtureVerdict::Passed))),
            of(FixtureVerdict::Failed, "failed"),
            of(FixtureVerdict::Updated, "updated"),
            (problems > 0).then(|| count(problems, "problem", "problems")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let colour = if self.is_good() { Colour::Green } else { Colour::Red };
        format!("{} in {:.2}s\n", ink.paint(colour, &parts.join(", ")), self.took.as_secs_f64())
    }
}

fn fixture_text(path: &str, line: &FixtureLine, ink: Ink) -> String {
    let word = match line.verdict {
        FixtureVerdict::Passed => ink.paint(Colour::Green, "ok     "),
        FixtureVerdict::Failed => ink.paint(Colour::Red, "FAILED "),
        FixtureVerdict::Updated => ink.paint(Colour::Yellow, "updated"),
    };
    let mut out = format!("  {word}  {}\n", clean(&line.name));
    if line.verdict != FixtureVerdict::Failed {
        return out;
    }
    out += &format!("    {path}:{}:{}\n", line.line, line.column);
    for difference in &line.differences {
        let FixtureDifference { rule, step, part, expected, actual, why: _ } = difference;
        let step = step.as_ref().map(|step| format!(", {step}")).unwrap_or_default();
        let Excerpts { from, expected, actual } = Excerpts::of(part, &clean(expected), &clean(actual));
        let from = if from == 0 { String::new() } else { format!(", from character {}", from + 1) };
        out += &format!("    {rule}{step}: {}{from}\n", clean(part));
        out += &format!("      expected  {}\n", ink.paint(Colour::Green, &expected));
        out += &format!("      actual    {}\n", ink.paint(Colour::Red, &actual));
        if let Some(why) = line.why(difference) {
            out += &format!("      why       {}\n", clean(why));
        }
    }
    if let Some(why) = &line.not_updated {
        out += &format!("    not updated: {}\n", clean(why));
    }
    out
}

/// A line of this many characters fits beside `expected` on a terminal of 80 columns.
const VALUE_CHARS_MAX: usize = 64;

/// So many characters that are the same say where the difference is.
const SAME_CHARS: usize = 20;

/// Two values as far as they are shown: the same range of both, around the first character that differs.
#[derive(Debug, PartialEq, Eq)]
struct Excerpts {
    /// The first character that is shown, from 0.
    from: usize,
    expected: String,
    actual: String,
}

impl Excerpts {
    /// Sentences are shown whole, values as far as they fit on a line.
    fn of(part: &str, expected: &str, actual: &str) -> Excerpts {
        let part = part.split_once("].").filter(|_| part.starts_with("calls[")).map_or(part, |(_, part)| part);
        let values = ["method", "url", "headers", "json", "form", "text", "sql", "params"];
        let is_value = values.iter().any(|value| part.starts_with(value));
        let is_long = |text: &str| text.chars().count() > VALUE_CHARS_MAX;
        if !is_value || !(is_long(expected) || is_long(actual)) {
            return Excerpts { from: 0, expected: expected.to_owned(), actual: actual.to_owned() };
        }
        let same = expected.chars().zip(actual.chars()).take_while(|(one, other)| one == other).count();
        let from = if same + SAME_CHARS < VALUE_CHARS_MAX { 0 } else { same - SAME_CHARS };
        let excerpt = |text: &str| {
            let before = if from > 0 { "…" } else { "" };
            let shown: String = text.chars().skip(from).collect();
            format!("{before}{}", shortened(&shown, VALUE_CHARS_MAX - 2))
        };
        Excerpts { from, expected: excerpt(expected), actual: excerpt(actual) }
    }
}

/// Whether texts get colours.
#[derive(Debug, Clone, Copy)]
struct Ink {
    is_coloured: bool,
}

#[derive(Debug, Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

impl Ink {
    fn paint(self, colour: Colour, text: &str) -> String {
        match self.is_coloured {
            // The codes of ECMA-48, which every terminal knows.
            true => format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8),
            false => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_values_the_place_that_differs_is_shown() {
        let (long, other) = (format!("{}x{}", "a".repeat(100), "b".repeat(90)), format!("{}y", "a".repeat(100)));
        let Excerpts { from, expected, actual } = Excerpts::of("calls[1].text, line 3", &long, &other);
        assert_eq!(from, 80);
        assert_eq!(expected, format!("…{}x{}…", "a".repeat(20), "b".repeat(41)));
        assert_eq!(actual, format!("…{}y", "a".repeat(20)));
        assert_eq!(expected.chars().count(), VALUE_CHARS_MAX);
        let beginning = Excerpts::of("url", &long, "b");
        assert_eq!((beginning.from, beginning.expected.as_str()), (0, format!("{}…", "a".repeat(62)).as_str()));
        // Sentences and what fits are whole.
        assert_eq!(Excerpts::of("calls[0].result", &long, "b").expected, long);
        assert_eq!(Excerpts::of("calls[0].json.items[0].sku", &long, &other).from, from);
        assert_eq!(
            Excerpts::of("url", "a", "b"),
            Excerpts { from: 0, expected: "a".to_owned(), actual: "b".to_owned() }
        );
    }
}
