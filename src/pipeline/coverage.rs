//! What a rule has had already of what its feed brings.
//!
//! In: a place up to which all is done, then the changes and ends of transactions that a feed brings which began earlier.
//! Out: which of them to leave out (promise 4). By GTID where there are any, because another server may have its
//! transactions in another order; else by place. Pure.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::change::{Change, Table, Transaction};
use crate::position::{Committed, FileOffset, GtidSet, Position, Resume, Within};

/// Everything up to a place.
#[derive(Debug)]
pub(super) struct Coverage {
    position: Position,
    within: Vec<Within>,
    /// The transaction that was looked at last, and how much of it is covered.
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
        let is_whole = match (&self.position.gtids, &transaction.gtid) {
            (Some(set), Some(gtid)) => set.contains(gtid),
            _ => {
                let begin = FileOffset { file: Arc::clone(&transaction.file), offset: transaction.offset };
                transaction.server_uuid == self.position.server_uuid
                    && begin.order(&self.position.file) == Ordering::Less
            }
        };
        if is_whole {
            return Covered::Whole;
        }
        let identity = transaction.identity();
        let rows: Vec<Within> = self.within.iter().filter(|within| *within.transaction == *identity).cloned().collect();
        if rows.is_empty() { Covered::Nothing } else { Covered::Rows(rows) }
    }

    /// Whether the end of a transaction is covered; among GTIDs also where none is done by it.
    pub fn holds_commit(&self, committed: &Committed) -> bool {
        match &self.position.gtids {
            Some(set) => committed.gtids().all(|gtid| set.contains(gtid)),
            None => {
                committed.server_uuid == self.position.server_uuid
                    && committed.end.order(&self.position.file) != Ordering::Greater
            }
        }
    }

    /// Whether a feed that has got to this place brings nothing covered any more.
    pub fn is_passed_by(&self, place: &Position) -> bool {
        let is_beyond = || {
            place.server_uuid == self.position.server_uuid && place.file.order(&self.position.file) == Ordering::Greater
        };
        let has_ended = |within: &Within| match (&place.gtids, within.transaction.parse::<GtidSet>()) {
            (Some(set), Ok(transaction)) => transaction.is_subset_of(set),
            _ => is_beyond(),
        };
        place.reaches(&self.position) && self.within.iter().all(has_ended)
    }
}

fn is_of(within: &Within, table: &Table) -> bool {
    let rest = within.table.strip_prefix(&*table.schema).and_then(|rest| rest.strip_prefix('.'));
    rest == Some(&*table.name)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::change::Op;
    use crate::position::{Gtid, Tag};

    const UUID: Uuid = Uuid::from_u128(7);

    fn place(gtids: Option<&str>, offset: u64) -> Position {
        let gtids = gtids.map(|numbers| if numbers.is_empty() { GtidSet::new() } else { set(numbers) });
        let file = FileOffset { file: "b.000001".into(), offset };
        Position { server_uuid: UUID, gtids, file, undecided: Arc::default() }
    }

    fn set(numbers: &str) -> GtidSet {
        format!("{UUID}:{numbers}").parse().expect("a set")
    }

    fn gtid(number: u64) -> Gtid {
        Gtid { uuid: UUID, tag: Tag::default(), number }
    }

    fn transaction(number: Option<u64>, offset: u64) -> Arc<Transaction> {
        let gtid = number.map(gtid);
        Arc::new(Transaction { server_uuid: UUID, gtid, file: "b.000001".into(), offset, committed_at_us: 0 })
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
        assert!(coverage.holds_commit(&commit(None, 9000)));
        assert!(!coverage.is_passed_by(&place(Some("1-4"), 9000)));
        assert!(coverage.is_passed_by(&place(Some("1-5"), 9000)));
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
}
