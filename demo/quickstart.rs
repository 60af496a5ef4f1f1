//! The quickstart: a MySQL server, an API that fails at times, and rowhook between them; run it with ./quickstart.sh.
//!
//! Writes rows step by step and shows which calls come of them: a retry that succeeds, a dead letter and its replay, and
//! what happens when rowhook is killed. Ends by itself within a minute and compares the table with the calls at the end;
//! `--keep` leaves all running until Ctrl-C. The rules are those of `rules/`, with another port when 8088 is taken. Every
//! process started ends with this one, in whatever way it ends.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is there to be read")]

mod setup;
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use setup::{home_with_rules, wait_until_ready};
use story::Story;
use support::mysql::{self, MysqlServer};
use support::process::{POLL_INTERVAL, free_port};
use support::program::Program;
use support::receiver::{Answer, Receiver, Request};

/// The port that stands in the rule files.
const API_PORT: u16 = 8088;
const ADMIN_PORT: u16 = 8055;
const DEADLINE: Duration = Duration::from_secs(20);
/// As good as: ten years.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The API is busy at the first attempt for this order, and refuses the other one until it is fixed.
const ORDER_RETRIED: u64 = 1002;
const ORDER_REFUSED: u64 = 1003;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let keep = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--keep"] => true,
        _ => {
            eprintln!("usage: ./quickstart.sh [--keep]");
            return ExitCode::from(2);
        }
    };
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("something went wrong");
        eprintln!("\nquickstart: {message}");
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("the system has threads").block_on(async {
        let mut demo = Demo::set_up().await;
        demo.tell().await;
        if keep {
            demo.stay().await;
        }
    });
    ExitCode::SUCCESS
}

struct Demo {
    story: Story,
    began: Instant,
    server: MysqlServer,
    api: Receiver,
    rowhook: Program,
    admin: String,
    /// Of the calls received, how many the story has shown.
    shown: usize,
    wrote_at: Instant,
    writes: usize,
}

impl Demo {
    async fn set_up() -> Demo {
        let began = Instant::now();
        let story = Story::begin("rowhook: rows written to MySQL become HTTP calls");
        let server = MysqlServer::start(&[]);
        server.query(include_str!("shop.sql")).await;
        let version = server.rows::<String>("SELECT VERSION()").await.concat();
        let place = |port: u16| format!("127.0.0.1:{port}");
        story.part("MySQL", &place(server.port()), &format!("version {version}, as it comes, with a database `shop`"));

        let api = Receiver::start_on(API_PORT, unwell).unwrap_or_else(|_| Receiver::start(unwell));
        story.part("shop API", &place(api.port()), "fulfilment, CRM and chat in one; it fails at times");

        let admin = match TcpListener::bind(("127.0.0.1", ADMIN_PORT)) {
            Ok(_) => place(ADMIN_PORT),
            Err(_) => place(free_port()),
        };
        let home = home_with_rules(api.port());
        let url = server.url("rowhook", "rowhook");
        let mut rowhook =
            home.start(&["run", "--mysql", &url, "--rules", "rules", "--data", "data", "--admin", &admin]);
        wait_until_ready(&mut rowhook, &admin);
        story.part("rowhook", &admin, "follows the binlog; its address answers /readyz and /metrics");
        story.command(&format!("rowhook run --mysql {url} --rules rules --data data"));
        Demo { story, began, server, api, rowhook, admin, shown: 0, wrote_at: began, writes: 0 }
    }

    async fn tell(&mut self) {
        self.story.step("An order is paid: one call, as rules/shop.orders.yaml says");
        self.write("INSERT INTO orders (id, user_id, total) VALUES (1001, 7, 49.90)").await;
        self.write("UPDATE orders SET status = 'paid' WHERE id = 1001").await;
        self.order_fulfilled(1001).await;

        self.story.step("The API is busy: the call is tried again");
        self.write("INSERT INTO orders (id, user_id, status, total) VALUES (1002, 7, 'paid', 12.30)").await;
        self.order_fulfilled(ORDER_RETRIED).await;

        self.story.step("Other tables, other rules: shop.users.yaml, shop.stock.yaml, shop.outbox.yaml");
        self.write("INSERT INTO users (id, email, name) VALUES (10, 'grace@example.com', 'Grace')").await;
        self.next_call().await;
        self.write("INSERT INTO stock VALUES ('TEA-1', 'Green tea', 12, 5)").await;
        self.write("UPDATE stock SET quantity = 3 WHERE sku = 'TEA-1'").await;
        self.next_call().await;
        self.write(r#"INSERT INTO outbox (aggregate_id, type, payload) VALUES (10, 'newsletter', '{"user": 10}')"#)
            .await;
        self.next_call().await;

        self.story.step("The API refuses an order: a dead letter, and the others go on");
        let none = self.dead_letters();
        self.write("INSERT INTO orders (id, user_id, status, total) VALUES (1003, 9, 'paid', 5.00)").await;
        self.call_to(&order_path(ORDER_REFUSED), |call| call.status() == Some(400)).await;
        self.write("INSERT INTO orders (id, user_id, status, total) VALUES (1004, 7, 'paid', 7.25)").await;
        self.order_fulfilled(1004).await;
        self.wait_for_a_dead_letter(&none);
        self.command(&["dead-letters", "list", "--data", "data"]);

        self.story.step("The API is fixed: the dead letter is replayed");
        self.api.set_script(well);
        self.wrote_at = Instant::now();
        self.command(&["dead-letters", "replay", "--all", "--data", "data"]);
        self.order_fulfilled(ORDER_REFUSED).await;

        self.story.step("rowhook is killed, orders are paid, it starts again: nothing is lost");
        self.story.command(&format!("kill -9 {}", self.rowhook.id()));
        self.rowhook.kill_9();
        self.write("INSERT INTO orders (id, user_id, status, total) VALUES (1005, 7, 'paid', 1.00)").await;
        self.write("INSERT INTO orders (id, user_id, status, total) VALUES (1006, 9, 'paid', 2.00)").await;
        self.story.command("rowhook run ...");
        self.rowhook.restart();
        self.order_fulfilled(1005).await;
        self.order_fulfilled(1006).await;
        wait_until_ready(&mut self.rowhook, &self.admin);

        self.story.step("The table and the calls, side by side");
        self.compare().await;
    }

    /// Leaves everything as it is until Ctrl-C, and shows the calls that come.
    async fn stay(&mut self) {
        let client = mysql::tool("mysql");
        let client = std::env::current_dir().ok().and_then(|here| Some(client.strip_prefix(here).ok()?.to_owned()));
        let client = client.unwrap_or_else(|| mysql::tool("mysql"));
        let home = self.rowhook.home().clone();
        self.story.step("Now you, until Ctrl-C");
        self.story.command(&format!("{} -h 127.0.0.1 -P {} -u root shop", client.display(), self.server.port()));
        self.story.command(&format!("curl http://{}/metrics", self.admin));
        self.story.note(&format!("rules: {}   data: {}", home.path("rules").display(), home.path("data").display()));
        self.story.note("for instance: INSERT INTO orders (user_id, status, total) VALUES (7, 'paid', 3.50);");
        let mut stopped = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            let shown = self.shown;
            tokio::select! {
                calls = self.api.wait_until(|calls| calls.len() > shown, FOR_EVER) => {
                    for call in &calls[shown..] {
                        self.story.call(call, None);
                    }
                    self.shown = calls.len();
                }
                _ = &mut stopped => break,
            }
        }
        self.rowhook.terminate();
        self.rowhook.wait(DEADLINE);
        self.story.end("All ended.");
    }

    /// Runs one statement in the shop and tells it.
    async fn write(&mut self, statement: &str) {
        self.story.sql(statement);
        self.server.query(&format!("USE shop; {statement}")).await;
        self.writes += 1;
        self.wrote_at = Instant::now();
    }

    async fn order_fulfilled(&mut self, order: u64) {
        self.call_to(&order_path(order), Request::took_effect).await;
    }

    /// Shows the calls that come in, up to one that fits.
    async fn call_to(&mut self, path: &str, fits: impl Fn(&Request) -> bool) {
        self.show_calls_until(|call| call.path == path && fits(call)).await;
    }

    /// Shows the calls that come in, up to the next that took effect.
    async fn next_call(&mut self) {
        let shown = self.shown;
        self.show_calls_until(|call| call.number > shown && call.took_effect()).await;
    }

    async fn show_calls_until(&mut self, fits: impl Fn(&Request) -> bool) {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let shown = self.shown;
            if self.api.received()[..shown].iter().any(|call| fits(call)) {
                return;
            }
            let left = give_up_at.saturating_duration_since(Instant::now());
            let calls = self.api.wait_until(|calls| calls.len() > shown, left).await;
            let call = &calls[shown];
            self.story.call(call, Some(call.arrived_at.saturating_duration_since(self.wrote_at)));
            self.shown += 1;
        }
    }

    /// The call was refused a moment ago; its dead letter is on its way to the disk.
    fn wait_for_a_dead_letter(&self, before: &str) {
        let give_up_at = Instant::now() + DEADLINE;
        while self.dead_letters() == before {
            assert!(Instant::now() < give_up_at, "the refused call did not become a dead letter");
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn dead_letters(&self) -> String {
        self.rowhook.home().run(&["dead-letters", "list", "--data", "data", "--json"]).stdout
    }

    fn command(&self, args: &[&str]) {
        self.story.command(&format!("rowhook {}", args.join(" ")));
        let finished = self.rowhook.home().run(args);
        self.story.output(&finished.stdout);
        assert_eq!(finished.code, 0, "rowhook {} failed: {}", args.join(" "), finished.stderr);
    }

    async fn compare(&self) {
        let paid = "SELECT id FROM shop.orders WHERE status = 'paid' ORDER BY id";
        let paid: BTreeSet<String> = self.server.rows::<u64>(paid).await.into_iter().map(order_path).collect();
        let calls = self.api.received();
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for call in fulfilments(&calls).filter(|call| call.took_effect()) {
            keys.entry(&call.path).or_default().extend(call.key.as_deref());
        }
        let called: BTreeSet<String> = keys.keys().map(|&path| path.to_owned()).collect();
        assert_eq!(called, paid, "paid orders and fulfilled orders differ");
        assert!(keys.values().all(|keys| keys.len() == 1), "an order has more than one idempotency key: {keys:?}");
        let repeats: usize = self.api.effects().values().map(|count| count - 1).sum();
        let again = calls.iter().filter(|call| call.attempt > 1).count() - repeats;
        self.story.note(&format!(
            "{} orders paid, {} orders fulfilled, none missing, none besides",
            paid.len(),
            called.len()
        ));
        self.story.note("one Idempotency-Key for each order, the same in every attempt and in the replay");
        if repeats > 0 {
            self.story.note(&format!("{repeats} repeated after the kill -9, with the key by which the API knows them"));
        }
        self.story.end(&format!(
            "{} writes, {} calls, {again} of them retried or replayed, 0 lost, in {:.0} seconds.",
            self.writes,
            calls.len(),
            self.began.elapsed().as_secs_f64()
        ));
    }
}

/// The API before it is fixed.
fn unwell(request: &Request) -> Answer {
    if request.path == order_path(ORDER_RETRIED) && request.attempt == 1 {
        return Answer::status(503).with_json(&json!({"error": "busy, try again"}));
    }
    if request.path == order_path(ORDER_REFUSED) {
        return Answer::status(400).with_json(&json!({"error": "customer 9 has no address"}));
    }
    well(request)
}

fn well(_: &Request) -> Answer {
    Answer::ok().with_json(&json!({"ok": true}))
}

fn order_path(order: u64) -> String {
    format!("/fulfilment/orders/{order}")
}

fn fulfilments(calls: &[Arc<Request>]) -> impl Iterator<Item = &Request> {
    calls.iter().map(|call| &**call).filter(|call| call.path.starts_with("/fulfilment/"))
}
