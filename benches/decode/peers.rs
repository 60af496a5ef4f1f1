//! Other decoders on the captured file, each the way its own documentation uses it, and the limit that bounds them all.
//!
//! In: a capture. Out: a [`Pass`]. Each counts the rows it decoded, and a wrong count ends the bench. None of them decodes
//! the JSON column: it stays bytes until somebody asks.

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mysql_cdc::binlog_reader::BinlogReader;
use mysql_cdc::events::binlog_event::BinlogEvent;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData;
use mysql_common::binlog::{BinlogFileHeader, EventStreamReader};

use crate::capture::{Capture, Captures};
use crate::support::mysql::tool;
use crate::support::process::Folder;
use crate::table::Pass;

/// Magic number of a binlog file (MySQL's internals manual, "Binary Log File Header").
const MAGIC_BYTES: usize = 4;
/// Offset of the event's size in its header of 19 bytes, and the checksum at its end ("Event Structure").
const SIZE_AT: usize = 9;
const CHECKSUM_BYTES: usize = 4;

/// The limit: the file is cut into events and their CRC32 compared. Nobody can do less and be sure.
pub fn checksums(capture: &Capture) -> Pass {
    let began = Instant::now();
    let bytes = std::fs::read(&capture.path).expect("a readable file");
    let mut rest = &bytes[MAGIC_BYTES..];
    while !rest.is_empty() {
        let size = rest[SIZE_AT..].first_chunk::<4>().expect("a header");
        let (event, after) = rest.split_at(u32::from_le_bytes(*size) as usize);
        let (body, checksum) = event.split_at(event.len() - CHECKSUM_BYTES);
        assert_eq!(crc32fast::hash(body).to_le_bytes(), checksum, "the checksum of an event");
        rest = after;
    }
    Pass::without_rows(capture, began.elapsed())
}

/// `BinlogReader`; integers stay unsigned, fractions of a second are cut.
pub fn mysql_cdc(capture: &Capture) -> Pass {
    let began = Instant::now();
    let reader = BinlogReader::new(File::open(&capture.path).expect("a readable file")).expect("a binlog file");
    let mut rows = 0;
    for item in reader.read_events() {
        let (_, event) = item.expect("an event that mysql_cdc can read");
        rows += match black_box(&event) {
            BinlogEvent::WriteRowsEvent(event) => event.rows.len(),
            BinlogEvent::UpdateRowsEvent(event) => event.rows.len(),
            _ => 0,
        };
    }
    Pass::of_rows(capture, rows as u64, began.elapsed())
}

/// `EventStreamReader` and the rows of each event, values and columns as they come.
pub fn mysql_common(capture: &Capture) -> Pass {
    let began = Instant::now();
    let bytes = std::fs::read(&capture.path).expect("a readable file");
    let mut input = &bytes[..];
    BinlogFileHeader::read(&mut input).expect("a binlog file");
    let mut reader = EventStreamReader::new(BinlogVersion::Version4);
    let mut rows = 0;
    while let Some(event) = reader.read(&mut input).expect("an event that mysql_common can read") {
        if let Some(EventData::RowsEvent(event)) = event.read_data().expect("an event that mysql_common can read") {
            let map = reader.get_tme(event.table_id()).expect("a table map before its rows");
            for row in event.rows(map) {
                black_box(row.expect("a row that mysql_common can read"));
                rows += 1;
            }
        }
    }
    Pass::of_rows(capture, rows, began.elapsed())
}

/// `mysql-binlog-connector-rust`, if somebody built it: it brings too much to be built with everything else.
pub fn connector() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/connector/release/connector");
    path.exists().then_some(path)
}

/// Its program takes its own time, without its start.
pub fn mysql_binlog_connector(program: &Path, capture: &Capture) -> Pass {
    let output = Command::new(program).arg(&capture.path).stderr(Stdio::inherit()).output().expect("run the connector");
    let text = String::from_utf8(output.stdout).expect("text");
    let (rows, seconds) = text.trim().split_once(' ').expect("rows and seconds");
    let took = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    Pass::of_rows(capture, rows.parse().expect("rows"), took)
}

/// `mysqlbinlog --raw`, which copies what the server sends into a file; its start is in the time.
pub fn mysqlbinlog_raw(captures: &Captures, capture: &Capture) -> Pass {
    let folder = Folder::new("rowhook-raw-");
    let began = Instant::now();
    let status = Command::new(tool("mysqlbinlog"))
        .args(["--read-from-remote-server", "--raw", "--host=127.0.0.1", "--user=root", "--ssl-mode=DISABLED"])
        .arg(format!("--port={}", captures.server.port()))
        .arg(format!("--result-file={}/", folder.path().display()))
        .arg(&capture.name)
        .status();
    let took = began.elapsed();
    assert!(status.is_ok_and(|status| status.success()), "mysqlbinlog failed");
    let copied = std::fs::metadata(folder.path().join(&capture.name)).expect("a copy").len();
    assert_eq!(copied, capture.bytes, "bytes that mysqlbinlog copied");
    Pass::without_rows(capture, took)
}
