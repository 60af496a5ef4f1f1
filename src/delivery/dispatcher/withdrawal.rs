//! Taking deliveries back: what an operator asked to send and is not to be sent any more.
//!
//! In: which deliveries are meant, by their origin. Out: those of them that are not under way; nothing more is attempted of
//! them, and they have no outcome. What waits in a lane keeps its place there until its turn, so that the order of the
//! others is not touched (promise 2). Costs nothing while nothing is withdrawn.

use std::collections::HashSet;

use super::Dispatcher;
use crate::delivery::bundle::Bundle;
use crate::delivery::lane::{Place, RuleNumber};
use crate::delivery::{DeliveryEvent, Origin};

/// How much may have been done of what is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdraw {
    /// Nothing: no attempt was made.
    Untried,
    /// Attempts that failed, but none is under way. Calls that carry several deliveries are withdrawn only before the first.
    Idle,
}

impl Dispatcher {
    /// Takes back what is meant. Each is reported as [`DeliveryEvent::Withdrawn`] once nothing of it is left in the lanes;
    /// what is not among those returned goes on.
    pub fn withdraw(&mut self, what: Withdraw, is_meant: impl Fn(Origin) -> bool) -> HashSet<Origin> {
        let mut withdrawn = HashSet::new();
        let gathered: Vec<(RuleNumber, Vec<Origin>)> =
            self.gatherers.iter_mut().map(|(rule, gatherer)| (*rule, gatherer.withdraw(&is_meant))).collect();
        for (rule, origins) in gathered {
            withdrawn.extend(origins.iter().copied());
            origins.into_iter().for_each(|origin| self.forget(rule, origin));
        }
        for place in 0..self.under_way.len() as Place {
            withdrawn.extend(self.withdraw_at(place, what, &is_meant));
        }
        if what == Withdraw::Idle && !withdrawn.is_empty() {
            // What waited for its retry is not resumed.
            let Dispatcher { retries, lanes, .. } = self;
            retries.retain(|std::cmp::Reverse((_, place))| lanes.is_resting(*place));
        }
        self.start_ready();
        withdrawn
    }

    fn withdraw_at(&mut self, place: Place, what: Withdraw, is_meant: &impl Fn(Origin) -> bool) -> Vec<Origin> {
        let Some(under_way) = &mut self.under_way[place as usize] else { return Vec::new() };
        let is_untried = under_way.attempts.total() == 0;
        if !is_untried && (what == Withdraw::Untried || matches!(under_way.bundle, Bundle::Many(_))) {
            return Vec::new();
        }
        let mut meant = under_way.bundle.origins();
        let count = meant.len();
        meant.retain(|origin| is_meant(*origin));
        if meant.is_empty() {
            return meant;
        }
        if meant.len() == count {
            return if self.lanes.withdraw(place) { meant } else { Vec::new() };
        }
        if !self.lanes.is_queued(place) {
            return Vec::new();
        }
        if let Bundle::Many(parts) = &mut under_way.bundle {
            parts.keep(|item| !is_meant(item.delivery.origin));
        }
        under_way.prepared = None;
        let rule = under_way.rule;
        self.shares[place as usize] -= meant.len();
        for origin in &meant {
            self.forget(rule, *origin);
        }
        meant
    }

    /// What was withdrawn as a whole has its turn: its lanes move on.
    pub(super) fn give_back(&mut self, place: Place) {
        let under_way = self.under_way[place as usize].take().expect("a call ends once");
        self.lanes.end(place);
        for origin in under_way.bundle.origins() {
            self.forget(under_way.rule, origin);
            if self.is_last_share(place) {
                self.lanes.release(place);
            }
        }
    }

    fn forget(&mut self, rule: RuleNumber, origin: Origin) {
        self.unresolved[rule as usize] -= 1;
        self.events.push_back(DeliveryEvent::Withdrawn(origin));
    }
}
