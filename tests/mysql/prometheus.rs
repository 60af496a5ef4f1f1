//! A real Prometheus scrapes a running rowhook: it reads every metric, those are the ones that the documentation lists, and
//! the alerts that are shipped fire in an outage and end with it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::fetched::fetched;
use crate::support::mysql::MysqlServer;
use crate::support::process::{Folder, POLL_INTERVAL, Process, free_port};
use crate::support::program::Home;
use crate::support::receiver::{Answer, Receiver};

const DEADLINE: Duration = Duration::from_secs(90);
const RULES: &str = "packaging/prometheus/rowhook.rules.yml";

fn path(relative: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// A server that scrapes this port every second, until it is dropped.
struct Prometheus {
    /// It ends with this.
    _process: Process,
    _folder: Folder,
    port: u16,
}

impl Prometheus {
    fn start(scraped: u16) -> Prometheus {
        let folder = Folder::new("rowhook-prometheus-");
        let port = free_port();
        let rules = fs::read_to_string(path(RULES)).expect("the shipped rules");
        // What they wait for minutes for, they fire for at once.
        let at_once = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
        fs::write(folder.path().join("rules.yml"), at_once.collect::<Vec<_>>().join("\n")).expect("written");
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n  - job_name: rowhook\n    \
             static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), settings).expect("written");
        let mut command = Command::new(fetched("get-prometheus.sh").join("prometheus"));
        command.current_dir(folder.path()).arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command).expect("it starts");
        Prometheus { _process: process, _folder: folder, port }
    }

    /// None while it does not answer.
    fn ask(&self, path: &str) -> Option<Value> {
        let answer = get(self.port, path)?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The names of what it has stored.
    fn names(&self) -> BTreeSet<String> {
        let data = self.ask("/api/v1/label/__name__/values").unwrap_or_default();
        let names = data.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(ToString::to_string).collect()
    }

    /// The alerts that fire, with the rule or target that each is about.
    fn alerts(&self) -> BTreeSet<(String, String)> {
        let data = self.ask("/api/v1/alerts").unwrap_or_default();
        let alerts = data["alerts"].as_array().into_iter().flatten().filter(|alert| alert["state"] == "firing");
        let about =
            |labels: &Value| labels["rule"].as_str().or(labels["target"].as_str()).unwrap_or_default().to_string();
        let named = alerts
            .map(|alert| (alert["labels"]["alertname"].as_str().expect("a name").to_string(), about(&alert["labels"])));
        named.collect()
    }

    #[track_caller]
    fn until<T>(&self, what: &str, mut find: impl FnMut(&Prometheus) -> Option<T>) -> T {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = find(self) {
                return found;
            }
            assert!(Instant::now() < give_up_at, "never {what}; alerts: {:?}", self.alerts());
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// HTTP/1.0: the body comes in one piece.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// The names that a scrape declares, as Prometheus calls them.
fn declared(scrape: &str) -> BTreeSet<String> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let named = types.map(|(name, kind)| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_string(),
    });
    named.collect()
}

/// The names in the table of metrics.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(path("docs/operations.md")).expect("the page");
    let table = page.split("| metric | labels | meaning |").nth(1).expect("the table").split("\n\n").next();
    let first_cells =
        table.into_iter().flat_map(str::lines).filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = first_cells.flat_map(|cell| cell.split('`')).filter(|name| name.starts_with("rowhook_"));
    names.map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_every_documented_metric_and_the_shipped_alerts_fire_in_an_outage() {
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY)")).await;
    let receiver = Receiver::start(|_| Answer::status(503));
    let url = receiver.url("/");
    let rule = format!(
        "table: {database}.jobs\nrules:\n  - name: jobs\n    dead_letters: {{keep: 30d}}\n    call: {{url: '{url}'}}\n"
    );
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("jobs.yaml", &rule);
    // A metric by names is there once it counts: rowhook's own alerts, too.
    let chat = Receiver::start(|_| Answer::ok());
    let alert = format!("{{name: chat, conditions: {{unavailable: 0s}}, call: {{url: '{}'}}}}", chat.url("/"));
    home.write("rowhook.yaml", &format!("alerts: [{alert}]\n"));
    let port = free_port();
    let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", &format!("127.0.0.1:{port}")]);
    program.wait_for_line("reading after", DEADLINE);
    let prometheus = Prometheus::start(port);
    let values: Vec<String> = (1..=20).map(|id| format!("({id})")).collect();
    server.query(&format!("INSERT INTO {database}.jobs VALUES {}", values.join(","))).await;

    // The outage: the target is told, with its name.
    let target = url.trim_end_matches('/').to_string();
    let unavailable = ("RowhookTargetUnavailable".to_string(), target);
    prometheus.until("an alert", |prometheus| prometheus.alerts().contains(&unavailable).then_some(()));

    chat.wait_for_count(1, DEADLINE).await;

    // Its end; one row is refused for good. The counter is there before it counts: Prometheus needs both to see an increase.
    receiver.set_script(|request| match request.json()["after"]["id"].as_u64() {
        Some(7 | 107) => Answer::status(404),
        _ => Answer::ok(),
    });
    prometheus.until("available", |prometheus| (!prometheus.alerts().contains(&unavailable)).then_some(()));
    prometheus.until("a dead letter", |prometheus| {
        let found = prometheus.ask("/api/v1/query?query=rowhook_dead_letters_made_total")?;
        (found["result"][0]["value"][1] == "1").then_some(())
    });
    server.query(&format!("INSERT INTO {database}.jobs VALUES (107)")).await;
    let dead = ("RowhookDeadLetters".to_string(), "jobs".to_string());
    prometheus.until("an alert", |prometheus| prometheus.alerts().contains(&dead).then_some(()));

    // What is served is documented, and all of it is read.
    let scrape = get(port, "/metrics").expect("an answer");
    assert_eq!(declared(&scrape), documented());
    let samples = scrape.lines().filter(|line| line.starts_with("rowhook_"));
    let served: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    prometheus.until("all of it", |prometheus| {
        let names = prometheus.names();
        served.iter().all(|name| names.contains(*name)).then_some(())
    });
}

#[test]
fn the_shipped_alerts_do_what_their_own_test_says() {
    let mut promtool = Command::new(fetched("get-prometheus.sh").join("promtool"));
    let tested = promtool
        .args(["test", "rules"])
        .arg(path("packaging/prometheus/rowhook.rules.test.yml"))
        .output()
        .expect("it runs");
    assert!(
        tested.status.success(),
        "{}{}",
        String::from_utf8_lossy(&tested.stdout),
        String::from_utf8_lossy(&tested.stderr)
    );
    // The board asks for metrics that there are.
    let board = fs::read_to_string(path("packaging/grafana/rowhook.json")).expect("the board");
    let board: Value = serde_json::from_str(&board).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let known = documented();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
        let expr = target["expr"].as_str().expect("a query");
        let names =
            expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("rowhook_"));
        for name in names {
            let is_known =
                known.contains(name) || name.strip_suffix("_bucket").is_some_and(|name| known.contains(name));
            assert!(is_known, "{name} in {expr}");
        }
    }
}
