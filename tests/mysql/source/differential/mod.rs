//! Independent second decoders: what rowhook reads over the wire equals, transaction by transaction and value by value,
//! what `mysql_cdc` and `mysql_common` read from the server's binlog file.
//!
//! In: random rows over the types that a peer gets right. `columns` and `values` hold what is written, `forms` the one
//! form that all readings are brought into, `peer_*` what each peer calls things and where it needs mending. The peers
//! share no code with rowhook's decoder, so an error would have to be made twice.

mod columns;
mod forms;
mod peer_mysql_cdc;
mod peer_mysql_common;
mod values;

use std::path::PathBuf;

use mysql_async::prelude::Queryable;
use rowhook::position::GtidSet;

use super::*;
use columns::Column;
use forms::Reading;
use values::{Random, literal};

/// Rows per INSERT, so that events of several sizes occur.
const ROWS_PER_INSERT_MAX: usize = 400;

/// A table's changes: on their way into a reader, and in a file.
struct Capture {
    file: PathBuf,
    over_the_wire: Reading,
    rows: usize,
}

/// Writes `inserts` random rows, updates a fifth and deletes a tenth of them; reads them over the wire.
///
/// Compressed: about half of the INSERTs.
async fn capture(server: &Mysql, table: &str, columns: &[Column], inserts: usize, is_compressed: bool) -> Capture {
    let mut root = server.root().await;
    let definitions: Vec<String> = columns.iter().map(|column| format!("`{}` {}", column.name, column.sql)).collect();
    sql(&mut root, &format!("CREATE TABLE test.{table} ({}) DEFAULT CHARSET utf8mb4", definitions.join(", "))).await;
    sql(&mut root, "FLUSH BINARY LOGS").await;
    let (file, _, _, _, executed): (String, u64, String, String, String) =
        root.query_first("SHOW BINARY LOG STATUS").await.expect("a status").expect("the binlog is on");
    let executed: GtidSet = executed.parse().expect("a GTID set");

    let mut random = Random(inserts as u64);
    let mut written = 0;
    while written < inserts {
        if is_compressed {
            let switch = random.pick(&["ON", "OFF"]);
            sql(&mut root, &format!("SET SESSION binlog_transaction_compression = {switch}")).await;
        }
        let count = (1 + random.below(ROWS_PER_INSERT_MAX)).min(inserts - written);
        let rows: Vec<String> = (written..written + count).map(|id| row(id, columns, &mut random)).collect();
        sql(&mut root, &format!("INSERT INTO test.{table} VALUES {}", rows.join(","))).await;
        written += count;
    }
    // Values move between rows, so that both images of an update are random.
    let names = columns[1..].iter().map(|column| format!("a.`{0}` = b.`{0}`", column.name));
    let assignments = names.collect::<Vec<_>>().join(", ");
    sql(
        &mut root,
        &format!("UPDATE test.{table} a JOIN test.{table} b ON b.id = a.id + 1 SET {assignments} WHERE a.id % 5 = 0"),
    )
    .await;
    sql(&mut root, &format!("DELETE FROM test.{table} WHERE id % 10 = 9")).await;
    sql(&mut root, "FLUSH BINARY LOGS").await;
    done(&mut root, inserts as i64).await;

    let mut reader = server.follow(source::From::Start(Start::After(executed)));
    let changes = reader.until_done(inserts as i64).await;
    let over_the_wire = forms::of_changes(&changes);
    Capture { file: server.server.data_dir().join(file), over_the_wire, rows: inserts + inserts / 5 + inserts / 10 }
}

fn row(id: usize, columns: &[Column], random: &mut Random) -> String {
    let values = columns[1..].iter().map(|column| literal(column.kind, random));
    format!("({})", std::iter::once(id.to_string()).chain(values).collect::<Vec<_>>().join(","))
}

/// Fails with the first difference: its transaction, row and column, and both values.
#[track_caller]
fn assert_same(ours: &Reading, theirs: &Reading, rows: usize, peer: &str) {
    assert_eq!(ours.columns, theirs.columns, "column names, rowhook and {peer}");
    assert_eq!((ours.rows(), theirs.rows()), (rows, rows), "rows that rowhook and {peer} read");
    for (ours, theirs) in ours.transactions.iter().zip(&theirs.transactions) {
        assert_eq!(
            (&ours.gtid, ours.rows.len()),
            (&theirs.gtid, theirs.rows.len()),
            "transactions, rowhook and {peer}"
        );
    }
    let pairs = ours.transactions.iter().zip(&theirs.transactions).flat_map(|(ours, theirs)| {
        ours.rows.iter().zip(&theirs.rows).enumerate().map(|(at, pair)| (&ours.gtid, at, pair))
    });
    for (gtid, at, (our_row, their_row)) in pairs {
        assert_eq!(our_row.op, their_row.op, "row {at} of {gtid}, rowhook and {peer}");
        for (our_image, their_image) in [(&our_row.before, &their_row.before), (&our_row.after, &their_row.after)] {
            let (our_image, their_image) = (our_image.as_deref(), their_image.as_deref());
            assert_eq!(our_image.map(<[_]>::len), their_image.map(<[_]>::len), "row {at} of {gtid}");
            let cells = our_image.unwrap_or_default().iter().zip(their_image.unwrap_or_default());
            for ((our_cell, their_cell), name) in cells.zip(&ours.columns) {
                assert_eq!(our_cell, their_cell, "column {name}, row {at} of {gtid}: rowhook and {peer}");
            }
        }
    }
}

#[tokio::test]
async fn twenty_thousand_random_rows_read_as_mysql_cdc_and_mysql_common_read_them() {
    let server = Mysql::start(&["--binlog-row-metadata=FULL"]).await;
    let capture = capture(&server, "both", columns::BOTH, 16_000, false).await;
    assert!(capture.rows >= 20_000);
    let theirs = peer_mysql_common::read(&capture.file, "both", columns::BOTH);
    assert_same(&capture.over_the_wire, &theirs, capture.rows, "mysql_common");
    drop(theirs);
    let theirs = peer_mysql_cdc::read(&capture.file, "both", columns::BOTH);
    let ours = peer_mysql_cdc::cut(capture.over_the_wire, columns::BOTH);
    assert_same(&ours, &theirs, capture.rows, "mysql_cdc");
}

#[tokio::test]
async fn types_that_mysql_cdc_ends_at_read_as_mysql_common_reads_them_compressed_or_not() {
    let server = Mysql::start(&["--binlog-row-metadata=FULL"]).await;
    let capture = capture(&server, "alone", columns::MYSQL_COMMON_ALONE, 6_000, true).await;
    let theirs = peer_mysql_common::read(&capture.file, "alone", columns::MYSQL_COMMON_ALONE);
    assert_same(&capture.over_the_wire, &theirs, capture.rows, "mysql_common");
}
