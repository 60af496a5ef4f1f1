//! Deliveries that are known by the id that they had before an upgrade.
//!
//! In: what the store says of an upgrade, and changes. Out: the id of a delivery: the one that it has, or the former one
//! where a ledger or a saga names it by that (promise 3). So nothing that was done before an upgrade is done again under
//! another id. Ends by itself when every rule's low-water mark has passed the log's end of that time.

use super::Streams;
use crate::change::{Change, DeliveryId, Transaction};
use crate::pipeline::rule_stream::RuleStream;
use crate::pipeline::sagas::Sagas;
use crate::position::Position;
use crate::rules::Rule;
use crate::store::FormerIds;

impl Streams {
    /// The id of the delivery that a rule makes of a change.
    pub(super) fn id_of(&self, at: usize, rule: &Rule, change: &Change, sagas: &Sagas) -> DeliveryId {
        let id = change.delivery_id(&rule.name);
        match &self.former_ids {
            Some(former) if may_hold(former, &change.transaction) => {
                let before = change.former_delivery_id(&rule.name);
                let is_known = self.rules[at].tracker.knows(&before) || sagas.knows(&before);
                if is_known { before } else { id }
            }
            _ => id,
        }
    }

    /// The log's end, as it is seen first after an upgrade.
    pub fn note_end_of_log(&mut self, end: Position) {
        if self.former_ids == Some(FormerIds::Everywhere) {
            self.former_ids = Some(FormerIds::UpTo(end));
            self.has_moved = true;
        }
    }

    /// Forgets the former ids when every mark has passed the log's end of the upgrade.
    pub fn forget_former_ids(&mut self) {
        let Some(FormerIds::UpTo(end)) = &self.former_ids else { return };
        let main = self.main.feed.reached();
        let passed = |stream: &RuleStream| {
            let mark = stream.own_mark().or(main.filter(|_| stream.detached.is_none()));
            mark.is_some_and(|mark| mark.position().reaches(end))
        };
        if main.is_some_and(|main| main.position().reaches(end)) && self.rules.iter().all(passed) {
            tracing::info!(
                "every rule is past the end that the log had at the upgrade: former delivery ids are no longer looked up"
            );
            self.former_ids = None;
            self.has_moved = true;
        }
    }
}

/// Whether something of the transaction may be stored under an id of the former form.
fn may_hold(former: &FormerIds, transaction: &Transaction) -> bool {
    match former {
        FormerIds::Everywhere => true,
        FormerIds::UpTo(end) => end.covers(transaction.gtid.as_ref(), transaction.server_uuid, &transaction.begin()),
    }
}
