//! Errors of writing back, and what they prove.
//!
//! In: the server's answer or the connection's error, and the stage of the transaction. Out: [`Failed`]: whether
//! anything can have happened, whether to try again, and a line for people. Keeps promise 8: of the server's text, only
//! parts that cannot contain a value are passed on. Pure.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use mysql_async::{DriverError, Error, ServerError};

use crate::printable::one_line;

/// A statement that failed: not committed, or the result is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Without values of rows.
    pub message: String,
    pub kind: WriteFailureKind,
}

/// What a failure proves, and what can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFailureKind {
    /// Nothing happened: a deadlock, a wait for a lock, no time left. Another try may succeed.
    Again,
    /// Nothing happened: no connection could be had, it broke before the commit, or the server is read only. The server,
    /// not the statement, must change.
    Unavailable,
    /// The connection broke, or time ran out, while the server may have been committing. The result is unknown.
    Lost,
    /// Rolled back, and every other try would be, too: a bad statement, a duplicate key, another number of rows than
    /// expected.
    Refused,
}

/// The stage of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionStage {
    Connecting,
    /// The server has the statement, but no value yet.
    Preparing,
    Working,
    Committing,
}

/// The transaction was rolled back, or the statement: deadlock (1213, 3058, 3132, 1614), wait for a lock (1205, 3572, 1689,
/// 1969), a row that changed since it was read (1020), tables to be opened again (1615), memory (1037, 1038, 1041, 1206,
/// 1637), disk (1021, 1114), killed or out of time (1317, 3024), rolled back by group replication (3101).
const AGAIN: &[u16] = &[
    1020, 1021, 1037, 1038, 1041, 1114, 1205, 1206, 1213, 1317, 1614, 1615, 1637, 1689, 1969, 3024, 3058, 3101, 3132,
    3572,
];

/// Read only (1792, 1836, 1874, 3100), shutting down (1053, 1077, 1927, 3032, 3169), connection given up (2006, 2013, 4031),
/// too many connections (1040, 1203, 1226), offline mode (3032).
const UNAVAILABLE: &[u16] = &[1040, 1053, 1077, 1203, 1226, 1792, 1836, 1874, 1927, 2006, 2013, 3032, 3169, 4031];

/// `ER_OPTION_PREVENTS_STATEMENT`, of `--read-only` and of options that stay as they are.
const OPTION_PREVENTS: u16 = 1290;

/// Of errors at COMMIT those that prove that it did not happen: deadlock, rolled back by group replication, read only.
const NOT_COMMITTED: &[u16] = &[1213, 3101, OPTION_PREVENTS, 1836];

/// `ER_DUP_ENTRY` and its like, whose text begins with the value.
const DUPLICATE: &[u16] = &[1062, 1586];

/// Errors whose text, whatever its language, has names of tables, columns and accounts in it and never a value: column
/// cannot be null, without default, out of range, too long, unknown; foreign keys; checks; privileges; locks; read only.
const WITHOUT_VALUES: &[u16] = &[
    1020, 1021, 1048, 1054, 1114, 1142, 1143, 1146, 1205, 1213, 1227, 1264, 1290, 1317, 1364, 1370, 1406, 1451, 1452,
    1615, 1792, 1836, 3024, 3101, 3572, 3819,
];

/// The server's text may quote a long statement.
const MESSAGE_CHARACTERS_MAX: usize = 300;

impl Failed {
    pub(super) fn new(kind: WriteFailureKind, message: String) -> Failed {
        Failed { message, kind }
    }

    /// Sorts what went wrong at this stage.
    pub(super) fn of(error: Error, stage: TransactionStage) -> Failed {
        match error {
            Error::Server(ServerError { code, message, state }) => {
                let kind = kind(code, &state, &message, stage);
                Failed::new(kind, format!("error {code} ({state}){}", said(code, &message, stage)))
            }
            // The values were not sent.
            Error::Driver(DriverError::StmtParamsMismatch { required, supplied }) => {
                let message = format!("the statement takes {required} values and was given {supplied}");
                Failed::new(WriteFailureKind::Refused, message)
            }
            Error::Driver(DriverError::MixedParams) => {
                let message = "the statement has a `:name` besides its `?`, outside of strings".to_string();
                Failed::new(WriteFailureKind::Refused, message)
            }
            Error::Driver(DriverError::PacketTooLarge) => Failed::new(
                WriteFailureKind::Refused,
                "the statement is larger than the server's max_allowed_packet".to_string(),
            ),
            Error::Io(error) => Failed::broken(&error, stage),
            // The bytes of an unexpected packet may contain values: they stay out of the text.
            Error::Driver(DriverError::UnexpectedPacket { .. }) => Failed::broken(&"unexpected packet", stage),
            other => Failed::broken(&other, stage),
        }
    }

    fn broken(problem: &dyn fmt::Display, stage: TransactionStage) -> Failed {
        match stage {
            TransactionStage::Committing => Failed::new(
                WriteFailureKind::Lost,
                format!("connection to mysql lost during the commit ({problem}): it is not known whether it happened"),
            ),
            _ => Failed::new(
                WriteFailureKind::Unavailable,
                format!("connection to mysql lost before the commit: {problem}"),
            ),
        }
    }

    /// The time is over.
    pub(super) fn late(stage: TransactionStage, timeout: Duration, server: &str) -> Failed {
        let within = humantime::format_duration(timeout);
        match stage {
            TransactionStage::Connecting => Failed::new(
                WriteFailureKind::Unavailable,
                format!("no connection to mysql at {server} within {within}"),
            ),
            TransactionStage::Preparing | TransactionStage::Working => {
                Failed::new(WriteFailureKind::Again, format!("not done within {within}, and rolled back"))
            }
            TransactionStage::Committing => {
                let message = format!("no answer to the commit within {within}: it is not known whether it happened");
                Failed::new(WriteFailureKind::Lost, message)
            }
        }
    }
}

/// The rows that were matched, if their number is as expected.
pub fn as_expected(rows: u64, expected: Option<&RangeInclusive<u64>>) -> Result<u64, Failed> {
    let Some(range) = expected.filter(|range| !range.contains(&rows)) else { return Ok(rows) };
    let wanted = match (*range.start(), *range.end()) {
        (least, most) if least == most => least.to_string(),
        (least, u64::MAX) => format!("{least} or more"),
        (least, most) => format!("{least} to {most}"),
    };
    Err(Failed::new(
        WriteFailureKind::Refused,
        format!("the statement matched {rows} rows, expected {wanted}; rolled back"),
    ))
}

fn kind(code: u16, state: &str, message: &str, stage: TransactionStage) -> WriteFailureKind {
    let is_read_only = code == OPTION_PREVENTS && message.contains("read-only");
    match stage {
        // Nothing was begun, and a person may fix the cause meanwhile.
        TransactionStage::Connecting => WriteFailureKind::Unavailable,
        TransactionStage::Committing if !NOT_COMMITTED.contains(&code) => WriteFailureKind::Lost,
        _ if is_read_only || UNAVAILABLE.contains(&code) => WriteFailureKind::Unavailable,
        _ if AGAIN.contains(&code) => WriteFailureKind::Again,
        // Classes of SQLSTATE: the transaction was rolled back, the connection failed.
        _ if state.starts_with("40") => WriteFailureKind::Again,
        _ if state.starts_with("08") => WriteFailureKind::Unavailable,
        _ => WriteFailureKind::Refused,
    }
}

/// The server's text besides the number, without values.
fn said(code: u16, message: &str, stage: TransactionStage) -> String {
    let has_no_values =
        matches!(stage, TransactionStage::Connecting | TransactionStage::Preparing) || WITHOUT_VALUES.contains(&code);
    let text = match code {
        _ if has_no_values => one_line(message, MESSAGE_CHARACTERS_MAX),
        code if DUPLICATE.contains(&code) => match key_name(message) {
            Some(key) => format!("duplicate entry for key {key}"),
            None => "duplicate entry for a key".to_string(),
        },
        1292 | 1366 | 1367 | 1411 => "a value that the column's type cannot take".to_string(),
        3140..=3160 => "a value that is no JSON, or not the JSON that it should be".to_string(),
        1644 => "signalled by a trigger or procedure".to_string(),
        _ => return String::new(),
    };
    format!(": {text}")
}

/// `Duplicate entry '…' for key 'orders.PRIMARY'`: only the end, and only if nothing but a name can stand there.
fn key_name(message: &str) -> Option<&str> {
    let (_, key) = message.strip_suffix('\'')?.rsplit_once(" for key '")?;
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '-');
    (!key.is_empty() && key.chars().all(is_name)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, state: &str, message: &str) -> Error {
        Error::Server(ServerError { code, state: state.to_string(), message: message.to_string() })
    }

    #[test]
    fn every_error_proves_something() {
        for (code, state, message, stage, expected) in [
            (1213, "40001", "Deadlock found", TransactionStage::Working, WriteFailureKind::Again),
            (1205, "HY000", "Lock wait timeout exceeded", TransactionStage::Working, WriteFailureKind::Again),
            (1205, "HY000", "Lock wait timeout exceeded", TransactionStage::Preparing, WriteFailureKind::Again),
            (
                3572,
                "HY000",
                "Statement aborted because lock(s) could not be acquired",
                TransactionStage::Working,
                WriteFailureKind::Again,
            ),
            (9999, "40000", "some rollback", TransactionStage::Working, WriteFailureKind::Again),
            (1062, "23000", "Duplicate entry", TransactionStage::Working, WriteFailureKind::Refused),
            (1064, "42000", "You have an error", TransactionStage::Preparing, WriteFailureKind::Refused),
            (1142, "42000", "UPDATE command denied", TransactionStage::Preparing, WriteFailureKind::Refused),
            (9999, "HY000", "something new", TransactionStage::Working, WriteFailureKind::Refused),
            (1045, "28000", "Access denied", TransactionStage::Connecting, WriteFailureKind::Unavailable),
            (
                1290,
                "HY000",
                "running with the --read-only option",
                TransactionStage::Working,
                WriteFailureKind::Unavailable,
            ),
            (
                1290,
                "HY000",
                "running with the --secure-file-priv option",
                TransactionStage::Working,
                WriteFailureKind::Refused,
            ),
            (1836, "HY000", "Running in read-only mode", TransactionStage::Committing, WriteFailureKind::Unavailable),
            (1053, "08S01", "Server shutdown in progress", TransactionStage::Working, WriteFailureKind::Unavailable),
            (9999, "08000", "some connection", TransactionStage::Working, WriteFailureKind::Unavailable),
            (
                3101,
                "40000",
                "Plugin instructed the server to rollback",
                TransactionStage::Committing,
                WriteFailureKind::Again,
            ),
            (1053, "08S01", "Server shutdown in progress", TransactionStage::Committing, WriteFailureKind::Lost),
            (1317, "70100", "Query execution was interrupted", TransactionStage::Committing, WriteFailureKind::Lost),
            (1598, "HY000", "Binary logging not possible", TransactionStage::Committing, WriteFailureKind::Lost),
        ] {
            assert_eq!(Failed::of(server(code, state, message), stage).kind, expected, "{code} {stage:?}");
        }
        let io = || Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        for (stage, expected) in [
            (TransactionStage::Connecting, WriteFailureKind::Unavailable),
            (TransactionStage::Preparing, WriteFailureKind::Unavailable),
            (TransactionStage::Working, WriteFailureKind::Unavailable),
            (TransactionStage::Committing, WriteFailureKind::Lost),
        ] {
            assert_eq!(Failed::of(io(), stage).kind, expected, "{stage:?}");
        }
    }

    #[test]
    fn time_that_ran_out_proves_that_nothing_happened_until_the_commit_was_sent() {
        let late = |stage| Failed::late(stage, Duration::from_secs(3), "db:3306");
        assert_eq!(late(TransactionStage::Connecting).kind, WriteFailureKind::Unavailable);
        assert_eq!(late(TransactionStage::Connecting).message, "no connection to mysql at db:3306 within 3s");
        assert_eq!(late(TransactionStage::Working).kind, WriteFailureKind::Again);
        assert_eq!(late(TransactionStage::Committing).kind, WriteFailureKind::Lost);
    }

    #[test]
    fn no_message_holds_a_value() {
        for (code, message, expected) in [
            (1062, "Duplicate entry 'secret' for key 'orders.PRIMARY'", "duplicate entry for key orders.PRIMARY"),
            (1062, "Doppelter Eintrag 'x for key 'secret' für Schlüssel 'PRIMARY'", "duplicate entry for a key"),
            (1062, "Duplicate entry 'x' for key 'secret' at 'y' for key 'k'", "duplicate entry for key k"),
            (1292, "Incorrect datetime value: 'secret' for column 'd'", "a value that the column's type cannot take"),
            (1644, "secret", "signalled by a trigger or procedure"),
            (1690, "BIGINT value is out of range in '(1 - secret)'", "error 1690 (HY000)"),
            (1406, "Data too long for column 'name' at row 1", "Data too long for column 'name' at row 1"),
        ] {
            let failed = Failed::of(server(code, "HY000", message), TransactionStage::Working);
            assert!(failed.message.ends_with(expected), "{}", failed.message);
            assert!(!failed.message.contains("secret"), "{}", failed.message);
        }
        let payload = Error::Driver(DriverError::UnexpectedPacket { payload: b"secret".to_vec() });
        let text = Failed::of(payload, TransactionStage::Working).message;
        assert!(!text.contains("secret") && !text.contains("115"), "{text}");
        // Before a value was sent, all that is known is said, on one line.
        let text = Failed::of(server(1064, "42000", "near 'FORM\nt'"), TransactionStage::Preparing).message;
        assert_eq!(text, "error 1064 (42000): near 'FORM t'");
    }

    #[test]
    fn rows_are_as_expected_or_the_message_says_what_was() {
        assert_eq!(as_expected(0, None), Ok(0));
        assert_eq!(as_expected(1, Some(&(1..=1))), Ok(1));
        for (rows, range, wanted) in [(0, 1..=1, "1"), (0, 1..=u64::MAX, "1 or more"), (9, 0..=3, "0 to 3")] {
            let failed = as_expected(rows, Some(&range)).expect_err("not as expected");
            assert_eq!(failed.kind, WriteFailureKind::Refused);
            assert_eq!(failed.message, format!("the statement matched {rows} rows, expected {wanted}; rolled back"));
        }
    }
}
