//! Names, labels and keys of tables whose rows are logged without them (`binlog_row_metadata=MINIMAL`, the server's
//! default).
//!
//! In: statements in the order of the binlog, TABLE_MAP events without names. Out: [`TableMap`]s completed with the
//! definition that the table had at that place. Owns the [`Schema`] of the place that is being read. Statements change
//! it; and where a table is not known, a definition that is read from the server is used only if no statement between
//! here and the end of the binlog may have changed it since. Else the names are unknown, and reading stops (promise 7).

use std::collections::HashSet;
use std::sync::Arc;

use crate::column::charset::Charsets;
use crate::column::types::ColumnType;
use crate::column::{ColumnKind, Fault};
use crate::pattern::TablePatterns;
use crate::position::FileOffset;
use crate::schema::{Column, Definition, Family, Labels, Schema};

use super::connection::Connection;
use super::ddl::{self, Naming};
use super::error::Error;
use super::event::Query;
use super::scan::Scan;
use super::schema::{TableDefinitions, fit};
use super::server::Server;
use super::settings::Settings;
use super::table_map::TableMap;
use super::writes::TableWrite;

/// At most so many tables of no rule are tracked, because they may be renamed into one of a rule.
const UNWATCHED_MAX: usize = 4096;

/// At most so many writes are remembered as harmless; others are checked each time.
const HARMLESS_MAX: usize = 256;

/// How many times a definition is read: it may change during the first read, and then the second one decides.
const READS_MAX: usize = 2;

pub(super) struct Tracking {
    schema: Schema,
    is_changed: bool,
    /// New tables are tracked only where rows come without names.
    notes_new_tables: bool,
    ignores_case: bool,
    charsets: Arc<Charsets>,
    definitions: TableDefinitions,
    scan: Scan,
    /// Writes that were found to write only to their table. A statement may change that, so each one empties this set.
    harmless: HashSet<TableWrite>,
}

impl Tracking {
    /// `schema` contains the definitions that are known where reading begins.
    pub fn new(settings: &Settings, server: &Server, schema: &Schema) -> Tracking {
        Tracking {
            schema: schema.clone(),
            is_changed: false,
            notes_new_tables: !server.has_full_metadata(),
            ignores_case: server.ignores_case(),
            charsets: Arc::clone(&server.charsets),
            definitions: TableDefinitions::new(settings.clone(), server.uuid),
            scan: Scan::new(settings, server),
            harmless: HashSet::new(),
        }
    }

    /// The schema, if it has changed since the last call.
    pub fn take_change(&mut self) -> Option<Arc<Schema>> {
        std::mem::take(&mut self.is_changed).then(|| Arc::new(self.schema.clone()))
    }

    /// Carries out a statement.
    pub fn define(&mut self, query: &Query<'_>, watched: &TablePatterns) {
        self.harmless.clear();
        let effect = ddl::read_logged(query, &self.charsets, self.ignores_case);
        let has_room = self.schema.len() < UNWATCHED_MAX;
        let notes_new_tables = self.notes_new_tables;
        let is_changed = effect.apply(&mut self.schema, |name| {
            notes_new_tables && (has_room || watched.match_any(&name.schema, &name.table))
        });
        self.is_changed |= is_changed;
    }

    /// Reads definitions over this connection, which leads to the server that is read.
    pub fn ask_over(&mut self, connection: Connection) {
        self.definitions.ask_over(connection);
    }

    /// Reads the definitions of all watched tables at once, where reading begins at `since`. Definitions that are not
    /// certain there are read when their rows come.
    pub async fn learn_all(&mut self, watched: &TablePatterns, since: &FileOffset) -> Result<(), Error> {
        let defined = self.definitions.all(watched).await?;
        let until = self.definitions.end_of_log().await?;
        for (name, definition) in defined {
            let name = self.naming("").table(&name.schema, &name.table);
            if self.scan.last_redefinition(&name, since, &until).await?.is_none() {
                self.is_changed |= self.schema.insert(name, Arc::new(definition));
            }
        }
        Ok(())
    }

    /// A TABLE_MAP came with names: the known definition of the table is corrected, for later ones that come without
    /// names.
    pub fn confirm(&mut self, schema: &str, table: &str, map: &TableMap) {
        let name = self.naming("").table(schema, table);
        let Some(known) = self.schema.get(&name) else { return };
        let Some(logged) = logged(map, known) else { return };
        if **known != logged {
            self.schema.insert(name, Arc::new(logged));
            self.is_changed = true;
        }
    }

    /// Completes the map of a table whose rows are logged without names, in the transaction that begins at `since`. The
    /// inner error says why its names are unknown.
    pub async fn complete(
        &mut self,
        schema: &str,
        table: &str,
        map: TableMap,
        since: &FileOffset,
    ) -> Result<Result<TableMap, Fault>, Error> {
        let name = self.naming("").table(schema, table);
        if let Some(known) = self.schema.get(&name) {
            match completed(&map, known) {
                Some(map) => return Ok(Ok(map)),
                None => {
                    tracing::warn!(
                        table = %name,
                        "rows do not fit the definition that was known, so some statement was not in the binlog \
                         (sql_log_bin = 0); reading the definition again"
                    );
                    self.schema.remove(&name);
                    self.is_changed = true;
                }
            }
        }
        let mut problem = String::new();
        for _ in 0..READS_MAX {
            let defined = self.definitions.columns(schema, table).await?;
            let until = self.definitions.end_of_log().await?;
            if let Some(place) = self.scan.last_redefinition(&name, since, &until).await? {
                return Ok(Err(changed_since(&place)));
            }
            match fit(&map.kinds, &defined) {
                Ok(definition) => {
                    let definition = Arc::new(definition);
                    self.is_changed |= self.schema.insert(name, Arc::clone(&definition));
                    return Ok(completed(&map, &definition).ok_or_else(|| Fault::new(NEVER_LOGGED, FULL_METADATA_FIX)));
                }
                Err(misfit) => problem = misfit,
            }
        }
        Ok(Err(Fault::new(problem, FULL_METADATA_FIX)))
    }

    /// What names mean in a statement of a session with this default schema.
    pub fn naming<'a>(&self, default_schema: &'a str) -> Naming<'a> {
        Naming { default_schema, ignores_case: self.ignores_case }
    }

    /// Why a statement that writes to tables of no rule may write to other tables, too; None where it cannot. The
    /// server's current definitions count only if no statement since may have changed them.
    pub async fn may_write_more(
        &mut self,
        write: &TableWrite,
        is_of_session: bool,
        since: &FileOffset,
    ) -> Result<Option<String>, Error> {
        if write.is_new || self.harmless.contains(write) {
            return Ok(None);
        }
        if let Some(reason) = self.definitions.side_effects(write, is_of_session).await? {
            return Ok(Some(reason));
        }
        let until = self.definitions.end_of_log().await?;
        for table in &write.tables {
            if self.scan.may_have_hidden(table, since, &until).await? {
                return Ok(Some(format!(
                    "what a write to {table} set off then is not known: it was defined again since then"
                )));
            }
        }
        if self.harmless.len() < HARMLESS_MAX && !is_of_session {
            self.harmless.insert(write.clone());
        }
        Ok(None)
    }
}

const NEVER_LOGGED: &str = "its labels do not fit those that were logged";

const FULL_METADATA_FIX: &str = "if the account lacks it: GRANT SELECT on the table; else SET PERSIST \
     binlog_row_metadata = 'FULL', so that the binlog itself names the columns, and pass over this transaction: `rowhook position set \
     --skip-transaction`";

fn changed_since(place: &FileOffset) -> Fault {
    let FileOffset { file, offset } = place;
    Fault::new(
        format!(
            "its rows are logged without column names, and its definition may have been changed since by a statement \
             that ends at {file}:{offset}"
        ),
        format!(
            "SET PERSIST binlog_row_metadata = 'FULL', so that this cannot happen to rows from now on, and go on \
             behind it: `rowhook position set --to {file}:{offset}`; the rows before are not delivered"
        ),
    )
}

/// The definition by a TABLE_MAP with full metadata; None if it lacks labels. The table's own character set is in no
/// event, so the known one stays.
fn logged(map: &TableMap, known: &Definition) -> Option<Definition> {
    let names = map.names.as_ref()?;
    let column = |(at, kind): (usize, &ColumnKind)| {
        let labels = || kind.labels().map(Labels::from).ok_or(());
        let family = Family::of(ColumnType::of_kind(kind)?, labels).ok()?;
        Some(Column { name: names.get(at)?.clone(), family })
    };
    let columns = map.kinds.iter().enumerate().map(column).collect::<Option<_>>()?;
    Some(Definition { columns, primary_key: map.primary_key.clone(), charset: known.charset.clone() })
}

/// The map with the definition's names and labels, if it can be that of these rows.
fn completed(map: &TableMap, definition: &Definition) -> Option<TableMap> {
    if definition.columns.len() != map.kinds.len() {
        return None;
    }
    let kinds = map.kinds.iter().zip(&definition.columns);
    let kinds = kinds.map(|(kind, column)| kind_of(kind, &column.family)).collect::<Option<_>>()?;
    let names = definition.columns.iter().map(|column| column.name.clone()).collect();
    Some(TableMap { kinds, names: Some(names), primary_key: definition.primary_key.clone() })
}

/// The kind with its labels, if it is of this family.
fn kind_of(kind: &ColumnKind, family: &Family) -> Option<ColumnKind> {
    // Refused when a value comes; what it is called does not matter.
    let is_refused = matches!(kind, ColumnKind::Unsupported { .. });
    if !is_refused && !family.is_of(kind) {
        return None;
    }
    Some(match (kind, family.labels()) {
        (ColumnKind::Enum { bytes, charset, .. }, Some(labels)) => {
            ColumnKind::Enum { bytes: *bytes, charset: *charset, labels: Some(fitting(labels, *bytes, enum_bytes)?) }
        }
        (ColumnKind::Set { bytes, charset, .. }, Some(labels)) => {
            ColumnKind::Set { bytes: *bytes, charset: *charset, labels: Some(fitting(labels, *bytes, set_bytes)?) }
        }
        _ => kind.clone(),
    })
}

/// The labels, if the server would store so many in `bytes`.
fn fitting(labels: &Labels, bytes: usize, stored_in: fn(usize) -> usize) -> Option<Labels> {
    (stored_in(labels.len()) == bytes).then(|| labels.clone())
}

/// `get_enum_pack_length` in `sql/field.h`.
fn enum_bytes(labels: usize) -> usize {
    if labels < 256 { 1 } else { 2 }
}

/// `get_set_pack_length` in `sql/field.h`.
fn set_bytes(labels: usize) -> usize {
    match labels.div_ceil(8) {
        bytes @ 0..=4 => bytes,
        _ => 8,
    }
}
