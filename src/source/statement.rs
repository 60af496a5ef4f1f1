//! Statements in the binlog: which of them change rows without saying which rows.
//!
//! In: the text of a QUERY event. Out: what it means for a transaction. Looks at the first words only, past comments:
//! statements need not be understood, they need to be told apart. What changes rows in statement form would be a silent
//! gap (promise 7); what merely defines or grants must never stop the stream.

/// What a QUERY event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, ROLLBACK TO, RELEASE: what was rolled back is not in the log.
    Savepoint,
    XaStart,
    XaEnd,
    /// XA COMMIT and XA ROLLBACK of a transaction that was prepared before.
    XaOutcome,
    /// Defines, grants or administers; may change what tables look like.
    Definition,
    /// CREATE TABLE with a query: its rows follow as events where it stands inside a transaction, and are nowhere where it
    /// stands alone.
    DefinitionWithRows,
    /// Changes rows, or may: INSERT and its kin, and whatever is not known.
    RowChange,
}

/// First words of statements that the server logs as text whatever the format is.
const DEFINITIONS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "CHANGE",
    "CHECK",
    "CLONE",
    "COMMENT",
    "CREATE",
    "DROP",
    "FLUSH",
    "GRANT",
    "IMPORT",
    "INSTALL",
    "KILL",
    "LOCK",
    "OPTIMIZE",
    "PURGE",
    "RENAME",
    "REPAIR",
    "RESET",
    "RESTART",
    "REVOKE",
    "SET",
    "TRUNCATE",
    "UNINSTALL",
    "UNLOCK",
    "USE",
];

pub(super) fn classify(text: &[u8]) -> Statement {
    let mut rest = text;
    let first = next_word(&mut rest);
    let second = next_word(&mut rest);
    match (first.as_str(), second.as_str()) {
        ("BEGIN", _) | ("START", "TRANSACTION") => Statement::Begin,
        ("COMMIT", _) => Statement::Commit,
        ("ROLLBACK", "TO") | ("SAVEPOINT" | "RELEASE", _) => Statement::Savepoint,
        ("ROLLBACK", _) => Statement::Rollback,
        ("XA", "START" | "BEGIN") => Statement::XaStart,
        ("XA", "END" | "PREPARE") => Statement::XaEnd,
        ("XA", "COMMIT" | "ROLLBACK") => Statement::XaOutcome,
        ("CREATE", "TABLE") if holds_query(rest) => Statement::DefinitionWithRows,
        (word, _) if DEFINITIONS.contains(&word) => Statement::Definition,
        _ => Statement::RowChange,
    }
}

/// Whether the rest of a CREATE TABLE holds `SELECT`, `TABLE other` or `VALUES ROW(...)`. All three words are reserved, so
/// that outside quotes and comments they can't be names.
fn holds_query(mut rest: &[u8]) -> bool {
    let mut previous = String::new();
    loop {
        let word = next_word(&mut rest);
        match (previous.as_str(), word.as_str()) {
            (_, "SELECT" | "TABLE") | ("VALUES", "ROW") => return true,
            (_, "") => match rest.first() {
                None => return false,
                Some(quote @ (b'\'' | b'"' | b'`')) => rest = after_quoted(&rest[1..], *quote),
                Some(_) => rest = &rest[1..],
            },
            _ => {}
        }
        previous = word;
    }
}

/// What follows the closing quote; a doubled quote reads as two texts side by side, which comes to the same.
fn after_quoted(mut rest: &[u8], quote: u8) -> &[u8] {
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match *byte {
            byte if byte == quote => break,
            b'\\' if quote != b'`' => rest = rest.get(1..).unwrap_or_default(),
            _ => {}
        }
    }
    rest
}

/// The next word in capitals, past white space and comments; of `/*!80000 ... */` the inside counts, as the server
/// executes it. Empty at the end or before a sign.
fn next_word(rest: &mut &[u8]) -> String {
    loop {
        *rest = rest.trim_ascii_start();
        if let Some(inside) = rest.strip_prefix(b"/*!") {
            let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
            *rest = &inside[digits..];
        } else if rest.starts_with(b"/*") {
            *rest = after(rest, b"*/");
        } else if rest.starts_with(b"*/") || rest.starts_with(b"(") {
            // The end of an executed comment; a parenthesis before a query.
            *rest = &rest[if rest[0] == b'(' { 1 } else { 2 }..];
        } else if rest.starts_with(b"#") || rest.starts_with(b"--") {
            *rest = after(rest, b"\n");
        } else {
            break;
        }
    }
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let (word, tail) = rest.split_at(length);
    *rest = tail;
    word.iter().map(|byte| char::from(byte.to_ascii_uppercase())).collect()
}

fn after<'a>(text: &'a [u8], mark: &[u8]) -> &'a [u8] {
    let at = text.windows(mark.len()).position(|window| window == mark);
    at.map_or(&[], |at| &text[at + mark.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart_by_their_first_words() {
        for (text, expected) in [
            ("BEGIN", Statement::Begin),
            ("COMMIT", Statement::Commit),
            ("ROLLBACK", Statement::Rollback),
            ("rollback to `s`", Statement::Savepoint),
            ("SAVEPOINT `s`", Statement::Savepoint),
            ("XA START X'61',X'',1", Statement::XaStart),
            ("XA END X'61',X'',1", Statement::XaEnd),
            ("XA COMMIT X'61',X'',1", Statement::XaOutcome),
            ("XA ROLLBACK X'61',X'',1", Statement::XaOutcome),
            ("create table t as select 1", Statement::DefinitionWithRows),
            ("CREATE TABLE t (a INT) /* x */ WITH c AS (SELECT 1) SELECT * FROM c", Statement::DefinitionWithRows),
            ("CREATE TABLE IF NOT EXISTS s.`t` TABLE other", Statement::DefinitionWithRows),
            ("CREATE TABLE t VALUES ROW(1)", Statement::DefinitionWithRows),
            ("CREATE TABLE t (`select` INT COMMENT 'it''s \\' select') -- select", Statement::Definition),
            ("CREATE TABLE t (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (9))", Statement::Definition),
            ("CREATE TABLE t LIKE other", Statement::Definition),
            ("CREATE VIEW v AS SELECT 1", Statement::Definition),
            ("CREATE TEMPORARY TABLE t SELECT 1", Statement::Definition),
            ("/* insert */ ALTER TABLE t ADD c int", Statement::Definition),
            ("/*!80000 ALTER */ TABLE t", Statement::Definition),
            ("-- delete\nDROP TABLE t", Statement::Definition),
            ("# x\nTRUNCATE t", Statement::Definition),
            ("ALTER USER 'x' IDENTIFIED BY 'insert'", Statement::Definition),
            ("GRANT SELECT ON *.* TO x", Statement::Definition),
            ("flush tables", Statement::Definition),
            ("ANALYZE TABLE t", Statement::Definition),
            ("insert into t values (1)", Statement::RowChange),
            ("/* create */ UPDATE t SET a = 1", Statement::RowChange),
            ("/*!40000 DELETE */ FROM t", Statement::RowChange),
            ("WITH x AS (SELECT 1) DELETE FROM t", Statement::RowChange),
            ("(SELECT f())", Statement::RowChange),
            ("REPLACE t VALUES (1)", Statement::RowChange),
            ("LOAD DATA INFILE 'x' INTO TABLE t", Statement::RowChange),
            ("DO f()", Statement::RowChange),
            ("BEGINNING", Statement::RowChange),
            ("", Statement::RowChange),
        ] {
            assert_eq!(classify(text.as_bytes()), expected, "{text}");
        }
    }
}
