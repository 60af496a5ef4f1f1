//! Writes log lines to stderr: gathered in memory for a moment and written together.
//!
//! In: whole lines, from any thread. Out: the same lines, in the order in which they came, so that one line per
//! delivery is not one write per delivery. A warning or an error is written at once, with all lines before it, because
//! the process may be about to end. If the process is killed, the gathered lines are lost. Bounded: if stderr accepts
//! nothing, a thread that logs waits.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Long enough for many lines at full load, too short for a person to notice.
const GATHERED_FOR: Duration = Duration::from_millis(10);

/// The gathered lines are written when they have so many bytes.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Those of the process: there is one stderr.
static LINES: Lines = Lines { gathered: Mutex::new(Gathered(Vec::new())), arrived: Condvar::new() };

struct Lines {
    gathered: Mutex<Gathered>,
    /// Signals the first gathered line.
    arrived: Condvar,
}

/// Lines that are not written yet.
struct Gathered(Vec<u8>);

/// What is to be done after another line was added.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    /// Write all lines now.
    Write,
    /// Wake the thread that writes.
    Wake,
    /// The thread was woken already.
    Nothing,
}

/// Where log lines are written to.
pub(super) struct Gathering;

/// One line that is being made.
pub(super) struct Line {
    is_urgent: bool,
}

/// Writes what is gathered when it is dropped.
pub(in crate::cli) struct LastLines;

/// Starts the thread that writes.
pub(super) fn start() -> io::Result<LastLines> {
    thread::Builder::new().name("log".to_owned()).spawn(|| LINES.write_for_ever())?;
    Ok(LastLines)
}

impl Drop for LastLines {
    fn drop(&mut self) {
        LINES.lock().write_out();
    }
}

impl<'w> MakeWriter<'w> for Gathering {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line { is_urgent: true }
    }

    fn make_writer_for(&'w self, metadata: &Metadata<'_>) -> Line {
        Line { is_urgent: is_last_word(*metadata.level()) }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut gathered = LINES.lock();
        match gathered.add(line, self.is_urgent) {
            Then::Write => gathered.write_out(),
            Then::Wake => LINES.arrived.notify_one(),
            Then::Nothing => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the process may end after this line.
fn is_last_word(level: Level) -> bool {
    level <= Level::WARN
}

impl Lines {
    fn write_for_ever(&self) {
        loop {
            let gathered = self.arrived.wait_while(self.lock(), |gathered| gathered.0.is_empty());
            gathered.unwrap_or_else(PoisonError::into_inner).write_out();
            thread::sleep(GATHERED_FOR);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // A thread that panicked with the lock left whole lines.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn add(&mut self, line: &[u8], is_urgent: bool) -> Then {
        let was_empty = self.0.is_empty();
        self.0.extend_from_slice(line);
        match was_empty {
            _ if is_urgent || self.0.len() >= GATHERED_BYTES_MAX => Then::Write,
            true => Then::Wake,
            false => Then::Nothing,
        }
    }

    fn write_out(&mut self) {
        // Without stderr there is nowhere to report the error.
        let _ = io::stderr().write_all(&self.0);
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_gathered_in_order_until_one_is_urgent_or_they_are_many() {
        let mut gathered = Gathered(Vec::new());
        let then: Vec<Then> = ["a\n", "b\n", "c\n"].iter().map(|line| gathered.add(line.as_bytes(), false)).collect();
        assert_eq!(then, [Then::Wake, Then::Nothing, Then::Nothing]);
        assert_eq!(gathered.add(b"error\n", true), Then::Write);
        assert_eq!(gathered.0, b"a\nb\nc\nerror\n");
        let long = vec![b'x'; GATHERED_BYTES_MAX];
        assert_eq!(Gathered(Vec::new()).add(&long, false), Then::Write);
        assert_eq!(Gathered(Vec::new()).add(&long[1..], false), Then::Wake);
    }

    #[test]
    fn a_line_after_which_the_process_may_end_is_urgent() {
        for (level, is_urgent) in [("error", true), ("warn", true), ("info", false), ("debug", false)] {
            let level: Level = level.parse().expect("a level");
            assert_eq!(is_last_word(level), is_urgent, "{level}");
        }
    }
}
