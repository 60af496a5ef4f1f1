//! ALTER TABLE: which columns it adds, drops, renames, changes and moves.
//!
//! In: the tokens after the table's name. Out: an [`Alteration`], in the form that the server works with
//! (`mysql_prepare_alter_table` in `sql/sql_table.cc`): changes name columns as they were before the statement, places name
//! columns as they are in the list being built. A clause that is not known is an [`Unclear`].

use crate::schema::TableName;

use super::super::lexer::{SqlToken, group, position_outside, split_at_commas};
use super::column::{self, ColumnDefinition, Element, begins_key_or_constraint};
use super::{Naming, Unclear, table_name};

/// What one ALTER TABLE does to a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::source) struct Alteration {
    pub drops: Vec<String>,
    /// ADD, CHANGE and MODIFY in their order.
    pub columns: Vec<ColumnChange>,
    /// RENAME COLUMN: from, to.
    pub renames: Vec<(String, String)>,
    pub drops_key: bool,
    pub key: Option<Vec<String>>,
    /// Labels are converted into another character set.
    pub converts: bool,
    /// The table's character set for new columns; an inner None where it is that of the schema.
    pub charset: Option<Option<Box<str>>>,
    pub new_name: Option<TableName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) struct ColumnChange {
    /// The column that it replaces; none when it is added.
    pub old: Option<String>,
    pub column: ColumnDefinition,
    pub place: ColumnPlace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source) enum ColumnPlace {
    /// Where the column was; a new one at the end.
    Default,
    First,
    After(String),
}

/// First words of clauses that leave columns, their order, their labels and the primary key alone: table options,
/// partitions and how the statement is carried out.
const OTHER_CLAUSES: &[&str] = &[
    "ALGORITHM",
    "ALTER",
    "ANALYZE",
    "AUTOEXTEND_SIZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHARACTER",
    "CHARSET",
    "CHECK",
    "CHECKSUM",
    "COALESCE",
    "COLLATE",
    "COMMENT",
    "COMPRESSION",
    "CONNECTION",
    "DATA",
    "DEFAULT",
    "DELAY_KEY_WRITE",
    "DISABLE",
    "DISCARD",
    "ENABLE",
    "ENCRYPTION",
    "ENGINE",
    "ENGINE_ATTRIBUTE",
    "EXCHANGE",
    "FORCE",
    "IMPORT",
    "INDEX",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "LOCK",
    "MAX_ROWS",
    "MIN_ROWS",
    "OPTIMIZE",
    "ORDER",
    "PACK_KEYS",
    "PASSWORD",
    "REBUILD",
    "REMOVE",
    "REORGANIZE",
    "REPAIR",
    "ROW_FORMAT",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "SECONDARY_LOAD",
    "SECONDARY_UNLOAD",
    "START",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "STORAGE",
    "TABLESPACE",
    "TRUNCATE",
    "UNION",
    "UPGRADE",
    "WITH",
    "WITHOUT",
];

/// Reads the clauses. `naming` says what a table name without a schema means.
pub(super) fn alteration(tokens: &[SqlToken], naming: &Naming<'_>) -> Result<Alteration, Unclear> {
    let tokens = without_partitions(tokens);
    let mut alteration = Alteration::default();
    let tokens = match list_at_end(tokens) {
        // Nothing but the list.
        Some(0) => return Ok(alteration),
        Some(at) => &tokens[..at - 1],
        None => tokens,
    };
    let clauses = split_at_commas(tokens).ok_or(Unclear)?;
    for clause in clauses {
        alteration.take(clause, naming)?;
    }
    Ok(alteration)
}

/// PARTITION BY and REMOVE PARTITIONING follow the last clause without a comma.
fn without_partitions(tokens: &[SqlToken]) -> &[SqlToken] {
    let begins = |tokens: &[SqlToken]| {
        matches!(tokens, [first, second, ..] if first.is("PARTITION") && second.is("BY"))
            || matches!(tokens, [first, second] if first.is("REMOVE") && second.is("PARTITIONING"))
    };
    position_outside(tokens, begins).map_or(tokens, |at| &tokens[..at])
}

/// Where the clause begins that holds a list with commas of its own, and is therefore the last one: ORDER BY, and what is
/// done to partitions, which has their names.
fn list_at_end(tokens: &[SqlToken]) -> Option<usize> {
    let begins = |tokens: &[SqlToken]| match tokens {
        [order, by, ..] if order.is("ORDER") && by.is("BY") => true,
        [verb, partition, ..] if partition.is("PARTITION") => verb.is_any(PARTITION_VERBS),
        _ => false,
    };
    if begins(tokens) {
        return Some(0);
    }
    position_outside(tokens, |tokens| tokens[0].is_sign(',') && begins(&tokens[1..])).map(|at| at + 1)
}

const PARTITION_VERBS: &[&str] = &[
    "ADD",
    "ANALYZE",
    "CHECK",
    "COALESCE",
    "DISCARD",
    "DROP",
    "EXCHANGE",
    "IMPORT",
    "OPTIMIZE",
    "REBUILD",
    "REORGANIZE",
    "REPAIR",
    "TRUNCATE",
];

impl Alteration {
    pub fn changes_columns(&self) -> bool {
        let (new_name, charset) = (self.new_name.clone(), self.charset.clone());
        *self != Alteration { new_name, charset, ..Alteration::default() }
    }

    fn take(&mut self, clause: &[SqlToken], naming: &Naming<'_>) -> Result<(), Unclear> {
        let Some((SqlToken::Word(word), rest)) = clause.split_first() else {
            // `ALTER TABLE t` alone, or with partition clauses only.
            return if clause.is_empty() { Ok(()) } else { Err(Unclear) };
        };
        let named = |at: usize| rest.get(at).and_then(SqlToken::name).map(str::to_string).ok_or(Unclear);
        let is_column = rest.first().is_some_and(|token| token.is("COLUMN"));
        match word.to_ascii_uppercase().as_str() {
            "ADD" => self.add(if is_column { &rest[1..] } else { rest }, is_column),
            "CHANGE" => {
                let rest = &rest[usize::from(is_column)..];
                let old = rest.first().and_then(SqlToken::name).ok_or(Unclear)?;
                self.change(Some(old), &rest[1..])
            }
            "MODIFY" => {
                let rest = &rest[usize::from(is_column)..];
                let old = rest.first().and_then(SqlToken::name).ok_or(Unclear)?;
                self.change(Some(old), rest)
            }
            "DROP" => self.drop(if is_column { &rest[1..] } else { rest }, is_column),
            "RENAME" if is_column => {
                if rest.len() != 4 || !rest[2].is("TO") {
                    return Err(Unclear);
                }
                self.renames.push((named(1)?, named(3)?));
                Ok(())
            }
            "RENAME" if rest.first().is_some_and(|token| token.is_any(&["INDEX", "KEY"])) => Ok(()),
            "RENAME" => {
                let has_word = rest.first().is_some_and(|token| token.is_any(&["TO", "AS"]) || token.is_sign('='));
                let (name, tail) = table_name(&rest[usize::from(has_word)..], naming)?;
                self.new_name = Some(name);
                if tail.is_empty() { Ok(()) } else { Err(Unclear) }
            }
            "CONVERT" => {
                self.converts = true;
                self.charset = column::named_charset(rest);
                Ok(())
            }
            other if OTHER_CLAUSES.contains(&other) => {
                // Options stand side by side without commas. ALTER concerns one column.
                if other != "ALTER" {
                    self.charset = column::named_charset(clause).or(self.charset.take());
                }
                Ok(())
            }
            _ => Err(Unclear),
        }
    }

    fn add(&mut self, rest: &[SqlToken], is_column: bool) -> Result<(), Unclear> {
        let first = rest.first().ok_or(Unclear)?;
        if first.is_sign('(') {
            let (inside, tail) = group(rest).ok_or(Unclear)?;
            if !tail.is_empty() {
                return Err(Unclear);
            }
            for part in split_at_commas(inside).ok_or(Unclear)? {
                match column::element(part)? {
                    Element::Column(column) => self.push(None, column, ColumnPlace::Default),
                    Element::PrimaryKey(key) => self.key = Some(key),
                    Element::Other => {}
                }
            }
            return Ok(());
        }
        if is_column || !(begins_key_or_constraint(first) || first.is("PARTITION")) {
            return self.change(None, rest);
        }
        if first.is("PARTITION") {
            return Ok(());
        }
        if let Element::PrimaryKey(key) = column::element(rest)? {
            self.key = Some(key);
        }
        Ok(())
    }

    /// Reads `name type attributes [FIRST | AFTER other]`.
    fn change(&mut self, old: Option<&str>, tokens: &[SqlToken]) -> Result<(), Unclear> {
        // A table may be called `first` too, and so follow REFERENCES.
        let is_whole = |definition: &[SqlToken]| match definition {
            [_, .., last] => !last.is("REFERENCES") && !last.is_sign('.'),
            _ => false,
        };
        let (definition, place) = match tokens {
            [definition @ .., after, other] if after.is("AFTER") && is_whole(definition) => {
                (definition, ColumnPlace::After(other.name().ok_or(Unclear)?.to_string()))
            }
            [definition @ .., first] if first.is("FIRST") && is_whole(definition) => (definition, ColumnPlace::First),
            _ => (tokens, ColumnPlace::Default),
        };
        let column = column::column(definition)?;
        self.push(old.map(str::to_string), column, place);
        Ok(())
    }

    fn push(&mut self, old: Option<String>, column: ColumnDefinition, place: ColumnPlace) {
        if column.is_key {
            self.key = Some(vec![column.name.clone()]);
        }
        self.columns.push(ColumnChange { old, column, place });
    }

    fn drop(&mut self, rest: &[SqlToken], is_column: bool) -> Result<(), Unclear> {
        let first = rest.first().ok_or(Unclear)?;
        if !is_column && first.is("PRIMARY") {
            self.drops_key = true;
        } else if !is_column && first.is_any(&["INDEX", "KEY", "CONSTRAINT"]) {
            // The name of the primary key, reserved for it.
            self.drops_key |=
                rest.get(1).and_then(SqlToken::name).is_some_and(|name| name.eq_ignore_ascii_case("PRIMARY"));
        } else if is_column || !first.is_any(&["FOREIGN", "CHECK", "PARTITION"]) {
            let name = first.name().ok_or(Unclear)?;
            match &rest[1..] {
                [] => {}
                [word] if word.is_any(&["RESTRICT", "CASCADE"]) => {}
                _ => return Err(Unclear),
            }
            self.drops.push(name.to_string());
        }
        Ok(())
    }
}
