//! What the dispatcher reports to its caller.
//!
//! A delivery ended, or was withdrawn; or, for a saga, an action is due, or a call is known not to have happened. Plain data.
//! The caller writes what must be durable before a call is made, between [`DeliveryEvent::Due`] and the dispatcher's `begin`.

use super::{Completed, Delivery, Origin};
use crate::delivery::lane::Place;

/// See the module's header.
#[derive(Debug)]
pub enum DeliveryEvent {
    /// The delivery has its outcome. For a saga: its action ended, with the result `acted`; None where no attempt was made.
    Completed(Completed),
    /// The turn of a saga's action has come; its call is made when `begin` is called.
    Due(DueAction),
    /// The call of an action that must not be repeated is known not to have happened, and will be made again: the action
    /// becomes due again. Also the answer to a `begin` that came after the end of the work had begun or while the rule was
    /// paused: the call was not made.
    NotDone(Delivery),
    /// What was withdrawn had its turn, and nothing was done: it has no outcome, and its place is given up.
    Withdrawn(Origin),
}

/// An action whose turn has come: its slot is taken until its call has ended.
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
    /// It is not: the action is to be due first.
    ToBeWritten,
}
