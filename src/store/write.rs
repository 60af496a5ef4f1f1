//! One write: what the writer makes durable together.
//!
//! In: what the outcome stage and replays decided. Out: the steps that carry it out, in the one order that is safe if
//! the process dies between two of them: dead letters before the checkpoint that passes them. Plain data, no I/O.

use std::sync::Arc;

use super::checkpoint::{CheckpointSet, PausedRule};
use super::chunks::{CHUNK_BYTES_MAX, Framed};
use super::dead_letters::{DeadLetterHead, FailedReplay, NewBody, NewDeadLetter, Resolution};
use super::letter_records::{CHANGE_WITHIN_BYTES_MAX, HeadRecord};
use super::needs::{self, RuleNeeds};
use super::position_log::{self, PositionChange};
use super::recorded::Recorded;
use super::saga_steps;
use super::sagas::SagaPut;
use super::write_steps::{Beside, LETTER_BYTES, LedgerEntry, LetterChange, SagaLogStep, WriteStep, parts};
use super::{checkpoint, letter_records};
use crate::barrier::Barrier;
use crate::change::DeliveryId;
use crate::failure::Reason;

/// One write. All of it becomes durable in one transaction, unless its dead letters exceed
/// [`TRANSACTION_BYTES_MAX`](super::TRANSACTION_BYTES_MAX): then they become durable before the rest, in order.
#[derive(Debug, Clone, Default)]
pub struct Write {
    /// Becomes durable only after this, if it does not take too long: what the write makes durable is noted elsewhere, too.
    pub after: Option<Barrier>,
    pub checkpoint: Option<CheckpointSet>,
    /// All rules that are paused from now on.
    pub paused: Option<Vec<PausedRule>>,
    /// The whole log of moved positions, the oldest first; goes in the transaction of `checkpoint`.
    pub position_log: Option<Vec<PositionChange>>,
    /// What every rule that is active from now on needs of tables.
    pub needs: Option<Vec<RuleNeeds>>,
    /// If the write has dead letters too, these become durable in the same transaction as a dead letter: the one that they
    /// belong to, else the last.
    pub ledger_add: Vec<LedgerEntry>,
    /// Applied after `ledger_add`.
    pub ledger_remove: Vec<DeliveryId>,
    pub letters_add: Vec<NewDeadLetter>,
    /// Replays that failed; one whose dead letter was removed meanwhile changes nothing.
    pub letters_replayed: Vec<FailedReplay>,
    /// Replayed with success, or discarded; a number that is not there changes nothing.
    pub letters_remove: Vec<u64>,
    /// Bodies edited by hand; a number that is not there, or resolved, changes nothing.
    pub letters_edit: Vec<NewBody>,
    /// Closed by hand; a number that is not there changes nothing.
    pub letters_resolve: Vec<Resolution>,
    /// Become durable no later than the rest: in the same transaction as the new dead letter of that delivery, else as the
    /// last dead letter of `letters_replayed`, where there are any. Of several of one saga the last one counts.
    pub sagas_put: Vec<SagaPut>,
    /// Those that ended, in the transaction of the ledger's entries. One that a dead letter has stays, and is removed with
    /// the dead letter.
    pub sagas_remove: Vec<DeliveryId>,
}

/// The result of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The numbers of `letters_add`, in its order.
    pub added: Vec<u64>,
    /// How many of `letters_replayed` were there.
    pub replayed: u64,
    /// How many of `letters_remove` were there.
    pub removed: u64,
    /// How many of `letters_edit` were there, and not resolved.
    pub edited: u64,
    /// How many of `letters_resolve` were there.
    pub resolved: u64,
}

impl Write {
    /// The memory that the write takes, exact enough for the queue's limits.
    pub(super) fn weight_bytes(&self) -> usize {
        let letters: usize = self.letters_add.iter().map(|letter| LETTER_BYTES + letter.change.weight_bytes()).sum();
        let records = self.checkpoint.as_ref().map_or(0, |set| 1 + set.rules.len())
            + self.paused.as_ref().map_or(0, |paused| 1 + paused.len())
            + self.needs.as_ref().map_or(0, |needs| 1 + needs.len());
        let notes: usize = self.letters_resolve.iter().map(|resolution| LETTER_BYTES + resolution.note.len()).sum();
        let bodies: usize = self.letters_edit.iter().map(edit_bytes).sum();
        let sagas: usize = self.sagas_put.iter().map(SagaPut::weight_bytes).sum();
        let others = self.letters_replayed.len() + self.letters_remove.len() + records;
        let ids = self.ledger_add.len() + self.ledger_remove.len() + self.sagas_remove.len();
        letters + bodies + notes + sagas + others * LETTER_BYTES + ids * LEDGER_BYTES
    }
}

fn edit_bytes(new: &NewBody) -> usize {
    LETTER_BYTES + new.body.as_ref().map_or(0, |body| body.len())
}

impl LetterChange {
    /// Besides the head's record.
    fn len(&self) -> usize {
        match self {
            LetterChange::OfItsOwn(change) => change.len(),
            LetterChange::WithinHead | LetterChange::InParts => 0,
        }
    }
}

/// The size of a ledger entry, with its key in sled's pages.
const LEDGER_BYTES: usize = 40;

/// The size of a key definition, in entries.
const DEFINITION_ENTRIES: usize = 8;

impl WriteStep {
    /// Whether its loss would cost repeats only.
    pub(super) fn is_of_marks(&self) -> bool {
        match self {
            WriteStep::Progress { paused, sagas_remove, .. } => paused.is_none() && sagas_remove.is_empty(),
            _ => false,
        }
    }

    pub(super) fn weight_bytes(&self) -> usize {
        match self {
            WriteStep::ChangePart { chunks, .. } => chunks.len() * CHUNK_BYTES_MAX,
            WriteStep::Letter { head, change, lanes, beside, .. } => {
                let Beside { in_ledger, saga, sagas_remove } = beside;
                // An entry of a definition is several times as long as one of a key.
                let entries = in_ledger.len() + sagas_remove.len() + lanes.iter().count() + DEFINITION_ENTRIES;
                let saga = saga.as_ref().map_or(0, SagaLogStep::weight_bytes);
                head.len() + change.len() + saga + entries * LEDGER_BYTES
            }
            WriteStep::SagaPart { chunks, .. } => chunks.len() * CHUNK_BYTES_MAX,
            WriteStep::Saga(saga) => saga.weight_bytes(),
            WriteStep::Replayed { sagas, .. } => {
                LETTER_BYTES + sagas.iter().map(SagaLogStep::weight_bytes).sum::<usize>()
            }
            WriteStep::Edit(new) => edit_bytes(new),
            WriteStep::Resolve(resolution) => LETTER_BYTES + resolution.note.len(),
            WriteStep::Remove { .. } => LETTER_BYTES,
            WriteStep::Progress { checkpoint, paused, ledger_add, ledger_remove, sagas_remove } => {
                let records = checkpoint.len_bytes() + paused.as_ref().map_or(0, Framed::len);
                records + (ledger_add.len() + ledger_remove.len() + sagas_remove.len()) * LEDGER_BYTES
            }
        }
    }
}

/// Divides a write into steps, one dead letter at a time. New dead letters get the numbers from `next_number` on.
/// `recorded` is what is stored after the earlier writes; the checkpoint of this write replaces it.
pub(super) fn steps(
    mut write: Write,
    next_number: u64,
    step_bytes_max: usize,
    recorded: &mut Recorded,
) -> impl Iterator<Item = WriteStep> + use<> {
    let beside = beside(&mut write, next_number);
    let letters = (next_number..)
        .zip(write.letters_add.into_iter().zip(beside))
        .flat_map(move |(number, (letter, beside))| letter_steps(number, letter, beside, step_bytes_max));
    let (sagas, replayed) = saga_steps::with_replays(write.sagas_put, write.letters_replayed, step_bytes_max);
    let mut edits = write.checkpoint.map(|set| recorded.replace(set)).unwrap_or_default();
    if let Some(log) = &write.position_log {
        edits.checkpoints.put.push((position_log::POSITION_LOG.to_vec(), position_log::encode(log)));
    }
    if let Some(needs) = &write.needs {
        edits.checkpoints.put.push((needs::NEEDS.to_vec(), needs::encode(needs)));
    }
    let progress = WriteStep::Progress {
        checkpoint: edits,
        paused: write.paused.map(|paused| checkpoint::encode_paused(&paused)),
        ledger_add: write.ledger_add,
        ledger_remove: write.ledger_remove,
        sagas_remove: write.sagas_remove,
    };
    sagas
        .into_iter()
        .chain(letters)
        .chain(replayed)
        .chain(write.letters_edit.into_iter().map(WriteStep::Edit))
        .chain(write.letters_resolve.into_iter().map(WriteStep::Resolve))
        .chain(write.letters_remove.into_iter().map(|number| WriteStep::Remove { number }))
        .chain(std::iter::once(progress))
}

/// Takes out of the write what goes with its new dead letters, which get the numbers from `next_number` on.
fn beside(write: &mut Write, next_number: u64) -> Vec<Beside> {
    let of = |(number, letter): (u64, &NewDeadLetter)| {
        let id = letter.delivery_id;
        let put = write.sagas_put.extract_if(.., |put| put.id == id).last();
        Beside {
            in_ledger: write.ledger_add.extract_if(.., |entry| entry.id == id).collect(),
            saga: put.map(|put| SagaLogStep::of_letter(&put, number)),
            sagas_remove: write.sagas_remove.extract_if(.., |removed| *removed == id).collect(),
        }
    };
    let mut beside: Vec<Beside> = (next_number..).zip(&write.letters_add).map(of).collect();
    if let Some(of_last) = beside.last_mut() {
        of_last.in_ledger.append(&mut write.ledger_add);
        of_last.sagas_remove.append(&mut write.sagas_remove);
    }
    beside
}

fn letter_steps(number: u64, letter: NewDeadLetter, beside: Beside, step_bytes_max: usize) -> Vec<WriteStep> {
    let (id, lanes, is_blocked) = (letter.delivery_id, letter.lanes, letter.failure.reason == Reason::Blocked);
    let change = letter_records::encode_change(&letter.change);
    let is_within = change.content().len() <= CHANGE_WITHIN_BYTES_MAX;
    let head = DeadLetterHead {
        number,
        delivery_id: id,
        rule: letter.rule,
        op: letter.change.op,
        table: letter.change.table.to_string().into(),
        failure: letter.failure,
        created_at_us: letter.created_at_us,
        replays: 0,
        replayed_at_us: None,
        lanes: lanes.clone(),
        redacted: letter.redacted,
        resolved: None,
        edit: None,
    };
    let within = if is_within { change.content().to_vec() } else { Vec::new() };
    let head = letter_records::encode_head(&HeadRecord { head, change: within });
    let with = move |change| WriteStep::Letter { number, id, head, change, lanes, is_blocked, beside };
    if is_within {
        return vec![with(LetterChange::WithinHead)];
    }
    if change.len() <= step_bytes_max {
        return vec![with(LetterChange::OfItsOwn(change))];
    }
    let change = Arc::new(change);
    parts(&change, step_bytes_max)
        .map(|chunks| WriteStep::ChangePart { number, change: change.clone(), chunks })
        .chain(std::iter::once(with(LetterChange::InParts)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{log, set, sized_letter};
    use super::*;
    use crate::saga::ActionState;

    fn shown(write: Write) -> Vec<String> {
        steps(write, 7, 2 * CHUNK_BYTES_MAX, &mut Recorded::default())
            .map(|step| match step {
                WriteStep::ChangePart { number, chunks, .. } => format!("part {number} {chunks:?}"),
                WriteStep::Letter { number, change, beside, .. } => {
                    let Beside { in_ledger, saga, sagas_remove } = beside;
                    let (ledger, removed) = (in_ledger.len(), sagas_remove.len());
                    let saga = saga.map(|saga| saga.letter);
                    let change = match change {
                        LetterChange::WithinHead => "with its change",
                        LetterChange::OfItsOwn(_) => "and its change",
                        LetterChange::InParts => "behind its change",
                    };
                    format!("letter {number} {change} {ledger} {saga:?} {removed}")
                }
                WriteStep::SagaPart { id, chunks, .. } => format!("operation part {} {chunks:?}", id.0.as_u128()),
                WriteStep::Saga(saga) => format!("operation {}", saga.id.0.as_u128()),
                WriteStep::Replayed { replay, sagas } => {
                    format!("replayed {} {}", replay.number, sagas.len())
                }
                WriteStep::Edit(new) => format!("edit {}", new.number),
                WriteStep::Resolve(resolution) => format!("resolve {}", resolution.number),
                WriteStep::Remove { number } => format!("remove {number}"),
                WriteStep::Progress { checkpoint, ledger_add, sagas_remove, .. } => {
                    let (ledger, removed) = (ledger_add.len(), sagas_remove.len());
                    format!("progress {} {ledger} {removed}", !checkpoint.checkpoints.put.is_empty())
                }
            })
            .collect()
    }

    fn put(number: u64, value_bytes: usize) -> SagaPut {
        let NewDeadLetter { delivery_id: id, change, .. } = sized_letter(number, value_bytes);
        SagaPut { id, rule: "r".into(), log: log(ActionState::Done).into(), change: Some(change), letter: None }
    }

    #[test]
    fn what_belongs_to_a_letter_is_in_its_step_and_all_else_before_the_checkpoint() {
        let write = Write {
            checkpoint: Some(set(1)),
            letters_add: vec![sized_letter(1, 10), sized_letter(2, 3 * CHUNK_BYTES_MAX), sized_letter(6, 2000)],
            letters_remove: vec![1],
            ledger_add: [sized_letter(6, 1).delivery_id, DeliveryId(uuid::Uuid::nil())]
                .map(|id| LedgerEntry { id, rule: "r".into() })
                .into(),
            sagas_put: vec![put(1, 10), put(3, 10), put(1, 10), put(4, 3 * CHUNK_BYTES_MAX)],
            sagas_remove: vec![sized_letter(5, 1).delivery_id],
            ..Write::default()
        };
        let expected = [
            "operation 3",
            "operation part 4 0..2",
            "operation part 4 2..4",
            "operation 4",
            "letter 7 with its change 0 Some(Some(7)) 0",
            "part 8 0..2",
            "part 8 2..4",
            "letter 8 behind its change 0 None 0",
            "letter 9 and its change 2 None 1",
            "remove 1",
            "progress true 0 0",
        ];
        assert_eq!(shown(write), expected);
    }

    #[test]
    fn without_new_letters_sagas_are_written_with_the_last_replay_and_removals_with_the_ledger() {
        let failure = sized_letter(1, 1).failure;
        let replay = |number| FailedReplay { number, failure: failure.clone(), replayed_at_us: 1 };
        let write = Write {
            letters_replayed: vec![replay(1), replay(2)],
            letters_edit: vec![NewBody { number: 8, body: None, at_us: 1, base: 1 }],
            letters_resolve: vec![Resolution { number: 9, note: "n".into(), at_us: 1 }],
            sagas_put: vec![put(1, 3 * CHUNK_BYTES_MAX), put(2, 10)],
            sagas_remove: vec![sized_letter(5, 1).delivery_id],
            ..Write::default()
        };
        let expected = [
            "operation part 1 0..2",
            "operation part 1 2..4",
            "replayed 1 0",
            "replayed 2 2",
            "edit 8",
            "resolve 9",
            "progress false 0 1",
        ];
        assert_eq!(shown(write), expected);
    }
}
