//! The house rules that a compiler does not know: who may import whom, where each crate is used, what a file looks like.
//!
//! Reads the sources as tokens, so that comments and strings are no breaches; `#[cfg(test)]` items may import what they
//! like. Breaches are reported all at once, as `path:line: what; how to fix it`. Does not judge names or prose.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/tokens.rs"]
mod tokens;

use std::fs;
use std::path::Path;

use tokens::{Source, Token};

const VOCABULARY: &[&str] = &[
    "alert",
    "barrier",
    "change",
    "clock",
    "column",
    "position",
    "pattern",
    "retry",
    "schema",
    "template",
    "telemetry",
    "config",
    "failure",
    "file",
    "in_words",
    "lag",
    "saga",
    "ordering",
    "suggest",
    "printable",
];

/// Each stage, and the stages besides itself and the vocabulary that it may import.
const STAGES: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("rules", &[]),
    ("store", &[]),
    ("write_back", &["source"]),
    ("delivery", &["rules", "write_back"]),
    ("outcome", &["rules", "delivery", "store"]),
    ("journal", &["rules", "delivery"]),
    ("fixtures", &["source", "rules", "delivery", "outcome"]),
    ("pipeline", &["source", "rules", "delivery", "outcome", "journal", "store"]),
    ("admin", &["rules", "store", "delivery", "journal", "pipeline"]),
    (
        "cli",
        &["source", "rules", "write_back", "store", "delivery", "outcome", "fixtures", "journal", "pipeline", "admin"],
    ),
    // For fuzzers: whatever takes bytes from outside.
    ("fuzzing", &["source", "rules", "delivery"]),
];

/// Crates that are used in one place only, so that replacing one, or following its changes, stays a local matter.
const CRATE_HOMES: &[(&[&str], &[&str])] = &[
    (&["mysql_async"], &["src/source", "src/write_back"]),
    (&["mysql_common"], &["src/source"]),
    (&["socket2", "webpki_roots"], &["src/source"]),
    // The connection to MySQL; a handshake without a call.
    (&["tokio_rustls"], &["src/source", "src/delivery/sink/http/client/handshake"]),
    (&["rustls_platform_verifier", "x509_cert"], &["src/delivery/sink/http/client/handshake"]),
    // Compressed transactions, packed answers, backups.
    (&["zstd"], &["src/source", "src/delivery/sink/http/client", "src/store/backup"]),
    (&["reqwest", "flate2", "h2"], &["src/delivery/sink/http"]),
    // Signatures of calls, and digests in rules.
    (&["ring"], &["src/delivery/sink/http", "src/template/filters/digest"]),
    (&["tz", "tzdb_data"], &["src/template/filters"]),
    (&["axum"], &["src/admin"]),
    // What axum and reqwest stand on; their errors and bodies are hyper's.
    (&["hyper", "hyper_util", "http_body_util"], &["src/admin", "src/delivery/sink/http"]),
    (&["sled"], &["src/store"]),
    (&["rusqlite"], &["src/journal"]),
    (&["minijinja"], &["src/template"]),
    (&["backoff"], &["src/retry"]),
    (&["siphasher"], &["src/ordering"]),
    (&["anyhow"], &["src/cli", "src/main"]),
    // In tests alone.
    (&["boon"], &["src/rules/tests/json_schema", "src/config/tests/json_schema"]),
];

const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];
const PRINTING_HOMES: &[&str] = &["src/cli", "src/main"];

/// What a position is made of, and who knows it: all others ask the position.
const POSITION_PARTS: &[&str] = &["server_uuid", "gtids", "file", "undecided", "found_by", "proof"];
const POSITION_HOMES: &[&str] = &["src/position", "src/source", "src/store/checkpoint"];

/// A file of this length is looked through, a longer one only searched.
const LINES_MAX: usize = 500;

#[test]
fn the_sources_are_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut files = 0;
    for folder in ["src", "tests", "benches", "demo"] {
        for path in rust_files(root, folder) {
            files += 1;
            found.extend(breaches(&path, &fs::read_to_string(root.join(&path)).expect("a readable source file")));
        }
    }
    assert!(files > 10, "only {files} source files found below {}", root.display());
    assert!(found.is_empty(), "{} breaches of the house rules:\n{}", found.len(), found.join("\n"));
}

/// tests/support/openssl stands in for the crate `openssl`, which encrypts nothing: it must stay below mysql_cdc, and
/// mysql_cdc out of the program.
#[test]
fn only_mysql_cdc_in_tests_stands_on_the_stand_in_for_openssl() {
    let read =
        |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a readable file");
    let lock = read("Cargo.lock");
    let users = |name: &str| -> Vec<&str> {
        let line = format!("\n \"{name}\",\n");
        let packages = lock.split("[[package]]\n").filter(|package| package.contains(&line));
        packages.map(|package| package.lines().next().expect("a name")).collect()
    };
    assert_eq!(users("openssl"), ["name = \"mysql_cdc\""]);
    assert_eq!(users("mysql_cdc"), ["name = \"rowhook\""]);
    let manifest = read("Cargo.toml");
    let tables = manifest.split("\n[").filter(|table| table.contains("\nmysql_cdc ")).map(|table| table.lines().next());
    assert_eq!(tables.collect::<Vec<_>>(), [Some("dev-dependencies]")]);
}

/// Paths below `root` with slashes, sorted.
fn rust_files(root: &Path, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return found };
    for entry in entries {
        let entry = entry.expect("a readable folder");
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("source files have plain names"));
        if entry.file_type().expect("a readable folder").is_dir() {
            found.extend(rust_files(root, &path));
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is wrong with one file, in the order of its lines.
fn breaches(path: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push((
            1,
            "no header; begin the file with //! and say what comes in, what goes out, what it keeps".to_owned(),
        ));
    }
    unfinished(&source, &mut found);
    if let Some(inner) = path.strip_prefix("src/").filter(|_| !is_test_file(path)) {
        let code = source.without_tests();
        imports(inner, &code.tokens, &mut found);
        crates(path, &code.tokens, &mut found);
        calls(path, &code.tokens, &mut found);
        positions(path, &code.tokens, &mut found);
        let lines = text.lines().count() - code.test_lines;
        if lines > LINES_MAX {
            let what = format!("{lines} lines without tests, {LINES_MAX} at most; move a part into a file of its own");
            found.push((LINES_MAX, what));
        }
    }
    found.sort();
    found.into_iter().map(|(line, what)| format!("{path}:{line}: {what}")).collect()
}

type Found = Vec<(usize, String)>;

fn unfinished(source: &Source, found: &mut Found) {
    for (line, comment) in &source.comments {
        for word in ["TODO", "FIXME", "XXX"] {
            if comment.split(|c: char| !c.is_alphanumeric()).any(|w| w == word) {
                found.push((*line, format!("{word} in a comment; do it, or write it down where work is planned")));
            }
        }
    }
    for window in source.tokens.windows(3) {
        let [first, second, third] = window else { unreachable!("windows of three") };
        match (first.text.as_str(), second.text.as_str(), third.text.as_str()) {
            (name @ ("todo" | "unimplemented"), "!", _) => {
                found.push((first.line, format!("{name}!; write it, or leave the whole thing out")));
            }
            ("#", "[", "ignore") => {
                found.push((first.line, "a test that is ignored; fix the test or delete it".to_owned()));
            }
            _ => {}
        }
    }
}

/// Imports must point upstream. `inner` is the path below src.
fn imports(inner: &str, tokens: &[Token], found: &mut Found) {
    let module: Vec<&str> = inner.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
    let stage = module[0];
    if ["lib", "main"].contains(&stage) {
        return;
    }
    let in_vocabulary = VOCABULARY.contains(&stage);
    let allowed = STAGES.iter().find(|(name, _)| *name == stage).map(|(_, allowed)| *allowed);
    if allowed.is_none() && !in_vocabulary {
        found.push((1, format!("{stage} has no place in the layers; give it one in tests/tidy.rs")));
        return;
    }
    for (line, path) in tokens::crate_paths(tokens, &module) {
        let target = path[0].as_str();
        let is_stage = STAGES.iter().any(|(name, _)| *name == target);
        if target != stage && is_stage && !allowed.is_some_and(|allowed| allowed.contains(&target)) {
            let what = if in_vocabulary { "as vocabulary may import no stage" } else { "may not import" };
            let fix = "move what both need upstream, or hand it in from the pipeline or the cli";
            found.push((line, format!("{stage} {what}: {target}; {fix}")));
        }
        if target == "config" && path.get(1).is_some_and(|name| name == "Config") && !["cli", "config"].contains(&stage)
        {
            let what = format!("{stage} takes the whole Config; take the few settings it needs as arguments");
            found.push((line, what));
        }
    }
}

fn crates(path: &str, tokens: &[Token], found: &mut Found) {
    for (names, homes) in CRATE_HOMES.iter().filter(|(_, homes)| !lies_in(path, homes)) {
        for line in names.iter().flat_map(|name| tokens::crate_uses(tokens, name).map(move |line| (line, name))) {
            let (line, name) = line;
            let what =
                format!("{name} is used outside {}; wrap what is needed there and use that", homes.join(" and "));
            found.push((line, what));
        }
    }
}

fn calls(path: &str, tokens: &[Token], found: &mut Found) {
    for window in tokens.windows(2) {
        let [first, second] = window else { unreachable!("windows of two") };
        let name = first.text.as_str();
        if second.text == "!" && PRINTING.contains(&name) && !lies_in(path, PRINTING_HOMES) {
            found.push((first.line, format!("{name}! outside src/cli; return it, or log it with tracing")));
        }
        if name == "." && second.text == "unwrap" && !is_test_file(path) {
            found.push((
                second.line,
                "unwrap outside tests; return an error, or expect() with the invariant".to_owned(),
            ));
        }
    }
}

fn positions(path: &str, tokens: &[Token], found: &mut Found) {
    if lies_in(path, POSITION_HOMES) {
        return;
    }
    for (at, token) in tokens.iter().enumerate() {
        let before: Vec<&str> = tokens[at.saturating_sub(5)..at].iter().map(|token| token.text.as_str()).collect();
        let is_part = before == [".", "parts", "(", ")", "."] && POSITION_PARTS.contains(&token.text.as_str());
        if is_part || token.text == "PositionParts" {
            let what = "a position is taken apart outside source and checkpoint; ask it, or give it a verb";
            found.push((token.line, what.to_owned()));
        }
    }
}

/// Whether `path` is `home.rs` or lies below `home/`, for one of the homes.
fn lies_in(path: &str, homes: &[&str]) -> bool {
    homes.iter().any(|home| path.strip_prefix(home).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
}

/// A file that a `#[cfg(test)] mod tests;` or `mod testing;` takes in.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("/testing.rs") || path.contains("/tests/")
}

#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let found = breaches(path, text);
    let same = found.len() == expected.len() && found.iter().zip(expected).all(|(found, part)| found.contains(part));
    assert!(same, "in {path}:\n{text}\nexpected {expected:#?}\nfound {found:#?}");
}

#[test]
fn an_import_against_the_stream_is_found_in_every_spelling() {
    check(
        "src/rules/mod.rs",
        "//! x\nuse crate::delivery::Delivery;",
        &["src/rules/mod.rs:2: rules may not import: delivery;"],
    );
    check(
        "src/rules/mod.rs",
        "//! x\nuse crate::{\n    change::{Op, Row},\n    store::Store,\n};",
        &[":4: rules may not import: store"],
    );
    check("src/store/ledger.rs", "//! x\nfn f() { crate::outcome::settle() }", &[":2: store may not import: outcome"]);
    check("src/source/mod.rs", "//! x\nuse super::rules::Rule;", &[":2: source may not import: rules"]);
    check("src/source/decode.rs", "//! x\nuse super::super::rules::Rule;", &[":2: source may not import: rules"]);
    check(
        "src/pipeline.rs",
        "//! x\nuse crate::cli;\nuse crate::admin as a;",
        &[":2: pipeline may not", ":3: pipeline may not"],
    );
    check(
        "src/position/gtid.rs",
        "//! x\nuse crate::source::Event;",
        &["position as vocabulary may import no stage: source"],
    );
    check("src/store/mod.rs", "//! x\nuse crate::config::{Admin, Config};", &[":2: store takes the whole Config"]);
    check("src/misc.rs", "//! x", &[":1: misc has no place in the layers"]);
}

#[test]
fn an_import_with_the_stream_is_none() {
    check(
        "src/delivery/lane.rs",
        "//! x\nuse super::rules::X;\nuse crate::{rules::Rule, change::Change};\nuse super::Delivery;",
        &[],
    );
    check("src/cli/run.rs", "//! x\nuse crate::{config::Config, pipeline, source::{self, Source}};", &[]);
    check(
        "src/rules/mod.rs",
        "//! x\n// crate::store::Store\n/* use crate::cli; /* */ */\nconst A: &str = \"crate::cli::\";",
        &[],
    );
    check(
        "src/rules/mod.rs",
        "//! x\n#[cfg(test)]\nmod tests {\n    use crate::cli::run;\n    fn f() { x.unwrap() }\n}",
        &[],
    );
    let after_the_tests = "//! x\n#[cfg(test)]\nuse crate::cli;\nuse crate::store;\n#[cfg(test)]\nfn f(x: [u8; 4]) { cli() }\nuse crate::admin;";
    check("src/rules/mod.rs", after_the_tests, &[":4: rules may not import: store", ":7: rules may not import: admin"]);
}

#[test]
fn a_crate_away_from_home_is_found() {
    check(
        "src/outcome/mod.rs",
        "//! x\nuse sled::Db;\nuse reqwest;",
        &[":2: sled is used outside src/store", ":3: reqwest"],
    );
    check(
        "src/store/mod.rs",
        "//! x\nfn f() -> mysql_common::Value { minijinja::x() }",
        &[":2: minijinja", ":2: mysql_common"],
    );
    check("src/pipeline.rs", "//! x\nuse {axum::Router, std::fmt};\nuse ::backoff::X;", &[":2: axum", ":3: backoff"]);
    check(
        "src/source/mod.rs",
        "//! x\nuse mysql_async::Conn;\nfn f(backoff: Duration) { self.backoff.next(); retry::backoff::wait() }",
        &[],
    );
    check("src/retry.rs", "//! x\nuse backoff::ExponentialBackoff;", &[]);
    check("src/template/url.rs", "//! x\nuse minijinja::Value;", &[]);
}

#[test]
fn a_position_that_is_taken_apart_is_found() {
    let taken_apart = "//! x\nuse crate::position::PositionParts;\nfn f() { mark.position.parts().gtids.is_some() }";
    let expected = [":2: a position is taken apart", ":3: a position is taken apart"];
    check("src/pipeline/feed.rs", taken_apart, &expected);
    check("src/store/tally.rs", taken_apart, &expected);
    check("src/store/checkpoint.rs", taken_apart, &[]);
    check("src/source/begin.rs", taken_apart, &[]);
    check("src/pipeline/feed.rs", "//! x\nfn f() { completed.parts().map(x); place.parts().len() }", &[]);
}

#[test]
fn printing_unwrapping_and_unfinished_work_are_found() {
    check(
        "src/source/mod.rs",
        "//! x\nfn f() { println!(\"\"); x.unwrap(); }",
        &[":2: println! outside src/cli", ":2: unwrap"],
    );
    check("src/cli/output.rs", "//! x\nfn f() { println!(\"unwrap()\"); x.unwrap_or(1); }", &[]);
    check("src/retry.rs", "//! x\n// a FIXME here\nfn f() { todo!() }", &[":2: FIXME in a comment", ":3: todo!"]);
    check(
        "tests/it/main.rs",
        "//! x\n#[test]\n#[ignore = \"slow\"]\nfn f() { x.unwrap() }",
        &[":3: a test that is ignored"],
    );
    check("src/change.rs", "use std::fmt;", &[":1: no header"]);
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let code = format!("//! x\n{}", "fn f() {}\n".repeat(499));
    check("src/change.rs", &code, &[]);
    check("src/change.rs", &format!("{code}#[cfg(test)]\nmod tests {{\n\n\n}}\n"), &[]);
    check("src/change.rs", &format!("{code}\n"), &["src/change.rs:500: 501 lines without tests, 500 at most"]);
}
