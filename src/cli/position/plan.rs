//! The stored low-water marks after a move.
//!
//! In: the checkpoint, and for each mark where it goes. Out: the set of marks that replaces it, and in words what is
//! skipped and repeated. Definitions of tables that may differ at the new position are dropped: they are learned there
//! again. Pure.

use std::sync::Arc;

use crate::cli::output::count;
use crate::position::{Position, Resume};
use crate::source::Count;
use crate::store::{CheckpointSet, RuleCheckpoint, SavedCheckpoint};

/// A mark that may be moved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MovableMark {
    /// None: the main stream's.
    pub rule: Option<Arc<str>>,
    pub resume: Resume,
}

/// What is done with a mark.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum MarkMove {
    To(Resume),
    /// It lies elsewhere and stays.
    Stays,
    /// It lies before the transaction that is skipped, which it can't leave out yet: the rule has its own reader from now on,
    /// so that nothing before is lost, and stops there alone.
    StaysLate,
}

/// The marks that a move concerns: that of one rule, or all.
pub(super) fn marks(saved: &SavedCheckpoint, rule: Option<&str>) -> Vec<MovableMark> {
    let main = &saved.main;
    let of_rule =
        |record: &RuleCheckpoint| MovableMark { rule: Some(record.rule.clone()), resume: record.resume.clone() };
    match rule {
        None => {
            let main = MovableMark { rule: None, resume: main.clone() };
            std::iter::once(main).chain(saved.rules.iter().map(of_rule)).collect()
        }
        Some(rule) => {
            let own = saved.rules.iter().find(|record| *record.rule == *rule).map(of_rule);
            vec![own.unwrap_or_else(|| MovableMark { rule: Some(rule.into()), resume: main.clone() })]
        }
    }
}

/// Begins at a position where no transaction has been begun and no table is known.
pub(super) fn at(position: Position) -> Resume {
    Resume { position, within: Vec::new(), schema: Arc::default() }
}

/// The marks after the move. A rule that is moved alone has its own reader, until it meets the main stream.
pub(super) fn moved(
    saved: SavedCheckpoint,
    known: Vec<Arc<str>>,
    ways: Vec<(MovableMark, MarkMove)>,
    now_us: u64,
) -> CheckpointSet {
    let SavedCheckpoint { main, rules, former_ids, .. } = saved;
    let moves_all = ways.iter().any(|(mark, _)| mark.rule.is_none());
    let mut set = CheckpointSet { main, rules, known, former_ids };
    for (mark, way) in ways {
        let Some(name) = mark.rule else {
            if let MarkMove::To(resume) = way {
                set.main = resume;
            }
            continue;
        };
        let at = set.rules.iter().position(|record| record.rule == name).unwrap_or_else(|| {
            set.rules.push(RuleCheckpoint { rule: name, resume: mark.resume, detached_since_us: None });
            set.rules.len() - 1
        });
        let record = &mut set.rules[at];
        let is_late = !moves_all || way == MarkMove::StaysLate;
        if is_late {
            record.detached_since_us = record.detached_since_us.or(Some(now_us));
        }
        if let MarkMove::To(resume) = way {
            record.resume = resume;
        }
    }
    // A mark of its own at the main stream's position is redundant.
    set.rules.retain(|record| record.detached_since_us.is_some() || record.resume != set.main);
    set
}

/// `skips 3 transactions, 900 bytes`. Each count is of transactions and bytes; none where it is not known.
pub(super) fn counts_text(skipped: (Option<u64>, Option<u64>), repeated: (Option<u64>, Option<u64>)) -> String {
    let parts = [("skips", skipped), ("repeats", repeated)];
    let said: Vec<String> = parts.into_iter().filter_map(|(verb, counts)| count_text(verb, counts)).collect();
    match said.is_empty() {
        true => "skips and repeats nothing".to_string(),
        false => said.join("; "),
    }
}

pub(super) fn of(count: Count) -> (Option<u64>, Option<u64>) {
    (count.transactions, count.bytes)
}

fn count_text(verb: &str, counts: (Option<u64>, Option<u64>)) -> Option<String> {
    Some(match counts {
        (Some(0), _) | (None, Some(0)) => return None,
        (Some(transactions), Some(bytes)) => {
            format!("{verb} {}, {}", count(transactions, "transaction", "transactions"), count(bytes, "byte", "bytes"))
        }
        (Some(transactions), None) => format!("{verb} {}", count(transactions, "transaction", "transactions")),
        (None, Some(bytes)) => {
            format!("{verb} {} of transactions that were not counted", count(bytes, "byte", "bytes"))
        }
        (None, None) => format!("{verb} what lies between, which can't be counted"),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::position::{FileOffset, FoundBy, PositionParts, Proof, Within};
    use crate::store::Ledger;

    fn resume(offset: u64) -> Resume {
        let file = FileOffset { file: "b.000001".into(), offset };
        let (undecided, proof, found_by) = (Arc::default(), Proof::default(), FoundBy::Place);
        at(Position::from_parts(PositionParts {
            server_uuid: Uuid::nil(),
            gtids: None,
            file,
            undecided,
            proof,
            found_by,
        }))
    }

    fn record(rule: &str, offset: u64, detached_since_us: Option<u64>) -> RuleCheckpoint {
        RuleCheckpoint { rule: rule.into(), resume: resume(offset), detached_since_us }
    }

    fn saved() -> SavedCheckpoint {
        let rules = vec![record("near", 90, None), record("late", 10, Some(5))];
        SavedCheckpoint { main: resume(100), rules, known: None, ledger: Ledger::default(), former_ids: None }
    }

    fn known() -> Vec<Arc<str>> {
        ["near", "late", "level"].map(Arc::from).into()
    }

    fn rules_of(set: &CheckpointSet) -> Vec<(&str, u64, Option<u64>)> {
        let of = |record: &RuleCheckpoint| record.resume.position.place().offset;
        set.rules.iter().map(|record| (&*record.rule, of(record), record.detached_since_us)).collect()
    }

    fn all_to(offset: u64) -> Vec<(MovableMark, MarkMove)> {
        marks(&saved(), None).into_iter().map(|mark| (mark, MarkMove::To(resume(offset)))).collect()
    }

    #[test]
    fn all_marks_move_and_a_detached_rule_stays_so_until_it_meets_the_others() {
        let set = moved(saved(), known(), all_to(500), 7);
        assert_eq!(set.main, resume(500));
        assert_eq!(rules_of(&set), [("late", 500, Some(5))]);
        assert_eq!(set.known, known());
    }

    #[test]
    fn a_rule_that_moves_alone_is_detached_and_the_others_stay() {
        for (rule, offset, expected) in [
            ("near", 500, vec![("near", 500, Some(7)), ("late", 10, Some(5))]),
            ("late", 500, vec![("near", 90, None), ("late", 500, Some(5))]),
            ("level", 50, vec![("near", 90, None), ("late", 10, Some(5)), ("level", 50, Some(7))]),
        ] {
            let marks = marks(&saved(), Some(rule));
            assert_eq!(marks.len(), 1);
            let ways = marks.into_iter().map(|mark| (mark, MarkMove::To(resume(offset)))).collect();
            let set = moved(saved(), known(), ways, 7);
            assert_eq!((set.main.clone(), rules_of(&set)), (resume(100), expected), "{rule}");
        }
        assert_eq!(marks(&saved(), Some("level"))[0].resume, resume(100));
    }

    #[test]
    fn past_one_transaction_a_rule_before_it_keeps_its_position_and_gets_its_own_reader() {
        let ways = |mark: &MovableMark| match mark.rule.as_deref() {
            None => MarkMove::To(resume(120)),
            Some("near") => MarkMove::StaysLate,
            Some(_) => MarkMove::Stays,
        };
        let ways = marks(&saved(), None).into_iter().map(|mark| (mark.clone(), ways(&mark))).collect();
        let set = moved(saved(), known(), ways, 7);
        assert_eq!(set.main, resume(120));
        assert_eq!(rules_of(&set), [("near", 90, Some(7)), ("late", 10, Some(5))]);
    }

    #[test]
    fn a_new_position_has_no_rows_and_no_tables() {
        let mut before = resume(100);
        before.within = vec![Within { transaction: "t".into(), table: "shop.orders".into(), rows: 3 }];
        let new = at(before.position.clone());
        assert_eq!((new.within, new.schema.len()), (vec![], 0));
    }

    #[test]
    fn counts_say_what_is_known() {
        for (skipped, repeated, expected) in [
            ((Some(0), Some(0)), (Some(0), Some(0)), "skips and repeats nothing"),
            ((Some(1), Some(1)), (Some(0), Some(0)), "skips 1 transaction, 1 byte"),
            ((Some(2), None), (Some(3), Some(9)), "skips 2 transactions; repeats 3 transactions, 9 bytes"),
            ((None, Some(9)), (Some(0), Some(0)), "skips 9 bytes of transactions that were not counted"),
            (
                (None, None),
                (None, None),
                "skips what lies between, which can't be counted; repeats what lies between, which can't be counted",
            ),
        ] {
            assert_eq!(counts_text(skipped, repeated), expected);
        }
    }
}
