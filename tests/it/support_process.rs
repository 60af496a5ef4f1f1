//! The children that tests start end with them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::process::{POLL_INTERVAL, Process, exit_code};
use crate::support::program::Home;

const DEADLINE: Duration = Duration::from_secs(20);

fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

/// Whether a process of this id is there and not merely waiting to be reaped.
fn lives(id: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let give_up_at = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < give_up_at, "not within {DEADLINE:?}: {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

#[test]
fn a_child_ends_when_it_is_dropped() {
    let child = Process::start(&mut sleeper(), None).unwrap();
    let id = child.id().to_string();
    assert!(lives(&id));
    drop(child);
    assert!(!lives(&id));
}

#[test]
fn a_child_that_ended_is_left_alone_and_its_folder_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Process::start(Command::new("sh").args(["-c", "exit 7"]), Some(folder.path())).unwrap();
    assert_eq!(child.wait(DEADLINE).map(exit_code), Some(7));
    drop(child);
    assert!(folder.path().exists());
}

/// Plays both parts: this test binary is started once more, to be killed.
#[test]
#[allow(clippy::print_stdout, reason = "how the part that is killed says what it started")]
fn a_child_and_its_folder_go_when_we_are_killed() {
    if let Ok(folder) = std::env::var("SUPPORT_TEST_FOLDER") {
        let child = Process::start(&mut sleeper(), Some(Path::new(&folder))).unwrap();
        println!("\nchild:{}", child.id());
        thread::sleep(Duration::from_secs(600));
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    let mut killed = Home::new(std::env::current_exe().unwrap().to_str().unwrap())
        .with_env("SUPPORT_TEST_FOLDER", folder.path().to_str().unwrap())
        .start(&["--exact", "support_process::a_child_and_its_folder_go_when_we_are_killed", "--nocapture"]);
    let line = killed.wait_for_line("child:", DEADLINE);
    let id = line.split_once(':').unwrap().1;
    assert!(lives(id));
    killed.kill_9();
    wait_until("the child is gone", || !lives(id));
    wait_until("the folder is gone", || !folder.path().exists());
}
