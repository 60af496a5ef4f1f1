//! Transactions of every kind, each passed over by itself.

use super::{GTIDS_OFF, GTIDS_ON, Scene, stop};
use crate::support::mysql::MysqlServer;

/// What is logged, and what the command calls it.
async fn log_all_kinds(server: &MysqlServer, has_gtids: bool) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    server.query("ALTER TABLE shop.t ADD note VARCHAR(20) NOT NULL DEFAULT 'x'").await;
    kinds.push("a statement that defines or administers");
    if has_gtids {
        server.query("SET SESSION gtid_next = 'AUTOMATIC:bulk'; INSERT INTO shop.t (id) VALUES (101)").await;
        kinds.push("rows (shop.t)");
    }
    server
        .query("SET SESSION binlog_transaction_compression = ON; INSERT INTO shop.t (id) VALUES (102), (103), (104)")
        .await;
    kinds.push("rows (shop.t)");
    server.query("CREATE TABLE shop.copy AS SELECT * FROM shop.t").await;
    kinds.push("a statement that defines or administers (shop.copy)");
    server.query("CREATE USER visitor").await;
    kinds.push("a statement that defines or administers");
    server.query("XA START 'one'; INSERT INTO shop.t (id) VALUES (105); XA END 'one'; XA COMMIT 'one' ONE PHASE").await;
    kinds.push("rows (shop.t)");
    server.query("XA START 'two'; INSERT INTO shop.t (id) VALUES (106); XA END 'two'; XA PREPARE 'two'").await;
    kinds.push("XA PREPARE (shop.t)");
    server.query("XA COMMIT 'two'").await;
    kinds.push("XA COMMIT or XA ROLLBACK");
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_transaction_is_passed_over_alone() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::new(options).await;
        let program = scene.run();
        scene.insert([1]).await;
        scene.wait_for("all", &[1]).await;
        stop(program);
        let kinds = log_all_kinds(&scene.server, options == GTIDS_ON).await;
        scene.insert([200]).await;
        for kind in &kinds {
            let said = scene.moved(&["--skip-transaction"]);
            assert!(said.contains(&format!(": {kind}\n")), "expected {kind}: {said}");
            assert!(said.contains("skips 1 transaction, "), "{said}");
        }
        let _program = scene.run();
        scene.wait_for("all", &[200]).await;
        assert_eq!(scene.got("all"), [1, 200]);
        // The column that was added in what was skipped is known by its name.
        assert_eq!(scene.receiver.received()[1].json()["after"]["note"], "x");
        assert_eq!(scene.show()["log"].as_array().map(Vec::len), Some(kinds.len()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_the_log_there_is_nothing_to_pass_over() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::new(options).await;
        let program = scene.run();
        scene.insert([1]).await;
        scene.wait_for("all", &[1]).await;
        stop(program);
        let finished = scene.set(&["--skip-transaction", "--yes"]);
        assert_eq!(finished.code, 1, "{finished:?}");
        assert!(finished.stderr.contains("the log ends there"), "{finished:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skipping_the_commit_of_a_prepared_transaction_skips_its_rows_and_later_ones_come() {
    for options in [GTIDS_ON, GTIDS_OFF] {
        let scene = Scene::new(options).await;
        let program = scene.run();
        scene.server.query("XA START 'x'; INSERT INTO shop.t (id) VALUES (1); XA END 'x'; XA PREPARE 'x'").await;
        scene.insert([2]).await;
        scene.wait_for("all", &[2]).await;
        stop(program);
        scene.server.query("XA COMMIT 'x'").await;
        scene.insert([3]).await;
        let said = scene.moved(&["--skip-transaction"]);
        assert!(said.contains("XA COMMIT or XA ROLLBACK; and the XA transaction that it decides"), "{said}");
        let program = scene.run();
        scene.wait_for("all", &[3]).await;
        stop(program);
        assert_eq!(scene.got("all"), [2, 3]);
        if let Some(gtids) = scene.show()["position"]["gtids"].as_str() {
            assert_eq!(gtids.matches(':').count(), 1, "no transaction is waited for: {gtids}");
        }
    }
}
