//! What to write instead of text that is not YAML.
//!
//! In: the text of a rule file, where the parser gave up, and its message. Out: the place of the mistake and one sentence, if
//! that line or the one above it has one of the usual mistakes: a tab, a value that needs quotes, a quote that does not close or
//! closes too early, a missing blank or comma, an indentation that fits no line above. None where no fix is known. Reads lines, not YAML.

use crate::rules::diagnostic::FilePlace;

/// What the parser says where lines are not indented as it expects.
const OF_INDENTATION: [&str; 7] = [
    "did not find expected key",
    "did not find expected '-' indicator",
    "mapping values are not allowed",
    "block sequence entries are not allowed",
    "indentation",
    "expected <document start>",
    "simple key expected",
];

/// Lines above the mistake that are inspected; a rule is shorter.
const LINES_ABOVE_MAX: usize = 500;

/// `said` is what the parser found at `at`.
pub(super) fn of(text: &str, at: FilePlace, said: &str) -> Option<(FilePlace, String)> {
    let first = at.line.saturating_sub(LINES_ABOVE_MAX + 1);
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().skip(first).take(at.line - first).map(|(n, line)| (n + 1, line)).collect();
    let is_filled = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let last: Vec<(usize, &str)> = lines.iter().rev().filter(|(_, line)| is_filled(line)).take(2).copied().collect();
    let next = text.lines().nth(at.line).map(|line| (at.line + 1, line));
    last.iter()
        .chain(&next)
        .find_map(|(number, line)| tab(*number, line))
        .or_else(|| of_quotes(&lines, at, said))
        .or_else(|| {
            let of_value = |(number, line): &(usize, &str)| value(*number, line, said);
            last.iter().find_map(of_value).or_else(|| of_brackets(at, said)).or_else(|| {
                let (number, line) = last.first()?;
                OF_INDENTATION.iter().any(|part| said.contains(part)).then(|| indentation(&lines, *number, line))?
            })
        })
}

fn tab(number: usize, line: &str) -> Option<(FilePlace, String)> {
    let indent = line.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t')?;
    let what = "a tab indents this line, and YAML takes spaces alone; write two spaces instead of each tab";
    Some((FilePlace { line: number, column: indent + 1 }, what.to_string()))
}

/// A quote that closes too early, or never.
fn of_quotes(lines: &[(usize, &str)], at: FilePlace, said: &str) -> Option<(FilePlace, String)> {
    if said.contains("trailing content after") && said.contains("quoted scalar") {
        let what = "the value goes on after its closing quote; put all of it between quotes, of the other kind if it has quotes in it";
        return Some((at, what.to_string()));
    }
    if !said.contains("quoted scalar") && !said.contains("quoted string") {
        return None;
    }
    lines.iter().rev().find_map(|(number, line)| {
        let (column, value) = value_of(line);
        let quote = value.chars().next().filter(|c| ['"', '\''].contains(c))?;
        let is_open = !value[1..].contains(quote);
        is_open.then(|| {
            (FilePlace { line: *number, column }, format!("the quote `{quote}` that opens here is not closed"))
        })
    })
}

/// A comma or a bracket that is missing in `[ ]` or `{ }`.
fn of_brackets(at: FilePlace, said: &str) -> Option<(FilePlace, String)> {
    let close = ["expected ',' or ']'", "expected ',' or '}'"].into_iter().find(|part| said.contains(part))?;
    let close = close.chars().rev().nth(1)?;
    Some((at, format!("a `,` is missing before this, or the `{close}` that closes what is open")))
}

fn value(number: usize, line: &str, said: &str) -> Option<(FilePlace, String)> {
    let (column, value) = value_of(line);
    let place = |column| FilePlace { line: number, column };
    let first = value.chars().next()?;
    if value.starts_with("{{") || value.starts_with("{%") {
        return Some((
            place(column),
            "a value that begins with a template stands in quotes: \"{{ row.id }}\"".to_string(),
        ));
    }
    if ['*', '&', '@', '`', '%', '!'].contains(&first) {
        return Some((place(column), format!("a value that begins with `{first}` stands in quotes: '{first}...'")));
    }
    if let Some(offset) = unquoted_template(value).filter(|_| ['{', '['].contains(&first)) {
        let column = column + value[..offset].chars().count();
        let what = "a template stands in quotes within `{ }` and `[ ]`: \"{{ row.id }}\"";
        return Some((place(column), what.to_string()));
    }
    let is_plain = !['"', '\'', '{', '[', '|', '>'].contains(&first);
    if said.contains("mapping values")
        && is_plain
        && let Some(offset) = value.find(": ").filter(|_| value.len() < line.trim_start().len())
    {
        let column = column + value[..offset].chars().count();
        return Some((place(column), "a value that holds a colon and a blank stands in quotes: 'a: b'".to_string()));
    }
    // `key:value`
    let word = line.trim_start().trim_start_matches("- ");
    let key = word.split(':').next().filter(|key| key.len() < word.len() && is_key(key))?;
    let behind = word[key.len() + 1..].chars().next()?;
    (!behind.is_whitespace() && !word[key.len()..].starts_with("://")).then(|| {
        let column = line.chars().count() - word.chars().count() + key.chars().count() + 2;
        (place(column), format!("a blank stands between the colon and the value: `{key}: ...`"))
    })
}

/// Where an opening `{{` stands that is not in quotes.
fn unquoted_template(value: &str) -> Option<usize> {
    let mut quote = None;
    value.char_indices().find_map(|(offset, c)| {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if value[offset..].starts_with("{{") => return Some(offset),
            _ => {}
        }
        None
    })
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// What comes after the dashes and the key of a line, and its column from 1.
fn value_of(line: &str) -> (usize, &str) {
    let mut rest = line.trim_start();
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start();
    }
    if let Some((_, value)) = rest.split_once(':').filter(|(key, _)| is_key(key))
        && value.starts_with([' ', '\t'])
    {
        rest = value.trim_start();
    }
    (line.chars().count() - rest.chars().count() + 1, rest)
}

fn indentation(lines: &[(usize, &str)], number: usize, line: &str) -> Option<(FilePlace, String)> {
    let mut open: Vec<usize> = Vec::new();
    let above =
        lines.iter().filter(|(n, line)| *n < number && !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    for (_, line) in above {
        let mut at = spaces(line);
        open.retain(|column| *column < at);
        open.push(at);
        let mut rest = &line[at..];
        while let Some(item) = rest.strip_prefix("- ") {
            rest = item.trim_start();
            at = line.len() - rest.len();
            open.push(at);
        }
    }
    let own = spaces(line);
    let nearest = open.iter().min_by_key(|column| column.abs_diff(own))?;
    (!open.contains(&own)).then(|| {
        let what = format!("this line is indented by {own} spaces and fits no line above it; write {nearest} spaces");
        (FilePlace { line: number, column: own + 1 }, what)
    })
}

fn spaces(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}
