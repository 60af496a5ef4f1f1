//! Child processes and folders that never outlive us, and free ports.
//!
//! In: a command. Out: the running child, ended by its own process id at `Drop`; and temporary folders, removed at `Drop`.
//! Statics are not dropped, and `kill -9` gives no notice, so each gets a watchdog beside it: a shell that has the
//! reading end of a pipe. When we end, in whatever way, the pipe closes and the watchdog kills the child or removes the
//! folder. All run in process groups of their own, so that Ctrl-C in a terminal reaches us alone and we decide what ends
//! when.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How often a condition that no event announces is looked at again.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A line on stdin means that all was done in good order.
const WATCH: &str = "trap '' HUP INT QUIT TERM; read -r released && exit; ";
const KILL: &str = r#"kill -9 "$1""#;
/// Twice, because a process that is being killed may have made a file meanwhile.
const REMOVE: &str = r#"rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }"#;

/// A child process and its watchdog.
pub struct Process {
    child: Child,
    watchdog: Option<Watchdog>,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`. If we end before the child does, it is killed.
    pub fn start(command: &mut Command) -> io::Result<Process> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let watchdog = Watchdog::start(KILL, child.id().to_string().as_ref());
        Ok(Process { child, watchdog: Some(watchdog), ended: None })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the child printed, when it was started with `Stdio::piped()`; can be taken once.
    pub fn take_output(&mut self) -> (Option<std::process::ChildStdout>, Option<std::process::ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Sends a signal, unless the child is known to have ended.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let pid = Pid::from_raw(self.child.id() as i32).expect("a process id is not zero");
            // A child that has ended and was not waited for still takes signals, so an error is a defect of ours.
            kill_process(pid, signal).expect("signalling a child of our own");
        }
    }

    /// SIGKILL, and waits until the child is gone.
    pub fn kill_9(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::KILL);
            let status = self.child.wait().expect("waiting for a child of our own");
            self.release(status);
        }
    }

    /// How the child ended, or `None` while it runs.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait().expect("waiting for a child of our own")
        {
            self.release(status);
        }
        self.ended
    }

    /// Waits until the child ends, at most `deadline`; `None`: it still runs.
    pub fn wait(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let give_up_at = Instant::now() + deadline;
        loop {
            let status = self.try_wait();
            if status.is_some() || Instant::now() >= give_up_at {
                return status;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// The process id may now belong to another process: the watchdog must not use it any more.
    fn release(&mut self, status: ExitStatus) {
        self.ended = Some(status);
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.release();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
    }
}

/// A temporary folder with a short path.
pub struct Folder {
    folder: Option<TempDir>,
    watchdog: Option<Watchdog>,
}

impl Folder {
    pub fn new(prefix: &str) -> Folder {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir().expect("making a temporary folder");
        let watchdog = Watchdog::start(REMOVE, folder.path().as_ref());
        Folder { folder: Some(folder), watchdog: Some(watchdog) }
    }

    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("there until drop").path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // In this order, so that the folder has an owner at any time.
        let removed = self.folder.take().expect("there until drop").close();
        if removed.is_ok() {
            self.watchdog.take().expect("there until drop").release();
        }
    }
}

/// A shell that acts when its pipe closes.
struct Watchdog(Child);

impl Watchdog {
    fn start(act: &str, on: &OsStr) -> Watchdog {
        let shell = Command::new("sh")
            .args(["-c", &format!("{WATCH}{act}"), "watchdog"])
            .arg(on)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Watchdog(shell.expect("a shell can be started"))
    }

    fn release(mut self) {
        let mut pipe = self.0.stdin.take().expect("started with a pipe");
        // When it has ended already, it needs no message.
        pipe.write_all(b"released\n").ok();
        drop(pipe);
        self.0.wait().expect("waiting for a child of our own");
    }
}

/// The exit code as a shell says it: 128 and the signal's number for a process that a signal ended.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).expect("a process ends by exit or by signal")
}

/// A port on 127.0.0.1 on which no process listens. Another process may take it before it is used: be ready to try another.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the system has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
