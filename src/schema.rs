//! The definitions of tables at one place in the binlog, for rows that are logged without names.
//!
//! In: definitions that the source has read. Out: plain data that belongs to a position and is stored with the
//! checkpoint, because it is valid at one place only (promise 7: the names of a later definition must never be used for
//! earlier rows). A table that is not listed is not known there. No I/O, no SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use crate::column::ColumnKind;
use crate::column::types::{ColumnType, TYPES};
use crate::pattern::TablePattern;

/// At most so many tables are known. The definition of any other table is read again whenever it is needed.
pub const TABLES_MAX: usize = 16_384;

/// A table's name as the binlog gives it; in lower case where the server compares names without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub schema: Box<str>,
    pub table: Box<str>,
}

impl TableName {
    pub fn new(schema: &str, table: &str) -> TableName {
        TableName { schema: schema.into(), table: table.into() }
    }

    /// Stands for the schema itself, whose character set its new tables get: no table has an empty name.
    pub fn of_schema(schema: &str) -> TableName {
        TableName::new(schema, "")
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A table as it was when the change was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub schema: Box<str>,
    pub name: Box<str>,
    /// Column names in the order of the row image; empty where the change has no rows.
    pub columns: Vec<Box<str>>,
    /// Indexes into `columns`, in the key's own order; empty when the table has no primary key.
    pub primary_key: Vec<usize>,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &**column == name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What is needed to read rows of a table, besides their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// In the order of the row image.
    pub columns: Vec<Column>,
    /// Indexes into `columns`, in the key's own order.
    pub primary_key: Vec<usize>,
    /// The character set that new columns get where nothing else is said; none where it is not known.
    pub charset: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: Box<str>,
    pub family: Family,
}

/// A column as a condition sees it: how its values are logged, and whether they may be NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedColumn {
    pub name: Box<str>,
    /// None for a type that is not known; lengths and digits may be any.
    pub kind: Option<ColumnKind>,
    pub is_nullable: bool,
}

/// A table as it is now, with the types of its columns in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedTable {
    pub table: Table,
    pub columns: Vec<TypedColumn>,
    /// The names of those that are a part of any key, unique or not.
    pub keyed: BTreeSet<Box<str>>,
}

/// The labels of an ENUM or SET, in their order.
pub type Labels = Box<[Box<str>]>;

/// A group of column types, fine enough to notice that a definition does not belong to a row. Lengths are left out, and
/// types that a server may convert into one another by itself (VARCHAR and TEXT) are one family. The list is in
/// [`types`](crate::column::types).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    word: &'static str,
    /// Of types that have some.
    labels: Option<Labels>,
}

impl Family {
    /// The family of a type; `labels` is called where the type has some.
    ///
    /// # Errors
    ///
    /// Why the labels can't be given.
    pub fn of<E>(column_type: &ColumnType, labels: impl FnOnce() -> Result<Labels, E>) -> Result<Family, E> {
        let labels = if column_type.has_labels() { Some(labels()?) } else { None };
        Ok(Family { word: column_type.word, labels })
    }

    /// The family with this word. If it has labels, they are used, and None is an empty list.
    pub fn named(word: &str, labels: Option<Labels>) -> Option<Family> {
        let column_type = TYPES.iter().find(|known| known.word == word)?;
        Family::of(column_type, || Ok::<Labels, Infallible>(labels.unwrap_or_default())).ok()
    }

    /// The word on disk.
    pub fn word(&self) -> &'static str {
        self.word
    }

    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// The same with labels that are made of its own, if it has some.
    ///
    /// # Errors
    ///
    /// What keeps them from being made.
    pub fn with_labels<E>(self, made_of: impl FnOnce(&Labels) -> Result<Labels, E>) -> Result<Family, E> {
        let labels = self.labels.as_ref().map(made_of).transpose()?;
        Ok(Family { labels, ..self })
    }

    /// Whether the values of such a column are logged so, apart from labels.
    pub fn is_of(&self, kind: &ColumnKind) -> bool {
        ColumnType::of_kind(kind).is_some_and(|column_type| column_type.word == self.word)
    }
}

/// The definitions known at one place. Clones share what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    tables: BTreeMap<TableName, Arc<Definition>>,
}

impl Schema {
    pub fn get(&self, name: &TableName) -> Option<&Arc<Definition>> {
        self.tables.get(name)
    }

    /// Adds a definition. False: there is no room, and the table is not known.
    pub fn insert(&mut self, name: TableName, definition: Arc<Definition>) -> bool {
        let has_room = self.tables.len() < TABLES_MAX || self.tables.contains_key(&name);
        if has_room {
            self.tables.insert(name, definition);
        }
        has_room
    }

    pub fn remove(&mut self, name: &TableName) -> Option<Arc<Definition>> {
        self.tables.remove(name)
    }

    /// Removes the tables that fit.
    pub fn forget(&mut self, mut fits: impl FnMut(&TableName) -> bool) {
        self.tables.retain(|name, _| !fits(name));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TableName, &Arc<Definition>)> {
        self.tables.iter()
    }

    pub fn len(&self) -> usize {
        self.tables.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

/// The tables that patterns name, as a server has them now.
#[derive(Debug, Clone, Default)]
pub struct NamedTables {
    pub found: Vec<TypedTable>,
    /// The patterns that no table fits.
    pub missing: Vec<MissingTable>,
}

/// A pattern that no table fits.
#[derive(Debug, Clone)]
pub struct MissingTable {
    pub pattern: TablePattern,
    /// What is there instead, or the name that may have been meant.
    pub what: String,
    pub fix: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_schema_takes_no_other_table_and_still_renews_those_it_has() {
        let definition = Arc::new(Definition::default());
        let mut schema = Schema::default();
        for number in 0..TABLES_MAX {
            assert!(schema.insert(TableName::new("s", &number.to_string()), Arc::clone(&definition)));
        }
        assert!(!schema.insert(TableName::new("s", "more"), Arc::clone(&definition)));
        assert_eq!(schema.get(&TableName::new("s", "more")), None);
        assert!(schema.insert(TableName::new("s", "7"), definition));
    }

    #[test]
    fn every_family_is_known_by_its_word_with_its_labels_and_no_others() {
        let labels: Labels = ["a".into()].into();
        for known in &TYPES {
            let family = Family::of(known, || Ok::<Labels, ()>(labels.clone())).expect("labels");
            assert_eq!(Family::named(family.word(), Some(labels.clone())), Some(family.clone()));
            assert_eq!(family.labels(), known.has_labels().then_some(&labels));
            assert!(family.is_of(&known.form), "{known:?}");
            let others = TYPES.iter().filter(|other| other.word != known.word);
            assert!(others.into_iter().all(|other| !family.is_of(&other.form)), "{known:?}");
        }
        let without = Family::named("set", None).expect("a family");
        assert_eq!(without.labels(), Some(&Labels::default()));
        assert_eq!(Family::named("", None), None);
    }
}
