//! The real program, run as an operator would: in a folder of its own, with arguments, environment and rule files.
//!
//! In: the path of the binary (`env!("CARGO_BIN_EXE_rowhook")`), files, arguments. Out: its exit code and what it printed,
//! line by line as it comes. The working directory is a fresh folder, so relative paths such as `rules` and `data` will do;
//! `ROWHOOK_*` variables of the caller's environment are not handed on. A program that still runs at `Drop` is killed, and
//! when the test is panicking what it printed is shown.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::process::{Folder, Process, exit_code};

/// A command that is neither `run` nor follows something is done in a moment; a busy machine makes it some seconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the program runs: its folder, its environment. Clones are the same place.
#[derive(Clone)]
pub struct Home {
    binary: PathBuf,
    folder: Arc<Folder>,
    environment: Vec<(String, String)>,
}

impl Home {
    /// A fresh folder with an empty `rules` in it.
    pub fn new(binary: &str) -> Home {
        let folder = Folder::new("rowhook-home-");
        fs::create_dir(folder.path().join("rules")).expect("making a folder");
        Home { binary: PathBuf::from(binary), folder: Arc::new(folder), environment: Vec::new() }
    }

    /// The program gets this environment variable.
    pub fn with_env(mut self, name: &str, value: &str) -> Home {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a rule file, such as `shop.orders.yaml`.
    pub fn with_rule(self, file: &str, yaml: &str) -> Home {
        self.write(&format!("rules/{file}"), yaml);
        self
    }

    /// Writes any file in the folder, whole: a reader sees the old text or the new.
    pub fn write(&self, path: &str, text: &str) {
        let (path, unfinished) = (self.path(path), self.path(&format!("{path}.unfinished")));
        fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &path)).expect("writing a file of our own");
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Starts the program and returns while it runs.
    pub fn start(&self, args: &[&str]) -> Program {
        let mut program = Program {
            home: self.clone(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            process: None,
            printed: Arc::default(),
            readers: Vec::new(),
        };
        program.launch();
        program
    }

    /// Runs the program to its end, which must come within a minute.
    pub fn run(&self, args: &[&str]) -> Finished {
        self.run_within(COMMAND_TIMEOUT, args)
    }

    /// As `run`, for what takes longer.
    pub fn run_within(&self, deadline: Duration, args: &[&str]) -> Finished {
        let mut program = self.start(args);
        let code = program.wait(deadline);
        Finished { code, stdout: program.text(From::Stdout), stderr: program.text(From::Stderr) }
    }
}

/// What a command that ended left.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The program while it runs, or after.
pub struct Program {
    home: Home,
    args: Vec<String>,
    process: Option<Process>,
    printed: Arc<Printed>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq)]
enum From {
    Stdout,
    Stderr,
}

#[derive(Default)]
struct Printed {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    all: Vec<(From, String)>,
    /// Of `all`, the first line of the present run.
    run_begins_at: usize,
    streams_open: usize,
}

impl Program {
    pub fn home(&self) -> &Home {
        &self.home
    }

    pub fn id(&self) -> u32 {
        self.running().id()
    }

    /// All lines of both streams that this run printed so far, in the order in which they came in.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.printed.lines();
        lines.all[lines.run_begins_at..].iter().map(|(_, line)| line.clone()).collect()
    }

    /// Waits until this run has printed a line that contains `part`, on either stream, and returns the line.
    /// Panics when the output ends without it, and after `deadline`.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str, deadline: Duration) -> String {
        let give_up_at = Instant::now() + deadline;
        let mut lines = self.printed.lines();
        let mut searched = lines.run_begins_at;
        loop {
            if let Some((_, line)) = lines.all[searched..].iter().find(|(_, line)| line.contains(part)) {
                return line.clone();
            }
            searched = lines.all.len();
            let open = lines.streams_open > 0;
            let left = give_up_at.saturating_duration_since(Instant::now());
            if !open || left.is_zero() {
                drop(lines); // is shown at the end of the test, so it must not be poisoned
                panic!("{}: no line with {part:?}", if open { "deadline" } else { "the program has ended" });
            }
            lines = self.printed.more.wait_timeout(lines, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill_9(&mut self) {
        self.process.take().expect("the program runs").kill_9();
        self.join_readers();
    }

    /// SIGTERM; returns at once.
    pub fn terminate(&self) {
        self.running().signal(Signal::TERM);
    }

    /// SIGINT, as by Ctrl-C; returns at once.
    pub fn interrupt(&self) {
        self.running().signal(Signal::INT);
    }

    /// SIGHUP; returns at once.
    pub fn hang_up(&self) {
        self.running().signal(Signal::HUP);
    }

    /// Waits until it ends and returns its exit code, or 128 and the signal's number. Panics after `deadline`.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> i32 {
        let Some(status) = self.process.as_mut().expect("the program runs").wait(deadline) else {
            panic!("the program still runs after {deadline:?}");
        };
        self.process = None;
        self.join_readers();
        exit_code(status)
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().is_some())
    }

    /// Starts it again in the same folder with the same arguments; kills it before if it still runs.
    pub fn restart(&mut self) {
        if self.process.is_some() {
            self.kill_9();
        }
        self.launch();
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the program runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("the kernel gives a number in kB")
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the program runs")
    }

    fn launch(&mut self) {
        let mut command = Command::new(&self.home.binary);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROWHOOK_")) {
            command.env_remove(name);
        }
        command
            .args(&self.args)
            .envs(self.home.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Process::start(&mut command);
        let mut process = started.unwrap_or_else(|error| panic!("cannot run {}: {error}", self.home.binary.display()));
        let (stdout, stderr) = process.take_output();
        {
            let mut lines = self.printed.lines();
            lines.run_begins_at = lines.all.len();
            lines.streams_open = 2;
        }
        self.readers = vec![
            read_lines(stdout.expect("stdout is piped"), From::Stdout, self.printed.clone()),
            read_lines(stderr.expect("stderr is piped"), From::Stderr, self.printed.clone()),
        ];
        self.process = Some(process);
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader of output does not panic");
        }
    }

    fn text(&self, from: From) -> String {
        let lines = self.printed.lines();
        lines.all[lines.run_begins_at..]
            .iter()
            .filter(|(f, _)| *f == from)
            .map(|(_, line)| format!("{line}\n"))
            .collect()
    }
}

impl Drop for Program {
    #[allow(clippy::print_stderr, reason = "the test harness shows it with the failed test")]
    fn drop(&mut self) {
        self.process = None;
        self.join_readers();
        if thread::panicking() {
            eprintln!("--- what {} {} printed", self.home.binary.display(), self.args.join(" "));
            for (_, line) in &self.printed.lines().all {
                eprintln!("{line}");
            }
        }
    }
}

impl Printed {
    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn read_lines(stream: impl Read + Send + 'static, from: From, printed: Arc<Printed>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            printed.lines().all.push((from, text));
            printed.more.notify_all();
            line.clear();
        }
        printed.lines().streams_open -= 1;
        printed.more.notify_all();
    })
}
