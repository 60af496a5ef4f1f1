//! One transaction over all trees.
//!
//! In: steps. Out: all of them in sled's log, or none, with the counters that belong to them; not yet durable, that is
//! the writer's next move. Never flushes inside the transaction: sled would wait for itself.

use sled::Transactional as _;
use sled::transaction::{
    ConflictableTransactionError, TransactionError, TransactionalTree, UnabortableTransactionError,
};

use super::chunks::{self, Damage};
use super::dead_letters::FailedReplay;
use super::trees::{LETTER_COUNT, NEXT_NUMBER, Trees};
use super::write::{LedgerEntry, Step};
use super::{Error, checkpoint, letter_records, sweep};

/// The counters in `meta`, which the writer alone changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    pub next_number: u64,
    pub letter_count: u64,
}

impl Counters {
    pub(super) fn load(trees: &Trees) -> Result<Counters, Error> {
        Ok(Counters {
            next_number: trees.counter(NEXT_NUMBER)?.unwrap_or(1),
            letter_count: trees.counter(LETTER_COUNT)?.unwrap_or(0),
        })
    }
}

/// What a step met: for replays and removals, whether the letter was there. Damage is a letter that can't be read.
pub(super) type Met = Result<bool, Error>;

/// Applies the steps in their order. Returns what each one met, and the counters after them.
pub(super) fn apply(trees: &Trees, steps: &[Step], before: Counters) -> Result<(Vec<Met>, Counters), sled::Error> {
    let Trees { directory: _, meta, checkpoints, definitions, ledger, heads, changes } = trees;
    let all = (meta, checkpoints, definitions, ledger, heads, changes);
    let result = all.transaction(|(meta, checkpoints, definitions, ledger, heads, changes)| {
        let view = View { meta, checkpoints, definitions, ledger, heads, changes };
        let mut counters = before;
        let mut met = Vec::with_capacity(steps.len());
        for step in steps {
            met.push(view.apply(step, &mut counters)?);
        }
        if counters.next_number != before.next_number {
            meta.insert(NEXT_NUMBER, &counters.next_number.to_be_bytes())?;
        }
        if counters.letter_count != before.letter_count {
            meta.insert(LETTER_COUNT, &counters.letter_count.to_be_bytes())?;
        }
        Ok::<_, ConflictableTransactionError<std::convert::Infallible>>((met, counters))
    });
    result.map_err(|error| match error {
        TransactionError::Storage(error) => error,
        TransactionError::Abort(never) => match never {},
    })
}

struct View<'a> {
    meta: &'a TransactionalTree,
    checkpoints: &'a TransactionalTree,
    definitions: &'a TransactionalTree,
    ledger: &'a TransactionalTree,
    heads: &'a TransactionalTree,
    changes: &'a TransactionalTree,
}

impl View<'_> {
    fn apply(&self, step: &Step, counters: &mut Counters) -> Result<Met, UnabortableTransactionError> {
        match step {
            Step::ChangePart { number, change, chunks } => {
                self.meta.insert(sweep::mark(*number), &[][..])?;
                for (chunk, bytes) in change.chunks().skip(chunks.start as usize).take(chunks.len()) {
                    self.changes.insert(chunks::key(&number.to_be_bytes(), chunk), bytes)?;
                }
            }
            Step::Letter { number, head, change } => {
                match change {
                    Some(change) => chunks::put(self.changes, &number.to_be_bytes(), change)?,
                    None => drop(self.meta.remove(sweep::mark(*number))?),
                }
                chunks::put(self.heads, &number.to_be_bytes(), head)?;
                counters.next_number = number + 1;
                counters.letter_count += 1;
            }
            Step::Replayed(replay) => return self.replayed(replay),
            Step::Remove { number } => return self.remove(*number, counters).map(Ok),
            Step::Progress { checkpoint, paused, ledger_add, ledger_remove } => {
                for LedgerEntry { id, rule } in ledger_add {
                    self.ledger.insert(id.0.as_bytes(), rule.as_bytes())?;
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
        Ok(Ok(true))
    }

    /// A change of ordinary length goes with its head; what is left of a long one is marked to be swept.
    fn remove(&self, number: u64, counters: &mut Counters) -> Result<bool, UnabortableTransactionError> {
        let name = number.to_be_bytes();
        if !chunks::remove(self.heads, &name, 0..u32::MAX)? {
            return Ok(false);
        }
        counters.letter_count = counters.letter_count.saturating_sub(1);
        chunks::remove(self.changes, &name, 0..sweep::CHUNKS_MAX)?;
        if self.changes.get(chunks::key(&name, sweep::CHUNKS_MAX))?.is_some() {
            self.meta.insert(sweep::mark(number), &[][..])?;
        }
        Ok(true)
    }

    fn replayed(&self, replay: &FailedReplay) -> Result<Met, UnabortableTransactionError> {
        let name = replay.number.to_be_bytes();
        let read = chunks::read(|chunk| self.heads.get(chunks::key(&name, chunk)).map_err(ReadError::Sled));
        let decoded = read.and_then(|content| match content {
            Some(content) => letter_records::decode_head(replay.number, &content).map(Some).map_err(ReadError::Damage),
            None => Ok(None),
        });
        match decoded {
            Ok(None) => Ok(Ok(false)),
            Ok(Some(mut head)) => {
                head.failure = replay.failure.clone();
                head.replays = head.replays.saturating_add(1);
                head.replayed_at_us = Some(replay.replayed_at_us);
                chunks::put(self.heads, &name, &letter_records::encode_head(&head))?;
                Ok(Ok(true))
            }
            Err(ReadError::Damage(damage)) => Ok(Err(Error::record(format!("dead letter {}", replay.number), damage))),
            Err(ReadError::Sled(error)) => Err(error),
        }
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
