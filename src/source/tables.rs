//! The tables of one connection, by the ids that row events name them with.
//!
//! In: TABLE_MAP events. Out: for a watched table its prepared columns, for any other a quick "not ours". Owns the cache:
//! ids are given anew after every definition and restart, so it lives no longer than a connection, and a definition seen
//! in the binlog empties it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::Table;
use crate::column::charset::Charsets;
use crate::column::{Fault, Kind};
use crate::pattern::TablePatterns;

use super::error::Error;
use super::schema::Definitions;
use super::table_map::{self, TableMap};

/// Tables known at most; the ids of dropped and reopened tables never come back.
const TABLES_MAX: usize = 1024;

pub(super) struct Tables {
    patterns: TablePatterns,
    charsets: Arc<Charsets>,
    definitions: Definitions,
    known: HashMap<u64, Known>,
}

/// `body` is the event that told of the table: the same bytes need no second look.
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
    pub kinds: Arc<[Kind]>,
}

/// Why a TABLE_MAP could not be taken in.
#[derive(Debug)]
pub(super) enum Refusal {
    Event(Fault),
    /// The server did not answer a question about it.
    Server(Error),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Event(fault)
    }
}

const FULL_METADATA_MEND: &str = "SET PERSIST binlog_row_metadata = 'FULL', so that the binlog itself names the columns, \
     and start anew after this place; if the account lacks it: GRANT SELECT on the table";

impl Tables {
    pub fn new(patterns: TablePatterns, charsets: Arc<Charsets>, definitions: Definitions) -> Tables {
        Tables { patterns, charsets, definitions, known: HashMap::new() }
    }

    /// Forgets all: definitions may have changed.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Keeps the cache small; to be called between transactions only, whose rows need their tables.
    pub fn trim(&mut self) {
        if self.known.len() > TABLES_MAX {
            self.known.clear();
        }
    }

    pub fn watches_schema(&self, schema: &str) -> bool {
        self.patterns.match_schema(schema)
    }

    /// The table of this id: none when the id is unknown, an inner none when no rule names the table.
    pub fn find(&self, id: u64) -> Option<Option<&Watched>> {
        self.known.get(&id).map(|known| known.watched.as_ref())
    }

    /// Takes a TABLE_MAP event in.
    pub async fn learn(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let (id, schema, name, rest) = table_map::heading(body)?;
        if self.known.get(&id).is_some_and(|known| *known.body == *body) {
            return Ok(());
        }
        let watched =
            if self.patterns.match_any(schema, name) { Some(self.watch(schema, name, rest).await?) } else { None };
        self.known.insert(id, Known { body: body.into(), watched });
        Ok(())
    }

    async fn watch(&mut self, schema: &str, name: &str, rest: &[u8]) -> Result<Watched, Refusal> {
        let qualified = format!("{schema}.{name}");
        let of_table = |fault: Fault| Fault { what: format!("table {qualified}: {}", fault.what), mend: fault.mend };
        let mut map = TableMap::parse(rest, &self.charsets).map_err(of_table)?;
        if map.names.is_none() {
            let completed = self.definitions.complete(schema, name, map).await.map_err(Refusal::Server)?;
            map = completed.map_err(|problem| of_table(Fault::new(problem, FULL_METADATA_MEND)))?;
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
