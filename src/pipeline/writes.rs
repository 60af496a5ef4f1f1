//! Writes on their way to disk: the loop's one way to the store, and the one way back.
//!
//! In: writes, each with what waits for it. Out: what waited, when its write is durable. Owns the writes under way, and how
//! many of them are checkpoints. Keeps promise 1 with the rest of the loop: what a write allows is not begun before this
//! module returns it. Decides nothing: the loop decides what is written, and what follows from it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tracing::debug;

use super::command::{CommandRefused, UpdatedLetters};
use crate::delivery::{Completed, Delivery, DueAction, Intent, Ticket};
use crate::journal::{Journal, JournalStatus};
use crate::store::{self, PausedRule, Store};

type PendingWrite = Pin<Box<dyn Future<Output = Result<DurableWrite, store::Error>> + Send>>;

/// A write that became durable, and what waited for it.
pub(super) enum DurableWrite {
    /// With the rules that it knows.
    Checkpoint(Vec<Arc<str>>),
    /// With the number of the dead letter that was made, if one was.
    Settled(Box<Completed>, Option<u64>),
    /// The store knows that this action may have been called: it may.
    Begun(Box<DueAction>),
    /// An action has ended, and the store knows: the delivery does the next one in its place in the lane.
    Acted { ticket: Ticket, delivery: Box<Delivery>, intent: Intent },
    /// These dead letters were resolved, removed or edited by hand, and the answer has been sent.
    LettersUpdated(Vec<u64>),
    /// The answer has been sent.
    Answered,
}

/// See the module's header.
pub(super) struct Writes {
    store: Store,
    journal: Option<Journal>,
    under_way: FuturesUnordered<PendingWrite>,
    /// Checkpoints among them.
    checkpoints: usize,
}

impl Writes {
    /// None is under way.
    pub fn new(store: Store) -> Writes {
        Writes { store, journal: None, under_way: FuturesUnordered::new(), checkpoints: 0 }
    }

    /// Every outcome is in this journal before a write that covers it is durable.
    pub fn keep_journal(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Gives the outcome to the journal, if there is one.
    pub fn record(&self, completed: &Completed) {
        if let Some(journal) = &self.journal {
            journal.record(completed);
        }
    }

    /// How the journal is, if there is one.
    pub fn journal_status(&self) -> Option<JournalStatus> {
        self.journal.as_ref().map(Journal::status)
    }

    /// Whether the journal can't keep up: nothing new should be begun until it has.
    pub fn journal_is_full(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_full)
    }

    /// The write, to be durable only when the outcomes that it covers are in the journal.
    pub fn after_journal(&self, write: store::Write) -> store::Write {
        store::Write { after: self.journal.as_ref().map(Journal::barrier), ..write }
    }

    /// For reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether a checkpoint is under way.
    pub fn has_checkpoint(&self) -> bool {
        self.checkpoints > 0
    }

    /// Writes a checkpoint, whether another is under way or not: it is durable no later than any later write.
    pub fn checkpoint(&mut self, write: store::Write) {
        debug!("checkpoint taken");
        let known = write.checkpoint.as_ref().map(|set| set.known.clone()).unwrap_or_default();
        self.checkpoints += 1;
        self.write_then(self.after_journal(write), DurableWrite::Checkpoint(known));
    }

    /// Writes, and hands back what waits for it.
    pub fn write_then(&mut self, write: store::Write, then: DurableWrite) {
        let written = self.store.write(write);
        self.under_way.push(Box::pin(async move { written.await.map(|_| then) }));
    }

    /// Writes what nothing waits for.
    pub fn write(&mut self, write: store::Write) {
        self.write_then(write, DurableWrite::Answered);
    }

    /// Writes what must be durable before a delivery counts as resolved.
    pub fn settle(&mut self, write: store::Write, completed: Completed) {
        let written = self.store.write(self.after_journal(write));
        self.under_way.push(Box::pin(async move {
            let letter = written.await?.added.first().copied();
            Ok(DurableWrite::Settled(Box::new(completed), letter))
        }));
    }

    /// Writes which rules are paused.
    pub fn pauses(&mut self, paused: Vec<PausedRule>) {
        self.write(pauses(paused));
    }

    /// As [`Writes::pauses`]; the answer says that it is durable, or why it can't be.
    pub fn pauses_for(&mut self, paused: Vec<PausedRule>, answer: oneshot::Sender<Result<(), CommandRefused>>) {
        let written = self.store.write(pauses(paused));
        self.under_way.push(Box::pin(async move {
            let written = written.await;
            let refused = |error: &store::Error| CommandRefused::Store { problem: error.to_string() };
            // The operator may have gone.
            let _ = answer.send(written.as_ref().map(|_| ()).map_err(refused));
            written.map(|_| DurableWrite::Answered)
        }));
    }

    /// Resolves, removes or edits dead letters; the answer says that it is durable, and which stay as they are.
    pub fn update_letters(
        &mut self,
        write: store::Write,
        numbers: Vec<u64>,
        under_way: Vec<u64>,
        answer: oneshot::Sender<Result<UpdatedLetters, store::Error>>,
    ) {
        let written = self.store.write(write);
        self.under_way.push(Box::pin(async move {
            let written = written.await;
            // The operator may have gone.
            let _ = answer.send(written.clone().map(|written| UpdatedLetters { written, under_way }));
            match written {
                // The others can go on: this one can't be read, or the writer has too much to do.
                Ok(_) | Err(store::Error::Record { .. } | store::Error::Overloaded { .. }) => {
                    Ok(DurableWrite::LettersUpdated(numbers))
                }
                Err(error) => Err(error),
            }
        }));
    }

    /// The next write that became durable; none under way: none. An error is the store's end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<DurableWrite, store::Error>> {
        let written = self.under_way.next().await?;
        if let Ok(DurableWrite::Checkpoint(_)) = written {
            debug!("checkpoint durable");
            self.checkpoints -= 1;
        }
        Some(written)
    }
}

fn pauses(paused: Vec<PausedRule>) -> store::Write {
    store::Write { paused: Some(paused), ..store::Write::default() }
}
