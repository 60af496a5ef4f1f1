//! Accounts written back into the rows that asked for them, failures marked there, and what rowhook wrote itself: no rule
//! is called for it, but for one that says so. Under kill -9, where the server marks transactions by tag, and where only a
//! comment can.

use std::collections::{BTreeMap, BTreeSet};

use super::{DEADLINE, insert_any, letters, wait_until_done};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::random::Random;
use crate::support::receiver::{Answer, Receiver, Request};

const ROWS: usize = 400;
const KILLS: usize = 20;
const KINDS: [&str; 5] = ["ok", "ok", "ok", "declined", "lost-once"];

fn api(request: &Request) -> Answer {
    let (what, row, kind) = parts(&request.path);
    let answer = Answer::ok().with_json(&serde_json::json!({"id": format!("account-{row}")}));
    match (what, kind) {
        ("card", "declined") => Answer::status(402),
        ("account", "lost-once") if request.attempt == 1 => Answer::lose_the_answer(),
        _ => answer,
    }
}

/// A path is `/account/17/kind`.
fn parts(path: &str) -> (&str, u64, &str) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let [what, row, kind] = parts[..] else { panic!("{path}") };
    (what, row.parse().expect("a row"), kind)
}

/// The rule for signups is called for updates, too: one that rowhook made would have it run again, without end.
fn rules(table: &str, receiver: &Receiver) -> String {
    let url = |what: &str| receiver.url(&format!("/{what}/{{{{ row.id }}}}/{{{{ row.kind }}}}"));
    let (account, card, close) = (url("account"), url("card"), url("close"));
    let (release, seen) = (url("release"), url("seen"));
    format!(
        r#"table: {table}
rules:
  - name: signup
    on: [insert, update]
    retry: {{retries: 3, initial: 5ms, jitter: 0}}
    steps:
      - name: account
        call: {{url: "{account}"}}
        undo: {{call: {{method: DELETE, url: "{close}"}}}}
      - name: card
        call: {{url: "{card}", body: {{account: "{{{{ steps.account.json.id }}}}"}}}}
        undo: {{call: {{method: DELETE, url: "{release}"}}}}
    on_success:
      sql:
        statement: UPDATE {table} SET account_id = :account, state = 'done' WHERE id = :id
        params: {{account: "{{{{ steps.account.json.id }}}}", id: "{{{{ row.id }}}}"}}
        expect_rows: 1
    on_failure:
      sql:
        statement: UPDATE {table} SET state = :state WHERE id = :id
        params: {{state: "{{{{ 'failed' if outcome.standing == 'undone' else 'stuck' }}}}", id: "{{{{ row.id }}}}"}}
        expect_rows: 1
  - name: sees-all
    on: [update]
    own_writes: true
    call: {{url: "{seen}"}}
"#
    )
}

struct Scene<'s> {
    server: &'s MysqlServer,
    table: String,
    receiver: Receiver,
    program: Program,
    kinds: Vec<&'static str>,
    random: Random,
}

impl Scene<'_> {
    async fn start(server: &MysqlServer) -> Scene<'_> {
        let table = format!("{}.users", server.fresh_database().await);
        server
            .query(&format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, kind VARCHAR(40), account_id VARCHAR(40),
                 state VARCHAR(10) NOT NULL DEFAULT 'new')"
            ))
            .await;
        let receiver = Receiver::start(api);
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
            .with_rule("users.yaml", &rules(&table, &receiver))
            .with_rule("targets.yaml", &format!("targets:\n  {}: {{breaker: off}}\n", receiver.url("")))
            .with_env("ROWHOOK_WRITE_URL", &server.root_url())
            .with_env("ROWHOOK_LOG", "warn,rowhook::source=info");
        let program = home.start(&["run", "--mysql", &server.root_url(), "--admin", "off"]);
        program.wait_for_line("reading after", DEADLINE);
        let mut random = Random::new();
        let kinds = insert_any(server, &table, ROWS, &KINDS, &mut random).await;
        Scene { server, table, receiver, program, kinds, random }
    }

    async fn kill_again_and_again(&mut self) {
        for _ in 0..KILLS {
            let next = self.receiver.count() + self.random.below((3 * ROWS / KILLS) as u64) as usize;
            let is_there = |requests: &[std::sync::Arc<Request>]| requests.len() >= next || seen(requests) >= ROWS;
            self.receiver.wait_until(is_there, DEADLINE).await;
            self.program.kill_9();
            self.program.restart();
        }
        // What was written back is read before it is seen: then the rule for signups has read it as well.
        self.receiver.wait_until(|requests| seen(requests) >= ROWS, DEADLINE).await;
        self.program.wait_for_line("reading after", DEADLINE);
        wait_until_done(&self.program, "signup", || true);
    }

    async fn every_row_says_how_it_ended(&self) {
        let rows: Vec<(u64, Option<String>, String)> =
            self.server.rows(&format!("SELECT id, account_id, state FROM {} ORDER BY id", self.table)).await;
        assert_eq!(rows.len(), ROWS);
        for ((row, account, state), kind) in rows.into_iter().zip(&self.kinds) {
            let expected = match *kind {
                "declined" => (None, "failed"),
                _ => (Some(format!("account-{row}")), "done"),
            };
            assert_eq!((account, &*state), expected, "row {row}: {kind}");
        }
        let letters = letters(&self.program);
        for (row, kind) in (0..).zip(&self.kinds) {
            let standing = letters.get(&row).map(|letter| letter["effect"].as_str().expect("a standing"));
            assert_eq!(standing, (*kind == "declined").then_some("none"), "row {row}: {kind}");
        }
    }

    /// Each thing that an API did, it was asked for under one key alone: as often as there are keys it happened.
    fn the_api_was_called_for_the_inserts_alone(&self) {
        let mut keys: BTreeMap<(String, u64), BTreeSet<String>> = BTreeMap::new();
        for request in self.receiver.received() {
            let (what, row, _) = parts(&request.path);
            keys.entry((what.to_string(), row)).or_default().insert(request.key.clone().expect("a key"));
        }
        for (row, kind) in (0..).zip(&self.kinds) {
            let mut count = |what: &str| keys.remove(&(what.to_string(), row)).map_or(0, |keys| keys.len());
            let called = ["account", "card", "seen", "close"].map(&mut count);
            let undone = usize::from(*kind == "declined");
            assert_eq!(called, [1, 1, 1, undone], "row {row}: {kind}");
            // Declined the second time, when a kill had left it open what came of the first.
            assert!(count("release") <= undone, "row {row}: {kind}");
        }
        assert!(keys.is_empty(), "{keys:?}");
    }

    fn what_rowhook_wrote_was_seen_as_it_is_in_the_table(&self) {
        for request in self.receiver.received().iter().filter(|request| request.path.starts_with("/seen/")) {
            let (_, row, kind) = parts(&request.path);
            let expected = match kind {
                "declined" => serde_json::json!([null, "failed"]),
                _ => serde_json::json!([format!("account-{row}"), "done"]),
            };
            let after = &request.json()["after"];
            assert_eq!(serde_json::json!([after["account_id"], after["state"]]), expected, "row {row}");
        }
    }

    /// The rule for signups matches updates, too: that of another writer is delivered, and writing back what is there already
    /// changes nothing.
    async fn an_update_by_another_writer_is_delivered(&self) {
        let row = self.kinds.iter().position(|kind| *kind == "ok").expect("most rows are");
        self.server.query(&format!("UPDATE {} SET kind = 'moved' WHERE id = {row}", self.table)).await;
        let (called, card) = (format!("/seen/{row}/moved"), format!("/card/{row}/moved"));
        let has = |requests: &[std::sync::Arc<Request>], path: &str| requests.iter().any(|one| one.path == path);
        self.receiver.wait_until(|all| has(all, &called) && has(all, &card), DEADLINE).await;
    }
}

/// How many rows the rule for what rowhook wrote has seen.
fn seen(requests: &[std::sync::Arc<Request>]) -> usize {
    let seen = requests.iter().filter(|request| request.path.starts_with("/seen/"));
    seen.map(|request| &request.path).collect::<BTreeSet<_>>().len()
}

async fn rows_are_written_back(server: &MysqlServer) {
    let mut scene = Scene::start(server).await;
    scene.kill_again_and_again().await;
    scene.every_row_says_how_it_ended().await;
    scene.the_api_was_called_for_the_inserts_alone();
    scene.what_rowhook_wrote_was_seen_as_it_is_in_the_table();
    scene.an_update_by_another_writer_is_delivered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_gtids_every_row_has_its_account_or_says_that_it_failed_and_nothing_loops() {
    let server = MysqlServer::start(&[]);
    rows_are_written_back(&server).await;
    let executed: Vec<String> = server.rows("SELECT @@GLOBAL.gtid_executed").await;
    assert!(executed[0].contains(":rowhook:"), "marked by its tag: {executed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gtids_every_row_has_its_account_or_says_that_it_failed_and_nothing_loops() {
    let server = MysqlServer::start(&["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"]);
    rows_are_written_back(&server).await;
}
