//! Writes on their way to disk, and what waits for them.

use std::future::Future;
use std::pin::Pin;

use crate::delivery::{Completed, Delivery, DueAction, Intent, Ticket};
use crate::store;

pub(super) type PendingWrite = Pin<Box<dyn Future<Output = Result<Written, store::Error>> + Send>>;

/// A write that became durable, and what waited for it.
pub(super) enum Written {
    Checkpoint,
    /// With the number of the letter that was made, if one was.
    Settled(Box<Completed>, Option<u64>),
    /// The store knows that this action may have been called: it may.
    Begun(Box<DueAction>),
    /// An action has ended, and the store knows: the delivery does the next one in the same place.
    Acted {
        ticket: Ticket,
        delivery: Box<Delivery>,
        intent: Intent,
    },
    /// Whoever waited has been told.
    Answered,
}
