//! Tables in words: columns with their types as the server shows them, to be kept in a file and read again without a server.
//!
//! In: settings and table patterns. Out: [`DeclaredTable`]s; and the kind of a column from its type in words. Changes nothing
//! on the server.

use std::collections::BTreeMap;

use super::connect::connect;
use super::connection::Connection;
use super::error::Error;
use super::keys::{KEYS_SQL, key_places};
use super::schema::{column_type, like};
use super::settings::Settings;
use super::shown::ShownType;
use crate::column::ColumnKind;
use crate::pattern::TablePatterns;
use crate::schema::TableName;

/// A table as it is now, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTable {
    pub name: TableName,
    /// In their order.
    pub columns: Vec<DeclaredColumn>,
    /// Names of columns, in the key's own order.
    pub primary_key: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredColumn {
    pub name: String,
    /// `COLUMN_TYPE`: `int unsigned`, `enum('a','b')`, ...
    pub column_type: String,
    pub is_nullable: bool,
    /// What an INSERT that leaves it out writes; None: NULL, or the INSERT is refused.
    pub default: Option<DeclaredDefault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredDefault {
    Literal(String),
    CurrentTimestamp,
    /// SQL: bits (`b'101'`), bytes (`0x6162`), or what the server evaluates (`uuid()`).
    Expression(String),
}

const DECLARED_SQL: &str = concat!(
    "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, ",
    column_type!(),
    ", c.IS_NULLABLE = 'YES', c.COLUMN_DEFAULT, c.EXTRA \
     FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
     WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA LIKE ? AND c.TABLE_NAME LIKE ? \
     ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION"
);

type DeclaredRow = (String, String, String, String, bool, Option<String>, String);

/// The tables that fit the patterns, as they are now. Opens a connection of its own.
///
/// # Errors
/// What [`Error`] says of connections and logins.
pub async fn declared_tables(settings: &Settings, patterns: &TablePatterns) -> Result<Vec<DeclaredTable>, Error> {
    let mut connection: Connection = connect(settings).await?;
    let failed = |error| Error::of_client(error, &settings.address());
    let mut tables: BTreeMap<TableName, DeclaredTable> = BTreeMap::new();
    for pattern in &patterns.0 {
        let meant = like(&pattern.to_string());
        let rows: Vec<DeclaredRow> = connection.exec(DECLARED_SQL, meant.clone()).await.map_err(failed)?;
        let keys = key_places(connection.exec(KEYS_SQL, meant).await.map_err(failed)?);
        let mut found: BTreeMap<TableName, DeclaredTable> = BTreeMap::new();
        for row in rows.into_iter().filter(|(schema, table, ..)| pattern.matches(schema, table)) {
            let name = TableName::new(&row.0, &row.1);
            let table = found.entry(name.clone()).or_insert_with(|| DeclaredTable {
                name,
                columns: Vec::new(),
                primary_key: Vec::new(),
            });
            table.columns.push(column(row));
        }
        for (name, table) in &mut found {
            let of_table = keys.iter().filter(|((schema, of, _), _)| **schema == *name.schema && **of == *name.table);
            let mut places: Vec<(u64, &String)> = of_table.map(|((_, _, column), place)| (*place, column)).collect();
            places.sort_unstable();
            table.primary_key = places.into_iter().map(|(_, column)| column.clone()).collect();
        }
        tables.extend(found);
    }
    Ok(tables.into_values().collect())
}

fn column((_, _, name, column_type, is_nullable, default, extra): DeclaredRow) -> DeclaredColumn {
    let is_evaluated = extra.contains("DEFAULT_GENERATED");
    // Those of bits and bytes are shown as SQL.
    let is_sql = ["bit", "binary", "varbinary"].iter().any(|name| column_type.starts_with(name));
    let default = default.map(|text| match text.to_ascii_lowercase().starts_with("current_timestamp") {
        true if is_evaluated => DeclaredDefault::CurrentTimestamp,
        _ if is_evaluated || is_sql => DeclaredDefault::Expression(text),
        _ => DeclaredDefault::Literal(text),
    });
    DeclaredColumn { name, column_type, is_nullable, default }
}

/// How values of a column with this type in words are logged; None where that is no type.
pub fn kind_of(column_type: &str) -> Option<ColumnKind> {
    let end = column_type.find(['(', ' ']).unwrap_or(column_type.len());
    let (name, rest) = (column_type[..end].to_ascii_lowercase(), &column_type[end..]);
    let numbers = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(numbers, _)| numbers);
    let mut numbers = numbers.split(',').map(|number| number.trim().parse().ok());
    let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
    let shown = ShownType::new(&name, column_type.to_string());
    let shown = match name.as_str() {
        "decimal" => ShownType { precision: first.or(Some(10)), scale: second.or(Some(0)), ..shown },
        "bit" => ShownType { precision: first.or(Some(1)), ..shown },
        "time" | "datetime" | "timestamp" => ShownType { digits: first, ..shown },
        "binary" | "varbinary" => ShownType { octets_max: first.or(Some(1)), ..shown },
        _ => shown,
    };
    shown.kind()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::charset::Charset;

    #[test]
    fn a_default_is_a_literal_the_time_or_sql() {
        let sql = |text: &str| Some(DeclaredDefault::Expression(text.to_owned()));
        for (column_type, default, extra, expected) in [
            ("int", None, "", None),
            ("varchar(9)", Some("b'1'"), "", Some(DeclaredDefault::Literal("b'1'".to_owned()))),
            ("bit(3)", Some("b'101'"), "", sql("b'101'")),
            ("varbinary(3)", Some("0x6162"), "", sql("0x6162")),
            ("char(36)", Some("uuid()"), "DEFAULT_GENERATED", sql("uuid()")),
            ("timestamp", Some("CURRENT_TIMESTAMP"), "DEFAULT_GENERATED", Some(DeclaredDefault::CurrentTimestamp)),
        ] {
            let row = (
                String::new(),
                String::new(),
                "c".to_owned(),
                column_type.to_owned(),
                true,
                default.map(str::to_owned),
                extra.to_owned(),
            );
            assert_eq!(column(row).default, expected, "{column_type} {default:?}");
        }
    }

    #[test]
    fn a_type_in_words_is_read_as_the_server_shows_it() {
        let labels = |texts: &[&str]| Some(texts.iter().map(|text| (*text).into()).collect());
        let text = |charset, pad, octets_max| ColumnKind::Text { length_bytes: 4, charset, pad, octets_max };
        for (words, expected) in [
            ("bigint unsigned", Some(ColumnKind::Int { bytes: 8, unsigned: true })),
            ("int(11)", Some(ColumnKind::Int { bytes: 4, unsigned: false })),
            ("TINYINT(1)", Some(ColumnKind::Int { bytes: 1, unsigned: false })),
            ("decimal(10,2)", Some(ColumnKind::Decimal { precision: 10, scale: 2 })),
            ("decimal(9,0) unsigned", Some(ColumnKind::Decimal { precision: 9, scale: 0 })),
            ("decimal", Some(ColumnKind::Decimal { precision: 10, scale: 0 })),
            ("bit(3)", Some(ColumnKind::Bit { bits: 3 })),
            ("timestamp(6)", Some(ColumnKind::Timestamp { digits: 6 })),
            ("datetime", Some(ColumnKind::DateTime { digits: 0 })),
            ("varchar(255)", Some(text(Charset::Utf8, None, None))),
            ("binary(16)", Some(text(Charset::Binary, Some(16), Some(16)))),
            (
                "enum('a)','it''s')",
                Some(ColumnKind::Enum { bytes: 2, charset: Charset::Utf8, labels: labels(&["a)", "it's"]) }),
            ),
            ("json", Some(ColumnKind::Json { length_bytes: 4 })),
            ("text", Some(text(Charset::Utf8, None, None))),
            ("strng", None),
            ("", None),
        ] {
            assert_eq!(kind_of(words), expected, "{words}");
        }
    }
}
