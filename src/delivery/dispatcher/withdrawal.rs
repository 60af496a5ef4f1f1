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
        let (meant, is_all) = match &under_way.bundle {
            Bundle::One(delivery) if is_meant(delivery.origin) && (is_untried || what == Withdraw::Idle) => {
                (vec![delivery.origin], true)
            }
            Bundle::Many(parts) if is_untried => {
                let origins: Vec<Origin> = parts.all().map(|item| item.delivery.origin).collect();
                let meant: Vec<Origin> = origins.iter().copied().filter(|origin| is_meant(*origin)).collect();
                let is_all = meant.len() == origins.len();
                (meant, is_all)
            }
            _ => return Vec::new(),
        };
        if meant.is_empty() {
            return meant;
        }
        if is_all {
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
        for origin in &meant {
            self.is_last_share(place);
            self.forget(rule, *origin);
        }
        meant
    }

    /// What was withdrawn as a whole has its turn: its lanes move on.
    pub(super) fn give_back(&mut self, place: Place) {
        let under_way = self.under_way[place as usize].take().expect("a call ends once");
        let origins: Vec<Origin> = match &under_way.bundle {
            Bundle::One(delivery) => vec![delivery.origin],
            Bundle::Many(parts) => parts.all().map(|item| item.delivery.origin).collect(),
        };
        self.lanes.end(place);
        for origin in origins {
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
