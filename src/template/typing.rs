//! Checks a condition against the columns of a table, before the first row comes.
//!
//! In: a compiled condition, and the current columns. Out: comparisons that could never be decided, or never hold, each with
//! what to write instead. What stands in no plain comparison (results of filters, members of documents) is known on the row only.

use super::class::Class;
use super::compiled::{Term, Test};
use super::error::Flaw;
use super::logic::Logic;
use super::nulls;
use super::operand::{Literal, Operand};
use super::range;
use super::relation::Relation;
use crate::change::Value as CellValue;
use crate::column::ColumnKind;
use crate::printable::shortened;
use crate::schema::TypedColumn;
use crate::suggest::did_you_mean;

/// Of a label in a message.
const LABEL_CHARS_MAX: usize = 60;

pub(super) fn misfits(logic: &Logic, table: &str, columns: &[TypedColumn]) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    logic.each_leaf(&mut |leaf| {
        if let Some(problem) = leaf.test.as_ref().and_then(|test| misfit(test, columns)) {
            let message = format!("table {table}: {problem}");
            flaws.push(Flaw { line: leaf.at.0, column: leaf.at.1, message });
        }
    });
    flaws
}

fn misfit(test: &Test, columns: &[TypedColumn]) -> Option<String> {
    match test {
        Test::Compare(left, relation, right) => {
            let sides = Side::of(left, columns).zip(Side::of(right, columns));
            sides.and_then(|(left, right)| pair(*relation, &left, &right))
        }
        Test::OneOf(needle, literals, _) => {
            let needle = Side::of(needle, columns)?;
            literals.iter().find_map(|literal| pair(Relation::Equal, &needle, &Side::Literal(literal)))
        }
        Test::Within(piece, whole) => match (Side::of(piece, columns)?, Side::of(whole, columns)?) {
            (Side::Literal(literal), Side::Column(column, ColumnKind::Set { labels, .. })) => {
                let label = literal.text()?;
                missing_label(&column.name, labels.as_deref()?, label)
            }
            (piece, whole) => {
                let (piece_cell, whole_cell) = (piece.sample()?, whole.sample()?);
                let problem =
                    super::compare::within(&piece.operand(&piece_cell)?, &whole.operand(&whole_cell)?).err()?;
                Some(format!("column `{}`: {problem}", whole.name().or(piece.name())?))
            }
        },
        Test::IsTrue(term) => {
            let side = Side::of(term, columns)?;
            let problem = nulls::truth_of(&side.operand(&side.sample()?)?).err()?;
            Some(format!("column `{}`: {problem}", side.name()?))
        }
        Test::HasChanged(column) => {
            let is_known = columns.iter().any(|known| *known.name == *column.as_str());
            let hint = did_you_mean(column.as_str(), columns.iter().map(|column| &*column.name));
            (!is_known).then(|| format!("there is no column `{}`{hint}, so it is never in `changed`", column.as_str()))
        }
        Test::IsNone(_) | Test::IsDefined(_) | Test::HasNoOld => None,
    }
}

/// A side of a comparison as far as it is known before there is a row.
enum Side<'s> {
    Column(&'s TypedColumn, &'s ColumnKind),
    Literal(&'s Literal),
    Text,
}

impl<'s> Side<'s> {
    /// None for a column that isn't there, which others report, or whose type is not known.
    fn of(term: &'s Term, columns: &'s [TypedColumn]) -> Option<Side<'s>> {
        Some(match term {
            Term::Literal(literal) => Side::Literal(literal),
            Term::Op | Term::Schema | Term::Table => Side::Text,
            column => {
                let name = column.column()?;
                let column = columns.iter().find(|column| *column.name == *name)?;
                Side::Column(column, column.kind.as_ref()?)
            }
        })
    }

    fn name(&self) -> Option<&str> {
        match self {
            Side::Column(column, _) => Some(&column.name),
            _ => None,
        }
    }

    /// A value that such a column may hold; none where documents are compared, which may hold anything.
    fn sample(&self) -> Option<CellValue> {
        let Side::Column(_, kind) = self else { return Some(CellValue::Text("insert".into())) };
        match kind {
            ColumnKind::Decimal { .. } => return Some(CellValue::Decimal("1".into())),
            ColumnKind::Double => return Some(CellValue::Double(1.0)),
            _ => {}
        }
        Some(match Class::of(kind) {
            Class::Number => CellValue::Int(1),
            Class::Single => CellValue::Float(1.0),
            Class::Year => CellValue::Int(2000),
            Class::Date => CellValue::Text("2000-01-01".into()),
            Class::DateTime => CellValue::Text("2000-01-01T00:00:00".into()),
            Class::Timestamp => CellValue::Text("2000-01-01T00:00:00Z".into()),
            Class::Time => CellValue::Text("00:00:00".into()),
            Class::Text | Class::Enum | Class::Unknown => CellValue::Text("a".into()),
            Class::Set => CellValue::Labels(Box::new([])),
            Class::Bytes | Class::Opaque => CellValue::Bytes(Box::new([])),
            Class::Json | Class::Any => return None,
        })
    }

    fn operand<'o>(&'o self, sample: &'o CellValue) -> Option<Operand<'o>> {
        match self {
            Side::Column(_, kind) => Operand::of_cell(sample, Class::of(kind)),
            Side::Literal(literal) => Some(literal.operand()),
            Side::Text => Operand::of_cell(sample, Class::Any),
        }
    }
}

/// What is wrong with a comparison of these two.
fn pair(relation: Relation, left: &Side, right: &Side) -> Option<String> {
    let (left_cell, right_cell) = (left.sample()?, right.sample()?);
    let name = left.name().or(right.name())?;
    if let Err(problem) = nulls::holds(relation, &left.operand(&left_cell)?, &right.operand(&right_cell)?) {
        return Some(format!("column `{name}`: {problem}"));
    }
    let (column, kind, relation, literal) = match (left, right) {
        (Side::Column(column, kind), Side::Literal(literal)) => (column, kind, relation, literal),
        (Side::Literal(literal), Side::Column(column, kind)) => (column, kind, relation.reversed(), literal),
        _ => return None,
    };
    let is_equality = !relation.orders();
    let unequal = is_equality.then(|| never_equal(&column.name, kind, literal)).flatten();
    unequal.or_else(|| range::beyond(&column.name, relation, kind, literal))
}

/// What no value of the column equals, though it is of the right kind.
fn never_equal(name: &str, kind: &ColumnKind, literal: &Literal) -> Option<String> {
    match (kind, literal.text(), literal.texts()) {
        // MySQL's invalid value is shown as the empty text.
        (ColumnKind::Enum { labels: Some(labels), .. }, Some(label), _) if !label.is_empty() => {
            missing_label(name, labels, label)
        }
        (ColumnKind::Set { labels: Some(labels), .. }, Some(text), _) if !text.is_empty() => {
            misplaced_label(name, labels, text.split(','))
        }
        (ColumnKind::Set { labels: Some(labels), .. }, _, Some(texts)) => {
            misplaced_label(name, labels, texts.iter().map(|text| &**text))
        }
        (ColumnKind::Float, ..) => {
            let number = literal.operand().as_number().double()?;
            let is_single = f64::from(number as f32) == number;
            (!is_single).then(|| {
                format!(
                    "column `{name}`: no FLOAT is exactly this number; compare with `<` and `>`, or make it a DOUBLE or DECIMAL"
                )
            })
        }
        _ => None,
    }
}

fn missing_label(name: &str, labels: &[Box<str>], label: &str) -> Option<String> {
    if labels.iter().any(|known| **known == *label) {
        return None;
    }
    let hint = did_you_mean(label, labels.iter().map(|label| &**label));
    let known = labels.iter().map(|label| format!("'{label}'")).collect::<Vec<_>>().join(", ");
    let (label, known) = (shortened(label, LABEL_CHARS_MAX), shortened(&known, 4 * LABEL_CHARS_MAX));
    Some(format!("column `{name}` has no label '{label}'; its labels are {known}{hint}"))
}

/// Labels of a SET stand in the column's order, each once.
fn misplaced_label<'l>(
    name: &str,
    labels: &[Box<str>],
    wanted: impl Iterator<Item = &'l str> + Clone,
) -> Option<String> {
    if let Some(problem) = wanted.clone().find_map(|label| missing_label(name, labels, label)) {
        return Some(problem);
    }
    let places = wanted.filter_map(|label| labels.iter().position(|known| **known == *label));
    let places: Vec<usize> = places.collect();
    let mut sorted = places.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let right = sorted.iter().map(|place| &*labels[*place]).collect::<Vec<_>>().join(",");
    (sorted != places)
        .then(|| format!("column `{name}`: labels stand in the column's order, each once; write '{right}'"))
}
