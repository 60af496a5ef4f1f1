//! Printing: tables, JSON and errors.
//!
//! In: the output of a command. Out: text on stdout, errors on stderr. Texts from outside (names of tables, answers of
//! APIs) are cleaned of control characters, so that they cannot steer the terminal. Cuts lines to the width of a
//! terminal; output into a pipe is whole.

use std::collections::HashSet;
use std::io::{self, ErrorKind, IsTerminal, Write as _};

use comfy_table::{Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use serde::Serialize;

pub(super) use crate::in_words::{ago, bytes, count, short, span};
use crate::printable::is_printable;

/// Prints to stdout. A reader that has gone (`| head`) is no failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    write(text.as_bytes()).map(drop)
}

/// Whether stdout still has a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Reads,
    Gone,
}

/// Writes bytes to stdout, whole.
pub(super) fn write(bytes: &[u8]) -> io::Result<Reader> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Reads),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// One JSON document, indented.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(&format!("{}\n", serde_json::to_string_pretty(value)?))?)
}

/// One JSON document on one line.
pub(super) fn print_json_line(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(&format!("{}\n", serde_json::to_string(value)?))?)
}

/// One line on stderr. The texts of our errors contain those of their causes, so no chain is printed.
pub(super) fn report(error: &anyhow::Error) {
    complain(&format!("error: {error}"));
}

/// A line on stderr under the program's name.
pub(super) fn complain(text: &str) {
    // Without stderr there is nowhere to report the error.
    let _ = writeln!(io::stderr(), "rowhook: {text}");
}

/// How a cell is shown: on a terminal, unless `NO_COLOR` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// All is well.
    Good,
    /// It may pass by itself, or an operator wanted it.
    Careful,
    /// A person must act.
    Bad,
}

impl Tone {
    fn colour(self) -> Option<Color> {
        match self {
            Tone::Plain => None,
            Tone::Good => Some(Color::Green),
            Tone::Careful => Some(Color::Yellow),
            Tone::Bad => Some(Color::Red),
        }
    }
}

/// Whether colours are wanted on this stream.
pub(super) fn is_coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A table without lines, its head and rows cleaned.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let toned = |cells: Vec<String>| cells.into_iter().map(|cell| (cell, Tone::Plain)).collect();
    toned_table(head, rows.into_iter().map(toned), &Columns::default())
}

/// Narrower columns are never folded: numbers, times, words.
const FOLDED_WIDTH_MIN: usize = 30;

/// As [`table`], with its wide columns folded where it is wider than `width`: nothing is cut.
pub(super) fn folded_table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    table.set_content_arrangement(ContentArrangement::Disabled);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|cells| cells.iter().map(|cell| clean(cell)).collect()).collect();
    for cells in &rows {
        table.add_row(cells);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        let widest = rows.iter().filter_map(|cells| cells.get(at)).map(|cell| cell.chars().count()).max();
        if widest.is_none_or(|widest| widest < FOLDED_WIDTH_MIN) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    printed(&mut table)
}

/// The lines, with two blanks between columns and none at the end.
fn printed(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Characters on a line of the terminal; none where stdout is none.
pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width().filter(|_| io::stdout().is_terminal())
}

/// The line, with breaks between its words where it is longer than `width`. Later lines begin with the indent, which is no part of the
/// width, and with what hangs below the first word.
pub(super) fn folded(line: &str, (indent, hanging): (&str, &str), width: Option<usize>) -> String {
    let Some(width) = width else { return line.to_string() };
    let (mut out, mut used) = (String::new(), 0);
    for word in line.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out += &format!("\n{indent}{hanging}");
            used = hanging.len();
        } else if !out.is_empty() {
            out.push(' ');
            used += 1;
        }
        out += word;
        used += length;
    }
    out
}

/// How many lines the terminal shows.
pub(super) fn terminal_height() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// The special columns of a table, by their index from 0.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Aligned to the right.
    pub numbers: Vec<usize>,
    /// Never cut, however narrow the terminal is.
    pub whole: Vec<usize>,
}

/// As [`table`], with cells in colours.
pub(super) fn toned_table(
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<(String, Tone)>>,
    columns: &Columns,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    let cut = io::stdout().is_terminal();
    let coloured = is_coloured(&io::stdout());
    table.set_content_arrangement(if cut { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
    for cells in rows {
        let cells = cells.iter().map(|(text, tone)| match tone.colour().filter(|_| coloured) {
            Some(colour) => Cell::new(clean(text)).fg(colour),
            None => Cell::new(clean(text)),
        });
        let mut row = Row::from(cells.collect::<Vec<_>>());
        if cut {
            row.max_height(1);
        }
        table.add_row(row);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        if columns.numbers.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if columns.whole.contains(&at) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        } else if let Some(name) = head.get(at).filter(|_| cut) {
            // With the blanks between columns: a head is never folded.
            let width = u16::try_from(name.len()).unwrap_or(u16::MAX).saturating_add(2);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
    }
    printed(&mut table)
}

/// Names of at most so many characters, each cut in its middle where it is longer: what tells names apart stands at either
/// end. Names that are different stay different.
pub(super) fn cut_in_the_middle(names: &[&str], characters_max: usize) -> Vec<String> {
    let room = characters_max.max(CUT_CHARACTERS_MIN) - 1;
    let different: HashSet<&str> = names.iter().copied().collect();
    // Half of each end, or else as much more of one end as makes the difference.
    let mut heads: Vec<usize> = (0..=room).collect();
    heads.sort_by_key(|head| head.abs_diff(room.div_ceil(2)));
    let cut_all = |head: usize| -> Vec<String> {
        let shown = names.iter().map(|name| cut_at(name, head, room - head));
        shown.collect()
    };
    let is_clear = |shown: &Vec<String>| shown.iter().collect::<HashSet<_>>().len() == different.len();
    let numbered = || {
        let shown = names.iter().enumerate().map(|(n, name)| {
            let number = format!("#{}", n + 1);
            cut_at(name, room.saturating_sub(number.len()), 0) + &number
        });
        shown.collect()
    };
    heads.into_iter().map(cut_all).find(is_clear).unwrap_or_else(numbered)
}

/// So short a name tells nothing.
const CUT_CHARACTERS_MIN: usize = 6;

fn cut_at(name: &str, head: usize, tail: usize) -> String {
    let length = name.chars().count();
    if length <= head + tail + 1 {
        return name.to_owned();
    }
    let (begin, end): (String, String) =
        (name.chars().take(head).collect(), name.chars().skip(length - tail).collect());
    format!("{begin}…{end}")
}

/// The text without what steers a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_in_their_middle_and_stay_different() {
        let cut = |names: &[&str], max| cut_in_the_middle(names, max);
        assert_eq!(cut(&["short", "order-paid-to-fulfilment"], 11), ["short", "order…lment"]);
        let rules = ["warehouse-orders-paid-eu", "warehouse-orders-paid-us", "warehouse-orders-sent-eu"];
        for max in 6..30 {
            let shown = cut(&rules, max);
            assert!(shown.iter().all(|name| name.chars().count() <= max), "{max}: {shown:?}");
            assert_eq!(shown.iter().collect::<HashSet<_>>().len(), 3, "{max}: {shown:?}");
        }
        assert_eq!(cut(&["aaaaaaaaXaaaaaaaa", "aaaaaaaaYaaaaaaaa"], 8), ["aaaaa…#1", "aaaaa…#2"]);
    }

    #[test]
    fn a_table_that_is_too_wide_is_folded_and_not_cut() {
        let text = format!("{{\"error\": \"{}\"}}", "no such order ".repeat(8).trim_end());
        let rows = || [vec!["1".to_string(), "2026-11-20T12:30:00.000000Z".to_string(), text.clone()]];
        let folded = folded_table(&["", "at", "text"], rows(), Some(60));
        let lines: Vec<&str> = folded.lines().collect();
        assert!(lines.len() > 4 && lines.iter().all(|line| line.chars().count() <= 60), "{folded}");
        assert!(lines[1].starts_with("1  2026-11-20T12:30:00.000000Z  {\"error\":"), "{folded}");
        let words: Vec<&str> = folded.split_whitespace().skip(4).collect();
        assert_eq!(words.join(" "), text);
        assert_eq!(folded_table(&["", "at", "text"], rows(), None).lines().count(), 2);
    }

    #[test]
    fn a_table_is_aligned_and_contains_no_control_characters() {
        let rows = [vec!["1".to_string(), "a\u{1b}[31mb".to_string()], vec!["10".to_string(), "c".to_string()]];
        let lines = table(&["number", "rule"], rows);
        assert_eq!(lines, "number  rule\n1       a\u{fffd}[31mb\n10      c\n");
    }
}
