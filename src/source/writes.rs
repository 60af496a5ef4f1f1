//! Statements that change rows: which tables each one writes to.
//!
//! In: the tokens of a statement that was logged as text. Out: the tables that it names as its targets, with what must
//! be checked on the server before they count as the only ones (triggers, views, foreign keys); or why more tables may
//! be written to. Tables that a statement only reads do not matter. A statement of an unknown form is refused: it may
//! write anywhere (promise 7). Pure: `schema.rs` asks the server.

mod functions;
mod targets;

use std::collections::BTreeSet;

use crate::schema::TableName;

use super::ddl::{Naming, table_name};
use super::lexer::{SqlToken, group, past, position_outside};

/// A statement that names the tables it writes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TableWrite {
    pub tables: Vec<TableName>,
    /// Rows are changed or removed, which foreign keys may carry on to other tables.
    pub changes_rows: bool,
    /// The statement creates the table, so that no trigger or foreign key exists for it.
    pub is_new: bool,
    /// What may be names of views that are read, in lower case.
    pub names: BTreeSet<String>,
    /// The session's default schema.
    pub default_schema: Box<str>,
}

/// Words before the name of the table.
const MODIFIERS: &[&str] = &["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "INTO"];

impl TableWrite {
    /// The error says why it may write to more.
    pub fn of(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<TableWrite, String> {
        let unknown = || "the tables that it writes to can't be determined".to_string();
        let (verb, rest) = verb(tokens).ok_or_else(unknown)?;
        let is_new = verb.is("CREATE");
        let (tables, behind) = targets_of(verb, rest, naming).ok_or_else(unknown)?;
        let before = &tokens[..tokens.len() - rest.len()];
        if let Some(name) = called(before).or_else(|| called(behind)) {
            return Err(format!("it may call the stored function {name}, which may write anywhere"));
        }
        let changes_rows = !is_new && (!verb.is("INSERT") || position_outside(behind, is_on_duplicate).is_some());
        let names =
            tokens.iter().filter_map(SqlToken::name).filter(|name| !name.starts_with(|c: char| c.is_ascii_digit()));
        let names = names.map(str::to_lowercase).collect();
        Ok(TableWrite { tables, changes_rows, is_new, names, default_schema: naming.default_schema.into() })
    }
}

/// The tables that are written to, and the tokens that may call functions. None: of no known form.
fn targets_of<'t>(
    verb: &SqlToken,
    rest: &'t [SqlToken],
    naming: &Naming<'_>,
) -> Option<(Vec<TableName>, &'t [SqlToken])> {
    let rest = without_modifiers(rest);
    if let Some((table, behind)) = one_target(verb, rest, naming) {
        // Names of columns may follow the table.
        let behind = group(behind).map_or(behind, |(_, behind)| behind);
        return Some((vec![table], behind));
    }
    let tables = match verb {
        verb if verb.is("UPDATE") => targets::of_update(rest, naming),
        verb if verb.is("DELETE") => targets::of_delete(rest, naming),
        _ => None,
    };
    Some((tables?, rest))
}

/// The only table of the statement, and what follows its name.
fn one_target<'t>(verb: &SqlToken, rest: &'t [SqlToken], naming: &Naming<'_>) -> Option<(TableName, &'t [SqlToken])> {
    let (named, follow): (_, &[&str]) = match verb {
        verb if verb.is("LOAD") => (after_into_table(rest)?, &[]),
        verb if verb.is("DELETE") => match rest {
            [from, named @ ..] if from.is("FROM") => (named, &["WHERE", "ORDER", "LIMIT"]),
            _ => return None,
        },
        verb if verb.is("UPDATE") => (rest, &["SET"]),
        verb if verb.is_any(&["CREATE", "INSERT", "REPLACE"]) => (rest, &[]),
        _ => return None,
    };
    let (table, behind) = table_name(named, naming).ok()?;
    (follow.is_empty() || has_one_table(behind, follow)).then_some((table, behind))
}

/// The verb, after the common tables of WITH, and what follows it.
fn verb(tokens: &[SqlToken]) -> Option<(&SqlToken, &[SqlToken])> {
    match tokens {
        [with, ..] if with.is("WITH") => {
            let at = position_outside(tokens, |tokens| tokens[0].is_any(&["UPDATE", "DELETE"]))?;
            Some((&tokens[at], &tokens[at + 1..]))
        }
        [create, table, rest @ ..] if create.is("CREATE") && table.is("TABLE") => {
            Some((create, past(rest, &["IF", "NOT", "EXISTS"]).unwrap_or(rest)))
        }
        [verb, rest @ ..] => Some((verb, rest)),
        [] => None,
    }
}

fn without_modifiers(tokens: &[SqlToken]) -> &[SqlToken] {
    let count = tokens.iter().take_while(|token| token.is_any(MODIFIERS)).count();
    &tokens[count..]
}

/// `LOAD DATA ... INTO TABLE`: no text of it can hold these words outside quotes before that.
fn after_into_table(tokens: &[SqlToken]) -> Option<&[SqlToken]> {
    let at = tokens.windows(2).position(|two| two[0].is("INTO") && two[1].is("TABLE"))?;
    Some(&tokens[at + 2..])
}

/// Whether nothing but an alias stands between the table and the words that may follow one.
fn has_one_table(rest: &[SqlToken], follow: &[&str]) -> bool {
    let ends = |tokens: &[SqlToken]| tokens.first().is_none_or(|token| token.is_any(follow) || token.is_sign(';'));
    let rest = match rest {
        [partition, parts @ ..] if partition.is("PARTITION") => group(parts).map_or(parts, |(_, rest)| rest),
        rest => rest,
    };
    match rest {
        rest if ends(rest) => true,
        [used, name, rest @ ..] if used.is("AS") && name.name().is_some() => ends(rest),
        [name, rest @ ..] => name.name().is_some() && !name.is_any(&["USING", "JOIN", "STRAIGHT_JOIN"]) && ends(rest),
        [] => true,
    }
}

fn is_on_duplicate(tokens: &[SqlToken]) -> bool {
    matches!(tokens, [on, duplicate, ..] if on.is("ON") && duplicate.is("DUPLICATE"))
}

/// The name of a call that may be one of a stored function. For the server its own functions have precedence.
fn called(tokens: &[SqlToken]) -> Option<String> {
    tokens.windows(2).enumerate().find_map(|(at, two)| {
        let is_named_by_as = at > 0 && tokens[at - 1].is("AS");
        match &two[0] {
            _ if !two[1].is_sign('(') || is_named_by_as || names_columns(tokens, at) => None,
            SqlToken::Word(word) if functions::is_own(word) => None,
            token => token.name().map(str::to_string),
        }
    })
}

/// Whether the parentheses after this name contain names of columns: those of a common table, `c (a, b) AS (`, or of a
/// query with a name, `(SELECT ...) d (a, b)`.
fn names_columns(tokens: &[SqlToken], at: usize) -> bool {
    let is_common = || {
        let behind = group(&tokens[at + 1..]).map(|(_, behind)| behind);
        behind.is_some_and(|behind| matches!(behind, [used, open, ..] if used.is("AS") && open.is_sign('(')))
    };
    (at > 0 && tokens[at - 1].is_sign(')')) || is_common()
}

/// A statement that may remove the trigger, view or foreign key that an earlier write used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hidden {
    /// A trigger, whose table is not named.
    OfAny,
    /// A view, a table or a foreign key: of what is named, in lower case.
    OfNamed(BTreeSet<String>),
}

impl Hidden {
    pub fn of(tokens: &[SqlToken]) -> Option<Hidden> {
        let (first, second) = (tokens.first()?, tokens.get(1)?);
        let is_of_any = (first.is("DROP") && second.is_any(&["TRIGGER", "DATABASE", "SCHEMA"]))
            || (first.is("ALTER") && tokens.iter().any(|token| token.is_any(&["FOREIGN", "CONSTRAINT"])));
        if is_of_any {
            return Some(Hidden::OfAny);
        }
        let is_of_named = first.is("RENAME")
            || (first.is("ALTER") && tokens.iter().any(|token| token.is("RENAME")))
            || (first.is("DROP") && second.is_any(&["TABLE", "TABLES", "VIEW"]));
        let names = tokens.iter().filter_map(SqlToken::name).map(str::to_lowercase);
        is_of_named.then(|| Hidden::OfNamed(names.collect()))
    }

    pub fn concerns(&self, table: &TableName) -> bool {
        match self {
            Hidden::OfAny => true,
            Hidden::OfNamed(names) => names.contains(&table.table.to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests;
