//! Where a NULL leads to another answer than it did when conditions took NULL for a value.
//!
//! In: a compiled condition, and the columns of its table. Out: each `!=`, `not` and `not in` on a nullable column (and each `==` of two
//! of them) by which rows matched, and don't any more. What the other comparisons say is not known: all their answers are tried.

use super::compiled::{Term, Test};
use super::error::Flaw;
use super::logic::{Leaf, Logic, and};
use super::never::may_answer;
use super::relation::Relation;
use super::scope::RowSide;
use crate::change::Op;
use crate::schema::TypedColumn;

/// Comparisons whose answers are tried in all combinations; with more of them, each is said to matter.
const OTHERS_MAX: u32 = 10;

pub(super) fn changed_by_nulls(logic: &Logic, columns: &[TypedColumn]) -> Vec<Flaw> {
    let mut flaws: Vec<Flaw> = Vec::new();
    for column in columns.iter().filter(|column| column.is_nullable) {
        for side in [RowSide::Row, RowSide::Old] {
            let about = About { column: &column.name, side, op: None, columns };
            if !about.is_changed(logic) {
                continue;
            }
            let mut operators = Vec::new();
            about.operators(logic, false, &mut operators);
            let name = if side == RowSide::Old { "old" } else { "row" };
            let column = &column.name;
            flaws.extend(operators.into_iter().map(|(leaf, operator)| {
                let message = format!(
                    "`{operator}` on the nullable column `{column}`: where it is NULL the condition is unknown, and the row no \
                     match, as in SQL; earlier versions matched it; to match it still, write `{name}.{column} is none or …`"
                );
                Flaw { line: leaf.at.0, column: leaf.at.1, message }
            }));
        }
    }
    flaws.sort_by_key(|flaw| (flaw.line, flaw.column));
    // `row.a != old.a` is about two columns.
    flaws.dedup_by_key(|flaw| (flaw.line, flaw.column));
    flaws
}

/// Whether the condition may be true of a change with one of these ops where this column is NULL on this side. What the other comparisons say is not known: each may be true, false or unknown.
pub(super) fn allows_null(
    logic: &Logic,
    ops: &[Op],
    side: RowSide,
    column: &TypedColumn,
    columns: &[TypedColumn],
) -> bool {
    let about = |op| About { column: &column.name, side, op: Some(op), columns };
    let has_row = |op: &&Op| side == RowSide::Row || !matches!(op, Op::Insert | Op::Read | Op::Truncate);
    ops.iter().filter(has_row).any(|op| about(*op).possible(logic).is_true)
}

/// The answers that are possible.
#[derive(Clone, Copy)]
struct Possible {
    is_true: bool,
    is_false: bool,
}

/// What a test says where the column is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhenNull {
    /// Now unknown; before, this.
    Unknown(bool),
    /// Now unknown; before it depended on whether another column is NULL, too.
    UnknownOfTwo,
    Always(bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    AreValues,
    AreUnknown,
}

/// The column that is NULL.
struct About<'a> {
    column: &'a str,
    side: RowSide,
    /// Of the change, where only one is meant.
    op: Option<Op>,
    columns: &'a [TypedColumn],
}

impl About<'_> {
    fn is_changed(&self, logic: &Logic) -> bool {
        let (mut others, mut own) = (0u32, 0);
        logic.each_leaf(&mut |leaf| match self.when_null(leaf) {
            None => others += 1,
            Some(WhenNull::UnknownOfTwo) => (others, own) = (others + 1, own + 1),
            Some(_) => own += 1,
        });
        if own == 0 {
            return false;
        }
        others > OTHERS_MAX
            || (0..1u32 << others).any(|answers| {
                let (mut before, mut now) = (answers, answers);
                self.decided(logic, Nulls::AreValues, &mut before) == Some(true)
                    && self.decided(logic, Nulls::AreUnknown, &mut now) != Some(true)
            })
    }

    /// Which definite answers the condition may have where the column is NULL.
    fn possible(&self, logic: &Logic) -> Possible {
        match logic {
            Logic::And(both) => {
                let (left, right) = (self.possible(&both[0]), self.possible(&both[1]));
                Possible { is_true: left.is_true && right.is_true, is_false: left.is_false || right.is_false }
            }
            Logic::Or(both) => {
                let (left, right) = (self.possible(&both[0]), self.possible(&both[1]));
                Possible { is_true: left.is_true || right.is_true, is_false: left.is_false && right.is_false }
            }
            Logic::Not(negated) => {
                let Possible { is_true, is_false } = self.possible(negated);
                Possible { is_true: is_false, is_false: is_true }
            }
            Logic::If(parts) => {
                let [test, then, other] = [0, 1, 2].map(|n| self.possible(&parts[n]));
                Possible {
                    is_true: test.is_true && then.is_true || other.is_true,
                    is_false: test.is_true && then.is_false || other.is_false,
                }
            }
            Logic::Leaf(leaf) => match self.when_null(leaf) {
                None => {
                    let may_be = |wanted| self.op.is_none_or(|op| may_answer(leaf, wanted, op, self.columns));
                    Possible { is_true: may_be(true), is_false: may_be(false) }
                }
                Some(WhenNull::Unknown(_) | WhenNull::UnknownOfTwo) => Possible { is_true: false, is_false: false },
                Some(WhenNull::Always(truth)) => Possible { is_true: truth, is_false: !truth },
            },
        }
    }

    /// None where the test is not about this column.
    fn when_null(&self, leaf: &Leaf) -> Option<WhenNull> {
        // What a delete removes is its row, and its old row.
        let is_side = |side: Option<RowSide>| side == Some(self.side) || side.is_some() && self.op == Some(Op::Delete);
        let is_it = |term: &Term| term.column() == Some(self.column) && is_side(term.side());
        Some(match leaf.test.as_ref()? {
            Test::Compare(left, relation, right) if is_it(left) || is_it(right) => {
                let other = if is_it(left) { right } else { left };
                let is_nullable =
                    |name: &str| self.columns.iter().any(|column| column.is_nullable && *column.name == *name);
                match other.column() {
                    Some(name) if !relation.orders() && is_nullable(name) => WhenNull::UnknownOfTwo,
                    _ => WhenNull::Unknown(*relation == Relation::Unequal),
                }
            }
            Test::OneOf(needle, _, true) if is_it(needle) => WhenNull::Always(true),
            Test::OneOf(needle, _, false) | Test::IsTrue(needle) if is_it(needle) => WhenNull::Unknown(false),
            Test::IsNone(term) | Test::IsDefined(term) if is_it(term) => WhenNull::Always(true),
            _ => return None,
        })
    }

    /// What the condition says where the column is NULL; each bit of `answers` is that of a test whose answer is not known.
    fn decided(&self, logic: &Logic, nulls: Nulls, answers: &mut u32) -> Option<bool> {
        let mut inner = |logic: &Logic| self.decided(logic, nulls, answers);
        match logic {
            Logic::And(both) => {
                let (left, right) = (inner(&both[0]), inner(&both[1]));
                and(left, right)
            }
            Logic::Or(both) => {
                let (left, right) = (inner(&both[0]), inner(&both[1]));
                and(left.map(|truth| !truth), right.map(|truth| !truth)).map(|truth| !truth)
            }
            Logic::Not(negated) => inner(negated).map(|truth| !truth),
            Logic::If(parts) => {
                let [test, then, other] = [inner(&parts[0]), inner(&parts[1]), inner(&parts[2])];
                if test == Some(true) { then } else { other }
            }
            Logic::Leaf(leaf) => {
                let about = self.when_null(leaf);
                let answer = match about {
                    None | Some(WhenNull::UnknownOfTwo) => {
                        let answer = *answers & 1 == 1;
                        *answers >>= 1;
                        answer
                    }
                    Some(WhenNull::Unknown(before)) => before,
                    Some(WhenNull::Always(truth)) => return Some(truth),
                };
                let is_unknown = about.is_some() && nulls == Nulls::AreUnknown;
                (!is_unknown).then_some(answer)
            }
        }
    }

    /// The operators by which a NULL counted as true, each with its place.
    fn operators<'l>(&self, logic: &'l Logic, is_negated: bool, out: &mut Vec<(&'l Leaf, &'static str)>) {
        match logic {
            Logic::And(parts) | Logic::Or(parts) => parts.iter().for_each(|part| self.operators(part, is_negated, out)),
            Logic::If(parts) => parts.iter().for_each(|part| self.operators(part, is_negated, out)),
            Logic::Not(inner) => self.operators(inner, !is_negated, out),
            Logic::Leaf(leaf) => {
                let (Some(about), Some(test)) = (self.when_null(leaf), &leaf.test) else { return };
                let operator = match (about, test) {
                    (WhenNull::Always(_), _) => return,
                    (WhenNull::Unknown(before), _) if before == is_negated => return,
                    (_, Test::OneOf(..)) => "not in",
                    _ if is_negated => "not",
                    (_, Test::Compare(_, Relation::Unequal, _)) => "!=",
                    _ => "==",
                };
                out.push((leaf, operator));
            }
        }
    }
}
