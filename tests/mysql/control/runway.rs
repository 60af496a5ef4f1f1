//! How long the server keeps what is still needed.

use super::*;
use crate::support::process::free_port;

#[tokio::test(flavor = "multi_thread")]
async fn the_runway_is_known_while_it_runs() {
    let server = MysqlServer::start(&["--binlog-expire-logs-seconds=36000"]);
    let database = server.fresh_database().await;
    table(&server, &database, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home().with_rule("a.yaml", &rule(&database, "items", "items", &receiver));
    let admin = format!("127.0.0.1:{}", free_port());
    let _program = run(&home, &server, &["--admin", &admin]);
    let status = wait_for_status(&home, |status| !status["runway_seconds"].is_null());
    let runway = status["runway_seconds"].as_u64().expect("a number");
    assert!((35_000..=36_000).contains(&runway), "{runway}");
    assert_eq!(status["source"]["binlog_kept_seconds"], 36_000);
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let text = metrics(&admin);
        let line = text.lines().find_map(|line| line.strip_prefix("rowhook_runway_seconds ")).expect("the metric");
        let seconds: f64 = line.parse().expect("a number");
        if seconds > 35_000.0 {
            break assert!(seconds <= 36_000.0, "{seconds}");
        }
        assert!(Instant::now() < give_up_at && (seconds.is_nan()), "{seconds}");
    }
    let page = home.run(&["status"]);
    assert!(done(&page).contains(" until the server may purge what is still needed\n"), "{}", page.stdout);
}

fn metrics(address: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).expect("the admin port answers");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}
