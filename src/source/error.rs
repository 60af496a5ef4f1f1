//! What can go wrong between MySQL and a change, and what to do about it.
//!
//! In: answers of the server, broken connections, events that cannot be read. Out: one enum whose texts say what, where
//! and how to fix it, and [`Error::next`], which sorts every case into "try again" or "a person must act" (promise 7).
//! Texts name tables, columns and positions, never values or passwords (promise 8).

use std::io;

use mysql_async::{DriverError, IoError};

use crate::change::Transaction;
use crate::column::Fault;
use crate::printable::one_line;

/// As many as are kept of an API's answer; MySQL's own texts have at most 512 bytes.
const SAID_CHARACTERS_MAX: usize = 1024;

/// The placeholder in a fix as long as the account is not known.
const THE_ACCOUNT: &str = "the account";

/// What the reader does after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// May pass by itself: connect again after a wait.
    Reconnect,
    /// Wrong credentials or settings: at the first start a person must act; later this may pass by itself.
    Login,
    /// Reading on would lose or distort changes: stop with this error.
    Operator,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("mysql setting `{setting}`: {problem}")]
    Setting { setting: &'static str, problem: String },
    #[error("cannot connect to mysql at {server}: {problem}")]
    Connect { server: String, problem: String },
    #[error("mysql at {server} refuses the login: {problem}; fix: {fix}")]
    Login { server: String, problem: String, fix: String },
    #[error("the password is not sent to mysql at {server}: {problem}; fix: {fix}")]
    PasswordKept { server: String, problem: String, fix: String },
    #[error("no password for mysql: {problem}")]
    Password { problem: String },
    #[error("tls to mysql at {server}: {problem}")]
    Tls { server: String, problem: String },
    #[error("the account lacks a privilege: {problem}; fix: {fix}")]
    Privilege { problem: String, fix: String },
    #[error("{version} is not a server rowhook can follow; it needs MySQL 8.0 or later")]
    Version { version: String },
    #[error("server setting {setting}; fix: {fix}")]
    Prerequisite { setting: String, fix: String },
    #[error("connection to mysql lost: {0}")]
    Lost(String),
    #[error("mysql has been silent for {seconds} s, no heartbeat came")]
    Silent { seconds: u64 },
    #[error(
        "the server has purged binlogs that are still needed: {missing}; fix: restore them, or accept the gap with `rowhook \
         position set --to earliest`, and keep them longer: rowhook check says how"
    )]
    Purged { missing: String },
    #[error(
        "this server lacks transactions that were already processed ({ahead}): it is another server, was reset or lost \
         its newest transactions; fix: connect to the right server, or go on in this log: `rowhook position set \
         --to earliest` (or --to latest, --to file:offset)"
    )]
    Ahead { ahead: String },
    #[error(
        "the binlog of this server is not the one that was read before: {what}. It was reset, restored from a backup, rebuilt, or lost its \
         newest transactions in a crash; fix: connect to the server that has the former binlog, or accept this one: \
         `rowhook position show`, then `rowhook position set --to earliest` (all that it has), `--to latest` (only what \
         comes from now on) or `--to FILE:OFFSET`"
    )]
    AnotherLog { what: String },
    #[error(
        "this is server {found}, the checkpoint belongs to server {expected}, and without GTIDs in common a position does \
         not carry over; fix: connect to the right server, or go on in this one's log: `rowhook position set --to \
         file:offset` (or --to earliest, --to latest)"
    )]
    OtherServer { expected: String, found: String },
    #[error(
        "this server ({found}) finds the checkpoint of server {expected} by its GTID set alone, and takes none with \
         gtid_mode={mode}; fix: connect to server {expected} if that is another one, or change gtid_mode to ON here step by step \
         (rowhook then looks whether transactions without GTIDs would be left out)"
    )]
    GtidsOff { mode: String, expected: String, found: String },
    #[error(
        "a GTID can't name a place with gtid_mode={mode}; fix: latest, earliest or file:offset \
         (SHOW BINLOG EVENTS names places)"
    )]
    StartNeedsGtids { mode: String },
    #[error(
        "this is server {found}, and the checkpoint belongs to server {expected}: transactions without GTIDs follow its last \
         GTID, and no other server knows which of them were processed; fix: connect to server {expected} until rowhook \
         has read a transaction with a GTID after them (gtid_mode = ON or ON_PERMISSIVE there), then change servers"
    )]
    AnonymousFollow { expected: String, found: String },
    #[error(
        "this is server {found}, and the checkpoint belongs to server {expected}: in {file} there are transactions without \
         GTIDs, and its GTID set does not say whether they were processed; fix: connect to server {expected} until rowhook has \
         read the transactions with GTIDs after them, then change servers"
    )]
    AnonymousHere { expected: String, found: String, file: String },
    #[error(
        "a stream by GTID set leaves out the transactions without GTIDs that stand in {file}; fix: begin at a file and offset \
         (SHOW BINLOG EVENTS names places)"
    )]
    AnonymousLeftOut { file: String },
    #[error(
        "the next transactions have no GTIDs, and the server does not send them while gtid_mode is ON ({message}); \
         fix: SET GLOBAL gtid_mode = ON_PERMISSIVE until rowhook has read them, then ON again"
    )]
    AnonymousRefused { message: String },
    #[error(
        "the next transactions have GTIDs, and the server does not send them while gtid_mode is OFF ({message}); \
         fix: SET GLOBAL gtid_mode = OFF_PERMISSIVE until rowhook has read them, then OFF again"
    )]
    GtidsRefused { message: String },
    #[error(
        "position {file}:{offset} cannot be read from: {problem}; fix: give the beginning of a transaction \
         (SHOW BINLOG EVENTS IN '{file}'): `rowhook position set --to file:offset`, or --to latest"
    )]
    BadPosition { file: String, offset: u64, problem: String },
    #[error(
        "another replica with the same server id or uuid has connected ({0}); fix: give each rowhook its own data \
         directory and server_id"
    )]
    Duplicate(String),
    #[error("a binlog event is larger than the limit of 1 GiB or the server's max_allowed_packet: {0}")]
    TooLarge(String),
    #[error("binlog damaged at {place}: {problem}")]
    Damaged { place: String, problem: String },
    #[error(
        "gave up at {place} after {tries} tries: {problem}; fix: look at the server's binlog there with mysqlbinlog; \
         `rowhook position set --skip-transaction` passes over what is damaged"
    )]
    GaveUp { place: String, tries: u32, problem: String },
    #[error("cannot interpret {what} at {place}; fix: {fix}")]
    Uninterpretable { what: String, place: String, fix: String },
}

impl Error {
    pub fn next(&self) -> Next {
        match self {
            Error::Connect { .. } | Error::Lost(_) | Error::Silent { .. } | Error::Damaged { .. } => Next::Reconnect,
            // The server sends them as soon as its gtid_mode was changed.
            Error::AnonymousRefused { .. } | Error::GtidsRefused { .. } => Next::Reconnect,
            // Files of passwords and certificates may come back while rowhook runs.
            Error::Login { .. }
            | Error::Password { .. }
            | Error::PasswordKept { .. }
            | Error::Setting { .. }
            | Error::Tls { .. }
            | Error::Privilege { .. }
            | Error::Prerequisite { .. } => Next::Login,
            Error::Version { .. }
            | Error::Purged { .. }
            | Error::Ahead { .. }
            | Error::AnotherLog { .. }
            | Error::OtherServer { .. }
            | Error::GtidsOff { .. }
            | Error::StartNeedsGtids { .. }
            | Error::AnonymousFollow { .. }
            | Error::AnonymousHere { .. }
            | Error::AnonymousLeftOut { .. }
            | Error::BadPosition { .. }
            | Error::Duplicate(_)
            | Error::TooLarge(_)
            | Error::GaveUp { .. }
            | Error::Uninterpretable { .. } => Next::Operator,
        }
    }

    /// A value that a rule needs and that cannot be read with certainty: damage, too, because its checksum was right.
    pub fn unreadable(fault: Fault, transaction: &Transaction) -> Error {
        let place = transaction.place();
        let fix = if fault.fix.is_empty() {
            "look at the row with mysqlbinlog; leave the table out of the rules, or pass over this transaction: `rowhook \
             position set --skip-transaction`"
                .to_string()
        } else {
            fault.fix
        };
        Error::Uninterpretable { what: fault.what, place, fix }
    }

    /// Sorts what the client library reports while a connection is being opened or asked something.
    pub(super) fn of_client(error: mysql_async::Error, server: &str) -> Error {
        let server = server.to_string();
        match error {
            mysql_async::Error::Server(answer) => Error::of_answer(answer.code, &said(&answer.message), server),
            mysql_async::Error::Io(IoError::Io(problem)) => Error::of_socket(&problem, &server),
            mysql_async::Error::Driver(DriverError::PacketTooLarge) => Error::TooLarge("packet too large".to_string()),
            // The payload of an unexpected packet may hold row data: it stays out of the text.
            mysql_async::Error::Driver(DriverError::UnexpectedPacket { .. }) => {
                Error::Lost("unexpected packet".to_string())
            }
            other => Error::Connect { server, problem: said(&other.to_string()) },
        }
    }

    /// Sorts an error that the server answers a login or a question with.
    pub(super) fn of_answer(code: u16, message: &str, server: String) -> Error {
        let problem = format!("{message} (error {code})");
        match code {
            // Access denied by password, database, plugin or host; locked, expired.
            1044 | 1045 | 1130 | 1251 | 1698 | 1820 | 1862 | 3118 | 3955 => {
                let fix = "check user, password and host of the account".to_string();
                Error::Login { server, problem, fix }
            }
            1227 | 1142 | 1143 => Error::replication_privilege(problem),
            1236 => classify_1236(message),
            3159 => Error::Tls { server, problem: format!("{problem}; fix: tls mode required or stricter") },
            _ => Error::Connect { server, problem },
        }
    }

    /// The same with the account named in a fix that grants it something.
    pub(super) fn naming(self, account: Option<&str>) -> Error {
        match (self, account) {
            (Error::Privilege { problem, fix }, Some(account)) => {
                Error::Privilege { problem, fix: fix.replace(THE_ACCOUNT, account) }
            }
            (error, _) => error,
        }
    }

    /// A socket's own error; those of the TLS handshake arrive wrapped in it.
    pub(super) fn of_socket(problem: &io::Error, server: &str) -> Error {
        if problem.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
            Error::of_tls(server, &problem.to_string())
        } else {
            Error::Connect { server: server.to_string(), problem: problem.to_string() }
        }
    }

    pub(super) fn of_tls(server: &str, problem: &str) -> Error {
        let problem = format!("{problem}; fix: name the server's CA in tls ca, or choose another tls mode");
        Error::Tls { server: server.to_string(), problem }
    }

    pub(super) fn without_tls(server: &str) -> Error {
        let problem = "the server offers no TLS; fix: enable TLS there, or tls mode preferred or disabled";
        Error::Tls { server: server.to_string(), problem: problem.to_string() }
    }

    pub(super) fn replication_privilege(problem: String) -> Error {
        let fix = format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {THE_ACCOUNT}");
        Error::Privilege { problem, fix }
    }
}

/// A server's text, made fit to be shown and kept: it is untrusted until the server has proved its identity.
pub(super) fn said(text: &str) -> String {
    one_line(text, SAID_CHARACTERS_MAX)
}

/// Error 1236 (ER_MASTER_FATAL_ERROR_READING_BINLOG) has a dozen causes, which differ only by its text; the texts are
/// those of `sql/rpl_binlog_sender.cc`.
pub(super) fn classify_1236(message: &str) -> Error {
    let text = message.to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    let bad_position = || Error::BadPosition { file: "?".to_string(), offset: 0, problem: message.to_string() };
    if has("purged required binary logs") || has("could not find first log file name") {
        Error::Purged { missing: message.to_string() }
    } else if has("has more gtids than") {
        Error::Ahead { ahead: message.to_string() }
    } else if has("cannot replicate anonymous transaction") {
        Error::AnonymousRefused { message: message.to_string() }
    } else if has("cannot replicate gtid-transaction") {
        Error::GtidsRefused { message: message.to_string() }
    } else if has("same server_uuid/server_id") {
        Error::Duplicate(message.to_string())
    } else if has("position > file size") || has("impossible position") || has("exceeded max_allowed_packet") {
        bad_position()
    } else if has("truncated in the middle of event") || has("bogus data in log event") || has("event read failed") {
        // A bad position and a write that a crash cut off have the same text: tried again, then given up.
        Error::Damaged { place: "the requested position".to_string(), problem: message.to_string() }
    } else if has("could not find next log") || has("binary log is not open") {
        // The server is shutting down, or its binlogs were reset: the checks at the next connect show which.
        Error::Lost(message.to_string())
    } else {
        Error::Lost(format!("error 1236: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_error_1236_is_either_retried_or_needs_a_person() {
        for (message, next) in [
            (
                "Cannot replicate because the source purged required binary logs. Replicate the missing transactions",
                Next::Operator,
            ),
            ("Could not find first log file name in binary log index file", Next::Operator),
            ("Replica has more GTIDs than the source has, using the source's SERVER_UUID", Next::Operator),
            (
                "A replica with the same server_uuid/server_id as this replica has connected to the source",
                Next::Operator,
            ),
            ("Client requested source to start replication from position > file size", Next::Operator),
            ("log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source", Next::Operator),
            ("binlog truncated in the middle of event; consider out of disk space on source", Next::Reconnect),
            ("could not find next log; the first event '' at 4", Next::Reconnect),
            (
                "Cannot replicate anonymous transaction when AUTO_POSITION = 1, at file ./b.000003, position 198.",
                Next::Reconnect,
            ),
            (
                "Cannot replicate anonymous transaction when @@GLOBAL.GTID_MODE = ON, at file ./b.000003, position 198.",
                Next::Reconnect,
            ),
            (
                "Cannot replicate GTID-transaction when @@GLOBAL.GTID_MODE = OFF, at file ./b.000001, position 158.",
                Next::Reconnect,
            ),
            (
                "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF instead \
                 of ON.",
                Next::Reconnect,
            ),
            ("something new", Next::Reconnect),
        ] {
            assert_eq!(classify_1236(message).next(), next, "{message}");
        }
    }

    #[test]
    fn an_unexpected_packet_keeps_its_bytes_out_of_the_text() {
        let error = mysql_async::Error::Driver(DriverError::UnexpectedPacket { payload: b"secret row".to_vec() });
        let text = Error::of_client(error, "db:3306").to_string();
        assert!(!text.contains("115") && !text.contains("secret"), "{text}");
    }
}
