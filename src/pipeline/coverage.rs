//! What a rule has had already of what its feed brings.
//!
//! In: a position up to which all is done, then the changes and ends of transactions of a feed that began earlier.
//! Out: which of them to leave out (promise 4). By GTID where a transaction has one, because another server may have its
//! transactions in another order; else by position. Pure.

use std::sync::Arc;

use crate::change::{Change, Table, Transaction};
use crate::outcome::reached::Reached;
use crate::position::{Committed, Position, Resume, Within};

/// Everything up to a position.
#[derive(Debug)]
pub(super) struct Coverage {
    position: Position,
    within: Vec<Within>,
    /// The transaction that was checked last, and how much of it is covered.
    looked_at: Option<(Arc<Transaction>, Covered)>,
}

#[derive(Debug)]
enum Covered {
    Whole,
    /// The first rows of some tables.
    Rows(Vec<Within>),
    Nothing,
}

impl Coverage {
    pub fn new(resume: &Resume) -> Coverage {
        Coverage { position: resume.position.clone(), within: resume.within.clone(), looked_at: None }
    }

    /// Whether a change is covered.
    pub fn holds(&mut self, change: &Change) -> bool {
        let transaction = &change.transaction;
        if !self.looked_at.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, transaction)) {
            self.looked_at = Some((Arc::clone(transaction), self.look_at(transaction)));
        }
        match &self.looked_at {
            Some((_, Covered::Whole)) => true,
            Some((_, Covered::Rows(within))) => {
                within.iter().any(|within| is_of(within, &change.table) && change.ordinal <= within.rows)
            }
            Some((_, Covered::Nothing)) | None => false,
        }
    }

    fn look_at(&self, transaction: &Transaction) -> Covered {
        if self.position.covers(transaction.gtid.as_ref(), transaction.server_uuid, &transaction.begin()) {
            return Covered::Whole;
        }
        let rows: Vec<Within> = self.within.iter().filter(|within| transaction.has_rows(within)).cloned().collect();
        if rows.is_empty() { Covered::Nothing } else { Covered::Rows(rows) }
    }

    /// Whether the end of a transaction is covered; where it has a GTID also if none is done by it (an XA PREPARE).
    pub fn holds_commit(&self, committed: &Committed) -> bool {
        self.position.covers_end(committed)
    }

    /// Whether a feed that has reached this position brings nothing covered any more.
    pub fn is_passed_by(&self, place: &Position) -> bool {
        place.reaches(&self.position) && self.within.iter().all(|within| place.has_passed(within, &self.position))
    }
}

/// How a rule goes over from its own feed to the main stream.
#[derive(Debug)]
pub(super) struct Handover {
    /// What the main stream still brings of what the feed has brought; none where both are at the same position.
    pub coverage: Option<Coverage>,
}

/// None: the main stream has passed something that the feed has not, so that the rule would miss it.
pub(super) fn handover(main: &Reached, feed: &Reached) -> Option<Handover> {
    let (ours, theirs) = (main.position(), feed.position());
    if theirs.lies_before(ours) || !Coverage::new(&main.resume()).is_passed_by(theirs) {
        return None;
    }
    let coverage = Coverage::new(&feed.resume());
    Some(Handover { coverage: (!coverage.is_passed_by(ours)).then_some(coverage) })
}

fn is_of(within: &Within, table: &Table) -> bool {
    let rest = within.table.strip_prefix(&*table.schema).and_then(|rest| rest.strip_prefix('.'));
    rest == Some(&*table.name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::change::Op;
    use crate::position::{Anchor, FileOffset, FoundBy, Gtid, GtidSet, PositionParts, Proof, Tag};

    const UUID: Uuid = Uuid::from_u128(7);

    fn place(gtids: Option<&str>, offset: u64) -> Position {
        let gtids = gtids.map(|numbers| if numbers.is_empty() { GtidSet::new() } else { set(numbers) });
        let file = FileOffset { file: "b.000001".into(), offset };
        let found_by = if gtids.is_some() { FoundBy::Either } else { FoundBy::Place };
        let (undecided, proof) = (Arc::default(), Proof::default());
        Position::from_parts(PositionParts { server_uuid: UUID, gtids, file, undecided, found_by, proof })
    }

    fn set(numbers: &str) -> GtidSet {
        format!("{UUID}:{numbers}").parse().expect("a set")
    }

    fn gtid(number: u64) -> Gtid {
        Gtid { uuid: UUID, tag: Tag::default(), number }
    }

    fn transaction(number: Option<u64>, offset: u64) -> Arc<Transaction> {
        let gtid = number.map(gtid);
        Arc::new(Transaction { server_uuid: UUID, gtid, file: "b.000001".into(), offset, ..Transaction::example() })
    }

    fn change(transaction: &Arc<Transaction>, table: &str, ordinal: u64) -> Change {
        let table = Table { schema: "shop".into(), name: table.into(), columns: vec![], primary_key: vec![] };
        let transaction = Arc::clone(transaction);
        Change { op: Op::Insert, table: table.into(), before: None, after: None, transaction, ordinal }
    }

    fn commit(number: Option<u64>, offset: u64) -> Committed {
        Committed {
            server_uuid: UUID,
            gtid: number.map(gtid),
            decided: None,
            end: FileOffset { file: "b.000001".into(), offset },
            undecided: Arc::default(),
            anonymous_follow: number.is_none(),
            gtids_at_head: None,
            anchor: Anchor::of_test(number.map(gtid), offset),
            file_created_s: None,
            committed_at_us: 0,
            schema: None,
        }
    }

    fn of(position: Position, within: Option<(&Arc<Transaction>, u64)>) -> Coverage {
        let within = within.map(|(transaction, rows)| Within {
            transaction: transaction.identity().into(),
            table: "shop.orders".into(),
            rows,
        });
        Coverage::new(&Resume { position, within: within.into_iter().collect(), schema: Arc::default() })
    }

    #[test]
    fn what_lies_before_the_place_is_covered_and_nothing_after() {
        for (gtids, before, after) in [(None, None, None), (Some("1-5"), Some(5), Some(6))] {
            let mut coverage = of(place(gtids, 500), None);
            assert!(coverage.holds(&change(&transaction(before, 400), "orders", 9)));
            assert!(!coverage.holds(&change(&transaction(after, 500), "orders", 1)));
            assert!(coverage.holds_commit(&commit(before, 500)));
            assert!(!coverage.holds_commit(&commit(after, 600)));
            let passed = |gtids, offset| coverage.is_passed_by(&place(gtids, offset));
            assert_eq!((passed(gtids.map(|_| "1-4"), 400), passed(gtids, 500)), (false, true));
        }
    }

    #[test]
    fn with_gtids_the_order_of_another_server_does_not_matter() {
        let mut coverage = of(place(Some("1-3:5"), 500), None);
        for (number, is_covered) in [(3, true), (4, false), (5, true), (6, false)] {
            assert_eq!(coverage.holds(&change(&transaction(Some(number), 9000), "orders", 1)), is_covered, "{number}");
        }
        // The end of an XA PREPARE.
        assert!(coverage.holds_commit(&Committed { gtid: None, ..commit(Some(7), 9000) }));
        assert!(!coverage.is_passed_by(&place(Some("1-4"), 9000)));
        assert!(coverage.is_passed_by(&place(Some("1-5"), 9000)));
    }

    #[test]
    fn among_gtids_a_transaction_without_one_is_covered_by_its_place() {
        let by_place = PositionParts { found_by: FoundBy::Place, ..place(Some("1-5"), 500).into_parts() };
        let mut coverage = of(Position::from_parts(by_place), None);
        for (offset, is_covered) in [(400, true), (500, false), (600, false)] {
            assert_eq!(coverage.holds(&change(&transaction(None, offset), "orders", 1)), is_covered, "{offset}");
            assert_eq!(coverage.holds_commit(&commit(None, offset + 100)), is_covered, "{offset}");
        }
        let elsewhere = Transaction { server_uuid: Uuid::nil(), ..(*transaction(None, 400)).clone() };
        assert!(!coverage.holds(&change(&elsewhere.into(), "orders", 1)), "on another server a place says nothing");
        assert!(!coverage.is_passed_by(&place(Some("1-5"), 400)), "the set is reached, the place is not");
        assert!(coverage.is_passed_by(&place(Some("1-5"), 500)));
        let elsewhere = PositionParts { server_uuid: Uuid::nil(), ..place(Some("1-9"), 900).into_parts() };
        assert!(
            !coverage.is_passed_by(&Position::from_parts(elsewhere)),
            "whether it has those without GTIDs is not known"
        );
    }

    #[test]
    fn within_a_transaction_the_first_rows_of_its_tables_are_covered_until_it_ends() {
        for (gtids, number) in [(None, None), (Some("1-5"), Some(6))] {
            let open = transaction(number, 500);
            let mut coverage = of(place(gtids, 500), Some((&open, 3)));
            for (table, ordinal, is_covered) in [("orders", 3, true), ("orders", 4, false), ("orders2", 1, false)] {
                assert_eq!(coverage.holds(&change(&open, table, ordinal)), is_covered, "{table} {ordinal}");
            }
            assert!(!coverage.holds(&change(&transaction(number.map(|n| n + 1), 700), "orders", 1)));
            assert!(!coverage.holds_commit(&commit(number, 700)));
            assert!(!coverage.is_passed_by(&place(gtids, 500)));
            assert!(coverage.is_passed_by(&place(gtids.map(|_| "1-6"), 700)));
        }
    }
    /// A binlog of transactions with so many rows each, and a reader of it.
    struct Log {
        /// Whether positions have sets.
        has_sets: bool,
        /// Of each transaction.
        numbers: Vec<Option<u64>>,
        transactions: Vec<Arc<Transaction>>,
        rows: Vec<u64>,
    }

    struct Reader {
        reached: Reached,
        /// Number of the transaction, and of its rows how many were read.
        at: (usize, u64),
    }

    impl Log {
        /// Of each transaction, how many rows it has and whether it has a GTID.
        fn new(has_sets: bool, transactions: Vec<(u64, bool)>) -> Log {
            let (rows, has_gtid): (Vec<u64>, Vec<bool>) = transactions.into_iter().unzip();
            let mut numbers = 1..;
            let numbers: Vec<Option<u64>> =
                has_gtid.into_iter().map(|has_gtid| numbers.next().filter(|_| has_gtid)).collect();
            let transaction = |(n, number): (usize, &Option<u64>)| transaction(*number, 100 + 100 * n as u64);
            Log { has_sets, transactions: numbers.iter().enumerate().map(transaction).collect(), rows, numbers }
        }

        fn reader(&self) -> Reader {
            let position = place(self.has_sets.then_some(""), 100);
            Reader { reached: Resume { position, within: vec![], schema: Arc::default() }.into(), at: (0, 0) }
        }

        /// The next row, or the end of the transaction; none at the end of the log.
        fn next(&self, reader: &Reader) -> Option<Result<Change, Committed>> {
            let (n, read) = reader.at;
            let open = self.transactions.get(n)?;
            if read < self.rows[n] {
                return Some(Ok(change(open, "orders", read + 1)));
            }
            Some(Err(commit(self.numbers[n], 200 + 100 * n as u64)))
        }

        fn pass(&self, reader: &mut Reader, next: &Result<Change, Committed>) {
            match next {
                Ok(row) => {
                    reader.reached.pass_row(&row.transaction, &row.table, row.ordinal);
                    reader.at.1 += 1;
                }
                Err(committed) => {
                    reader.reached.pass_commit(committed);
                    reader.at = (reader.at.0 + 1, 0);
                }
            }
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Main,
        Own,
        Detach,
        Attach,
        /// Reading goes on from what was stored: the position, with definitions and all.
        Restart,
    }

    proptest! {
        /// Wherever a rule is detached and attached, also inside transactions and while it still leaves things out: every
        /// row comes to it once, in order, with GTIDs, without, and where some transactions have one and some do not.
        #[test]
        fn a_rule_that_changes_feeds_gets_every_row_once_and_in_order(
            has_sets in any::<bool>(),
            transactions in proptest::collection::vec((0..4u64, any::<bool>()), 1..8),
            steps in proptest::collection::vec(
                prop_oneof![
                    4 => Just(Step::Main), 5 => Just(Step::Own), 2 => Just(Step::Detach), 3 => Just(Step::Attach),
                    1 => Just(Step::Restart)
                ],
                0..200,
            ),
        ) {
            let log = Log::new(has_sets, transactions);
            let (mut main, mut own) = (log.reader(), None::<Reader>);
            let (mut coverage, mut came) = (None::<Coverage>, Vec::new());
            let to_the_end = std::iter::repeat_n([Step::Own, Step::Attach, Step::Main], 60).flatten();
            for step in steps.into_iter().chain(to_the_end) {
                let is_detached = own.is_some();
                let (reader, is_fed) = match (step, &mut own) {
                    (Step::Main, _) => (&mut main, !is_detached),
                    (Step::Own, Some(own)) => (own, true),
                    (Step::Detach, None) => {
                        own = Some(Reader { reached: main.reached.clone(), at: main.at });
                        continue;
                    }
                    (Step::Attach, Some(reader)) if coverage.is_none() => {
                        if let Some(handover) = handover(&main.reached, &reader.reached) {
                            coverage = handover.coverage;
                            own = None;
                        }
                        continue;
                    }
                    (Step::Restart, own) => {
                        main.reached = main.reached.resume().into();
                        if let Some(own) = own {
                            own.reached = own.reached.resume().into();
                        }
                        continue;
                    }
                    _ => continue,
                };
                let Some(next) = log.next(reader) else { continue };
                if let (true, Ok(row)) = (is_fed, &next)
                    && !coverage.as_mut().is_some_and(|coverage| coverage.holds(row))
                {
                    came.push((row.transaction.offset, row.ordinal));
                }
                log.pass(reader, &next);
                if is_fed && coverage.as_ref().is_some_and(|coverage| coverage.is_passed_by(reader.reached.position())) {
                    coverage = None;
                }
            }
            let all = log.transactions.iter().zip(&log.rows);
            let all: Vec<(u64, u64)> = all.flat_map(|(t, rows)| (1..=*rows).map(|row| (t.offset, row))).collect();
            prop_assert_eq!(came, all);
            prop_assert!(own.is_none() && coverage.is_none(), "it never came back");
        }
    }
}
