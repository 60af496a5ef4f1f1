//! `rowhook dead-letters export`: what is in the file, in both forms, and what becomes of the file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::letters::{Letter, failed, fill, status};
use crate::support::program::{Finished, Home};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

/// Three letters: one with all that CSV must quote, one without an answer and with a redacted column, one of another rule.
fn home() -> Home {
    let rule = "table: shop.other\nrules: [{name: other, call: {url: \"http://127.0.0.1:1/\"}}]\n";
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", rule);
    let message = "answered 404: \"no\", not\nretried".to_owned();
    let quoted =
        Letter { note: "tea, \"green\"\nü", message, answers: vec![status(404)], ..Letter::of("order-paid", 1) };
    let lost = Letter {
        note: "***",
        redacted: &["note"],
        answers: vec![failed("connection refused")],
        ..Letter::of("order-paid", 2)
    };
    fill(&home, &[quoted, lost, Letter::of("mail", 3)]);
    home
}

#[track_caller]
fn ended(finished: &Finished, code: i32) {
    assert_eq!(finished.code, code, "stdout:\n{}\nstderr:\n{}", finished.stdout, finished.stderr);
}

/// The records of a CSV text, read as RFC 4180 says.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(std::mem::take(&mut field)),
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    assert!(field.is_empty() && record.is_empty() && !is_quoted, "the last line is whole: {text}");
    records
}

#[test]
fn json_lines_are_the_letters_that_fit_as_show_has_them() {
    let home = home();
    for runs_daemon in [false, true] {
        let _daemon = runs_daemon.then(|| {
            let daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
            daemon.wait_for_line("starts", DEADLINE);
            daemon
        });
        let exported = home.run(&["dead-letters", "export", "--rule", "order-paid"]);
        ended(&exported, 0);
        let lines: Vec<Value> = exported.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let shown = |number: &str| -> Value {
            let shown = home.run(&["dead-letters", "show", number, "--json"]);
            serde_json::from_str(&shown.stdout).expect("JSON")
        };
        assert_eq!(lines, [shown("1"), shown("2")]);
        assert_eq!(lines[1]["change"]["after"], json!({"id": 2, "note": "***"}));
        assert_eq!(lines[1]["redacted"], json!(["note"]));
    }
}

#[test]
fn a_csv_file_has_each_field_as_it_was() {
    let home = home();
    let exported = home.run(&["dead-letters", "export", "--output", "letters.csv", "--number", "1-2"]);
    ended(&exported, 0);
    assert_eq!(exported.stdout, "2 dead letters exported to letters.csv\n");
    let path = home.path("letters.csv");
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600, "it has row values");
    let records = records(&fs::read_to_string(&path).expect("text"));
    let field = |row: usize, name: &str| {
        let at = records[0].iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
        records[row][at].as_str()
    };
    assert_eq!(records.len(), 3);
    assert!(records.iter().all(|record| record.len() == records[0].len()), "{records:?}");
    for (row, name, expected) in [
        (1, "number", "1"),
        (1, "rule", "order-paid"),
        (1, "table", "shop.orders"),
        (1, "key", "1"),
        (1, "status", "404"),
        (1, "error", ""),
        (1, "excerpt", "try later"),
        (1, "message", "answered 404: \"no\", not\nretried"),
        (2, "number", "2"),
        (2, "status", ""),
        (2, "error", "connection refused"),
    ] {
        assert_eq!(field(row, name), expected, "{name} of {row}");
    }
    let change: Value = serde_json::from_str(field(1, "change")).expect("JSON");
    assert_eq!(change["after"], json!({"id": 1, "note": "tea, \"green\"\nü"}));
}

#[test]
fn a_file_that_exists_is_left_alone_and_a_failed_export_leaves_none() {
    let home = home();
    home.write("mine.jsonl", "of a person");
    let refused = home.run(&["dead-letters", "export", "--output", "mine.jsonl"]);
    ended(&refused, 1);
    assert_eq!(refused.stderr, "rowhook: error: mine.jsonl exists already; name another file\n");
    assert_eq!(fs::read_to_string(home.path("mine.jsonl")).expect("text"), "of a person");
    let unknown = home.run(&["dead-letters", "export", "--rule", "order-payed", "--output", "new.jsonl"]);
    ended(&unknown, 1);
    assert!(unknown.stderr.contains("order-payed"), "{}", unknown.stderr);
    let left: Vec<_> = fs::read_dir(home.path("")).expect("the folder").map(|entry| entry.expect("an entry")).collect();
    let left: Vec<String> = left.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| !name.starts_with("new.jsonl")), "{left:?}");
    ended(&home.run(&["dead-letters", "export", "--format", "xml"]), 2);
}
