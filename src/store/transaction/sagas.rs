//! Sagas within a transaction: their logs, and which dead letters they belong to.
//!
//! In: logs, dead letters that are added and removed. Out: each saga with the dead letters that have it; a saga is removed with
//! the last of them. Counts those that wait for a person.

use std::ops::Range;

use sled::transaction::UnabortableTransactionError;

use super::{Counters, View, read};
use crate::change::DeliveryId;
use crate::saga::SagaEffect;
use crate::store::chunks::{self, Framed};
use crate::store::saga_records::{self, OfLetters};
use crate::store::write_steps::{Beside, KeptChange, SagaLogStep};
use crate::store::{sagas, sweep};

impl OfLetters {
    pub(in crate::store) fn awaits_a_person(&self) -> bool {
        self.effect == SagaEffect::Partial && !self.open.is_empty()
    }
}

impl View<'_> {
    /// The parts of a saga that are written in the transaction of a new dead letter.
    pub(super) fn write_beside(
        &self,
        number: u64,
        id: DeliveryId,
        beside: &Beside,
        counters: &mut Counters,
    ) -> Result<(), UnabortableTransactionError> {
        self.add_to_ledger(&beside.in_ledger)?;
        match &beside.saga {
            Some(saga) => self.put_saga(saga, counters)?,
            None => self.join_saga(id, number, counters)?,
        }
        for id in &beside.sagas_remove {
            self.end_saga(*id)?;
        }
        Ok(())
    }

    /// A second dead letter of a delivery has the saga of the first.
    fn join_saga(
        &self,
        id: DeliveryId,
        number: u64,
        counters: &mut Counters,
    ) -> Result<(), UnabortableTransactionError> {
        let Some(before) = self.of_letters(id)? else { return Ok(()) };
        let mut of = before.clone();
        of.letters.push(number);
        of.open.push(number);
        self.put_of_letters(id, Some(&before), Some(&of), counters)
    }

    /// No read sees the chunks before the log is written; a crash before that leaves them marked to be swept.
    pub(super) fn put_saga_part(
        &self,
        id: DeliveryId,
        change: &Framed,
        chunks: &Range<u32>,
    ) -> Result<(), UnabortableTransactionError> {
        self.meta.insert(sweep::saga_mark(id), &[][..])?;
        for (chunk, bytes) in change.chunks().skip(chunks.start as usize).take(chunks.len()) {
            self.saga_changes.insert(sagas::chunk_key(id, chunk), bytes)?;
        }
        Ok(())
    }

    pub(super) fn put_saga(
        &self,
        saga: &SagaLogStep,
        counters: &mut Counters,
    ) -> Result<(), UnabortableTransactionError> {
        let SagaLogStep { id, log, effect, letter, change } = saga;
        let before = self.of_letters(*id)?;
        let mut of = before.clone().unwrap_or(OfLetters { effect: *effect, letters: vec![], open: vec![] });
        of.effect = *effect;
        if let Some(number) = letter.filter(|number| !of.letters.contains(number)) {
            let head = self.head(number)?;
            // The dead letter was discarded during its replay: what is written now would never be removed.
            let Some(head) = head.transpose() else { return Ok(()) };
            of.letters.push(number);
            of.open.extend(head.is_ok_and(|record| record.head.resolved.is_none()).then_some(number));
        }
        chunks::put(self.sagas, id.0.as_bytes(), log)?;
        match of.letters.is_empty() {
            true => self.keep_change(*id, change),
            false => {
                self.drop_change(*id)?;
                self.put_of_letters(*id, before.as_ref(), Some(&of), counters)
            }
        }
    }

    fn keep_change(&self, id: DeliveryId, change: &KeptChange) -> Result<(), UnabortableTransactionError> {
        match change {
            KeptChange::AsItIs => return Ok(()),
            KeptChange::Whole(change) => chunks::put(self.saga_changes, id.0.as_bytes(), change)?,
            KeptChange::InParts => {}
        }
        self.meta.remove(sweep::saga_mark(id))?;
        Ok(())
    }

    /// What is left of a long one is marked to be swept.
    fn drop_change(&self, id: DeliveryId) -> Result<(), UnabortableTransactionError> {
        chunks::remove(self.saga_changes, id.0.as_bytes(), 0..sweep::CHUNKS_MAX)?;
        if self.saga_changes.get(sagas::chunk_key(id, sweep::CHUNKS_MAX))?.is_some() {
            self.meta.insert(sweep::saga_mark(id), &[][..])?;
        }
        Ok(())
    }

    /// The saga has ended; one that a dead letter has stays with the dead letter.
    pub(super) fn end_saga(&self, id: DeliveryId) -> Result<(), UnabortableTransactionError> {
        if self.of_letters(id)?.is_none() {
            chunks::remove(self.sagas, id.0.as_bytes(), 0..u32::MAX)?;
            self.drop_change(id)?;
        }
        Ok(())
    }

    /// The dead letter is removed.
    pub(super) fn leave_saga(
        &self,
        id: DeliveryId,
        number: u64,
        counters: &mut Counters,
    ) -> Result<(), UnabortableTransactionError> {
        let Some(before) = self.of_letters(id)? else { return Ok(()) };
        let mut of = before.clone();
        of.letters.retain(|letter| *letter != number);
        of.open.retain(|letter| *letter != number);
        if of.letters.is_empty() {
            self.put_of_letters(id, Some(&before), None, counters)?;
            return self.end_saga(id);
        }
        self.put_of_letters(id, Some(&before), Some(&of), counters)
    }

    /// The dead letter stays, and is closed.
    pub(super) fn close_saga(
        &self,
        id: DeliveryId,
        number: u64,
        counters: &mut Counters,
    ) -> Result<(), UnabortableTransactionError> {
        let Some(before) = self.of_letters(id)? else { return Ok(()) };
        let mut of = before.clone();
        of.open.retain(|letter| *letter != number);
        self.put_of_letters(id, Some(&before), Some(&of), counters)
    }

    /// A record that can't be read counts as none: the next log writes a new one.
    fn of_letters(&self, id: DeliveryId) -> Result<Option<OfLetters>, UnabortableTransactionError> {
        let content = read(self.saga_letters, id.0.as_bytes())?.ok().flatten();
        Ok(content.and_then(|content| saga_records::decode_of_letters(&content).ok()))
    }

    fn put_of_letters(
        &self,
        id: DeliveryId,
        before: Option<&OfLetters>,
        after: Option<&OfLetters>,
        counters: &mut Counters,
    ) -> Result<(), UnabortableTransactionError> {
        let counts = |of: Option<&OfLetters>| u64::from(of.is_some_and(OfLetters::awaits_a_person));
        counters.awaiting_count = (counters.awaiting_count + counts(after)).saturating_sub(counts(before));
        match after {
            _ if before == after => Ok(()),
            Some(of) => chunks::put(self.saga_letters, id.0.as_bytes(), &saga_records::encode_of_letters(of)),
            None => chunks::remove(self.saga_letters, id.0.as_bytes(), 0..u32::MAX).map(drop),
        }
    }
}
