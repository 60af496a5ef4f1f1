//! A server that cannot be followed: one line says what is wrong and how to fix it, with exit code 1, and no password.

use std::time::Duration;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home};

const RULE: &str = "table: shop.orders\nrules:\n  - name: paid\n    when: row.status == 'paid'\n    call:\n      url: http://127.0.0.1:9/x\n";

/// An empty shop, and a reader who may do what `grants` say.
async fn shop(server: &MysqlServer, user: &str, grants: &str) {
    server
        .query("CREATE DATABASE IF NOT EXISTS shop; CREATE TABLE IF NOT EXISTS shop.orders (id INT PRIMARY KEY, status VARCHAR(9))")
        .await;
    server.query(&format!("CREATE USER {user} IDENTIFIED BY 'hush-hush'")).await;
    if !grants.is_empty() {
        server.query(&format!("GRANT {grants} ON *.* TO {user}")).await;
    }
}

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("shop.orders.yaml", RULE)
}

/// `run` must end by itself, and `check` must find the same: one clear line, no panic, no secret.
#[track_caller]
fn refused(home: &Home, url: &str, parts: &[&str]) {
    let run = home.run(&["run", "--mysql", url, "--admin", "off"]);
    plain(&run, parts);
    let said = run.stderr.lines().filter(|line| line.starts_with("rowhook: error:")).count();
    assert_eq!(said, 1, "one line says it:\n{}", run.stderr);
    let check = home.run(&["check", "--mysql", url]);
    plain(&check, &parts[..1]);
}

#[track_caller]
fn plain(finished: &Finished, parts: &[&str]) {
    let text = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    for never in ["panicked", "RUST_BACKTRACE", "hush-hush"] {
        assert!(!text.contains(never), "{never:?} in:\n{text}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_without_the_password() {
    let server = MysqlServer::shared();
    shop(server, "reader_1", "REPLICATION SLAVE, REPLICATION CLIENT, SELECT").await;
    let url = server.url("reader_1", "hush-hush-not");
    refused(&home(), &url, &["reader_1"]);
}

#[tokio::test]
async fn a_missing_privilege_is_reported_with_the_grant_that_fixes_it() {
    let server = MysqlServer::shared();
    shop(server, "reader_2", "REPLICATION CLIENT, SELECT").await;
    refused(&home(), &server.url("reader_2", "hush-hush"), &["REPLICATION SLAVE", "GRANT"]);
    shop(server, "reader_3", "REPLICATION SLAVE, SELECT").await;
    refused(&home(), &server.url("reader_3", "hush-hush"), &["REPLICATION CLIENT", "GRANT"]);
}

#[tokio::test]
async fn a_server_without_a_binlog_is_refused() {
    let server = MysqlServer::start(&["--skip-log-bin", "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    shop(&server, "reader", "REPLICATION SLAVE, REPLICATION CLIENT, SELECT").await;
    refused(&home(), &server.url("reader", "hush-hush"), &["log_bin", "log-bin"]);
}

#[tokio::test]
async fn a_server_that_logs_statements_is_refused_with_the_statement_that_fixes_it() {
    let server = MysqlServer::start(&["--binlog-format=STATEMENT"]);
    shop(&server, "reader", "REPLICATION SLAVE, REPLICATION CLIENT, SELECT").await;
    refused(&home(), &server.url("reader", "hush-hush"), &["binlog_format", "SET PERSIST binlog_format"]);
}

#[tokio::test]
async fn a_sound_server_passes_the_check_with_minimal_and_full_metadata() {
    for metadata in ["MINIMAL", "FULL"] {
        let server = MysqlServer::start(&[&format!("--binlog-row-metadata={metadata}")]);
        shop(&server, "reader", "REPLICATION SLAVE, REPLICATION CLIENT, SELECT").await;
        let check = home().run(&["check", "--mysql", &server.url("reader", "hush-hush")]);
        assert_eq!(check.code, 0, "{}{}", check.stdout, check.stderr);
    }
}

#[tokio::test]
async fn a_column_that_the_table_lacks_is_named_with_its_place() {
    let server = MysqlServer::shared();
    shop(server, "reader_4", "REPLICATION SLAVE, REPLICATION CLIENT, SELECT").await;
    let home = home().with_rule("shop.orders.yaml", &RULE.replace("row.status", "row.stauts"));
    let check = home.run(&["check", "--mysql", &server.url("reader_4", "hush-hush")]);
    plain(&check, &["shop.orders.yaml:4:", "stauts", "status"]);
}

#[tokio::test]
async fn a_purged_position_is_an_error_with_the_remedy_and_never_a_jump() {
    let server = MysqlServer::start(&[]);
    shop(&server, "reader", "REPLICATION SLAVE, REPLICATION CLIENT, SELECT").await;
    let (home, url) = (home(), server.url("reader", "hush-hush"));
    let mut program = home.start(&["run", "--mysql", &url, "--admin", "off"]);
    program.wait_for_line("reading after", Duration::from_secs(60));
    program.terminate();
    assert_eq!(program.wait(Duration::from_secs(60)), 0);
    server.query("INSERT INTO shop.orders VALUES (1, 'new')").await;
    server.purge().await;
    let run = home.run(&["run", "--mysql", &url, "--admin", "off"]);
    plain(&run, &["purged"]);
}
