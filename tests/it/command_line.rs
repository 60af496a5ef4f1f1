//! What the program says when it cannot do what was asked: one line, with the remedy, and the right exit code.

use std::net::TcpListener;

use rowhook::store::Store;

use crate::letters::{Letter, fill};
use crate::support::program::{Finished, Home};

/// No process listens on port 1; no test gets as far as connecting.
const MYSQL: &str = "mysql://rowhook:s3cret@127.0.0.1:1";

const RULE: &str = "table: shop.orders\nrules:\n  - name: order-paid\n    call: {url: \"http://127.0.0.1:1/orders\"}\n";

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook"))
}

/// The exit code, and a single line on stderr that contains all of `parts`.
#[track_caller]
fn complained(finished: &Finished, code: i32, parts: &[&str]) {
    assert_eq!(finished.code, code, "{finished:?}");
    assert!(finished.stderr.starts_with("rowhook: error: "), "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(!finished.stderr.contains("s3cret"), "{}", finished.stderr);
    for part in parts {
        assert!(finished.stderr.contains(part), "{part:?} is missing in {}", finished.stderr);
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let home = home().with_rule("a.yaml", RULE);
    for args in [
        vec!["dead-letters", "replay"],
        vec!["dead-letters", "replay", "1", "--all"],
        vec!["dead-letters", "list", "--reason", "bad-luck"],
        vec!["dead-letters", "list", "--limit", "0"],
        vec!["run", "--nonsense"],
        vec!["tail", "--mysql", MYSQL, "--count", "0"],
        vec!["tail", "--mysql", MYSQL, "--table", "orders"],
        vec!["preview", "--mysql", MYSQL, "--row", "id=1", "status=paid"],
        vec!["preview", "--mysql", MYSQL, "--row", "id=1", "--delete", "--set", "status=paid"],
        vec!["retry"],
        vec![],
    ] {
        let finished = home.run(&args);
        assert_eq!((finished.code, finished.stdout.as_str()), (2, ""), "{args:?}: {finished:?}");
    }
    complained(&home.run(&["run"]), 2, &["--mysql", "ROWHOOK_MYSQL"]);
    complained(&home.run(&["run", "--mysql", MYSQL, "--start", "noon"]), 2, &["--start noon", "earliest"]);
    complained(&home.run(&["tail"]), 2, &["--mysql", "ROWHOOK_MYSQL"]);
    complained(&home.run(&["tail", "--mysql", MYSQL, "--from", "noon"]), 2, &["--from noon", "earliest"]);
    complained(&home.run(&["run", "--mysql", MYSQL, "--admin", "0.0.0.0:8055"]), 2, &["--admin-token-file"]);
    complained(&home.run(&["run", "--mysql", "postgres://u:s3cret@h"]), 2, &["mysql://user:password@host:3306"]);
    complained(&home.run(&["check", "--offline", "--log", "=/="]), 2, &["--log"]);
    assert!(!home.path("data").exists(), "nothing was begun");
}

#[test]
fn no_option_of_a_preview_is_left_unused() {
    let home = home().with_rule("a.yaml", RULE);
    let of_row = [&["--set", "status=paid"][..], &["--delete"], &["--table", "shop.orders"]];
    for place in [&["--event", "e.json"][..], &["--from", "earliest"], &["--count", "2"]] {
        for option in of_row.into_iter().chain([&["--row", "id=1"][..]]) {
            let finished = home.run(&[&["preview", "--mysql", MYSQL], place, option].concat());
            assert_eq!((finished.code, finished.stdout.as_str()), (2, ""), "{place:?} {option:?}: {finished:?}");
            assert!(finished.stderr.contains("cannot be used with"), "{place:?} {option:?}: {finished:?}");
        }
    }
    for option in of_row {
        assert_eq!(home.run(&[&["preview", "--mysql", MYSQL], option].concat()).code, 2, "{option:?}");
    }
    let both = home.run(&["preview", "--mysql", MYSQL, "--event", "e.json", "--from", "earliest"]);
    assert_eq!(both.code, 2, "{both:?}");
    // The name of a rule may stand behind the row.
    let named = home.run(&["preview", "--mysql", MYSQL, "--row", "id=1", "--row", "status=paid", "order-payd"]);
    complained(&named, 1, &["no rule is named order-payd"]);
}

#[test]
fn a_file_with_an_event_that_is_not_there_is_said_to_be_so() {
    let finished = home().with_rule("a.yaml", RULE).run(&["preview", "--mysql", MYSQL, "--event", "none.json"]);
    complained(&finished, 1, &["--event none.json can't be read: No such file", "as `rowhook tail` prints it"]);
}

#[test]
fn settings_come_from_the_file_too_and_misspelt_ones_are_refused() {
    let home = home().with_rule("a.yaml", RULE);
    home.write("rowhook.yaml", "rulez: elsewhere\n");
    complained(&home.run(&["check", "--offline"]), 2, &["rowhook.yaml", "rulez"]);
    home.write("rowhook.yaml", "mysql: mysql://u:s3cret@h\nrules: [1\n");
    complained(&home.run(&["check", "--offline"]), 2, &["rowhook.yaml"]);
    home.write("rowhook.yaml", "rules: elsewhere\n");
    assert_eq!(home.run(&["check", "--offline"]).code, 1);
    assert_eq!(home.run(&["check", "--offline", "--rules", "rules"]).code, 0);
}

#[test]
fn check_offline_reports_all_problems_of_all_rule_files_with_their_places() {
    let home = home().with_rule("a.yaml", RULE).with_rule("b.yaml", &RULE.replace("name: order-paid", "nam: x"));
    let home = home.with_rule("c.yaml", &RULE.replace("shop.orders", "orders"));
    let finished = home.run(&["check", "--offline"]);
    assert_eq!(finished.code, 1, "{finished:?}");
    for part in ["problem  rules/b.yaml:3:", "problem  rules/c.yaml:1:", "problems, 0 warnings\n"] {
        assert!(finished.stdout.contains(part), "{part:?} is missing in\n{}", finished.stdout);
    }
    let finished = home.run(&["check", "--offline", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert!(report["findings"].as_array().unwrap().iter().all(|finding| finding["level"] == "problem"));

    let finished = home.run(&["run", "--mysql", MYSQL]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stderr.contains("rules/b.yaml:3:"), "{}", finished.stderr);
    assert!(!home.path("data").exists(), "nothing was begun");
}

#[test]
fn check_offline_of_valid_rules_finds_no_problem() {
    let finished = home().with_rule("a.yaml", RULE).run(&["check", "--offline"]);
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (0, "ok       1 rule in rules\nall is well\n"),
        "{finished:?}"
    );
}

#[test]
fn check_says_that_mysql_cannot_be_reached() {
    let finished = home().with_rule("a.yaml", RULE).run(&["check", "--mysql", MYSQL]);
    assert_eq!(finished.code, 1, "{finished:?}");
    assert!(finished.stdout.contains("problem  cannot connect to mysql at 127.0.0.1:1"), "{}", finished.stdout);
    assert!(!finished.stdout.contains("s3cret"), "{}", finished.stdout);
}

#[test]
fn tail_says_that_mysql_cannot_be_reached_and_that_rules_are_faulty() {
    let home = home().with_rule("a.yaml", RULE);
    complained(&home.run(&["tail", "--mysql", MYSQL]), 1, &["cannot connect to mysql at 127.0.0.1:1"]);
    let home = home.with_rule("a.yaml", "table: [");
    assert_eq!(home.run(&["tail", "--mysql", MYSQL]).code, 1);
    complained(&home.run(&["tail", "--raw", "--table", "a.b", "--mysql", MYSQL]), 1, &["cannot connect"]);
    assert!(!home.path("data").exists(), "nothing was begun");
}

#[test]
fn commands_that_only_read_make_no_data_directory() {
    let home = home();
    complained(&home.run(&["dead-letters", "list"]), 1, &["data directory data", "--data"]);
    assert!(!home.path("data").exists());
    std::fs::create_dir(home.path("other")).unwrap();
    complained(&home.run(&["dead-letters", "list", "--data", "other"]), 1, &["other", "--data"]);
    assert_eq!(std::fs::read_dir(home.path("other")).unwrap().count(), 0);
    home.write("other/notes.txt", "not a store\n");
    for args in [&["dead-letters", "list"], &["status", "--json"]] {
        let finished = home.run(&[args.as_slice(), &["--data", "other"]].concat());
        complained(&finished, 1, &["other", "no store", "--data"]);
    }
    assert_eq!(std::fs::read_dir(home.path("other")).unwrap().count(), 1);
}

#[test]
fn status_of_a_store_says_first_that_nothing_runs() {
    let home = home().with_rule("a.yaml", RULE);
    fill(&home, &[Letter::of("order-paid", 1), Letter::of("order-paid", 2)]);
    let finished = home.run(&["status"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (1, ""), "{finished:?}");
    assert!(finished.stdout.starts_with("not running"), "{}", finished.stdout);
    assert!(finished.stdout.contains("2 dead letters"), "{}", finished.stdout);
    let finished = home.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((status["running"].as_bool(), status["position"].is_null()), (Some(false), true));
    assert_eq!((&status["rules"][0]["rule"], &status["rules"][0]["dead_letters"]), (&"order-paid".into(), &2.into()));
}

#[test]
fn what_only_a_daemon_can_do_says_that_none_runs() {
    let home = home().with_rule("a.yaml", RULE);
    fill(&home, &[]);
    complained(&home.run(&["reload"]), 1, &["no rowhook runs on data directory data", "--data"]);
    complained(&home.run(&["resume", "order-paid", "--from", "latest"]), 1, &["no rowhook runs"]);
    complained(&home.run(&["pause", "order-paid"]), 1, &["no rule is named order-paid"]);
    complained(&home.run(&["resume", "order-paid", "--from", "noon"]), 2, &["--from noon", "earliest"]);
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let home = home().with_rule("a.yaml", RULE);
    fill(&home, &[]);
    home.write("data/format", "rowhook store format 99\n");
    complained(&home.run(&["dead-letters", "list"]), 1, &["format 99", "newer rowhook"]);
    complained(&home.run(&["run", "--mysql", MYSQL]), 1, &["format 99"]);
}

#[test]
fn a_second_process_on_the_data_directory_gets_an_error_that_names_the_first() {
    let home = home().with_rule("a.yaml", RULE);
    let store = Store::open(&home.path("data")).unwrap();
    let pid = format!("process {}", std::process::id());
    complained(&home.run(&["run", "--mysql", MYSQL, "--admin", "off"]), 1, &["in use", &pid]);
    complained(&home.run(&["dead-letters", "list"]), 1, &["in use", &pid]);
    drop(store);
    assert_eq!(home.run(&["dead-letters", "list"]).code, 0);
}

#[test]
fn a_taken_admin_port_is_named_and_nothing_is_left_half_started() {
    let home = home().with_rule("a.yaml", RULE);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    complained(&home.run(&["run", "--mysql", MYSQL, "--admin", &address]), 1, &[&address, "--admin"]);
    assert!(!home.path("data/control.sock").exists());
    fill(&home, &[Letter::of("order-paid", 1)]);
    assert_eq!(home.run(&["dead-letters", "show", "1"]).code, 0);
}

#[test]
fn an_admin_token_that_can_be_guessed_is_refused() {
    let home = home().with_rule("a.yaml", RULE);
    home.write("token", "short\n");
    let finished = home.run(&["run", "--mysql", MYSQL, "--admin", "0.0.0.0:0", "--admin-token-file", "token"]);
    complained(&finished, 1, &["admin token file token", "16"]);
}

#[test]
fn completions_are_printed_for_a_shell_and_know_commands_and_rules() {
    let home = home().with_rule("a.yaml", RULE);
    let finished = home.run(&["completions", "bash"]);
    assert_eq!(finished.code, 0);
    assert!(finished.stdout.contains("ROWHOOK_COMPLETE=\"bash\""), "{}", finished.stdout);
    assert_eq!(home.run(&["completions", "tcsh"]).code, 2);

    let completed = |words: &[&str]| {
        let last = (words.len() - 1).to_string();
        let home = home.clone().with_env("ROWHOOK_COMPLETE", "bash").with_env("_CLAP_COMPLETE_INDEX", &last);
        let finished = home.run(&[&["--"], words].concat());
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{finished:?}");
        finished.stdout.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["rowhook", "dead-l"]), ["dead-letters"]);
    for words in [
        &["rowhook", "pause", ""][..],
        &["rowhook", "preview", "order"],
        &["rowhook", "dead-letters", "replay", "--rule", ""],
        &["rowhook", "replay-binlog", "--rule", "order-p"],
    ] {
        assert!(completed(words).iter().any(|word| word == "order-paid"), "{words:?}: {:?}", completed(words));
    }
    // Faulty rule files propose nothing, and say nothing into the line that is being typed.
    home.write("rules/b.yaml", "table: [");
    assert!(!completed(&["rowhook", "pause", ""]).iter().any(|word| word == "order-paid"));
}

#[test]
fn manual_pages_are_those_of_the_help() {
    let home = home();
    let page = home.run(&["man"]);
    assert!(page.code == 0 && page.stdout.contains(".TH rowhook 1"), "{page:?}");
    assert_eq!(home.run(&["man", "--output", "man1"]).code, 0);
    let read = |name: &str| std::fs::read_to_string(home.path("man1").join(name)).expect(name);
    assert!(read("rowhook.1").contains("rowhook\\-dead\\-letters(1)"), "{}", read("rowhook.1"));
    assert!(read("rowhook-status.1").contains("\\-\\-alive"), "{}", read("rowhook-status.1"));
    assert!(read("rowhook-dead-letters-replay.1").contains("\\-\\-dry\\-run"));
}

#[test]
fn a_json_schema_is_printed_for_each_kind_of_file() {
    for (args, key) in [
        (&["schema"][..], "rules"),
        (&["schema", "rules"], "table"),
        (&["schema", "targets"], "targets"),
        (&["schema", "settings"], "mysql"),
    ] {
        let schema: serde_json::Value = serde_json::from_str(&home().run(args).stdout).unwrap();
        assert!(schema["properties"][key]["description"].is_string(), "{args:?}: {schema}");
    }
}

#[test]
fn a_wrong_value_is_named_with_the_place_that_it_comes_from() {
    let run = |name: &str, value: &str, file: &str, args: &[&str]| {
        let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_env(name, value);
        home.write("rowhook.yaml", file);
        let finished = home.run(&[&["run", "--mysql", "mysql://a@127.0.0.1:1"], args].concat());
        assert_eq!(finished.code, 2, "{finished:?}");
        finished.stderr
    };
    let range = ": expected a number from 1 to 65536\n";
    assert_eq!(run("NOTHING", "1", "window: 0\n", &["--window=0"]), format!("rowhook: error: --window 0{range}"));
    assert_eq!(run("ROWHOOK_WINDOW", "0", "window: 5\n", &[]), format!("rowhook: error: ROWHOOK_WINDOW=0{range}"));
    assert_eq!(
        run("NOTHING", "1", "# sizes\ndata: data\nwindow: 0\n", &[]),
        format!("rowhook: error: rowhook.yaml:3: `window: 0`{range}")
    );
    for file in ["\"window\": 0\n", "'window' : 0\n"] {
        assert_eq!(
            run("NOTHING", "1", file, &[]),
            format!("rowhook: error: rowhook.yaml:1: `window: 0`{range}"),
            "{file}"
        );
    }
    let in_one_line = run("NOTHING", "1", "{data: data, window: 0}\n", &[]);
    assert_eq!(in_one_line, format!("rowhook: error: rowhook.yaml: `window: 0`{range}"));
    let said = run("NOTHING", "1", "write_url: postgres://db\n", &[]);
    assert!(said.starts_with("rowhook: error: rowhook.yaml:1: `write_url: ***`: mysql setting `url`: "), "{said}");
    let said = run("NOTHING", "1", "mysql://user:secret@127.0.0.1: 3\n", &[]);
    assert!(said.contains("unknown key `***`") && !said.contains("secret"), "{said}");
    let said = run(
        "NOTHING",
        "1",
        "journal: {max: 1 MiB}\nalerts:\n  - name: a\n    call: {url: 'http://a.test/', body: {max: 5}}\n",
        &[],
    );
    assert!(said.starts_with("rowhook: error: rowhook.yaml:1: `journal.max: 1 MiB`"), "{said}");
    let said = run("NOTHING", "1", "journal:\n  keep: 7d\n  max: 1 MiB\n", &[]);
    assert!(said.starts_with("rowhook: error: rowhook.yaml:3: `journal.max: 1 MiB`: expected a size"), "{said}");
    let said = run("ROWHOOK_WINDOW", "many", "", &[]);
    assert!(said.contains("invalid value 'many' for '--window <NUMBER>'"), "{said}");
    assert!(said.ends_with("rowhook: the value is that of the variable ROWHOOK_WINDOW\n"), "{said}");
    let said = run("ROWHOOK_MYSQL_USER", "b", "", &[]);
    assert!(said.ends_with("the URL and --mysql-user name two; take one away (in ROWHOOK_MYSQL_USER)\n"), "{said}");
}
