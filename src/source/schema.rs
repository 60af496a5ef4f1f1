//! `information_schema`: tables as they are defined now.
//!
//! In: names of tables or patterns, over a connection of its own that must lead to the same server whose binlog is
//! read.
//! Out: columns as the server lists them, turned into a [`Definition`] where they fit the columns that were logged, and how
//! far the binlog goes. Knows nothing of positions: `tracking` decides for which rows a definition is valid.

use std::collections::{BTreeMap, HashMap};

use mysql_async::{Params, params};
use uuid::Uuid;

use crate::column::ColumnKind;
use crate::pattern::TablePatterns;
use crate::position::FileOffset;
use crate::schema::{Column, Definition, TableName};

use super::connect::connect;
use super::connection::Connection;
use super::error::Error;
use super::keys::{KEY_SQL, KEYS_SQL, key_places};
use super::server;
use super::settings::Settings;
use super::shown::ShownType;
use super::writes::TableWrite;

/// Reads table definitions; opens its connection at the first use, and again after it broke.
pub(super) struct TableDefinitions {
    settings: Settings,
    /// The server that the rows come from.
    server_uuid: Uuid,
    connection: Option<Connection>,
}

/// One column as `information_schema.COLUMNS` shows it.
#[derive(Debug, Clone)]
pub(super) struct Defined {
    name: Box<str>,
    shown: ShownType,
    /// Its place in the primary key, from 1.
    key_place: Option<u64>,
    /// The character set that new columns of the table get.
    table_charset: Option<Box<str>>,
}

type ColumnRow = (String, String, String, Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<String>);

/// A table's name before the first columns of [`ColumnRow`] and the last.
type TableRow = (String, String, String, String, String, Option<String>);

/// The type as SQL. It is kept as `utf8mb3`, which has a question mark for each character beyond the Basic Multilingual
/// Plane; where that may have happened to a label, the labels are left out.
macro_rules! column_type {
    () => {
        "IF(c.DATA_TYPE IN ('enum', 'set') AND LOCATE('?', c.COLUMN_TYPE) > 0 AND c.CHARACTER_SET_NAME IN \
         ('utf8mb4', 'utf16', 'utf16le', 'utf32', 'gb18030'), CONCAT(c.DATA_TYPE, '(?)'), CAST(c.COLUMN_TYPE AS CHAR))"
    };
}
pub(super) use column_type;

const COLUMNS_SQL: &str = concat!(
    "SELECT c.COLUMN_NAME, c.DATA_TYPE, ",
    column_type!(),
    ", c.CHARACTER_OCTET_LENGTH, \
     c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, SUBSTRING_INDEX(t.TABLE_COLLATION, '_', 1) \
     FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
     WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION"
);

const TABLES_SQL: &str = concat!(
    "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE, ",
    column_type!(),
    ", SUBSTRING_INDEX(t.TABLE_COLLATION, '_', 1) \
     FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
     WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA LIKE ? AND c.TABLE_NAME LIKE ? \
     AND c.TABLE_SCHEMA NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
     ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION LIMIT ?"
);

const SCHEMAS_SQL: &str = "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA";

/// What a table is, how many triggers it has, how many foreign keys carry its changes on, and whether its triggers, and all tables
/// whose foreign keys may name it, are shown to the account, which a role's privileges do not count for.
const SIDE_EFFECTS_SQL: &str = "\
    WITH account AS (SELECT CONCAT('''', REGEXP_REPLACE(CURRENT_USER(), '@[^@]*$', ''), '''@''', \
      SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''') AS named) \
    SELECT CAST(t.TABLE_TYPE AS CHAR), \
      (SELECT COUNT(*) FROM information_schema.TRIGGERS r \
       WHERE r.EVENT_OBJECT_SCHEMA = t.TABLE_SCHEMA AND r.EVENT_OBJECT_TABLE = t.TABLE_NAME), \
      (SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS k \
       WHERE k.UNIQUE_CONSTRAINT_SCHEMA = t.TABLE_SCHEMA AND k.REFERENCED_TABLE_NAME = t.TABLE_NAME \
       AND NOT (k.DELETE_RULE IN ('NO ACTION', 'RESTRICT') AND k.UPDATE_RULE IN ('NO ACTION', 'RESTRICT'))), \
      EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES p JOIN account ON p.GRANTEE = account.named \
              WHERE p.PRIVILEGE_TYPE = 'TRIGGER') \
      OR EXISTS (SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES p JOIN account ON p.GRANTEE = account.named \
                 WHERE p.PRIVILEGE_TYPE = 'TRIGGER' AND t.TABLE_SCHEMA LIKE p.TABLE_SCHEMA) \
      OR EXISTS (SELECT 1 FROM information_schema.TABLE_PRIVILEGES p JOIN account ON p.GRANTEE = account.named \
                 WHERE p.PRIVILEGE_TYPE = 'TRIGGER' AND p.TABLE_SCHEMA = t.TABLE_SCHEMA AND p.TABLE_NAME = t.TABLE_NAME), \
      EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES p JOIN account ON p.GRANTEE = account.named \
              WHERE p.PRIVILEGE_TYPE = 'SELECT') AND NOT @@GLOBAL.partial_revokes \
    FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = :schema AND t.TABLE_NAME = :table";

/// Names of a statement that are searched for among the views.
const NAMES_MAX: usize = 1000;

/// Columns read at once; some tens of megabytes.
const COLUMNS_MAX: usize = 200_000;

impl TableDefinitions {
    pub fn new(settings: Settings, server_uuid: Uuid) -> TableDefinitions {
        TableDefinitions { settings, server_uuid, connection: None }
    }

    /// Uses this connection, which leads to the server that the rows come from.
    pub fn ask_over(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// The table's columns as they are now; empty where there is no such table, or the account may not see it.
    pub async fn columns(&mut self, schema: &str, table: &str) -> Result<Vec<Defined>, Error> {
        let rows: Vec<ColumnRow> = self.ask(COLUMNS_SQL, (schema, table).into()).await?;
        let key: Vec<(String, u64)> = self.ask(KEY_SQL, (schema, table).into()).await?;
        let key: HashMap<String, u64> = key.into_iter().collect();
        Ok(rows
            .into_iter()
            .map(|row| Defined { key_place: key.get(&row.0).copied(), ..Defined::from_row(row) })
            .collect())
    }

    /// The tables that fit the patterns, as they are now, and the schemas that may hold some; not those with a type
    /// that is not known, and not all where a pattern means very many.
    pub async fn all(&mut self, patterns: &TablePatterns) -> Result<Vec<(TableName, Definition)>, Error> {
        let mut tables: BTreeMap<TableName, Definition> = BTreeMap::new();
        for pattern in &patterns.0 {
            let (schema, table) = like(&pattern.to_string());
            let rows: Vec<TableRow> = self.ask(TABLES_SQL, (&schema, &table, COLUMNS_MAX as u64).into()).await?;
            let keys = key_places(self.ask(KEYS_SQL, (schema, table).into()).await?);
            let is_cut = rows.len() == COLUMNS_MAX;
            let mut found: BTreeMap<TableName, Vec<Defined>> = BTreeMap::new();
            for (schema, table, name, data_type, column_type, charset) in rows {
                let table_name = TableName::new(&schema, &table);
                let key_place = keys.get(&(schema, table, name.clone())).copied();
                let row = (name, data_type, column_type, None, None, None, None, charset);
                found.entry(table_name).or_default().push(Defined { key_place, ..Defined::from_row(row) });
            }
            if is_cut {
                // Columns of the last one may be missing.
                found.pop_last();
            }
            let is_meant = |name: &TableName| pattern.matches(&name.schema, &name.table);
            let defined = found.into_iter().filter(|(name, _)| is_meant(name));
            tables.extend(defined.filter_map(|(name, columns)| Some((name, definition(&columns).ok()?))));
        }
        let schemas: Vec<(String, String)> = self.ask(SCHEMAS_SQL, Params::Empty).await?;
        for (schema, charset) in schemas.into_iter().filter(|(schema, _)| patterns.match_schema(schema)) {
            let charset = Some(known_as(charset));
            tables.insert(TableName::of_schema(&schema), Definition { charset, ..Definition::default() });
        }
        Ok(tables.into_iter().collect())
    }

    /// Why, by the current definitions, a write to its tables may write to others, too; None where it cannot. What the
    /// account may not see counts as a reason. A table that does not exist was a temporary one where the session had
    /// such; the caller checks whether another table of that name was dropped since.
    pub async fn side_effects(&mut self, write: &TableWrite, is_of_session: bool) -> Result<Option<String>, Error> {
        for table in &write.tables {
            if let Some(reason) = self.side_effects_on(table, write.changes_rows, is_of_session).await? {
                return Ok(Some(reason));
            }
        }
        self.view_among(write).await
    }

    async fn side_effects_on(
        &mut self,
        name: &TableName,
        changes_rows: bool,
        is_of_session: bool,
    ) -> Result<Option<String>, Error> {
        let TableName { schema, table } = name;
        let parameters = params! { "schema" => &**schema, "table" => &**table };
        let rows: Vec<(String, u64, u64, bool, bool)> = self.ask(SIDE_EFFECTS_SQL, parameters).await?;
        Ok(match rows.first() {
            None if is_of_session => None,
            None => Some(format!(
                "{name} is not there now, or the account may not see it (GRANT SELECT, TRIGGER ON {name})"
            )),
            Some((kind, ..)) if kind != "BASE TABLE" => Some(format!("{name} is a {}", kind.to_lowercase())),
            Some((_, triggers @ 1.., ..)) => {
                Some(format!("{name} has triggers ({triggers}), which may write anywhere"))
            }
            Some((_, _, _, false, _)) => {
                Some(format!("whether {name} has triggers is not shown to the account (GRANT TRIGGER ON {name})"))
            }
            Some((_, _, 1.., ..)) if changes_rows => {
                Some(format!("foreign keys carry changes of {name} on to other tables"))
            }
            Some((.., false)) if changes_rows => Some(format!(
                "whether foreign keys carry changes of {name} on to other tables is shown only to an account that sees all \
                 tables (GRANT SELECT ON *.*)"
            )),
            Some(_) => None,
        })
    }

    /// A view that is read may call a function.
    async fn view_among(&mut self, write: &TableWrite) -> Result<Option<String>, Error> {
        if write.names.len() > NAMES_MAX {
            return Ok(Some(format!("it has more than {NAMES_MAX} names")));
        }
        let marks = |count: usize| vec!["?"; count].join(", ");
        let count = write.names.len();
        let sql = format!(
            "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_TYPE = 'VIEW' \
             AND LOWER(TABLE_NAME) IN ({}) AND LOWER(TABLE_SCHEMA) IN ({}) LIMIT 1",
            marks(count),
            marks(count + 1)
        );
        let names = write.names.iter().map(|name| mysql_async::Value::from(name.as_str()));
        let schema = mysql_async::Value::from(write.default_schema.to_lowercase());
        let parameters = names.clone().chain(names).chain([schema]).collect();
        let views: Vec<String> = self.ask(&sql, Params::Positional(parameters)).await?;
        Ok(views.first().map(|view| format!("it may read the view {view}, which may call a function")))
    }

    /// The end of the binlog now. All that was read before this call lies before that place, if the binlog has it.
    pub async fn end_of_log(&mut self) -> Result<FileOffset, Error> {
        let mut connection = self.take().await?;
        let address = self.settings.address();
        let (place, _) = server::newest(&mut connection, &address).await?;
        self.connection = Some(connection);
        Ok(place)
    }

    async fn ask<R>(&mut self, sql: &str, parameters: Params) -> Result<Vec<R>, Error>
    where
        R: mysql_async::prelude::FromRow + Send + 'static,
    {
        let is_reused = self.connection.is_some();
        match self.query(sql, parameters.clone()).await {
            // The server may have closed the connection since the last question.
            Err(_) if is_reused => self.query(sql, parameters).await,
            outcome => outcome,
        }
    }

    async fn query<R>(&mut self, sql: &str, parameters: Params) -> Result<Vec<R>, Error>
    where
        R: mysql_async::prelude::FromRow + Send + 'static,
    {
        let mut connection = self.take().await?;
        let rows = connection
            .exec(sql, parameters)
            .await
            .map_err(|error| Error::of_client(error, &self.settings.address()))?;
        self.connection = Some(connection);
        Ok(rows)
    }

    async fn take(&mut self) -> Result<Connection, Error> {
        match self.connection.take() {
            Some(open) => Ok(open),
            None => self.open().await,
        }
    }

    async fn open(&self) -> Result<Connection, Error> {
        connect_to(&self.settings, self.server_uuid).await
    }
}

/// The LIKE patterns for the schemas and the tables of a pattern. LIKE ignores case, so it may find more than is meant,
/// never less.
pub(super) fn like(pattern: &str) -> (String, String) {
    let (schema, table) = pattern.split_once('.').unwrap_or((pattern, "*"));
    let escaped = |part: &str| part.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_").replace('*', "%");
    (escaped(schema), escaped(table))
}

/// Another connection to the server that is being read. One address may lead to several servers, and the tables and the
/// binlog of another server mean nothing here.
pub(super) async fn connect_to(settings: &Settings, server_uuid: Uuid) -> Result<Connection, Error> {
    let mut connection = connect(settings).await?;
    let uuid: Option<String> = connection
        .query_first("SELECT @@GLOBAL.server_uuid")
        .await
        .map_err(|error| Error::of_client(error, &settings.address()))?;
    if uuid.and_then(|text| Uuid::try_parse(&text).ok()) != Some(server_uuid) {
        return Err(Error::Lost("a second connection led to another server".to_string()));
    }
    Ok(connection)
}

impl Defined {
    /// A column that is not part of the primary key as far as is known.
    fn from_row(row: ColumnRow) -> Defined {
        let (name, data_type, column_type, octets_max, precision, scale, digits, table_charset) = row;
        Defined {
            name: name.into(),
            shown: ShownType { octets_max, precision, scale, digits, ..ShownType::new(&data_type, column_type) },
            key_place: None,
            table_charset: table_charset.map(known_as),
        }
    }
}

/// `utf8` is an old name of `utf8mb3`.
fn known_as(charset: String) -> Box<str> {
    if charset == "utf8" { "utf8mb3".into() } else { charset.into() }
}

/// The definition of columns that must be those of `kinds`; an error says what does not fit.
pub(super) fn fit(kinds: &[ColumnKind], defined: &[Defined]) -> Result<Definition, String> {
    if defined.is_empty() {
        return Err("the table no longer exists, or the account may not SELECT from it".to_string());
    }
    if defined.len() != kinds.len() {
        return Err(format!("the log has {} columns, the table now {}", kinds.len(), defined.len()));
    }
    for (kind, column) in kinds.iter().zip(defined) {
        if !column.shown.is_of(kind) {
            return Err(format!("column {} is now {}, the log has another type", column.name, column.shown.sql));
        }
    }
    definition(defined)
}

fn definition(defined: &[Defined]) -> Result<Definition, String> {
    let column =
        |column: &Defined| Ok(Column { name: column.name.clone(), family: column.shown.family(&column.name)? });
    let columns = defined.iter().map(column).collect::<Result<_, String>>()?;
    let mut key: Vec<(u64, usize)> =
        defined.iter().enumerate().filter_map(|(index, column)| Some((column.key_place?, index))).collect();
    key.sort_unstable();
    let charset = defined.first().and_then(|column| column.table_charset.clone());
    Ok(Definition { columns, primary_key: key.into_iter().map(|(_, index)| index).collect(), charset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(name: &str, data_type: &str, column_type: &str) -> Defined {
        Defined::from_row((
            name.to_string(),
            data_type.to_string(),
            column_type.to_string(),
            None,
            None,
            None,
            None,
            None,
        ))
    }

    #[test]
    fn patterns_become_like_patterns() {
        assert_eq!(like("shop_*.o%*"), (r"shop\_%".to_string(), r"o\%%".to_string()));
    }

    #[test]
    fn a_table_that_no_longer_fits_the_log_is_refused() {
        let kinds = [ColumnKind::Int { bytes: 4, unsigned: true }, ColumnKind::Year];
        let fitting = [defined("id", "int", "int unsigned"), defined("y", "year", "year")];
        let columns = fit(&kinds, &fitting).expect("a fit").columns;
        assert_eq!(columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["id", "y"]);
        for other in [
            vec![],
            vec![defined("id", "int", "int unsigned")],
            vec![defined("id", "int", "int"), defined("y", "year", "year")],
            vec![defined("y", "year", "year"), defined("id", "int", "int unsigned")],
        ] {
            fit(&kinds, &other).expect_err("no fit");
        }
    }
}
