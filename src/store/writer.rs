//! The one thread that writes to sled.
//!
//! In: groups of writes from the queue. Out: for each an answer once it is durable (promise 1): one transaction over all
//! trees, `flush`, `fdatasync`, then the answers, then the next group. Exactly one transaction is un-flushed at any
//! time, because sled 0.34 deadlocks with several. The first write that fails is the last one: sled's handle is
//! of no use after it, so everything that waits or comes later gets the same error.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::dead_letters::Resolution;
use super::queue::{Job, TRANSACTION_BYTES_MAX, WriterQueue, WriterWork};
use super::recorded::Recorded;
use super::sweep;
use super::tally::{Tally, TallyFile};
use super::transaction::{self, Counters, StepResult};
use super::trees::Trees;
use super::watchdog::WriterProgress;
use super::write::{self, Write, Written};
use super::write_steps::WriteStep;
use super::{Counts, Error};
use crate::ordering::BlockedKeys;

/// A write waits so long for its barrier. Then it becomes durable all the same: what is noted elsewhere is no source of truth,
/// and deliveries do not wait for it.
const BARRIER_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the tally is written for low-water marks alone.
const TALLY_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Writer {
    pub db: sled::Db,
    pub trees: Trees,
    /// Our own handle of sled's log: `flush` hands the bytes to the kernel, `fdatasync` brings them to the disk.
    pub log: File,
    pub counters: Counters,
    pub tally_file: TallyFile,
    /// The checkpoints and definitions that are stored.
    pub recorded: Recorded,
    /// The counters for readers; never ahead of what is durable.
    pub counts: Arc<Counts>,
    /// The blocked keys for readers (tree `holds`); never ahead of what is durable, and up to date once a write is
    /// answered.
    pub blocked: BlockedKeys,
    pub queue: Arc<WriterQueue>,
    pub failed: watch::Sender<Option<Error>>,
    pub progress: WriterProgress,
}

impl Writer {
    /// Writes until the queue is closed and empty, or a write fails. Returns the tally of a store that was closed in order.
    pub(super) fn run(mut self) -> Option<Tally> {
        while let Some(work) = self.queue.take() {
            wait_for_barriers(&work);
            self.progress.begin();
            let jobs = match work {
                WriterWork::Write(jobs) => jobs,
                WriterWork::Read(reading) => {
                    reading(&self.trees, &self.progress);
                    self.progress.end();
                    continue;
                }
            };
            let outcome = self.commit_group(jobs).and_then(|()| sweep::sweep(&self.db, &self.trees, &self.progress));
            self.progress.end();
            if let Err(error) = outcome {
                self.fail(error);
                return None;
            }
        }
        self.tally_file.tally.is_closed = true;
        if let Err(error) = self.write_tally() {
            // The tally lacks newer low-water marks at most, and what it says stays true.
            tracing::warn!(%error, "the tally could not be written at the end");
            return None;
        }
        Some(self.tally_file.tally.clone())
    }

    fn commit_group(&mut self, jobs: Vec<Job>) -> Result<(), Error> {
        let (writes, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.write, job.answer)).unzip();
        // A caller that no longer waits does not need the answer: the result of `send` does not matter.
        match self.commit_writes(writes) {
            Ok(written) => {
                for (answer, written) in answers.into_iter().zip(written) {
                    let _ = answer.send(written);
                }
                Ok(())
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
                Err(error)
            }
        }
    }

    /// Makes the writes durable, in one transaction if their size allows it, else in several in their order.
    fn commit_writes(&mut self, writes: Vec<Write>) -> Result<Vec<Result<Written, Error>>, Error> {
        let mut written = Vec::with_capacity(writes.len());
        let mut pending = Pending::default();
        let mut next_number = self.counters.next_number;
        for (job, write) in writes.into_iter().enumerate() {
            let first_number = next_number;
            next_number += write.letters_add.len() as u64;
            written.push(Ok(Written { added: (first_number..next_number).collect(), ..Written::default() }));
            for step in write::steps(write, first_number, TRANSACTION_BYTES_MAX, &mut self.recorded) {
                if !pending.has_room_for(&step) {
                    self.commit(std::mem::take(&mut pending), &mut written)?;
                }
                pending.push(job, step);
            }
        }
        self.commit(pending, &mut written)?;
        Ok(written)
    }

    fn commit(&mut self, pending: Pending, written: &mut [Result<Written, Error>]) -> Result<(), Error> {
        let directory = &self.trees.directory;
        let (met, counters) = transaction::apply(&self.trees, &pending.steps, self.counters)
            .map_err(|error| Error::write(directory, &error))?;
        self.db.flush().map_err(|error| Error::write(directory, &error))?;
        self.log.sync_data().map_err(|error| Error::write_io(directory, &error))?;
        self.counters = counters;
        self.note_in_tally(&pending.steps).map_err(|error| Error::write_io(&self.trees.directory, &error))?;
        self.counts.follow(counters);
        self.hold(&pending.steps, &met)?;
        self.progress.step();
        for ((job, step), met) in pending.jobs.into_iter().zip(&pending.steps).zip(met) {
            match (&mut written[job], met) {
                (Ok(written), Ok(was_there)) => match step {
                    WriteStep::Replayed { .. } => written.replayed += u64::from(was_there.is_some()),
                    WriteStep::Edit(_) => written.edited += u64::from(was_there.is_some()),
                    WriteStep::Resolve(_) => written.resolved += u64::from(was_there.is_some()),
                    WriteStep::Remove { .. } => written.removed += u64::from(was_there.is_some()),
                    WriteStep::ChangePart { .. } | WriteStep::Letter { .. } | WriteStep::Progress { .. } => {}
                    WriteStep::SagaPart { .. } | WriteStep::Saga(_) => {}
                },
                (whole, Err(error)) => *whole = Err(error),
                (Err(_), Ok(_)) => {}
            }
        }
        Ok(())
    }

    /// If low-water marks are lost, calls are repeated; if the rest is lost, something acknowledged is lost.
    fn note_in_tally(&mut self, steps: &[WriteStep]) -> std::io::Result<()> {
        self.tally_file.tally.count(self.counters);
        if steps.iter().all(WriteStep::is_of_marks) && self.tally_file.written_at.elapsed() < TALLY_INTERVAL {
            return Ok(());
        }
        self.write_tally()
    }

    fn write_tally(&mut self) -> std::io::Result<()> {
        if let Some(main) = &self.recorded.main {
            self.tally_file.tally.set_place(&main.position.place().to_string());
        }
        self.tally_file.write()
    }

    /// Reports which keys are blocked from now on, and which no longer.
    fn hold(&self, steps: &[WriteStep], met: &[StepResult]) -> Result<(), Error> {
        for (step, met) in steps.iter().zip(met) {
            match (step, met) {
                (WriteStep::Letter { number, lanes, is_blocked, .. }, _) => {
                    self.blocked.add(*number, lanes, *is_blocked)
                }
                (WriteStep::Remove { number } | WriteStep::Resolve(Resolution { number, .. }), Ok(Some(lanes))) => {
                    self.blocked.remove(*number, lanes, |key| self.trees.front(key))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn fail(&self, error: Error) {
        tracing::error!(%error, "the store can't be written any more");
        self.queue.fail(&error);
        self.failed.send_replace(Some(error));
    }
}

impl Drop for Writer {
    /// sled asserts a good deal: if one of its assertions fails, waiting callers still get an answer.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let detail = "the writer panicked".to_string();
            self.fail(Error::Write { directory: self.trees.directory.clone(), detail });
        }
    }
}

/// The watchdog does not count this time: it is limited. Barriers fall in the order of the writes.
fn wait_for_barriers(work: &WriterWork) {
    if let WriterWork::Write(jobs) = work
        && let Some(barrier) = jobs.iter().rev().find_map(|job| job.write.after.as_ref())
    {
        barrier.wait(BARRIER_WAIT_MAX);
    }
}

/// The steps of the next transaction, each with the number of its write in the group.
#[derive(Debug, Default)]
struct Pending {
    jobs: Vec<usize>,
    steps: Vec<WriteStep>,
    bytes: usize,
}

impl Pending {
    fn has_room_for(&self, step: &WriteStep) -> bool {
        self.steps.is_empty() || self.bytes + step.weight_bytes() <= TRANSACTION_BYTES_MAX
    }

    fn push(&mut self, job: usize, step: WriteStep) {
        self.bytes += step.weight_bytes();
        self.jobs.push(job);
        self.steps.push(step);
    }
}
