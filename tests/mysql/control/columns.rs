//! Columns and tables that rules name and the server does not have: a start and a reload are refused, a rule whose column is
//! dropped while it runs is paused at that place in the binlog, and its rows become no dead letters.

use std::collections::BTreeSet;

use super::*;
use crate::support::receiver::Gate;

/// A rule that sends the column `note`.
fn noting(table: &str, name: &str, receiver: &Receiver) -> String {
    sending(table, name, receiver, "{id: \"{{ row.id }}\", note: \"{{ row.note }}\"}")
}

/// A rule that sends this body.
fn sending(table: &str, name: &str, receiver: &Receiver, body: &str) -> String {
    let call = format!("{{url: \"{}\", timeout: 2m, body: {body}}}", receiver.url("/"));
    format!("table: {table}\nrules:\n  - name: {name}\n    call: {call}\n")
}

/// A table with a column `note` in a database of its own.
async fn notes(server: &MysqlServer, name: &str) -> String {
    let database = server.fresh_database().await;
    let table = format!("{database}.{name}");
    server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, note VARCHAR(9))")).await;
    table
}

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    ids_of(&receiver.received())
}

fn ids_of(requests: &[Arc<Request>]) -> BTreeSet<String> {
    requests.iter().map(|request| request.json()["id"].to_string().replace('"', "")).collect()
}

fn numbers(numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

/// Starts, and expects to be refused with one line that holds these parts.
#[track_caller]
fn refused(home: &Home, server: &MysqlServer, args: &[&str], parts: &[&str]) {
    let url = server.root_url();
    let finished = home.run(&[&["run", "--mysql", &url], args].concat());
    assert_eq!(finished.code, 1, "{finished:?}");
    let said: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("rowhook: error:")).collect();
    assert!(matches!(&said[..], [line] if parts.iter().all(|part| line.contains(part))), "{parts:?}\n{finished:?}");
}

#[track_caller]
fn paused_for_want_of(home: &Home, rule: &str, column: &str) -> Value {
    let is_paused = |status: &Value| of_rule(status, rule)["state"] == "paused";
    let status = wait_for_status(home, is_paused);
    let why = of_rule(&status, rule)["why"].to_string();
    assert!(why.contains(&format!("has no column `{column}`")) && why.contains("in rows from binlog."), "{why}");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_column_or_a_table_that_is_not_there_is_refused_before_anything_is_read() {
    let server = MysqlServer::shared();
    let table = notes(server, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let sound = noting(&table, "notes", &receiver);
    let home = home().with_rule("a.yaml", &sound.replace("row.note", "row.nota"));
    refused(&home, server, &[], &["rules/a.yaml:4:", "has no column `nota`; did you mean `note`?"]);
    home.write("rules/a.yaml", &sound.replace("row.note", "row.colour"));
    refused(
        &home,
        server,
        &[],
        &["rules/a.yaml:4:", "has no column `colour`; fix: correct the name, or add the column"],
    );
    // Nothing was taken note of: the same files are refused again.
    refused(&home, server, &["--allow-missing-table"], &["has no column `colour`"]);
    let elsewhere = table.replace(".items", ".itemz");
    home.write("rules/a.yaml", &noting(&elsewhere, "notes", &receiver));
    refused(&home, server, &[], &["rules/a.yaml:1:8: there is no table", "did you mean `items`?"]);

    let mut program = run(&home, server, &["--allow-missing-table"]);
    program.wait_for_line("there is no table", DEADLINE);
    server.query(&format!("CREATE TABLE {elsewhere} (id INT PRIMARY KEY, note VARCHAR(9))")).await;
    server.query(&format!("INSERT INTO {elsewhere} VALUES (1, 'a')")).await;
    receiver.wait_for_count(1, DEADLINE).await;
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    // It worked with that table before; that it is gone since keeps the other rules from nothing.
    server.query(&format!("DROP TABLE {elsewhere}")).await;
    let home = home.with_rule("b.yaml", &noting(&table, "others", &receiver));
    let program = run(&home, server, &[]);
    program.wait_for_line("there is no table", DEADLINE);
    server.query(&format!("INSERT INTO {table} VALUES (2, 'b')")).await;
    receiver.wait_for_count(2, DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_unavailable_at_the_start_is_awaited_and_then_checked() {
    let mut server = MysqlServer::start(&[]);
    let table = notes(&server, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let home = home().with_rule("a.yaml", &noting(&table, "notes", &receiver).replace("row.note", "row.colour"));
    server.kill_9();
    let mut program = home.start(&["run", "--mysql", &server.root_url()]);
    program.wait_for_line("connection to mysql failed; trying again", DEADLINE);
    server.restart(&[]);
    program.wait_for_line("has no column `colour`", DEADLINE);
    assert_eq!(program.wait(DEADLINE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_a_column_or_a_table_that_is_not_there_changes_nothing() {
    let server = MysqlServer::shared();
    let table = notes(server, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let sound = noting(&table, "notes", &receiver);
    let home = home().with_rule("a.yaml", &sound);
    let program = run(&home, server, &["--no-watch"]);
    for (row, (text, part)) in [
        (sound.replace("row.note", "row.nota"), "rules/a.yaml:4:"),
        (sound.replace("    call", "    changed: [id, colour]\n    call"), "rules/a.yaml:4:19: table"),
        (sound.replace("    call", "    order_by: [colour]\n    call"), "has no column `colour`"),
        (sound.replace("    call", "    redact: [colour]\n    call"), "has no column `colour`"),
        (sound.replace(".items", ".itemz"), "rules/a.yaml:1:8: there is no table"),
    ]
    .into_iter()
    .enumerate()
    {
        home.write("rules/a.yaml", &text);
        let finished = home.run(&["reload"]);
        assert!(finished.code == 1 && finished.stderr.contains(part), "{text}\n{finished:?}");
        let problems = status(&home)["rule_files"]["problems"].to_string();
        assert!(problems.contains(part), "{problems}");
        server.query(&format!("INSERT INTO {table} VALUES ({row}, 'x')")).await;
        receiver.wait_for_count(row + 1, DEADLINE).await;
    }
    home.write("rules/a.yaml", &sound.replace("row.note }}", "row.id }}"));
    assert_eq!(done(&home.run(&["reload"])), "changed  notes\n0 rules unchanged\n");
    program.wait_for_line("rules reloaded", DEADLINE);
}

/// What differs from server to server.
const SERVERS: [&[&str]; 3] = [
    &["--binlog-row-metadata=FULL", "--binlog-row-image=MINIMAL"],
    &["--binlog-row-metadata=MINIMAL", "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"],
    &["--binlog-row-metadata=MINIMAL", "--binlog-row-image=FULL"],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_dropped_pauses_its_rule_there_and_older_rows_go_out() {
    for options in SERVERS {
        dropped_while_it_runs(&MysqlServer::start(options)).await;
    }
}

async fn dropped_while_it_runs(server: &MysqlServer) {
    let table = notes(server, "items").await;
    let gate = Gate::closed();
    let older = gate.clone();
    let noted = Receiver::start(move |request| match request.attempt {
        1 => Answer::ok().delayed_by(&older),
        _ => Answer::ok(),
    });
    let plain = Receiver::start(|_| Answer::ok());
    let home = home()
        .with_rule("a.yaml", &noting(&table, "noted", &noted))
        .with_rule("b.yaml", &sending(&table, "plain", &plain, "{id: \"{{ row.id }}\"}"));
    let mut program = run(&home, server, &["--no-watch"]);
    server.query(&format!("INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c')")).await;
    noted.wait_for_count(3, DEADLINE).await;
    server.query(&format!("ALTER TABLE {table} DROP COLUMN note")).await;
    server.query(&format!("INSERT INTO {table} VALUES (4), (5)")).await;
    server.query(&format!("DELETE FROM {table} WHERE id = 2")).await;
    plain.wait_for_count(6, DEADLINE).await;
    let status = paused_for_want_of(&home, "noted", "note");
    assert_eq!((&of_rule(&status, "noted")["unresolved"], &status["dead_letters"]), (&3.into(), &0.into()), "{status}");
    let line = program.wait_for_line("the rule is paused before these rows", DEADLINE);
    assert!(line.contains("ERROR") && line.contains("rowhook resume noted --from latest"), "{line}");
    // An older row is under way in a call that takes its time: it goes out.
    gate.open();
    wait_for_status(&home, |status| of_rule(status, "noted")["unresolved"] == 0);
    assert_eq!(ids(&noted), numbers(1..=3));

    // The same row again: after resuming, after kill -9, after a stop.
    assert_eq!(done(&home.run(&["resume", "noted"])), "noted is resumed: it continues where it stopped\n");
    paused_for_want_of(&home, "noted", "note");
    program.kill_9();
    program.restart();
    program.wait_for_line("the rule is paused before these rows", DEADLINE);
    paused_for_want_of(&home, "noted", "note");
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    program.restart();
    // It is the table that changed, not the rule: that is no reason to refuse the start.
    program.wait_for_line("has no column `note`", DEADLINE);
    server.query(&format!("INSERT INTO {table} VALUES (6)")).await;
    plain.wait_until(|requests| ids_of(requests).contains("6"), DEADLINE).await;
    let status = paused_for_want_of(&home, "noted", "note");
    assert_eq!(status["dead_letters"], 0);
    assert_eq!(ids(&noted), numbers(1..=3));

    home.write("rules/a.yaml", &sending(&table, "noted", &noted, "{id: \"{{ row.id }}\", note: gone}"));
    assert_eq!(done(&home.run(&["reload"])), "changed  noted\n1 rule unchanged\n");
    noted.wait_until(|requests| ids_of(requests) == numbers(1..=6), DEADLINE).await;
    let level = |status: &Value| of_rule(status, "noted")["state"] == "attached";
    let status = wait_for_status(&home, level);
    assert_eq!(status["dead_letters"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_a_rule_that_names_a_column_pauses_it_and_no_other_rule() {
    let server = MysqlServer::shared();
    let table = notes(server, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let url = receiver.url("/");
    let parts = [
        ("when", "when: row.note != 'x'"),
        ("changed", "changed: [note]"),
        ("order", "order_by: [note]"),
        ("redact", "redact: [note]"),
        ("url", "on: update"),
        ("asks", "when: row.note is not defined or row.note != 'x'"),
    ];
    let rules = parts.map(|(name, keys)| {
        let path = if name == "url" { "{{ row.note }}" } else { "x" };
        format!("  - name: {name}\n    {keys}\n    call: {{url: \"{url}{name}/{path}\"}}\n")
    });
    let home = home().with_rule("a.yaml", &format!("table: {table}\nrules:\n{}", rules.concat()));
    let _program = run(&home, server, &["--no-watch"]);
    server.query(&format!("INSERT INTO {table} VALUES (1, 'a'); UPDATE {table} SET note = 'b'")).await;
    // All take both but `url`, which takes updates alone.
    receiver.wait_for_count(11, DEADLINE).await;
    server.query(&format!("ALTER TABLE {table} RENAME COLUMN note TO remark")).await;
    server.query(&format!("UPDATE {table} SET remark = 'c'; UPDATE {table} SET remark = 'd'")).await;
    receiver.wait_for_count(13, DEADLINE).await;
    for (name, _) in parts.iter().filter(|(name, _)| *name != "asks") {
        paused_for_want_of(&home, name, "note");
    }
    assert_eq!(of_rule(&status(&home), "asks")["state"], "attached");
    let last = receiver.received().iter().rev().take(2).map(|request| request.path.clone()).collect::<Vec<_>>();
    assert_eq!(last, ["/asks/x", "/asks/x"]);
    assert_eq!(status(&home)["dead_letters"], 0);
    // With its column back each of them can be told to leave out what came meanwhile.
    server.query(&format!("ALTER TABLE {table} RENAME COLUMN remark TO note")).await;
    for (name, _) in parts.iter().filter(|(name, _)| *name != "asks") {
        done(&home.run(&["resume", name, "--from", "latest"]));
    }
    wait_for_status(&home, |status| parts.iter().all(|(name, _)| of_rule(status, name)["state"] == "attached"));
    server.query(&format!("UPDATE {table} SET note = 'e'")).await;
    receiver.wait_for_count(13 + parts.len(), DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_tables_the_one_that_loses_its_column_or_takes_the_place_of_another_pauses_the_rule() {
    for statements in [
        "ALTER TABLE items_2 DROP COLUMN note",
        "RENAME TABLE items_2 TO former; CREATE TABLE items_2 (id INT PRIMARY KEY)",
        "DROP TABLE items_2; CREATE TABLE items_2 (id INT PRIMARY KEY, remark INT)",
        "CREATE TABLE new_2 (id INT PRIMARY KEY); RENAME TABLE items_2 TO old_2, new_2 TO items_2",
    ] {
        let server = MysqlServer::shared();
        let table = notes(server, "items_1").await;
        let database = table.trim_end_matches(".items_1");
        server.query(&format!("CREATE TABLE {database}.items_2 LIKE {table}")).await;
        let receiver = Receiver::start(|_| Answer::ok());
        let home = home().with_rule("a.yaml", &noting(&format!("{database}.items_*"), "noted", &receiver));
        let _program = run(&home, server, &["--no-watch"]);
        server.query(&format!("INSERT INTO {database}.items_2 VALUES (1, 'a')")).await;
        receiver.wait_for_count(1, DEADLINE).await;
        server.query(&format!("USE {database}; {statements}")).await;
        // Tables that kept it still go out until the first row of the one that did not.
        server.query(&format!("INSERT INTO {table} VALUES (2, 'b')")).await;
        receiver.wait_for_count(2, DEADLINE).await;
        server.query(&format!("INSERT INTO {database}.items_2 (id) VALUES (3)")).await;
        server.query(&format!("INSERT INTO {table} VALUES (4, 'd')")).await;
        let status = paused_for_want_of(&home, "noted", "note");
        assert_eq!((&status["dead_letters"], ids(&receiver)), (&0.into(), numbers(1..=2)), "{statements}");
        let body = "{id: \"{{ row.id }}\", note: \"{{ row.note if row.note is defined else '-' }}\"}";
        home.write("rules/a.yaml", &sending(&format!("{database}.items_*"), "noted", &receiver, body));
        done(&home.run(&["reload"]));
        receiver.wait_until(|requests| ids_of(requests) == numbers(1..=4), DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_behind_a_dropped_column_works_up_to_it_and_a_changed_rule_is_refused() {
    let server = MysqlServer::shared();
    let table = notes(server, "items").await;
    let receiver = Receiver::start(|_| Answer::ok());
    let rule = noting(&table, "noted", &receiver);
    let home = home().with_rule("a.yaml", &rule);
    let mut program = run(&home, server, &[]);
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    server.query(&format!("INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")).await;
    server.query(&format!("ALTER TABLE {table} DROP COLUMN note; INSERT INTO {table} VALUES (3)")).await;
    home.write("rules/a.yaml", &rule.replace("{{ row.note }}", "{{ row.note }} {{ row.colour }}"));
    refused(&home, server, &[], &["rules/a.yaml:4:"]);
    home.write("rules/a.yaml", &rule);
    program.restart();
    receiver.wait_for_count(2, DEADLINE).await;
    paused_for_want_of(&home, "noted", "note");
    assert_eq!(ids(&receiver), numbers(1..=2));
    // Another rule for the column that is gone is a mistake.
    let home = home.with_rule("b.yaml", &noting(&table, "other", &receiver));
    let line = program.wait_for_line("the rules stay as they were", DEADLINE);
    assert!(line.contains("ERROR"), "{line}");
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 0);
    refused(&home, server, &[], &["rules/b.yaml:4:", "has no column `note`"]);
}
