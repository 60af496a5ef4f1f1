//! Which dead letters of the store a selection means.
//!
//! In: a selection, as an operator made it. Out: the store's filter, the same for a daemon and without one; or what is wrong with it.

use std::collections::BTreeSet;

use super::view::Selection;
use crate::failure::{AnswerFilter, Reason};
use crate::store::{Closed, Filter, NumberRange};

/// A condition that is none.
#[derive(Debug, thiserror::Error)]
pub enum WrongCondition {
    #[error("reason {0}: expected one of {words}", words = Reason::ALL.map(Reason::as_str).join(", "))]
    Reason(String),
    #[error("answer {0}: {expected}", expected = AnswerFilter::EXPECTED)]
    Answer(String),
}

/// The store's filter of a selection.
pub(super) fn filter(selection: &Selection) -> Result<Filter, WrongCondition> {
    let reason = |text: &String| Reason::parse(text).ok_or_else(|| WrongCondition::Reason(text.clone()));
    let answer = |text: &String| AnswerFilter::parse(text).ok_or_else(|| WrongCondition::Answer(text.clone()));
    let numbers: BTreeSet<u64> = selection.numbers.iter().copied().collect();
    Ok(Filter {
        rule: selection.rule.clone(),
        table: selection.table.clone(),
        reason: selection.reason.as_ref().map(reason).transpose()?,
        key: selection.key.clone(),
        answer: selection.answer.as_ref().map(answer).transpose()?,
        message: selection.message.as_ref().map(|part| part.to_lowercase()),
        created_from_us: selection.created_from_us,
        created_before_us: selection.created_before_us,
        closed: match selection.resolved {
            _ if !numbers.is_empty() => Closed::With,
            true => Closed::Only,
            false => Closed::Without,
        },
        numbers: (!numbers.is_empty()).then_some(numbers),
        number_range: NumberRange(selection.number_from.unwrap_or(0)..=selection.number_to.unwrap_or(u64::MAX)),
    })
}
