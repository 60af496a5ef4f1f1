//! Dead letters as they are read: page by page, or all that fit in one pass.
//!
//! In: a filter, and where a page begins. Out: heads, or of each letter the facts that conditions and groups need, which are read without
//! the rest of its record. Memory does not grow with the number of letters (promise 6). May run beside the writer. Writes nothing.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use super::chunks::{self, Damage};
use super::dead_letters::{Closed, DeadLetterHead, Filter, LetterFacts, LetterOrder, NumberRange};
use super::trees::{Trees, number_of};
use super::{Error, letter_records, walk};

/// Threads of a pass over all letters; deliveries need the other processors.
const THREADS_MAX: usize = 4;

/// A thread for fewer letters is not worth it; in tests it is, for their sake.
const PART_LETTERS_MIN: u64 = if cfg!(test) { 100 } else { 20_000 };

/// A head's record, not yet decoded.
type StoredHead = Result<(u64, Vec<u8>), Error>;

impl Trees {
    /// The first `limit` heads that fit, of those behind `after` in this order.
    pub(super) fn letters(
        &self,
        filter: &Filter,
        order: LetterOrder,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<DeadLetterHead>, Error> {
        let fitting = self.stored_heads(filter, order, after).filter_map(|stored| {
            let (number, content) = match stored {
                Ok(stored) => stored,
                Err(error) => return Some(Err(error)),
            };
            match facts(number, &content).and_then(|facts| self.fits(filter, &facts)) {
                Ok(false) => None,
                Ok(true) => {
                    let record = letter_records::decode_head(number, &content);
                    Some(record.map(|record| record.head).map_err(|damage| of_letter(number, damage)))
                }
                Err(error) => Some(Err(error)),
            }
        });
        fitting.take(limit).collect()
    }

    /// Shows each letter that fits to one of several accumulators: each gets a part of the numbers, in ascending number, and they are in
    /// the order of their parts.
    pub(super) fn fold_letters<T: Send>(
        &self,
        filter: &Filter,
        begin: impl Fn() -> T + Sync,
        visit: impl Fn(&mut T, &LetterFacts) + Sync,
    ) -> Result<Vec<T>, Error> {
        let fold = |part: &Filter| {
            let mut folded = begin();
            self.each_letter(part, &mut |facts| visit(&mut folded, facts))?;
            Ok(folded)
        };
        let parts = self.parts(filter)?;
        if let [only] = parts.as_slice() {
            return Ok(vec![fold(only)?]);
        }
        thread::scope(|scope| {
            let threads: Vec<_> = parts.iter().map(|part| scope.spawn(|| fold(part))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }

    /// The filter, cut into ranges of numbers that are read side by side.
    fn parts(&self, filter: &Filter) -> Result<Vec<Filter>, Error> {
        let number_range = filter.number_range.clone();
        let in_range = Filter { number_range, closed: Closed::With, ..Filter::default() };
        let end = |order| self.letters(&in_range, order, None, 1).map(|heads| heads.first().map(|head| head.number));
        let ends = end(LetterOrder::OldestFirst)?.zip(end(LetterOrder::NewestFirst)?);
        let Some((first, last)) = ends.filter(|_| filter.numbers.is_none()) else { return Ok(vec![filter.clone()]) };
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let of_size = usize::try_from((last - first) / PART_LETTERS_MIN).unwrap_or(usize::MAX);
        let parts = processors.min(THREADS_MAX).min(of_size).max(1) as u64;
        let size = (last - first) / parts + 1;
        let range = |part| {
            let from = first + part * size;
            NumberRange(from..=last.min(from + (size - 1)))
        };
        Ok((0..parts).map(|part| Filter { number_range: range(part), ..filter.clone() }).collect())
    }

    /// Shows each letter that fits, in ascending number.
    fn each_letter(&self, filter: &Filter, visit: &mut dyn FnMut(&LetterFacts)) -> Result<(), Error> {
        for stored in self.stored_heads(filter, LetterOrder::OldestFirst, None) {
            let (number, content) = stored?;
            let facts = facts(number, &content)?;
            if self.fits(filter, &facts)? {
                visit(&facts);
            }
        }
        Ok(())
    }

    /// The records of all heads that may fit by their number.
    fn stored_heads<'a>(
        &'a self,
        filter: &'a Filter,
        order: LetterOrder,
        after: Option<u64>,
    ) -> Box<dyn Iterator<Item = StoredHead> + 'a> {
        let (mut first, mut last) = filter.number_range.0.clone().into_inner();
        match (order, after) {
            (_, None) => {}
            (LetterOrder::OldestFirst, Some(after)) => match after.checked_add(1) {
                Some(next) => first = first.max(next),
                None => return Box::new(std::iter::empty()),
            },
            (LetterOrder::NewestFirst, Some(after)) => match after.checked_sub(1) {
                Some(next) => last = last.min(next),
                None => return Box::new(std::iter::empty()),
            },
        }
        if first > last {
            return Box::new(std::iter::empty());
        }
        if let Some(numbers) = &filter.numbers {
            let named = numbers.range(first..=last).copied();
            let read = |number| self.stored_head(number).map(|head| head.map(|content| (number, content))).transpose();
            return match order {
                LetterOrder::OldestFirst => Box::new(named.filter_map(read)),
                LetterOrder::NewestFirst => Box::new(named.rev().filter_map(read)),
            };
        }
        let entries: Box<dyn Iterator<Item = walk::WalkedEntry>> = match order {
            LetterOrder::OldestFirst => Box::new(walk::from(&self.heads, chunks::key(&first.to_be_bytes(), 0))),
            LetterOrder::NewestFirst => Box::new(walk::back_from(&self.heads, chunks::key(&last.to_be_bytes(), 0))),
        };
        let stored = entries.map(|entry| {
            let (key, chunk) = entry.map_err(Error::read(&self.directory))?;
            let number = number_of(&key)?;
            let is_first_chunk = key.ends_with(&0_u32.to_be_bytes());
            Ok((number, if is_first_chunk { self.stored_head_from(number, &chunk)? } else { None }))
        });
        let is_of_range = move |stored: &Result<(u64, Option<Vec<u8>>), Error>| match stored {
            Ok((number, _)) => (first..=last).contains(number),
            Err(_) => true,
        };
        let whole = |stored: Result<(u64, Option<Vec<u8>>), Error>| {
            stored.map(|(number, content)| content.map(|content| (number, content))).transpose()
        };
        Box::new(stored.take_while(is_of_range).filter_map(whole))
    }

    /// The head whose first chunk a walk just met: most have no other chunk to read.
    fn stored_head_from(&self, number: u64, first: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let whole = chunks::read(|chunk| match chunk {
            0 => Ok(Some(first.into())),
            other => Err(Damage::Missing(other)),
        });
        match whole {
            Ok(Some(content)) => Ok(Some(content)),
            _ => self.stored_head(number),
        }
    }

    /// What the dead letter's records take; nothing if there is none. A record that is damaged counts as nothing.
    pub(super) fn letter_bytes(&self, number: u64) -> Result<u64, Error> {
        let mut bytes = 0;
        for tree in [&self.heads, &self.changes, &self.bodies] {
            let first = walk::get(tree, chunks::key(&number.to_be_bytes(), 0)).map_err(Error::read(&self.directory))?;
            bytes += first.and_then(|first| chunks::content_bytes(&first).ok()).unwrap_or(0);
        }
        Ok(bytes)
    }

    fn stored_head(&self, number: u64) -> Result<Option<Vec<u8>>, Error> {
        self.record(&self.heads, &number.to_be_bytes(), || format!("dead letter {number}"))
    }

    fn fits(&self, filter: &Filter, facts: &LetterFacts) -> Result<bool, Error> {
        if !filter.matches(facts) {
            return Ok(false);
        }
        let Some(key) = &filter.key else { return Ok(true) };
        match self.letter(facts.number) {
            Ok(letter) => Ok(letter.is_some_and(|letter| letter.change.is_of_key(key))),
            // The key of a damaged one is unknown: it is nothing that was asked for.
            Err(Error::Record { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn of_letter(number: u64, damage: Damage) -> Error {
    Error::record(format!("dead letter {number}"), damage)
}

fn facts(number: u64, content: &[u8]) -> Result<LetterFacts<'_>, Error> {
    letter_records::facts(number, content).map_err(|damage| of_letter(number, damage))
}
