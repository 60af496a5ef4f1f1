//! The store: checkpoints, table definitions, ledger, dead letters and sagas, in sled; the only module that knows sled.
//!
//! In: writes, from any task, without waiting; answered when they are durable (promise 1: synced to the disk). Out: what
//! a restart needs, and dead letters page by page (promise 6: memory does not grow with their number). One process owns
//! a store, one thread writes to it, all writes are in one order. Knows changes and positions; not rules, not
//! deliveries, and not when a checkpoint may move.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use crate::change::DeliveryId;
use crate::ordering::BlockedKeys;
use crate::position::Resume;
use crate::saga::{SagaEffect, SagaLog};

mod backup;
mod blocked_keys;
mod checkpoint;
mod chunks;
mod closing;
mod database;
mod dead_letters;
mod definitions;
mod edited_bodies;
mod error;
mod files;
mod former_ids;
mod former_words;
mod kept;
mod lane_forms;
mod letter_numbers;
mod letter_reads;
mod letter_records;
mod lock;
mod log_check;
mod needs;
mod open;
mod original;
mod position_log;
mod proof_records;
mod queue;
mod rebuild;
mod recorded;
mod recovery;
mod saga_records;
mod saga_steps;
mod sagas;
mod swap;
mod sweep;
mod tally;
mod transaction;
mod trees;
mod trial;
mod upkeep;
mod verify;
mod walk;
mod watchdog;
mod write;
mod write_steps;
mod writer;

#[cfg(test)]
mod tests;

pub use backup::{Backup, BackupHead};
pub use checkpoint::{CheckpointSet, FormerIds, PausedRule, RuleCheckpoint};
pub use dead_letters::{
    Closed, DeadLetter, DeadLetterHead, FailedReplay, Filter, LetterEdit, LetterFacts, LetterFailure, LetterOrder,
    NewBody, NewDeadLetter, NumberRange, Resolution, Resolved,
};
pub use error::Error;
pub use letter_numbers::LetterNumbers;
pub use needs::RuleNeeds;
pub use position_log::{PositionChange, PositionMove, Positions};
pub use queue::TRANSACTION_BYTES_MAX;
pub use sagas::{SagaPut, StoredSaga};
pub use upkeep::{Loss, Restored};
pub use verify::Verified;
pub use write::{Write, Written};
pub use write_steps::LedgerEntry;

use closing::Closing;
use open::Opened;
use queue::WriterQueue;
use tally::Tally;
use transaction::Counters;
use trees::Trees;
use watchdog::{Watchdog, WriterProgress};
use writer::Writer;

/// An open store; clones are the same store. Dropping the last one waits until what was asked for is written.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Where to continue after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// None: no checkpoint was ever written, or it is lost.
    pub checkpoint: Option<SavedCheckpoint>,
    pub paused: Vec<PausedRule>,
    /// What each rule needed of tables when it became active. Stores of earlier versions do not say.
    pub needs: Vec<RuleNeeds>,
    /// The position of the main stream, if that is known and the checkpoint is lost.
    pub lost: Option<String>,
    /// A backup was restored: calls for changes that were committed up to this time may have been made although the
    /// store has no record of them; in microseconds since the Unix epoch.
    pub restored_until_us: Option<u64>,
}

/// How far each rule is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCheckpoint {
    /// How far every rule that is not in `rules` is resolved.
    pub main: Resume,
    pub rules: Vec<RuleCheckpoint>,
    /// Every rule that has begun. None: an earlier version wrote it, and all its rules have begun.
    pub known: Option<Vec<Arc<str>>>,
    pub ledger: Ledger,
    /// None: every id that is stored has the current form.
    pub former_ids: Option<FormerIds>,
}

/// Deliveries after the low-water marks of their rules that are resolved already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    pub by_rule: HashMap<Arc<str>, HashSet<DeliveryId>>,
    /// Written by an earlier version, which did not say of which rule.
    pub of_any_rule: HashSet<DeliveryId>,
}

// Fields are dropped in this order: sled's files are closed before `closing`, which holds the lock.
#[derive(Debug)]
struct Inner {
    trees: Trees,
    counts: Arc<Counts>,
    blocked: BlockedKeys,
    /// The checkpoint's position by the tally.
    place_at_opening: Option<String>,
    queue: Arc<WriterQueue>,
    failed: watch::Receiver<Option<Error>>,
    writer: Option<JoinHandle<Option<Tally>>>,
    _watchdog: Watchdog,
    closing: Closing,
}

/// The writer's counters for readers; never ahead of what is durable.
#[derive(Debug, Default)]
struct Counts {
    letters: AtomicU64,
    blocked: AtomicU64,
    resolved: AtomicU64,
    awaiting: AtomicU64,
    next_number: AtomicU64,
}

/// Differs from an earlier one when letters came, went, or were resolved or blocked since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LettersVersion([u64; 4]);

impl Counts {
    fn follow(&self, counters: Counters) {
        let Counters { letter_count, blocked_count, resolved_count, awaiting_count, next_number, .. } = counters;
        self.letters.store(letter_count - blocked_count - resolved_count, Ordering::Release);
        self.blocked.store(blocked_count, Ordering::Release);
        self.resolved.store(resolved_count, Ordering::Release);
        self.awaiting.store(awaiting_count, Ordering::Release);
        self.next_number.store(next_number, Ordering::Release);
    }
}

impl Store {
    /// Opens the store in this directory, or makes one there. Blocks: 0.1 to 4 s for a million dead letters.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if another process has it, [`Error::NewerFormat`] and [`Error::Foreign`] before anything is
    /// written, [`Error::Corrupt`] with the steps to take.
    pub fn open(directory: &Path) -> Result<Store, Error> {
        let Opened { db, trees, counters, log, tally_file, lock } = open::open(directory)?;
        let recorded = trees.recorded()?;
        let place_at_opening = tally_file.tally.place.clone();
        let counts = Arc::new(Counts::default());
        counts.follow(counters);
        let blocked = trees.blocked()?;
        let queue = Arc::new(WriterQueue::default());
        let (failed_sender, failed) = watch::channel(None);
        let progress = WriterProgress::default();
        let no_thread = || Error::directory(directory, "start a thread for it");
        let watchdog = Watchdog::start(progress.clone(), watchdog::STALL).map_err(no_thread())?;
        let writer = Writer {
            db,
            trees: trees.clone(),
            log,
            counters,
            tally_file,
            recorded,
            counts: counts.clone(),
            blocked: blocked.clone(),
            queue: queue.clone(),
            failed: failed_sender,
            progress,
        };
        let thread = std::thread::Builder::new().name("store writer".to_string());
        let writer = Some(thread.spawn(move || writer.run()).map_err(no_thread())?);
        let closing = Closing::of(&trees.directory, lock);
        let inner =
            Inner { trees, counts, blocked, place_at_opening, queue, failed, writer, _watchdog: watchdog, closing };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// Reads everything that the store contains, between two writes: what is written meanwhile waits. A million dead letters take
    /// some 10 s.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] and errors of a write that failed before. What is damaged is no error: the answer says it.
    pub async fn verify(&self) -> Result<Verified, Error> {
        self.read(|trees, progress| verify::all(trees, || progress.step())).await
    }

    /// Reads something between two transactions.
    async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Trees, &WriterProgress) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        // A caller that no longer waits does not need the answer.
        let reading = move |trees: &Trees, progress: &WriterProgress| drop(answer.send(reading(trees, progress)));
        self.inner.queue.read(Box::new(reading))?;
        answered.await.map_err(|_| Error::Closed)
    }

    /// Writes all that the store contains into a file, which must not be there yet, between two writes: later writes wait.
    ///
    /// # Errors
    ///
    /// [`Error::Backup`], [`Error::Read`], [`Error::Closed`].
    pub async fn backup(&self, file: PathBuf) -> Result<Backup, Error> {
        self.read(move |trees, progress| backup::write(trees, open::FORMAT, &file, || progress.step())).await?
    }

    /// Replaces the store in this directory, if there is one, by a backup. The old store is kept beside it. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`], [`Error::Backup`]; nothing was changed then.
    pub fn restore(directory: &Path, file: &Path) -> Result<Restored, Error> {
        upkeep::restore(directory, file)
    }

    /// Writes a new store without removed entries, which frees their disk space. Blocks. Returns the bytes before and after.
    ///
    /// # Errors
    ///
    /// Those of [`Store::open`], and [`Error::Full`]: both need room at the same time.
    pub fn compact(directory: &Path) -> Result<(u64, u64), Error> {
        upkeep::compact(directory)
    }

    /// Replaces a damaged store by one with what is left of it. The old store is kept beside it. If it has no checkpoint any more,
    /// the next start needs a position to begin at. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`], [`Error::Full`]: both need room at the same time; nothing was changed then.
    pub fn accept_loss(directory: &Path) -> Result<Loss, Error> {
        upkeep::accept_loss(directory)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.inner.trees.directory
    }

    /// Whether [`Store::open`] would find a store in this directory, and not make one. Writes nothing.
    pub fn is_in(directory: &Path) -> bool {
        open::is_there(directory)
    }

    /// Checkpoints, ledger, paused rules. Blocks; to be read before the first write.
    pub fn saved(&self) -> Result<Saved, Error> {
        let saved = self.inner.trees.saved()?;
        let lost = self.inner.place_at_opening.clone().filter(|_| saved.checkpoint.is_none());
        Ok(Saved { lost, ..saved })
    }

    /// The rules that are paused. May be read beside writes. Blocks for one read from the disk.
    pub fn paused_rules(&self) -> Result<Vec<PausedRule>, Error> {
        self.inner.trees.paused()
    }

    /// Calls for changes that were committed up to then may have been made without a trace here, because a backup was restored. May
    /// be read beside writes. Blocks for one read from the disk.
    pub fn restored_until_us(&self) -> Result<Option<u64>, Error> {
        self.inner.trees.counter(trees::RESTORED_UNTIL_US)
    }

    /// Every rule that has ever been active as far as is known, in no order. None: an earlier version wrote the store, which did not
    /// note them. May be read beside writes. Blocks.
    pub fn rule_names(&self) -> Result<Option<Vec<Arc<str>>>, Error> {
        self.inner.trees.rule_names()
    }

    /// The low-water marks of main stream and rules, and the log of those that were moved by hand. May be read beside writes. Blocks.
    pub fn positions(&self) -> Result<Positions, Error> {
        self.inner.trees.positions()
    }

    /// Queues the write at once, in the order of the calls, and answers when it is durable. Dropping the future does not
    /// take the write back.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`]: nothing was queued. [`Error::Record`]: one dead letter of `letters_replayed` can't be read;
    /// all else was written. Any other: the write may or may not be durable, and no later one will be.
    pub fn write(&self, write: Write) -> impl Future<Output = Result<Written, Error>> + Send + use<> {
        let queued = self.inner.queue.push(write);
        async move { queued?.await.unwrap_or(Err(Error::Closed)) }
    }

    /// Resolves once a write failed: nothing can be written any more, the process must stop.
    pub fn failed(&self) -> impl Future<Output = Error> + Send + use<> {
        let mut failed = self.inner.failed.clone();
        async move {
            let error = failed.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
            error.unwrap_or(Error::Closed)
        }
    }

    /// The first `limit` dead letters that fit, by number, of those after number `after`. Fewer than `limit`: there are
    /// no more. Blocks: microseconds per dead letter read, so a filter that few fit scans a million in seconds.
    pub fn dead_letters(
        &self,
        filter: &Filter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<DeadLetterHead>, Error> {
        self.inner.trees.letters(filter, LetterOrder::OldestFirst, after, limit)
    }

    /// As [`Store::dead_letters`], in either order: `after` is the number that comes before the page in that order.
    pub fn dead_letters_in(
        &self,
        order: LetterOrder,
        filter: &Filter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<DeadLetterHead>, Error> {
        self.inner.trees.letters(filter, order, after, limit)
    }

    /// Shows the facts of each dead letter that fits, in one pass on several threads, to accumulators that `begin` makes. Each gets a
    /// range of numbers, in ascending number; so are they themselves. Blocks: some microseconds for each that is stored.
    pub fn fold_letters<T: Send>(
        &self,
        filter: &Filter,
        begin: impl Fn() -> T + Sync,
        visit: impl Fn(&mut T, &LetterFacts) + Sync,
    ) -> Result<Vec<T>, Error> {
        self.inner.trees.fold_letters(filter, begin, visit)
    }

    /// A whole dead letter. Blocks for one read from the disk.
    pub fn dead_letter(&self, number: u64) -> Result<Option<DeadLetter>, Error> {
        self.inner.trees.letter(number)
    }

    /// What a dead letter takes: its head, its row and its edited body. Blocks for three short reads from the disk.
    pub fn letter_bytes(&self, number: u64) -> Result<u64, Error> {
        self.inner.trees.letter_bytes(number)
    }

    /// The head of a dead letter that is there, and was not resolved. Blocks for one short read from the disk.
    pub fn open_head(&self, number: u64) -> Result<Option<DeadLetterHead>, Error> {
        Ok(self.inner.trees.head(number)?.filter(|head| head.resolved.is_none()))
    }

    /// How many dead letters there are besides those that are blocked or resolved; a counter, not a scan.
    pub fn dead_letter_count(&self) -> u64 {
        self.inner.counts.letters.load(Ordering::Acquire)
    }

    /// What the numbers of dead letters by rule depend on. Counters, not a scan.
    pub fn letters_version(&self) -> LettersVersion {
        let counts = &self.inner.counts;
        let all = [&counts.next_number, &counts.letters, &counts.blocked, &counts.resolved];
        LettersVersion(all.map(|count| count.load(Ordering::Acquire)))
    }

    /// How many deliveries are blocked: they wait behind a dead letter and were not attempted. A counter, not a scan.
    pub fn blocked_count(&self) -> u64 {
        self.inner.counts.blocked.load(Ordering::Acquire)
    }

    /// How many dead letters wait for a person: steps of theirs have, or may have, an effect that is not undone. A
    /// counter, not a scan.
    pub fn awaiting_count(&self) -> u64 {
        self.inner.counts.awaiting.load(Ordering::Acquire)
    }

    /// The sagas that were under way and that no dead letter has: after a crash, all that had begun and not ended.
    /// Blocks for some reads from the disk each.
    pub fn sagas(&self) -> Result<Vec<StoredSaga>, Error> {
        self.inner.trees.sagas_under_way()
    }

    /// The saga log of a delivery; None if it takes only one call, or never began. Blocks for one read from the disk.
    pub fn saga(&self, id: DeliveryId) -> Result<Option<SagaLog>, Error> {
        Ok(self.inner.trees.saga(id)?.map(|(_, log)| log))
    }

    /// The effect of a dead letter's saga; none if it has no saga. Blocks for one short read from the disk.
    pub fn effect(&self, id: DeliveryId) -> Result<Option<SagaEffect>, Error> {
        self.inner.trees.effect(id)
    }

    /// The ordering keys that dead letters block. Updated with every write before the write is answered.
    pub fn blocked_keys(&self) -> &BlockedKeys {
        &self.inner.blocked
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // The panic of the writer was logged already.
            self.closing.tally = writer.join().ok().flatten();
        }
    }
}
