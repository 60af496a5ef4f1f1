//! The tables that rules name, as the server has them now.
//!
//! In: table patterns, and a connection or [`Settings`]. Out: [`NamedTables`]: the tables with their columns, and for each pattern
//! without a table what is there instead. Changes nothing on the server. For which rows in the binlog a definition holds is for
//! `tracking` to say.

use std::collections::BTreeMap;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connect::connect;
use super::error::Error;
use super::missing::explain;
use super::schema::like;
use super::settings::Settings;
use super::typed::typed_tables_over;
use crate::change::Table;
use crate::pattern::{TablePattern, TablePatterns};
use crate::schema::{MissingTable, NamedTables};

/// The tables that fit the patterns, as they are now. Opens a connection of its own.
///
/// # Errors
/// What [`Error`] says of connections and logins.
pub async fn named_tables(settings: &Settings, patterns: &TablePatterns) -> Result<NamedTables, Error> {
    let mut connection = connect(settings).await?;
    named_tables_over(&mut connection, settings, patterns).await
}

pub(super) async fn named_tables_over(
    connection: &mut Conn,
    settings: &Settings,
    patterns: &TablePatterns,
) -> Result<NamedTables, Error> {
    let found = tables_over(connection, settings, patterns).await?;
    let is_there = |pattern: &TablePattern| found.iter().any(|table| pattern.matches(&table.schema, &table.name));
    let mut missing = Vec::new();
    for pattern in patterns.0.iter().filter(|pattern| !is_there(pattern)) {
        let account = settings.learned.account().unwrap_or_else(|| format!("'{}'", settings.user));
        let (what, fix) = explain(connection, &settings.address(), pattern, &account).await?;
        missing.push(MissingTable { pattern: pattern.clone(), what, fix });
    }
    let typed = typed_tables_over(connection, settings, patterns).await?;
    Ok(NamedTables { found, typed, missing })
}

const COLUMNS_SQL: &str = "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, s.SEQ_IN_INDEX FROM information_schema.COLUMNS c \
     JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
     LEFT JOIN information_schema.STATISTICS s ON s.TABLE_SCHEMA = c.TABLE_SCHEMA \
     AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME AND s.INDEX_NAME = 'PRIMARY' \
     WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA LIKE ? AND c.TABLE_NAME LIKE ? \
     ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION";

type ColumnRow = (String, String, String, Option<u64>);

/// Column name, and its place in the primary key.
type NamedColumn = (String, Option<u64>);

async fn tables_over(
    connection: &mut Conn,
    settings: &Settings,
    patterns: &TablePatterns,
) -> Result<Vec<Table>, Error> {
    let mut found: BTreeMap<(String, String), Vec<NamedColumn>> = BTreeMap::new();
    for pattern in &patterns.0 {
        let (schema, table) = like(&pattern.to_string());
        let rows: Vec<ColumnRow> = connection
            .exec(COLUMNS_SQL, (schema, table))
            .await
            .map_err(|error| Error::of_client(error, &settings.address()))?;
        let mut of_pattern: BTreeMap<(String, String), Vec<NamedColumn>> = BTreeMap::new();
        for (schema, table, column, key_place) in rows {
            if pattern.matches(&schema, &table) {
                of_pattern.entry((schema, table)).or_default().push((column, key_place));
            }
        }
        found.extend(of_pattern);
    }
    Ok(found.into_iter().map(|((schema, name), columns)| table(schema, name, columns)).collect())
}

fn table(schema: String, name: String, columns: Vec<NamedColumn>) -> Table {
    let mut key: Vec<(u64, usize)> =
        columns.iter().enumerate().filter_map(|(index, (_, place))| Some(((*place)?, index))).collect();
    key.sort_unstable();
    Table {
        schema: schema.into(),
        name: name.into(),
        columns: columns.into_iter().map(|(column, _)| column.into()).collect(),
        primary_key: key.into_iter().map(|(_, index)| index).collect(),
    }
}
