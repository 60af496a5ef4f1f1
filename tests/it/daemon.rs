//! A running daemon as probes and operators meet it. No MySQL: it keeps trying to connect, and all else works meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::letters::{Letter, fill};
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver};

const DEADLINE: Duration = Duration::from_secs(20);

/// No process listens on port 1.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

fn home(receiver: &Receiver) -> Home {
    let rule = format!(
        "table: shop.orders\nrules:\n  - name: order-paid\n    call: {{url: \"{}\"}}\n    retry: {{retries: 0}}\n",
        receiver.url("/orders/{{ row.id }}")
    );
    Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("shop.orders.yaml", &rule)
}

fn start(home: &Home, args: &[&str]) -> (Program, String) {
    let program = home.start(&[&["run", "--mysql", MYSQL, "--admin", "127.0.0.1:0"], args].concat());
    let line = program.wait_for_line("starts", DEADLINE);
    let address = line.split("admin=\"").nth(1).and_then(|rest| rest.split('"').next()).expect(&line).to_owned();
    (program, address)
}

/// Sends one request and returns the whole answer.
fn request(address: &str, method: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(address: &str, path: &str) -> String {
    request(address, "GET", path, "host: 127.0.0.1\r\n")
}

#[test]
fn a_daemon_without_mysql_lives_is_not_ready_and_ends_in_order() {
    let receiver = Receiver::start(|_| Answer::ok());
    let (mut daemon, address) = start(&home(&receiver), &[]);
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200 OK"));
    assert!(get(&address, "/healthz").ends_with("alive\n"));
    let give_up_at = Instant::now() + DEADLINE;
    let ready = loop {
        let ready = get(&address, "/readyz");
        assert!(ready.starts_with("HTTP/1.1 503 ") && Instant::now() < give_up_at, "{ready}");
        if !ready.contains("source: starting") {
            break ready;
        }
    };
    assert!(ready.contains("source: connecting to MySQL"), "{ready}");
    assert!(!ready.contains("s3cret"), "{ready}");
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(metrics.contains("rowhook_dead_letters_awaiting 0\n"), "{metrics}");
    assert!(metrics.contains("rowhook_dead_letters 0\n") && metrics.trim_end().ends_with("# EOF"), "{metrics}");

    assert!(request(&address, "GET", "/healthz", "host: evil.example\r\n").starts_with("HTTP/1.1 403 "));
    assert!(request(&address, "GET", "/healthz", "host: localhost:8055\r\n").starts_with("HTTP/1.1 200 "));
    assert!(request(&address, "HEAD", "/healthz", "host: [::1]:8055\r\n").starts_with("HTTP/1.1 200 "));
    for headers in ["host: localhost\r\nhost: localhost\r\n", "host: localhost\r\nhost: evil.example\r\n"] {
        assert!(request(&address, "GET", "/healthz", headers).starts_with("HTTP/1.1 400 "), "{headers}");
    }
    for (url, host, status) in [
        ("http://evil.example/healthz", "localhost", 400),
        ("http://evil.example/healthz", "evil.example", 400),
        ("http://localhost@evil.example/healthz", "localhost", 400),
        ("http://localhost:1/healthz", "localhost", 400),
        ("http://localhost/healthz", "localhost", 200),
    ] {
        let answer = request(&address, "GET", url, &format!("host: {host}\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{url} {host}: {answer}");
    }
    assert!(request(&address, "POST", "/metrics", "host: 127.0.0.1\r\n").starts_with("HTTP/1.1 405 "));
    assert!(get(&address, "/dead-letters/1").starts_with("HTTP/1.1 404 "));

    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);
    assert!(!daemon.home().path("data/control.sock").exists());
    let printed = daemon.lines().join("\n");
    assert!(!printed.contains("s3cret"), "{printed}");
}

/// Far below what a half request may take.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn half_requests_on_either_port_delay_no_other_client() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    let (_daemon, address) = start(&home, &[]);
    let half = b"GET /status HTTP/1.1\r\nhost: loc";
    let over_tcp: Vec<TcpStream> = (0..500)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            // The daemon may have closed it already, to make room.
            let _ = stream.write_all(half);
            stream
        })
        .collect();
    for path in ["/healthz", "/readyz"] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
    }
    drop(over_tcp);
    let socket = home.path("data/control.sock");
    let over_socket: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            let _ = stream.write_all(half);
            stream
        })
        .collect();
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(over_socket);
}

#[test]
fn metrics_behind_a_token_are_for_those_who_have_it() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    home.write("token", "0123456789abcdef\n");
    let (_daemon, address) = start(&home, &["--admin-token-file", "token"]);
    let with = |token: &str| request(&address, "GET", "/metrics", &format!("host: localhost\r\n{token}"));
    assert!(with("").starts_with("HTTP/1.1 401 "));
    assert!(with("authorization: Bearer 0123456789abcdeg\r\n").starts_with("HTTP/1.1 401 "));
    assert!(with("authorization: Bearer 0123456789abcde\r\n").starts_with("HTTP/1.1 401 "));
    assert!(with("authorization: Bearer 0123456789abcdef\r\n").starts_with("HTTP/1.1 200 "));
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn commands_reach_the_running_daemon_over_its_private_socket() {
    let receiver = Receiver::start(|request| match request.path.as_str() {
        "/orders/2" => Answer::status(400),
        _ => Answer::ok(),
    });
    let home = home(&receiver);
    fill(&home, &[Letter::of("order-paid", 1), Letter::of("order-paid", 2), Letter::of("order-paid", 3)]);
    let (mut daemon, _) = start(&home, &[]);
    let mode = std::fs::metadata(home.path("data/control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The daemon's rules count, not those of the command.
    let finished = home.run(&["dead-letters", "replay", "1", "2", "--rules", "nowhere"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stdout.ends_with("1 delivered, 1 still dead\n"), "{}", finished.stdout);
    assert_eq!(receiver.count(), 2);

    let finished = home.run(&["dead-letters", "list", "--json"]);
    let listing: Value = serde_json::from_str(&finished.stdout).unwrap();
    let numbers: Vec<&Value> = listing["dead_letters"].as_array().unwrap().iter().map(|l| &l["number"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(3)]);
    let finished = home.run(&["dead-letters", "show", "2"]);
    assert!(finished.stdout.contains("replays     1 failed"), "{}", finished.stdout);
    assert_eq!(home.run(&["dead-letters", "show", "1"]).code, 1);
    let finished = home.run(&["dead-letters", "replay", "3", "--dry-run"]);
    assert!(finished.code == 0 && finished.stdout.contains("/orders/3"), "{finished:?}");
    let finished = home.run(&["dead-letters", "resolve", "3", "--note", "sent by hand", "--json"]);
    let resolved: Value = serde_json::from_str(&finished.stdout).expect(&finished.stderr);
    assert_eq!((&resolved["number"], &resolved["resolved"]["note"]), (&json!(3), &json!("sent by hand")));
    let finished = home.run(&["dead-letters", "replay", "3"]);
    assert!(finished.stdout.contains("3  order-paid  not replayed  resolved\n"), "{}", finished.stdout);
    let finished = home.run(&["dead-letters", "replay", "2", "--undo"]);
    assert!(finished.stdout.contains("2  order-paid  not replayed  it has no saga log"), "{}", finished.stdout);
    let finished = home.run(&["dead-letters", "discard", "--all", "--yes"]);
    assert_eq!(finished.stdout, "1 dead letter discarded\n", "{finished:?}");

    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);
    assert_eq!(home.run(&["dead-letters", "list"]).stdout, "no dead letters\n");
}

#[test]
fn the_log_in_a_pipe_is_text_unless_another_form_is_asked_for() {
    let receiver = Receiver::start(|_| Answer::ok());
    for (form, begins) in [(&[][..], "20"), (&["--log-format", "auto"], "{\"timestamp\":\"20")] {
        let daemon = home(&receiver).start(&[&["run", "--mysql", MYSQL, "--admin", "off"], form].concat());
        let line = daemon.wait_for_line("starts", DEADLINE);
        assert!(line.starts_with(begins), "{form:?}: {line}");
    }
}

#[test]
fn a_socket_left_by_a_killed_daemon_is_replaced() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    fill(&home, &[Letter::of("order-paid", 1)]);
    let (mut daemon, _) = start(&home, &[]);
    daemon.kill_9();
    assert!(home.path("data/control.sock").exists());
    assert_eq!(home.run(&["dead-letters", "show", "1"]).code, 0);
    let (_daemon, _) = start(&home, &[]);
    assert_eq!(home.run(&["dead-letters", "replay", "1"]).code, 0);
    assert_eq!(receiver.count(), 1);
}

#[test]
fn a_stop_lets_the_attempt_under_way_finish_and_a_second_one_does_not() {
    let gate = Gate::closed();
    let answers_gate = gate.clone();
    let receiver = Receiver::start(move |_| Answer::ok().delayed_by(&answers_gate));
    let home = home(&receiver);
    fill(&home, &[Letter::of("order-paid", 1), Letter::of("order-paid", 2)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let (mut daemon, _) = start(&home, &[]);
    let mut replay = home.start(&["dead-letters", "replay", "1"]);
    runtime.block_on(receiver.wait_for_count(1, DEADLINE));
    daemon.terminate();
    daemon.wait_for_line("SIGTERM: stopping", DEADLINE);
    gate.open();
    assert_eq!(daemon.wait(DEADLINE), 0);
    assert_eq!(replay.wait(DEADLINE), 0, "{:?}", replay.lines());

    gate.close();
    let (mut daemon, _) = start(&home, &[]);
    let mut replay = home.start(&["dead-letters", "replay", "2"]);
    runtime.block_on(receiver.wait_for_count(2, DEADLINE));
    daemon.interrupt();
    daemon.wait_for_line("SIGINT: stopping", DEADLINE);
    // Signals within a second are one; which of these is the first after it does not matter.
    while !daemon.has_ended() {
        daemon.interrupt();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(daemon.wait(DEADLINE), 1);
    assert_eq!(replay.wait(DEADLINE), 1, "{:?}", replay.lines());
    gate.open();
    let finished = home.run(&["dead-letters", "list"]);
    assert!(finished.stdout.contains("\n2 "), "the letter is still there:\n{}", finished.stdout);
}

#[test]
fn operators_are_answered_while_mysql_is_unavailable() {
    let (old, new) = (Receiver::start(|_| Answer::status(400)), Receiver::start(|_| Answer::ok()));
    let home = home(&old);
    fill(&home, &[Letter::of("order-paid", 1), Letter::of("order-paid", 2)]);
    let (mut daemon, address) = start(&home, &["--no-watch"]);
    let finished = home.run(&["status"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (1, ""), "{finished:?}");
    assert!(finished.stdout.contains("MySQL is not read: connecting to MySQL, attempt "), "{}", finished.stdout);
    assert!(finished.stdout.contains("2 dead letters") && !finished.stdout.contains("s3cret"), "{}", finished.stdout);
    let status: Value = serde_json::from_str(&home.run(&["status", "--json"]).stdout).unwrap();
    assert_eq!((&status["running"], &status["pid"]), (&json!(true), &json!(daemon.id())));
    assert_eq!((&status["rules"][0]["rule"], &status["rules"][0]["dead_letters"]), (&json!("order-paid"), &json!(2)));
    let answer = get(&address, "/status");
    let served: Value = serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).unwrap();
    assert_eq!((&served["pid"], &served["attention"][0]["kind"]), (&status["pid"], &json!("not_reading")));
    assert_eq!((&status["runway_seconds"], &status["position"]), (&Value::Null, &Value::Null));

    // Letters are replayed with the current rules, not with those of the start.
    assert_eq!(home.run(&["dead-letters", "replay", "1"]).code, 1);
    let text = std::fs::read_to_string(home.path("rules/shop.orders.yaml")).unwrap();
    home.write("rules/shop.orders.yaml", &text.replace(&old.url("/"), &new.url("/")));
    daemon.hang_up();
    daemon.wait_for_line("rules reloaded", DEADLINE);
    assert_eq!(home.run(&["dead-letters", "replay", "--all"]).code, 0);
    assert_eq!((old.count(), new.count()), (1, 2));

    home.write("rules/shop.orders.yaml", "table: [");
    let finished = home.run(&["reload"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("rules/shop.orders.yaml:1:"), "{}", finished.stderr);
    let finished = home.run(&["status"]);
    assert!(finished.stdout.contains("rule files are invalid for"), "{}", finished.stdout);
    home.write("rules/shop.orders.yaml", &text);
    let finished = home.run(&["reload"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "changed  order-paid\n0 rules unchanged\n"));

    daemon.terminate();
    assert_eq!(daemon.wait(DEADLINE), 0);
}

#[test]
fn rule_files_that_change_are_loaded_without_a_command() {
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home(&receiver);
    let (daemon, address) = start(&home, &[]);
    assert!(get(&address, "/metrics").contains("rowhook_rules_reload_failed 0\n"));
    home.write("rules/users.yaml", "table: shop.users\n");
    daemon.wait_for_line("rules/users.yaml:1:1: `rules` is missing", DEADLINE);
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("rowhook_rules_reload_failed 1\n"), "{metrics}");
    home.write(
        "rules/users.yaml",
        "table: shop.users\nrules:\n  - name: users\n    call: {url: \"http://127.0.0.1:1/\"}\n",
    );
    let line = daemon.wait_for_line("rules reloaded", DEADLINE);
    assert!(line.contains("added=\"users\"") && line.contains("unchanged=\"order-paid\""), "{line}");
    let metrics = get(&address, "/metrics");
    assert!(
        metrics.contains("rowhook_rules_reload_failed 0\n") && metrics.contains("rowhook_rules_reloaded_total 1\n")
    );
    assert!(metrics.contains("rowhook_runway_seconds NaN\n"), "{metrics}");
}
