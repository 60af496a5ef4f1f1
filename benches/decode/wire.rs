//! Over the wire: the client library's bare event loop, and rowhook's reader with and without rules behind it.
//!
//! In: captures whose server still has the transactions. Out: a [`Pass`] each, from the request for the stream to the last
//! commit; connecting is not in it. One thread reads, decodes and matches, so that a figure is what one core does; the
//! server sends from another. No TLS.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use mysql_async::BinlogStreamRequest;
use rowhook::change::{Change, Changes, Row, json};
use rowhook::pattern::{TablePattern, TablePatterns};
use rowhook::position::Start;
use rowhook::rules::{Body, RuleSet};
use rowhook::source::{self, Settings, SourceEvent, TlsMode};
use rowhook::telemetry::Metrics;
use rowhook::template::Scope;
use uuid::Uuid;

use crate::capture::{Capture, Captures};
use crate::table::Pass;

/// Larger than any id that the test server takes, which is its port.
const SERVER_ID: u32 = 70_000;

/// The limit: `BinlogStream` alone, events dropped as they come.
pub fn bare_stream(captures: &Captures, capture: &Capture) -> Pass {
    runtime().block_on(async {
        let conn = captures.server.conn().await;
        let began = Instant::now();
        let request = BinlogStreamRequest::new(SERVER_ID).with_filename(capture.name.as_bytes()).with_pos(4_u64);
        let mut stream = conn.get_binlog_stream(request).await.expect("a stream");
        let mut bytes = 4;
        // What rotates at the end of the file is its last event.
        while bytes < capture.bytes {
            let event = stream.next().await.expect("an event before the end of the file").expect("an event");
            // The server announces the file by an event that is not in it.
            if event.header().timestamp() != 0 {
                bytes += u64::from(event.header().event_size());
            }
            black_box(&event);
        }
        let took = began.elapsed();
        stream.close().await.expect("close the stream");
        Pass::without_rows(capture, took)
    })
}

/// rowhook's reader, when no rule names the table.
pub fn unwatched(captures: &Captures, capture: &Capture) -> Pass {
    let mut rows = 0;
    let pass = follow(captures, capture, "bench.other", |changes| rows += changes.len());
    assert_eq!(rows, 0, "rows of a table that nobody watches");
    pass
}

/// The reader, and of each row every value converted.
pub fn watched(captures: &Captures, capture: &Capture) -> Pass {
    rows_per_s(captures, capture, |change| {
        black_box((change.before.as_ref().map(Row::cells), change.after.as_ref().map(Row::cells)));
    })
}

/// The reader and one rule whose keys, besides its name and call, are `keys`; `expected` of the rows match.
pub fn matched(captures: &Captures, capture: &Capture, keys: &str, expected: u64) -> Pass {
    let rule =
        format!("table: bench.rows_11\nrules:\n  - name: bench\n    {keys}\n    call: {{url: http://127.0.0.1:1/}}\n");
    let rules = RuleSet::from_texts(&[(PathBuf::from("bench.yaml"), rule)], &|_: &str| None).expect("a rule");
    let (mut out, mut matches) = (Vec::new(), 0);
    let mut rows = 0;
    let pass = follow(captures, capture, "bench.rows_11", |changes| {
        rows += changes.len() as u64;
        let rules = rules.of_table(changes.table());
        if !rules.concern(changes.op()) {
            return;
        }
        for change in changes {
            rules.matches(&change, &mut out);
            assert!(out.iter().all(|matched| matched.undecided.is_none()), "the rule can be decided");
            matches += out.drain(..).count() as u64;
        }
    });
    let pass = Pass::of_rows(capture, rows, pass.took);
    assert_eq!(matches, expected, "rows that match {keys}");
    pass
}

/// The reader, and each row as a JSON object.
pub fn whole_row_json(captures: &Captures, capture: &Capture) -> Pass {
    let mut body = Vec::new();
    rows_per_s(captures, capture, |change| {
        body.clear();
        change.row().into_iter().for_each(|row| json::write_row(&change.table, row, &mut body));
        black_box(&body);
    })
}

/// The reader, and of each row what a delivery starts with: the change detached, its id, and the default body.
pub fn default_body(captures: &Captures, capture: &Capture) -> Pass {
    let mut body = Vec::new();
    rows_per_s(captures, capture, |change| {
        body.clear();
        let change = change.detach().expect("readable values");
        json::write_event(&change, "bench", change.delivery_id("bench"), &mut body);
        black_box(&body);
    })
}

/// All rows of a capture, read before anything is measured.
pub fn detached(captures: &Captures, capture: &Capture) -> Vec<Arc<Change>> {
    let mut rows = Vec::new();
    rows_per_s(captures, capture, |change| rows.push(Arc::new(change.detach().expect("readable values"))));
    rows
}

/// The bodies of a rule whose call has these keys, for rows that were read before.
pub fn rendered(capture: &Capture, rows: &[Arc<Change>], call: &str) -> Pass {
    let rule =
        format!("table: bench.rows_11\nrules:\n  - name: bench\n    call: {{url: http://127.0.0.1:1/, {call}}}\n");
    let rules = RuleSet::from_texts(&[(PathBuf::from("bench.yaml"), rule)], &|_: &str| None).expect("a rule");
    let call = rules.rules()[0].actions[0].call().expect("a call");
    let (mut out, began) = (Vec::new(), Instant::now());
    for change in rows {
        out.clear();
        let id = change.delivery_id("bench");
        let scope = Scope::new(change, id);
        match &call.body {
            Body::Template(template) => template.render(&scope, &mut out).expect("renders"),
            Body::Form(form) => form.render(&scope, &mut out).expect("renders"),
            Body::Multipart(parts) => parts.render(&scope, &id.to_string(), &mut out).expect("renders"),
            Body::Text(text) => text.append(&scope, &mut out).expect("renders"),
            other => panic!("no body of columns: {other:?}"),
        }
        black_box(&out);
    }
    Pass::of_rows(capture, rows.len() as u64, began.elapsed())
}

/// Reads all rows of a capture over the wire and hands each to `take`.
fn rows_per_s(captures: &Captures, capture: &Capture, mut take: impl FnMut(&Change)) -> Pass {
    let mut rows = 0;
    let pass = follow(captures, capture, "bench.rows_11", |changes| {
        for change in changes {
            rows += 1;
            take(&change);
        }
    });
    Pass::of_rows(capture, rows, pass.took)
}

fn follow(captures: &Captures, capture: &Capture, table: &str, mut take: impl FnMut(Changes)) -> Pass {
    let mut settings = Settings::from_url(&captures.server.root_url(), Uuid::new_v4()).expect("a URL");
    settings.tls.mode = TlsMode::Disabled;
    let tables = TablePatterns(vec![TablePattern::parse(table).expect("a table")]);
    let from = source::From::Start(Start::After(capture.before.clone()));
    runtime().block_on(async {
        let mut following = source::follow(settings, from, tables, Arc::new(Metrics::default()));
        let mut began = Instant::now();
        loop {
            match following.events.recv().await.expect("an event before the last commit").expect("no error") {
                SourceEvent::Started(_) => began = Instant::now(),
                SourceEvent::Rows(changes) => changes.into_iter().for_each(&mut take),
                SourceEvent::Committed(committed) if committed.gtid.as_ref() == Some(&capture.last) => break,
                _ => {}
            }
        }
        Pass::without_rows(capture, began.elapsed())
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
