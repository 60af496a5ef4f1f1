//! The low-water mark of one rule: how far everything is resolved, and what is resolved above that.
//!
//! In: the rule's deliveries and the commits between them in the order of the binlog, then outcomes in any order. Out: the
//! mark, and what the ledger must name. Keeps promise 1 (the mark never passes a delivery that is not resolved) and promise
//! 4 (what was resolved above it is named in the ledger, so that it is not delivered again after a crash). Knows nothing of
//! other rules, so that one rule's slow delivery does not delay another rule's mark. Pure: no I/O, no clock.

use std::collections::{HashMap, HashSet, VecDeque, hash_map};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::reached::Reached;
use crate::change::{DeliveryId, Table, Transaction};
use crate::position::{Committed, GtidSet};

/// What must be changed in the ledger.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LedgerChange {
    /// Resolved above the mark since the last call.
    pub add: Vec<DeliveryId>,
    /// In the ledger so far, and now below the mark.
    pub remove: Vec<DeliveryId>,
}

/// The deliveries of one rule from its low-water mark to the position that reading for it has reached.
#[derive(Debug)]
pub struct Tracker {
    mark: Reached,
    entries: VecDeque<Entry>,
    /// Sequence number of `entries[0]`.
    first_sequence: u64,
    /// Sequence numbers of deliveries that are not resolved.
    open: HashMap<DeliveryId, u64, BuildHasherDefault<IdHasher>>,
    unresolved_bytes: usize,
    /// Deliveries resolved since the last checkpoint and not yet in the ledger.
    new_in_ledger: Vec<u64>,
    ledger_remove: Vec<DeliveryId>,
    /// Ids in the ledger from before a restart that the stream has not brought again yet.
    ledger_from_start: HashSet<DeliveryId>,
    mark_moved: bool,
}

#[derive(Debug)]
enum Entry {
    Delivery(Tracked),
    Committed {
        last: Committed,
        gtids: GtidSet,
        /// Whether one of them [is an end](Committed::is_end).
        has_end: bool,
    },
    /// Reading goes on from here; everything before it is left out.
    Leap(Box<Reached>),
}

#[derive(Debug)]
struct Tracked {
    id: DeliveryId,
    transaction: Arc<Transaction>,
    table: Arc<Table>,
    ordinal: u64,
    /// Memory that the delivery takes until it is resolved.
    weight_bytes: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Resolved,
    InLedger,
}

/// One delivery as the tracker must know it.
#[derive(Debug, Clone)]
pub struct Opening {
    pub id: DeliveryId,
    pub transaction: Arc<Transaction>,
    pub table: Arc<Table>,
    pub ordinal: u64,
    pub weight_bytes: usize,
}

/// Delivery ids are hashes already.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The last half of a version 5 UUID: all of it but two bits is hash.
        if let Some(half) = bytes.last_chunk::<8>() {
            self.0 ^= u64::from_ne_bytes(*half).rotate_left(2);
        }
    }
}

impl Tracker {
    /// Begins at this position, with the ledger that was stored with it.
    pub fn new(mark: Reached, ledger: HashSet<DeliveryId>) -> Tracker {
        Tracker {
            mark,
            entries: VecDeque::new(),
            first_sequence: 0,
            open: HashMap::default(),
            unresolved_bytes: 0,
            new_in_ledger: Vec::new(),
            ledger_remove: Vec::new(),
            ledger_from_start: ledger,
            mark_moved: false,
        }
    }

    /// Reading for the rule continues from this position, and so does the mark once what is above it is resolved.
    pub fn go_on_from(&mut self, place: Reached) {
        self.entries.push_back(Entry::Leap(Box::new(place)));
        self.move_mark();
    }

    /// Adds a delivery. True: deliver it and call [`Tracker::resolve`]. False: by the ledger it was resolved before a restart;
    /// or it is open already, because reading went back.
    pub fn open(&mut self, opening: Opening) -> bool {
        let Opening { id, transaction, table, ordinal, weight_bytes } = opening;
        let hash_map::Entry::Vacant(unknown) = self.open.entry(id) else { return false };
        let is_done = !self.ledger_from_start.is_empty() && self.ledger_from_start.remove(&id);
        let state = if is_done { State::InLedger } else { State::Open };
        if !is_done {
            unknown.insert(self.first_sequence + self.entries.len() as u64);
            self.unresolved_bytes += weight_bytes;
        }
        self.entries.push_back(Entry::Delivery(Tracked { id, transaction, table, ordinal, weight_bytes, state }));
        if is_done {
            self.move_mark();
        }
        !is_done
    }

    /// Whether a delivery of this id is open, or was resolved before a restart and has not come again.
    pub fn knows(&self, id: &DeliveryId) -> bool {
        self.open.contains_key(id) || self.ledger_from_start.contains(id)
    }

    /// Adds the end of a transaction.
    pub fn commit(&mut self, committed: &Committed) {
        match self.entries.back_mut() {
            None => {
                self.mark.pass_commit(committed);
                self.mark_moved = true;
            }
            Some(Entry::Committed { last, gtids, has_end }) => {
                *has_end |= committed.is_end();
                committed.gtids().for_each(|gtid| gtids.insert(gtid));
                let schema = committed.schema.clone().or_else(|| last.schema.take());
                *last = Committed { schema, ..committed.clone() };
            }
            Some(Entry::Delivery(_) | Entry::Leap(_)) => {
                let mut gtids = GtidSet::new();
                committed.gtids().for_each(|gtid| gtids.insert(gtid));
                let has_end = committed.is_end();
                self.entries.push_back(Entry::Committed { last: committed.clone(), gtids, has_end });
            }
        }
    }

    /// The delivery succeeded; this is durable with the next checkpoint. A delivery that was not opened here changes nothing.
    pub fn resolve(&mut self, id: &DeliveryId) {
        if let Some(sequence) = self.close(id, State::Resolved) {
            self.new_in_ledger.push(sequence);
            self.move_mark();
        }
    }

    /// The delivery is a durable dead letter, and the ledger names it already.
    pub fn resolve_in_ledger(&mut self, id: &DeliveryId) {
        if self.close(id, State::InLedger).is_some() {
            self.move_mark();
        }
    }

    /// What changed since the last call; None when nothing did, the mark included.
    pub fn checkpoint(&mut self) -> Option<LedgerChange> {
        let mut add = Vec::new();
        for sequence in std::mem::take(&mut self.new_in_ledger) {
            let Some(index) = sequence.checked_sub(self.first_sequence) else { continue };
            if let Some(Entry::Delivery(tracked)) = self.entries.get_mut(index as usize) {
                tracked.state = State::InLedger;
                add.push(tracked.id);
            }
        }
        let remove = std::mem::take(&mut self.ledger_remove);
        let moved = std::mem::take(&mut self.mark_moved);
        (moved || !add.is_empty() || !remove.is_empty()).then_some(LedgerChange { add, remove })
    }

    /// The low-water mark.
    pub fn mark(&self) -> &Reached {
        &self.mark
    }

    /// When the transaction of the oldest unresolved delivery was committed, in microseconds since the epoch.
    pub fn oldest_unresolved_us(&self) -> Option<u64> {
        match self.entries.front() {
            Some(Entry::Delivery(tracked)) => Some(tracked.transaction.committed_at_us),
            _ => None,
        }
    }

    /// The oldest delivery not resolved.
    pub fn oldest_unresolved(&self) -> Option<DeliveryId> {
        match self.entries.front() {
            Some(Entry::Delivery(tracked)) => Some(tracked.id),
            _ => None,
        }
    }

    /// Gives up all deliveries. Returns the ids of this rule that are in the ledger.
    pub fn abandon(self) -> Vec<DeliveryId> {
        let named = |entry: &Entry| match entry {
            Entry::Delivery(tracked) if tracked.state == State::InLedger => Some(tracked.id),
            _ => None,
        };
        let above = self.entries.iter().filter_map(named);
        above.chain(self.ledger_remove).chain(self.ledger_from_start).collect()
    }

    /// Removes ids from before a restart from the ledger that the stream no longer brings, because rules have changed.
    pub fn forget_what_never_came(&mut self) {
        self.ledger_remove.extend(self.ledger_from_start.drain());
    }

    /// Whether a ledger from before a restart still names deliveries that have not come again.
    pub fn expects_repeats(&self) -> bool {
        !self.ledger_from_start.is_empty()
    }

    /// Deliveries that are not resolved.
    pub fn unresolved(&self) -> usize {
        self.open.len()
    }

    pub fn unresolved_bytes(&self) -> usize {
        self.unresolved_bytes
    }

    /// Everything above the mark, resolved or not.
    pub fn above_mark(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is above the mark.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn close(&mut self, id: &DeliveryId, state: State) -> Option<u64> {
        let sequence = self.open.remove(id)?;
        let index = (sequence - self.first_sequence) as usize;
        let Some(Entry::Delivery(tracked)) = self.entries.get_mut(index) else {
            unreachable!("delivery {id} is open, so it stands above the mark");
        };
        tracked.state = state;
        self.unresolved_bytes -= tracked.weight_bytes;
        Some(sequence)
    }

    /// Moves the mark over all that is resolved from the front.
    fn move_mark(&mut self) {
        loop {
            match self.entries.front() {
                None => break,
                Some(Entry::Delivery(tracked)) if tracked.state == State::Open => break,
                Some(Entry::Delivery(tracked)) => {
                    if tracked.state == State::InLedger {
                        self.ledger_remove.push(tracked.id);
                    }
                    self.mark.pass_row(&tracked.transaction, &tracked.table, tracked.ordinal);
                }
                Some(Entry::Committed { last, gtids, has_end }) => self.mark.pass_commits(last, gtids, *has_end),
                Some(Entry::Leap(place)) => self.mark = (**place).clone(),
            }
            self.entries.pop_front();
            self.first_sequence += 1;
            self.mark_moved = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{Anchor, FileOffset, FoundBy, Gtid, Position, PositionParts, Proof, Resume, Tag, Within};
    use crate::schema::Schema;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn start() -> Resume {
        let file = FileOffset { file: "binlog.000001".into(), offset: 4 };
        Resume {
            position: Position::from_parts(PositionParts {
                server_uuid: Uuid::nil(),
                gtids: Some(GtidSet::new()),
                file,
                undecided: Arc::default(),
                found_by: FoundBy::Either,
                proof: Proof::default(),
            }),
            within: Vec::new(),
            schema: Arc::default(),
        }
    }

    fn tracker_at(resume: Resume, ledger: HashSet<DeliveryId>) -> Tracker {
        Tracker::new(resume.into(), ledger)
    }

    fn id(number: u128) -> DeliveryId {
        DeliveryId(Uuid::from_u128(number))
    }

    fn mark(tracker: &Tracker) -> Resume {
        tracker.mark().resume()
    }

    /// Opens a delivery that must be new.
    fn open(tracker: &mut Tracker, opening: Opening) -> DeliveryId {
        let id = opening.id;
        assert!(tracker.open(opening), "{id} is known");
        id
    }

    fn table() -> Arc<Table> {
        Arc::new(Table { schema: "shop".into(), name: "orders".into(), columns: Vec::new(), primary_key: Vec::new() })
    }

    fn transaction() -> Arc<Transaction> {
        Arc::new(Transaction::example())
    }

    fn within(table: &str, rows: u64) -> Within {
        Within { transaction: transaction().identity().into(), table: table.into(), rows }
    }

    fn opening(number: u128, ordinal: u64) -> Opening {
        Opening { id: id(number), transaction: transaction(), table: table(), ordinal, weight_bytes: 1 }
    }

    fn commit(number: u64) -> Committed {
        let gtid = Some(Gtid { uuid: Uuid::nil(), tag: Tag::default(), number });
        Committed {
            server_uuid: Uuid::nil(),
            anchor: Anchor::of_test(gtid.clone(), 100 * number),
            file_created_s: None,
            gtid,
            end: FileOffset { file: "binlog.000001".into(), offset: 100 * number },
            committed_at_us: 0,
            schema: None,
            decided: None,
            undecided: Arc::default(),
            anonymous_follow: false,
            gtids_at_head: None,
        }
    }

    #[test]
    fn the_mark_is_before_the_first_open_delivery_and_the_ledger_lists_what_is_resolved_above() {
        let mut tracker = tracker_at(start(), HashSet::new());
        let first = open(&mut tracker, opening(1, 1));
        let second = open(&mut tracker, opening(2, 2));
        tracker.commit(&commit(1));
        tracker.resolve(&second);
        let checkpoint = tracker.checkpoint().expect("something changed");
        assert_eq!(mark(&tracker), start());
        assert_eq!(checkpoint.add, [id(2)]);
        assert_eq!(tracker.checkpoint(), None);

        tracker.resolve(&first);
        let checkpoint = tracker.checkpoint().expect("something changed");
        assert_eq!(mark(&tracker).position.place().offset, 100);
        assert_eq!(mark(&tracker).within, []);
        assert_eq!((checkpoint.add, checkpoint.remove), (vec![], vec![id(2)]));
    }

    #[test]
    fn definitions_move_with_the_mark_and_are_those_of_its_place() {
        let mut tracker = tracker_at(start(), HashSet::new());
        let first = open(&mut tracker, opening(1, 1));
        let known = |table: &str| {
            let mut schema = Schema::default();
            let definition = crate::schema::Definition::default();
            schema.insert(crate::schema::TableName::new("shop", table), definition.into());
            Some(Arc::new(schema))
        };
        tracker.commit(&Committed { schema: known("before"), ..commit(1) });
        tracker.commit(&commit(2));
        let second = open(&mut tracker, opening(2, 1));
        tracker.commit(&Committed { schema: known("after"), ..commit(3) });
        assert!(mark(&tracker).schema.is_empty());
        tracker.resolve(&first);
        assert_eq!(Some(mark(&tracker).schema), known("before"));
        tracker.resolve(&second);
        assert_eq!(Some(mark(&tracker).schema), known("after"));
        tracker.commit(&Committed { schema: known("last"), ..commit(4) });
        assert_eq!(Some(mark(&tracker).schema), known("last"));
    }

    #[test]
    fn inside_a_transaction_the_mark_counts_the_rows_of_each_table() {
        let mut tracker = tracker_at(start(), HashSet::new());
        let ids: Vec<DeliveryId> = (1..=3).map(|n| open(&mut tracker, opening(n, n as u64))).collect();
        tracker.resolve(&ids[0]);
        tracker.resolve(&ids[1]);
        let resume = mark(&tracker);
        assert_eq!(resume.within, [within("shop.orders", 2)]);
        assert_eq!(resume.position, start().position);
    }

    #[test]
    fn a_delivery_that_is_open_is_not_opened_again() {
        let mut tracker = tracker_at(start(), HashSet::new());
        let first = open(&mut tracker, opening(1, 1));
        assert!(!tracker.open(opening(1, 1)));
        tracker.resolve(&first);
        tracker.resolve(&first);
        assert_eq!((tracker.unresolved(), tracker.unresolved_bytes(), tracker.is_empty()), (0, 0, true));
    }

    #[test]
    fn after_a_leap_the_mark_moves_there_once_all_open_deliveries_are_resolved() {
        let mut tracker = tracker_at(start(), HashSet::new());
        let first = open(&mut tracker, opening(1, 1));
        let file = FileOffset { file: "binlog.000009".into(), offset: 4 };
        let parts = PositionParts { file, ..start().position.into_parts() };
        let there = Resume { position: Position::from_parts(parts), ..start() };
        tracker.go_on_from(there.clone().into());
        let second = open(&mut tracker, opening(2, 1));
        tracker.commit(&commit(1));
        assert_eq!(mark(&tracker), start());
        tracker.resolve(&first);
        assert_eq!(mark(&tracker), there);
        tracker.resolve(&second);
        assert_eq!(mark(&tracker).position.place().offset, 100);
    }

    #[test]
    fn a_delivery_in_the_ledger_is_not_delivered_again() {
        let done = id(2);
        let mut tracker = tracker_at(start(), HashSet::from([done, id(9)]));
        let first = open(&mut tracker, opening(1, 1));
        assert!(!tracker.open(opening(2, 2)));
        tracker.resolve(&first);
        assert_eq!(tracker.checkpoint().expect("moved").remove, [done]);
        assert!(tracker.expects_repeats());
        tracker.forget_what_never_came();
        assert_eq!(tracker.checkpoint().expect("forgot one").remove, [id(9)]);
    }

    #[test]
    fn rows_passed_before_a_restart_stay_passed_until_their_table_continues_or_the_transaction_ends() {
        let resume = Resume { within: vec![within("shop.orders", 2), within("a.b.c", 7)], ..start() };
        let mut tracker = tracker_at(resume.clone(), HashSet::new());
        assert_eq!(mark(&tracker), resume);
        let third = open(&mut tracker, opening(1, 3));
        tracker.resolve(&third);
        assert_eq!(mark(&tracker).within, [within("shop.orders", 3), within("a.b.c", 7)]);
        tracker.commit(&commit(1));
        assert_eq!(mark(&tracker).within, []);
    }

    #[test]
    fn a_prepare_that_is_read_again_ends_no_transaction_among_gtids() {
        let prepare = || Committed { gtid: None, ..commit(1) };
        let rows = vec![within("shop.orders", 2), within("a.b.c", 7)];
        let resume = Resume { within: rows.clone(), ..start() };
        let mut tracker = tracker_at(resume.clone(), HashSet::new());
        tracker.commit(&prepare());
        assert_eq!(mark(&tracker).within, rows);
        let third = open(&mut tracker, opening(1, 3));
        tracker.commit(&prepare());
        tracker.resolve(&third);
        assert_eq!(mark(&tracker).within, [within("shop.orders", 3), within("a.b.c", 7)]);

        let parts = PositionParts { gtids: None, found_by: FoundBy::Place, ..start().position.into_parts() };
        let position = Position::from_parts(parts);
        let mut tracker = tracker_at(Resume { position, ..resume }, HashSet::new());
        tracker.commit(&prepare());
        assert_eq!(mark(&tracker).within, []);
    }

    #[test]
    fn a_transaction_without_gtid_ends_the_one_that_rows_were_counted_in() {
        let anonymous =
            |n| Committed { gtid: None, anchor: Anchor::of_test(None, 100 * n), anonymous_follow: true, ..commit(n) };
        let mut tracker = tracker_at(Resume { within: vec![within("shop.orders", 2)], ..start() }, HashSet::new());
        tracker.commit(&anonymous(1));
        let (mark_of, place) = (mark(&tracker), anonymous(1).end);
        assert_eq!((mark_of.within, mark_of.position.place()), (vec![], &place));
        assert_eq!(mark_of.position.parts().found_by, FoundBy::Place);
        // After a delivery, several ends count as one.
        let first = open(&mut tracker, opening(1, 1));
        tracker.commit(&anonymous(2));
        tracker.commit(&Committed { gtid: None, anonymous_follow: true, ..commit(3) });
        tracker.resolve(&first);
        assert_eq!(mark(&tracker).within, []);
        tracker.commit(&commit(4));
        assert_eq!(mark(&tracker).position.parts().found_by, FoundBy::Either);
    }

    #[test]
    fn a_set_that_a_file_begins_with_becomes_that_of_a_mark_that_had_none() {
        let uuid = Uuid::from_u128(9);
        let head = Arc::new(format!("{uuid}:1-5").parse::<GtidSet>().expect("a set"));
        let parts = PositionParts { gtids: None, found_by: FoundBy::Place, ..start().position.into_parts() };
        let position = Position::from_parts(parts);
        let mut tracker = tracker_at(Resume { position, ..start() }, HashSet::new());
        let first = open(&mut tracker, opening(1, 1));
        tracker.commit(&commit(1));
        tracker.commit(&Committed { gtids_at_head: Some(Arc::clone(&head)), ..commit(2) });
        assert_eq!(mark(&tracker).position.into_parts().gtids, None);
        tracker.resolve(&first);
        let PositionParts { gtids, found_by, .. } = mark(&tracker).position.into_parts();
        assert_eq!(gtids, Some(format!("{uuid}:1-5,{}:1-2", Uuid::nil()).parse().expect("a set")));
        assert_eq!(found_by, FoundBy::Either);
    }

    #[test]
    fn rows_counted_in_one_transaction_say_nothing_about_another() {
        let resume = Resume { within: vec![within("shop.orders", 7)], ..start() };
        let mut tracker = tracker_at(resume, HashSet::new());
        let other = Arc::new(Transaction { offset: 999, ..(*transaction()).clone() });
        let first = open(&mut tracker, Opening { transaction: other.clone(), ..opening(1, 1) });
        tracker.resolve(&first);
        let counted = Within { transaction: other.identity().into(), ..within("shop.orders", 1) };
        assert_eq!(mark(&tracker).within, [counted]);
        let back = open(&mut tracker, opening(2, 8));
        tracker.resolve(&back);
        assert_eq!(mark(&tracker).within, [within("shop.orders", 8)]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Change { matches: bool },
        Commit,
        Resolve(prop::sample::Index, bool),
        Checkpoint,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => any::<bool>().prop_map(|matches| Step::Change { matches }),
            2 => Just(Step::Commit),
            6 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, dead)| Step::Resolve(which, dead)),
            2 => Just(Step::Checkpoint),
        ];
        proptest::collection::vec(step, 0..120)
    }

    proptest! {
        /// Under any interleaving: a restart from the last checkpoint brings again exactly the deliveries that were not
        /// resolved when it was taken.
        #[test]
        fn a_restart_misses_nothing_and_repeats_only_what_was_open(steps in steps()) {
            let mut tracker = tracker_at(start(), HashSet::new());
            let (mut history, mut open, mut resolved) = (Vec::new(), Vec::new(), HashSet::new());
            let (mut stored, mut ledger, mut resolved_then) = (start(), HashSet::new(), HashSet::new());
            let (mut next_id, mut ordinal, mut transactions) = (0u128, 0u64, 0u64);
            for step in steps.into_iter().chain([Step::Checkpoint]) {
                match step {
                    Step::Change { matches } => {
                        ordinal += 1;
                        if matches {
                            next_id += 1;
                            let opening = opening(next_id, ordinal);
                            history.push((transactions, opening.clone()));
                            prop_assert!(tracker.open(opening));
                            open.push(id(next_id));
                        }
                    }
                    Step::Commit => {
                        transactions += 1;
                        ordinal = 0;
                        tracker.commit(&commit(transactions));
                    }
                    Step::Resolve(which, dead) if !open.is_empty() => {
                        let id = open.remove(which.index(open.len()));
                        resolved.insert(id);
                        if dead {
                            ledger.insert(id);
                            tracker.resolve_in_ledger(&id);
                        } else {
                            tracker.resolve(&id);
                        }
                    }
                    Step::Resolve(..) => {}
                    Step::Checkpoint => {
                        if let Some(checkpoint) = tracker.checkpoint() {
                            stored = mark(&tracker);
                            ledger.extend(checkpoint.add);
                            checkpoint.remove.iter().for_each(|id| { ledger.remove(id); });
                        }
                        resolved_then = resolved.clone();
                    }
                }
            }
            prop_assert_eq!(tracker.unresolved(), open.len());
            let passed = stored.position.set().expect("gtids").intervals().map(|(_, _, (_, last))| last).max();
            let rows_within = stored.within.first().map_or(0, |within| within.rows);
            let mut again = tracker_at(stored.clone(), ledger);
            for (transaction, opening) in history {
                let skipped = transaction < passed.unwrap_or(0)
                    || (transaction == passed.unwrap_or(0) && opening.ordinal <= rows_within);
                let id = opening.id;
                let repeated = !skipped && again.open(opening);
                prop_assert_eq!(repeated, !resolved_then.contains(&id), "delivery {}", id);
            }
        }
    }
}
