//! The breaker of one target: whether the target is unavailable, and when it is probed. A pure state machine: the caller
//! brings the time.
//!
//! In: how attempts ended. Out: whether it is open, and which calls may start meanwhile. What is unavailable is the API, never
//! a row, so it opens on first attempts of different keys ([`evidence`](self)); where fewer keys are about, by the attempts
//! there are. Opened by many keys, it admits one probe at a time, after waits that grow. Opened by a few, it does so for these
//! keys alone: the first attempt of any other key starts at once, because it tells a row that fails from an API that does.
//! The first attempts of each step of a saga and of its callbacks count as those of a change; what undoes or verifies a step,
//! and the replay of a dead letter, are like retries. A call of many rows is one attempt with the keys of all of them.
//! Throttling never opens it, and neither does a token that could not be obtained. Any attempt that shows that the target works closes it. Deliberately does not choose the probe
//! and does not know what an attempt counts for its delivery; admission decides both.

use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::answer::TargetHealth;
use crate::delivery::lane::{AttemptKind, CallKey, Place};
use crate::retry::{RetryPolicy, Waits};
use crate::rules::BreakerPolicy;
use evidence::{FailedAttempt, FailureEvidence};

mod evidence;

/// See the module's header.
#[derive(Debug)]
pub struct Breaker {
    /// None: it never opens.
    policy: Option<BreakerPolicy>,
    evidence: FailureEvidence,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    waits: Waits,
    probe: Probe,
    /// How many probes have started.
    probes: usize,
    /// First attempts of other keys that started at once and have not ended.
    others: Vec<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    DueAt(Instant),
    UnderWay(Place),
}

/// When the next probe may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    Now,
    /// Not before this time; call again then.
    At(Instant),
    /// Not before another attempt has ended; call again then.
    AfterAnother,
}

/// Whether a target is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    Available,
    /// It is not, as far as a few keys show: it may be their rows.
    UnavailableToFew,
    /// It is not: first attempts of as many different keys as configured have failed.
    Unavailable,
}

/// As what an admitted attempt starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedAs {
    /// The breaker is not open.
    Ordinary,
    Probe,
    /// The first attempt of a key of which no first attempt has failed.
    OtherKey,
}

/// An attempt that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedAttempt<K> {
    pub place: Place,
    pub attempt: AttemptKind,
    pub keys: K,
}

/// What an ended attempt did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerChange {
    Not,
    Open,
    /// It was open for so long.
    Closed(Duration),
}

impl Breaker {
    pub fn new(policy: Option<BreakerPolicy>) -> Breaker {
        Breaker { policy, evidence: FailureEvidence::default(), open: None }
    }

    /// Takes over another policy. Without one an open breaker closes.
    pub fn set_policy(&mut self, policy: Option<BreakerPolicy>, now: Instant) -> BreakerChange {
        let was = std::mem::replace(&mut self.policy, policy);
        match (&self.policy, &mut self.open) {
            (None, _) => return self.close(now),
            (Some(policy), Some(open)) if was.as_ref() != Some(policy) => open.waits = probe_waits(policy),
            _ => {}
        }
        BreakerChange::Not
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub fn availability(&self) -> Availability {
        match (&self.open, &self.policy) {
            (Some(_), Some(policy)) if self.evidence.missing(policy.failures) == 0 => Availability::Unavailable,
            (Some(_), _) => Availability::UnavailableToFew,
            (None, _) => Availability::Available,
        }
    }

    /// Whether this attempt was admitted while the breaker was open.
    pub fn is_probe(&self, place: Place) -> bool {
        let is_probe = |open: &Open| open.probe == Probe::UnderWay(place) || open.others.contains(&place);
        self.open.as_ref().is_some_and(is_probe)
    }

    /// When the next probe may start; now, if it is not open.
    pub fn may_probe(&self, now: Instant) -> May {
        match self.open.as_ref().map(|open| open.probe) {
            None => May::Now,
            Some(Probe::DueAt(due)) if due <= now => May::Now,
            Some(Probe::DueAt(due)) => May::At(due),
            Some(Probe::UnderWay(_)) => May::AfterAnother,
        }
    }

    /// How many probes have started since it opened.
    pub fn probes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.probes)
    }

    /// Whether the first attempt of another key may start although it is open: at most as many at a time as would have to fail
    /// until it is open by many keys.
    pub fn admits_other_keys(&self) -> bool {
        let (Some(open), Some(policy)) = (&self.open, &self.policy) else { return false };
        open.others.len() < self.evidence.missing(policy.failures) as usize
    }

    /// Whether no first attempt of these keys has failed since the target was last seen to work.
    pub fn are_other_keys(&self, keys: impl Iterator<Item = CallKey>) -> bool {
        !self.evidence.is_known(keys)
    }

    /// An admitted attempt starts.
    pub fn start(&mut self, place: Place, started_as: StartedAs) {
        let Some(open) = &mut self.open else { return };
        match started_as {
            StartedAs::Probe => {
                debug_assert!(matches!(open.probe, Probe::DueAt(_)), "one probe at a time");
                open.probe = Probe::UnderWay(place);
                open.probes += 1;
            }
            StartedAs::OtherKey => open.others.push(place),
            StartedAs::Ordinary => {}
        }
    }

    /// An attempt has ended, be it a probe, an ordinary one, or one that was under way when the breaker opened.
    /// `are_others_about`: first attempts are under way or could be made.
    pub fn end(
        &mut self,
        ended: EndedAttempt<impl Iterator<Item = CallKey>>,
        health: TargetHealth,
        are_others_about: impl Fn() -> bool,
        now: impl FnOnce() -> Instant,
    ) -> BreakerChange {
        let Some(policy) = &self.policy else { return BreakerChange::Not };
        let EndedAttempt { place, attempt, keys } = ended;
        let is_enough = match health {
            TargetHealth::Works if self.open.is_some() => return self.close(now()),
            TargetHealth::Works => {
                self.evidence.succeeded(attempt);
                return BreakerChange::Not;
            }
            TargetHealth::Throttles | TargetHealth::Unknown => false,
            TargetHealth::Fails | TargetHealth::Unavailable => {
                let is_answered = health == TargetHealth::Fails;
                let failed = FailedAttempt { attempt, keys, is_answered };
                self.evidence.failed(failed, policy.failures, are_others_about)
            }
        };
        match &mut self.open {
            Some(open) => {
                open.others.retain(|other| *other != place);
                if open.probe == Probe::UnderWay(place) {
                    open.probe = Probe::DueAt(now() + open.waits.next_wait());
                }
                BreakerChange::Not
            }
            None if is_enough => {
                let (since, mut waits) = (now(), probe_waits(policy));
                let probe = Probe::DueAt(since + waits.next_wait());
                self.open = Some(Open { since, waits, probe, probes: 0, others: Vec::new() });
                BreakerChange::Open
            }
            None => BreakerChange::Not,
        }
    }

    /// An attempt was not made after all. If it was the probe, the next probe may start at once.
    pub fn cancel(&mut self, place: Place, now: Instant) {
        let Some(open) = &mut self.open else { return };
        open.others.retain(|other| *other != place);
        if open.probe == Probe::UnderWay(place) {
            open.probe = Probe::DueAt(now);
        }
    }

    /// The target counts as available again, and nothing is held against it.
    pub fn close(&mut self, now: Instant) -> BreakerChange {
        self.evidence.forget();
        match self.open.take() {
            Some(Open { since, .. }) => BreakerChange::Closed(now.duration_since(since)),
            None => BreakerChange::Not,
        }
    }
}

fn probe_waits(policy: &BreakerPolicy) -> Waits {
    let max_delay = policy.max_probe.max(policy.probe);
    RetryPolicy { initial: policy.probe, max_delay, ..RetryPolicy::default() }.waits()
}

#[cfg(test)]
mod tests;
