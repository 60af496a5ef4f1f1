//! The facts of a server before reading begins, and where reading may begin.
//!
//! In: a fresh connection and what the caller wants: a first start or a resume. Out: the server's facts and a
//! [`Position`] that is safe to read from, or the reason why none is: a position is never moved by itself (promise 1).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Row;
use uuid::Uuid;

use crate::column::charset::Charsets;
use crate::pattern::{TablePattern, TablePatterns};
use crate::position::{FileOffset, FoundBy, GtidSet, Position, PositionParts, Proof, Start};

use super::ServerFacts;
use super::connection::Connection;
use super::error::{Error, said};
use super::keeping::Keeping;
use super::platform::Platform;

/// The first event of every binlog file follows a magic number of four bytes.
pub(super) const FILE_START: u64 = 4;

/// A server sends a transaction to its replicas a moment before it counts it as executed.
pub(super) const EXECUTED_GRACE: Duration = Duration::from_secs(2);

/// The facts that do not change while a connection lives.
#[derive(Debug)]
pub(super) struct Server {
    pub address: String,
    pub uuid: Uuid,
    pub version: String,
    pub charsets: Arc<Charsets>,
    /// `gtid_mode=ON`.
    pub has_gtids: bool,
    pub keeping: Keeping,
    pub platform: Platform,
    pub variables: HashMap<String, String>,
}

const VARIABLES_SQL: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_uuid', 'version', 'version_comment', \
     'gtid_mode', 'log_bin', 'binlog_format', 'binlog_row_image', 'binlog_row_metadata', 'binlog_row_value_options', \
     'binlog_expire_logs_seconds', 'binlog_expire_logs_auto_purge', 'server_id', 'max_allowed_packet', \
     'lower_case_table_names', 'log_replica_updates', 'log_slave_updates', 'read_only', 'super_read_only', 'basedir', \
     'aurora_version') OR Variable_name LIKE 'cloudsql\\_%'";

impl Server {
    /// Reads the facts of the server; refuses MariaDB and versions before 8.0.
    pub async fn inspect(connection: &mut Connection, address: &str) -> Result<Server, Error> {
        let failed = |error| Error::of_client(error, address);
        let version: Option<String> = connection.query_first("SELECT VERSION()").await.map_err(failed)?;
        let version = said(&version.unwrap_or_default());
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if version.to_ascii_lowercase().contains("mariadb") || major.is_none_or(|major| major < 8) {
            return Err(Error::Version { version });
        }
        let variables: HashMap<String, String> = connection
            .query::<(String, String)>(VARIABLES_SQL)
            .await
            .map_err(failed)?
            .into_iter()
            .map(|(name, value)| (name, said(&value)))
            .collect();
        let uuid = variables.get("server_uuid").and_then(|text| Uuid::try_parse(text).ok());
        let uuid = uuid.ok_or_else(|| Error::Lost("the server gave no server_uuid".to_string()))?;
        let collations: Vec<(u16, String)> = connection
            .query("SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL")
            .await
            .map_err(failed)?;
        let platform = Platform::of(address, &variables);
        Ok(Server {
            address: address.to_string(),
            keeping: Keeping::inspect(connection, address, &variables, platform).await?,
            platform,
            uuid,
            version,
            charsets: Arc::new(Charsets::new(collations)),
            has_gtids: variables.get("gtid_mode").is_some_and(|mode| mode == "ON"),
            variables,
        })
    }

    /// Conditions that must be true before reading: each with the statement that fixes it.
    pub fn require(&self) -> Result<(), Error> {
        let prerequisite =
            |setting: &str, fix: &str| Err(Error::Prerequisite { setting: setting.to_string(), fix: fix.to_string() });
        if self.variables.get("log_bin").is_some_and(|value| value == "OFF") {
            return prerequisite("log_bin is OFF: there is no binlog to read", "start the server with --log-bin");
        }
        match self.variables.get("binlog_format") {
            Some(format) if format != "ROW" => {
                let fix = self.platform.set("binlog_format", "ROW");
                prerequisite(&format!("binlog_format is {format}, not ROW"), &fix)
            }
            _ => Ok(()),
        }
    }

    /// The facts for operators.
    pub fn facts(&self) -> ServerFacts {
        ServerFacts { version: self.version.clone(), retention: self.keeping.retention() }
    }

    /// Whether the binlog itself names columns and labels.
    pub fn has_full_metadata(&self) -> bool {
        self.variables.get("binlog_row_metadata").is_some_and(|value| value == "FULL")
    }

    /// Whether table names are compared without regard to case.
    pub fn ignores_case(&self) -> bool {
        self.variables.get("lower_case_table_names").is_some_and(|value| value != "0")
    }

    /// An error for a pattern in upper case where the server keeps names in lower case: it would never match.
    pub fn require_names(&self, tables: &TablePatterns) -> Result<(), Error> {
        if self.variables.get("lower_case_table_names").is_none_or(|value| value != "1") {
            return Ok(());
        }
        let written = tables.0.iter().map(TablePattern::to_string);
        match written.map(|name| (name.to_lowercase(), name)).find(|(lower, name)| lower != name) {
            None => Ok(()),
            Some((lower, name)) => Err(Error::Prerequisite {
                setting: format!("lower_case_table_names is 1, so that no table can fit {name}"),
                fix: format!("write {lower} in the rules"),
            }),
        }
    }

    fn failed(&self, error: mysql_async::Error) -> Error {
        Error::of_client(error, &self.address)
    }

    /// Where a first start begins, except for the set of `Start::At`, which must be read from the binlog itself.
    pub async fn begin(&self, connection: &mut Connection, start: &Start) -> Result<Position, Error> {
        let (newest, executed) = self.newest(connection).await?;
        // Where gtid_mode is not ON, transactions without GTIDs may follow the last one that has a GTID.
        let found_by = if self.has_gtids { FoundBy::Either } else { FoundBy::Place };
        let (gtids, file, found_by) = match start {
            Start::Latest => (Some(executed), newest, found_by),
            Start::Earliest => (Some(self.purged(connection).await?), self.oldest(connection).await?, found_by),
            Start::After(set) if self.has_gtids => (Some(set.clone()), self.oldest(connection).await?, FoundBy::Set),
            Start::After(_) => return Err(Error::StartNeedsGtids { mode: self.gtid_mode() }),
            Start::At(place) => (None, place.clone(), FoundBy::Place),
        };
        let (undecided, proof) = (Arc::default(), Proof::default());
        Ok(Position::from_parts(PositionParts { server_uuid: self.uuid, gtids, file, undecided, found_by, proof }))
    }

    pub fn gtid_mode(&self) -> String {
        self.variables.get("gtid_mode").cloned().unwrap_or_else(|| "?".to_string())
    }

    /// Whether the server has executed what the position's set says, and purged nothing else.
    pub async fn permit(&self, connection: &mut Connection, position: &Position) -> Result<(), Error> {
        match &position.parts().gtids {
            Some(processed) => self.permit_gtids(connection, position, processed).await,
            None => Ok(()),
        }
    }

    async fn permit_gtids(
        &self,
        connection: &mut Connection,
        position: &Position,
        processed: &GtidSet,
    ) -> Result<(), Error> {
        if processed.is_empty() && position.server_uuid() != self.uuid {
            return Err(self.other_server(position));
        }
        let mut ahead = processed.missing_from(&self.executed(connection).await?);
        if !ahead.is_empty() {
            tokio::time::sleep(EXECUTED_GRACE).await;
            ahead = processed.missing_from(&self.executed(connection).await?);
        }
        if !ahead.is_empty() {
            return Err(Error::Ahead { ahead: ahead.to_string() });
        }
        let missing = self.purged(connection).await?.missing_from(processed);
        if missing.is_empty() { Ok(()) } else { Err(Error::Purged { missing: missing.to_string() }) }
    }

    pub fn other_server(&self, position: &Position) -> Error {
        Error::OtherServer { expected: position.server_uuid().to_string(), found: self.uuid.to_string() }
    }

    async fn newest(&self, connection: &mut Connection) -> Result<(FileOffset, GtidSet), Error> {
        newest(connection, &self.address).await
    }

    async fn oldest(&self, connection: &mut Connection) -> Result<FileOffset, Error> {
        let oldest = self.files(connection).await?.swap_remove(0);
        Ok(FileOffset { offset: FILE_START, ..oldest })
    }

    /// The ends of all binlog files, the oldest first; there is at least one.
    pub async fn files(&self, connection: &mut Connection) -> Result<Vec<FileOffset>, Error> {
        files(connection, &self.address).await
    }

    /// Whether this thread sends binlog to a replica. An account sees its own threads without any privilege.
    pub async fn is_dumping(&self, connection: &mut Connection, thread: u64) -> Result<bool, Error> {
        let rows: Vec<Row> = connection.query("SHOW PROCESSLIST").await.map_err(|error| self.failed(error))?;
        let is_it = |row: &Row| {
            let command: Option<String> = row.get_opt("Command").and_then(Result::ok);
            row.get_opt("Id").and_then(Result::ok) == Some(thread)
                && command.is_some_and(|command| command.starts_with("Binlog Dump"))
        };
        Ok(rows.iter().any(is_it))
    }

    /// Warns at a first start of prepared XA transactions: their rows may lie before the start and are never read.
    /// Without the privilege `XA_RECOVER_ADMIN` nothing is reported.
    pub async fn warn_of_prepared(&self, connection: &mut Connection) {
        let prepared = connection.query::<Row>("XA RECOVER").await.map_or(0, |list| list.len());
        if prepared > 0 {
            tracing::warn!(
                prepared,
                "XA transactions are prepared (XA RECOVER lists them): those that were prepared before the start position \
                 are not delivered when they are committed; decide them before the first start, or begin before them"
            );
        }
    }

    pub async fn executed(&self, connection: &mut Connection) -> Result<GtidSet, Error> {
        self.gtids(connection, "SELECT @@GLOBAL.gtid_executed").await
    }

    pub async fn purged(&self, connection: &mut Connection) -> Result<GtidSet, Error> {
        self.gtids(connection, "SELECT @@GLOBAL.gtid_purged").await
    }

    async fn gtids(&self, connection: &mut Connection, question: &str) -> Result<GtidSet, Error> {
        let text: Option<String> = connection.query_first(question).await.map_err(|error| self.failed(error))?;
        parse_gtids(&text.unwrap_or_default())
    }
}

/// The ends of all binlog files, the oldest first; there is at least one.
pub(super) async fn files(connection: &mut Connection, address: &str) -> Result<Vec<FileOffset>, Error> {
    let failed = |error| Error::of_client(error, address);
    let rows: Vec<Row> = connection.query("SHOW BINARY LOGS").await.map_err(failed)?;
    if rows.is_empty() {
        return Err(Error::Lost("the server lists no binlog".to_string()));
    }
    rows.iter().map(file_offset).collect()
}

/// End of the newest binlog file, and what was executed by then.
pub(super) async fn newest(connection: &mut Connection, address: &str) -> Result<(FileOffset, GtidSet), Error> {
    let failed = |error| Error::of_client(error, address);
    let row: Option<Row> = match connection.query_first("SHOW BINARY LOG STATUS").await {
        // Before 8.2 the statement had another name.
        Err(mysql_async::Error::Server(answer)) if answer.code == 1064 => {
            connection.query_first("SHOW MASTER STATUS").await.map_err(failed)?
        }
        outcome => outcome.map_err(failed)?,
    };
    let row = row.ok_or_else(|| Error::Prerequisite {
        setting: "log_bin is OFF: there is no binlog to read".to_string(),
        fix: "start the server with --log-bin".to_string(),
    })?;
    let place = file_offset(&row)?;
    let executed: String = row.get_opt(4).and_then(Result::ok).unwrap_or_default();
    Ok((place, parse_gtids(&executed)?))
}

fn parse_gtids(text: &str) -> Result<GtidSet, Error> {
    text.parse().map_err(|error| Error::Lost(format!("the server's GTID set cannot be read: {error}")))
}

fn file_offset(row: &Row) -> Result<FileOffset, Error> {
    let file: Option<String> = row.get_opt(0).and_then(Result::ok);
    let offset: Option<u64> = row.get_opt(1).and_then(Result::ok);
    match (file, offset) {
        (Some(file), Some(offset)) => Ok(FileOffset { file: file.into(), offset }),
        _ => Err(Error::Lost("the server's binlog status cannot be read".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            address: String::new(),
            uuid: Uuid::nil(),
            version: String::new(),
            charsets: Arc::new(Charsets::new([])),
            has_gtids: false,
            keeping: Keeping::Unknown,
            platform: Platform::Own,
            variables: HashMap::new(),
        }
    }

    #[test]
    fn a_name_that_no_table_can_have_is_refused() {
        let patterns = |text| TablePatterns(vec![TablePattern::parse(text).expect("a pattern")]);
        for (setting, name, is_allowed) in
            [("0", "Shop.Orders", true), ("1", "shop.*", true), ("1", "shop.Ord*", false), ("2", "Shop.Orders", true)]
        {
            let mut server = server();
            server.variables.insert("lower_case_table_names".to_string(), setting.to_string());
            assert_eq!(server.require_names(&patterns(name)).is_ok(), is_allowed, "{setting} {name}");
        }
    }
}
