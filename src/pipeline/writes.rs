//! Writes on their way to disk, and what waits for them.

use std::future::Future;
use std::pin::Pin;

use crate::delivery::Completed;
use crate::store;

pub(super) type PendingWrite = Pin<Box<dyn Future<Output = Result<Written, store::Error>> + Send>>;

/// A write that became durable, and what waited for it.
pub(super) enum Written {
    Checkpoint,
    Settled(Box<Completed>),
    /// Whoever waited has been told.
    Answered,
}
