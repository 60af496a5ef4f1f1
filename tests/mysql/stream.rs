//! The source's stream as the data-driven tests read it: one place that knows the shape of its events.

use rowhook::change::Change;
use rowhook::source::SourceEvent;

/// The changes that an event carries; none for the events that carry no rows.
pub fn changes(event: SourceEvent) -> Vec<Change> {
    match event {
        SourceEvent::Rows(changes) => changes,
        SourceEvent::Started(_) | SourceEvent::Committed(_) | SourceEvent::Idle => Vec::new(),
    }
}
