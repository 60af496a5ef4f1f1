//! Column names where the binlog does not carry them (`binlog_row_metadata=MINIMAL`, the server's default).
//!
//! In: `information_schema`, over a connection of its own. Out: a [`TableMap`] completed with names, key and labels, or a
//! refusal when number or types of the columns disagree with what was logged: the table has changed since, and guessing
//! would put values under wrong names (promise 7). What cannot be seen this way is a reorder of columns of one type;
//! docs/operations.md says so.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, params};

use crate::column::Kind;
use crate::column::charset::Charset;

use super::connect::connect;
use super::error::Error;
use super::settings::Settings;
use super::table_map::TableMap;

/// Reads table definitions; opens its connection when first asked and again when it broke.
pub(super) struct Definitions {
    settings: Settings,
    connection: Option<Conn>,
}

/// One column as `information_schema.COLUMNS` shows it.
#[derive(Debug, Clone)]
struct Defined {
    name: Box<str>,
    /// `int`, `varchar`, ...
    data_type: String,
    /// `int unsigned`, `enum('a','b')`, ...
    column_type: String,
    octets_max: Option<u64>,
    precision: Option<u64>,
    scale: Option<u64>,
    digits: Option<u64>,
    /// Bytes of a default are not looked at; the key part is: its place in the primary key, from 1.
    key_place: Option<u64>,
}

type ColumnRow = (String, String, String, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<u64>);

const COLUMNS_SQL: &str = "SELECT c.COLUMN_NAME, c.DATA_TYPE, CAST(c.COLUMN_TYPE AS CHAR), c.CHARACTER_OCTET_LENGTH, \
     c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, s.SEQ_IN_INDEX \
     FROM information_schema.COLUMNS c LEFT JOIN information_schema.STATISTICS s \
     ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME \
     AND s.INDEX_NAME = 'PRIMARY' \
     WHERE c.TABLE_SCHEMA = :schema AND c.TABLE_NAME = :table ORDER BY c.ORDINAL_POSITION";

impl Definitions {
    pub fn new(settings: Settings) -> Definitions {
        Definitions { settings, connection: None }
    }

    /// Completes the map of a table whose event has no names. The inner error says what does not fit.
    pub async fn complete(
        &mut self,
        schema: &str,
        table: &str,
        map: TableMap,
    ) -> Result<Result<TableMap, String>, Error> {
        let mut outcome = fit(map.clone(), self.columns(schema, table).await?);
        if outcome.is_err() {
            // A definition may be read while it changes; the second look decides.
            outcome = fit(map, self.columns(schema, table).await?);
        }
        Ok(outcome)
    }

    async fn columns(&mut self, schema: &str, table: &str) -> Result<Vec<Defined>, Error> {
        let is_reused = self.connection.is_some();
        match self.query(schema, table).await {
            // The server may have closed the connection since the last question.
            Err(_) if is_reused => self.query(schema, table).await,
            outcome => outcome,
        }
    }

    async fn query(&mut self, schema: &str, table: &str) -> Result<Vec<Defined>, Error> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let parameters = params! { "schema" => schema, "table" => table };
        let question = connection.exec_map(COLUMNS_SQL, parameters, Defined::from_row);
        let columns = tokio::time::timeout(self.settings.connect_timeout, question)
            .await
            .map_err(|_| Error::Lost("information_schema did not answer in time".to_string()))?
            .map_err(|error| Error::of_client(error, &self.settings.address()))?;
        self.connection = Some(connection);
        Ok(columns)
    }

    async fn open(&self) -> Result<Conn, Error> {
        let mut connection = connect(&self.settings).await?;
        // Generated invisible primary keys are in the row image, so they must be listed; unknown before 8.0.30.
        let _ = connection.query_drop("SET SESSION show_gipk_in_create_table_and_information_schema = ON").await;
        Ok(connection)
    }
}

impl Defined {
    fn from_row(row: ColumnRow) -> Defined {
        let (name, data_type, column_type, octets_max, precision, scale, digits, key_place) = row;
        Defined {
            name: name.into(),
            data_type: data_type.to_ascii_lowercase(),
            column_type,
            octets_max,
            precision,
            scale,
            digits,
            key_place,
        }
    }
}

fn fit(map: TableMap, defined: Vec<Defined>) -> Result<TableMap, String> {
    if defined.is_empty() {
        return Err("the table no longer exists, or the account may not SELECT from it".to_string());
    }
    if defined.len() != map.kinds.len() {
        return Err(format!("the log has {} columns, the table now {}", map.kinds.len(), defined.len()));
    }
    let mut kinds = Vec::with_capacity(map.kinds.len());
    for (kind, column) in map.kinds.into_iter().zip(&defined) {
        if !is_of_kind(&kind, column) {
            return Err(format!("column {} is now {}, the log has another type", column.name, column.column_type));
        }
        kinds.push(with_labels(kind, &column.column_type)?);
    }
    let mut key: Vec<(u64, usize)> =
        defined.iter().enumerate().filter_map(|(index, column)| Some((column.key_place?, index))).collect();
    key.sort_unstable();
    let primary_key = key.into_iter().map(|(_, index)| index).collect();
    Ok(TableMap { kinds, names: Some(defined.into_iter().map(|column| column.name).collect()), primary_key })
}

/// The binlog has one type for all of these; the last is what servers before MySQL 8.0 call the last but one.
const SPATIAL: [&str; 9] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geomcollection",
    "geometrycollection",
];

fn is_of_kind(kind: &Kind, column: &Defined) -> bool {
    let is = |names: &[&str]| names.contains(&column.data_type.as_str());
    let same = |logged: usize, now: Option<u64>| now == Some(logged as u64);
    match kind {
        Kind::Int { bytes, unsigned } => {
            let name = match bytes {
                1 => "tinyint",
                2 => "smallint",
                3 => "mediumint",
                4 => "int",
                _ => "bigint",
            };
            is(&[name]) && column.column_type.contains("unsigned") == *unsigned
        }
        Kind::Float => is(&["float"]),
        Kind::Double => is(&["double"]),
        Kind::Decimal { precision, scale } => {
            is(&["decimal"]) && same(*precision, column.precision) && same(*scale, column.scale)
        }
        Kind::Bit { bits } => is(&["bit"]) && same(*bits, column.precision),
        Kind::Year => is(&["year"]),
        Kind::Date => is(&["date"]),
        Kind::Time { digits } => is(&["time"]) && same(*digits, column.digits),
        Kind::DateTime { digits } => is(&["datetime"]) && same(*digits, column.digits),
        Kind::Timestamp { digits } => is(&["timestamp"]) && same(*digits, column.digits),
        Kind::Text { charset, octets_max, .. } => {
            let names: &[&str] = match (charset, octets_max) {
                (Charset::Binary, Some(_)) => &["binary", "varbinary"],
                (Charset::Binary, None) => &["tinyblob", "blob", "mediumblob", "longblob"],
                (_, Some(_)) => &["char", "varchar"],
                (_, None) => &["tinytext", "text", "mediumtext", "longtext"],
            };
            is(names) && octets_max.is_none_or(|length| same(length, column.octets_max))
        }
        Kind::Enum { .. } => is(&["enum"]),
        Kind::Set { .. } => is(&["set"]),
        Kind::Json { .. } => is(&["json"]),
        Kind::Vector { .. } => is(&["vector"]),
        Kind::Geometry { .. } => is(&SPATIAL),
        // Refused when a value comes; the name does not matter.
        Kind::Unsupported { .. } => true,
    }
}

fn with_labels(kind: Kind, column_type: &str) -> Result<Kind, String> {
    match kind {
        Kind::Enum { bytes, charset, .. } => Ok(Kind::Enum { bytes, charset, labels: Some(labels(column_type)?) }),
        Kind::Set { bytes, charset, .. } => Ok(Kind::Set { bytes, charset, labels: Some(labels(column_type)?) }),
        other => Ok(other),
    }
}

/// The labels of `enum('a','it''s')`.
fn labels(column_type: &str) -> Result<Box<[Box<str>]>, String> {
    let wrong = || format!("the labels of {column_type} cannot be read");
    let list = column_type.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).ok_or_else(wrong)?;
    let mut labels = Vec::new();
    let mut rest = list;
    while let Some(quoted) = rest.strip_prefix('\'') {
        let (label, tail) = until_quote(quoted).ok_or_else(wrong)?;
        labels.push(label.into());
        rest = tail.strip_prefix(',').unwrap_or(tail);
    }
    if rest.is_empty() { Ok(labels.into()) } else { Err(wrong()) }
}

/// The text up to the closing quote, doubled quotes made single, and what follows.
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut label = String::new();
    let mut rest = text;
    loop {
        let (part, tail) = rest.split_once('\'')?;
        label.push_str(part);
        match tail.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return Some((label, tail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(name: &str, data_type: &str, column_type: &str) -> Defined {
        let row = (name.to_string(), data_type.to_string(), column_type.to_string(), None, None, None, None, None);
        Defined::from_row(row)
    }

    #[test]
    fn labels_are_read_with_their_quotes_and_commas() {
        let read = labels("enum('a','it''s','x,y','')").expect("labels");
        assert_eq!(read.iter().map(|label| &**label).collect::<Vec<_>>(), ["a", "it's", "x,y", ""]);
        labels("int").expect_err("no labels");
    }

    #[test]
    fn a_table_that_no_longer_fits_the_log_is_refused() {
        let map = TableMap {
            kinds: vec![Kind::Int { bytes: 4, unsigned: true }, Kind::Year],
            names: None,
            primary_key: vec![],
        };
        let fitting = vec![defined("id", "int", "int unsigned"), defined("y", "year", "year")];
        let names = fit(map.clone(), fitting).expect("a fit").names.expect("names");
        assert_eq!(names, ["id".into(), "y".into()]);
        for other in [
            vec![],
            vec![defined("id", "int", "int unsigned")],
            vec![defined("id", "int", "int"), defined("y", "year", "year")],
            vec![defined("y", "year", "year"), defined("id", "int", "int unsigned")],
        ] {
            fit(map.clone(), other).expect_err("no fit");
        }
    }
}
