//! One connection that writes, and how its transactions are marked as rowhook's own.
//!
//! In: settings. Out: an open connection, set up once: strict about values, its transactions marked by the tag of their
//! GTID, or by a comment that the binlog keeps. Owns the connection and what was set on it last. Dropping it closes the
//! connection, and the server rolls back what was open.

use std::fmt;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Statement, from_row_opt};
use serde_json::Value as Json;

use super::failed::{Failed, TransactionStage, WriteFailureKind};
use super::value;
use crate::change::{OWN_MARKER, OWN_TAG};
use crate::source::{Settings, connect_with, quoted_account};

/// Prepared statements that a connection keeps on the server; above what the rules of one program hold.
const STATEMENTS_MAX: usize = 64;

/// What a server that knows tags answers an account that may not use them.
const TAG_DENIED: u16 = 6038;

/// How the source knows a transaction again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnMark {
    Tag,
    Comment,
    /// The server writes no binlog: nothing comes back.
    NotNeeded,
}

impl fmt::Display for OwnMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OwnMark::Tag => write!(f, "own transactions are marked by the GTID tag `{OWN_TAG}`"),
            OwnMark::Comment => write!(f, "own transactions are marked by the comment {OWN_MARKER} in the binlog"),
            OwnMark::NotNeeded => write!(f, "own transactions need no mark, the server writes no binlog"),
        }
    }
}

#[derive(Debug)]
pub(super) struct WriteSession {
    connection: Conn,
    mark: OwnMark,
    /// What was set on the server; none: its own default.
    lock_wait_s: Option<u64>,
}

impl WriteSession {
    pub async fn open(settings: &Settings) -> Result<WriteSession, Failed> {
        let opened = connect_with(settings, |options| {
            // An UPDATE then matches a row also when it holds the new values: so it may be repeated.
            options.client_found_rows(true).stmt_cache_size(STATEMENTS_MAX)
        });
        let mut connection =
            opened.await.map_err(|error| Failed::new(WriteFailureKind::Unavailable, error.to_string()))?;
        // A value that does not fit is refused, not cut.
        let strict = "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_ALL_TABLES')";
        connection.query_drop(strict).await.map_err(|error| Failed::of(error, TransactionStage::Connecting))?;
        let mark = choose_mark(&mut connection).await?;
        Ok(WriteSession { connection, mark, lock_wait_s: None })
    }

    pub fn mark(&self) -> OwnMark {
        self.mark
    }

    /// Begins a transaction whose waits for locks end with the statement's own time, so that the server knows that it was
    /// given up.
    pub async fn begin(&mut self, timeout: Duration) -> Result<(), Failed> {
        let wait_s = timeout.as_secs().saturating_sub(1).max(1);
        let begun = async {
            if self.lock_wait_s != Some(wait_s) {
                let waits = format!("SET SESSION innodb_lock_wait_timeout = {wait_s}, lock_wait_timeout = {wait_s}");
                self.connection.query_drop(waits).await?;
                self.lock_wait_s = Some(wait_s);
            }
            self.connection.query_drop("START TRANSACTION READ WRITE").await
        };
        begun.await.map_err(|error| Failed::of(error, TransactionStage::Connecting))
    }

    /// The statement as the server understands it; kept for the next time.
    pub async fn prepare(&mut self, statement: &str) -> Result<Statement, Failed> {
        let text = match self.mark {
            OwnMark::Comment if !is_logged_as_itself(statement) => {
                let message = "only INSERT, UPDATE, DELETE and REPLACE can be marked by a comment as rowhook's own";
                return Err(Failed::new(
                    WriteFailureKind::Refused,
                    format!("{message}; fix: {}", grant(&["TRANSACTION_GTID_TAG"])),
                ));
            }
            OwnMark::Comment => format!("{OWN_MARKER} {statement}"),
            OwnMark::Tag | OwnMark::NotNeeded => statement.to_string(),
        };
        self.connection.prep(text).await.map_err(|error| Failed::of(error, TransactionStage::Preparing))
    }

    /// Runs a statement; the rows that it matched.
    pub async fn run(&mut self, statement: &str, values: Vec<Json>) -> Result<u64, Failed> {
        let prepared = self.prepare(statement).await?;
        let values = Params::Positional(values.into_iter().map(value::of_json).collect());
        self.connection
            .exec_drop(prepared, values)
            .await
            .map_err(|error| Failed::of(error, TransactionStage::Working))?;
        Ok(self.connection.affected_rows())
    }

    pub async fn commit(&mut self) -> Result<(), Failed> {
        self.connection.query_drop("COMMIT").await.map_err(|error| Failed::of(error, TransactionStage::Committing))
    }

    pub async fn roll_back(&mut self) -> Result<(), Failed> {
        self.connection.query_drop("ROLLBACK").await.map_err(|error| Failed::of(error, TransactionStage::Working))
    }
}

/// The tag where GTIDs are on and the server and the account's privileges allow it, else the comment.
async fn choose_mark(connection: &mut Conn) -> Result<OwnMark, Failed> {
    let failed = |error| Failed::of(error, TransactionStage::Connecting);
    let facts = "SELECT @@GLOBAL.log_bin, @@GLOBAL.gtid_mode, @@SESSION.binlog_rows_query_log_events, CURRENT_USER()";
    let facts: Option<Row> = connection.query_first(facts).await.map_err(failed)?;
    let no_facts = |_| Failed::new(WriteFailureKind::Unavailable, "the server does not say how it logs".to_string());
    let facts: Option<(bool, String, bool, String)> = facts.map(from_row_opt).transpose().map_err(no_facts)?;
    let (logs, gtid_mode, keeps_text, account) = facts.unwrap_or_default();
    if !logs {
        return Ok(OwnMark::NotNeeded);
    }
    let mut needed = vec!["SESSION_VARIABLES_ADMIN"];
    if gtid_mode == "ON" {
        match connection.query_drop(format!("SET SESSION gtid_next = 'AUTOMATIC:{OWN_TAG}'")).await {
            Ok(()) => return Ok(OwnMark::Tag),
            Err(mysql_async::Error::Server(error)) if error.code == TAG_DENIED => {
                needed.insert(0, "TRANSACTION_GTID_TAG");
            }
            // A server before 8.3, which knows no tags.
            Err(mysql_async::Error::Server(_)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if keeps_text {
        return Ok(OwnMark::Comment);
    }
    match connection.query_drop("SET SESSION binlog_rows_query_log_events = ON").await {
        Ok(()) => Ok(OwnMark::Comment),
        Err(mysql_async::Error::Server(_)) => {
            let message = "the account may not mark what it writes as rowhook's own, which rules would then take for a change by another program";
            Err(Failed::new(
                WriteFailureKind::Unavailable,
                format!("{message}; fix: {} TO {}", grant(&needed), quoted_account(&account)),
            ))
        }
        Err(error) => Err(failed(error)),
    }
}

fn grant(privileges: &[&str]) -> String {
    format!("GRANT {} ON *.*", privileges.join(", "))
}

/// Whether the binlog keeps this statement's text with its rows, and not that of others within it, as for a CALL.
fn is_logged_as_itself(statement: &str) -> bool {
    let word = without_comments(statement).split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The statement after the comments that it begins with. What `/*!` begins is no comment: the server runs it.
fn without_comments(mut statement: &str) -> &str {
    loop {
        statement = statement.trim_start();
        let end = match statement.as_bytes() {
            [b'/', b'*', next, ..] if *next != b'!' => statement[2..].find("*/").map(|at| at + 4),
            [b'#', ..] | [b'-', b'-', ..] => statement.find('\n'),
            _ => return statement,
        };
        statement = end.map_or("", |end| &statement[end..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_not_logged_as_itself() {
        for statement in [
            "UPDATE t SET a = ?",
            "\n insert into t values (1)",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "/* CALL p() */ # CALL\n-- CALL\n /**/ REPLACE t VALUES (1)",
        ] {
            assert!(is_logged_as_itself(statement), "{statement}");
        }
        for statement in [
            "CALL p(?)",
            "SELECT f()",
            "/* UPDATE */ CALL p()",
            "/*! UPDATE */ t",
            "/* UPDATE",
            "-- UPDATE",
            "UPDATED",
            "DO f()",
            "",
        ] {
            assert!(!is_logged_as_itself(statement), "{statement}");
        }
    }
}
