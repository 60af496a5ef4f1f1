//! Running a program: a shell stands for it.

use std::time::Duration;

use crate::support::program::Home;

const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn a_command_leaves_its_exit_code_and_both_streams() {
    let home = Home::new("/bin/sh").with_env("GREETING", "hello").with_rule("a.yaml", "rule");
    let finished = home.run(&["-c", "echo $GREETING; cat rules/a.yaml >&2; exit 3"]);
    assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (3, "hello\n", "rule\n"));
}

#[test]
fn a_line_is_awaited_only_in_the_current_run() {
    let script = "echo run $(cat n); echo again >n; echo ready; exec sleep 600";
    let mut program = Home::new("/bin/sh").start(&["-c", script]);
    program.wait_for_line("ready", DEADLINE);
    assert_eq!(program.wait_for_line("run", DEADLINE), "run");
    program.kill_9();
    program.restart();
    assert_eq!(program.wait_for_line("run", DEADLINE), "run again");
}

#[test]
#[should_panic(expected = "the program has ended: no line with \"later\"")]
fn waiting_for_a_line_ends_with_the_program() {
    Home::new("/bin/sh").start(&["-c", "echo now"]).wait_for_line("later", DEADLINE);
}

#[test]
fn signals_reach_the_program_and_a_signal_is_an_exit_code() {
    let trap = "trap 'echo term; exit 4' TERM; echo ready; while :; do sleep 0.02; done";
    let mut program = Home::new("/bin/sh").start(&["-c", trap]);
    program.wait_for_line("ready", DEADLINE);
    assert!(program.rss_kib() > 100 && !program.has_ended());
    program.terminate();
    assert_eq!(program.wait(DEADLINE), 4);
    assert!(program.has_ended());
    assert_eq!(program.lines(), ["ready", "term"]);

    program.restart();
    program.wait_for_line("ready", DEADLINE);
    program.interrupt();
    assert_eq!(program.wait(DEADLINE), 130);
}
