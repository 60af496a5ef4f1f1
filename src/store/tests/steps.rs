//! kill -9 and a full disk at every step: each system call with which opening, a backup, a restore and a compaction change files.
//!
//! By default some steps of each are taken, spread over all; with `ROWHOOK_STEPS=all` every one.

mod traced;

use std::process::Stdio;

use self::traced::{Fault, Traced};
use super::crash::{check_after_kill, child_command, child_directory, log_as_acknowledged, numbered_write};
use super::opening::snapshots;
use super::*;

const NAME: &str = "steps::a_store_keeps_what_was_answered_if_it_is_killed_at_any_step_of_an_operation";

/// Set in the child: what it does.
const WORK: &str = "ROWHOOK_TEST_WORK";

/// Steps of each work that are taken by default.
const STEPS_TAKEN: u64 = 8;

/// Enough for a value of several transactions, and for one that was removed.
const WRITTEN: u64 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Open,
    /// Of a store whose newest snapshot is damaged.
    Repair,
    Backup,
    Restore,
    Compact,
    AcceptLoss,
}

impl Work {
    const ALL: [Work; 6] = [Work::Open, Work::Repair, Work::Backup, Work::Restore, Work::Compact, Work::AcceptLoss];

    /// In the child.
    fn carry_out(self, data: &Path, runtime: &tokio::runtime::Runtime) -> Result<(), Error> {
        let backup = backup_path(data);
        match self {
            Work::Open | Work::Repair => Store::open(data).map(drop),
            Work::Backup => {
                let store = Store::open(data)?;
                runtime.block_on(store.backup(backup.with_extension("new"))).map(drop)
            }
            Work::Restore => Store::restore(data, &backup).map(drop),
            Work::Compact => Store::compact(data).map(drop),
            Work::AcceptLoss => Store::accept_loss(data).map(drop),
        }
    }
}

fn backup_path(data: &Path) -> PathBuf {
    data.with_extension("backup")
}

/// The child's part: an error is right on a full disk, if it says so.
fn work_in_child(data: &Path) {
    // Until the parent watches.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("the end of the input");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let name = std::env::var(WORK).expect("what to do");
    let work = Work::ALL.into_iter().find(|work| format!("{work:?}") == name).expect("one that is known");
    if let Err(error) = work.carry_out(data, &runtime) {
        let text = format!("{error}");
        assert!(text.contains("disk is full") || text.contains("No space left"), "{text}");
    }
}

/// A store with some writes, of which `before` is copied for each try.
async fn prepare(before: &Path, work: Work) {
    let data = before.join("data");
    for n in 1..=WRITTEN {
        let store = open(&data);
        store.write(numbered_write(n)).await.expect("written");
    }
    let store = open(&data);
    store.backup(backup_path(&data)).await.expect("made");
    drop(store);
    log_as_acknowledged(&data, WRITTEN);
    if work == Work::Repair {
        damage_newest_snapshot(&data);
    }
}

fn damage_newest_snapshot(data: &Path) {
    let newest = snapshots(data).into_iter().max().expect("a snapshot");
    let mut bytes = fs::read(&newest).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).expect("damaged");
}

/// One run on a copy of what was prepared.
fn try_at(before: &Path, work: Work, fault: Option<(Fault, u64)>) -> Traced {
    let parent = directory();
    let copied = std::process::Command::new("cp").arg("-a").arg(before).arg(parent.path()).status().expect("cp runs");
    assert!(copied.success());
    let folder = parent.path().join(before.file_name().expect("a name"));
    let data = folder.join("data");
    let mut command = child_command(NAME, &data, &[(WORK, format!("{work:?}"))]);
    command.stderr(Stdio::null());
    let traced = traced::run(command, &folder, fault);
    // sled writes by its own clock besides, so another run may make fewer steps.
    let is_killed = matches!(fault, Some((Fault::Killed, at)) if at <= traced.steps);
    let expected = if is_killed { None } else { Some(0) };
    assert_eq!(traced.code, expected, "{work:?}, {fault:?}: how the child ended");
    assert_eq!(check_after_kill(&data), WRITTEN, "{work:?}, {fault:?}");
    let made = backup_path(&data).with_extension("new");
    if made.exists() {
        let elsewhere = parent.path().join("data");
        Store::restore(&elsewhere, &made).expect("a backup that has its name is whole");
    }
    traced
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are for the person who asked for them")]
async fn a_store_keeps_what_was_answered_if_it_is_killed_at_any_step_of_an_operation() {
    if let Some(data) = child_directory() {
        std::thread::spawn(move || work_in_child(&data)).join().expect("done");
        return;
    }
    let takes_all = std::env::var("ROWHOOK_STEPS").is_ok_and(|steps| steps == "all");
    for work in Work::ALL {
        let parent = directory();
        let before = parent.path().join("before");
        fs::create_dir(&before).expect("made");
        prepare(&before, work).await;
        let Traced { steps, .. } = try_at(&before, work, None);
        let taken = if takes_all { steps } else { STEPS_TAKEN.min(steps) };
        let (mut tried, mut refused) = (0, 0);
        for nth in 0..taken {
            for fault in [Fault::Killed, Fault::Full] {
                refused += try_at(&before, work, Some((fault, 1 + nth * steps / taken))).refused;
                tried += 1;
            }
        }
        println!("{work:?}: {steps} steps, {tried} tries, {refused} steps found no room");
        assert!(steps > STEPS_TAKEN && refused > 0, "{work:?} changes files and takes room");
    }
}
