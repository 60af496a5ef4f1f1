//! Files that are named and are no files: a pipe without a writer must delay neither a start nor a reload.

use std::path::Path;
use std::time::Duration;

use crate::support::program::Home;

const DEADLINE: Duration = Duration::from_secs(20);

const WHAT: &str = "it is a pipe (FIFO), not a regular file";

const RULE: &str = "table: shop.orders\nrules:\n  - name: a\n    call: {url: \"http://127.0.0.1:1/\"}\n";

fn make_pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

#[test]
fn a_pipe_in_place_of_any_file_is_refused_by_name() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", RULE).with_env("TOKEN_FILE", "pipe");
    make_pipe(&home.path("pipe"));
    let mysql = ["check", "--mysql", "mysql://u@127.0.0.1:1"];
    let write = [&mysql[..], &["--write-url", "mysql://w:x@127.0.0.1:1"]].concat();
    for (flags, more) in [
        (&["check", "--offline"][..], &["--config"][..]),
        (&mysql, &["--mysql-password-file"]),
        (&mysql, &["--write-url", "mysql://w@127.0.0.1:1", "--write-password-file"]),
        (&write, &["--tls-ca"]),
        (&write, &["--tls-key", "pipe", "--tls-cert"]),
        (&write, &["--mysql-public-key"]),
        (&write, &["--write-public-key"]),
        (&["run", "--mysql", "mysql://u@127.0.0.1:1"], &["--admin-token-file"]),
    ] {
        let finished = home.run(&[flags, more, &["pipe"]].concat());
        let said = finished.stdout + &finished.stderr;
        assert!(finished.code != 0 && said.contains("pipe: ") && said.contains(WHAT), "{more:?}: {said}");
    }
    for (auth, part) in [("bearer: \"{{ env.TOKEN }}\"", "file pipe"), ("bearer: {file: ../pipe}", "/pipe")] {
        home.write("rules/a.yaml", &RULE.replace("/\"}", &format!("/\", auth: {{{auth}}}}}")));
        let checked = home.run(&["check", "--offline"]);
        assert!(checked.code == 1 && checked.stdout.contains(part), "{}", checked.stdout);
        assert!(checked.stdout.contains(WHAT), "{}", checked.stdout);
    }
    // One beside the rule files is no rule file, whatever it is.
    home.write("rules/a.yaml", RULE);
    make_pipe(&home.path("rules/b.yml.txt"));
    assert_eq!(home.run(&["check", "--offline"]).code, 0);
    make_pipe(&home.path("rules/b.yaml"));
    let checked = home.run(&["check", "--offline"]);
    assert!(checked.code == 1 && checked.stdout.contains("b.yaml") && checked.stdout.contains(WHAT), "{checked:?}");
}

#[test]
fn a_pipe_among_the_rules_blocks_no_reload() {
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook")).with_rule("a.yaml", RULE);
    let daemon = home.start(&["run", "--mysql", "mysql://u:x@127.0.0.1:1", "--admin", "off", "--no-watch"]);
    daemon.wait_for_line("starts", DEADLINE);
    make_pipe(&home.path("rules/b.yaml"));
    let reloaded = home.run(&["reload"]);
    assert!(reloaded.code == 1 && reloaded.stderr.contains(WHAT), "{reloaded:?}");
    std::fs::remove_file(home.path("rules/b.yaml")).expect("removed");
    assert_eq!(home.run(&["reload"]).code, 0);
}
