//! The tables that rules name, as the server has them now.
//!
//! In: table patterns, and a connection or [`Settings`]. Out: [`NamedTables`]: the tables with their columns, and for each pattern
//! without a table what is there instead. Changes nothing on the server. `tracking` decides for which rows in the binlog a
//! definition is valid.

use super::connect::connect;
use super::connection::Connection;
use super::error::Error;
use super::missing::explain;
use super::settings::Settings;
use super::typed::typed_tables;
use crate::pattern::{TablePattern, TablePatterns};
use crate::schema::{MissingTable, NamedTables, TypedTable};

/// The tables that fit the patterns, as they are now. Opens a connection of its own.
///
/// # Errors
/// What [`Error`] says of connections and logins.
pub async fn named_tables(settings: &Settings, patterns: &TablePatterns) -> Result<NamedTables, Error> {
    let mut connection = connect(settings).await?;
    named_tables_over(&mut connection, settings, patterns).await
}

pub(super) async fn named_tables_over(
    connection: &mut Connection,
    settings: &Settings,
    patterns: &TablePatterns,
) -> Result<NamedTables, Error> {
    let found = typed_tables(connection, settings, patterns).await?;
    let is_there = |pattern: &TablePattern| {
        found.iter().any(|TypedTable { table, .. }| pattern.matches(&table.schema, &table.name))
    };
    let mut missing = Vec::new();
    for pattern in patterns.0.iter().filter(|pattern| !is_there(pattern)) {
        let account = settings.learned.account().unwrap_or_else(|| format!("'{}'", settings.user));
        let (what, fix) = explain(connection, &settings.address(), pattern, &account).await?;
        missing.push(MissingTable { pattern: pattern.clone(), what, fix });
    }
    Ok(NamedTables { found, missing })
}
