//! Conditions that no change can meet, found before the first row comes.
//!
//! In: a compiled condition, the ops of its rule, and the columns of its table where they are known. Out: why it is never true,
//! where that is certain: comparisons of literals alone, comparisons of one column that exclude each other or leave no value of its type,
//! what the ops of the rule leave no row for. Whatever may hold for some row of some column type is taken to hold: there is no false alarm, and not
//! everything that is never true is found.

mod values_left;

use std::cmp::Ordering;

use self::values_left::ValuesLeft;
use super::compiled::{Term, Test};
use super::decimal;
use super::error::Flaw;
use super::logic::{Leaf, Logic};
use super::nulls;
use super::operand::{Literal, Operand};
use super::relation::Relation;
use super::scope::RowSide;
use crate::change::Op;
use crate::printable::shortened;
use crate::schema::TypedColumn;

/// A condition with more alternatives is taken to be met by some of them.
const ALTERNATIVES_MAX: usize = 256;

/// Of a literal in a message.
const LITERAL_CHARS_MAX: usize = 40;

/// A leaf, and the answer that it must give.
type Demand<'l> = (&'l Leaf, bool);

/// Why no change can meet the condition; None where one may.
pub(super) fn never(logic: &Logic, ops: &[Op], columns: &[TypedColumn]) -> Option<Flaw> {
    let alternatives = alternatives(logic, true)?;
    let mut reasons: Vec<String> = Vec::new();
    let mut place = None;
    for op in ops {
        for (n, demands) in alternatives.iter().enumerate() {
            // One that can be met is enough.
            let (leaf, why) = refutation(demands, *op, columns)?;
            place.get_or_insert(leaf.at);
            if n == 0 && !reasons.contains(&why) {
                reasons.push(why);
            }
        }
    }
    let (line, column) = place?;
    let among = if alternatives.len() > 1 { ", and its alternatives have contradictions, too" } else { "" };
    Some(Flaw { line, column, message: format!("`when` is never true: {}{among}", reasons.join("; ")) })
}

/// What the leaves must answer for the condition to be `wanted`, in each of the ways in which it can be; None for too many ways.
fn alternatives(logic: &Logic, wanted: bool) -> Option<Vec<Vec<Demand<'_>>>> {
    let ways = match (logic, wanted) {
        (Logic::And(parts), true) | (Logic::Or(parts), false) => {
            product(&alternatives(&parts[0], wanted)?, &alternatives(&parts[1], wanted)?)
        }
        (Logic::And(parts), false) | (Logic::Or(parts), true) => {
            [alternatives(&parts[0], wanted)?, alternatives(&parts[1], wanted)?].concat()
        }
        (Logic::Not(inner), _) => alternatives(inner, !wanted)?,
        // The other branch is also that of an unknown test, of which nothing follows.
        (Logic::If(parts), _) => {
            let then = product(&alternatives(&parts[0], true)?, &alternatives(&parts[1], wanted)?);
            [then, alternatives(&parts[2], wanted)?].concat()
        }
        (Logic::Leaf(leaf), _) => vec![vec![(&**leaf, wanted)]],
    };
    (ways.len() <= ALTERNATIVES_MAX).then_some(ways)
}

fn product<'l>(left: &[Vec<Demand<'l>>], right: &[Vec<Demand<'l>>]) -> Vec<Vec<Demand<'l>>> {
    let with_each = |way: &Vec<Demand<'l>>| right.iter().map(|other| [&way[..], other].concat()).collect::<Vec<_>>();
    left.iter().flat_map(with_each).collect()
}

/// Why these demands can't be met by one change with this op, and the leaf where that shows.
fn refutation<'l>(demands: &[Demand<'l>], op: Op, columns: &[TypedColumn]) -> Option<(&'l Leaf, String)> {
    let mut claims: Vec<(&Leaf, Claim)> = Vec::new();
    let tests = || demands.iter().filter_map(|(leaf, wanted)| Some((*leaf, leaf.test.as_ref()?, *wanted)));
    for (leaf, test, wanted) in tests() {
        for claim in claims_of(test, wanted) {
            if let Some((_, other)) = claims.iter().find(|(_, other)| other.excludes(&claim)) {
                return Some((leaf, format!("`{other}` and `{claim}` exclude each other")));
            }
            claims.push((leaf, claim));
        }
    }
    if let Some(refuted) = refuted_together(&claims, columns) {
        return Some(refuted);
    }
    tests().find_map(|(leaf, test, wanted)| Some((leaf, refuted_alone(test, wanted, op, columns)?)))
}

/// Why no value of one column meets all that is claimed of it, where any two of the claims go together.
fn refuted_together<'l>(claims: &[(&'l Leaf, Claim)], columns: &[TypedColumn]) -> Option<(&'l Leaf, String)> {
    for (n, (leaf, last)) in claims.iter().enumerate() {
        let of_column = |(_, other): &&(&Leaf, Claim)| (other.side, other.column) == (last.side, last.column);
        let same: Vec<&Claim> = claims[..=n].iter().filter(of_column).map(|(_, claim)| claim).collect();
        let says = || same.iter().map(|claim| &claim.says);
        let is_used_up = |list: &[Literal]| {
            !list.is_empty()
                && list.iter().all(|item| says().any(|other| other.excludes(&Says::Relates(Relation::Equal, item))))
        };
        let because = if says().any(|says| matches!(says, Says::IsOneOf(list) if is_used_up(list))) {
            String::new()
        } else {
            let kind = columns.iter().find(|known| *known.name == *last.column).and_then(|known| known.kind.as_ref());
            let Some(mut left) = kind.and_then(ValuesLeft::of) else { continue };
            says().for_each(|says| left.narrow(says));
            if !left.is_empty() {
                continue;
            }
            format!(": column `{}` holds {}", last.column, left.holds())
        };
        return Some((leaf, format!("{} exclude each other{because}", listed(&same))));
    }
    None
}

/// The claims with commas, and `and` before the last.
fn listed(claims: &[&Claim]) -> String {
    let mut names: Vec<String> = claims.iter().map(|claim| format!("`{claim}`")).collect();
    names.dedup();
    match names.pop() {
        Some(last) if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// Whether the leaf alone may give this answer for a change with this op.
pub(super) fn may_answer(leaf: &Leaf, wanted: bool, op: Op, columns: &[TypedColumn]) -> bool {
    leaf.test.as_ref().is_none_or(|test| refuted_alone(test, wanted, op, columns).is_none())
}

/// Why the test alone can't give the answer for a change with this op.
fn refuted_alone(test: &Test, wanted: bool, op: Op, columns: &[TypedColumn]) -> Option<String> {
    let change = if matches!(op, Op::Insert | Op::Update) {
        format!("an {}", op.as_str())
    } else {
        format!("a {}", op.as_str())
    };
    for term in terms(test) {
        match (term.side(), op) {
            (Some(RowSide::Old), Op::Insert) => {
                return Some(format!("`old.{}` is read, and an insert has no old row", term.column()?));
            }
            (Some(_), Op::Truncate) => {
                return Some(format!("column `{}` is read, and a truncate has no row", term.column()?));
            }
            _ => {}
        }
    }
    let answer = match test {
        Test::HasNoOld => {
            let answer = matches!(op, Op::Insert | Op::Truncate);
            let what = if answer { "no" } else { "an" };
            return (answer != wanted).then(|| format!("{change} has {what} old row"));
        }
        Test::HasChanged(column) if wanted && op != Op::Update => {
            let column = column.as_str();
            return Some(format!("`changed` has what an update changed, and of {change} `{column}` is never in it"));
        }
        Test::OneOf(_, literals, false) if wanted && literals.is_empty() => {
            return Some("nothing is in an empty list".to_string());
        }
        Test::IsNone(term) if wanted => {
            let column = term.column()?;
            let is_filled = columns.iter().any(|known| !known.is_nullable && *known.name == *column);
            return is_filled.then(|| format!("column `{column}` is NOT NULL"));
        }
        Test::Compare(left, relation, right) => nulls::holds(*relation, &fixed(left, op)?, &fixed(right, op)?).ok()?,
        Test::OneOf(needle, literals, _) => {
            let needle = fixed(needle, op)?;
            let equals = |literal: &Literal| nulls::holds(Relation::Equal, &needle, &literal.operand()).ok();
            let answers: Vec<Option<bool>> = literals.iter().map(equals).collect::<Option<_>>()?;
            if answers.contains(&Some(true)) { Some(true) } else { Some(false) }
        }
        Test::IsTrue(term @ Term::Literal(_)) => nulls::truth_of(&fixed(term, op)?).ok()?,
        Test::Within(..) | Test::IsNone(_) | Test::IsDefined(_) | Test::IsTrue(_) | Test::HasChanged(_) => return None,
    };
    (answer != Some(wanted)).then(|| match terms(test).iter().any(|term| matches!(term, Term::Op)) {
        true => format!("of {change} `op` is '{}'", op.as_str()),
        false => "a comparison of two fixed values has the same answer for every row".to_string(),
    })
}

/// What the test reads.
fn terms(test: &Test) -> Vec<&Term> {
    match test {
        Test::Compare(left, _, right) | Test::Within(left, right) => vec![left, right],
        Test::OneOf(term, ..) | Test::IsNone(term) | Test::IsTrue(term) => vec![term],
        // It asks for the column, not for a value.
        Test::IsDefined(_) | Test::HasNoOld | Test::HasChanged(_) => vec![],
    }
}

/// A value that does not depend on the row.
fn fixed(term: &Term, op: Op) -> Option<Operand<'_>> {
    match term {
        Term::Literal(literal) => Some(literal.operand()),
        Term::Op => Some(Operand::of_text(op.as_str())),
        Term::Column(..) | Term::Schema | Term::Table => None,
    }
}

/// What must be true of the value of one column.
struct Claim<'l> {
    side: RowSide,
    column: &'l str,
    says: Says<'l>,
}

enum Says<'l> {
    IsNull,
    IsNotNull,
    Relates(Relation, &'l Literal),
    IsOneOf(&'l [Literal]),
}

fn claims_of(test: &Test, wanted: bool) -> Vec<Claim<'_>> {
    match test {
        Test::Compare(term, relation, Term::Literal(literal)) if term.column().is_some() => {
            related(term, *relation, literal, wanted)
        }
        Test::Compare(Term::Literal(literal), relation, term) if term.column().is_some() => {
            related(term, relation.reversed(), literal, wanted)
        }
        Test::OneOf(term, literals, false) if wanted => says(term, Says::IsOneOf(literals)),
        Test::OneOf(term, literals, false) if !literals.is_empty() => {
            literals.iter().flat_map(|literal| related(term, Relation::Unequal, literal, true)).collect()
        }
        Test::IsNone(term) => says(term, if wanted { Says::IsNull } else { Says::IsNotNull }),
        Test::Compare(..) | Test::Within(..) | Test::IsTrue(_) => {
            terms(test).into_iter().flat_map(|term| says(term, Says::IsNotNull)).collect()
        }
        Test::OneOf(..) | Test::IsDefined(_) | Test::HasNoOld | Test::HasChanged(_) => vec![],
    }
}

fn related<'l>(term: &'l Term, relation: Relation, literal: &'l Literal, wanted: bool) -> Vec<Claim<'l>> {
    let relation = if wanted { relation } else { relation.negated() };
    says(term, Says::Relates(relation, literal))
}

fn says<'l>(term: &'l Term, says: Says<'l>) -> Vec<Claim<'l>> {
    let of_column = term.side().zip(term.column());
    of_column.map(|(side, column)| Claim { side, column, says }).into_iter().collect()
}

impl Claim<'_> {
    /// Whether no value meets both, whatever the column's type is.
    fn excludes(&self, other: &Claim) -> bool {
        self.side == other.side && self.column == other.column && self.says.excludes(&other.says)
    }
}

impl Says<'_> {
    /// Whether no value meets both.
    fn excludes(&self, other: &Says) -> bool {
        match (self, other) {
            (Says::IsNull, Says::IsNull) => false,
            (Says::IsNull, _) | (_, Says::IsNull) => true,
            (Says::IsNotNull, _) | (_, Says::IsNotNull) => false,
            (Says::Relates(a, left), Says::Relates(b, right)) => exclude(*a, left, *b, right),
            (Says::IsOneOf(list), Says::Relates(relation, literal))
            | (Says::Relates(relation, literal), Says::IsOneOf(list)) => {
                list.iter().all(|item| exclude(Relation::Equal, item, *relation, literal))
            }
            (Says::IsOneOf(list), Says::IsOneOf(other)) => {
                list.iter().all(|item| other.iter().all(|other| exclude(Relation::Equal, item, Relation::Equal, other)))
            }
        }
    }
}

/// Whether no value stands in both relations to these literals.
fn exclude(a: Relation, left: &Literal, b: Relation, right: &Literal) -> bool {
    use Relation::{AtLeast, AtMost, Equal, Greater, Less};
    let Some(order) = certain_order(left, right) else { return false };
    match (a, b) {
        (Equal, _) => !b.is_met_by(order),
        (_, Equal) => !a.is_met_by(order.reverse()),
        (Greater | AtLeast, Less | AtMost) => order.is_gt() || order.is_eq() && !(a == AtLeast && b == AtMost),
        (Less | AtMost, Greater | AtLeast) => order.is_lt() || order.is_eq() && !(a == AtMost && b == AtLeast),
        _ => false,
    }
}

/// The order of two literals, where it is the same in every way in which a column's type may have them read.
fn certain_order(left: &Literal, right: &Literal) -> Option<Ordering> {
    let (a, b) = (left.operand(), right.operand());
    let mut orders = Vec::new();
    if let (Some(left), Some(right)) = (left.text(), right.text()) {
        if left == right {
            return Some(Ordering::Equal);
        }
        orders.push(left.cmp(right));
        if let (Some(a), Some(b)) = (a.reading(), b.reading()) {
            if a.utc.is_some() || b.utc.is_some() {
                return None;
            }
            orders.push(a.written.cmp(&b.written));
        }
        if let (Some(a), Some(b)) = (a.duration(), b.duration()) {
            orders.push(a.cmp(&b));
        }
    }
    let (a, b) = (a.as_number(), b.as_number());
    if let (Some(left), Some(right)) = (a.digits(), b.digits()) {
        orders.push(decimal::compare(&left, &right));
        // As a column of doubles compares them.
        orders.push(a.double()?.partial_cmp(&b.double()?)?);
    }
    let first = *orders.first()?;
    orders.iter().all(|order| *order == first).then_some(first)
}

impl std::fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = if self.side == RowSide::Old { "old" } else { "row" };
        let name = format!("{side}.{}", self.column);
        match &self.says {
            Says::IsNull => write!(f, "{name} is none"),
            Says::IsNotNull => write!(f, "{name} is not none"),
            Says::Relates(relation, literal) => write!(f, "{name} {} {}", relation.as_str(), shown(literal)),
            Says::IsOneOf(literals) => {
                let items: Vec<String> = literals.iter().map(shown).collect();
                write!(f, "{name} in [{}]", shortened(&items.join(", "), 2 * LITERAL_CHARS_MAX))
            }
        }
    }
}

fn shown(literal: &Literal) -> String {
    match (literal.text(), literal.operand().digits()) {
        (Some(text), _) => format!("'{}'", shortened(text, LITERAL_CHARS_MAX)),
        (None, Some(digits)) => shortened(&digits, LITERAL_CHARS_MAX),
        (None, None) => "…".to_string(),
    }
}
