//! When attempts start: an API that is unavailable and comes back, one that asks for a pause, a rate that is kept, retries without
//! end. The whole program, with a real server and a scripted receiver.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::receiver::{Answer, Receiver, Request};

const DEADLINE: Duration = Duration::from_secs(60);

struct Scene {
    database: String,
    receiver: Receiver,
    program: Program,
}

impl Scene {
    /// A program with one rule for the table `jobs`, ordered by its column `key`; `of_rule` are more of its keys, and
    /// `of_target` the settings of what it calls.
    async fn start(of_rule: &str, of_target: &str, api: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        server.query(&format!("CREATE TABLE {database}.jobs (id INT PRIMARY KEY AUTO_INCREMENT, k INT)")).await;
        let receiver = Receiver::start(api);
        let rule = format!(
            "table: {database}.jobs\nrules:\n  - name: jobs\n    order_by: [k]\n    call: {{url: \"{}\", timeout: 2s}}\n    \
             {of_rule}\n",
            receiver.url("/jobs")
        );
        let targets = format!("targets:\n  {}: {of_target}\n", receiver.url(""));
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("jobs.yaml", &rule);
        let url = server.root_url();
        let program = home.with_rule("targets.yaml", &targets).start(&["run", "--mysql", &url, "--admin", "off"]);
        program.wait_for_line("reading after", DEADLINE);
        Scene { database, receiver, program }
    }

    /// Inserts rows of these keys, in one statement.
    async fn insert(&self, keys: impl Iterator<Item = usize>) {
        let rows: Vec<String> = keys.map(|key| format!("({key})")).collect();
        let statement = format!("INSERT INTO {}.jobs (k) VALUES {}", self.database, rows.join(", "));
        MysqlServer::shared().query(&statement).await;
    }

    /// Waits until so many rows were delivered.
    async fn wait_for_effects(&self, count: usize) -> Vec<Arc<Request>> {
        let delivered = |requests: &[Arc<Request>]| requests.iter().filter(|one| one.took_effect()).count() >= count;
        self.receiver.wait_until(delivered, DEADLINE).await
    }

    fn dead_letters(&self) -> usize {
        let finished = self.program.home().run(&["dead-letters", "list", "--json"]);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        let list: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        list["dead_letters"].as_array().expect("a list").len()
    }
}

fn row(request: &Request, column: &str) -> u64 {
    request.json()["after"][column].as_u64().expect("a number")
}

/// Within each key rows came in the order of their ids, however often.
fn assert_in_order(requests: &[Arc<Request>]) {
    let mut newest: HashMap<u64, u64> = HashMap::new();
    for request in requests {
        let (id, key) = (row(request, "id"), row(request, "k"));
        let before = newest.insert(key, id);
        assert!(before.is_none_or(|before| before <= id), "key {key}: {id} came after {before:?}");
    }
}

const QUICK_PROBES: &str = "{breaker: {failures: 5, probe: 50ms, max_probe: 200ms}}";

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_answers_503_delays_deliveries_and_makes_no_dead_letters() {
    let scene = Scene::start("retry: {initial: 10ms}", QUICK_PROBES, |_| Answer::status(503)).await;
    scene.insert((0..300).map(|n| n % 20)).await;
    scene.program.wait_for_line("target unavailable", DEADLINE);
    // Far more than five failures and all retries of one delivery: these were probes.
    scene.receiver.wait_for_count(60, DEADLINE).await;
    scene.receiver.set_script(|_| Answer::ok());
    let requests = scene.wait_for_effects(300).await;
    scene.program.wait_for_line("target available again", DEADLINE);
    assert_in_order(&requests);
    assert_eq!(scene.receiver.effects().len(), 300);
    assert_eq!(scene.dead_letters(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_refuses_connections_delays_deliveries_and_makes_no_dead_letters() {
    let scene = Scene::start("retry: {initial: 10ms}", QUICK_PROBES, |_| Answer::ok()).await;
    scene.receiver.go_down();
    scene.insert((0..300).map(|n| n % 20)).await;
    scene.program.wait_for_line("target unavailable", DEADLINE);
    scene.insert((0..300).map(|n| n % 20)).await;
    scene.receiver.come_back();
    let requests = scene.wait_for_effects(600).await;
    scene.program.wait_for_line("target available again", DEADLINE);
    assert_in_order(&requests);
    assert_eq!((scene.receiver.effects().len(), scene.dead_letters()), (600, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept() {
    const PER_S: usize = 40;
    let scene = Scene::start(&format!("rate: {PER_S}/s"), "{}", |_| Answer::ok()).await;
    scene.insert(0..120).await;
    let requests = scene.wait_for_effects(120).await;
    let arrivals: Vec<Instant> = requests.iter().map(|request| request.arrived_at).collect();
    for (n, from) in arrivals.iter().enumerate() {
        let within = arrivals[n..].iter().filter(|at| at.duration_since(*from) < Duration::from_secs(1)).count();
        // Requests that the machine delayed arrive together, so twice the rate is no breach; all at once would be.
        assert!(within <= 2 * PER_S, "{within} requests within a second from the {n}th on");
    }
    let took = arrivals[119].duration_since(arrivals[0]);
    assert!(took >= Duration::from_secs(2), "120 requests at {PER_S}/s took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_pauses_the_other_keys_of_the_target_too_and_uses_up_no_attempt() {
    let api = |request: &Request| match (row(request, "k"), request.attempt) {
        (1, 1..=3) => Answer::status(429).with_header("Retry-After", "1"),
        _ => Answer::ok(),
    };
    // One at a time, so that the others start only when the answer to the first has arrived.
    let scene = Scene::start("retry: {retries: 0}\n    in_flight: 1", "{}", api).await;
    scene.insert(1..12).await;
    let requests = scene.wait_for_effects(11).await;
    assert_eq!((row(&requests[0], "k"), requests.len()), (1, 14));
    for request in &requests[1..] {
        let waited = request.arrived_at.duration_since(requests[0].arrived_at);
        assert!(waited >= Duration::from_secs(1), "another key was sent {waited:?} after the API asked for a second");
    }
    assert_eq!(scene.dead_letters(), 0, "three answers of 429 and no retries");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_for_ever_outlast_any_number_of_failures() {
    let api = |request: &Request| match (row(request, "id"), request.attempt) {
        (1, 1..=30) => Answer::status(500),
        _ => Answer::ok(),
    };
    let scene = Scene::start("retry: {retries: forever, initial: 5ms, max_delay: 20ms}", "{breaker: off}", api).await;
    scene.insert([1, 2, 1].into_iter()).await;
    let requests = scene.wait_for_effects(3).await;
    assert_eq!(requests.len(), 33);
    assert_in_order(&requests);
    assert_eq!(scene.dead_letters(), 0);
}
