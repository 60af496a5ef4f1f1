//! Tables with the types of their columns, as the server has them now, for rules that are checked against them.
//!
//! In: a connection and table patterns. Out: [`TypedTable`]s. Changes nothing on the server. Does not know for
//! which rows in the binlog a definition is valid: a row brings its types itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::connection::Connection;
use super::error::Error;
use super::keys::{ALL_KEYS_SQL, KeyPart};
use super::schema::{column_type, like};
use super::settings::Settings;
use super::shown::ShownType;
use crate::change::Table;
use crate::pattern::TablePatterns;
use crate::schema::{TableName, TypedColumn, TypedTable};

const COLUMNS_SQL: &str = concat!(
    "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE, ",
    column_type!(),
    ", c.CHARACTER_OCTET_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, c.IS_NULLABLE = 'YES' \
     FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
     WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA LIKE ? AND c.TABLE_NAME LIKE ? \
     ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION"
);

type ColumnRow = (String, String, String, String, String, Option<u64>, Option<u64>, Option<u64>, Option<u64>, bool);

/// A column with the keys that it is a part of.
type KeyedColumn = (Vec<KeyPart>, TypedColumn);

/// The tables that fit the patterns, with their columns in order, as they are now.
pub(super) async fn typed_tables(
    connection: &mut Connection,
    settings: &Settings,
    patterns: &TablePatterns,
) -> Result<Vec<TypedTable>, Error> {
    let mut tables: BTreeMap<TableName, Vec<KeyedColumn>> = BTreeMap::new();
    for pattern in &patterns.0 {
        let failed = |error| Error::of_client(error, &settings.address());
        let meant = like(&pattern.to_string());
        let rows: Vec<ColumnRow> = connection.exec(COLUMNS_SQL, meant.clone()).await.map_err(failed)?;
        let mut keys = key_parts(connection.exec(ALL_KEYS_SQL, meant).await.map_err(failed)?);
        let mut found: BTreeMap<TableName, Vec<KeyedColumn>> = BTreeMap::new();
        for row in rows.into_iter().filter(|(schema, table, ..)| pattern.matches(schema, table)) {
            let name = TableName::new(&row.0, &row.1);
            let parts = keys.remove(&(row.0.clone(), row.1.clone(), row.2.clone())).unwrap_or_default();
            found.entry(name).or_default().push((parts, column(row)));
        }
        tables.extend(found);
    }
    Ok(tables.into_iter().map(|(name, columns)| table(name, columns)).collect())
}

/// By the names of schema, table and column.
fn key_parts(rows: Vec<(String, String, String, u64, bool)>) -> HashMap<(String, String, String), Vec<KeyPart>> {
    let mut parts: HashMap<_, Vec<KeyPart>> = HashMap::new();
    for (schema, table, column, place, is_primary) in rows {
        parts.entry((schema, table, column)).or_default().push(KeyPart { place, is_primary });
    }
    parts
}

fn table(TableName { schema, table: name }: TableName, columns: Vec<KeyedColumn>) -> TypedTable {
    let of_column =
        |(index, (parts, _)): (usize, &KeyedColumn)| Some((parts.iter().find_map(KeyPart::of_primary)?, index));
    let mut key: Vec<(u64, usize)> = columns.iter().enumerate().filter_map(of_column).collect();
    key.sort_unstable();
    let primary_key = key.into_iter().map(|(_, index)| index).collect();
    let keyed: BTreeSet<Box<str>> =
        columns.iter().filter(|(parts, _)| !parts.is_empty()).map(|(_, column)| column.name.clone()).collect();
    let columns: Vec<TypedColumn> = columns.into_iter().map(|(_, column)| column).collect();
    let names = columns.iter().map(|column| column.name.clone()).collect();
    TypedTable { table: Table { schema, name, columns: names, primary_key }, columns, keyed }
}

fn column(
    (_, _, name, data_type, column_type, octets_max, precision, scale, digits, is_nullable): ColumnRow,
) -> TypedColumn {
    let shown = ShownType { octets_max, precision, scale, digits, ..ShownType::new(&data_type, column_type) };
    TypedColumn { name: name.into(), kind: shown.kind(), is_nullable }
}
