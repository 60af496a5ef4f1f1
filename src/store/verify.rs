//! Reading everything that the store contains.
//!
//! In: the trees, while the writer waits. Out: what is there, and each thing that can't be read or contradicts another, once. Needs no
//! more memory for a large store. Writes nothing.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use uuid::Uuid;

use super::error::plain;
use super::letter_numbers::LetterNumbers;
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::{Error, walk};
use crate::change::DeliveryId;
use crate::failure::Reason;

/// Problems beyond this number are only counted.
const PROBLEMS_MAX: usize = 20;
/// So many of them stand in one line.
const PROBLEMS_SHORT_MAX: usize = 5;

/// What a store contains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Dead letters, those that are blocked or resolved included.
    pub letters: u64,
    pub blocked: u64,
    pub resolved: u64,
    pub sagas: u64,
    /// Entries of the trees, and the bytes of their keys and values.
    pub entries: u64,
    pub bytes: u64,
    /// The first of what is wrong, each with the thing's name.
    pub problems: Vec<String>,
    pub problem_count: u64,
    /// Dead letters that can't be read. Where their numbers can't be read either, those that are missing there.
    pub unreadable: LetterNumbers,
    /// Whether it lacks more than single records that are named when they are needed: then a start refuses it.
    pub is_incomplete: bool,
}

impl Verified {
    pub fn is_whole(&self) -> bool {
        self.problem_count == 0
    }

    /// The first problems in one line.
    pub(super) fn in_short(&self) -> String {
        let shown = self.problems.len().min(PROBLEMS_SHORT_MAX);
        let more = match self.problem_count - shown as u64 {
            0 => String::new(),
            count => format!("; and {count} more problems"),
        };
        self.problems[..shown].join("; ") + &more
    }

    fn problem(&mut self, problem: impl ToString) {
        let problem = problem.to_string();
        if self.problems.contains(&problem) {
            return;
        }
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
        self.problem_count += 1;
    }

    fn incomplete(&mut self, problem: impl ToString) {
        self.is_incomplete = true;
        self.problem(problem);
    }

    /// What sled can't read was met by the walk over all trees, and is named already.
    fn note<T>(&mut self, read: Result<T, Error>) -> Option<T> {
        match read {
            Ok(read) => return Some(read),
            Err(Error::Read { .. }) if self.is_incomplete => {}
            Err(error @ Error::Read { .. }) => self.incomplete(error),
            Err(error) => self.problem(error),
        }
        None
    }

    /// As [`Verified::note`], of what a start needs.
    fn require<T>(&mut self, read: Result<T, Error>) {
        self.is_incomplete |= matches!(read, Err(Error::Record { .. }));
        self.note(read);
    }
}

/// Reads all trees. `step` is called now and then.
pub(super) fn all(trees: &Trees, mut step: impl FnMut()) -> Verified {
    let mut found = Verified::default();
    for (name, tree) in trees.named() {
        for entry in walk::all(tree) {
            match entry {
                Ok((key, value)) => {
                    found.entries += 1;
                    found.bytes += (key.len() + value.len()) as u64;
                }
                Err(error) => found.incomplete(format!("{name}: {}", plain(&error))),
            }
            if found.entries.is_multiple_of(1000) {
                step();
            }
        }
    }
    found.require(trees.saved());
    found.require(trees.blocked());
    found.note(trees.positions());
    letters(trees, &mut found, &mut step);
    sagas(trees, &mut found, &mut step);
    found
}

/// What stands where a dead letter may.
pub(super) enum LetterPlace {
    Number(u64),
    /// Nothing between two numbers can be read, or nothing up to the last number that was given.
    Unreadable(RangeInclusive<u64>),
    /// No number.
    Nameless(Error),
}

/// Goes over the heads of all dead letters. A head that can't be decoded has a number as well.
pub(super) fn each_letter(trees: &Trees, mut visit: impl FnMut(LetterPlace)) {
    let (mut next, mut is_damaged) = (1, false);
    for key in walk::all(&trees.heads).keys() {
        let key = match key {
            Ok(key) if key.ends_with(&0_u32.to_be_bytes()) => key,
            Ok(_) => continue,
            Err(_) => {
                is_damaged = true;
                continue;
            }
        };
        match trees::number_of(&key) {
            Ok(number) => {
                if std::mem::take(&mut is_damaged) && number > next {
                    visit(LetterPlace::Unreadable(next..=number - 1));
                }
                next = number.saturating_add(1);
                visit(LetterPlace::Number(number));
            }
            Err(error) => visit(LetterPlace::Nameless(error)),
        }
    }
    let last = trees.counter(trees::NEXT_NUMBER).ok().flatten().map_or(next, |after| after.saturating_sub(1));
    if is_damaged && last >= next {
        visit(LetterPlace::Unreadable(next..=last));
    }
}

fn letters(trees: &Trees, found: &mut Verified, step: &mut impl FnMut()) {
    let (mut last, mut are_damaged) = (0, false);
    each_letter(trees, |place| {
        let number = match place {
            LetterPlace::Number(number) => number,
            LetterPlace::Unreadable(numbers) => {
                are_damaged = true;
                return found.unreadable.add(numbers);
            }
            LetterPlace::Nameless(error) => return found.problem(error),
        };
        (found.letters, last) = (found.letters + 1, number);
        let letter = trees.letter(number);
        are_damaged |= matches!(letter, Err(Error::Read { .. }));
        match found.note(letter).flatten() {
            Some(letter) if letter.head.resolved.is_some() => found.resolved += 1,
            Some(letter) if letter.head.failure.reason == Reason::Blocked => found.blocked += 1,
            Some(_) => {}
            None => found.unreadable.add(number..=number),
        }
        step();
    });
    if are_damaged {
        found.incomplete(format!("dead letters that can't be read: {}", found.unreadable));
    }
    if let Some(counters) = found.note(Counters::load(trees)) {
        compare(found, last, counters);
    }
}

/// `last` is the number of the last dead letter.
fn compare(found: &mut Verified, last: u64, counters: Counters) {
    let Counters { next_number, letter_count, blocked_count, resolved_count, .. } = counters;
    let Verified { letters, blocked, resolved, .. } = *found;
    let is_as_counted = letters == letter_count
        && (!found.unreadable.is_empty() || (blocked, resolved) == (blocked_count, resolved_count))
        && last < next_number;
    if !is_as_counted {
        found.incomplete(format!(
            "{letters} dead letters are there ({blocked} blocked, {resolved} resolved, the last one is {last}), and {letter_count} are \
             counted ({blocked_count} blocked, {resolved_count} resolved, the next one is {next_number})"
        ));
    }
}

fn sagas(trees: &Trees, found: &mut Verified, step: &mut impl FnMut()) {
    for id in saga_ids(trees, |problem| found.problem(problem)) {
        found.sagas += 1;
        match trees.effect(id) {
            Ok(Some(_)) => drop(found.note(trees.saga(id))),
            Ok(None) => found.require(trees.under_way(id)),
            Err(error) => drop(found.note(Err::<(), _>(error))),
        }
        step();
    }
}

/// All sagas that can be told by name.
pub(super) fn saga_ids(trees: &Trees, mut problem: impl FnMut(String)) -> BTreeSet<DeliveryId> {
    let mut ids = BTreeSet::new();
    for tree in [&trees.sagas, &trees.saga_letters] {
        for key in walk::all(tree).keys().filter_map(Result::ok) {
            let Some((name, [0, 0, 0, 0])) = key.split_last_chunk::<4>() else { continue };
            match Uuid::from_slice(name) {
                Ok(id) => drop(ids.insert(DeliveryId(id))),
                Err(_) => problem(format!("a saga's name has {} bytes", name.len())),
            }
        }
    }
    ids
}

/// Whether nothing was ever written.
pub(super) fn is_empty(trees: &Trees) -> Result<bool, Error> {
    Ok(trees.recorded()?.main.is_none() && trees.counter(trees::NEXT_NUMBER)?.is_none())
}
