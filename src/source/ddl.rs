//! Statements that define tables: what each one does to the definitions that are known.
//!
//! In: the text of a statement from the binlog, with what it was logged with. Out: a [`DdlEffect`], which `apply` carries
//! out on a schema. What is not understood with certainty makes every table unknown that it may mean: all whose names
//! stand in it (promise 7). Pure: no I/O. A parser of its own, because general ones reject or misread a large part of
//! MySQL's ALTER TABLE (docs/decisions/0010).

use std::collections::BTreeSet;

use crate::column::charset::{Charset, Charsets};
use crate::schema::TableName;

use super::event::Query;
use super::lexer::{self, SqlToken, group, past, position_outside, split_at_commas};

mod alter;
mod apply;
mod column;
#[cfg(test)]
mod tests;

use alter::Alteration;
use column::{ColumnDefinition, Element};

/// A part of the statement is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unclear;

/// What names in a statement mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming<'a> {
    /// The session's schema; empty when it had none.
    pub default_schema: &'a str,
    /// `lower_case_table_names` is not 0.
    pub ignores_case: bool,
}

impl Naming<'_> {
    pub fn table(&self, schema: &str, table: &str) -> TableName {
        if self.ignores_case {
            TableName::new(&schema.to_lowercase(), &table.to_lowercase())
        } else {
            TableName::new(schema, table)
        }
    }
}

/// What a statement does to tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DdlEffect {
    /// Concerns no columns.
    Nothing,
    /// The table exists after it. A table that existed before is unchanged, with or without `IF NOT EXISTS`: without
    /// it, the statement would have failed and would not be in the binlog.
    Create {
        table: TableName,
        definition: Result<Created, Unclear>,
        if_not_exists: bool,
    },
    Drop(Vec<TableName>),
    DropSchema(String),
    /// The character set that new tables of a schema get from now on; None where the statement names none.
    SchemaCharset {
        schema: String,
        charset: Option<Box<str>>,
    },
    /// One after another.
    Rename(Vec<(TableName, TableName)>),
    Alter {
        table: TableName,
        alteration: Result<Alteration, Unclear>,
    },
    /// Not understood.
    Unclear(Mentions),
}

/// The definition of a new table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Created {
    Columns { columns: Vec<ColumnDefinition>, key: Vec<String>, charset: Option<Option<Box<str>>> },
    Like(TableName),
}

/// The tables that a statement may mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mentions {
    All,
    /// Those with one of these names, in lower case, whatever their schema.
    Words(BTreeSet<String>),
}

impl Mentions {
    pub fn may_mean(&self, name: &TableName) -> bool {
        match self {
            Mentions::All => true,
            Mentions::Words(words) => {
                words.contains(&name.table.to_lowercase()) || words.contains(&name.schema.to_lowercase())
            }
        }
    }
}

/// What may follow CREATE, ALTER and DROP without concerning any table's columns.
const OTHER_OBJECTS: &[&str] = &[
    "AGGREGATE",
    "EVENT",
    "FULLTEXT",
    "FUNCTION",
    "INDEX",
    "INSTANCE",
    "LIBRARY",
    "LOADABLE",
    "LOGFILE",
    "PREPARE",
    "PROCEDURE",
    "RESOURCE",
    "ROLE",
    "SERVER",
    "SPATIAL",
    "TABLESPACE",
    "TRIGGER",
    "UNDO",
    "UNIQUE",
    "USER",
    "VIEW",
];

/// Words between CREATE or ALTER and what is created, which views, routines and events may carry.
const BEFORE_OBJECTS: &[&str] = &["ALGORITHM", "DEFINER", "OR", "SQL"];

/// First words of statements that define no table, besides CREATE, ALTER, DROP and RENAME, which may.
const NO_DEFINITIONS: &[&str] = &[
    "ANALYZE",
    "CALL",
    "CHANGE",
    "CHECK",
    "CLONE",
    "COMMENT",
    "DELETE",
    "DO",
    "FLUSH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "INSTALL",
    "KILL",
    "LOAD",
    "LOCK",
    "OPTIMIZE",
    "PURGE",
    "REPAIR",
    "REPLACE",
    "RESET",
    "RESTART",
    "REVOKE",
    "SELECT",
    "SET",
    "TRUNCATE",
    "UNINSTALL",
    "UNLOCK",
    "UPDATE",
    "USE",
    "WITH",
];

/// Reads a statement as its event has it.
pub(super) fn read_logged(query: &Query<'_>, charsets: &Charsets, ignores_case: bool) -> DdlEffect {
    // The name of the schema is UTF-8 whatever the session's character set.
    let schema = std::str::from_utf8(query.schema);
    let naming = Naming { default_schema: schema.unwrap_or_default(), ignores_case };
    let mut tokens = lexer::tokens_of(query, charsets);
    if !keeps_texts(query, charsets) {
        let texts = tokens.iter_mut().flatten().filter_map(|token| match token {
            SqlToken::Text(text) if !text.is_ascii() => Some(text),
            _ => None,
        });
        texts.for_each(|text| *text = "\u{fffd}".to_string());
    }
    let mut effect = read(tokens.as_deref(), &naming);
    if query.charset_connection.map(|id| charsets.of(id.into())) != Some(Charset::Utf8) {
        effect.for_each_column(|column| column.is_utf8 = false);
    }
    effect.in_session_of(query);
    effect
}

impl DdlEffect {
    /// Facts that the text does not contain: whether a table was created or existed, and whether temporary tables are
    /// meant.
    fn in_session_of(&mut self, query: &Query<'_>) {
        match self {
            DdlEffect::Alter { .. } if query.is_of_session => *self = DdlEffect::Nothing,
            DdlEffect::Create { definition, if_not_exists, .. } => {
                *if_not_exists &= !query.has_changed_dictionary;
                if query.is_of_session && matches!(definition, Ok(Created::Like(_))) {
                    *definition = Err(Unclear);
                }
            }
            _ => {}
        }
    }

    fn for_each_column(&mut self, change: impl FnMut(&mut ColumnDefinition)) {
        match self {
            DdlEffect::Create { definition: Ok(Created::Columns { columns, .. }), .. } => {
                columns.iter_mut().for_each(change)
            }
            DdlEffect::Alter { alteration: Ok(alteration), .. } => {
                alteration.columns.iter_mut().map(|changed| &mut changed.column).for_each(change);
            }
            _ => {}
        }
    }
}

/// Whether the server reads a text as the client wrote it: the text is converted through the character set of the
/// connection, where other letters may get lost.
fn keeps_texts(query: &Query<'_>, charsets: &Charsets) -> bool {
    let (client, connection) = (query.charset_client, query.charset_connection);
    let is_same_set = client.map(|id| charsets.of(id.into())) == connection.map(|id| charsets.of(id.into()));
    // There are two UTF-8 sets; one lacks the characters of four bytes, beyond the Basic Multilingual Plane.
    is_same_set && (client == connection || query.text.iter().all(|byte| *byte < 0xf0))
}

/// Reads a statement that defines. `tokens` is None when its text cannot be read.
pub(super) fn read(tokens: Option<&[SqlToken]>, naming: &Naming<'_>) -> DdlEffect {
    let Some(tokens) = tokens else { return DdlEffect::Unclear(Mentions::All) };
    let end = tokens.iter().rposition(|token| !token.is_sign(';')).map_or(0, |last| last + 1);
    let tokens = &tokens[..end];
    effect(tokens, naming).unwrap_or_else(|Unclear| {
        let word = |token: &SqlToken| match token {
            SqlToken::Word(text) | SqlToken::Name(text) | SqlToken::Text(text) => Some(text.to_lowercase()),
            _ => None,
        };
        DdlEffect::Unclear(Mentions::Words(tokens.iter().filter_map(word).collect()))
    })
}

fn effect(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<DdlEffect, Unclear> {
    let [first, second, rest @ ..] = tokens else { return Ok(DdlEffect::Nothing) };
    let is_table = second.is_any(&["TABLE", "TABLES"]);
    let is_schema = second.is_any(&["DATABASE", "SCHEMA"]);
    if first.is("CREATE") && is_table {
        create(rest, naming)
    } else if first.is("ALTER") && is_table {
        let (table, clauses) = table_name(rest, naming)?;
        Ok(DdlEffect::Alter { table, alteration: alter::alteration(clauses, naming) })
    } else if first.is("DROP") && is_table {
        names(without_if_exists(rest), naming).map(DdlEffect::Drop)
    } else if first.is("DROP") && is_schema {
        match without_if_exists(rest) {
            [name] => {
                let name = name.name().ok_or(Unclear)?;
                Ok(DdlEffect::DropSchema(if naming.ignores_case { name.to_lowercase() } else { name.to_string() }))
            }
            _ => Err(Unclear),
        }
    } else if is_schema && first.is_any(&["CREATE", "ALTER"]) {
        Ok(schema_charset(first.is("CREATE"), rest, naming))
    } else if first.is("DROP") && second.is("INDEX") {
        drop_index(rest, naming)
    } else if first.is("RENAME") && is_table {
        rename(rest, naming)
    } else if first.is_any(&["CREATE", "DROP"]) && second.is("TEMPORARY") {
        Ok(DdlEffect::Nothing)
    } else if first.is_any(&["CREATE", "ALTER", "DROP"]) {
        let is_other = second.is_any(OTHER_OBJECTS) || second.is_any(BEFORE_OBJECTS);
        if is_other { Ok(DdlEffect::Nothing) } else { Err(Unclear) }
    } else if first.is_any(NO_DEFINITIONS) || first.is_sign('(') || (first.is("RENAME") && second.is("USER")) {
        Ok(DdlEffect::Nothing)
    } else {
        Err(Unclear)
    }
}

/// What CREATE and ALTER DATABASE say about new tables.
fn schema_charset(is_new: bool, tokens: &[SqlToken], naming: &Naming<'_>) -> DdlEffect {
    let is_conditional = tokens.first().is_some_and(|token| token.is("IF"));
    let rest = if is_conditional { tokens.get(3..).unwrap_or_default() } else { tokens };
    // ALTER DATABASE may leave out the name.
    let is_option =
        |token: &SqlToken| token.is_any(&["CHARACTER", "CHAR", "CHARSET", "COLLATE", "DEFAULT", "ENCRYPTION", "READ"]);
    let named = rest.first().filter(|token| !is_option(token)).and_then(SqlToken::name);
    let schema = named.unwrap_or(naming.default_schema);
    let schema = if naming.ignores_case { schema.to_lowercase() } else { schema.to_string() };
    match column::named_charset(rest) {
        None if !is_new || is_conditional => DdlEffect::Nothing,
        // It is not known whether it was created now, nor which character set it has if it existed before.
        _ if is_conditional => DdlEffect::SchemaCharset { schema, charset: None },
        named => DdlEffect::SchemaCharset { schema, charset: named.flatten() },
    }
}

/// `[schema.]table`, and what follows.
pub(super) fn table_name<'t>(
    tokens: &'t [SqlToken],
    naming: &Naming<'_>,
) -> Result<(TableName, &'t [SqlToken]), Unclear> {
    match tokens {
        [schema, dot, table, rest @ ..] if dot.is_sign('.') => {
            let (schema, table) = (schema.name().ok_or(Unclear)?, table.name().ok_or(Unclear)?);
            Ok((naming.table(schema, table), rest))
        }
        [table, rest @ ..] if !naming.default_schema.is_empty() => {
            Ok((naming.table(naming.default_schema, table.name().ok_or(Unclear)?), rest))
        }
        _ => Err(Unclear),
    }
}

pub(super) fn without_if_exists(tokens: &[SqlToken]) -> &[SqlToken] {
    past(tokens, &["IF", "EXISTS"]).unwrap_or(tokens)
}

/// A list of tables, perhaps with RESTRICT or CASCADE after it.
fn names(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<Vec<TableName>, Unclear> {
    let tokens = match tokens {
        [names @ .., last] if names.len() > 1 && last.is_any(&["RESTRICT", "CASCADE"]) => names,
        other => other,
    };
    let whole = |part| match table_name(part, naming)? {
        (name, []) => Ok(name),
        _ => Err(Unclear),
    };
    split_at_commas(tokens).ok_or(Unclear)?.into_iter().map(whole).collect()
}

fn rename(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<DdlEffect, Unclear> {
    let pair = |part| {
        let (from, rest) = table_name(part, naming)?;
        match rest.split_first() {
            Some((to, rest)) if to.is("TO") => match table_name(rest, naming)? {
                (to, []) => Ok((from, to)),
                _ => Err(Unclear),
            },
            _ => Err(Unclear),
        }
    };
    let pairs = split_at_commas(tokens).ok_or(Unclear)?.into_iter().map(pair).collect::<Result<_, _>>()?;
    Ok(DdlEffect::Rename(pairs))
}

/// ``DROP INDEX `PRIMARY` ON t`` drops the primary key; any other index is ignored.
fn drop_index(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<DdlEffect, Unclear> {
    match tokens {
        [index, on, rest @ ..] if on.is("ON") => {
            if !index.name().is_some_and(|name| name.eq_ignore_ascii_case("PRIMARY")) {
                return Ok(DdlEffect::Nothing);
            }
            let (table, _) = table_name(rest, naming)?;
            let alteration = Alteration { drops_key: true, ..Alteration::default() };
            Ok(DdlEffect::Alter { table, alteration: Ok(alteration) })
        }
        _ => Err(Unclear),
    }
}

fn create(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<DdlEffect, Unclear> {
    let conditional = past(tokens, &["IF", "NOT", "EXISTS"]);
    let (table, rest) = table_name(conditional.unwrap_or(tokens), naming)?;
    Ok(DdlEffect::Create { table, definition: created(rest, naming), if_not_exists: conditional.is_some() })
}

/// Reads what follows the name: `(elements) options` or LIKE. Columns that a query gives are in no list.
fn created(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<Created, Unclear> {
    if tokens.first().is_some_and(|token| token.is("LIKE")) {
        return table_name(&tokens[1..], naming).map(|(like, _)| Created::Like(like));
    }
    let (inside, options) = group(tokens).ok_or(Unclear)?;
    if inside.first().is_some_and(|token| token.is("LIKE")) {
        return table_name(&inside[1..], naming).map(|(like, _)| Created::Like(like));
    }
    let queries = ["SELECT", "TABLE", "VALUES", "WITH", "AS", "IGNORE", "REPLACE"];
    if position_outside(options, |tokens| tokens[0].is_any(&queries)).is_some() {
        return Err(Unclear);
    }
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    for part in split_at_commas(inside).ok_or(Unclear)? {
        match column::element(part)? {
            Element::Column(column) => {
                if column.is_key {
                    key = vec![column.name.clone()];
                }
                columns.push(column);
            }
            Element::PrimaryKey(columns) => key = columns,
            Element::Other => {}
        }
    }
    Ok(Created::Columns { columns, key, charset: column::named_charset(options) })
}
