//! Case files: SQL statements with the changes that each must bring, as comment lines directly below it.
//!
//! In: the text of a file. Out: its directives and statements, with the lines where they stand, so that a failure can point
//! there; and the file again with other expected changes. Anything that looks like a directive and is none is an error, so
//! that a misspelt one cannot pass for a remark.

/// A file, read.
#[derive(Debug, Default, PartialEq)]
pub struct Script {
    /// `-- server: --option ...`: the file needs a server of its own kind.
    pub server_options: Vec<String>,
    /// `-- metadata: FULL`: the only value of binlog_row_metadata that the file is for.
    pub metadata: Option<String>,
    /// `-- compression: OFF`: the only value of binlog_transaction_compression that the file is for.
    pub compression: Option<String>,
    /// `-- reading: in step`: a statement runs only when what came before it has been read.
    pub is_read_in_step: bool,
    pub statements: Vec<Statement>,
}

#[derive(Debug, PartialEq)]
pub struct Statement {
    /// Without the semicolon at its end.
    pub sql: String,
    /// From 1.
    pub first_line: usize,
    pub last_line: usize,
    pub expected: Vec<Expected>,
    /// `-- stops: TEXT`: the source ends here with an error that contains this text.
    pub stops: Option<String>,
    /// `-- fails`: the server refuses the statement.
    pub fails: bool,
}

/// One `-- {...}` line.
#[derive(Debug, PartialEq)]
pub struct Expected {
    pub line: usize,
    pub json: String,
}

/// Reads a file; an error names the line.
pub fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::default();
    let mut open: Option<Statement> = None;
    for (line, content) in (1..).zip(text.lines()) {
        let wrong = |what: &str| format!("line {line}: {what}");
        if let Some(statement) = &mut open {
            statement.sql.push('\n');
            statement.sql.push_str(content);
            statement.last_line = line;
        } else if let Some(comment) = content.strip_prefix("--") {
            remark(&mut script, line, comment.trim()).map_err(|what| wrong(&what))?;
        } else if !content.trim().is_empty() {
            let sql = content.to_string();
            let expected = Vec::new();
            open = Some(Statement { sql, first_line: line, last_line: line, expected, stops: None, fails: false });
        }
        if open.as_ref().is_some_and(|statement| statement.sql.trim_end().ends_with(';')) {
            let mut statement = open.take().ok_or_else(|| wrong("no statement"))?;
            statement.sql = statement.sql.trim_end().trim_end_matches(';').to_string();
            script.statements.push(statement);
        }
    }
    match open {
        Some(statement) => Err(format!("line {}: a statement without a semicolon", statement.first_line)),
        None if script.statements.is_empty() => Err("line 1: no statement".to_string()),
        None => Ok(script),
    }
}

fn remark(script: &mut Script, line: usize, comment: &str) -> Result<(), String> {
    let below = script.statements.last_mut();
    if comment.starts_with('{') {
        let statement = below.ok_or("an expected change above all statements")?;
        if statement.last_line + statement.expected.len() + 1 != line {
            return Err("an expected change that does not stand directly below its statement".to_string());
        }
        statement.expected.push(Expected { line, json: comment.to_string() });
        return Ok(());
    }
    let word = comment.split([':', ' ']).next().unwrap_or_default();
    let value =
        comment.strip_prefix(word).and_then(|rest| rest.strip_prefix(':')).map(|value| value.trim().to_string());
    match (below, word, value) {
        (None, "server", Some(value)) => script.server_options = value.split(' ').map(str::to_string).collect(),
        (None, "metadata", Some(value)) => script.metadata = Some(value),
        (None, "compression", Some(value)) => script.compression = Some(value),
        (None, "reading", Some(value)) if value == "in step" => script.is_read_in_step = true,
        (Some(statement), "stops", Some(value)) => statement.stops = Some(value),
        (Some(statement), "fails", None) if comment == word => statement.fails = true,
        (_, "server" | "metadata" | "compression" | "reading" | "stops" | "fails", _) => {
            return Err(format!("`{comment}` does not belong here"));
        }
        (_, _, Some(_)) if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            return Err(format!("`{word}` is no directive; write remarks without a colon behind their first word"));
        }
        _ => {}
    }
    Ok(())
}

/// The file with these changes below its statements instead of those that were expected.
pub fn rewritten(text: &str, script: &Script, got: &[Vec<String>]) -> String {
    let is_expected =
        |line: usize| script.statements.iter().flat_map(|statement| &statement.expected).any(|e| e.line == line);
    let mut out = String::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(line, _)| !is_expected(*line)) {
        out.push_str(content);
        out.push('\n');
        if let Some(place) = script.statements.iter().position(|statement| statement.last_line == line) {
            got.get(place).into_iter().flatten().for_each(|json| out.push_str(&format!("-- {json}\n")));
        }
    }
    out
}

#[test]
fn a_file_is_read_with_its_directives_and_the_lines_of_its_statements() {
    let text = "-- A remark.\n-- metadata: FULL\n-- reading: in step\n\nCREATE TABLE t\n  (n INT);\n\nINSERT INTO t VALUES (1);\n\
                -- {\"a\":1}\n-- {\"a\":2}\nINSERT INTO u VALUES (1);\n-- fails\nDELETE FROM t;\n-- stops: gbk\n";
    let script = parse(text).expect("a script");
    assert_eq!((script.metadata.as_deref(), script.is_read_in_step, script.compression), (Some("FULL"), true, None));
    let statements = &script.statements;
    assert_eq!((statements[0].sql.as_str(), statements[0].first_line), ("CREATE TABLE t\n  (n INT)", 5));
    let expected: Vec<_> = statements[1].expected.iter().map(|expected| (expected.line, &*expected.json)).collect();
    assert_eq!(expected, [(9, "{\"a\":1}"), (10, "{\"a\":2}")]);
    assert!(statements[2].fails);
    assert_eq!(statements[3].stops.as_deref(), Some("gbk"));
    for (wrong, part) in [
        ("SELECT 1", "line 1: a statement without"),
        ("-- {}\nSELECT 1;", "line 1: an expected change above"),
        ("SELECT 1;\n-- remark\n-- {}", "line 3: an expected change that does not stand directly below"),
        ("-- metdata: FULL\nSELECT 1;", "line 1: `metdata` is no directive"),
        ("SELECT 1;\n-- metadata: FULL\n", "line 2: `metadata: FULL` does not belong here"),
        ("-- nothing", "no statement"),
    ] {
        let error = parse(wrong).expect_err(wrong);
        assert!(error.contains(part), "{wrong}: {error}");
    }
}

#[test]
fn an_update_replaces_the_expected_changes_and_nothing_else() {
    let text = "-- Remark.\nINSERT a;\n-- {\"a\":1}\n-- remark\nBEGIN\n  x;\nEND;\n";
    let script = parse(text).expect("a script");
    let got = [vec![], vec!["{\"b\":1}".to_string(), "{\"b\":2}".to_string()], vec![]];
    let expected = "-- Remark.\nINSERT a;\n-- remark\nBEGIN\n  x;\n-- {\"b\":1}\n-- {\"b\":2}\nEND;\n";
    assert_eq!(rewritten(text, &script, &got), expected);
}
