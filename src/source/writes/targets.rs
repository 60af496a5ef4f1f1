//! UPDATE and DELETE over several tables: which of those that they name they write to.
//!
//! In: the tokens after the verb. Out: the tables whose rows may be changed or removed. A DELETE names them; an UPDATE
//! names them before the columns that it sets, and where a column stands alone, each table that is read may be its table.

use crate::schema::TableName;

use super::super::ddl::{Naming, table_name};
use super::super::lexer::{SqlToken, group, position_outside, split_at_commas};

/// A table that is read, and the name that the statement calls it by.
struct Reference {
    called: String,
    /// None: a common table, which nothing can be written to.
    table: Option<TableName>,
}

/// Words that may follow a table, so that they are no name for it.
const FOLLOW: &[&str] = &[
    "AS",
    "JOIN",
    "INNER",
    "CROSS",
    "LEFT",
    "RIGHT",
    "NATURAL",
    "STRAIGHT_JOIN",
    "ON",
    "USING",
    "USE",
    "FORCE",
    "IGNORE",
];

/// After `UPDATE`: `a JOIN b ON ... SET a.x = 1, ...`.
pub(super) fn of_update(tokens: &[SqlToken], naming: &Naming<'_>) -> Option<Vec<TableName>> {
    let set = position_outside(tokens, |tokens| tokens[0].is("SET"))?;
    let references = references(&tokens[..set], naming)?;
    let end = position_outside(&tokens[set..], |tokens| tokens[0].is("WHERE")).map_or(tokens.len(), |at| set + at);
    let mut targets = Vec::new();
    for assignment in split_at_commas(&tokens[set + 1..end])? {
        targets.extend(match assignment {
            [schema, a, table, b, _, sign, ..] if a.is_sign('.') && b.is_sign('.') && is_assigned(sign) => {
                vec![naming.table(schema.name()?, table.name()?)]
            }
            [table, dot, _, sign, ..] if dot.is_sign('.') && is_assigned(sign) => called(table.name()?, &references)?,
            [_, sign, ..] if is_assigned(sign) => {
                references.iter().map(|reference| reference.table.clone()).collect::<Option<_>>()?
            }
            _ => return None,
        });
    }
    Some(targets)
}

/// After `DELETE`: `a, b FROM a JOIN b ...` or `FROM a, b USING a JOIN b ...`.
pub(super) fn of_delete(tokens: &[SqlToken], naming: &Naming<'_>) -> Option<Vec<TableName>> {
    let (tokens, between) = match tokens {
        [from, rest @ ..] if from.is("FROM") => (rest, "USING"),
        rest => (rest, "FROM"),
    };
    let at = position_outside(tokens, |tokens| tokens[0].is(between))?;
    let end = position_outside(tokens, |tokens| tokens[0].is("WHERE")).unwrap_or(tokens.len());
    let references = references(tokens.get(at + 1..end)?, naming)?;
    let mut targets = Vec::new();
    for name in split_at_commas(&tokens[..at])? {
        let name = match name {
            [name @ .., dot, star] if dot.is_sign('.') && star.is_sign('*') => name,
            name => name,
        };
        targets.extend(match name {
            [schema, dot, table] if dot.is_sign('.') => vec![naming.table(schema.name()?, table.name()?)],
            [table] => called(table.name()?, &references)?,
            _ => return None,
        });
    }
    Some(targets)
}

fn is_assigned(token: &SqlToken) -> bool {
    token.is_sign('=') || token.is_sign(':')
}

/// The tables that a name may mean; several if their names differ only in case.
fn called(name: &str, references: &[Reference]) -> Option<Vec<TableName>> {
    let name = name.to_lowercase();
    let meant = references.iter().filter(|reference| reference.called == name);
    let tables: Vec<TableName> = meant.map(|reference| reference.table.clone()).collect::<Option<_>>()?;
    (!tables.is_empty()).then_some(tables)
}

fn references(mut tokens: &[SqlToken], naming: &Naming<'_>) -> Option<Vec<Reference>> {
    let mut found = Vec::new();
    let mut is_table_next = true;
    while let [first, rest @ ..] = tokens {
        if is_table_next {
            tokens = reference(tokens, naming, &mut found)?;
            is_table_next = false;
            continue;
        }
        match first {
            SqlToken::Sign('(') => tokens = group(tokens)?.1,
            SqlToken::Sign('{') => return None,
            // A hint: `USE INDEX FOR JOIN (i)`.
            _ if first.is("FOR") => tokens = rest.get(1..)?,
            _ => {
                is_table_next = first.is_sign(',') || first.is_any(&["JOIN", "STRAIGHT_JOIN"]);
                tokens = rest;
            }
        }
    }
    (!is_table_next).then_some(found)
}

/// The table, the query or the joined tables in parentheses that stand here, and what follows.
fn reference<'t>(tokens: &'t [SqlToken], naming: &Naming<'_>, found: &mut Vec<Reference>) -> Option<&'t [SqlToken]> {
    match tokens {
        [lateral, rest @ ..] if lateral.is("LATERAL") => reference(rest, naming, found),
        [table, open, ..] if table.is("JSON_TABLE") && open.is_sign('(') => Some(past_name(group(&tokens[1..])?.1)),
        [open, ..] if open.is_sign('(') => {
            let (inside, rest) = group(tokens)?;
            if inside.first()?.is_any(&["SELECT", "WITH", "VALUES", "TABLE"]) {
                return Some(past_columns(past_name(rest)));
            }
            found.extend(references(inside, naming)?);
            Some(past_name(rest))
        }
        _ => {
            let (name, table, rest) = match (table_name(tokens, naming), tokens) {
                (Ok((table, rest)), _) => (table.table.to_string(), Some(table), rest),
                // Without a schema to stand in.
                (Err(_), [name, rest @ ..]) => (name.name()?.to_string(), None, rest),
                (Err(_), []) => return None,
            };
            let rest = match rest {
                [partition, parts @ ..] if partition.is("PARTITION") => group(parts)?.1,
                rest => rest,
            };
            let after = past_name(rest);
            let given = rest[..rest.len() - after.len()].last().and_then(SqlToken::name);
            let called = given.unwrap_or(&name).to_lowercase();
            found.push(Reference { called, table });
            Some(after)
        }
    }
}

/// What follows the name that is given to a table here, if one is.
fn past_name(tokens: &[SqlToken]) -> &[SqlToken] {
    match tokens {
        [used, name, rest @ ..] if used.is("AS") && name.name().is_some() => rest,
        [name, rest @ ..] if name.name().is_some() && !name.is_any(FOLLOW) => rest,
        tokens => tokens,
    }
}

/// What follows the names of a query's columns.
fn past_columns(tokens: &[SqlToken]) -> &[SqlToken] {
    group(tokens).map_or(tokens, |(_, rest)| rest)
}
