//! SQL statements with named parameters.
//!
//! In: the text of a statement with `:name` where values go. Out: the same with `?`, and the names in their order; or flaws
//! with their places. Strings, quoted identifiers and comments stay as they are. Refuses text whose meaning depends on the
//! server's settings, more than one statement, and statements that can't be rolled back. Of SQL it knows only where words end.

use std::iter::Peekable;
use std::str::Chars;

use crate::template::Flaw;

/// The length of a statement with a page of columns.
const STATEMENT_BYTES_MAX: usize = 16 << 10;

/// What can be undone as a whole when it fails: no DDL, which commits by itself.
const BEGINNINGS: [&str; 5] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"];

/// A statement for the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SqlStatement {
    /// With `?` where values go.
    pub text: String,
    /// One for each `?`, with its place in the text from 1.
    pub names: Vec<(String, usize, usize)>,
}

/// Reads a statement. All flaws are reported, with their places.
pub(super) fn read(source: &str) -> Result<SqlStatement, Vec<Flaw>> {
    if source.len() > STATEMENT_BYTES_MAX {
        let message = format!("a statement is at most {STATEMENT_BYTES_MAX} bytes long");
        return Err(vec![Flaw { line: 1, column: 1, message }]);
    }
    let mut lexer = Lexer {
        rest: source.chars().peekable(),
        source,
        line: 1,
        column: 1,
        statement: SqlStatement { text: String::new(), names: Vec::new() },
        flaws: Vec::new(),
        is_over: false,
        first_word: None,
    };
    lexer.run();
    if lexer.flaws.is_empty() { Ok(lexer.statement) } else { Err(lexer.flaws) }
}

struct Lexer<'s> {
    rest: Peekable<Chars<'s>>,
    source: &'s str,
    line: usize,
    column: usize,
    statement: SqlStatement,
    flaws: Vec<Flaw>,
    /// A semicolon was seen.
    is_over: bool,
    first_word: Option<(String, usize, usize)>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        if let Some(begin) = ["{{", "{%"].iter().filter_map(|mark| self.source.find(mark)).min() {
            let before = &self.source[..begin];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let message = "a statement is literal: write `:name` where a value goes, and the value below `params`";
            self.flaws.push(Flaw { line, column, message: message.to_owned() });
            return;
        }
        while let Some(c) = self.rest.peek().copied() {
            match c {
                '\'' | '"' | '`' => self.quoted(c),
                '#' => self.line_comment(),
                '-' if self.source_ahead("--") => self.line_comment(),
                '/' if self.ahead(1) == Some('*') => self.block_comment(),
                ':' => self.parameter(),
                '?' => {
                    self.flaw_here("a parameter has a name: write `:name` instead of `?`");
                    self.take();
                }
                ';' => {
                    self.drop();
                    self.is_over = true;
                }
                c if c.is_whitespace() => self.take(),
                c if is_word(c) => self.word(),
                _ => self.token(),
            }
        }
        match &self.first_word {
            Some((word, line, column)) if !BEGINNINGS.iter().any(|known| known.eq_ignore_ascii_case(word)) => {
                let message =
                    format!("a statement begins with one of {}, which can be rolled back", BEGINNINGS.join(", "));
                self.flaws.insert(0, Flaw { line: *line, column: *column, message });
            }
            None if self.flaws.is_empty() => {
                self.flaws.push(Flaw { line: 1, column: 1, message: "the statement is empty".to_owned() });
            }
            _ => {}
        }
    }

    /// Whether `--` opens a comment here: only with a blank or the end after it.
    fn source_ahead(&self, dashes: &str) -> bool {
        let mut ahead = self.rest.clone();
        dashes.chars().all(|dash| ahead.next() == Some(dash))
            && ahead.next().is_none_or(|c| c.is_whitespace() || c.is_control())
    }

    fn ahead(&self, n: usize) -> Option<char> {
        self.rest.clone().nth(n)
    }

    fn flaw_here(&mut self, message: &str) {
        self.flaws.push(Flaw { line: self.line, column: self.column, message: message.to_owned() });
    }

    /// Something that belongs to a statement.
    fn begin_token(&mut self) {
        if self.is_over {
            self.is_over = false;
            self.flaw_here("one statement at a time: remove what follows `;`, or write several steps");
        }
        if self.first_word.is_none() {
            self.first_word = Some((String::new(), self.line, self.column));
        }
    }

    fn drop(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        Some(c)
    }

    fn take(&mut self) {
        if let Some(c) = self.drop() {
            self.statement.text.push(c);
        }
    }

    fn token(&mut self) {
        self.begin_token();
        self.take();
    }

    fn word(&mut self) {
        let is_first = self.first_word.is_none();
        let (line, column) = (self.line, self.column);
        self.begin_token();
        let begin = self.statement.text.len();
        while self.rest.peek().copied().is_some_and(is_word) {
            self.take();
        }
        let word = &self.statement.text[begin..];
        if word.strip_prefix('$').is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        {
            let message = format!("a parameter has a name: write `:name` instead of `{word}`");
            self.flaws.push(Flaw { line, column, message });
        }
        if let (true, Some((word, ..))) = (is_first, &mut self.first_word) {
            word.push_str(&self.statement.text[begin..]);
        }
    }

    fn quoted(&mut self, quote: char) {
        self.begin_token();
        let (line, column) = (self.line, self.column);
        self.take();
        loop {
            match self.rest.peek().copied() {
                None => {
                    let message = format!("{quote} opens a text that does not end");
                    return self.flaws.push(Flaw { line, column, message });
                }
                // Whether it escapes what follows depends on the server's sql_mode.
                Some('\\') if quote != '`' => {
                    self.flaw_here("what `\\` means in a text depends on the server's settings; use a parameter");
                    return self.rest.by_ref().for_each(drop);
                }
                Some(c) => {
                    self.take();
                    let is_doubled = c == quote && self.rest.peek() == Some(&quote);
                    if is_doubled {
                        self.take();
                    } else if c == quote {
                        return;
                    }
                }
            }
        }
    }

    fn line_comment(&mut self) {
        while self.rest.peek().is_some_and(|c| *c != '\n') {
            self.take();
        }
    }

    fn block_comment(&mut self) {
        if self.ahead(2) == Some('!') || (self.ahead(2) == Some('M') && self.ahead(3) == Some('!')) {
            self.flaw_here("`/*!` is no comment: some servers execute it; write what is meant");
        }
        let (line, column) = (self.line, self.column);
        self.take();
        self.take();
        while !(self.rest.peek() == Some(&'*') && self.ahead(1) == Some('/')) {
            if self.rest.peek().is_none() {
                let message = "`/*` opens a comment that does not end".to_owned();
                return self.flaws.push(Flaw { line, column, message });
            }
            self.take();
        }
        self.take();
        self.take();
    }

    fn parameter(&mut self) {
        self.begin_token();
        if !self.ahead(1).is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
            return self.take();
        }
        let (line, column) = (self.line, self.column);
        self.drop();
        let mut name = String::new();
        while let Some(c) = self.rest.peek().copied().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.drop();
        }
        self.statement.text.push('?');
        self.statement.names.push((name, line, column));
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, text: &str, names: &[&str]) {
        let statement = read(source).unwrap_or_else(|flaws| panic!("{source}: {flaws:?}"));
        let found: Vec<&str> = statement.names.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!((statement.text.as_str(), &found[..]), (text, names), "{source}");
    }

    #[test]
    fn names_become_question_marks_in_order() {
        check("UPDATE t SET a = :a WHERE id = :id", "UPDATE t SET a = ? WHERE id = ?", &["a", "id"]);
        check("update t set a=:a_1,b=:a_1+:_b", "update t set a=?,b=?+?", &["a_1", "a_1", "_b"]);
        check("INSERT INTO t VALUES (:ä, 1)".replace('ä', "a").as_str(), "INSERT INTO t VALUES (?, 1)", &["a"]);
        check("DELETE FROM t LIMIT 1;", "DELETE FROM t LIMIT 1", &[]);
        check("DELETE FROM t ; -- done\n/* really */", "DELETE FROM t  -- done\n/* really */", &[]);
        check("UPDATE t SET a = (@n := @n + :by)", "UPDATE t SET a = (@n := @n + ?)", &["by"]);
        check("UPDATE t SET a = 5-:a", "UPDATE t SET a = 5-?", &["a"]);
        check("UPDATE t SET a = 5--:a", "UPDATE t SET a = 5--?", &["a"]);
        let statement = read("UPDATE t\n  SET ä = :a").expect("sound");
        assert_eq!(statement.names, [("a".to_owned(), 2, 11)]);
    }

    #[test]
    fn strings_identifiers_and_comments_stay_as_they_are() {
        for source in [
            "UPDATE t SET a = ':a ? ; ''b'' :c'",
            "UPDATE t SET a = \":a \"\" :b\"",
            "UPDATE `t:a``:b?` SET a = 1",
            "UPDATE `a\\` SET b = '`'",
            "UPDATE t SET a = 1 -- :a ? ; it's\n",
            "UPDATE t SET a = 1 --\t:a",
            "UPDATE t SET a = 1 --",
            "UPDATE t SET a = 1 # :a ? ; it's",
            "UPDATE /* :a ? ; it's `x */ t SET a = 1",
            "UPDATE /*+ NO_INDEX_MERGE(t) */ t SET a = 1 /**/",
            "UPDATE t SET a = '/*', b = '*/', c = '-- ', d = '#'",
        ] {
            check(source, source, &[]);
        }
        check("/* a */ -- b\n UPDATE t SET a = ':b' ':c' :d", "/* a */ -- b\n UPDATE t SET a = ':b' ':c' ?", &["d"]);
    }

    #[test]
    fn what_can_not_be_read_for_certain_is_refused_at_its_place() {
        for (source, line, column, expected) in [
            ("DELETE FROM t WHERE id = $1", 1, 26, "write `:name` instead of `$1`"),
            ("", 1, 1, "is empty"),
            (" -- only a comment", 1, 1, "is empty"),
            (";", 1, 1, "is empty"),
            ("UPDATE t SET a = ?", 1, 18, "write `:name` instead of `?`"),
            ("UPDATE t SET a = 1; DELETE FROM t", 1, 21, "one statement at a time"),
            ("UPDATE t SET a = 1;\n:a", 2, 1, "one statement at a time"),
            ("UPDATE t SET a = 'it", 1, 18, "does not end"),
            ("UPDATE t SET a = \"it''", 1, 18, "does not end"),
            ("UPDATE `t", 1, 8, "does not end"),
            ("UPDATE t /* SET", 1, 10, "does not end"),
            ("UPDATE t /*/ SET", 1, 10, "does not end"),
            ("UPDATE t SET a = 'it\\'s' WHERE :a", 1, 21, "depends on the server's settings"),
            ("UPDATE t SET a = \"\\\\\"", 1, 19, "depends on the server's settings"),
            ("UPDATE t /*! SET a = 1 */", 1, 10, "some servers execute it"),
            ("UPDATE t /*M! SET a = 1 */", 1, 10, "some servers execute it"),
            ("DROP TABLE t", 1, 1, "INSERT, UPDATE, DELETE, REPLACE, WITH"),
            ("  (SELECT 1)", 1, 3, "begins with one of"),
            ("UPDATE t SET a = {{ row.a }}", 1, 18, "write `:name` where a value goes"),
            ("UPDATE t\nSET a = '{{ row.a }}'", 2, 10, "write `:name` where a value goes"),
        ] {
            let flaws = read(source).expect_err(source);
            let [Flaw { line: l, column: c, message }] = &flaws[..] else { panic!("{source}: {flaws:?}") };
            assert!((*l, *c) == (line, column) && message.contains(expected), "{source}: {flaws:?}");
        }
        read(&format!("UPDATE t SET a = '{}'", "x".repeat(STATEMENT_BYTES_MAX))).expect_err("too long");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(source in "[a:?;'\"`\\\\/*!# \n-]{0,24}") {
            if let Ok(statement) = read(&format!("UPDATE {source}")) {
                // Outside of the parts that stay as they are there is a `?` for each name.
                proptest::prop_assert!(statement.text.matches('?').count() >= statement.names.len());
            }
        }
    }
}
