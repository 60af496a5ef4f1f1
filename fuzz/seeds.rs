//! What fuzzing begins with, for each target of `rowhook::fuzzing`, from files of this repository.
//!
//! In: the repository's folder. Out: inputs in the forms that the targets read. Taken in by `tests/it/fuzzed.rs`, which also
//! writes them to `fuzz/corpus/`, so that both begin with the same.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Name of the target, and its inputs.
pub type Seeds = Vec<(&'static str, Vec<Vec<u8>>)>;

const MAGIC_BYTES: usize = 4;
const HEADER_BYTES: usize = 19;
const CHECKSUM_BYTES: usize = 4;

const QUERY: u8 = 2;
const TABLE_MAP: u8 = 19;
/// WRITE, UPDATE and DELETE of rows, and partial updates.
const ROWS: [u8; 4] = [30, 31, 32, 39];

/// Documents as MySQL packs them: type, then the value.
const DOCUMENTS: [&[u8]; 7] = [
    // null, an integer of two bytes, a double, a text.
    b"\x04\x00",
    b"\x05\xff\xff",
    b"\x0b\x00\x00\x00\x00\x00\x00\xf8\x3f",
    b"\x0c\x05hello",
    // [1, 2]
    b"\x02\x02\x00\x0a\x00\x05\x01\x00\x05\x02\x00",
    // {"a": true}
    b"\x00\x01\x00\x0c\x00\x0b\x00\x01\x00\x04\x01\x00a",
    // DECIMAL(3,2) 1.50 as an opaque value.
    b"\x0f\xf6\x04\x03\x02\x81\x32",
];

const ANSWERS: [&str; 6] = [
    "200\nContent-Type: application/json; charset=utf-8\n\n{\"ok\": true}",
    "429\nRetry-After: 120\nX-RateLimit-Limit: 100\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1795215845\n\nslow down",
    "503\nDate: Fri, 20 Nov 2026 23:04:05 GMT\nRetry-After: Fri, 20 Nov 2026 23:05:05 GMT\n\n",
    "200\nRateLimit-Policy: \"burst\";q=100;w=60, \"daily\";q=1000;w=86400\nRateLimit: \"burst\";r=0;t=12, \"daily\";r=900\n\n",
    "301\nLocation: https://other.example/path?query#fragment\nContent-Encoding: gzip, deflate\n\n\u{1f}",
    "200\nRateLimit: limit=100, remaining=3, reset=7\nContent-Type: text/plain; charset=\"utf-16\"\n\n\0a\0b",
];

/// Reads what is needed below `root`.
pub fn seeds(root: &Path) -> Seeds {
    let events: Vec<Vec<u8>> = ["full", "minimal"]
        .iter()
        .flat_map(|name| events(&read(&root.join(format!("tests/fixtures/binlog/{name}.binlog")))))
        .collect();
    let rule_files = rule_files(&root.join("rules"));
    vec![
        ("row_image", row_images(&events)),
        ("json_column", DOCUMENTS.map(<[u8]>::to_vec).to_vec()),
        ("ddl_statement", statements(&events)),
        ("template", templates(&rule_files)),
        ("rule_file", rule_files),
        ("answer_headers", ANSWERS.map(|answer| answer.as_bytes().to_vec()).to_vec()),
        ("binlog_event", events),
    ]
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each event of a binlog file, without its checksum.
fn events(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[MAGIC_BYTES..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let size = u32::from_le_bytes(rest[9..13].try_into().expect("four bytes")) as usize;
        events.push(rest[..size - CHECKSUM_BYTES].to_vec());
        rest = &rest[size..];
    }
    events
}

/// The row events, each behind the table map of its table id.
fn row_images(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut maps = HashMap::new();
    let mut images = Vec::new();
    for event in events {
        let (kind, body) = (event[4], &event[HEADER_BYTES..]);
        if kind == TABLE_MAP {
            maps.insert(&body[..6], body);
        } else if let (true, Some(map)) = (ROWS.contains(&kind), body.get(..6).and_then(|id| maps.get(id))) {
            let length = u16::try_from(map.len()).expect("a short table map").to_le_bytes();
            images.push([&[kind][..], &length, map, body].concat());
        }
    }
    images
}

/// The texts of the query events: behind five fields, of which the third and the last are lengths of what follows them.
fn statements(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let queries = events.iter().filter(|event| event[4] == QUERY).map(|event| &event[HEADER_BYTES..]);
    let text = |body: &[u8]| {
        let variables = usize::from(u16::from_le_bytes([body[11], body[12]]));
        body[13 + variables + usize::from(body[8]) + 1..].to_vec()
    };
    queries.map(text).collect()
}

fn rule_files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| read(path)).collect()
}

/// What stands behind a key, in lines with an expression.
fn templates(rule_files: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let texts = rule_files.iter().map(|file| std::str::from_utf8(file).expect("rule files are text"));
    let lines = texts.flat_map(str::lines).filter(|line| line.contains("{{") || line.contains("when:"));
    let values = lines.filter_map(|line| Some(line.split_once(": ")?.1.trim_matches(['"', '\'', ' '])));
    values.map(|value| value.as_bytes().to_vec()).collect()
}
