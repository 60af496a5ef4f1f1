//! What operators do while dead letters are being replayed: resolve, discard, interrupt, pause. The oracle is what the receiver
//! gets, and which letters are left.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home, Program};
use crate::support::receiver::{Answer, Gate, Receiver};

const DEADLINE: Duration = Duration::from_secs(20);

/// Nothing listens on port 1: the daemon goes on without MySQL.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

/// Six dead letters of a rule with one attempt at a time, of which the first waits at the gate.
struct Scene {
    gate: Gate,
    receiver: Receiver,
    daemon: Program,
}

impl Scene {
    fn start(settings: &str) -> Scene {
        let gate = Gate::closed();
        let closed = gate.clone();
        let receiver = Receiver::start(move |request| match request.path.as_str() {
            "/orders/1" => Answer::ok().delayed_by(&closed),
            _ => Answer::ok(),
        });
        let rule = format!(
            "table: shop.orders\nrules:\n  - name: order-paid\n    in_flight: 1\n    {settings}\n    call: {{url: \"{}\", \
             timeout: 1m}}\n",
            receiver.url("/orders/{{ row.id }}")
        );
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", &rule);
        let letters: Vec<Letter> = (1..7).map(|id| Letter::of("order-paid", id)).collect();
        fill(&home, &letters);
        let daemon = home.start(&["run", "--mysql", MYSQL, "--admin", "off"]);
        daemon.wait_for_line("starts", DEADLINE);
        Scene { gate, receiver, daemon }
    }

    fn run(&self, args: &[&str]) -> Finished {
        self.daemon.home().run(args)
    }

    /// Starts the replay of all; returns when the first is under way and the others wait.
    fn replay_all(&self) -> Program {
        let replay = self.daemon.home().start(&["dead-letters", "replay", "--all"]);
        self.wait_until("in_flight", 1);
        replay
    }

    #[track_caller]
    fn wait_until(&self, count: &str, is: u64) {
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let status: Value = serde_json::from_str(&self.run(&["status", "--json"]).stdout).expect("JSON");
            if status["rules"][0][count] == is {
                return;
            }
            assert!(Instant::now() < give_up_at, "{count} is not {is}: {status}");
        }
    }

    fn paths(&self) -> Vec<String> {
        self.receiver.received().iter().map(|request| request.path.clone()).collect()
    }

    fn letters(&self, args: &[&str]) -> Vec<u64> {
        let listing = self.run(&[&["dead-letters", "list", "--json"], args].concat());
        let listing: Value = serde_json::from_str(&listing.stdout).expect("JSON");
        let letters = listing["dead_letters"].as_array().expect("a list").iter();
        letters.map(|letter| letter["number"].as_u64().expect("a number")).collect()
    }
}

#[test]
fn what_is_resolved_or_discarded_before_its_call_begins_is_not_called() {
    let scene = Scene::start("retry: {retries: 0}");
    let mut replay = scene.replay_all();
    let resolved = scene.run(&["dead-letters", "resolve", "3", "--note", "refunded by hand"]);
    assert_eq!(resolved.code, 0, "{resolved:?}");
    let discarded = scene.run(&["dead-letters", "discard", "5", "--yes"]);
    assert_eq!((discarded.code, discarded.stdout.as_str()), (0, "1 dead letter discarded\n"), "{discarded:?}");

    // The first is being called: that can't be undone any more.
    let resolved = scene.run(&["dead-letters", "resolve", "1", "--note", "too late"]);
    assert_eq!(resolved.code, 1, "{resolved:?}");
    assert!(resolved.stderr.contains("dead letter 1 is being sent now"), "{resolved:?}");
    let discarded = scene.run(&["dead-letters", "discard", "1", "6", "--yes"]);
    assert_eq!(discarded.code, 1, "{discarded:?}");
    let said = "1 dead letter discarded\n1 is being sent now: it is not discarded; wait for the outcome\n";
    assert_eq!(discarded.stdout, said);

    scene.gate.open();
    assert_eq!(replay.wait(DEADLINE), 1);
    assert_eq!(scene.paths(), ["/orders/1", "/orders/2", "/orders/4"]);
    let said = replay.lines();
    for line in [
        "3  order-paid  not replayed  resolved",
        "5  order-paid  not replayed  it no longer exists",
        "6  order-paid  not replayed  it no longer exists",
        "3 delivered, 0 still dead, 3 not replayed",
    ] {
        assert!(said.iter().any(|said| said == line), "{line:?} is missing in {said:#?}");
    }
    assert_eq!((scene.letters(&[]), scene.letters(&["--resolved"])), (vec![], vec![3]));
}

#[test]
fn after_an_interruption_nothing_is_called_that_was_not_under_way() {
    let scene = Scene::start("retry: {retries: 0}");
    let mut replay = scene.replay_all();
    replay.interrupt();
    assert_eq!(replay.wait(DEADLINE), 1);
    scene.daemon.wait_for_line("replay ended early", DEADLINE);
    scene.gate.open();
    scene.wait_until("in_flight", 0);
    assert_eq!((scene.paths(), scene.letters(&[])), (vec!["/orders/1".to_owned()], vec![2, 3, 4, 5, 6]));
    // They are free for the next one.
    let replay = scene.run(&["dead-letters", "replay", "--all"]);
    assert_eq!((replay.code, replay.stdout.lines().last()), (0, Some("5 delivered, 0 still dead")), "{replay:?}");
}

#[test]
fn a_replay_ends_when_its_rule_is_paused() {
    let scene = Scene::start("retry: {retries: 50, initial: 200ms, max_delay: 200ms}");
    scene.receiver.set_script(|_| Answer::status(503));
    let mut replay = scene.daemon.home().start(&["dead-letters", "replay", "--all"]);
    scene.wait_until("in_retry", 1);
    assert_eq!(scene.run(&["pause", "order-paid"]).code, 0);
    assert_eq!(replay.wait(DEADLINE), 1);
    let said = replay.lines();
    let why = "not replayed  rule order-paid is paused; rowhook resume order-paid first";
    assert_eq!(said.iter().filter(|line| line.contains(why)).count(), 6, "{said:#?}");
    assert_eq!(said.last().map(String::as_str), Some("0 delivered, 0 still dead, 6 not replayed"));
    assert_eq!(scene.letters(&[]), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_rule_that_is_paused_is_not_replayed_without_a_daemon_either() {
    let mut scene = Scene::start("retry: {retries: 0}");
    assert_eq!(scene.run(&["pause", "order-paid"]).code, 0);
    let why = "rule order-paid is paused; rowhook resume order-paid first";
    for is_running in [true, false] {
        if !is_running {
            scene.daemon.terminate();
            assert_eq!(scene.daemon.wait(DEADLINE), 0);
        }
        let replay = scene.run(&["dead-letters", "replay", "2", "3"]);
        assert_eq!((replay.code, replay.stdout.matches(why).count()), (1, 2), "{replay:?}");
        let shown = scene.run(&["dead-letters", "replay", "2", "--dry-run"]);
        assert_eq!(
            (shown.code, shown.stdout),
            (1, format!("# 2 order-paid would not be sent: {why}\n")),
            "{is_running}"
        );
        for how in ["--dry-run", "--yes"] {
            let range = ["replay-binlog", "--rule", "order-paid", "--from", "b.000001:4", "--to", "b.000002:4", how];
            let replay = scene.run(&[&range[..], &["--mysql", MYSQL]].concat());
            assert_eq!((replay.code, replay.stderr.contains(why)), (1, true), "{replay:?}");
        }
    }
    assert_eq!(scene.receiver.count(), 0);
}
