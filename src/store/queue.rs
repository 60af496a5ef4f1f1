//! The writes that wait for the writer, in the order of their calls.
//!
//! In: writes, from any thread, without waiting. Out: groups for the writer. Bounded (promise 6) in number and bytes;
//! once closed or failed, every write is refused, the failed store's with the error that failed it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Error;
use super::trees::Trees;
use super::watchdog::WriterProgress;
use super::write::{Write, Written};

/// The pipeline's window is far below; a caller that reaches this sends without a limit.
const JOBS_MAX: usize = 100_000;
const QUEUED_BYTES_MAX: usize = 256 << 20;

/// One transaction takes at most this many writes. Larger groups gain nothing: the flush is already shared by many.
const GROUP_JOBS_MAX: usize = 64;
/// Bytes of one transaction, roughly; what sled was measured with.
pub const TRANSACTION_BYTES_MAX: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Job {
    pub write: Write,
    pub answer: oneshot::Sender<Result<Written, Error>>,
    weight_bytes: usize,
}

/// Reads that must see the store between two transactions.
pub(super) type QueuedReads = Box<dyn FnOnce(&Trees, &WriterProgress) + Send>;

/// What the writer does next.
pub(super) enum WriterWork {
    Write(Vec<Job>),
    Read(QueuedReads),
}

#[derive(Debug, Default)]
pub(super) struct WriterQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    readings: Readings,
    /// Why no more writes are taken.
    refusal: Option<Error>,
}

#[derive(Default)]
struct Readings(VecDeque<QueuedReads>);

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} readings", self.0.len())
    }
}

impl WriterQueue {
    /// Has something read between two transactions. Writes wait meanwhile.
    ///
    /// # Errors
    ///
    /// Those of a write.
    pub(super) fn read(&self, reading: QueuedReads) -> Result<(), Error> {
        let mut state = self.lock();
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        state.readings.0.push_back(reading);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Appends a write; the receiver gets the answer once it is durable.
    pub(super) fn push(&self, write: Write) -> Result<oneshot::Receiver<Result<Written, Error>>, Error> {
        let (answer, answered) = oneshot::channel();
        let weight_bytes = write.weight_bytes();
        let mut state = self.lock();
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        // A single write may have any size: a row has the size that it has.
        if !state.jobs.is_empty() && (state.jobs.len() >= JOBS_MAX || state.bytes + weight_bytes > QUEUED_BYTES_MAX) {
            return Err(Error::Overloaded { jobs: state.jobs.len(), bytes: state.bytes });
        }
        state.bytes += weight_bytes;
        state.jobs.push_back(Job { write, answer, weight_bytes });
        drop(state);
        self.changed.notify_one();
        Ok(answered)
    }

    /// Waits for writes and takes those of the next transaction: whatever waits, up to the limits. A lone write goes
    /// at once; while it is being flushed, the next group gathers by itself. `None` once closed and empty.
    pub(super) fn take(&self) -> Option<WriterWork> {
        let mut state = self.lock();
        loop {
            // Before the writes, because these may never end.
            if let Some(reading) = state.readings.0.pop_front() {
                return Some(WriterWork::Read(reading));
            }
            if !state.jobs.is_empty() {
                break;
            }
            if state.refusal.is_some() {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Vec::new();
        let mut group_bytes = 0;
        while group.len() < GROUP_JOBS_MAX {
            match state.jobs.front() {
                Some(job) if group.is_empty() || group_bytes + job.weight_bytes <= TRANSACTION_BYTES_MAX => {}
                _ => break,
            }
            let Some(job) = state.jobs.pop_front() else { break };
            group_bytes += job.weight_bytes;
            state.bytes -= job.weight_bytes;
            group.push(job);
        }
        Some(WriterWork::Write(group))
    }

    /// Takes no more writes; those that wait are still written.
    pub(super) fn close(&self) {
        self.lock().refusal.get_or_insert(Error::Closed);
        self.changed.notify_one();
    }

    /// Takes no more writes and answers those that wait with the error.
    pub(super) fn fail(&self, error: &Error) {
        let mut state = self.lock();
        state.refusal = Some(error.clone());
        state.bytes = 0;
        // A caller that waits for a read gets an error, because its sender is dropped.
        state.readings.0.clear();
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        for job in jobs {
            // A caller that no longer waits does not need the answer.
            let _ = job.answer.send(Err(error.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &WriterQueue) -> Vec<Job> {
        match queue.take() {
            Some(WriterWork::Write(jobs)) => jobs,
            _ => panic!("no writes"),
        }
    }

    fn ledger_write(ids: usize) -> Write {
        let entry = crate::store::LedgerEntry { id: crate::change::DeliveryId(uuid::Uuid::nil()), rule: "r".into() };
        Write { ledger_add: vec![entry; ids], ..Write::default() }
    }

    #[test]
    fn a_group_has_the_waiting_writes_in_order_up_to_its_limits() {
        let queue = WriterQueue::default();
        let _waiting: Vec<_> = (0..GROUP_JOBS_MAX + 1).map(|ids| queue.push(ledger_write(ids))).collect();
        let group = taken(&queue);
        let order: Vec<usize> = group.iter().map(|job| job.write.ledger_add.len()).collect();
        assert_eq!(order, (0..GROUP_JOBS_MAX).collect::<Vec<_>>());
        assert_eq!(taken(&queue).len(), 1);

        let _large: Vec<_> = (0..3).map(|_| queue.push(ledger_write(TRANSACTION_BYTES_MAX / 40))).collect();
        assert_eq!(taken(&queue).len(), 1);
    }

    #[test]
    fn a_queue_out_of_bounds_refuses_and_goes_on() {
        let queue = WriterQueue::default();
        let _waiting: Vec<_> = (0..JOBS_MAX).map(|_| queue.push(ledger_write(0))).collect();
        assert!(matches!(queue.push(ledger_write(0)), Err(Error::Overloaded { jobs: JOBS_MAX, .. })));
        taken(&queue);
        queue.push(ledger_write(0)).expect("room again");
    }

    #[test]
    fn a_closed_queue_is_emptied_first_and_a_failed_one_answers_all() {
        let queue = WriterQueue::default();
        let _first = queue.push(ledger_write(1)).expect("open");
        queue.close();
        assert!(matches!(queue.push(ledger_write(1)), Err(Error::Closed)));
        assert_eq!(taken(&queue).len(), 1);
        assert!(queue.take().is_none());

        let queue = WriterQueue::default();
        let mut waits = queue.push(ledger_write(1)).expect("open");
        let error = Error::Full { directory: "/data".into(), detail: "test".to_string() };
        queue.fail(&error);
        assert!(matches!(waits.try_recv(), Ok(Err(Error::Full { .. }))));
        assert!(matches!(queue.push(ledger_write(1)), Err(Error::Full { .. })));
        assert!(queue.take().is_none());
    }
}
