//! The low-water mark: how far everything is resolved, and what is resolved above that.
//!
//! In: deliveries and commits in the order of the binlog, then outcomes in any order. Out: checkpoints. Keeps promise 1 (a
//! checkpoint never passes a delivery that is not resolved) and promise 4 (what was resolved above the mark is named in
//! the ledger, so that it is not delivered again after a crash). Pure: no I/O, no clock.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::change::{DeliveryId, Table, Transaction};
use crate::position::{Committed, GtidSet, Position, Resume, Within};
use crate::schema::Schema;

/// What the store must write so that a restart goes on from here.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub resume: Resume,
    /// Resolved since the last checkpoint, above the mark.
    pub ledger_add: Vec<DeliveryId>,
    /// In the ledger before, and now below the mark.
    pub ledger_remove: Vec<DeliveryId>,
}

/// Everything between the low-water mark and the place where reading stands.
#[derive(Debug)]
pub struct Tracker {
    position: Position,
    /// The definitions known there.
    schema: Arc<Schema>,
    /// Rows of the transaction after `position` that were resolved before a restart, and will not come again.
    within_before: Vec<Within>,
    /// Rows of that transaction that are resolved, by table, where any came since.
    within: Vec<(Arc<Table>, u64)>,
    /// The one that `within` counts in.
    transaction: Option<Arc<Transaction>>,
    entries: VecDeque<Entry>,
    /// Sequence number of `entries[0]`.
    first_sequence: u64,
    /// Deliveries resolved since the last checkpoint and not yet in the ledger.
    fresh: Vec<u64>,
    ledger_remove: Vec<DeliveryId>,
    /// What a ledger from before a restart names and the stream has not brought again yet.
    from_before: HashSet<DeliveryId>,
    mark_moved: bool,
    unresolved: usize,
    unresolved_bytes: usize,
}

#[derive(Debug)]
enum Entry {
    Delivery(Tracked),
    Committed { last: Committed, gtids: GtidSet },
}

#[derive(Debug)]
struct Tracked {
    id: DeliveryId,
    transaction: Arc<Transaction>,
    table: Arc<Table>,
    ordinal: u64,
    /// Memory that the delivery holds until it is resolved.
    weight_bytes: usize,
    /// Another delivery of the same change follows: the mark passes both or neither.
    change_continues: bool,
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
    /// Another delivery of the same change follows.
    pub change_continues: bool,
}

impl Tracker {
    /// Begins at `resume`, with the ledger that was stored beside it.
    pub fn new(resume: Resume, ledger: HashSet<DeliveryId>) -> Tracker {
        Tracker {
            position: resume.position,
            schema: resume.schema,
            within_before: resume.within,
            within: Vec::new(),
            transaction: None,
            entries: VecDeque::new(),
            first_sequence: 0,
            fresh: Vec::new(),
            ledger_remove: Vec::new(),
            from_before: ledger,
            mark_moved: false,
            unresolved: 0,
            unresolved_bytes: 0,
        }
    }

    /// Takes note of a delivery. Some(sequence): deliver it and call [`Tracker::resolve`]. None: it was resolved before a
    /// restart, the ledger says so.
    pub fn open(&mut self, opening: Opening) -> Option<u64> {
        let Opening { id, transaction, table, ordinal, weight_bytes, change_continues } = opening;
        let state = if self.from_before.remove(&id) { State::InLedger } else { State::Open };
        let sequence = self.next_sequence();
        if state == State::Open {
            self.unresolved += 1;
            self.unresolved_bytes += weight_bytes;
        }
        let tracked = Tracked { id, transaction, table, ordinal, weight_bytes, change_continues, state };
        self.entries.push_back(Entry::Delivery(tracked));
        if state == State::Open {
            return Some(sequence);
        }
        self.move_mark();
        None
    }

    /// Takes note of the end of a transaction.
    pub fn commit(&mut self, mut committed: Committed) {
        if self.entries.is_empty() {
            self.advance(&committed);
            self.end_transaction(committed.gtids().next().is_some());
            self.mark_moved = true;
            return;
        }
        if let Some(Entry::Committed { last, gtids }) = self.entries.back_mut() {
            committed.gtids().for_each(|gtid| gtids.insert(gtid));
            committed.schema = committed.schema.or_else(|| last.schema.take());
            *last = committed;
            return;
        }
        let mut gtids = GtidSet::new();
        committed.gtids().for_each(|gtid| gtids.insert(gtid));
        self.entries.push_back(Entry::Committed { last: committed, gtids });
    }

    /// The delivery was answered with success. Not durable before the next checkpoint is.
    pub fn resolve(&mut self, sequence: u64) {
        self.close(sequence, State::Resolved);
        self.fresh.push(sequence);
        self.move_mark();
    }

    /// The delivery is a durable dead letter, and the ledger names it already.
    pub fn resolve_in_ledger(&mut self, sequence: u64) {
        self.close(sequence, State::InLedger);
        self.move_mark();
    }

    /// What changed since the last call; None when nothing did.
    pub fn checkpoint(&mut self) -> Option<Checkpoint> {
        let mut ledger_add = Vec::new();
        for sequence in std::mem::take(&mut self.fresh) {
            let Some(index) = sequence.checked_sub(self.first_sequence) else { continue };
            if let Some(Entry::Delivery(tracked)) = self.entries.get_mut(index as usize) {
                tracked.state = State::InLedger;
                ledger_add.push(tracked.id);
            }
        }
        let ledger_remove = std::mem::take(&mut self.ledger_remove);
        let moved = std::mem::take(&mut self.mark_moved);
        if !moved && ledger_add.is_empty() && ledger_remove.is_empty() {
            return None;
        }
        Some(Checkpoint { resume: self.mark(), ledger_add, ledger_remove })
    }

    /// The low-water mark.
    pub fn mark(&self) -> Resume {
        let identity = self.transaction.as_ref().map(|transaction| transaction.identity()).unwrap_or_default();
        let now = self.within.iter().map(|(table, rows)| Within {
            transaction: identity.as_str().into(),
            table: table.to_string().into(),
            rows: *rows,
        });
        let mut within: Vec<Within> = now.collect();
        for before in &self.within_before {
            if within.iter().all(|now| now.table != before.table) {
                within.push(before.clone());
            }
        }
        Resume { position: self.position.clone(), within, schema: Arc::clone(&self.schema) }
    }

    /// Forgets what a ledger from before a restart names but the stream no longer brings, because rules have changed.
    pub fn forget_what_never_came(&mut self) {
        self.ledger_remove.extend(self.from_before.drain());
    }

    /// Whether a ledger from before a restart still names deliveries that have not come again.
    pub fn expects_repeats(&self) -> bool {
        !self.from_before.is_empty()
    }

    /// Deliveries that are not resolved.
    pub fn unresolved(&self) -> usize {
        self.unresolved
    }

    pub fn unresolved_bytes(&self) -> usize {
        self.unresolved_bytes
    }

    /// Everything above the mark, resolved or not.
    pub fn above_mark(&self) -> usize {
        self.entries.len()
    }

    fn next_sequence(&self) -> u64 {
        self.first_sequence + self.entries.len() as u64
    }

    fn close(&mut self, sequence: u64, state: State) {
        let index = (sequence - self.first_sequence) as usize;
        let Some(Entry::Delivery(tracked)) = self.entries.get_mut(index) else {
            unreachable!("sequence {sequence} names a delivery above the mark");
        };
        assert_eq!(tracked.state, State::Open, "delivery {} was resolved twice", tracked.id);
        tracked.state = state;
        self.unresolved -= 1;
        self.unresolved_bytes -= tracked.weight_bytes;
    }

    /// Moves the mark over all that is resolved from the front.
    fn move_mark(&mut self) {
        while self.front_is_resolved() {
            loop {
                self.first_sequence += 1;
                self.mark_moved = true;
                match self.entries.pop_front().expect("the front was looked at") {
                    Entry::Committed { last, gtids } => self.pass_commit(&last, &gtids),
                    Entry::Delivery(tracked) => {
                        if tracked.state == State::InLedger {
                            self.ledger_remove.push(tracked.id);
                        }
                        if tracked.change_continues {
                            continue;
                        }
                        self.pass_row(tracked.transaction, tracked.table, tracked.ordinal);
                    }
                }
                break;
            }
        }
    }

    /// Whether the front is a commit, or a change all of whose deliveries are known and resolved.
    fn front_is_resolved(&self) -> bool {
        for entry in &self.entries {
            match entry {
                Entry::Committed { .. } => return true,
                Entry::Delivery(tracked) if tracked.state == State::Open => return false,
                Entry::Delivery(tracked) if !tracked.change_continues => return true,
                Entry::Delivery(_) => {}
            }
        }
        false
    }

    fn advance(&mut self, committed: &Committed) {
        self.position.advance(committed);
        if let Some(schema) = &committed.schema {
            self.schema = Arc::clone(schema);
        }
    }

    fn pass_commit(&mut self, last: &Committed, gtids: &GtidSet) {
        self.advance(last);
        if let Some(set) = &mut self.position.gtids {
            set.union_with(gtids);
        }
        self.end_transaction(!gtids.is_empty());
    }

    /// An XA PREPARE that is read again ends none among GTIDs: the one that rows were counted in goes on behind it.
    fn end_transaction(&mut self, has_gtids: bool) {
        if self.position.gtids.is_some() && !has_gtids {
            return;
        }
        self.within_before.clear();
        self.within.clear();
        self.transaction = None;
    }

    fn pass_row(&mut self, transaction: Arc<Transaction>, table: Arc<Table>, ordinal: u64) {
        let is_same = self.transaction.as_ref().is_some_and(|known| Arc::ptr_eq(known, &transaction));
        if !is_same {
            // After a break the same transaction comes again, or, from another server, another one in its place: what
            // was counted in that one says nothing about this.
            let identity = transaction.identity();
            if self.transaction.as_ref().is_some_and(|known| known.identity() != identity) {
                self.within.clear();
            }
            self.within_before.retain(|before| *before.transaction == *identity);
            self.transaction = Some(transaction);
        }
        let same = |known: &Arc<Table>| {
            Arc::ptr_eq(known, &table) || (known.schema == table.schema && known.name == table.name)
        };
        match self.within.iter_mut().find(|(known, _)| same(known)) {
            Some((_, rows)) => *rows = ordinal,
            None => self.within.push((table, ordinal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{FileOffset, Gtid, Tag};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn start() -> Resume {
        let file = FileOffset { file: "binlog.000001".into(), offset: 4 };
        Resume {
            position: Position {
                server_uuid: Uuid::nil(),
                gtids: Some(GtidSet::new()),
                file,
                undecided: Arc::default(),
            },
            within: Vec::new(),
            schema: Arc::default(),
        }
    }

    fn table() -> Arc<Table> {
        Arc::new(Table { schema: "shop".into(), name: "orders".into(), columns: Vec::new(), primary_key: Vec::new() })
    }

    fn transaction() -> Arc<Transaction> {
        let file = "binlog.000001".into();
        Arc::new(Transaction { server_uuid: Uuid::nil(), gtid: None, file, offset: 4, committed_at_us: 0 })
    }

    fn within(table: &str, rows: u64) -> Within {
        Within { transaction: transaction().identity().into(), table: table.into(), rows }
    }

    fn opening(id: u128, ordinal: u64, change_continues: bool) -> Opening {
        let id = DeliveryId(Uuid::from_u128(id));
        Opening { id, transaction: transaction(), table: table(), ordinal, weight_bytes: 1, change_continues }
    }

    fn commit(number: u64) -> Committed {
        Committed {
            server_uuid: Uuid::nil(),
            gtid: Some(Gtid { uuid: Uuid::nil(), tag: Tag::default(), number }),
            end: FileOffset { file: "binlog.000001".into(), offset: 100 * number },
            committed_at_us: 0,
            schema: None,
            decided: None,
            undecided: Arc::default(),
        }
    }

    #[test]
    fn the_mark_stands_before_the_first_open_delivery_and_the_ledger_names_what_is_done_above() {
        let mut tracker = Tracker::new(start(), HashSet::new());
        let first = tracker.open(opening(1, 1, false)).expect("new");
        let second = tracker.open(opening(2, 2, false)).expect("new");
        tracker.commit(commit(1));
        tracker.resolve(second);
        let checkpoint = tracker.checkpoint().expect("something changed");
        assert_eq!(checkpoint.resume, start());
        assert_eq!(checkpoint.ledger_add, [DeliveryId(Uuid::from_u128(2))]);
        assert_eq!(tracker.checkpoint(), None);

        tracker.resolve(first);
        let checkpoint = tracker.checkpoint().expect("something changed");
        assert_eq!(checkpoint.resume.position.file.offset, 100);
        assert_eq!(checkpoint.resume.within, []);
        assert_eq!((checkpoint.ledger_add, checkpoint.ledger_remove), (vec![], vec![DeliveryId(Uuid::from_u128(2))]));
    }

    #[test]
    fn definitions_move_with_the_mark_and_are_those_of_its_place() {
        let mut tracker = Tracker::new(start(), HashSet::new());
        let first = tracker.open(opening(1, 1, false)).expect("new");
        let known = |table: &str| {
            let mut schema = Schema::default();
            let definition = crate::schema::Definition { columns: Vec::new(), primary_key: Vec::new() };
            schema.insert(crate::schema::TableName::new("shop", table), definition.into());
            Some(Arc::new(schema))
        };
        tracker.commit(Committed { schema: known("before"), ..commit(1) });
        tracker.commit(commit(2));
        let second = tracker.open(opening(2, 1, false)).expect("new");
        tracker.commit(Committed { schema: known("after"), ..commit(3) });
        assert!(tracker.mark().schema.is_empty());
        tracker.resolve(first);
        assert_eq!(Some(tracker.mark().schema), known("before"));
        tracker.resolve(second);
        assert_eq!(Some(tracker.mark().schema), known("after"));
        tracker.commit(Committed { schema: known("last"), ..commit(4) });
        assert_eq!(Some(tracker.checkpoint().expect("moved").resume.schema), known("last"));
    }

    #[test]
    fn inside_a_transaction_the_mark_counts_the_rows_of_each_table() {
        let mut tracker = Tracker::new(start(), HashSet::new());
        let sequences: Vec<u64> = (1..=3).map(|n| tracker.open(opening(n, n as u64, false)).expect("new")).collect();
        tracker.resolve(sequences[0]);
        tracker.resolve(sequences[1]);
        let resume = tracker.checkpoint().expect("moved").resume;
        assert_eq!(resume.within, [within("shop.orders", 2)]);
        assert_eq!(resume.position, start().position);
    }

    #[test]
    fn a_change_with_two_deliveries_is_passed_when_both_are_resolved() {
        let mut tracker = Tracker::new(start(), HashSet::new());
        let first = tracker.open(opening(1, 1, true)).expect("new");
        tracker.resolve(first);
        assert_eq!(tracker.mark(), start(), "the second delivery of the change is still to come");
        let second = tracker.open(opening(2, 1, false)).expect("new");
        assert_eq!(tracker.checkpoint().expect("a fresh one").ledger_add.len(), 1);
        tracker.resolve(second);
        assert_eq!(tracker.mark().within[0].rows, 1);
    }

    #[test]
    fn what_the_ledger_names_is_not_delivered_again() {
        let done = DeliveryId(Uuid::from_u128(2));
        let mut tracker = Tracker::new(start(), HashSet::from([done, DeliveryId(Uuid::from_u128(9))]));
        let first = tracker.open(opening(1, 1, false)).expect("not in the ledger");
        assert_eq!(tracker.open(opening(2, 2, false)), None);
        tracker.resolve(first);
        assert_eq!(tracker.checkpoint().expect("moved").ledger_remove, [done]);
        assert!(tracker.expects_repeats());
        tracker.forget_what_never_came();
        assert_eq!(tracker.checkpoint().expect("forgot one").ledger_remove, [DeliveryId(Uuid::from_u128(9))]);
    }

    #[test]
    fn rows_passed_before_a_restart_stay_passed_until_their_table_goes_on_or_the_transaction_ends() {
        let resume = Resume { within: vec![within("shop.orders", 2), within("a.b.c", 7)], ..start() };
        let mut tracker = Tracker::new(resume.clone(), HashSet::new());
        assert_eq!(tracker.mark(), resume);
        let third = tracker.open(opening(1, 3, false)).expect("new");
        tracker.resolve(third);
        assert_eq!(tracker.mark().within, [within("shop.orders", 3), within("a.b.c", 7)]);
        tracker.commit(commit(1));
        assert_eq!(tracker.mark().within, []);
    }

    #[test]
    fn a_prepare_that_is_read_again_ends_no_transaction_among_gtids() {
        let prepare = || Committed { gtid: None, ..commit(1) };
        let rows = vec![within("shop.orders", 2), within("a.b.c", 7)];
        let resume = Resume { within: rows.clone(), ..start() };
        let mut tracker = Tracker::new(resume.clone(), HashSet::new());
        tracker.commit(prepare());
        assert_eq!(tracker.mark().within, rows);
        let third = tracker.open(opening(1, 3, false)).expect("new");
        tracker.commit(prepare());
        tracker.resolve(third);
        assert_eq!(tracker.mark().within, [within("shop.orders", 3), within("a.b.c", 7)]);

        let position = Position { gtids: None, ..start().position };
        let mut tracker = Tracker::new(Resume { position, ..resume }, HashSet::new());
        tracker.commit(prepare());
        assert_eq!(tracker.mark().within, []);
    }

    #[test]
    fn rows_counted_in_one_transaction_say_nothing_about_another() {
        let resume = Resume { within: vec![within("shop.orders", 7)], ..start() };
        let mut tracker = Tracker::new(resume, HashSet::new());
        let other = Arc::new(Transaction { offset: 999, ..(*transaction()).clone() });
        let first = tracker.open(Opening { transaction: other.clone(), ..opening(1, 1, false) }).expect("new");
        tracker.resolve(first);
        let counted = Within { transaction: other.identity().into(), ..within("shop.orders", 1) };
        assert_eq!(tracker.mark().within, [counted]);
        let back = tracker.open(opening(2, 8, false)).expect("new");
        tracker.resolve(back);
        assert_eq!(tracker.mark().within, [within("shop.orders", 8)]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Change { deliveries: u8 },
        Commit,
        Resolve(prop::sample::Index, bool),
        Checkpoint,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1..4u8).prop_map(|deliveries| Step::Change { deliveries }),
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
            let mut tracker = Tracker::new(start(), HashSet::new());
            let (mut history, mut open, mut resolved) = (Vec::new(), Vec::new(), HashSet::new());
            let (mut stored, mut ledger, mut resolved_then) = (start(), HashSet::new(), HashSet::new());
            let (mut next_id, mut ordinal, mut transactions) = (0u128, 0u64, 0u64);
            for step in steps.into_iter().chain([Step::Checkpoint]) {
                match step {
                    Step::Change { deliveries } => {
                        ordinal += 1;
                        for n in 1..=deliveries {
                            next_id += 1;
                            let opening = opening(next_id, ordinal, n < deliveries);
                            history.push((transactions, opening.clone()));
                            open.push((tracker.open(opening).expect("ids are new"), next_id));
                        }
                    }
                    Step::Commit => {
                        transactions += 1;
                        ordinal = 0;
                        tracker.commit(commit(transactions));
                    }
                    Step::Resolve(which, dead) if !open.is_empty() => {
                        let (sequence, id) = open.remove(which.index(open.len()));
                        let id = DeliveryId(Uuid::from_u128(id));
                        resolved.insert(id);
                        if dead {
                            ledger.insert(id);
                            tracker.resolve_in_ledger(sequence);
                        } else {
                            tracker.resolve(sequence);
                        }
                    }
                    Step::Resolve(..) => {}
                    Step::Checkpoint => {
                        if let Some(checkpoint) = tracker.checkpoint() {
                            stored = checkpoint.resume;
                            ledger.extend(checkpoint.ledger_add);
                            checkpoint.ledger_remove.iter().for_each(|id| { ledger.remove(id); });
                        }
                        resolved_then = resolved.clone();
                    }
                }
            }
            prop_assert_eq!(tracker.unresolved(), open.len());
            let passed = stored.position.gtids.as_ref().expect("gtids").intervals().map(|(_, _, (_, last))| last).max();
            let rows_within = stored.within.first().map_or(0, |within| within.rows);
            let mut again = Tracker::new(stored.clone(), ledger);
            for (transaction, opening) in history {
                let skipped = transaction < passed.unwrap_or(0)
                    || (transaction == passed.unwrap_or(0) && opening.ordinal <= rows_within);
                let id = opening.id;
                let repeated = !skipped && again.open(opening).is_some();
                prop_assert_eq!(repeated, !resolved_then.contains(&id), "delivery {}", id);
            }
        }
    }
}
