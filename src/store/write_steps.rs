//! The parts of a write that are never divided, as plain data.
//!
//! `write` makes the steps of a write, `saga_steps` those of its sagas; `transaction` carries them out.

use std::ops::Range;
use std::sync::Arc;

use super::chunks::{CHUNK_BYTES_MAX, Framed};
use super::dead_letters::{FailedReplay, NewBody, Resolution};
use super::recorded::SetEdits;
use crate::change::DeliveryId;
use crate::ordering::LaneKeys;
use crate::saga::SagaEffect;

/// The size of a dead letter besides its change, roughly: head, names, attempts.
pub(super) const LETTER_BYTES: usize = 500;

/// A part of a write that is never divided.
#[derive(Debug)]
pub(super) enum WriteStep {
    /// Some chunks of a change that is too large for one transaction. No read sees them before the head of the dead
    /// letter is written: what a crash leaves of them is swept when the store is opened.
    ChangePart {
        number: u64,
        change: Arc<Framed>,
        chunks: Range<u32>,
    },
    /// A dead letter, with all that a crash must not separate from it.
    Letter {
        number: u64,
        id: DeliveryId,
        head: Framed,
        change: LetterChange,
        /// The queues it stands in from now on.
        lanes: LaneKeys,
        is_blocked: bool,
        beside: Beside,
    },
    /// Some chunks of a saga's change that is too large for one transaction, as for a dead letter.
    SagaPart {
        id: DeliveryId,
        change: Arc<Framed>,
        chunks: Range<u32>,
    },
    Saga(SagaLogStep),
    Replayed {
        replay: FailedReplay,
        sagas: Vec<SagaLogStep>,
    },
    Edit(NewBody),
    Resolve(Resolution),
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
        sagas_remove: Vec<DeliveryId>,
    },
}

/// Where the change of a new dead letter is stored.
#[derive(Debug)]
pub(super) enum LetterChange {
    WithinHead,
    OfItsOwn(Framed),
    /// All of it was written by the steps before.
    InParts,
}

/// A delivery of a rule that is resolved above the rule's low-water mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    pub id: DeliveryId,
    pub rule: Arc<str>,
}

/// What becomes durable in the same transaction as a dead letter.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub in_ledger: Vec<LedgerEntry>,
    /// The dead letter's own.
    pub saga: Option<SagaLogStep>,
    pub sagas_remove: Vec<DeliveryId>,
}

/// A saga log, to be written in one transaction.
#[derive(Debug)]
pub(super) struct SagaLogStep {
    pub id: DeliveryId,
    pub log: Framed,
    pub effect: SagaEffect,
    /// The dead letter that has it; then its change is stored with the dead letter.
    pub letter: Option<u64>,
    pub change: KeptChange,
}

/// What becomes of the change that is kept with a saga.
#[derive(Debug)]
pub(super) enum KeptChange {
    AsItIs,
    Whole(Framed),
    /// All of it was written by the steps before.
    InParts,
}

/// The chunks of a record too large for one transaction, transaction by transaction.
pub(super) fn parts(record: &Framed, step_bytes_max: usize) -> impl Iterator<Item = Range<u32>> + use<> {
    let (count, part) = (record.chunk_count(), step_bytes_max / CHUNK_BYTES_MAX);
    (0..count).step_by(part).map(move |first| first..count.min(first + part as u32))
}
