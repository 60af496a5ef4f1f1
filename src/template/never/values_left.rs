//! What comparisons leave of the values of a column, for types whose values can be counted: integers, DECIMALs, days.
//!
//! In: the type, and what is claimed of the value. Out: whether a value is left. Values are counted in steps of the type: 1, 0.01 of a
//! DECIMAL with two decimals, a day. What can't be read as such a number narrows nothing.

use std::collections::BTreeSet;

use super::Says;
use crate::column::ColumnKind;
use crate::template::decimal::Decimal;
use crate::template::operand::Literal;
use crate::template::range::bounds;
use crate::template::relation::Relation;

pub(super) struct ValuesLeft {
    steps: Steps,
    least: i128,
    greatest: i128,
    /// Values between them that are excluded.
    except: BTreeSet<i128>,
    /// Where only some are left, these.
    among: Option<BTreeSet<i128>>,
}

#[derive(Clone, Copy)]
enum Steps {
    /// Of a number with so many decimals.
    Decimals(u32),
    Days,
}

impl ValuesLeft {
    /// All values of a type; None for one whose values are not counted.
    pub(super) fn of(kind: &ColumnKind) -> Option<ValuesLeft> {
        let steps = match kind {
            ColumnKind::Int { .. } | ColumnKind::Bit { .. } => Steps::Decimals(0),
            ColumnKind::Decimal { scale, .. } => Steps::Decimals(u32::try_from(*scale).ok()?),
            ColumnKind::Date => Steps::Days,
            _ => return None,
        };
        let (least, greatest) = match (steps, bounds(kind)) {
            (Steps::Decimals(scale), Some((least, greatest))) => {
                let bound = |digits: &str| Decimal::parse(digits)?.scaled(scale).map(|(steps, _)| steps);
                (bound(&least).unwrap_or(i128::MIN), bound(&greatest).unwrap_or(i128::MAX))
            }
            _ => (i128::MIN, i128::MAX),
        };
        Some(ValuesLeft { steps, least, greatest, except: BTreeSet::new(), among: None })
    }

    /// Leaves what is claimed.
    pub(super) fn narrow(&mut self, says: &Says) {
        match says {
            Says::Relates(relation, literal) => {
                if let Some((floor, is_exact)) = self.floor(literal) {
                    self.relate(*relation, floor, is_exact);
                }
            }
            Says::IsOneOf(list) => {
                let values: Option<Vec<(i128, bool)>> = list.iter().map(|item| self.floor(item)).collect();
                let Some(values) = values else { return };
                let exact = values.into_iter().filter_map(|(floor, is_exact)| is_exact.then_some(floor));
                let values: BTreeSet<i128> = exact.collect();
                self.among = Some(match self.among.take() {
                    Some(among) => among.intersection(&values).copied().collect(),
                    None => values,
                });
            }
            Says::IsNull | Says::IsNotNull => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let is_left = |value: &i128| (self.least..=self.greatest).contains(value) && !self.except.contains(value);
        match &self.among {
            Some(among) => !among.iter().any(is_left),
            // Of one value more than are excluded, one is left.
            None => {
                let excluded = i128::try_from(self.except.len()).unwrap_or(i128::MAX);
                let last = self.greatest.min(self.least.saturating_add(excluded));
                !(self.least..=last).any(|value| is_left(&value))
            }
        }
    }

    /// What the column holds, for a message.
    pub(super) fn holds(&self) -> String {
        match self.steps {
            Steps::Decimals(0) => "whole numbers".to_owned(),
            Steps::Decimals(1) => "numbers with 1 decimal".to_owned(),
            Steps::Decimals(scale) => format!("numbers with {scale} decimals"),
            Steps::Days => "days".to_owned(),
        }
    }

    fn relate(&mut self, relation: Relation, floor: i128, is_exact: bool) {
        let ceiling = if is_exact { floor } else { floor.saturating_add(1) };
        match relation {
            Relation::Greater => self.least = self.least.max(floor.saturating_add(1)),
            Relation::AtLeast => self.least = self.least.max(ceiling),
            Relation::Less => self.greatest = self.greatest.min(ceiling.saturating_sub(1)),
            Relation::AtMost => self.greatest = self.greatest.min(floor),
            Relation::Equal => {
                self.least = self.least.max(ceiling);
                self.greatest = self.greatest.min(floor);
            }
            Relation::Unequal if is_exact => {
                self.except.insert(floor);
            }
            Relation::Unequal => {}
        }
    }

    /// The last step at or before the literal, and whether it is the literal itself.
    fn floor(&self, literal: &Literal) -> Option<(i128, bool)> {
        match self.steps {
            Steps::Decimals(scale) => Decimal::parse(&literal.operand().as_number().digits()?)?.scaled(scale),
            Steps::Days => {
                let reading = literal.operand().reading().filter(|reading| reading.utc.is_none())?;
                Some((reading.written.days().into(), reading.written.is_midnight()))
            }
        }
    }
}
