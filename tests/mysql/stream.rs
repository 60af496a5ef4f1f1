//! The source's stream as the data-driven tests read it: one place that knows the shape of its events.

use rowhook::change::Change;
use rowhook::source::{Error, SourceEvent};

/// The changes that an event carries; none for the events that carry no rows. A value that cannot be read is the error that
/// stops every reader of the binlog.
pub fn changes(event: SourceEvent) -> Result<Vec<Change>, Error> {
    let SourceEvent::Rows(events) = event else { return Ok(Vec::new()) };
    let detached =
        |change: std::sync::Arc<Change>| change.detach().map_err(|fault| Error::unreadable(fault, &change.transaction));
    events.into_iter().flatten().map(detached).collect()
}
