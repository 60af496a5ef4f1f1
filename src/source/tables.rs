//! The tables of one connection, by the ids that row events name them with.
//!
//! In: TABLE_MAP events. Out: for a watched table its prepared columns; for any other table quickly that it is not
//! watched. Owns the cache: ids are assigned again after every definition and restart, so it lives no longer than a
//! connection, and a definition in the binlog empties it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::Table;
use crate::column::charset::Charsets;
use crate::column::{ColumnKind, Fault};
use crate::pattern::TablePatterns;
use crate::position::FileOffset;
use crate::schema::{Schema, TableName};

use super::emptied::emptied;
use super::error::Error;
use super::event::Query;
use super::lexer::SqlToken;
use super::table_map::{self, TableMap};
use super::tracking::Tracking;
use super::writes::TableWrite;

/// At most so many tables are known; the ids of dropped and reopened tables are never used again.
const TABLES_MAX: usize = 1024;

pub(super) struct Tables {
    patterns: TablePatterns,
    charsets: Arc<Charsets>,
    tracking: Tracking,
    known: HashMap<u64, Known>,
}

/// `body` is the event that described the table: the same bytes are not parsed twice.
struct Known {
    body: Box<[u8]>,
    watched: Option<Watched>,
}

/// A table that some rule names.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub table: Arc<Table>,
    /// `schema.table`.
    pub qualified: Arc<str>,
    pub kinds: Arc<[ColumnKind]>,
}

/// Why a TABLE_MAP could not be taken in.
#[derive(Debug)]
pub(super) enum TableRefusal {
    Event(Fault),
    /// The server did not answer a question about it.
    Server(Error),
}

impl From<Fault> for TableRefusal {
    fn from(fault: Fault) -> TableRefusal {
        TableRefusal::Event(fault)
    }
}

impl Tables {
    pub fn new(patterns: TablePatterns, charsets: Arc<Charsets>, tracking: Tracking) -> Tables {
        Tables { patterns, charsets, tracking, known: HashMap::new() }
    }

    /// Applies a statement that may define tables.
    pub fn define(&mut self, query: &Query<'_>) {
        self.tracking.define(query, &self.patterns);
        self.known.clear();
    }

    /// What a statement did to rows without row events, and to which watched tables.
    pub fn emptied(&self, query: &Query<'_>, tokens: &[SqlToken]) -> Option<(&'static str, Vec<TableName>)> {
        let schema = std::str::from_utf8(query.schema).unwrap_or_default();
        let (what, mut tables) = emptied(tokens, &self.tracking.naming(schema))?;
        tables.retain(|name| match &*name.table {
            "" => self.patterns.match_schema(&name.schema),
            table => self.patterns.match_any(&name.schema, table),
        });
        (!tables.is_empty()).then_some((what, tables))
    }

    /// The definitions known, if they have changed since the last call.
    pub fn take_change(&mut self) -> Option<Arc<Schema>> {
        self.tracking.take_change()
    }

    /// Keeps the cache small; to be called between transactions only, whose rows need their tables.
    pub fn trim(&mut self) {
        if self.known.len() > TABLES_MAX {
            self.known.clear();
        }
    }

    pub fn charsets(&self) -> &Charsets {
        &self.charsets
    }

    /// Why a statement, which changed rows without saying which, may have changed those of a watched table; none where it
    /// cannot have. `since` is where its transaction begins.
    pub async fn may_write(
        &mut self,
        query: &Query<'_>,
        tokens: Option<&[SqlToken]>,
        since: &FileOffset,
    ) -> Result<Option<String>, Error> {
        if self.touches_only_others(query) {
            return Ok(None);
        }
        let schema = std::str::from_utf8(query.schema).unwrap_or_default();
        let write = match tokens
            .ok_or_else(|| "its text cannot be read".to_string())
            .and_then(|tokens| TableWrite::of(tokens, &self.tracking.naming(schema)))
        {
            Ok(write) => write,
            Err(reason) => return Ok(Some(reason)),
        };
        let is_watched = |table: &&TableName| self.patterns.match_any(&table.schema, &table.table);
        if let Some(table) = write.tables.iter().find(is_watched) {
            return Ok(Some(format!("it writes to {table}")));
        }
        self.tracking.may_write_more(&write, query.is_of_session, since).await
    }

    /// Whether the event names the schemas it touches (`Q_UPDATED_DB_NAMES`), those of triggers, functions and views among
    /// them, and no rule watches any of them.
    fn touches_only_others(&self, query: &Query<'_>) -> bool {
        let names = query.updated_schemas.as_deref().unwrap_or_default();
        let is_other = |name: &&[u8]| {
            std::str::from_utf8(name).is_ok_and(|schema| !schema.is_empty() && !self.patterns.match_schema(schema))
        };
        !names.is_empty() && names.iter().all(is_other)
    }

    /// The table of this id: None when the id is unknown, an inner None when no rule names the table.
    pub fn find(&self, id: u64) -> Option<Option<&Watched>> {
        self.known.get(&id).map(|known| known.watched.as_ref())
    }

    /// Adds a TABLE_MAP event of the transaction that begins at `since`.
    pub async fn learn(&mut self, body: &[u8], since: &FileOffset) -> Result<(), TableRefusal> {
        let (id, schema, name, rest) = table_map::heading(body)?;
        if self.known.get(&id).is_some_and(|known| *known.body == *body) {
            return Ok(());
        }
        let watched = if self.patterns.match_any(schema, name) {
            Some(self.watch(schema, name, rest, since).await?)
        } else {
            None
        };
        self.known.insert(id, Known { body: body.into(), watched });
        Ok(())
    }

    async fn watch(
        &mut self,
        schema: &str,
        name: &str,
        rest: &[u8],
        since: &FileOffset,
    ) -> Result<Watched, TableRefusal> {
        let qualified = format!("{schema}.{name}");
        let of_table = |fault: Fault| fault.within(&format!("table {qualified}"));
        let mut map = TableMap::parse(rest, &self.charsets).map_err(of_table)?;
        if map.names.is_none() {
            let completed = self.tracking.complete(schema, name, map, since).await.map_err(TableRefusal::Server)?;
            map = completed.map_err(of_table)?;
        } else {
            self.tracking.confirm(schema, name, &map);
        }
        let table = Table {
            schema: schema.into(),
            name: name.into(),
            columns: map.names.clone().unwrap_or_default(),
            primary_key: map.primary_key.clone(),
        };
        Ok(Watched { table: Arc::new(table), qualified: qualified.into(), kinds: map.kinds.into() })
    }
}
