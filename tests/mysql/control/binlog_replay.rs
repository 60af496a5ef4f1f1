//! A binlog range delivered again, with and without a daemon, by place and by GTIDs.

use std::collections::HashSet;

use super::*;
use crate::support::receiver::Gate;

/// The changes of one binlog range, and its place.
struct History {
    database: String,
    receiver: Receiver,
    home: Home,
    program: Program,
    /// Where the second of three inserts begins, and the third.
    from: String,
    to: String,
}

impl History {
    /// Three transactions of three rows each; the second is the range.
    async fn start(server: &MysqlServer) -> History {
        let database = server.fresh_database().await;
        table(server, &database, "items").await;
        let receiver = Receiver::start(|_| Answer::ok());
        let home = home().with_rule("a.yaml", &rule(&database, "items", "items", &receiver)).with_rule(
            "b.yaml",
            &rule(&database, "items", "others", &receiver).replace("- name", "- on: [delete]\n    name"),
        );
        let program = run(&home, server, &[]);
        let mut places = Vec::new();
        for first in [1, 4, 7] {
            places.push(place(server).await);
            let values: Vec<String> = (first..first + 3).map(|id| format!("({id}, 1)")).collect();
            server.query(&format!("INSERT INTO {database}.items VALUES {}", values.join(","))).await;
        }
        receiver.wait_for_count(9, DEADLINE).await;
        let (from, to) = (places[1].clone(), places[2].clone());
        History { database, receiver, home, program, from, to }
    }

    fn replay(&self, args: &[&str]) -> Finished {
        let range = ["replay-binlog", "--rule", "items", "--from", &self.from, "--to", &self.to];
        self.home.run(&[&range, args].concat())
    }
}

async fn place(server: &MysqlServer) -> String {
    let rows: Vec<(String, u64, String, String, String)> = server.rows("SHOW BINARY LOG STATUS").await;
    format!("{}:{}", rows[0].0, rows[0].1)
}

fn keys(requests: &[Arc<Request>]) -> HashSet<(u32, String)> {
    requests.iter().map(|request| (key_and_version(request).0, request.key.clone().expect("a key"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binlog_range_is_delivered_again_with_the_same_keys_and_nothing_else() {
    // A server of its own: others' transactions would lie between.
    let server = MysqlServer::start(&[]);
    let history = History::start(&server).await;
    let first = keys(&history.receiver.received());
    let finished = history.replay(&[]);
    assert!(finished.code == 2 && finished.stderr.contains("--yes"), "{finished:?}");
    let finished = history.replay(&["--dry-run"]);
    let shown = done(&finished);
    assert_eq!(
        (shown.matches("curl -X POST").count(), shown.ends_with("3 changes would be sent\n")),
        (3, true),
        "{shown}"
    );
    assert_eq!(history.receiver.count(), 9, "neither sends anything");

    let finished = history.replay(&["--yes"]);
    assert!(done(&finished).ends_with("3 changes, 3 matched, 3 delivered, 0 dead\n"), "{}", finished.stdout);
    let again = &history.receiver.received()[9..];
    assert_eq!(
        again.iter().map(|request| key_and_version(request).0).collect::<HashSet<_>>(),
        HashSet::from([4, 5, 6])
    );
    assert!(keys(again).is_subset(&first), "the same keys");

    // What comes of it is as of any delivery, and the stream goes on beside it.
    history.receiver.set_script(|request| match key_and_version(request) {
        (5, _) => Answer::status(400),
        _ => Answer::ok(),
    });
    let finished = history.replay(&["--yes", "--json"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines[0]["begun"]["from"]["file"].is_string(), "{lines:?}");
    let ended = &lines.last().expect("lines")["ended"];
    assert_eq!((&ended["delivered"], &ended["dead"]), (&2.into(), &1.into()), "{ended}");
    let listed = history.home.run(&["dead-letters", "list", "--json"]);
    let listed: Value = serde_json::from_str(done(&listed)).expect("JSON");
    assert_eq!(listed["dead_letters"][0]["key"]["id"], 5, "{listed}");
    let count = history.receiver.count();
    server.query(&format!("INSERT INTO {}.items VALUES (10, 1)", history.database)).await;
    history.receiver.wait_for_count(count + 1, DEADLINE).await;

    let nothing =
        history.home.run(&["replay-binlog", "--rule", "items", "--from", &history.to, "--to", &history.from, "--yes"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("there is nothing between"), "{nothing:?}");
    let (file, _) = history.from.split_once(':').expect("a place");
    let within = history.home.run(&["replay-binlog", "--rule", "items", "--from", &format!("{file}:5"), "--yes"]);
    assert!(within.code == 1 && within.stderr.contains("fix: give --from and --to the beginning"), "{within:?}");
    assert!(!within.stderr.contains("position set"), "a replay moves no checkpoint: {within:?}");
    let unknown = history.home.run(&["replay-binlog", "--rule", "itms", "--from", "earliest", "--yes"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean `items`?"), "{unknown:?}");
    done(&history.home.run(&["pause", "items"]));
    let paused = history.replay(&["--yes"]);
    assert!(paused.code == 1 && paused.stderr.contains("items is paused"), "{paused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binlog_range_is_delivered_again_without_a_daemon_and_moves_no_checkpoint() {
    let server = MysqlServer::start(&[]);
    let mut history = History::start(&server).await;
    wait_for_status(&history.home, |status| of_rule(status, "items")["unresolved"] == 0);
    history.program.terminate();
    assert_eq!(history.program.wait(DEADLINE), 0);
    let before = status(&history.home);
    server.query(&format!("INSERT INTO {}.items VALUES (10, 1)", history.database)).await;
    let url = server.root_url();
    // Up to the checkpoint: later changes are not replayed.
    let finished =
        history.home.run(&["replay-binlog", "--rule", "items", "--from", &history.from, "--yes", "--mysql", &url]);
    assert!(done(&finished).ends_with("6 changes, 6 matched, 6 delivered, 0 dead\n"), "{}", finished.stdout);
    assert_eq!(history.receiver.count(), 15);
    assert_eq!(status(&history.home)["position"], before["position"]);
    history.program.restart();
    history.receiver.wait_for_count(16, DEADLINE).await;
    assert_eq!(key_and_version(&history.receiver.received()[15]), (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_binlog_replay_starts_nothing_more() {
    let server = MysqlServer::start(&[]);
    let history = History::start(&server).await;
    let gate = Gate::closed();
    let answers_gate = gate.clone();
    history.receiver.set_script(move |_| Answer::ok().delayed_by(&answers_gate));
    // One after the other, so that two of them wait behind the first.
    history.home.write(
        "rules/a.yaml",
        &rule(&history.database, "items", "items", &history.receiver).replace("    call", "    in_flight: 1\n    call"),
    );
    done(&history.home.run(&["reload"]));
    let mut replay = history.home.start(&[
        "replay-binlog",
        "--rule",
        "items",
        "--from",
        &history.from,
        "--to",
        &history.to,
        "--yes",
    ]);
    history.receiver.wait_for_count(10, DEADLINE).await;
    replay.wait_for_line("3 changes, 3 matched, 0 delivered, 0 dead", DEADLINE);
    replay.interrupt();
    assert_eq!(replay.wait(DEADLINE), 1);
    history.program.wait_for_line("replay of a binlog range ended early", DEADLINE);
    gate.open();
    // The daemon finishes the one that is under way, and takes up another replay.
    let give_up_at = Instant::now() + DEADLINE;
    loop {
        let finished = history.replay(&["--yes"]);
        if finished.code == 0 {
            break;
        }
        assert!(finished.stderr.contains("one at a time"), "{finished:?}");
        assert!(Instant::now() < give_up_at);
    }
    assert_eq!(history.receiver.count(), 9 + 1 + 3, "of the first replay the two others were not called");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binlog_range_named_by_gtids_is_those_transactions_and_no_others() {
    let server = MysqlServer::start(&[]);
    let history = History::start(&server).await;
    let executed: Vec<String> = server.rows("SELECT @@GLOBAL.gtid_executed").await;
    let (uuid, last) = executed[0].rsplit_once(":1-").expect("one interval");
    let last: u64 = last.parse().expect("a number");
    // Without the second of the three inserts.
    let (from, to) = (format!("{uuid}:1-{}", last - 3), format!("{uuid}:1-{}:{last}", last - 2));
    let finished = history.home.run(&["replay-binlog", "--rule", "items", "--from", &from, "--to", &to, "--yes"]);
    assert!(done(&finished).ends_with("6 changes, 6 matched, 6 delivered, 0 dead\n"), "{}", finished.stdout);
    let again: HashSet<u32> =
        history.receiver.received()[9..].iter().map(|request| key_and_version(request).0).collect();
    assert_eq!(again, HashSet::from([1, 2, 3, 7, 8, 9]));
}
