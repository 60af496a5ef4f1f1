//! Alerts of the settings file, received by a real endpoint: grouped, one in an interval, resolved; also while MySQL is away, when
//! rowhook ends, and after it was killed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(90);

/// A server, an API that rules call, and an endpoint for alerts.
struct Scene {
    server: MysqlServer,
    table: String,
    api: Receiver,
    chat: Receiver,
    home: Home,
}

impl Scene {
    /// With two rules of one table, and one alert that has these conditions.
    async fn new(conditions: &str) -> Scene {
        let server = MysqlServer::start(&[]);
        let database = server.fresh_database().await;
        let table = format!("{database}.orders");
        server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)")).await;
        let (api, chat) = (Receiver::start(|_| Answer::ok()), Receiver::start(|_| Answer::ok()));
        let call = format!("call: {{url: \"{}\"}}", api.url("/"));
        let rules = format!("table: {table}\nrules:\n  - {{name: paid, {call}}}\n  - {{name: stock, {call}}}\n");
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env("ROWHOOK_ADMIN", "off");
        let home = home.with_rule("orders.yaml", &rules);
        let scene = Scene { server, table, api, chat, home };
        scene.alert(conditions, "10s");
        scene
    }

    fn alert(&self, conditions: &str, every: &str) {
        let body = "{condition: '{{ row.condition }}', state: '{{ row.state }}', text: '{{ row.text }}', rules: '{{ row.rules }}'}";
        let call = format!("{{url: \"{}\", body: {body}}}", self.chat.url("/chat"));
        let alert = format!("{{name: chat, every: {every}, conditions: {conditions}, call: {call}}}");
        self.home.write("rowhook.yaml", &format!("alerts:\n  - {alert}\n"));
    }

    fn start(&self) -> Program {
        self.home.start(&["run", "--mysql", &self.server.root_url()])
    }

    fn run(&self) -> Program {
        let program = self.start();
        program.wait_for_line("reading after", DEADLINE);
        program
    }

    async fn insert(&self, ids: std::ops::Range<u32>) {
        let values: Vec<String> = ids.map(|id| format!("({id})")).collect();
        self.server.query(&format!("INSERT INTO {} VALUES {}", self.table, values.join(","))).await;
    }

    /// The first alert of this condition and state that arrives after the first so many.
    async fn alert_after(&self, count: usize, condition: &str, state: &str) -> Value {
        let found = |received: &[Arc<Request>]| {
            let mut bodies = received.iter().skip(count).map(|request| request.json());
            bodies.find(|body| body["condition"] == condition && body["state"] == state).cloned()
        };
        let received = self.chat.wait_until(|received| found(received).is_some(), DEADLINE).await;
        found(&received).expect("it has arrived")
    }

    fn told(&self) -> Vec<String> {
        let received = self.chat.received();
        let text = |key: &str, body: &Value| body[key].as_str().unwrap_or_default().to_owned();
        received.iter().map(|it| format!("{} {}", text("condition", it.json()), text("state", it.json()))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once_for_all_its_rules_and_once_when_it_is_over() {
    let scene = Scene::new("{late: 1s, unavailable: 0s, dead_letters: 2}").await;
    let _program = scene.run();
    scene.api.set_script(|_| Answer::status(503));
    scene.insert(0..40).await;
    let late = scene.alert_after(0, "late", "firing").await;
    let mut rules: Vec<&str> = late["rules"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["paid", "stock"]);
    let unavailable = scene.alert_after(0, "unavailable", "firing").await;
    let text = unavailable["text"].as_str().expect("a text");
    assert!(text.contains("answered 503, unavailable since "), "{text}");
    let before = scene.chat.count();

    scene.api.set_script(|_| Answer::ok());
    scene.alert_after(before, "late", "resolved").await;
    scene.alert_after(before, "unavailable", "resolved").await;

    // What was refused is told by rule, with the command that helps.
    scene.api.set_script(|_| Answer::status(404));
    let before = scene.chat.count();
    scene.insert(40..43).await;
    let letters = scene.alert_after(before, "dead_letters", "firing").await;
    let text = letters["text"].as_str().expect("a text");
    assert!(text.contains("(fix: rowhook dead-letters list --rule paid)"), "{text}");
    let finished = scene.home.run(&["dead-letters", "discard", "--all", "--yes"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    scene.alert_after(before, "dead_letters", "resolved").await;
    let mut told = scene.told();
    told.sort_unstable();
    let once = |condition: &str| [format!("{condition} firing"), format!("{condition} resolved")];
    // While the letters became more, one more may have been told.
    told.dedup();
    assert_eq!(told, ["dead_letters", "late", "unavailable"].map(once).concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_go_out_while_mysql_is_away_and_are_not_repeated_by_a_restart() {
    let mut scene = Scene::new("{not_reading: 0s}").await;
    let mut program = scene.run();
    scene.server.shutdown();
    let told = scene.alert_after(0, "not_reading", "firing").await;
    assert!(told["text"].as_str().is_some_and(|text| text.starts_with("MySQL is not read: ")), "{told}");
    program.wait_for_line("alert sent", DEADLINE);
    program.kill_9();

    // It is told of the same outage already; that a rule is paused is judged after it, in the same round.
    scene.alert("{not_reading: 0s, paused: 0s}", "10s");
    let program = scene.start();
    program.wait_for_line("connection to mysql failed", DEADLINE);
    let finished = scene.home.run(&["pause", "paid"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let paused = scene.alert_after(1, "paused", "firing").await;
    assert!(paused["text"].as_str().is_some_and(|text| text.contains("rowhook resume paid")), "{paused}");
    assert_eq!(scene.told(), ["not_reading firing", "paused firing"]);

    // What the earlier process told is over once the new one has had time to find it again.
    scene.server.restart(&[]);
    scene.alert_after(2, "not_reading", "resolved").await;
    assert_eq!(scene.told(), ["not_reading firing", "paused firing", "not_reading resolved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_rowhook_is_told_with_its_reason_and_that_it_runs_again() {
    let scene = Scene::new("ended").await;
    let mut program = scene.run();
    scene.insert(0..1).await;
    scene.api.wait_for_count(2, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    scene.insert(1..2).await;
    scene.server.purge().await;
    let mut program = scene.start();
    assert_eq!(program.wait(DEADLINE), 1, "{:?}", program.lines());
    let told = scene.alert_after(0, "ended", "firing").await;
    assert!(told["text"].as_str().is_some_and(|text| text.contains("purged")), "{told}");
    // A supervisor that starts it again and again sends no second one.
    let mut program = scene.start();
    assert_eq!(program.wait(DEADLINE), 1, "{:?}", program.lines());
    assert_eq!(scene.told(), ["ended firing"]);
    let finished = scene.home.run(&["position", "set", "--to", "latest", "--yes", "--mysql", &scene.server.root_url()]);
    assert_eq!(finished.code, 0, "{finished:?}");
    let _program = scene.run();
    scene.alert_after(1, "ended", "resolved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_does_not_arrive_is_shown_by_the_status_and_by_a_test() {
    let scene = Scene::new("{paused: 0s}").await;
    let _program = scene.run();
    scene.chat.set_script(|_| Answer::status(403));
    let finished = scene.home.run(&["pause", "stock"]);
    assert_eq!(finished.code, 0, "{finished:?}");
    scene.chat.wait_for_count(1, DEADLINE).await;
    let give_up_at = std::time::Instant::now() + DEADLINE;
    let line = loop {
        let finished = scene.home.run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        let lines = status["attention"].as_array().expect("a list");
        if let Some(line) = lines.iter().find(|line| line["kind"] == "alerts") {
            break line.clone();
        }
        assert!(std::time::Instant::now() < give_up_at, "{status:#}");
    };
    assert_eq!(line["fix"], "rowhook alert test chat");
    assert!(line["text"].as_str().is_some_and(|text| text.ends_with("answered 403: not retried")), "{line}");
    let finished = scene.home.run(&["alert", "test"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stdout.contains("chat (firing): not sent: answered 403"), "{finished:?}");
    scene.chat.set_script(|_| Answer::ok());
    let finished = scene.home.run(&["alert", "test", "chat"]);
    assert_eq!((finished.code, &*finished.stdout), (0, "chat (firing): sent\nchat (resolved): sent\n"));
    let finished = scene.home.run(&["alert", "list"]);
    assert!(finished.stdout.contains("paused"), "{finished:?}");
}
