//! Decodes a binlog file with `mysql-binlog-connector-rust` and says how many rows it saw in how many seconds.
//!
//! A peer of benches/decode, which runs this program in turn with the others once it is built:
//! `(cd benches/connector && cargo build --release --locked)`. In a package of its own because that crate brings some 200
//! others, two and a half minutes of building, which nothing else here needs. In: a file's path. Out: a line, `rows seconds`.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Cursor;
use std::time::Instant;

use mysql_binlog_connector_rust::binlog_parser::BinlogParser;
use mysql_binlog_connector_rust::event::event_data::EventData;

fn main() {
    let path = std::env::args().nth(1).expect("usage: connector FILE");
    let began = Instant::now();
    let bytes = std::fs::read(path).expect("a readable file");
    let end = bytes.len() as u64;
    let mut input = Cursor::new(bytes);
    let mut parser = BinlogParser { checksum_length: 0, table_map_event_by_table_id: HashMap::new() };
    parser.check_magic(&mut input).expect("a binlog file");
    let mut rows = 0;
    while input.position() < end {
        let (_, event) = parser.next(&mut input).expect("an event");
        rows += match black_box(&event) {
            EventData::WriteRows(event) => event.rows.len(),
            EventData::UpdateRows(event) => event.rows.len(),
            EventData::DeleteRows(event) => event.rows.len(),
            _ => 0,
        };
    }
    println!("{rows} {}", began.elapsed().as_secs_f64());
}
