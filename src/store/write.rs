//! What can be asked of the writer in one go.
//!
//! In: what the outcome stage and replays decided. Out: the steps that carry it out, in the one order that is safe if
//! the process dies between two of them: letters before the checkpoint that passes them. Plain data, no I/O.

use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::{CheckpointSet, PausedRule};
use super::chunks::{CHUNK_BYTES_MAX, Framed};
use super::dead_letters::{DeadLetterHead, FailedReplay, NewDeadLetter};
use super::recorded::{Recorded, SetEdits};
use super::{checkpoint, letter_records};
use crate::change::DeliveryId;
use crate::failure::Reason;
use crate::ordering::LaneKeys;

/// One write. All of it becomes durable in one transaction, unless its dead letters exceed
/// [`TRANSACTION_BYTES_MAX`](super::TRANSACTION_BYTES_MAX): then they become durable before the rest, in order.
#[derive(Debug, Clone, Default)]
pub struct Write {
    pub checkpoint: Option<CheckpointSet>,
    /// All rules that are paused from now on.
    pub paused: Option<Vec<PausedRule>>,
    /// Where letters are written, too, become durable in the very transaction of a letter: of the one that they are of,
    /// else of the last.
    pub ledger_add: Vec<LedgerEntry>,
    /// Applied after `ledger_add`.
    pub ledger_remove: Vec<DeliveryId>,
    pub letters_add: Vec<NewDeadLetter>,
    /// Replays that failed; one whose letter is gone meanwhile changes nothing.
    pub letters_replayed: Vec<FailedReplay>,
    /// Replayed with success, or discarded; a number that is not there changes nothing.
    pub letters_remove: Vec<u64>,
}

/// A delivery of a rule that is resolved above the rule's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    pub id: DeliveryId,
    pub rule: Arc<str>,
}

/// What became of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The numbers of `letters_add`, in its order.
    pub added: Vec<u64>,
    /// How many of `letters_replayed` were there.
    pub replayed: u64,
    /// How many of `letters_remove` were there.
    pub removed: u64,
}

impl Write {
    /// Memory that the write holds, near enough for the queue's limits.
    pub(super) fn weight_bytes(&self) -> usize {
        let letters: usize = self.letters_add.iter().map(|letter| LETTER_BYTES + letter.change.weight_bytes()).sum();
        let records = self.checkpoint.as_ref().map_or(0, |set| 1 + set.rules.len())
            + self.paused.as_ref().map_or(0, |paused| 1 + paused.len());
        let others = self.letters_replayed.len() + self.letters_remove.len() + records;
        letters + others * LETTER_BYTES + (self.ledger_add.len() + self.ledger_remove.len()) * LEDGER_BYTES
    }
}

/// What a letter weighs besides its change, roughly: head, names, attempts.
const LETTER_BYTES: usize = 500;
/// What a ledger entry weighs, with its key in sled's pages.
const LEDGER_BYTES: usize = 40;

/// A part of a write that is never divided.
#[derive(Debug)]
pub(super) enum Step {
    /// Some chunks of a change that is too large for one transaction. Nobody sees them before its letter's head: what a
    /// crash leaves of them is swept when the store is opened.
    ChangePart {
        number: u64,
        change: Arc<Framed>,
        chunks: Range<u32>,
    },
    /// A letter, with all that a crash must not part from it.
    Letter {
        number: u64,
        head: Framed,
        /// None if it was written in parts.
        change: Option<Framed>,
        /// The queues it stands in from now on.
        lanes: LaneKeys,
        is_held: bool,
        in_ledger: Vec<LedgerEntry>,
    },
    Replayed(FailedReplay),
    Remove {
        number: u64,
    },
    /// Always the last one of its write. The checkpoint and the ledger say together what was delivered.
    Progress {
        /// What the checkpoint changes of what is stored.
        checkpoint: SetEdits,
        paused: Option<Framed>,
        ledger_add: Vec<LedgerEntry>,
        ledger_remove: Vec<DeliveryId>,
    },
}

impl Step {
    pub(super) fn weight_bytes(&self) -> usize {
        match self {
            Step::ChangePart { chunks, .. } => chunks.len() * CHUNK_BYTES_MAX,
            Step::Letter { head, change, lanes, in_ledger, .. } => {
                let entries = (in_ledger.len() + lanes.iter().count()) * LEDGER_BYTES;
                head.len() + change.as_ref().map_or(0, Framed::len) + entries
            }
            Step::Replayed(_) | Step::Remove { .. } => LETTER_BYTES,
            Step::Progress { checkpoint, paused, ledger_add, ledger_remove } => {
                let records = checkpoint.len_bytes() + paused.as_ref().map_or(0, Framed::len);
                records + (ledger_add.len() + ledger_remove.len()) * LEDGER_BYTES
            }
        }
    }
}

/// Takes a write apart, one letter at a time. New letters get the numbers from `next_number` on. `recorded` is what
/// the writes before leave behind; this one's checkpoint takes its place.
pub(super) fn steps(
    mut write: Write,
    next_number: u64,
    step_bytes_max: usize,
    recorded: &mut Recorded,
) -> impl Iterator<Item = Step> + use<> {
    let mut in_ledger: Vec<Vec<LedgerEntry>> =
        write.letters_add.iter().map(|letter| take(&mut write.ledger_add, letter.delivery_id)).collect();
    if let Some(of_last) = in_ledger.last_mut() {
        of_last.append(&mut write.ledger_add);
    }
    let letters = (next_number..)
        .zip(write.letters_add.into_iter().zip(in_ledger))
        .flat_map(move |(number, (letter, in_ledger))| letter_steps(number, letter, in_ledger, step_bytes_max));
    let progress = Step::Progress {
        checkpoint: write.checkpoint.map(|set| recorded.replace(set)).unwrap_or_default(),
        paused: write.paused.map(|paused| checkpoint::encode_paused(&paused)),
        ledger_add: write.ledger_add,
        ledger_remove: write.ledger_remove,
    };
    letters
        .chain(write.letters_replayed.into_iter().map(Step::Replayed))
        .chain(write.letters_remove.into_iter().map(|number| Step::Remove { number }))
        .chain(std::iter::once(progress))
}

fn take(entries: &mut Vec<LedgerEntry>, id: DeliveryId) -> Vec<LedgerEntry> {
    entries.extract_if(.., |entry| entry.id == id).collect()
}

fn letter_steps(number: u64, letter: NewDeadLetter, in_ledger: Vec<LedgerEntry>, step_bytes_max: usize) -> Vec<Step> {
    let (lanes, is_held) = (letter.lanes, letter.failure.reason == Reason::Held);
    let change = letter_records::encode_change(&letter.change);
    let head = letter_records::encode_head(&DeadLetterHead {
        number,
        delivery_id: letter.delivery_id,
        rule: letter.rule,
        op: letter.change.op,
        table: letter.change.table.to_string().into(),
        failure: letter.failure,
        created_at_us: letter.created_at_us,
        replays: 0,
        replayed_at_us: None,
        lanes,
        redacted: letter.redacted,
    });
    let with = move |change| Step::Letter { number, head, change, lanes, is_held, in_ledger };
    if change.len() <= step_bytes_max {
        return vec![with(Some(change))];
    }
    let change = Arc::new(change);
    let (count, part) = (change.chunk_count(), step_bytes_max / CHUNK_BYTES_MAX);
    let parts = (0..count).step_by(part).map(|first| first..count.min(first + part as u32));
    parts
        .map(|chunks| Step::ChangePart { number, change: change.clone(), chunks })
        .chain(std::iter::once(with(None)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{set, sized_letter};
    use super::*;

    #[test]
    fn a_checkpoint_comes_after_every_letter_it_passes_and_a_head_after_its_change() {
        let write = Write {
            checkpoint: Some(set(1)),
            letters_add: vec![sized_letter(1, 10), sized_letter(2, 3 * CHUNK_BYTES_MAX)],
            letters_remove: vec![1],
            ledger_add: [sized_letter(2, 1).delivery_id, DeliveryId(uuid::Uuid::nil())]
                .map(|id| LedgerEntry { id, rule: "r".into() })
                .into(),
            ..Write::default()
        };
        let shown: Vec<String> = steps(write, 7, 2 * CHUNK_BYTES_MAX, &mut Recorded::default())
            .map(|step| match step {
                Step::ChangePart { number, chunks, .. } => format!("part {number} {chunks:?}"),
                Step::Letter { number, change, in_ledger, .. } => {
                    format!("letter {number} {} {}", change.is_some(), in_ledger.len())
                }
                Step::Replayed(_) => "replayed".to_string(),
                Step::Remove { number } => format!("remove {number}"),
                Step::Progress { checkpoint, ledger_add, .. } => {
                    format!("progress {} {}", !checkpoint.checkpoints.put.is_empty(), ledger_add.len())
                }
            })
            .collect();
        let expected =
            ["letter 7 true 0", "part 8 0..2", "part 8 2..4", "letter 8 false 2", "remove 1", "progress true 0"];
        assert_eq!(shown, expected);
    }
}
