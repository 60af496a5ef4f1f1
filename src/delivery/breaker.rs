//! The breaker of one target: whether the target is unavailable, and when it is probed. A pure state machine: the caller
//! brings the time.
//!
//! In: how attempts ended. Out: whether the next may start now, later, or only when the probe has ended. Closed, it counts
//! failures in a row; open, it admits one probe at a time, after waits that grow. It opens on failures alone, never on
//! throttling. Any attempt that shows that the target works closes it. Deliberately knows nothing of deliveries and of
//! whether an attempt counts for them; admission decides that.

use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::answer::TargetHealth;
use crate::delivery::lane::Place;
use crate::retry::{RetryPolicy, Waits};
use crate::rules::BreakerPolicy;

/// See the module's header.
#[derive(Debug)]
pub struct Breaker {
    /// None: it never opens.
    policy: Option<BreakerPolicy>,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { since: Instant, waits: Waits, probe: Probe },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    DueAt(Instant),
    UnderWay(Place),
}

/// When the next attempt may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    Now,
    /// Not before this time; call again then.
    At(Instant),
    /// Not before another attempt has ended; call again then.
    AfterAnother,
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
        Breaker { policy, state: State::Closed { failures: 0 } }
    }

    /// Takes over another policy. Without one an open breaker closes.
    pub fn set_policy(&mut self, policy: Option<BreakerPolicy>, now: Instant) -> BreakerChange {
        let was = std::mem::replace(&mut self.policy, policy);
        match (&self.policy, &mut self.state) {
            (None, _) => self.close(now),
            (Some(policy), State::Open { waits, .. }) if was.as_ref() != Some(policy) => {
                *waits = probe_waits(policy);
                BreakerChange::Not
            }
            _ => BreakerChange::Not,
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether this attempt is the probe.
    pub fn is_probe(&self, place: Place) -> bool {
        matches!(self.state, State::Open { probe: Probe::UnderWay(probe), .. } if probe == place)
    }

    pub fn may_start(&self, now: Instant) -> May {
        match self.state {
            State::Closed { .. } => May::Now,
            State::Open { probe: Probe::DueAt(due), .. } if due <= now => May::Now,
            State::Open { probe: Probe::DueAt(due), .. } => May::At(due),
            State::Open { probe: Probe::UnderWay(_), .. } => May::AfterAnother,
        }
    }

    /// An admitted attempt starts; while the breaker is open it is the probe.
    pub fn start(&mut self, place: Place) {
        if let State::Open { probe, .. } = &mut self.state {
            debug_assert!(matches!(probe, Probe::DueAt(_)), "one probe at a time");
            *probe = Probe::UnderWay(place);
        }
    }

    /// An attempt has ended, be it a probe, an ordinary one, or one that was under way when the breaker opened.
    pub fn end(&mut self, place: Place, health: TargetHealth, now: impl FnOnce() -> Instant) -> BreakerChange {
        let is_probe = self.is_probe(place);
        match (&mut self.state, health) {
            (State::Closed { failures }, TargetHealth::Works) => *failures = 0,
            (State::Closed { .. }, TargetHealth::Throttles | TargetHealth::Unknown) => {}
            (State::Closed { failures }, TargetHealth::Fails | TargetHealth::Unavailable) => {
                *failures = failures.saturating_add(1);
                if let Some(policy) = self.policy.as_ref().filter(|policy| *failures >= policy.failures) {
                    let (since, mut waits) = (now(), probe_waits(policy));
                    let probe = Probe::DueAt(since + waits.next_wait());
                    self.state = State::Open { since, waits, probe };
                    return BreakerChange::Open;
                }
            }
            (State::Open { .. }, TargetHealth::Works) => return self.close(now()),
            (State::Open { waits, probe, .. }, _) if is_probe => *probe = Probe::DueAt(now() + waits.next_wait()),
            (State::Open { .. }, _) => {}
        }
        BreakerChange::Not
    }

    /// An attempt was not made after all. If it was the probe, the next probe may start at once.
    pub fn cancel(&mut self, place: Place, now: Instant) {
        if self.is_probe(place)
            && let State::Open { probe, .. } = &mut self.state
        {
            *probe = Probe::DueAt(now);
        }
    }

    fn close(&mut self, now: Instant) -> BreakerChange {
        match std::mem::replace(&mut self.state, State::Closed { failures: 0 }) {
            State::Open { since, .. } => BreakerChange::Closed(now.duration_since(since)),
            State::Closed { .. } => BreakerChange::Not,
        }
    }
}

fn probe_waits(policy: &BreakerPolicy) -> Waits {
    let max_delay = policy.max_probe.max(policy.probe);
    RetryPolicy { initial: policy.probe, max_delay, ..RetryPolicy::default() }.waits()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    fn breaker() -> Breaker {
        Breaker::new(Some(BreakerPolicy::default()))
    }

    fn fail(breaker: &mut Breaker, times: u32, now: Instant) -> Vec<BreakerChange> {
        (0..times).map(|_| breaker.end(1, TargetHealth::Unavailable, || now)).collect()
    }

    /// When the next probe may start.
    fn due(breaker: &Breaker, now: Instant) -> Instant {
        match breaker.may_start(now) {
            May::Now => now,
            May::At(due) => due,
            May::AfterAnother => panic!("a probe is under way: {breaker:?}"),
        }
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_resets_the_count() {
        let (mut breaker, now) = (breaker(), Instant::now());
        assert_eq!(fail(&mut breaker, 4, now), [BreakerChange::Not; 4]);
        assert_eq!(breaker.end(1, TargetHealth::Works, || now), BreakerChange::Not);
        assert_eq!(fail(&mut breaker, 4, now), [BreakerChange::Not; 4]);
        assert_eq!((breaker.is_open(), breaker.may_start(now)), (false, May::Now));
        assert_eq!(breaker.end(1, TargetHealth::Fails, || now), BreakerChange::Open);
        assert!(breaker.is_open() && breaker.may_start(now) != May::Now);
    }

    #[test]
    fn throttling_neither_opens_it_nor_resets_the_count() {
        let (mut breaker, now) = (breaker(), Instant::now());
        for _ in 0..1000 {
            assert_eq!(breaker.end(1, TargetHealth::Throttles, || now), BreakerChange::Not);
        }
        fail(&mut breaker, 4, now);
        breaker.end(1, TargetHealth::Throttles, || now);
        assert_eq!(breaker.end(1, TargetHealth::Unavailable, || now), BreakerChange::Open);
    }

    #[test]
    fn probes_go_one_at_a_time_after_waits_that_double_up_to_their_limit() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        fail(&mut breaker, 5, now);
        let mut centre = Duration::from_secs(1);
        for _ in 0..12 {
            let probe_at = due(&breaker, now);
            let wait = probe_at - now;
            assert!(
                wait >= centre / 2 && wait <= (centre * 3 / 2).min(Duration::from_secs(30)),
                "{wait:?}, {centre:?}"
            );
            now = probe_at;
            breaker.start(7);
            assert_eq!(breaker.may_start(now), May::AfterAnother);
            assert!(breaker.is_probe(7) && !breaker.is_probe(1));
            assert_eq!(
                breaker.end(1, TargetHealth::Unavailable, || now),
                BreakerChange::Not,
                "one that was under way before"
            );
            assert_eq!(breaker.may_start(now), May::AfterAnother);
            breaker.end(7, TargetHealth::Unavailable, || now);
            centre = (centre * 2).min(Duration::from_secs(30));
        }
    }

    #[test]
    fn any_attempt_that_shows_that_the_target_works_closes_it() {
        let (mut breaker, now) = (breaker(), Instant::now());
        fail(&mut breaker, 5, now);
        let later = now + Duration::from_secs(9);
        assert_eq!(breaker.end(3, TargetHealth::Works, || later), BreakerChange::Closed(Duration::from_secs(9)));
        assert_eq!((breaker.is_open(), breaker.may_start(later)), (false, May::Now));
        assert_eq!(fail(&mut breaker, 4, later), [BreakerChange::Not; 4], "the count begins again");
    }

    #[test]
    fn after_a_probe_that_was_not_made_the_next_may_start() {
        let (mut breaker, now) = (breaker(), Instant::now());
        fail(&mut breaker, 5, now);
        breaker.start(7);
        breaker.cancel(6, now);
        assert_eq!(breaker.may_start(now), May::AfterAnother, "another one was not made");
        breaker.cancel(7, now);
        assert_eq!(breaker.may_start(now), May::Now);
    }

    #[test]
    fn without_a_policy_it_never_opens_and_an_open_one_closes() {
        let now = Instant::now();
        assert_eq!(fail(&mut Breaker::new(None), 100, now), [BreakerChange::Not; 100]);
        let mut breaker = breaker();
        fail(&mut breaker, 5, now);
        assert_eq!(breaker.set_policy(None, now), BreakerChange::Closed(AT_ONCE));
        assert!(!breaker.is_open());
    }
}
