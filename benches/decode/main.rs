//! How fast does rowhook read, decode and match rows, next to other decoders and to the limit, in this run?
//!
//! A real server writes 210,000 rows of eleven columns (32 MB), and updates them (64 MB). All measures of a table take turns
//! in seven rounds. GB/s are bytes of binlog. Read the ratio, of GB/s: 1 is the first line of a table, which bounds the
//! others: with files to cut events and compare checksums, over the wire the client library's bare event loop, which
//! compares none.
//!
//! - From a file: decoders of other projects, the same file for all; what they leave undone says `peers.rs`.
//! - Over the wire: rowhook's reader, with a table that no rule names or one does, and rules that reject each row by `on`,
//!   by `changed`, by a `when` of two comparisons; whole rows as JSON.
//! - Bodies of six columns, rendered from rows that were read before: JSON, which bounds the others, a form, parts, texts.
//!
//! `cargo bench --bench decode`; a word after `--` picks tables (`file`, `inserts`, `updates`, `bodies`). One peer is built apart:
//! see `benches/connector`. Absolute figures are of a shared machine: quote the ratios.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod capture;
mod peers;
mod table;
mod wire;

use std::cell::OnceCell;
use std::rc::Rc;

use capture::{Captures, ROWS};
use table::Measure;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wanted =
        |title: &str| arguments.is_empty() || arguments.iter().any(|argument| title.contains(argument.as_str()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let captures = runtime.block_on(Captures::write());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let megabytes = |capture: &capture::Capture| capture.bytes as f64 / 1e6;
    println!("MySQL {}, {cores} cores, {ROWS} rows", captures.version);
    println!("inserts {:.1} MB, updates {:.1} MB\n", megabytes(&captures.inserts), megabytes(&captures.updates));
    let tables = [
        ("from a file: inserts", from_a_file(&captures)),
        ("over the wire: inserts", inserts_over_the_wire(&captures)),
        ("over the wire: updates", updates_over_the_wire(&captures)),
        ("bodies of six columns", bodies(&captures)),
    ];
    for (title, measures) in tables.iter().filter(|(title, _)| wanted(title)) {
        table::print(title, measures);
    }
    if peers::connector().is_none() {
        println!("not built, so not measured: mysql-binlog-connector-rust; see benches/connector/src/main.rs");
    }
}

fn from_a_file(captures: &Captures) -> Vec<Measure<'_>> {
    let file = &captures.inserts;
    let mut measures = vec![
        Measure::new("the limit: events and checksums", || peers::checksums(file)),
        Measure::new("mysql_cdc", || peers::mysql_cdc(file)),
        Measure::new("mysql_common", || peers::mysql_common(file)),
    ];
    if let Some(program) = peers::connector() {
        let run = move || peers::mysql_binlog_connector(&program, file);
        measures.push(Measure::new("mysql-binlog-connector-rust", run));
    }
    measures
}

fn inserts_over_the_wire(captures: &Captures) -> Vec<Measure<'_>> {
    let stream = &captures.inserts;
    let two_comparisons = "when: row.quantity >= 0 and row.state == 'lost'";
    vec![
        Measure::new("the limit: events of mysql_async", || wire::bare_stream(captures, stream)),
        Measure::new("mysqlbinlog --raw", || peers::mysqlbinlog_raw(captures, stream)),
        Measure::new("rowhook, a table that no rule names", || wire::unwatched(captures, stream)),
        Measure::new("rowhook, rejected by `on`", || wire::matched(captures, stream, "on: [delete]", 0)),
        Measure::new("rowhook, rejected by `when`", move || wire::matched(captures, stream, two_comparisons, 0)),
        Measure::new("rowhook, all rows decoded", || wire::watched(captures, stream)),
        Measure::new("rowhook, whole rows as JSON", || wire::whole_row_json(captures, stream)),
        Measure::new("rowhook, default bodies", || wire::default_body(captures, stream)),
    ]
}

fn bodies(captures: &Captures) -> Vec<Measure<'_>> {
    let rows = Rc::new(OnceCell::new());
    let measure = |name, call: &'static str| {
        let rows = Rc::clone(&rows);
        Measure::new(name, move || {
            let rows = rows.get_or_init(|| wire::detached(captures, &captures.inserts));
            wire::rendered(&captures.inserts, rows, call)
        })
    };
    vec![
        measure(
            "`body`: JSON",
            "body: {id: '{{ row.id }}', quantity: '{{ row.quantity }}', state: '{{ row.state }}', total: '{{ row.total }}', \
             note: '{{ row.note }}', at: '{{ row.at }}'}",
        ),
        measure(
            "`form`",
            "form: {id: '{{ row.id }}', quantity: '{{ row.quantity }}', state: '{{ row.state }}', total: '{{ row.total }}', \
             note: '{{ row.note }}', at: '{{ row.at }}'}",
        ),
        measure(
            "`multipart`",
            "multipart: {id: '{{ row.id }}', quantity: '{{ row.quantity }}', state: '{{ row.state }}', total: '{{ row.total }}', \
             note: '{{ row.note }}', at: '{{ row.at }}'}",
        ),
        measure(
            "`text`: plain",
            "text: '{{ row.id }},{{ row.quantity }},{{ row.state }},{{ row.total }},{{ row.note }},{{ row.at }}'",
        ),
        measure(
            "`text`: XML",
            "headers: {Content-Type: text/xml}, text: '<o id=\"{{ row.id }}\" q=\"{{ row.quantity }}\" s=\"{{ row.state }}\" \
             t=\"{{ row.total }}\" n=\"{{ row.note }}\" a=\"{{ row.at }}\"/>'",
        ),
    ]
}

fn updates_over_the_wire(captures: &Captures) -> Vec<Measure<'_>> {
    let stream = &captures.updates;
    vec![
        Measure::new("the limit: events of mysql_async", || wire::bare_stream(captures, stream)),
        Measure::new("rowhook, a table that no rule names", || wire::unwatched(captures, stream)),
        Measure::new("rowhook, rejected by `changed`", || {
            wire::matched(captures, stream, "changed: [state, total]", 0)
        }),
        Measure::new("rowhook, all rows decoded", || wire::watched(captures, stream)),
    ]
}
