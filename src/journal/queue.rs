//! Entries that wait to be written, in the order in which they came.
//!
//! In: entries, from the loop, without waiting. Out: all that wait, as one batch. Bounded (promise 6) in number and bytes: from
//! half of it on the loop begins nothing new, and what is still on its way then has room. Where the thread hangs, what has no
//! room is counted and dropped.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::JournalEntry;
use super::status::JournalStatus;
use crate::barrier::{Barrier, SequenceProgress};
use crate::clock::now_us;
use crate::telemetry::Metrics;

/// The loop stops reading at half of it; a second's entries at full load.
const ENTRIES_MAX: usize = 1 << 16;
const BYTES_MAX: usize = 32 << 20;

/// A batch that takes longer is no batch: the disk hangs.
const HANGS_AFTER: Duration = Duration::from_secs(10);

const HANGS: &str = "its disk does not answer: deliveries go on and are not journaled";

/// So long entries gather after the first one, unless a barrier waits for them. A page that several of them change is then
/// written once.
const GATHERING: Duration = Duration::from_millis(100);

/// Entries that were not journaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Missed {
    pub deliveries: u64,
    /// When the first of them was resolved.
    pub since_us: u64,
}

impl Missed {
    pub fn add(&mut self, other: Missed) {
        if other.deliveries > 0 {
            self.since_us = if self.deliveries > 0 { self.since_us.min(other.since_us) } else { other.since_us };
            self.deliveries += other.deliveries;
        }
    }
}

/// What the thread does next.
pub(super) enum JournalWork {
    /// The entries up to `through` in the sequence, without those that had no room.
    Write { entries: Vec<JournalEntry>, through: u64, missed: Missed },
    /// Nothing came for a while.
    Idle,
    /// Nothing will come any more.
    End,
}

#[derive(Debug)]
pub(super) struct JournalQueue {
    state: Mutex<State>,
    changed: Condvar,
    progress: SequenceProgress,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<JournalEntry>,
    bytes: usize,
    /// All that were ever taken in.
    count: u64,
    missed: Missed,
    /// As the thread reported it last.
    status: JournalStatus,
    /// Since when the thread has been at work on the file.
    busy_since: Option<Instant>,
    is_closed: bool,
    /// The thread has ended: nothing is written any more.
    is_abandoned: bool,
}

impl State {
    fn hangs(&self) -> bool {
        self.is_abandoned || self.busy_since.is_some_and(|since| since.elapsed() > HANGS_AFTER)
    }
}

impl JournalQueue {
    pub fn new(metrics: Arc<Metrics>) -> JournalQueue {
        JournalQueue {
            state: Mutex::default(),
            changed: Condvar::new(),
            progress: SequenceProgress::default(),
            metrics,
        }
    }

    pub fn push(&self, entry: JournalEntry) {
        let weight_bytes = entry.weight_bytes();
        let mut state = self.lock();
        state.count += 1;
        if state.entries.len() >= ENTRIES_MAX || state.bytes + weight_bytes > BYTES_MAX {
            let missed = Missed { deliveries: 1, since_us: entry.resolved_us };
            state.missed.add(missed);
            drop(state);
            self.metrics.journal_deliveries_missed.inc();
            return;
        }
        state.bytes += weight_bytes;
        state.entries.push(entry);
        let is_first = state.entries.len() == 1;
        drop(state);
        if is_first {
            self.changed.notify_one();
        }
    }

    pub fn barrier(&self) -> Barrier {
        self.progress.barrier(self.lock().count)
    }

    pub fn is_full(&self) -> bool {
        let state = self.lock();
        (state.entries.len() >= ENTRIES_MAX / 2 || state.bytes >= BYTES_MAX / 2) && !state.hangs()
    }

    /// Waits for entries, for `longest` at most, and takes all that wait.
    pub fn take(&self, longest: Duration) -> JournalWork {
        let is_idle = |state: &mut State| state.entries.is_empty() && state.missed.deliveries == 0 && !state.is_closed;
        let waited = self.changed.wait_timeout_while(self.lock(), longest, is_idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if is_idle(&mut state) {
            return JournalWork::Idle;
        }
        if !state.is_closed {
            drop(state);
            self.progress.wait_for_want(GATHERING);
            state = self.lock();
        }
        if state.entries.is_empty() && state.missed.deliveries == 0 {
            return JournalWork::End;
        }
        state.bytes = 0;
        state.busy_since = Some(Instant::now());
        let (entries, missed) = (std::mem::take(&mut state.entries), std::mem::take(&mut state.missed));
        JournalWork::Write { entries, through: state.count, missed }
    }

    /// The batch up to this place in the sequence is committed, or counted as missed.
    pub fn done(&self, through: u64) {
        self.progress.reach(through);
    }

    /// The thread is about to work on the file, other than for what [`JournalQueue::take`] gave it.
    pub fn begin_work(&self) {
        self.lock().busy_since = Some(Instant::now());
    }

    /// The thread's work on the file is done for now.
    pub fn end_work(&self) {
        self.lock().busy_since = None;
    }

    /// The thread has ended, whatever the reason: nothing waits for it any more.
    pub fn abandon(&self) {
        self.lock().is_abandoned = true;
        self.progress.reach(u64::MAX);
    }

    /// These could not be written.
    pub fn miss(&self, entries: &[JournalEntry]) -> Missed {
        let deliveries = entries.len() as u64;
        self.metrics.journal_deliveries_missed.inc_by(deliveries);
        Missed { deliveries, since_us: entries.first().map_or_else(now_us, |entry| entry.resolved_us) }
    }

    /// How the journal is now, by the thread that writes it.
    pub fn report(&self, status: JournalStatus) {
        self.lock().status = status;
    }

    /// As it was reported last, with what had no room since.
    pub fn status(&self) -> JournalStatus {
        let state = self.lock();
        let mut status = state.status.clone();
        status.missed += state.missed.deliveries;
        if state.hangs() {
            status.problem = Some(HANGS.to_string());
        }
        status
    }

    /// No entries will come any more; those that wait are still written.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{completed, delivered};
    use super::*;

    #[test]
    fn a_full_queue_stops_the_reading_at_half_and_counts_what_has_no_room() {
        let metrics = Arc::new(Metrics::default());
        let queue = JournalQueue::new(Arc::clone(&metrics));
        let completed = completed("", 1, &["id"], &[0], delivered());
        let push = |entries: usize| {
            (0..entries).flat_map(|_| JournalEntry::all_of(&completed)).for_each(|entry| queue.push(entry));
            queue.is_full()
        };
        assert!(!push(1000));
        assert!(push(ENTRIES_MAX), "it takes what is on its way");
        let kept = queue.lock().entries.len();
        assert!(kept <= ENTRIES_MAX && queue.lock().bytes <= BYTES_MAX);
        let missed = (ENTRIES_MAX + 1000 - kept) as u64;
        assert_eq!(metrics.journal_deliveries_missed.get(), missed);
        queue.report(JournalStatus { missed: 7, ..JournalStatus::default() });
        assert_eq!(queue.status(), JournalStatus { missed: 7 + missed, ..JournalStatus::default() });
        let barrier = queue.barrier();
        let JournalWork::Write { entries, through, missed: taken } = queue.take(Duration::ZERO) else {
            panic!("no work")
        };
        assert_eq!((entries.len(), taken.deliveries, through), (kept, missed, (ENTRIES_MAX + 1000) as u64));
        assert!(!queue.is_full());
        queue.done(through);
        assert!(barrier.wait(Duration::ZERO));
        queue.close();
        assert!(matches!(queue.take(Duration::from_secs(60)), JournalWork::End));
    }
}
