//! The daemon beside a real server: truthful health, metrics, and a stop that loses nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::mysql::MysqlServer;
use crate::support::process::free_port;
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(60);

fn home(receiver: &Receiver, database: &str) -> Home {
    let rule =
        format!("table: {database}.jobs\nrules:\n  - name: jobs\n    call:\n      url: {}\n", receiver.url("/jobs"));
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("jobs.yaml", &rule)
}

async fn jobs(server: &MysqlServer) -> String {
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY)")).await;
    database
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Asks until the answer begins with this status.
#[track_caller]
fn wait_for_status(port: u16, path: &str, status: u16) -> String {
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let answer = get(port, path).unwrap_or_default();
        if answer.starts_with(&format!("HTTP/1.1 {status}")) {
            return answer;
        }
        assert!(Instant::now() < give_up_at, "{path} never answered {status}, but: {answer}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_warns_of_xa_transactions_that_are_prepared() {
    let server = MysqlServer::start(&[]);
    let database = jobs(&server).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let insert = format!("INSERT INTO {database}.jobs VALUES (1)");
    server.query(&format!("XA START 'early'; {insert}; XA END 'early'; XA PREPARE 'early'")).await;
    let program = home(&receiver, &database).start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
    program.wait_for_line("XA transactions are prepared", DEADLINE);
    program.wait_for_line("reading after", DEADLINE);
    server.query("XA COMMIT 'early'").await;
    server.query(&format!("INSERT INTO {database}.jobs VALUES (2)")).await;
    receiver.wait_for_count(1, DEADLINE).await;
    assert_eq!(receiver.received()[0].json()["after"]["id"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_says_the_truth_while_mysql_goes_and_comes_back() {
    let mut server = MysqlServer::start(&[]);
    let database = jobs(&server).await;
    let receiver = Receiver::start(|_| Answer::ok());
    let port = free_port();
    let admin = format!("127.0.0.1:{port}");
    let _program = home(&receiver, &database).start(&["run", "--mysql", &server.root_url(), "--admin", &admin]);
    wait_for_status(port, "/readyz", 200);
    server.kill_9();
    let reason = wait_for_status(port, "/readyz", 503);
    assert!(reason.contains("MySQL"), "{reason}");
    wait_for_status(port, "/healthz", 200);
    server.restart(&[]);
    wait_for_status(port, "/readyz", 200);
    server.query(&format!("INSERT INTO {database}.jobs VALUES (1)")).await;
    receiver.wait_for_count(1, DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let server = MysqlServer::shared();
    let database = jobs(server).await;
    let receiver = Receiver::start(|request| match request.json()["after"]["id"].as_u64() {
        Some(2) => Answer::status(400),
        _ => Answer::ok(),
    });
    let port = free_port();
    let admin = format!("127.0.0.1:{port}");
    let _program = home(&receiver, &database).start(&["run", "--mysql", &server.root_url(), "--admin", &admin]);
    wait_for_status(port, "/readyz", 200);
    server.query(&format!("INSERT INTO {database}.jobs VALUES (1), (2), (3)")).await;
    let expected = [
        "rowhook_changes_read_total 3",
        "rowhook_changes_matched_total{rule=\"jobs\"} 3",
        "rowhook_deliveries_total{rule=\"jobs\",outcome=\"delivered\"} 2",
        "rowhook_deliveries_total{rule=\"jobs\",outcome=\"dead\"} 1",
        "rowhook_attempts_total{rule=\"jobs\",status=\"2xx\"} 2",
        "rowhook_attempts_total{rule=\"jobs\",status=\"4xx\"} 1",
        "rowhook_dead_letters 1",
        "rowhook_source_connected 1",
        "rowhook_window_deliveries 0",
        "rowhook_lag_seconds",
    ];
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let text = get(port, "/metrics").expect("the admin address answers");
        let missing: Vec<_> = expected.iter().filter(|line| !text.contains(**line)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < give_up_at, "no {missing:?} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_call_under_way_and_a_restart_brings_what_was_not_answered() {
    let server = MysqlServer::shared();
    let database = jobs(server).await;
    let receiver = Receiver::start(|request| match request.json()["after"]["id"].as_u64() {
        Some(2) if request.attempt == 1 => Answer::hang(),
        _ => Answer::ok(),
    });
    let arguments = ["run", "--mysql", &server.root_url(), "--admin", "off", "--shutdown-timeout", "300ms"];
    let mut program = home(&receiver, &database).start(&arguments);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.jobs VALUES (1), (2)")).await;
    receiver.wait_for_count(2, DEADLINE).await;
    program.wait_for_line("delivered", DEADLINE);
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    server.query(&format!("INSERT INTO {database}.jobs VALUES (3)")).await;
    program.restart();
    receiver.wait_for_count(4, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    let ids: Vec<u64> =
        receiver.received().iter().map(|request| request.json()["after"]["id"].as_u64().expect("an id")).collect();
    let mut again = ids[2..].to_vec();
    again.sort_unstable();
    assert_eq!(again, [2, 3], "of {ids:?}: only what had no answer comes again");
}
