//! Which tables `init` is for: those that were named, or the answer to a question.
//!
//! In: arguments or a line from the terminal, and the names of all tables. Out: names of tables that there are, each once; otherwise
//! one line that says which there are.

use std::io::{self, Write as _};

use anyhow::{anyhow, bail};

use crate::cli::confirm::{ask, can_ask};
use crate::cli::output;
use crate::config;
use crate::schema::TableName;
use crate::suggest::did_you_mean;

/// Tables that an error names.
const TABLES_SHOWN_MAX: usize = 12;

/// The tables with these names.
pub(super) fn named(names: &[String], known: &[TableName]) -> anyhow::Result<Vec<TableName>> {
    let mut chosen = Vec::new();
    for name in names {
        let table = find(name, known).map_err(|problem| anyhow!("{problem}"))?;
        if !chosen.contains(table) {
            chosen.push(table.clone());
        }
    }
    Ok(chosen)
}

/// Asks on the terminal; elsewhere no answer is possible.
pub(super) fn asked(known: &[TableName]) -> anyhow::Result<Vec<TableName>> {
    if !can_ask() {
        return Err(config::Error::NoTable { tables: listed(known) }.into());
    }
    let mut stderr = io::stderr();
    for (number, table) in known.iter().enumerate() {
        writeln!(stderr, "{:>5}  {}", number + 1, output::clean(&table.to_string()))?;
    }
    while let Some(answer) = ask("Tables to write a first rule for (numbers or names, separated by blanks):")? {
        match answered(&answer, known) {
            Ok(chosen) => return Ok(chosen),
            Err(problem) => writeln!(stderr, "{problem}")?,
        }
    }
    writeln!(stderr)?;
    bail!("no table was chosen; nothing was written")
}

/// What an answer names: numbers from the list, names, or both.
fn answered(answer: &str, known: &[TableName]) -> Result<Vec<TableName>, String> {
    let mut chosen = Vec::new();
    for word in answer.split([' ', ',', '\t', '\n', '\r']).filter(|word| !word.is_empty()) {
        let table = match word.parse::<usize>() {
            Ok(number) => number
                .checked_sub(1)
                .and_then(|index| known.get(index))
                .ok_or_else(|| format!("{word} is no number of the list, which goes from 1 to {}", known.len()))?,
            Err(_) => find(word, known)?,
        };
        if !chosen.contains(table) {
            chosen.push(table.clone());
        }
    }
    if chosen.is_empty() { Err("that names no table".to_string()) } else { Ok(chosen) }
}

fn find<'k>(name: &str, known: &'k [TableName]) -> Result<&'k TableName, String> {
    if let Some(table) = known.iter().find(|table| table.to_string() == name) {
        return Ok(table);
    }
    let name = output::clean(name);
    let of_this_name: Vec<&TableName> = known.iter().filter(|table| *table.table == *name).collect();
    if !of_this_name.is_empty() {
        let full: Vec<String> = of_this_name.iter().map(ToString::to_string).collect();
        return Err(format!("{name} names no schema; write {}", full.join(" or ")));
    }
    let all: Vec<String> = known.iter().map(ToString::to_string).collect();
    let hint = did_you_mean(&name, all.iter().map(String::as_str));
    let else_known = if hint.is_empty() { format!("; there are {}", listed(known)) } else { hint };
    Err(format!("there is no table {name}, or the account may not see it{else_known}"))
}

fn listed(known: &[TableName]) -> String {
    let shown: Vec<String> =
        known.iter().take(TABLES_SHOWN_MAX).map(|table| output::clean(&table.to_string())).collect();
    match known.len().saturating_sub(TABLES_SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<TableName> {
        [("crm", "users"), ("shop", "orders"), ("shop", "users")]
            .map(|(schema, table)| TableName::new(schema, table))
            .into()
    }

    #[test]
    fn an_answer_has_numbers_or_names_each_table_once() {
        let chosen = |answer: &str| {
            answered(answer, &known()).map(|tables| tables.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(chosen("2\n"), Ok(vec!["shop.orders".to_string()]));
        assert_eq!(chosen("3, 1"), Ok(vec!["shop.users".to_string(), "crm.users".to_string()]));
        assert_eq!(chosen("shop.orders 2"), Ok(vec!["shop.orders".to_string()]));
        for (answer, part) in [
            ("", "names no table"),
            (" ,\n", "names no table"),
            ("0", "from 1 to 3"),
            ("4", "from 1 to 3"),
            ("users", "write crm.users or shop.users"),
            ("shop.ordres", "did you mean `shop.orders`?"),
            ("-1", "there is no table -1"),
        ] {
            let problem = chosen(answer).expect_err(answer);
            assert!(problem.contains(part), "{answer}: {problem}");
        }
    }

    #[test]
    fn a_table_that_there_is_not_is_answered_with_those_that_there_are() {
        let problem = named(&["x".to_string()], &known()).expect_err("no such table").to_string();
        assert!(problem.ends_with("there are crm.users, shop.orders, shop.users"), "{problem}");
        let many: Vec<TableName> = (0..20).map(|n| TableName::new("s", &format!("table_{n}"))).collect();
        assert!(listed(&many).ends_with("s.table_11 and 8 more"), "{}", listed(&many));
    }
}
