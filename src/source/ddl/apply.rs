//! What a statement does to a schema.
//!
//! In: a [`DdlEffect`]. Out: the schema after it. A table whose new definition does not follow with certainty is removed.
//! Also says which tables get another definition by an effect, for definitions that are read later than their rows.

use std::sync::Arc;

use crate::schema::{Column, Definition, Schema, TableName};

use super::alter::{Alteration, ColumnChange, ColumnPlace};
use super::column::{ColumnDefinition, settled};
use super::{Created, DdlEffect, Unclear};

impl DdlEffect {
    /// Carries the effect out. A new table is added if `is_wanted` is true for it. Returns whether anything changed.
    pub fn apply(&self, schema: &mut Schema, is_wanted: impl Fn(&TableName) -> bool) -> bool {
        if *self == DdlEffect::Nothing {
            return false;
        }
        let before = schema.clone();
        self.carry_out(schema, is_wanted);
        *schema != before
    }

    fn carry_out(&self, schema: &mut Schema, is_wanted: impl Fn(&TableName) -> bool) {
        match self {
            DdlEffect::Nothing => {}
            DdlEffect::Create { table, definition, if_not_exists } => {
                // It is not known whether the table existed before, so it is not known either whether it was created
                // now.
                if *if_not_exists {
                    return;
                }
                schema.remove(table);
                if let (true, Ok(created)) = (is_wanted(table), definition)
                    && let Ok(definition) = define(table, created, schema)
                {
                    schema.insert(table.clone(), definition);
                }
            }
            DdlEffect::Drop(tables) => tables.iter().for_each(|table| drop(schema.remove(table))),
            DdlEffect::DropSchema(dropped) => schema.forget(|table| *table.schema == **dropped),
            DdlEffect::Rename(pairs) => pairs.iter().for_each(|(from, to)| rename(schema, from, to)),
            DdlEffect::Alter { table, alteration } => {
                let default = schema_charset(schema, table);
                if let Some(before) = schema.remove(table)
                    && let Ok(alteration) = alteration
                    && let Ok(after) = alter(&before, alteration, default)
                {
                    schema.insert(table.clone(), if after == *before { before } else { Arc::new(after) });
                }
                if let Ok(Alteration { new_name: Some(to), .. }) = alteration {
                    rename(schema, table, to);
                }
            }
            DdlEffect::SchemaCharset { schema: name, charset } => {
                let name = TableName::of_schema(name);
                schema.remove(&name);
                if charset.is_some() && is_wanted(&name) {
                    let charset = charset.clone();
                    schema.insert(name, Arc::new(Definition { charset, ..Definition::default() }));
                }
            }
            DdlEffect::Unclear(mentions) => schema.forget(|table| mentions.may_mean(table)),
        }
    }

    /// Whether the table may have had another definition before. A table that was created had none, and no rows.
    pub fn redefines(&self, name: &TableName) -> bool {
        match self {
            DdlEffect::Nothing | DdlEffect::Create { .. } => false,
            DdlEffect::Drop(tables) => tables.contains(name),
            DdlEffect::DropSchema(dropped) => *name.schema == **dropped,
            DdlEffect::SchemaCharset { schema, .. } => *name == TableName::of_schema(schema),
            DdlEffect::Rename(pairs) => pairs.iter().any(|(from, to)| from == name || to == name),
            DdlEffect::Alter { table, alteration: Err(Unclear) } => table == name,
            DdlEffect::Alter { table, alteration: Ok(alteration) } => {
                (table == name && (alteration.changes_columns() || alteration.new_name.is_some()))
                    || alteration.new_name.as_ref() == Some(name)
            }
            DdlEffect::Unclear(mentions) => mentions.may_mean(name),
        }
    }
}

fn rename(schema: &mut Schema, from: &TableName, to: &TableName) {
    let moved = schema.remove(from);
    schema.remove(to);
    if let Some(definition) = moved {
        schema.insert(to.clone(), definition);
    }
}

/// The character set that new tables of its schema get.
fn schema_charset(schema: &Schema, table: &TableName) -> Option<Box<str>> {
    schema.get(&TableName::of_schema(&table.schema))?.charset.clone()
}

fn define(table: &TableName, created: &Created, schema: &Schema) -> Result<Arc<Definition>, Unclear> {
    match created {
        Created::Like(other) => schema.get(other).cloned().ok_or(Unclear),
        Created::Columns { columns, key, charset } => {
            let charset = charset.clone().flatten().or_else(|| schema_charset(schema, table));
            let columns =
                columns.iter().map(|column| as_column(column, charset.as_deref())).collect::<Result<_, _>>()?;
            Definition::with_key(columns, key, charset).map(Arc::new)
        }
    }
}

/// `default` is the character set of the table.
fn as_column(definition: &ColumnDefinition, default: Option<&str>) -> Result<Column, Unclear> {
    let charset = definition.charset.as_ref().and_then(Option::as_deref).or(default);
    let family = definition.family.clone().with_labels(|labels| settled(labels, charset, definition.is_utf8))?;
    Ok(Column { name: definition.name.as_str().into(), family })
}

impl Definition {
    fn with_key(columns: Vec<Column>, key: &[String], charset: Option<Box<str>>) -> Result<Definition, Unclear> {
        let primary_key = key.iter().map(|name| find(names(&columns), name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Definition { columns, primary_key, charset })
    }
}

fn names(columns: &[Column]) -> impl Iterator<Item = &str> {
    columns.iter().map(|column| &*column.name)
}

/// Index of the only column of this name.
fn find<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Result<usize, Unclear> {
    let mut found = names.enumerate().filter(|(_, known)| is_same(known, name));
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        _ => Err(Unclear),
    }
}

/// Column names are compared without regard to case.
fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
}

/// A column in the list that is being built.
struct Placed {
    column: Column,
    /// The name that keys from before the statement use for it: a column that is added takes the place of one of its name that is
    /// dropped.
    known_as: Box<str>,
}

/// Follows `mysql_prepare_alter_table`: first the columns that were there, each in its place; then, in the order of the
/// statement, those that are added or moved.
fn alter(before: &Definition, alteration: &Alteration, default: Option<Box<str>>) -> Result<Definition, Unclear> {
    let has_wide_labels =
        |column: &Column| column.family.labels().is_some_and(|labels| labels.iter().any(|label| !label.is_ascii()));
    if alteration.converts && before.columns.iter().any(has_wide_labels) {
        return Err(Unclear);
    }
    all_are_there(before, alteration)?;
    let charset = match &alteration.charset {
        None => before.charset.clone(),
        Some(named) => named.clone().or(default),
    };
    let mut list: Vec<Placed> = before
        .columns
        .iter()
        .filter_map(|column| {
            let placed = |column: Column, known_as: &Column| Placed { column, known_as: known_as.name.clone() };
            Some(successor(column, alteration, charset.as_deref())?.map(|next| placed(next, column)))
        })
        .collect::<Result<_, _>>()?;
    let place_of = |list: &[Placed], name: &str| find(list.iter().map(|placed| &*placed.column.name), name);
    for change in
        alteration.columns.iter().filter(|change| change.old.is_none() || change.place != ColumnPlace::Default)
    {
        let column = as_column(&change.column, charset.as_deref())?;
        // A column that is moved keeps its old place until its turn comes, and others may be placed after it.
        let known_as = match change.old {
            Some(_) => list.remove(place_of(&list, &column.name)?).known_as,
            None => column.name.clone(),
        };
        let at = match &change.place {
            ColumnPlace::Default => list.len(),
            ColumnPlace::First => 0,
            ColumnPlace::After(other) => place_of(&list, other)? + 1,
        };
        list.insert(at, Placed { column, known_as });
    }
    let successor_of = |at: &usize| {
        let part = &before.columns.get(*at)?.name;
        let placed = list.iter().find(|placed| is_same(&placed.known_as, part))?;
        Some(placed.column.name.to_string())
    };
    let key = match &alteration.key {
        Some(added) => added.clone(),
        None if alteration.drops_key => Vec::new(),
        None => before.primary_key.iter().filter_map(successor_of).collect(),
    };
    Definition::with_key(list.into_iter().map(|placed| placed.column).collect(), &key, charset)
}

/// The column after the statement; None if it is dropped.
fn successor(column: &Column, alteration: &Alteration, charset: Option<&str>) -> Option<Result<Column, Unclear>> {
    if alteration.drops.iter().any(|dropped| is_same(dropped, &column.name)) {
        return None;
    }
    let replaces = |change: &&ColumnChange| change.old.as_ref().is_some_and(|old| is_same(old, &column.name));
    if let Some(change) = alteration.columns.iter().find(replaces) {
        return Some(as_column(&change.column, charset));
    }
    let renamed = alteration.renames.iter().find(|(from, _)| is_same(from, &column.name));
    let name = renamed.map_or_else(|| column.name.clone(), |(_, to)| to.as_str().into());
    Some(Ok(Column { name, family: column.family.clone() }))
}

/// What the statement names must exist: else the definition was not the table's.
fn all_are_there(before: &Definition, alteration: &Alteration) -> Result<(), Unclear> {
    let changed = alteration.columns.iter().filter_map(|change| change.old.as_ref());
    let renamed = alteration.renames.iter().map(|(from, _)| from);
    for name in alteration.drops.iter().chain(changed).chain(renamed) {
        find(names(&before.columns), name)?;
    }
    Ok(())
}
