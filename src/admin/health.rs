//! Whether rowhook lives, and whether it is doing its work.
//!
//! In: what the composition root hands over: the loop's command channel, the store, the state of the source, the stop. Out:
//! yes, or one line that says why not, without secrets (promise 8). Asked by probes; remembers nothing.

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};

use crate::pipeline::Command;
use crate::store::Store;

/// Everything that health is read from.
pub struct Health {
    /// Closed once the delivery loop has ended.
    pub commands: mpsc::Sender<Command>,
    pub store: Store,
    /// Says why changes do not arrive right now.
    pub source: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    pub stopping: watch::Receiver<bool>,
}

impl Health {
    /// Whether the process is worth keeping: the delivery loop has not ended.
    pub fn alive(&self) -> Result<(), String> {
        if self.commands.is_closed() { Err("the delivery loop has ended".to_string()) } else { Ok(()) }
    }

    /// Whether changes are read and can be written down: what an alarm should be tied to.
    pub fn ready(&self) -> Result<(), String> {
        self.alive()?;
        if *self.stopping.borrow() {
            return Err("stopping".to_string());
        }
        if let Some(error) = self.store.failed().now_or_never() {
            return Err(format!("store: {error}"));
        }
        (self.source)().map_err(|reason| format!("source: {reason}"))
    }
}
