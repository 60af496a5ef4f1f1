//! What a write does to sagas: its part of the steps.
//!
//! In: logs to be written down. Out: steps, the change of a new saga before its log where one transaction is too
//! small for both. Plain data, no I/O.

use std::sync::Arc;

use super::dead_letters::FailedReplay;
use super::sagas::SagaPut;
use super::write_steps::{KeptChange, LETTER_BYTES, SagaLogStep, WriteStep, parts};
use super::{letter_records, saga_records};

impl SagaPut {
    /// The memory that it takes, exact enough for the queue's limits.
    pub(super) fn weight_bytes(&self) -> usize {
        let change = self.change.as_ref().map_or(0, |change| change.weight_bytes());
        LETTER_BYTES + self.log.weight_bytes() + change
    }
}

impl SagaLogStep {
    /// As the new dead letter of this number has it.
    pub(super) fn of_letter(put: &SagaPut, number: u64) -> SagaLogStep {
        SagaLogStep { letter: Some(number), ..SagaLogStep::without_change(put) }
    }

    fn without_change(put: &SagaPut) -> SagaLogStep {
        SagaLogStep {
            id: put.id,
            log: saga_records::encode_log(&put.rule, &put.log),
            effect: put.log.effect(),
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

/// The steps of sagas whose dead letters are not new, and those of replays that failed, with what goes with them.
pub(super) fn with_replays(
    puts: Vec<SagaPut>,
    replays: Vec<FailedReplay>,
    step_bytes_max: usize,
) -> (Vec<WriteStep>, Vec<WriteStep>) {
    let mut steps = Vec::new();
    let mut replayed: Vec<WriteStep> =
        replays.into_iter().map(|replay| WriteStep::Replayed { replay, sagas: Vec::new() }).collect();
    for put in puts {
        let saga = saga_step(&put, step_bytes_max, &mut steps);
        match replayed.last_mut() {
            Some(WriteStep::Replayed { sagas, .. }) => sagas.push(saga),
            _ => steps.push(WriteStep::Saga(saga)),
        }
    }
    (steps, replayed)
}

/// The step that writes the log; if the change is too large for it, steps that write the change come first.
fn saga_step(put: &SagaPut, step_bytes_max: usize, before: &mut Vec<WriteStep>) -> SagaLogStep {
    let saga = SagaLogStep::without_change(put);
    let Some(change) = put.change.as_ref().filter(|_| put.letter.is_none()) else { return saga };
    let change = letter_records::encode_change(change);
    if change.len() <= step_bytes_max {
        return SagaLogStep { change: KeptChange::Whole(change), ..saga };
    }
    let (id, change) = (put.id, Arc::new(change));
    before.extend(parts(&change, step_bytes_max).map(|chunks| WriteStep::SagaPart {
        id,
        change: change.clone(),
        chunks,
    }));
    SagaLogStep { change: KeptChange::InParts, ..saga }
}
