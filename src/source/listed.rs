//! The tables of a server, for a person who wants to write a rule for one.
//!
//! In: [`Settings`]. Out: the names of all tables that the account may see and that are not the server's own, and of some of them
//! the columns in SQL's words. Opens connections of its own, and changes nothing on the server. What rows need is for `typed`.

use std::collections::BTreeMap;

use super::connect::connect;
use super::error::Error;
use super::keys::KEY_SQL;
use super::settings::Settings;
use crate::pattern::TablePattern;
use crate::schema::TableName;

const TABLES_SQL: &str =
    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'";

const COLUMNS_SQL: &str = "SELECT COLUMN_NAME, CAST(COLUMN_TYPE AS CHAR), IS_NULLABLE = 'YES' \
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";

/// A table as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTable {
    pub name: TableName,
    pub columns: Vec<ListedColumn>,
}

/// A column as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedColumn {
    pub name: String,
    /// As SQL writes it: `int unsigned`, `enum('new','paid')`.
    pub sql_type: String,
    pub is_nullable: bool,
    /// From 1; none where it is no part of the primary key.
    pub key_place: Option<u64>,
}

/// The tables that a pattern for all tables means, in the order of their names.
///
/// # Errors
/// What [`Error`] says of connections and logins; [`Error::Privilege`] where the account sees none.
pub async fn table_names(settings: &Settings) -> Result<Vec<TableName>, Error> {
    let mut connection = connect(settings).await?;
    let rows: Vec<(String, String)> =
        connection.query(TABLES_SQL).await.map_err(|error| Error::of_client(error, &settings.address()))?;
    let all = TablePattern::parse("*.*").expect("a constant that is a pattern");
    let mut names: Vec<TableName> = rows
        .into_iter()
        .filter(|(schema, table)| all.matches(schema, table))
        .map(|(schema, table)| TableName::new(&schema, &table))
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        let account = settings.learned.account().unwrap_or_else(|| format!("'{}'", settings.user));
        let problem = format!("{account} sees no table at {}, or there is none", settings.address());
        return Err(Error::Privilege { problem, fix: format!("GRANT SELECT ON SCHEMA.* TO {account}") });
    }
    Ok(names)
}

/// These tables with their columns.
///
/// # Errors
/// What [`Error`] says of connections and logins.
pub async fn list_tables(settings: &Settings, names: &[TableName]) -> Result<Vec<ListedTable>, Error> {
    let mut connection = connect(settings).await?;
    let mut tables = Vec::new();
    for name in names {
        let failed = |error| Error::of_client(error, &settings.address());
        let meant = || (name.schema.to_string(), name.table.to_string());
        let key: Vec<(String, u64)> = connection.exec(KEY_SQL, meant()).await.map_err(failed)?;
        let key: BTreeMap<String, u64> = key.into_iter().collect();
        let rows: Vec<(String, String, bool)> = connection.exec(COLUMNS_SQL, meant()).await.map_err(failed)?;
        let column = |(name, sql_type, is_nullable): (String, String, bool)| {
            let key_place = key.get(&name).copied();
            ListedColumn { name, sql_type, is_nullable, key_place }
        };
        tables.push(ListedTable { name: name.clone(), columns: rows.into_iter().map(column).collect() });
    }
    Ok(tables)
}
