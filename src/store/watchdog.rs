//! Ends the process when the writer hangs.
//!
//! In: the writer's marks that it began, continued or finished. Out: nothing, or an abort with a log line: sled 0.34
//! can deadlock, and a store that does not answer would stop everything without an error. An abort breaks no promise,
//! as any crash, and a supervisor starts the process again. It deliberately has no recovery.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Without progress for this long the writer hangs: the slowest flush measured on a busy disk took well under a second.
pub(super) const STALL: Duration = Duration::from_secs(10);

/// The stall is counted in so many checks, not by the clock: a process that was stopped and continues, or a machine that
/// slept, gets all of them again.
const INSPECTIONS: u32 = 10;

/// The writer's side. Odd: at work; even: idle. Every change is progress.
#[derive(Debug, Clone, Default)]
pub(super) struct WriterProgress(Arc<AtomicU64>);

impl WriterProgress {
    pub(super) fn begin(&self) {
        self.0.fetch_or(1, Ordering::Relaxed);
    }

    /// Still at work, and it made progress.
    pub(super) fn step(&self) {
        self.0.fetch_add(2, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn inspect(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    _stop: mpsc::Sender<()>,
}

impl Watchdog {
    pub(super) fn start(progress: WriterProgress, stall: Duration) -> std::io::Result<Watchdog> {
        let (stop, stopped) = mpsc::channel();
        let watch = move || {
            let mut stalled = Stalled::default();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(stall / INSPECTIONS) {
                if stalled.inspect(progress.inspect()) == INSPECTIONS {
                    tracing::error!(
                        stall_s = stall.as_secs(),
                        "the store's writer hangs; aborting, to be started again"
                    );
                    std::process::abort();
                }
            }
        };
        std::thread::Builder::new().name("store watchdog".to_string()).spawn(watch)?;
        Ok(Watchdog { _stop: stop })
    }
}

/// How many checks in a row found the writer at work without progress.
#[derive(Debug, Default)]
struct Stalled {
    last: u64,
    inspections: u32,
}

impl Stalled {
    fn inspect(&mut self, now: u64) -> u32 {
        let at_work = now % 2 == 1;
        self.inspections = if at_work && now == self.last { self.inspections + 1 } else { 0 };
        self.last = now;
        self.inspections
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn only_work_without_progress_counts_as_a_stall() {
        let (progress, mut stalled) = (WriterProgress::default(), Stalled::default());
        let mut inspect = || stalled.inspect(progress.inspect());
        assert_eq!((inspect(), inspect()), (0, 0), "idle");
        progress.begin();
        assert_eq!((inspect(), inspect(), inspect()), (0, 1, 2), "at work in one place");
        progress.step();
        assert_eq!((inspect(), inspect()), (0, 1), "went on");
        progress.end();
        assert_eq!((inspect(), inspect()), (0, 0), "finished");
    }

    #[test]
    fn a_hanging_writer_ends_the_process() {
        const CHILD: &str = "ROWHOOK_TEST_WATCHDOG";
        if std::env::var_os(CHILD).is_some() {
            let progress = WriterProgress::default();
            progress.begin();
            let _watchdog = Watchdog::start(progress, Duration::from_millis(100)).expect("a thread");
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
        let status = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "store::watchdog::tests::a_hanging_writer_ends_the_process"])
            .env(CHILD, "1")
            .output()
            .expect("a child")
            .status;
        // SIGABRT
        assert_eq!(status.signal(), Some(6));
    }
}
