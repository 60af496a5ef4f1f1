//! Deliveries under way: from the change that a rule matches to the event that the delivery is over.
//!
//! In: deliveries of the streams, events of the dispatcher, intents that became durable. Out: deliveries in the
//! dispatcher's lanes, writes that must come before what they allow, and deliveries that are over. Owns the dispatcher, the
//! fuse and the sagas. Does not settle what is over, and knows no stream.

use std::sync::Arc;

use tokio::time::Instant;

use super::fuse::Fuse;
use super::sagas::Sagas;
use super::writes::Writes;
use crate::change::{Change, DeliveryId};
use crate::delivery::{Completed, Delivery, DeliveryEvent, Dispatcher, DueAction, Failure, Origin, Outcome};
use crate::rules::Rule;

/// See the module's header.
pub(super) struct Deliveries {
    pub dispatcher: Dispatcher,
    pub sagas: Sagas,
    fuse: Fuse,
}

impl Deliveries {
    /// None is on its way.
    pub fn new(dispatcher: Dispatcher) -> Deliveries {
        Deliveries { dispatcher, sagas: Sagas::default(), fuse: Fuse::default() }
    }

    /// Submits what a rule calls for on a change; `undecided` says why its conditions could not be decided.
    pub fn deliver(&mut self, id: DeliveryId, rule: Arc<Rule>, change: &Arc<Change>, undecided: Option<String>) {
        let doomed = undecided.map(Failure::undecided).or_else(|| self.blow_fuse(&rule, change));
        let change = Arc::clone(change);
        let predetermined = doomed.map(Outcome::Dead);
        let delivery = Delivery {
            id,
            rule,
            change,
            origin: Origin::Stream,
            predetermined,
            saga_action: None,
            more: None,
            edited: None,
        };
        let delivery = self.sagas.begin(delivery);
        self.dispatcher.submit(delivery);
    }

    /// Why the change must not be delivered, where the rule has a fuse and the change's key has had too many.
    fn blow_fuse(&mut self, rule: &Rule, change: &Change) -> Option<Failure> {
        let limit = rule.settings.fuse?;
        self.fuse.blow(rule.ordering_keys(change), change.transaction.committed_at_us, limit)
    }

    /// Writes what follows from an event of the dispatcher. Returns a delivery that is over.
    pub fn handle_event(&mut self, event: DeliveryEvent, writes: &mut Writes) -> Option<Completed> {
        match event {
            DeliveryEvent::Completed(completed) => return self.sagas.acted(completed, writes),
            DeliveryEvent::Due(due) => Sagas::due(due, writes),
            DeliveryEvent::NotDone(delivery) => Sagas::not_done(&delivery, writes),
            DeliveryEvent::Withdrawn(_) => {}
        }
        None
    }

    /// What the store knows now allows this action; but when the work ends nothing is begun any more.
    pub fn intent_written(&mut self, due: DueAction, writes: &mut Writes) {
        match self.sagas.is_ending {
            true => Sagas::not_done(&due.delivery, writes),
            false => self.dispatcher.begin(due.ticket),
        }
    }

    /// Lets attempts under way finish until the deadline, and begins nothing more. What came of them is in the events.
    pub async fn finish(&mut self, deadline: Instant) -> Vec<DeliveryEvent> {
        self.sagas.is_ending = true;
        self.dispatcher.finish_in_flight(deadline).await
    }
}
