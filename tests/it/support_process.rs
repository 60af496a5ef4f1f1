//! The children that tests start end with them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::process::{Folder, POLL_INTERVAL, Process, exit_code};
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
fn a_child_ends_and_a_folder_goes_when_they_are_dropped() {
    let folder = Folder::new("rowhook-test-");
    let path = folder.path().to_owned();
    let child = Process::start(&mut sleeper()).unwrap();
    let id = child.id().to_string();
    assert!(lives(&id) && path.exists());
    drop((child, folder));
    assert!(!lives(&id) && !path.exists());
}

#[test]
fn a_child_that_ended_by_itself_says_how() {
    let mut child = Process::start(Command::new("sh").args(["-c", "exit 7"])).unwrap();
    assert_eq!(child.wait(DEADLINE).map(exit_code), Some(7));
}

/// Plays both parts: this test binary is started once more, to be killed.
#[test]
#[allow(clippy::print_stdout, reason = "how the part that is killed says what it started")]
fn children_and_folders_go_when_we_are_killed() {
    if std::env::var_os("SUPPORT_TEST_IS_KILLED").is_some() {
        let child = Process::start(&mut sleeper()).unwrap();
        let folder = Folder::new("rowhook-test-");
        fs::write(folder.path().join("file"), "text").unwrap();
        println!("\nstarted {} {}", child.id(), folder.path().display());
        thread::sleep(Duration::from_secs(600));
    }
    let mut killed = Home::new(std::env::current_exe().unwrap().to_str().unwrap())
        .with_env("SUPPORT_TEST_IS_KILLED", "yes")
        .start(&["--exact", "support_process::children_and_folders_go_when_we_are_killed", "--nocapture"]);
    let line = killed.wait_for_line("started", DEADLINE);
    let [_, id, folder] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("three words: {line}") };
    assert!(lives(id) && Path::new(folder).exists());
    killed.kill_9();
    wait_until("the child is gone", || !lives(id));
    wait_until("the folder is gone", || !Path::new(folder).exists());
}
