//! Dead letters as they are read: page by page, or all that fit in one pass.
//!
//! In: a filter, and where a page begins. Out: heads, or of each letter the facts that conditions and groups need, which are read without
//! the rest of its record. Memory does not grow with the number of letters (promise 6). May run beside the writer. Writes nothing.

use std::borrow::Cow;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::chunks::{self, Damage};
use super::dead_letters::{Closed, DeadLetterHead, Filter, LetterFacts, LetterOrder, NumberRange};
use super::trees::{Trees, number_of};
use super::{Error, former_words, letter_records, walk};

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
                    Some(letter_records::decode_head(number, &content).map_err(|damage| of_letter(number, damage)))
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

/// The part of a head's record that conditions need; the rest is passed over.
#[derive(Deserialize)]
struct FactsRecord<'a> {
    #[serde(borrow)]
    rule: Cow<'a, str>,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    attempts: Vec<AttemptFactsRecord<'a>>,
    created_at_us: u64,
    #[serde(default)]
    resolved: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AttemptFactsRecord<'a> {
    #[serde(borrow)]
    answer: AnswerFactsRecord<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerFactsRecord<'a> {
    Status {
        status: u16,
    },
    Written {},
    Failed {
        #[serde(borrow)]
        error: Cow<'a, str>,
    },
}

fn facts(number: u64, content: &[u8]) -> Result<LetterFacts<'_>, Error> {
    let damaged = |damage| of_letter(number, damage);
    let mut record: FactsRecord = chunks::decode(content).map_err(damaged)?;
    let (status, error) = match record.attempts.pop().map(|attempt| attempt.answer) {
        Some(AnswerFactsRecord::Status { status }) => (Some(status), None),
        Some(AnswerFactsRecord::Failed { error }) => (None, Some(error)),
        Some(AnswerFactsRecord::Written {}) | None => (None, None),
    };
    let reason = former_words::reason(&record.reason);
    Ok(LetterFacts {
        number,
        rule: record.rule,
        op: record.op,
        table: record.table,
        reason: reason.ok_or_else(|| damaged(Damage::unknown("reason", &record.reason)))?,
        message: record.message,
        status,
        error,
        created_at_us: record.created_at_us,
        is_resolved: record.resolved.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::dead_letters::{LetterFailure, Resolved};
    use super::*;
    use crate::change::{DeliveryId, Op};
    use crate::failure::{Answer, Attempt, Attempts, Reason};
    use crate::ordering::LaneKeys;

    #[test]
    fn the_facts_of_a_letter_are_those_of_its_head() {
        let answers = [
            vec![],
            vec![Answer::Status { status: 404, excerpt: "no \"such\" order".to_string() }],
            vec![
                Answer::Failed { error: "first".to_string() },
                Answer::Failed { error: "no \"answer\" within 10s".to_string() },
            ],
            vec![Answer::Written { rows: 3 }],
        ];
        for answers in answers {
            let attempt = |answer: &Answer| Attempt { started_at_us: 1, duration_us: 2, answer: answer.clone() };
            let attempts = Attempts::new(answers.iter().map(attempt).collect(), 20);
            let head = DeadLetterHead {
                number: 7,
                delivery_id: DeliveryId(uuid::Uuid::from_u128(1)),
                rule: "a \"rule\"".into(),
                op: Op::Update,
                table: "shop.orders".into(),
                failure: LetterFailure { reason: Reason::Refused, message: "tab\tand ü".to_string(), attempts },
                lanes: LaneKeys::none(),
                created_at_us: 9,
                replays: 1,
                replayed_at_us: Some(3),
                redacted: vec!["note".into()],
                resolved: (answers.len() == 1).then(|| Resolved { note: "n".into(), at_us: 1 }),
                edit: None,
            };
            let content = letter_records::encode_head(&head).read_back();
            assert_eq!(facts(7, &content).expect("readable"), head.facts(), "{answers:?}");
        }
    }
}
