//! What a write does to operations: its part of the steps.
//!
//! In: logs to be written down. Out: steps, the change of a new operation before its log where one transaction is too
//! small for both. Plain data, no I/O.

use std::sync::Arc;

use super::chunks::Framed;
use super::dead_letters::FailedReplay;
use super::operations::OperationPut;
use super::write::{self, LETTER_BYTES, Step};
use super::{letter_records, operation_records};
use crate::change::DeliveryId;
use crate::operation::Standing;

/// An operation's log, to be written in one transaction.
#[derive(Debug)]
pub(super) struct OperationStep {
    pub id: DeliveryId,
    pub log: Framed,
    pub standing: Standing,
    /// The letter that has it; then its change is the letter's.
    pub letter: Option<u64>,
    pub change: KeptChange,
}

/// What becomes of the change that is kept with an operation.
#[derive(Debug)]
pub(super) enum KeptChange {
    AsItIs,
    Whole(Framed),
    /// All of it was written by the steps before.
    InParts,
}

impl OperationPut {
    /// Memory that it holds, near enough for the queue's limits.
    pub(super) fn weight_bytes(&self) -> usize {
        let change = self.change.as_ref().map_or(0, |change| change.weight_bytes());
        LETTER_BYTES + self.log.weight_bytes() + change
    }
}

impl OperationStep {
    /// As the new letter of this number has it.
    pub(super) fn of_letter(put: &OperationPut, number: u64) -> OperationStep {
        OperationStep { letter: Some(number), ..OperationStep::without_change(put) }
    }

    fn without_change(put: &OperationPut) -> OperationStep {
        OperationStep {
            id: put.id,
            log: operation_records::encode_log(&put.rule, &put.log),
            standing: put.log.standing(),
            letter: put.letter,
            change: KeptChange::AsItIs,
        }
    }

    pub(super) fn weight_bytes(&self) -> usize {
        let change = match &self.change {
            KeptChange::Whole(change) => change.len(),
            KeptChange::AsItIs | KeptChange::InParts => 0,
        };
        LETTER_BYTES + self.log.len() + change
    }
}

/// The steps of operations whose letters are not new, and those of replays that failed, with what goes with them.
pub(super) fn with_replays(
    puts: Vec<OperationPut>,
    replays: Vec<FailedReplay>,
    step_bytes_max: usize,
) -> (Vec<Step>, Vec<Step>) {
    let mut steps = Vec::new();
    let mut replayed: Vec<Step> =
        replays.into_iter().map(|replay| Step::Replayed { replay, operations: Vec::new() }).collect();
    for put in puts {
        let operation = operation_step(&put, step_bytes_max, &mut steps);
        match replayed.last_mut() {
            Some(Step::Replayed { operations, .. }) => operations.push(operation),
            _ => steps.push(Step::Operation(operation)),
        }
    }
    (steps, replayed)
}

/// The step that writes the log; one that its change is too large for comes after steps that write the change.
fn operation_step(put: &OperationPut, step_bytes_max: usize, before: &mut Vec<Step>) -> OperationStep {
    let operation = OperationStep::without_change(put);
    let Some(change) = put.change.as_ref().filter(|_| put.letter.is_none()) else { return operation };
    let change = letter_records::encode_change(change);
    if change.len() <= step_bytes_max {
        return OperationStep { change: KeptChange::Whole(change), ..operation };
    }
    let (id, change) = (put.id, Arc::new(change));
    before.extend(write::parts(&change, step_bytes_max).map(|chunks| Step::OperationPart {
        id,
        change: change.clone(),
        chunks,
    }));
    OperationStep { change: KeptChange::InParts, ..operation }
}
