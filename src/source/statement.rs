//! Statements in the binlog: which of them change rows without saying which rows.
//!
//! In: the tokens of a QUERY event's text. Out: what it means for a transaction. Statements are not understood here,
//! only sorted. A statement that changes rows and is logged as text would be a silent gap (promise 7), unless `writes`
//! finds that it writes to no watched table; a statement that only defines or grants must never stop the stream.

use crate::column::charset::{Charset, Charsets};

use super::event::Query;
use super::lexer::{self, Lexer, Modes, SqlPiece, SqlToken};

/// What a QUERY event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryStatement {
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, ROLLBACK TO, RELEASE: what was rolled back is not in the log.
    Savepoint,
    XaStart,
    XaEnd,
    /// XA COMMIT and XA ROLLBACK of a transaction that was prepared before.
    XaOutcome,
    /// Defines, grants or administers; may change the definition of tables.
    Definition,
    /// CREATE TABLE with a query: inside a transaction its rows follow as events; outside of one they are not in the
    /// binlog.
    DefinitionWithRows,
    /// Changes rows, or may: INSERT and the like, and every unknown statement.
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

/// What a logged statement means, with its tokens where its text can be cut as a whole.
pub(super) fn read(query: &Query<'_>, charsets: &Charsets) -> (QueryStatement, Option<Vec<SqlToken>>) {
    match query.text {
        // Each transaction has these two, always in this form.
        b"BEGIN" => (QueryStatement::Begin, None),
        b"COMMIT" => (QueryStatement::Commit, None),
        text => {
            let tokens = lexer::tokens_of(query, charsets);
            (classify(text, tokens.as_deref()), tokens)
        }
    }
}

/// `tokens` are those of the text; None where it can't be cut as a whole: then its first words decide.
fn classify(text: &[u8], tokens: Option<&[SqlToken]>) -> QueryStatement {
    let head: Vec<SqlToken>;
    let known = match tokens {
        Some(tokens) => tokens,
        None => {
            head = head_of(text);
            &head
        }
    };
    let keyword = |at: usize| match known.get(at) {
        Some(SqlToken::Word(word)) => word.to_ascii_uppercase(),
        _ => String::new(),
    };
    let (first, second) = (keyword(0), keyword(1));
    match (first.as_str(), second.as_str()) {
        ("BEGIN", _) | ("START", "TRANSACTION") => QueryStatement::Begin,
        ("COMMIT", _) => QueryStatement::Commit,
        ("ROLLBACK", "TO") | ("SAVEPOINT" | "RELEASE", _) => QueryStatement::Savepoint,
        ("ROLLBACK", _) => QueryStatement::Rollback,
        ("XA", "START" | "BEGIN") => QueryStatement::XaStart,
        ("XA", "END" | "PREPARE") => QueryStatement::XaEnd,
        ("XA", "COMMIT" | "ROLLBACK") => QueryStatement::XaOutcome,
        ("CREATE", "TABLE")
            if tokens.map_or_else(|| may_contain_query(text), |tokens| contains_query(&tokens[2..])) =>
        {
            QueryStatement::DefinitionWithRows
        }
        (word, _) if DEFINITIONS.contains(&word) => QueryStatement::Definition,
        _ => QueryStatement::RowChange,
    }
}

/// The first two tokens, which are words of ASCII where a statement begins, whatever its character set.
pub(super) fn head_of(text: &[u8]) -> Vec<SqlToken> {
    let pieces = Lexer::new(text, Charset::Binary, Modes::default());
    let token = |(_, piece)| match piece {
        SqlPiece::Token(token) => Some(token),
        SqlPiece::Blank | SqlPiece::Unended => None,
    };
    pieces.filter_map(token).take(2).collect()
}

/// Whether the rest of a CREATE TABLE holds `SELECT`, `TABLE other` or `VALUES ROW(...)`. All three words are reserved, so
/// that without quotes and not beside a dot they can't be names.
fn contains_query(tokens: &[SqlToken]) -> bool {
    tokens.iter().any(|token| token.is_any(&["SELECT", "TABLE"]))
        || tokens.windows(2).any(|two| two[0].is("VALUES") && two[1].is("ROW"))
}

/// The same for a text that can't be cut: a column may have such a name, too.
fn may_contain_query(text: &[u8]) -> bool {
    let text = text.to_ascii_uppercase();
    let count = |word: &[u8]| text.windows(word.len()).filter(|window| *window == word).count();
    count(b"SELECT") > 0 || count(b"VALUES") > 0 || count(b"TABLE") > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::charset::Charsets;
    use crate::source::lexer::tokens;

    #[test]
    fn statements_are_sorted_by_their_first_words() {
        for (text, expected) in [
            ("BEGIN", QueryStatement::Begin),
            ("COMMIT", QueryStatement::Commit),
            ("ROLLBACK", QueryStatement::Rollback),
            ("rollback to `s`", QueryStatement::Savepoint),
            ("SAVEPOINT `s`", QueryStatement::Savepoint),
            ("XA START X'61',X'',1", QueryStatement::XaStart),
            ("XA END X'61',X'',1", QueryStatement::XaEnd),
            ("XA COMMIT X'61',X'',1", QueryStatement::XaOutcome),
            ("XA ROLLBACK X'61',X'',1", QueryStatement::XaOutcome),
            ("create table t as select 1", QueryStatement::DefinitionWithRows),
            ("CREATE TABLE t (a INT) /* x */ WITH c AS (SELECT 1) SELECT * FROM c", QueryStatement::DefinitionWithRows),
            ("CREATE TABLE IF NOT EXISTS s.`t` TABLE other", QueryStatement::DefinitionWithRows),
            ("CREATE TABLE t VALUES ROW(1)", QueryStatement::DefinitionWithRows),
            ("CREATE TABLE s.table ((((SELECT 1))))", QueryStatement::DefinitionWithRows),
            ("CREATE TABLE s.select (a INT) SELECT 1 AS a", QueryStatement::DefinitionWithRows),
            ("CREATE TABLE t (`select` INT COMMENT 'it''s \\' select') -- select", QueryStatement::Definition),
            (
                "CREATE TABLE t (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (9))",
                QueryStatement::Definition,
            ),
            ("CREATE TABLE t LIKE other", QueryStatement::Definition),
            ("CREATE TABLE s.table (id INT)", QueryStatement::Definition),
            ("CREATE TABLE s .select (id INT)", QueryStatement::Definition),
            ("CREATE TABLE `s`.values (id INT)", QueryStatement::Definition),
            ("CREATE TABLE table.t (id INT)", QueryStatement::Definition),
            ("CREATE TABLE t LIKE s.table", QueryStatement::Definition),
            ("CREATE TABLE t (a INT, FOREIGN KEY (a) REFERENCES s.table (id))", QueryStatement::Definition),
            ("CREATE TABLE t (a INT, sel$ect INT, $select INT, table$ INT)", QueryStatement::Definition),
            ("CREATE TABLE t (a INT CHECK (s.t.select > 1))", QueryStatement::Definition),
            ("CREATE TABLE t (a INT /* select */) /*!80000 COMMENT 'table' */", QueryStatement::Definition),
            ("CREATE VIEW v AS SELECT 1", QueryStatement::Definition),
            ("CREATE TEMPORARY TABLE t SELECT 1", QueryStatement::Definition),
            ("/* insert */ ALTER TABLE t ADD c int", QueryStatement::Definition),
            ("/*!80000 ALTER */ TABLE t", QueryStatement::Definition),
            ("-- delete\nDROP TABLE t", QueryStatement::Definition),
            ("# x\nTRUNCATE t", QueryStatement::Definition),
            ("ALTER USER 'x' IDENTIFIED BY 'insert'", QueryStatement::Definition),
            ("GRANT SELECT ON *.* TO x", QueryStatement::Definition),
            ("flush tables", QueryStatement::Definition),
            ("ANALYZE TABLE t", QueryStatement::Definition),
            ("insert into t values (1)", QueryStatement::RowChange),
            ("/* create */ UPDATE t SET a = 1", QueryStatement::RowChange),
            ("/*!40000 DELETE */ FROM t", QueryStatement::RowChange),
            ("WITH x AS (SELECT 1) DELETE FROM t", QueryStatement::RowChange),
            ("(SELECT f())", QueryStatement::RowChange),
            ("REPLACE t VALUES (1)", QueryStatement::RowChange),
            ("LOAD DATA INFILE 'x' INTO TABLE t", QueryStatement::RowChange),
            ("DO f()", QueryStatement::RowChange),
            ("`begin`", QueryStatement::RowChange),
            ("BEGINNING", QueryStatement::RowChange),
            ("", QueryStatement::RowChange),
        ] {
            let tokens = tokens(text.as_bytes(), Charset::Utf8, Modes::default()).expect(text);
            assert_eq!(classify(text.as_bytes(), Some(&tokens)), expected, "{text}");
        }
    }

    #[test]
    fn modes_and_character_sets_of_the_client_decide_where_a_text_ends() {
        let (plain, no_escapes) = (Modes::default(), Modes { no_backslash_escapes: true, ..Modes::default() });
        let ansi = Modes { ansi_quotes: true, ..Modes::default() };
        for (set, modes, text) in [
            ("utf8mb4", no_escapes, &b"CREATE TABLE n (id INT COMMENT 'c:\\', v INT COMMENT 'select')"[..]),
            ("utf8mb4", ansi, b"CREATE TABLE \"select\" (\"table\" INT)"),
            ("sjis", plain, b"CREATE TABLE s (id INT COMMENT '\x95\x5c', v INT COMMENT 'select one')"),
            ("cp932", plain, b"CREATE TABLE s (id INT COMMENT '\x83\x5c', v INT COMMENT 'select one')"),
            ("gbk", plain, b"CREATE TABLE s (id INT COMMENT '\xbf\x5c', v INT COMMENT 'select one')"),
            ("gb18030", plain, b"CREATE TABLE s (id INT COMMENT '\xbf\x5c', v INT COMMENT 'select one')"),
            ("big5", plain, b"CREATE TABLE s (id INT COMMENT '\xa5\x5c', v INT COMMENT 'select one')"),
            ("latin1", plain, b"CREATE\xa0TABLE s (id INT COMMENT 'select')"),
        ] {
            let charset = Charsets::new([(1, set.to_string())]).of(1);
            let tokens = tokens(text, charset, modes).expect(set);
            assert_eq!(classify(text, Some(&tokens)), QueryStatement::Definition, "{set} {modes:?}");
        }
    }

    #[test]
    fn for_a_text_that_cannot_be_cut_the_first_words_decide() {
        for (text, expected) in [
            ("CREATE TABLE t (a INT COMMENT 'open)", QueryStatement::Definition),
            ("CREATE TABLE t (a INT COMMENT 'open') SELECT 1", QueryStatement::DefinitionWithRows),
            ("CREATE TABLE t TABLE u", QueryStatement::DefinitionWithRows),
            ("INSERT INTO t VALUES ('open", QueryStatement::RowChange),
            ("/* open", QueryStatement::RowChange),
        ] {
            assert_eq!(classify(text.as_bytes(), None), expected, "{text}");
        }
    }
}
