//! The one way to the entries of a tree.
//!
//! In: a tree, and a key or where to begin. Out: the entry, or all in the order of their keys. At a page that can't be read sled's own
//! iterators return the same error for ever, and its other reads may panic. Here it is one error, and the next entry is the first
//! one behind that page, so that a walk always ends.
//! Who needs every entry stops at the first error; who wants what is left goes on. Reads only.

#![expect(clippy::disallowed_methods, reason = "sled's own reads, which are used here and nowhere else")]

use std::ops::Bound;
use std::panic::{self, AssertUnwindSafe};

use sled::IVec;

/// Keys are told apart by this many bytes where the end of a damaged page is looked for.
const PROBE_BYTES: usize = size_of::<u128>();

/// Sled notes which pages are read, in 256 lists of 64 reads, and looks at its cache's limit when a list is full. A walk that reads each
/// page once so leaves 16,384 pages in memory, whatever the limit is (`findings/sled-cache-keeps-16384-pages.sh`). Where some entries are
/// read by themselves, too, the lists are full with fewer pages.
const ENTRIES_PER_REREAD: u32 = 4;

/// Key and value.
pub(super) type WalkedEntry = Result<(IVec, IVec), sled::Error>;

/// An iterator over entries.
pub(super) struct Walk<'t> {
    tree: &'t sled::Tree,
    entries: sled::Iter,
    /// The last key that was read, or the one to begin at.
    reached: IVec,
    end: Bound<IVec>,
    has_ended: bool,
    rereads: Rereads<'t>,
}

/// The value of a key.
pub(super) fn get(tree: &sled::Tree, key: impl AsRef<[u8]>) -> Result<Option<IVec>, sled::Error> {
    read(|| tree.get(key))
}

/// Whether a key has a value.
pub(super) fn contains(tree: &sled::Tree, key: impl AsRef<[u8]>) -> Result<bool, sled::Error> {
    read(|| tree.contains_key(key))
}

/// The last entry.
pub(super) fn last(tree: &sled::Tree) -> Result<Option<(IVec, IVec)>, sled::Error> {
    read(|| tree.last())
}

/// All entries.
pub(super) fn all(tree: &sled::Tree) -> Walk<'_> {
    walk(tree, IVec::default(), Bound::Unbounded)
}

/// The entries from this key on.
pub(super) fn from(tree: &sled::Tree, first: Vec<u8>) -> Walk<'_> {
    walk(tree, first.into(), Bound::Unbounded)
}

/// The entries up to this key, the last one first. It ends at a page that can't be read, after the error.
pub(super) fn back_from(tree: &sled::Tree, last: Vec<u8>) -> impl Iterator<Item = WalkedEntry> + use<'_> {
    let mut entries = tree.range(..=last).rev();
    let (mut has_ended, mut rereads) = (false, Rereads { tree, entries: 0 });
    std::iter::from_fn(move || {
        let entry = if has_ended { None } else { next_of(&mut entries) };
        has_ended = !matches!(entry, Some(Ok(_)));
        if let Some(Ok((key, _))) = &entry {
            rereads.met(key);
        }
        entry
    })
}

/// The entries whose keys begin with this.
pub(super) fn prefix<'t>(tree: &'t sled::Tree, prefix: &[u8]) -> Walk<'t> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX);
    let end = last.map_or(Bound::Unbounded, |last| {
        let mut end = prefix[..=last].to_vec();
        end[last] += 1;
        Bound::Excluded(end.into())
    });
    walk(tree, prefix.into(), end)
}

fn walk(tree: &sled::Tree, first: IVec, end: Bound<IVec>) -> Walk<'_> {
    let entries = tree.range((Bound::Included(first.clone()), end.clone()));
    Walk { tree, entries, reached: first, end, has_ended: false, rereads: Rereads { tree, entries: 0 } }
}

impl<'t> Walk<'t> {
    pub(super) fn keys(self) -> impl Iterator<Item = Result<IVec, sled::Error>> + use<'t> {
        self.map(|entry| entry.map(|(key, _)| key))
    }

    /// The first key behind what can't be read. The page's end is unknown: probes at doubling distances find a key behind it, and from
    /// there, or from the end, the way back ends at the page. What stands between two damaged pages may be passed over.
    fn behind_damage(&self) -> Option<IVec> {
        let reached = number(&self.reached);
        let probes = (0..u128::BITS).filter_map(|bit| reached.checked_add(1 << bit));
        let behind = probes.map_while(|probe| self.key_at(probe)).find_map(|probe| {
            let entry = next_of(&mut self.tree.range((Bound::Included(probe), self.end.clone())))?;
            entry.ok().map(|(key, _)| key)
        });
        let end = behind.clone().map_or(self.end.clone(), Bound::Excluded);
        let mut back = self.tree.range((Bound::Excluded(self.reached.clone()), end)).rev();
        let back = std::iter::from_fn(|| next_of(&mut back));
        let first = back.map_while(Result::ok).last().map(|(key, _)| key);
        first.or(behind)
    }

    /// None: it is not of the walk any more.
    fn key_at(&self, probe: u128) -> Option<IVec> {
        let key = IVec::from(&probe.to_be_bytes());
        match &self.end {
            Bound::Excluded(end) if key >= *end => None,
            _ => Some(key),
        }
    }
}

/// See [`ENTRIES_PER_REREAD`].
struct Rereads<'t> {
    tree: &'t sled::Tree,
    entries: u32,
}

impl Rereads<'_> {
    fn met(&mut self, key: &IVec) {
        self.entries = self.entries.wrapping_add(1);
        if self.entries.is_multiple_of(ENTRIES_PER_REREAD) {
            // Its value is known, and what is wrong with its page is met on the way.
            let _ = read(|| self.tree.get(key));
        }
    }
}

/// The beginning of a key as a number, in the order of the keys.
fn number(key: &[u8]) -> u128 {
    let mut bytes = [0; PROBE_BYTES];
    let length = key.len().min(PROBE_BYTES);
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

/// The next entry.
fn next_of(entries: &mut impl Iterator<Item = WalkedEntry>) -> Option<WalkedEntry> {
    read(|| entries.next().transpose()).transpose()
}

/// One read. Sled asserts what an index says of its pages: where an assertion fails on the way, the tree is damaged there.
fn read<T>(reading: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, sled::Error> {
    let damaged = |_| Err(sled::Error::Corruption { at: None, bt: () });
    panic::catch_unwind(AssertUnwindSafe(reading)).unwrap_or_else(damaged)
}

impl Iterator for Walk<'_> {
    type Item = WalkedEntry;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let entry = next_of(&mut self.entries);
        match &entry {
            Some(Ok((key, _))) => {
                self.rereads.met(key);
                self.reached = key.clone();
            }
            None => self.has_ended = true,
            Some(Err(_)) => match self.behind_damage() {
                Some(key) => {
                    self.entries = self.tree.range((Bound::Included(key.clone()), self.end.clone()));
                    self.reached = key;
                }
                None => self.has_ended = true,
            },
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_that_fails_on_the_way_is_damage() {
        let mut entries = (0..3u8).map(|n| -> WalkedEntry {
            assert!(n != 1, "what sled says of a page that is not there");
            Ok((vec![n].into(), IVec::default()))
        });
        let keys = std::iter::from_fn(|| next_of(&mut entries));
        let keys: Vec<Result<u8, bool>> = keys
            .map(|entry| entry.map(|(key, _)| key[0]).map_err(|error| matches!(error, sled::Error::Corruption { .. })))
            .collect();
        assert_eq!(keys, [Ok(0), Err(true), Ok(2)]);
    }
}
