//! Reading everything that the store contains.
//!
//! In: the trees, while the writer waits. Out: counts of what is stored, and every record that can't be read or
//! contradicts another. Needs no more memory for a large store. Writes nothing.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Error;
use super::transaction::Counters;
use super::trees::{self, Trees};
use super::walk;
use crate::change::DeliveryId;
use crate::failure::Reason;

/// Problems beyond this number are only counted.
const PROBLEMS_MAX: usize = 20;

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
    /// Why it contains less, or more, than its own counters say.
    pub contradiction: Option<String>,
}

impl Verified {
    pub fn is_whole(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, problem: impl ToString) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem.to_string());
        }
        self.problem_count += 1;
    }

    fn note<T>(&mut self, read: Result<T, Error>) -> Option<T> {
        read.map_err(|error| self.problem(error)).ok()
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
                // After it sled returns nothing more.
                Err(error) => {
                    found.problem(format!("{name}: {error}"));
                    break;
                }
            }
            if found.entries.is_multiple_of(1000) {
                step();
            }
        }
    }
    found.note(trees.saved());
    found.note(trees.blocked());
    found.note(trees.positions());
    letters(trees, &mut found, &mut step);
    sagas(trees, &mut found, &mut step);
    found
}

fn letters(trees: &Trees, found: &mut Verified, step: &mut impl FnMut()) {
    let (mut last, mut are_all_read) = (0, true);
    for key in walk::all(&trees.heads).keys() {
        let Ok(key) = key else { return };
        if !key.ends_with(&0_u32.to_be_bytes()) {
            continue;
        }
        let Some(number) = found.note(trees::number_of(&key)) else { continue };
        (found.letters, last) = (found.letters + 1, number);
        match found.note(trees.letter(number)).flatten() {
            Some(letter) if letter.head.resolved.is_some() => found.resolved += 1,
            Some(letter) if letter.head.failure.reason == Reason::Blocked => found.blocked += 1,
            Some(_) => {}
            None => are_all_read = false,
        }
        step();
    }
    let Some(counters) = found.note(Counters::load(trees)) else { return };
    let Counters { next_number, letter_count, blocked_count, resolved_count, .. } = counters;
    let Verified { letters, blocked, resolved, .. } = *found;
    let is_as_counted = letters == letter_count
        && (!are_all_read || (blocked, resolved) == (blocked_count, resolved_count))
        && last < next_number;
    if !is_as_counted {
        let contradiction = format!(
            "{letters} dead letters are there ({blocked} blocked, {resolved} resolved, the last one is {last}), and {letter_count} are \
             counted ({blocked_count} blocked, {resolved_count} resolved, the next one is {next_number})"
        );
        found.problem(&contradiction);
        found.contradiction = Some(contradiction);
    }
}

fn sagas(trees: &Trees, found: &mut Verified, step: &mut impl FnMut()) {
    let mut names = BTreeSet::new();
    for tree in [&trees.sagas, &trees.saga_letters] {
        for key in walk::all(tree).keys() {
            let Ok(key) = key else { break };
            let Some((name, [0, 0, 0, 0])) = key.split_last_chunk::<4>() else { continue };
            match Uuid::from_slice(name) {
                Ok(id) => drop(names.insert(id)),
                Err(_) => found.problem(format!("a saga's name has {} bytes", name.len())),
            }
        }
    }
    for id in names.into_iter().map(DeliveryId) {
        found.sagas += 1;
        match trees.effect(id) {
            Ok(Some(_)) => drop(found.note(trees.saga(id))),
            Ok(None) => {
                if let Err(error) = trees.under_way(id) {
                    found.problem(&error);
                    found.contradiction.get_or_insert(error.to_string());
                }
            }
            Err(error) => found.problem(error),
        }
        step();
    }
}

/// Whether nothing was ever written.
pub(super) fn is_empty(trees: &Trees) -> Result<bool, Error> {
    Ok(trees.recorded()?.main.is_none() && trees.counter(trees::NEXT_NUMBER)?.is_none())
}
