//! A command that prints a password, such as a token of a cloud.
//!
//! In: a line that names a program and its arguments. Out: what it prints on stdout. No shell is involved: the line is split
//! at blanks, quotes keep a word together, and what only a shell understands is refused. The program gets our environment and
//! an empty stdin; what it writes to stderr is dropped, because it may contain the password. It runs in a process group
//! of
//! its own, which is killed when the time is over or when the caller no longer waits for the password.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::text::{PASSWORD_BYTES_MAX, Password, password};

/// Programs of cloud providers call a service over the network first.
const TIME_MAX: Duration = Duration::from_secs(20);

/// The interval of checks whether a program that has closed its stdout has ended.
const END_INTERVAL: Duration = Duration::from_millis(10);

/// What only a shell understands, outside of quotes.
const SHELL_CHARACTERS: &[char] = &['|', '&', ';', '<', '>', '(', ')', '$', '`', '\\'];

/// The words of a command line: a program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordCommand(Arc<[String]>);

impl PasswordCommand {
    /// Splits a line into words.
    ///
    /// # Errors
    /// What is wrong with the line, and what to write.
    pub fn parse(line: &str) -> Result<PasswordCommand, String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote: Option<char> = None;
        for c in line.chars() {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => word.get_or_insert_default().push(c),
                None if c == '\'' || c == '"' => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                None if c.is_whitespace() => words.extend(word.take()),
                None if SHELL_CHARACTERS.contains(&c) => {
                    return Err(format!(
                        "it is run without a shell, to which alone `{c}` means something; put it in quotes, or name a script"
                    ));
                }
                None => word.get_or_insert_default().push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".to_string());
        }
        words.extend(word);
        if words.first().is_none_or(String::is_empty) {
            return Err("it names no program".to_string());
        }
        Ok(PasswordCommand(words.into()))
    }

    pub(super) async fn run(&self) -> Result<Password, String> {
        self.run_within(TIME_MAX).await
    }

    async fn run_within(&self, time: Duration) -> Result<Password, String> {
        let failed = |problem: &str| format!("password command {}: {problem}", self.0[0]);
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().map_err(|error| failed(&error.to_string()))?;
        let stdout = child.stdout.take();
        // Dropped at the end of the time, or when the caller no longer waits: then the group is killed, and the thread ends.
        let running = Running(Arc::new(Mutex::new(Some(child))));
        let shared = Arc::clone(&running.0);
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(PASSWORD_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            }
            // What is too long is dropped, and the group is killed.
            if bytes.len() as u64 <= PASSWORD_BYTES_MAX {
                wait(&shared)?;
            }
            Ok::<_, String>(bytes)
        });
        let outcome = tokio::time::timeout(time, reading).await;
        drop(running);
        let bytes = match outcome {
            Err(_) => Err(format!("it has not ended within {} s", time.as_secs())),
            Ok(Err(_)) => Err("reading what it prints was aborted".to_string()),
            Ok(Ok(read)) => read,
        };
        let read = password(bytes.map_err(|problem| failed(&problem))?).map_err(failed)?;
        match read.0.as_str() {
            "" => Err(failed("it printed nothing")),
            text if text.contains(['\n', '\r']) => Err(failed("it printed more than one line")),
            _ => Ok(read),
        }
    }
}

/// A program that may still run; its process id is its own as long as the child is in here.
struct Running(Arc<Mutex<Option<Child>>>);

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut child) = child else { return };
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended this very moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // Killed, so that this takes no time.
        let _ = child.wait();
    }
}

/// Waits for the end of the program, unless it is taken out and killed meanwhile.
fn wait(shared: &Mutex<Option<Child>>) -> Result<(), String> {
    loop {
        {
            let mut running = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(child) = running.as_mut() else { return Err("it was ended".to_string()) };
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                *running = None;
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("it failed ({status}); run it by hand to see why"))
                };
            }
        }
        std::thread::sleep(END_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_into_words_and_syntax_that_needs_a_shell_is_refused() {
        for (line, expected) in [
            (
                "aws rds generate-db-auth-token --port 3306",
                &["aws", "rds", "generate-db-auth-token", "--port", "3306"][..],
            ),
            ("  /opt/my\u{a0}x  'a b' \"c d\"e '' ", &["/opt/my", "x", "a b", "c de", ""]),
            ("sh -c 'cat /run/a | tr -d \"x\"'", &["sh", "-c", "cat /run/a | tr -d \"x\""]),
        ] {
            assert_eq!(&*PasswordCommand::parse(line).expect(line).0, expected, "{line}");
        }
        for (line, part) in [
            ("", "no program"),
            ("   ", "no program"),
            ("'' x", "no program"),
            ("cat 'x", "not closed"),
            ("cat x | head", "`|`"),
            ("echo $TOKEN", "`$`"),
            ("echo `token`", "script"),
            ("a && b", "`&`"),
            ("a > b", "`>`"),
        ] {
            let problem = PasswordCommand::parse(line).expect_err(line);
            assert!(problem.contains(part), "{line}: {problem}");
        }
    }

    async fn run(line: &str) -> Result<Password, String> {
        PasswordCommand::parse(line).expect(line).run_within(Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn the_output_of_the_command_is_the_password_and_is_in_no_error() {
        assert_eq!(run("echo s3cret").await.expect("a password").0, "s3cret");
        assert_eq!(run("printf 'a b$c'").await.expect("a password").0, "a b$c");
        for (line, part) in [
            ("sh -c 'echo s3cret; echo s3cret >&2; exit 3'", "exit status: 3"),
            ("sh -c 'echo s3cret; kill -9 $$'", "signal: 9"),
            ("true", "printed nothing"),
            ("sh -c 'echo s3cret; echo more'", "more than one line"),
            ("yes s3cret", "64 KiB"),
            ("printf 's3cret\\377'", "UTF-8"),
            ("/no/such/program s3cret", "No such file"),
        ] {
            let problem = run(line).await.expect_err(line);
            assert!(problem.contains(part) && !problem.contains("s3cret"), "{line}: {problem}");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_those_that_it_started() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        let line = format!("sh -c 'sleep 600 & echo $! > {}; wait'", file.display());
        let command = PasswordCommand::parse(&line).expect("a command");
        let problem = command.run_within(Duration::from_millis(500)).await.expect_err("it hangs");
        assert!(problem.contains("has not ended"), "{problem}");
        let written = std::fs::read_to_string(&file).expect("a process id");
        let started = Pid::from_raw(written.trim().parse().expect("a number")).expect("not zero");
        // An orphan that was killed is there until the system's first process has taken note of it.
        let is_gone = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", started.as_raw_nonzero()));
            state.map_or(true, |state| state.contains(") Z "))
        };
        for _ in 0..1000 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(END_INTERVAL).await;
        }
        panic!("it is still there");
    }
}
