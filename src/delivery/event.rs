//! What the dispatcher reports to its caller.
//!
//! A delivery ended, or was withdrawn; or, of a saga, an action's turn has come, or a call is known not to have happened. Plain data.
//! The caller writes what must be durable before a call is made, between [`Event::Due`] and the dispatcher's `begin`.

use super::{Completed, Delivery, Origin};
use crate::delivery::lane::Place;

/// See the module's header.
#[derive(Debug)]
pub enum DeliveryEvent {
    /// The delivery has its outcome. Of a saga: the delivery's action ended, `acted` says how; none where nothing was
    /// tried.
    Completed(Completed),
    /// A saga's action has its turn; its call is made when `begin` is called.
    Due(DueAction),
    /// The call of an action that must not be repeated is known not to have happened, and will be made again: that is Due
    /// again. Also what was to begin when the end of the work had begun, or the rule was paused, and was not called.
    NotDone(Delivery),
    /// What was withdrawn had its turn, and nothing was done: it has no outcome, and its place is given up.
    Withdrawn(Origin),
}

/// An action that has its turn: its slot is taken until its call has ended.
#[derive(Debug)]
pub struct DueAction {
    pub delivery: Delivery,
    pub ticket: DueTicket,
}

/// The place of an action that is to be begun.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an action that is not begun holds its slot and its lanes for ever"]
pub struct DueTicket(pub(super) Place);

/// Whether it is durable that an action's call is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    Durable,
    /// The action is to be Due.
    ToBeWritten,
}
