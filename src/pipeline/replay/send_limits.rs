//! How fast and how long a replay sends: evenly in time, and not on where one delivery after the other fails.
//!
//! In: when deliveries are sent, and how they end. Out: whether another may be sent, and when. The time is passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::Outcome;

/// What was due so long ago is not made up for: after a wait the pace goes on as before, without a burst. Above the clock's
/// accuracy, so that a high rate is kept.
const MADE_UP_MAX: Duration = Duration::from_millis(20);

/// Under way are the deliveries of so much time at most: where the target does not answer, no more pile up to be sent in a burst when it is
/// back. Longer than a slow answer.
const UNDER_WAY_SPAN_MAX: Duration = Duration::from_secs(10);

/// What an operator set; the default sets nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendLimits {
    /// Between two deliveries.
    pub interval: Option<Duration>,
    /// The replay ends when so many deliveries failed in a row. So many are under way at most, so that no others fail after them.
    pub failures_in_a_row_max: Option<u64>,
}

/// The limits of a replay at work.
#[derive(Debug)]
pub(super) struct SendState {
    limits: SendLimits,
    /// When the next delivery may be sent; none was sent yet.
    next_at: Option<Instant>,
    failures_in_a_row: u64,
}

impl SendState {
    pub(super) fn new(limits: SendLimits) -> SendState {
        SendState { limits, next_at: None, failures_in_a_row: 0 }
    }

    pub(super) fn has_room(&self, under_way: usize) -> bool {
        let of_span = |interval: Duration| (UNDER_WAY_SPAN_MAX.as_nanos() / interval.as_nanos().max(1)).max(1);
        self.limits.failures_in_a_row_max.is_none_or(|max| under_way as u64 + self.failures_in_a_row < max)
            && self.limits.interval.is_none_or(|interval| (under_way as u128) < of_span(interval))
    }

    /// When another delivery may be sent; None: now.
    pub(super) fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.next_at.filter(|at| *at > now)
    }

    pub(super) fn sent(&mut self, now: Instant) {
        let Some(interval) = self.limits.interval else { return };
        let due_at = self.next_at.unwrap_or(now).max(now.checked_sub(MADE_UP_MAX).unwrap_or(now));
        self.next_at = Some(due_at + interval);
    }

    pub(super) fn ended(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Delivered { .. } => self.failures_in_a_row = 0,
            Outcome::Dead(_) => self.failures_in_a_row += 1,
            Outcome::Blocked { .. } => {}
        }
    }

    /// Whether so many failed in a row that no others are sent.
    pub(super) fn is_given_up(&self) -> bool {
        self.limits.failures_in_a_row_max.is_some_and(|max| self.failures_in_a_row >= max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Failure;
    use crate::failure::Reason;

    const MS: Duration = Duration::from_millis(1);

    /// When each of so many deliveries is sent, in milliseconds, where nothing else delays it but for one wait.
    fn sent_at(interval: Duration, deliveries: usize, (waits_before, wait): (usize, Duration)) -> Vec<u128> {
        let began = Instant::now();
        let mut now = began;
        let limits = SendLimits { interval: Some(interval), ..SendLimits::default() };
        let mut sending = SendState::new(limits);
        let send = |n| {
            if n == waits_before {
                now += wait;
            }
            if let Some(at) = sending.wait_until(now) {
                now = at;
            }
            sending.sent(now);
            (now - began).as_millis()
        };
        (0..deliveries).map(send).collect()
    }

    #[test]
    fn deliveries_are_sent_evenly_and_a_wait_is_not_made_up_for_in_a_burst() {
        assert_eq!(sent_at(50 * MS, 5, (9, MS)), [0, 50, 100, 150, 200]);
        assert_eq!(sent_at(50 * MS, 5, (2, 1_000 * MS)), [0, 50, 1_050, 1_080, 1_130]);
        assert_eq!(sent_at(MS, 2_001, (2_500, MS)).last(), Some(&2_000), "the rate is kept");
        let after_wait = sent_at(MS, 100, (50, 1_000 * MS));
        assert!(after_wait.iter().filter(|at| **at == 1_049).count() <= 22, "{after_wait:?}");
    }

    #[test]
    fn no_more_are_under_way_than_are_sent_in_some_seconds() {
        for (interval, under_way_max) in [(1_000 * MS, 10), (50 * MS, 200), (60_000 * MS, 1)] {
            let sending = SendState::new(SendLimits { interval: Some(interval), ..SendLimits::default() });
            assert!(sending.has_room(under_way_max - 1) && !sending.has_room(under_way_max), "{interval:?}");
        }
    }

    #[test]
    fn it_is_given_up_after_so_many_failures_in_a_row_with_none_under_way() {
        let dead = Outcome::Dead(Failure { reason: Reason::Refused, message: String::new() });
        let limits = SendLimits { failures_in_a_row_max: Some(3), ..SendLimits::default() };
        let mut sending = SendState::new(limits);
        assert!(sending.has_room(2) && !sending.has_room(3));
        for outcome in [&dead, &dead, &Outcome::Delivered { status: 200 }, &dead, &Outcome::Blocked { by: 1 }, &dead] {
            sending.ended(outcome);
            assert!(!sending.is_given_up());
        }
        assert!(sending.has_room(0) && !sending.has_room(1));
        sending.ended(&dead);
        assert!(sending.is_given_up() && !sending.has_room(0));
        assert!(SendState::new(SendLimits::default()).has_room(usize::MAX));
    }
}
