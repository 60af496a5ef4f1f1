//! One transaction over all trees.
//!
//! In: steps. Out: all of them in sled's log, or none, with the counters that belong to them; not yet durable, that is
//! the writer's next move. Never flushes inside the transaction: sled would wait for itself.

mod sagas;

use sled::Transactional as _;
use sled::transaction::{
    ConflictableTransactionError, TransactionError, TransactionalTree, UnabortableTransactionError,
};

use super::chunks::{self, Damage};
use super::dead_letters::{FailedReplay, Resolution, Resolved};
use super::letter_records::HeadRecord;
use super::trees::{AWAITING_COUNT, BLOCKED_COUNT, LETTER_COUNT, NEXT_NUMBER, RESOLVED_COUNT, Trees, WRITE_COUNT};
use super::write_steps::{LedgerEntry, LetterChange, WriteStep};
use super::{DeadLetterHead, Error, blocked_keys, checkpoint, letter_records, sweep};
use crate::failure::Reason;
use crate::ordering::LaneKeys;

/// The counters in `meta`, which the writer alone changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    pub next_number: u64,
    pub letter_count: u64,
    /// Those of `letter_count` that are blocked, and not resolved.
    pub blocked_count: u64,
    /// Those of `letter_count` that are resolved.
    pub resolved_count: u64,
    /// Sagas of dead letters that wait for a person.
    pub awaiting_count: u64,
    /// Transactions, this one included.
    pub write_count: u64,
}

impl Counters {
    pub(super) fn load(trees: &Trees) -> Result<Counters, Error> {
        Ok(Counters {
            next_number: trees.counter(NEXT_NUMBER)?.unwrap_or(1),
            letter_count: trees.counter(LETTER_COUNT)?.unwrap_or(0),
            blocked_count: trees.counter(BLOCKED_COUNT)?.unwrap_or(0),
            resolved_count: trees.counter(RESOLVED_COUNT)?.unwrap_or(0),
            awaiting_count: trees.counter(AWAITING_COUNT)?.unwrap_or(0),
            write_count: trees.counter(WRITE_COUNT)?.unwrap_or(0),
        })
    }

    /// Those of a store that has no dead letters yet.
    pub(super) fn without_letters(write_count: u64, next_number: u64) -> Counters {
        let (letter_count, blocked_count, resolved_count, awaiting_count) = (0, 0, 0, 0);
        Counters { next_number, letter_count, blocked_count, resolved_count, awaiting_count, write_count }
    }

    /// Each with its key.
    fn all(self) -> [(&'static [u8], u64); 6] {
        [
            (NEXT_NUMBER, self.next_number),
            (LETTER_COUNT, self.letter_count),
            (BLOCKED_COUNT, self.blocked_count),
            (RESOLVED_COUNT, self.resolved_count),
            (AWAITING_COUNT, self.awaiting_count),
            (WRITE_COUNT, self.write_count),
        ]
    }

    /// Stores them by themselves, while nothing else is written. Not durable yet.
    pub(super) fn put(self, trees: &Trees) -> Result<(), sled::Error> {
        for (key, value) in self.all() {
            trees.meta.insert(key, &value.to_be_bytes())?;
        }
        Ok(())
    }

    /// A dead letter that was counted is removed, or is resolved from now on.
    fn uncount(&mut self, head: &DeadLetterHead) {
        match (&head.resolved, head.failure.reason) {
            (Some(_), _) => self.resolved_count = self.resolved_count.saturating_sub(1),
            (None, Reason::Blocked) => self.blocked_count = self.blocked_count.saturating_sub(1),
            (None, _) => {}
        }
    }
}

/// The result of a step: for replays and removals, the ordering keys of the dead letter if it existed. An error: the
/// dead letter can't be read.
pub(super) type StepResult = Result<Option<LaneKeys>, Error>;

/// Applies the steps in their order. Returns what each one found, and the counters after them.
pub(super) fn apply(
    trees: &Trees,
    steps: &[WriteStep],
    before: Counters,
) -> Result<(Vec<StepResult>, Counters), sled::Error> {
    let Trees { directory: _, meta, checkpoints, definitions, ledger, heads, changes, bodies, holds, .. } = trees;
    let Trees { sagas, saga_changes, saga_letters, .. } = trees;
    let all =
        (meta, checkpoints, definitions, ledger, heads, changes, bodies, holds, sagas, saga_changes, saga_letters);
    let result = all.transaction(|(meta, checkpoints, definitions, ledger, heads, changes, bodies, q, o, oc, ol)| {
        let (holds, sagas, saga_changes, saga_letters) = (q, o, oc, ol);
        let view = View {
            meta,
            checkpoints,
            definitions,
            ledger,
            heads,
            changes,
            bodies,
            holds,
            sagas,
            saga_changes,
            saga_letters,
        };
        let mut counters = Counters { write_count: before.write_count + 1, ..before };
        let mut met = Vec::with_capacity(steps.len());
        for step in steps {
            met.push(view.apply(step, &mut counters)?);
        }
        for ((key, value), (_, value_before)) in counters.all().into_iter().zip(before.all()) {
            if value != value_before {
                meta.insert(key, &value.to_be_bytes())?;
            }
        }
        Ok::<_, ConflictableTransactionError<std::convert::Infallible>>((met, counters))
    });
    result.map_err(|error| match error {
        TransactionError::Storage(error) => error,
        TransactionError::Abort(never) => match never {},
    })
}

pub(super) struct View<'a> {
    meta: &'a TransactionalTree,
    checkpoints: &'a TransactionalTree,
    definitions: &'a TransactionalTree,
    ledger: &'a TransactionalTree,
    heads: &'a TransactionalTree,
    changes: &'a TransactionalTree,
    pub(super) bodies: &'a TransactionalTree,
    holds: &'a TransactionalTree,
    sagas: &'a TransactionalTree,
    saga_changes: &'a TransactionalTree,
    saga_letters: &'a TransactionalTree,
}

impl View<'_> {
    fn apply(&self, step: &WriteStep, counters: &mut Counters) -> Result<StepResult, UnabortableTransactionError> {
        match step {
            WriteStep::ChangePart { number, change, chunks } => {
                self.meta.insert(sweep::mark(*number), &[][..])?;
                for (chunk, bytes) in change.chunks().skip(chunks.start as usize).take(chunks.len()) {
                    self.changes.insert(chunks::key(&number.to_be_bytes(), chunk), bytes)?;
                }
            }
            WriteStep::Letter { number, id, head, change, lanes, is_blocked, beside } => {
                match change {
                    LetterChange::WithinHead => {}
                    LetterChange::OfItsOwn(change) => chunks::put(self.changes, &number.to_be_bytes(), change)?,
                    LetterChange::InParts => drop(self.meta.remove(sweep::mark(*number))?),
                }
                chunks::put(self.heads, &number.to_be_bytes(), head)?;
                for (entry, value) in blocked_keys::entries(lanes, *number) {
                    self.holds.insert(&entry, value)?;
                }
                counters.next_number = number + 1;
                counters.letter_count += 1;
                counters.blocked_count += u64::from(*is_blocked);
                self.write_beside(*number, *id, beside, counters)?;
            }
            WriteStep::SagaPart { id, change, chunks } => self.put_saga_part(*id, change, chunks)?,
            WriteStep::Saga(saga) => self.put_saga(saga, counters)?,
            WriteStep::Replayed { replay, sagas } => {
                for saga in sagas {
                    self.put_saga(saga, counters)?;
                }
                return self.replayed(replay, counters);
            }
            WriteStep::Edit(new) => return self.edit(new),
            WriteStep::Resolve(resolution) => return self.resolve(resolution, counters),
            WriteStep::Remove { number } => return self.remove(*number, counters).map(Ok),
            WriteStep::Progress { checkpoint, paused, ledger_add, ledger_remove, sagas_remove } => {
                self.add_to_ledger(ledger_add)?;
                for id in sagas_remove {
                    self.end_saga(*id)?;
                }
                for id in ledger_remove {
                    self.ledger.remove(id.0.as_bytes())?;
                }
                checkpoint.definitions.apply(self.definitions)?;
                checkpoint.checkpoints.apply(self.checkpoints)?;
                if let Some(paused) = paused {
                    chunks::put(self.checkpoints, checkpoint::PAUSED, paused)?;
                }
            }
        }
        Ok(Ok(None))
    }

    /// A change of ordinary length is removed with its head; what is left of a long one is marked to be swept.
    fn remove(&self, number: u64, counters: &mut Counters) -> Result<Option<LaneKeys>, UnabortableTransactionError> {
        let name = number.to_be_bytes();
        let mut lanes = LaneKeys::none();
        // A dead letter that can't be read can be discarded, too; the keys that it blocked become free at the next
        // opening.
        if let Ok(Some(HeadRecord { head, .. })) = self.head(number)? {
            counters.uncount(&head);
            self.leave_saga(head.delivery_id, number, counters)?;
            lanes = head.lanes;
        }
        if !chunks::remove(self.heads, &name, 0..u32::MAX)? {
            return Ok(None);
        }
        self.let_go(&lanes, number)?;
        counters.letter_count = counters.letter_count.saturating_sub(1);
        self.drop_body(number)?;
        chunks::remove(self.changes, &name, 0..sweep::CHUNKS_MAX)?;
        if self.changes.get(chunks::key(&name, sweep::CHUNKS_MAX))?.is_some() {
            self.meta.insert(sweep::mark(number), &[][..])?;
        }
        Ok(Some(lanes))
    }

    fn add_to_ledger(&self, entries: &[LedgerEntry]) -> Result<(), UnabortableTransactionError> {
        for LedgerEntry { id, rule } in entries {
            self.ledger.insert(id.0.as_bytes(), rule.as_bytes())?;
        }
        Ok(())
    }

    fn let_go(&self, lanes: &LaneKeys, number: u64) -> Result<(), UnabortableTransactionError> {
        for (entry, _) in blocked_keys::entries(lanes, number) {
            self.holds.remove(&entry)?;
        }
        Ok(())
    }

    /// The dead letter stays; from now on it is not counted and blocks nothing. One that is resolved already keeps its note.
    fn resolve(
        &self,
        resolution: &Resolution,
        counters: &mut Counters,
    ) -> Result<StepResult, UnabortableTransactionError> {
        let Resolution { number, note, at_us } = resolution;
        let mut record = match self.head(*number)? {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Ok(None)),
            Err(damage) => return Ok(Err(Error::record(format!("dead letter {number}"), damage))),
        };
        let head = &mut record.head;
        if head.resolved.is_some() {
            return Ok(Ok(None));
        }
        counters.uncount(head);
        counters.resolved_count += 1;
        let lanes = std::mem::replace(&mut head.lanes, LaneKeys::none());
        self.let_go(&lanes, *number)?;
        self.close_saga(head.delivery_id, *number, counters)?;
        head.resolved = Some(Resolved { note: note.clone(), at_us: *at_us });
        self.put_head(&record)?;
        Ok(Ok(Some(lanes)))
    }

    fn replayed(
        &self,
        replay: &FailedReplay,
        counters: &mut Counters,
    ) -> Result<StepResult, UnabortableTransactionError> {
        let mut record = match self.head(replay.number)? {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(Ok(None)),
            Err(damage) => return Ok(Err(Error::record(format!("dead letter {}", replay.number), damage))),
        };
        let head = &mut record.head;
        if head.failure.reason == Reason::Blocked {
            counters.blocked_count = counters.blocked_count.saturating_sub(u64::from(head.resolved.is_none()));
        } else {
            head.replays = head.replays.saturating_add(1);
            head.replayed_at_us = Some(replay.replayed_at_us);
        }
        head.failure = replay.failure.clone();
        self.put_head(&record)?;
        Ok(Ok(Some(record.head.lanes)))
    }

    pub(super) fn put_head(&self, record: &HeadRecord) -> Result<(), UnabortableTransactionError> {
        chunks::put(self.heads, &record.head.number.to_be_bytes(), &letter_records::encode_head(record))
    }

    pub(super) fn head(&self, number: u64) -> Result<Result<Option<HeadRecord>, Damage>, UnabortableTransactionError> {
        let content = read(self.heads, &number.to_be_bytes())?;
        Ok(content.and_then(|content| content.map(|text| letter_records::decode_head(number, &text)).transpose()))
    }
}

/// A whole record.
fn read(tree: &TransactionalTree, name: &[u8]) -> Result<Result<Option<Vec<u8>>, Damage>, UnabortableTransactionError> {
    match chunks::read(|chunk| tree.get(chunks::key(name, chunk)).map_err(ReadError::Sled)) {
        Ok(content) => Ok(Ok(content)),
        Err(ReadError::Damage(damage)) => Ok(Err(damage)),
        Err(ReadError::Sled(error)) => Err(error),
    }
}

enum ReadError {
    Damage(Damage),
    Sled(UnabortableTransactionError),
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> ReadError {
        ReadError::Damage(damage)
    }
}
