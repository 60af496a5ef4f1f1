//! The journal: what was delivered, in a SQLite file, for people who ask later; the only module that knows SQLite.
//!
//! In: completed deliveries, from the loop, without waiting. Out: an entry with its attempts for each, and answers to questions
//! about them. Off by default. One thread of its own writes the file, in batches. It is never a source of truth: what can't be
//! journaled is counted, marked as a gap and forgotten, and no delivery waits for it for longer than a limit. What it
//! promises in return: an entry is committed before a checkpoint that covers its delivery becomes durable, so that a killed process
//! leaves no gap; see [`Journal::barrier`].

mod batch;
mod error;
mod names;
mod query;
mod queue;
mod record;
mod retention;
mod rows;
mod schema;
mod stats;
mod status;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

pub use error::Error;
pub use query::{JournalFilter, JournalGap, JournalPage, JournalReader, JournalRow, JournaledAttempt};
pub use record::JournalOutcome;
pub use schema::journal_file;
pub use stats::{DurationQuantiles, StatsPeriod, StatsRow};
pub use status::JournalStatus;

use crate::barrier::Barrier;
use crate::config::JournalSettings;
use crate::delivery::Completed;
use crate::telemetry::Metrics;

use queue::JournalQueue;
use record::JournalEntry;
use writer::JournalWriter;

/// At the end the thread gets so long to write what waits: longer, and the disk hangs.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// The journal of this process. Dropping it waits until what it was given is written, if the disk allows it.
#[derive(Debug)]
pub struct Journal {
    queue: Arc<JournalQueue>,
    ended: mpsc::Receiver<()>,
}

impl Journal {
    /// Starts the thread that writes. A file that can't be opened or written is reported in the log, and tried again later.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(data: &Path, settings: &JournalSettings, metrics: Arc<Metrics>) -> std::io::Result<Journal> {
        let queue = Arc::new(JournalQueue::new(Arc::clone(&metrics)));
        let writer = JournalWriter::new(journal_file(data), settings.clone(), Arc::clone(&queue), metrics);
        let (end, ended) = mpsc::channel();
        std::thread::Builder::new().name("journal".to_string()).spawn(move || {
            writer.run();
            // The process may be past waiting for it.
            let _ = end.send(());
        })?;
        Ok(Journal { queue, ended })
    }

    /// For a process that replays while no daemon runs: goes on with the journal in this directory, if there is one. It deletes
    /// nothing.
    ///
    /// # Errors
    /// As [`Journal::start`].
    pub fn resume(data: &Path, metrics: Arc<Metrics>) -> std::io::Result<Option<Journal>> {
        if !journal_file(data).exists() {
            return Ok(None);
        }
        Journal::start(data, &JournalSettings { keep: Duration::MAX, bytes_max: u64::MAX }, metrics).map(Some)
    }

    /// Takes the delivery in, and those merged into it. Never waits.
    pub fn record(&self, completed: &Completed) {
        JournalEntry::all_of(completed).for_each(|entry| self.queue.push(entry));
    }

    /// Stands until everything that was taken in so far is committed, or counted as not journaled.
    pub fn barrier(&self) -> Barrier {
        self.queue.barrier()
    }

    /// How it is, without a look at the disk.
    pub fn status(&self) -> JournalStatus {
        self.queue.status()
    }

    /// Whether the thread can't keep up: nothing new should be begun until it has. False where it hangs: deliveries go on then.
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.ended.recv_timeout(CLOSING_MAX) {
            tracing::error!("the journal's disk does not answer: its last entries are lost");
        }
    }
}
