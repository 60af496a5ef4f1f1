//! What is left of a damaged store, as a store of its own.
//!
//! In: the trees of the damaged store, of which each part may be unreadable. Out: a new store in a folder of its own, in which everything
//! can be read and belongs together, and what it lacks. A dead letter is taken whole or not at all. What dead letters block, and which of
//! them have a saga, is made from dead letters and saga logs again. A checkpoint is taken only if all rules' positions can be read:
//! without one of them its rule would leave changes out. Changes nothing in the damaged store.

use std::path::Path;

use super::backup::NewStore;
use super::dead_letters::DeadLetter;
use super::letter_numbers::LetterNumbers;
use super::saga_records::{self, OfLetters};
use super::tally::Tally;
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::verify::{self, LetterPlace};
use super::{Error, blocked_keys, checkpoint, chunks, needs, position_log, walk};
use crate::change::DeliveryId;
use crate::failure::Reason;
use crate::ordering::LANE_FORM;

/// What became of dead letters and sagas.
pub(super) struct Rebuilt {
    pub letters: u64,
    /// Not taken over; where their numbers can't be read, all that may be missing.
    pub unreadable: LetterNumbers,
    /// Not taken over although a dead letter or the binlog still has their change.
    pub sagas_lost: u64,
    pub has_checkpoint: bool,
}

/// Makes the new store; an empty one where nothing can be read. `restored_until_us` is up to when calls may have left no trace in it.
pub(super) fn rebuild(
    from: Option<&Trees>,
    tally: &Tally,
    next_number: u64,
    restored_until_us: u64,
    folder: &Path,
) -> Result<Rebuilt, Error> {
    let mut new = NewStore::make(folder)?;
    let to = new.trees();
    let mut rebuild = Rebuild {
        from: from.unwrap_or(&to),
        to: &to,
        new: &mut new,
        counters: Counters::without_letters(tally.writes, next_number),
    };
    rebuild.checkpoints()?;
    rebuild.ledger()?;
    let unreadable = rebuild.letters()?;
    let sagas_lost = rebuild.sagas()?;
    let counters = rebuild.counters;
    rebuild.meta(tally, restored_until_us)?;
    let has_checkpoint = to.recorded()?.main.is_some();
    drop(to);
    new.finish(&tally.store, tally.format, tally.place.as_deref())?;
    Ok(Rebuilt { letters: counters.letter_count, unreadable, sagas_lost, has_checkpoint })
}

/// Whether a record can be read, or is not there.
type IsSound = fn(&Trees) -> bool;

struct Rebuild<'r, 'f> {
    from: &'r Trees,
    to: &'r Trees,
    new: &'r mut NewStore<'f>,
    counters: Counters,
}

impl Rebuild<'_, '_> {
    /// With definitions, which are read from the server again if not all of them are left.
    fn checkpoints(&mut self) -> Result<(), Error> {
        let (from, to) = (self.from, self.to);
        if !self.copy_all(&from.definitions, &to.definitions)? || to.definitions().is_err() {
            clear(to, &to.definitions)?;
        }
        let is_whole = self.copy_all(&from.checkpoints, &to.checkpoints)?;
        // Each of these is of use without the others and without a checkpoint, and a checkpoint without them.
        let of_their_own: [(&[u8], IsSound); 3] = [
            (checkpoint::PAUSED, |trees| trees.paused().is_ok()),
            (needs::NEEDS, |trees| trees.needs().is_ok()),
            (position_log::POSITION_LOG, |trees| trees.position_log().is_ok()),
        ];
        let (sound, damaged): (Vec<_>, Vec<_>) = of_their_own.into_iter().partition(|(_, is_sound)| is_sound(to));
        for (name, _) in damaged {
            remove_record(to, &to.checkpoints, name)?;
        }
        if is_whole && to.saved().is_ok() && to.positions().is_ok() {
            return Ok(());
        }
        clear(to, &to.checkpoints)?;
        sound.iter().try_for_each(|(name, _)| self.copy_record(&from.checkpoints, &to.checkpoints, name))
    }

    fn ledger(&mut self) -> Result<(), Error> {
        for (id, rule) in walk::all(&self.from.ledger).filter_map(Result::ok) {
            if uuid::Uuid::from_slice(&id).is_ok() && std::str::from_utf8(&rule).is_ok() {
                self.new.insert(&self.to.ledger, id, rule)?;
            }
        }
        Ok(())
    }

    /// Returns those that can't be read.
    fn letters(&mut self) -> Result<LetterNumbers, Error> {
        let (from, mut unreadable, mut failed) = (self.from, LetterNumbers::default(), Ok(()));
        verify::each_letter(from, |place| match place {
            _ if failed.is_err() => {}
            LetterPlace::Number(number) => match from.letter(number) {
                Ok(Some(letter)) => failed = self.letter(&letter),
                Ok(None) | Err(_) => unreadable.add(number..=number),
            },
            LetterPlace::Unreadable(numbers) => unreadable.add(numbers),
            LetterPlace::Nameless(_) => {}
        });
        failed.map(|()| unreadable)
    }

    fn letter(&mut self, letter: &DeadLetter) -> Result<(), Error> {
        let (from, to, head) = (self.from, self.to, &letter.head);
        let name = head.number.to_be_bytes();
        self.copy_record(&from.heads, &to.heads, &name)?;
        self.copy_record(&from.changes, &to.changes, &name)?;
        self.copy_record(&from.bodies, &to.bodies, &name)?;
        for (entry, value) in blocked_keys::entries(&head.lanes, head.number) {
            self.new.insert(&to.holds, entry, value)?;
        }
        let Counters { next_number, letter_count, blocked_count, resolved_count, .. } = &mut self.counters;
        *next_number = head.number.saturating_add(1).max(*next_number);
        *letter_count += 1;
        *resolved_count += u64::from(head.resolved.is_some());
        *blocked_count += u64::from(head.resolved.is_none() && head.failure.reason == Reason::Blocked);
        self.join_saga(head.delivery_id, head.number, head.resolved.is_none())
    }

    /// The dead letter gets its saga, if the log can be read.
    fn join_saga(&mut self, id: DeliveryId, number: u64, is_open: bool) -> Result<(), Error> {
        let (from, to) = (self.from, self.to);
        let has_saga = from.of_letters(id).map_or(true, |of| of.is_some_and(|of| of.letters.contains(&number)));
        let Some((_, log)) = from.saga(id).ok().flatten().filter(|_| has_saga) else { return Ok(()) };
        self.copy_record(&from.sagas, &to.sagas, id.0.as_bytes())?;
        let effect = log.effect();
        let before = to.of_letters(id)?.unwrap_or(OfLetters { effect, letters: Vec::new(), open: Vec::new() });
        let mut of = before.clone();
        of.letters.push(number);
        of.open.extend(is_open.then_some(number));
        self.counters.awaiting_count += u64::from(of.awaits_a_person()) - u64::from(before.awaits_a_person());
        for (chunk, content) in saga_records::encode_of_letters(&of).chunks() {
            self.new.insert(&to.saga_letters, chunks::key(id.0.as_bytes(), chunk), content)?;
        }
        Ok(())
    }

    /// Takes those that are under way and can go on. Returns how many others are lost, but for those that are lost with their dead letters.
    fn sagas(&mut self) -> Result<u64, Error> {
        let (from, to, mut lost) = (self.from, self.to, 0);
        for id in verify::saga_ids(from, |_| {}) {
            if to.saga(id)?.is_some() {
                continue;
            }
            match (from.of_letters(id), from.under_way(id)) {
                (Ok(Some(of)), _) => {
                    lost += u64::from(of.letters.iter().any(|number| matches!(to.head(*number), Ok(Some(_)))))
                }
                (_, Ok(Some(_))) => {
                    self.copy_record(&from.sagas, &to.sagas, id.0.as_bytes())?;
                    self.copy_record(&from.saga_changes, &to.saga_changes, id.0.as_bytes())?;
                }
                _ => lost += 1,
            }
        }
        Ok(lost)
    }

    fn meta(&mut self, tally: &Tally, restored_until_us: u64) -> Result<(), Error> {
        let (from, to) = (self.from, self.to);
        self.counters.put(to).map_err(|error| Error::write(&to.directory, &error))?;
        let store = uuid::Uuid::parse_str(&tally.store).unwrap_or_else(|_| uuid::Uuid::new_v4());
        self.new.insert(&to.meta, trees::STORE_ID, &store.as_bytes()[..])?;
        // A store that has a tally was opened by a version that has this form.
        if let Some(form) = from.counter(trees::LANE_FORM_STORED).unwrap_or(Some(LANE_FORM)) {
            self.new.insert(&to.meta, trees::LANE_FORM_STORED, &form.to_be_bytes())?;
        }
        self.new.insert(&to.meta, trees::RESTORED_UNTIL_US, &restored_until_us.to_be_bytes())
    }

    /// Whether all of it could be read.
    fn copy_all(&mut self, from: &sled::Tree, to: &sled::Tree) -> Result<bool, Error> {
        let mut is_whole = true;
        for entry in walk::all(from) {
            match entry {
                Ok((key, value)) => self.new.insert(to, key, value)?,
                Err(_) => is_whole = false,
            }
        }
        Ok(is_whole)
    }

    fn copy_record(&mut self, from: &sled::Tree, to: &sled::Tree, name: &[u8]) -> Result<(), Error> {
        record(from, name).try_for_each(|(key, value)| self.new.insert(to, key, value))
    }
}

/// What can be read of a record.
fn record(tree: &sled::Tree, name: &[u8]) -> impl Iterator<Item = (sled::IVec, sled::IVec)> {
    let length = name.len() + size_of::<u32>();
    walk::prefix(tree, name).filter_map(Result::ok).filter(move |(key, _)| key.len() == length)
}

fn remove_record(trees: &Trees, tree: &sled::Tree, name: &[u8]) -> Result<(), Error> {
    record(tree, name).try_for_each(|(key, _)| match tree.remove(key) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::write(&trees.directory, &error)),
    })
}

fn clear(trees: &Trees, tree: &sled::Tree) -> Result<(), Error> {
    tree.clear().map_err(|error| Error::write(&trees.directory, &error))
}
