//! What a person sees of sagas that did not end well, and does about them: with a running rowhook and without one.
//!
//! The oracle is what the API was asked for after each command, in order.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::Value;

use super::{DEADLINE, json, status};
use crate::support::mysql::MysqlServer;
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver, Request};

/// Where rowhook is when the operator types.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Daemon {
    Runs,
    Stopped,
}

const BOTH: [Daemon; 2] = [Daemon::Runs, Daemon::Stopped];

/// What the API does not do just now, by the words of its paths.
#[derive(Default)]
struct Moods {
    refuses: BTreeSet<&'static str>,
    loses: BTreeSet<&'static str>,
    gates: Option<(&'static str, Gate)>,
}

impl Moods {
    fn answer(&self, request: &Request) -> Answer {
        let what = what(request);
        if self.refuses.contains(what) {
            return Answer::status(422);
        }
        if self.loses.contains(what) {
            return Answer::lose_the_answer();
        }
        let answer = Answer::ok().with_json(&serde_json::json!({"id": format!("{what}-1")}));
        match &self.gates {
            Some((delayed, gate)) if *delayed == what => answer.delayed_by(gate),
            _ => answer,
        }
    }
}

fn what(request: &Request) -> &str {
    request.path.trim_start_matches('/')
}

/// A table with one rule, and one row that was inserted.
struct Scene {
    database: String,
    moods: Arc<Mutex<Moods>>,
    receiver: Receiver,
    program: Program,
    is_running: bool,
}

impl Scene {
    /// `rule` is what stands below the rule's name; `URL` in it is the API's.
    async fn start(rule: &str, moods: Moods) -> Scene {
        let server = MysqlServer::shared();
        let database = server.fresh_database().await;
        server.query(&format!("CREATE TABLE {database}.signups (id INT PRIMARY KEY, email VARCHAR(40))")).await;
        let moods = Arc::new(Mutex::new(moods));
        let receiver = Receiver::start({
            let moods = Arc::clone(&moods);
            move |request| moods.lock().expect("not poisoned").answer(request)
        });
        let file = format!("table: {database}.signups\nrules:\n  - name: signup\n    retry: {{retries: 0}}\n{rule}");
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
            .with_env("ROWHOOK_ADMIN", "off")
            .with_rule("signups.yaml", &file.replace("URL", &receiver.url("")));
        let program = home.start(&["run", "--mysql", &server.root_url()]);
        program.wait_for_line("reading after", DEADLINE);
        let mut scene = Scene { database, moods, receiver, program, is_running: true };
        scene.server_has_row(1).await;
        scene.wait_for_letters(1);
        scene
    }

    async fn server_has_row(&mut self, id: u32) {
        let statement = format!("INSERT INTO {}.signups VALUES ({id}, 'a@example.com')", self.database);
        MysqlServer::shared().query(&statement).await;
    }

    fn now(&mut self, daemon: Daemon) {
        if daemon == Daemon::Stopped {
            self.program.terminate();
            assert_eq!(self.program.wait(DEADLINE), 0);
            self.is_running = false;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Moods)) {
        change(&mut self.moods.lock().expect("not poisoned"));
    }

    fn run(&self, args: &[&str]) -> Finished {
        self.program.home().run(args)
    }

    /// `dead-letters replay 1` and `wishes`; exit code and what it printed.
    fn replay(&self, wishes: &[&str]) -> (i32, String) {
        let finished = self.run(&[&["dead-letters", "replay", "1"], wishes].concat());
        // Without a daemon its log is there, too.
        (finished.code, finished.stdout + &finished.stderr)
    }

    /// What the API was asked for since this was asked last.
    fn asked(&self) -> Vec<String> {
        let asked = self.receiver.received().iter().map(|request| what(request).to_string()).collect();
        self.receiver.forget();
        asked
    }

    fn letters(&self) -> Vec<Value> {
        let list = json(&self.program, &["dead-letters", "list", "--json"]);
        list["dead_letters"].as_array().expect("a list").clone()
    }

    fn letter(&self) -> Value {
        json(&self.program, &["dead-letters", "show", "1", "--json"])
    }

    fn page(&self) -> String {
        let finished = self.run(&["dead-letters", "show", "1"]);
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        finished.stdout
    }

    /// How many dead letters there are, and how many of them wait for a person.
    fn counted(&self) -> (u64, u64) {
        let status = status(&self.program);
        let number = |name: &str| status[name].as_u64().unwrap_or_else(|| panic!("{name}: {status:#}"));
        (number("dead_letters"), number("awaiting"))
    }

    #[track_caller]
    fn wait_for_letters(&self, count: usize) {
        let give_up_at = Instant::now() + DEADLINE;
        while self.letters().len() != count {
            assert!(Instant::now() < give_up_at, "{:#?}", self.letters());
        }
    }
}

/// Each step's name with its state and that of its undo.
fn states(letter: &Value) -> Vec<String> {
    let steps = letter["saga"]["steps"].as_array().expect("steps");
    let word = |value: &Value| value.as_str().expect("a word").to_string();
    steps
        .iter()
        .map(|step| format!("{} {} {}", word(&step["name"]), word(&step["state"]), word(&step["undo"]["state"])))
        .collect()
}

const THREE_STEPS: &str = r#"    steps:
      - name: account
        call: {url: "URL/account"}
        undo: {call: {method: DELETE, url: "URL/close-account"}}
      - name: stock
        call: {url: "URL/stock", body: {account: "{{ steps.account.json.id }}"}}
        undo: {call: {method: DELETE, url: "URL/free-stock"}}
      - name: card
        call: {url: "URL/card", body: {account: "{{ steps.account.json.id }}", stock: "{{ steps.stock.json.id }}"}}
    on_failure: {call: {url: "URL/failed"}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_partly_undone_saga_is_shown_undone_when_the_api_works_again_and_begun_again() {
    for daemon in BOTH {
        let moods = Moods { refuses: BTreeSet::from(["card", "free-stock"]), ..Moods::default() };
        let mut scene = Scene::start(THREE_STEPS, moods).await;
        assert_eq!(scene.asked(), ["account", "stock", "card", "free-stock", "close-account", "failed"]);
        scene.now(daemon);

        let letter = scene.letter();
        assert_eq!(states(&letter), ["account done done", "stock done failed", "card failed waiting"]);
        assert_eq!((&letter["reason"], &letter["effect"]), (&"refused".into(), &"partial".into()), "{letter:#}");
        assert_eq!(scene.letters()[0]["effect"], "partial");
        assert_eq!(scene.counted(), (1, 1), "{daemon:?}");
        let page = scene.page();
        assert!(page.contains("an operator must decide: not undone: `stock`"), "{page}");
        assert!(page.contains("rowhook dead-letters replay 1 --undo        undoes `stock`"), "{page}");
        let printed = scene.run(&["status"]).stdout;
        assert!(printed.contains("1 of them needs an operator"), "{printed}");

        // As long as the API refuses, nothing gets better.
        let (code, printed) = scene.replay(&["--undo"]);
        assert_eq!((code, scene.asked()), (1, vec!["free-stock".to_string()]), "{daemon:?}: {printed}");
        assert_eq!(scene.counted(), (1, 1));

        scene.change(|moods| moods.refuses = BTreeSet::from(["card"]));
        let (code, printed) = scene.replay(&["--undo"]);
        let asked = ["free-stock", "failed"].map(String::from).to_vec();
        assert_eq!((code, scene.asked()), (1, asked), "{daemon:?}: {printed}");
        let letter = scene.letter();
        assert_eq!((&letter["reason"], &letter["effect"]), (&"refused".into(), &"none".into()), "{letter:#}");
        assert_eq!(scene.counted(), (1, 0));
        assert!(scene.page().contains("\n  all undone\n"), "{}", scene.page());
        let (code, printed) = scene.replay(&["--undo"]);
        assert!(code == 1 && printed.contains("there is nothing to undo"), "{daemon:?}: {printed}");

        scene.change(|moods| moods.refuses.clear());
        let (code, printed) = scene.replay(&[]);
        assert_eq!((code, scene.asked()), (0, ["account", "stock", "card"].map(String::from).to_vec()), "{printed}");
        assert!(printed.contains("1  signup  delivered  200\n1 delivered, 0 still dead"), "{printed}");
        assert_eq!(scene.counted(), (0, 0));
    }
}

const NO_UNDO: &str = r#"    steps:
      - name: account
        call: {url: "URL/account"}
      - name: card
        call: {url: "URL/card", body: {account: "{{ steps.account.json.id }}"}}
      - name: mail
        call: {url: "URL/mail"}
    on_success: {call: {url: "URL/told"}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_with_the_step_that_failed_and_from_start_with_the_first_under_another_key() {
    for daemon in BOTH {
        let moods = Moods { refuses: BTreeSet::from(["card"]), ..Moods::default() };
        let mut scene = Scene::start(NO_UNDO, moods).await;
        let keys = |requests: &[Arc<Request>]| -> Vec<String> {
            requests.iter().map(|request| request.key.clone().expect("a key")).collect()
        };
        let first = keys(&scene.receiver.received());
        assert_eq!(scene.asked(), ["account", "card"]);
        scene.now(daemon);

        assert_eq!(scene.replay(&[]).0, 1);
        let again = scene.receiver.received();
        assert_eq!(keys(&again), first[1..], "the same call, so that the API knows it again");
        assert_eq!(again[0].json()["account"], "account-1");
        assert_eq!(scene.asked(), ["card"], "{daemon:?}");

        let refused = scene.run(&["dead-letters", "replay", "1", "--from-start"]);
        assert!(refused.code == 2 && refused.stderr.contains("--yes"), "{refused:?}");
        let dry = scene.run(&["dead-letters", "replay", "1", "--from-start", "--yes", "--dry-run"]);
        assert!(dry.code == 0 && dry.stdout.contains("/account'"), "{dry:?}");
        assert_eq!(scene.replay(&["--from-start", "--yes"]).0, 1);
        let second = keys(&scene.receiver.received());
        assert!(second.iter().all(|key| !first.contains(key)), "{second:?} {first:?}");
        assert_eq!(scene.asked(), ["account", "card"], "{daemon:?}");

        scene.change(|moods| moods.refuses.clear());
        let (code, printed) = scene.replay(&[]);
        assert_eq!((code, scene.asked()), (0, ["card", "mail", "told"].map(String::from).to_vec()), "{printed}");
        assert_eq!(scene.counted(), (0, 0));
    }
}

const CHARGE: &str = r#"    steps:
      - name: account
        call: {url: "URL/account"}
      - name: charge
        call: {url: "URL/charge", idempotent: false}
      - name: mail
        call: {url: "URL/mail"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_states_whether_an_uncertain_step_happened() {
    for (daemon, word) in BOTH.into_iter().flat_map(|daemon| ["yes", "no"].map(|word| (daemon, word))) {
        let moods = Moods { loses: BTreeSet::from(["charge"]), ..Moods::default() };
        let mut scene = Scene::start(CHARGE, moods).await;
        assert_eq!(scene.asked(), ["account", "charge"]);
        scene.now(daemon);
        scene.change(|moods| moods.loses.clear());
        assert_eq!(states(&scene.letter()), ["account done waiting", "charge unknown waiting", "mail waiting waiting"]);
        assert_eq!((scene.letter()["reason"].as_str(), scene.counted()), (Some("unknown"), (1, 1)));
        let page = scene.page();
        assert!(page.contains("an operator must decide: it is unknown whether `charge` happened"), "{page}");

        let (code, printed) = scene.replay(&[]);
        assert!(code == 1 && printed.contains("it is not known whether step `charge` took effect"), "{printed}");
        assert_eq!(scene.asked(), [""; 0], "nothing is called before that");
        let (code, printed) = scene.replay(&["--happened", word]);
        let expected = if word == "yes" { vec!["mail"] } else { vec!["charge", "mail"] };
        assert_eq!(
            (code, scene.asked()),
            (0, expected.into_iter().map(String::from).collect()),
            "{daemon:?} {printed}"
        );
        assert_eq!(scene.counted(), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_resolved_by_hand_is_counted_and_sent_no_more_and_can_still_be_read() {
    for daemon in BOTH {
        let moods = Moods { loses: BTreeSet::from(["charge"]), ..Moods::default() };
        let mut scene = Scene::start(CHARGE, moods).await;
        scene.now(daemon);
        scene.asked();
        let note = "charged; their console says so";
        let resolved = scene.run(&["dead-letters", "resolve", "1", "--note", note]);
        assert_eq!(resolved.code, 0, "{resolved:?}");
        assert_eq!((scene.counted(), scene.letters().len()), ((0, 0), 0));
        let listed = scene.run(&["dead-letters", "list", "--resolved"]).stdout;
        assert!(listed.contains(&format!("resolved: {note}")), "{listed}");
        let page = scene.page();
        assert!(page.contains(note) && !page.contains("dead-letters replay"), "{page}");
        let (code, printed) = scene.replay(&["--happened", "no"]);
        assert!(code == 1 && printed.contains("resolved"), "{printed}");
        assert_eq!(scene.asked(), [""; 0]);
        let discarded = scene.run(&["dead-letters", "discard", "--all", "--resolved", "--yes"]);
        assert_eq!((discarded.code, &*discarded.stdout), (0, "1 dead letter discarded\n"), "{discarded:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_callback_a_replay_makes_the_callback_and_does_nothing_else() {
    for daemon in BOTH {
        let moods = Moods { refuses: BTreeSet::from(["told"]), ..Moods::default() };
        let mut scene = Scene::start(NO_UNDO, moods).await;
        assert_eq!(scene.asked(), ["account", "card", "mail", "told"]);
        scene.now(daemon);
        let letter = scene.letter();
        assert_eq!(
            (&letter["reason"], &letter["effect"]),
            (&"callback_failed".into(), &"complete".into()),
            "{letter:#}"
        );
        assert_eq!(scene.counted(), (1, 0), "a resolved saga waits for no person");
        assert_eq!((scene.replay(&[]).0, scene.asked()), (1, vec!["told".to_string()]));
        scene.change(|moods| moods.refuses.clear());
        assert_eq!((scene.replay(&[]).0, scene.asked()), (0, vec!["told".to_string()]), "{daemon:?}");
        assert_eq!(scene.counted(), (0, 0));
    }
}

/// Kills the process that replays while `delayed` is under way: rowhook itself, or the command where none runs.
async fn kill_in_the_middle_of_a_replay(scene: &mut Scene, delayed: &'static str) {
    let gate = Gate::closed();
    scene.change(|moods| *moods = Moods { gates: Some((delayed, gate.clone())), ..Moods::default() });
    let mut replaying = scene.program.home().start(&["dead-letters", "replay", "1"]);
    scene.receiver.wait_until(|requests| requests.iter().any(|request| what(request) == delayed), DEADLINE).await;
    if scene.is_running {
        scene.program.kill_9();
        assert_eq!(replaying.wait(DEADLINE), 1, "the command reports that the replay broke off");
        scene.program.restart();
        scene.program.wait_for_line("reading after", DEADLINE);
    } else {
        replaying.kill_9();
    }
    scene.change(|moods| moods.gates = None);
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_killed_is_replayed_from_the_step_that_was_under_way() {
    for daemon in BOTH {
        let moods = Moods { refuses: BTreeSet::from(["card"]), ..Moods::default() };
        let mut scene = Scene::start(NO_UNDO, moods).await;
        scene.now(daemon);
        scene.asked();
        kill_in_the_middle_of_a_replay(&mut scene, "mail").await;
        let keys: BTreeSet<_> = scene.receiver.received().into_iter().map(|request| request.key.clone()).collect();
        assert_eq!(scene.asked(), ["card", "mail"], "{daemon:?}");
        assert_eq!(states(&scene.letter()), ["account done waiting", "card done waiting", "mail begun waiting"]);
        assert_eq!(scene.counted(), (1, 1));
        let page = scene.page();
        assert!(page.contains("rowhook stopped; done: `account`, `card`; unknown: `mail`\n"), "{page}");
        let (code, printed) = scene.replay(&[]);
        let mail = scene.receiver.received()[0].key.clone();
        assert!(keys.contains(&mail), "the same call");
        assert_eq!((code, scene.asked()), (0, ["mail", "told"].map(String::from).to_vec()), "{daemon:?} {printed}");
        assert_eq!(scene.counted(), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_under_way_when_its_replay_was_killed_is_not_made_again() {
    for daemon in BOTH {
        let moods = Moods { refuses: BTreeSet::from(["charge"]), ..Moods::default() };
        let mut scene = Scene::start(CHARGE, moods).await;
        scene.now(daemon);
        scene.asked();
        kill_in_the_middle_of_a_replay(&mut scene, "charge").await;
        assert_eq!(scene.asked(), ["charge"], "{daemon:?}");
        assert_eq!(scene.counted(), (1, 1));
        let page = scene.page();
        assert!(page.contains("before: answered 422"), "{page}");
        assert!(page.contains("--happened yes|no  states whether `charge` took effect, then goes on\n"), "{page}");
        let (code, printed) = scene.replay(&[]);
        assert!(
            code == 1 && printed.contains("it is not known whether step `charge` took effect"),
            "{daemon:?} {printed}"
        );
        assert_eq!(scene.asked(), [""; 0]);
        let (code, printed) = scene.replay(&["--happened", "yes"]);
        assert_eq!((code, scene.asked()), (0, vec!["mail".to_string()]), "{daemon:?} {printed}");
    }
}

/// A statement has no request to show.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_the_statement_that_a_replay_would_begin_with() {
    let rule = r#"    on: [insert]
    steps:
      - name: row
        sql: {statement: "UPDATE nowhere.at_all SET a = :a", params: {a: "{{ row.id }}"}}
      - name: call
        call: {url: "URL/call"}
"#;
    let server = MysqlServer::shared();
    let database = server.fresh_database().await;
    server.query(&format!("CREATE TABLE {database}.t (id INT PRIMARY KEY)")).await;
    let file = format!("table: {database}.t\nrules:\n  - name: signup\n{}", rule.replace("URL", "http://127.0.0.1:9"));
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_env("ROWHOOK_ADMIN", "off")
        .with_env("ROWHOOK_WRITE_URL", &server.root_url())
        .with_rule("t.yaml", &file);
    let program = home.start(&["run", "--mysql", &server.root_url()]);
    program.wait_for_line("reading after", DEADLINE);
    server.query(&format!("INSERT INTO {database}.t VALUES (1)")).await;
    let give_up_at = Instant::now() + DEADLINE;
    let mut dry = home.run(&["dead-letters", "replay", "--all", "--dry-run"]);
    while !dry.stdout.contains("# 1 signup") {
        assert!(Instant::now() < give_up_at, "{dry:?}");
        dry = home.run(&["dead-letters", "replay", "--all", "--dry-run"]);
    }
    assert!(dry.stdout.contains("a statement: UPDATE nowhere.at_all SET a = "), "{dry:?}");
    let again = home.run(&["replay-binlog", "--rule", "signup", "--from", "earliest", "--dry-run"]);
    assert!(again.code == 1 && again.stderr.contains("remembers what it has done"), "{again:?}");
}
