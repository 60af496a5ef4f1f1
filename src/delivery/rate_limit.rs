//! Rate limit: when the next start may follow, so that a rate is kept. Pure arithmetic: the caller brings the time.
//!
//! In: a rate, the times at which something starts. Out: when the next may. This is the generic cell rate algorithm (ITU-T
//! I.371, appendix I) in its virtual-scheduling form: one time stamp is all its state, and starts are spread evenly.

use std::time::Duration;

use tokio::time::Instant;

use crate::rules::Rate;

/// So much time without starts may be made up for at once, after idling or when the loop was late: a late timer must not
/// lower the rate, and a burst must stay small compared to what an API allows in a second.
const CATCH_UP: Duration = Duration::from_millis(50);

/// See the module's header. In any period `t` at most `1 + (t + 50 ms) / interval` starts are allowed.
#[derive(Debug, Clone)]
pub struct RateLimit {
    interval: Duration,
    /// When the next start would be if all kept the interval.
    next: Option<Instant>,
}

impl RateLimit {
    pub fn new(interval: Duration) -> RateLimit {
        RateLimit { interval, next: None }
    }

    /// Sets another interval, which counts from the next start on.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// When the next start is allowed; None: now.
    pub fn free_at(&self, now: Instant) -> Option<Instant> {
        let free_at = self.next?.checked_sub(CATCH_UP)?;
        (free_at > now).then_some(free_at)
    }

    /// Counts a start that was allowed.
    pub fn take(&mut self, now: Instant) {
        self.next = Some(self.next.map_or(now, |next| next.max(now)) + self.interval);
    }
}

/// The interval of a rate, in nanoseconds rounded up: never more than allowed.
pub fn interval(rate: Rate) -> Duration {
    Duration::from_nanos((rate.per.as_nanos() as u64).div_ceil(u64::from(rate.count)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATES: [(u32, u64); 7] = [(1, 1), (3, 1), (50, 1), (1000, 1), (200_000, 1), (7, 60), (100, 3600)];

    fn rate_limit_of(count: u32, per_s: u64) -> RateLimit {
        RateLimit::new(interval(Rate { count, per: Duration::from_secs(per_s) }))
    }

    #[test]
    fn the_interval_of_a_rate_is_exact_and_never_too_short() {
        for (count, per_s) in RATES {
            let interval = interval(Rate { count, per: Duration::from_secs(per_s) });
            let all = interval * count;
            assert!(
                all >= Duration::from_secs(per_s)
                    && all < Duration::from_secs(per_s) + Duration::from_nanos(count.into())
            );
        }
    }

    #[test]
    fn after_a_long_rest_only_a_small_burst_is_allowed() {
        for (count, per_s, burst) in [(1, 1, 1), (10, 1, 1), (50, 1, 3), (1000, 1, 51), (60, 60, 1)] {
            let mut rate_limit = rate_limit_of(count, per_s);
            let mut now = Instant::now();
            for _ in 0..2 {
                let mut started = 0;
                while rate_limit.free_at(now).is_none() {
                    rate_limit.take(now);
                    started += 1;
                }
                assert_eq!(started, burst, "{count} in {per_s} s");
                now += Duration::from_secs(100 * per_s);
            }
        }
    }

    proptest! {
        /// A caller that asks at any times gets at most what is allowed in every window.
        #[test]
        fn never_more_than_allowed_in_any_window(
            rate in prop::sample::select(RATES.to_vec()),
            waits_us in prop::collection::vec(prop_oneof![Just(0), 0..3_000u64, 0..2_000_000u64], 1..300),
        ) {
            let mut rate_limit = rate_limit_of(rate.0, rate.1);
            let mut now = Instant::now();
            let mut starts = Vec::new();
            for wait_us in waits_us {
                now += Duration::from_micros(wait_us);
                if rate_limit.free_at(now).is_none() {
                    rate_limit.take(now);
                    starts.push(now);
                }
            }
            for (first, from) in starts.iter().enumerate() {
                for (last, to) in starts.iter().enumerate().skip(first) {
                    let allowed = 1 + (*to - *from + CATCH_UP).as_nanos() / rate_limit.interval.as_nanos();
                    prop_assert!((last - first + 1) as u128 <= allowed, "{} in {:?}", last - first + 1, *to - *from);
                }
            }
        }

        /// A caller that always has something to start, and comes late by less than what can be made up for, loses nothing.
        #[test]
        fn what_is_allowed_can_be_used_to_the_full(
            rate in prop::sample::select(RATES.to_vec()),
            late_us in prop::collection::vec(0..49_000u64, 1..300),
        ) {
            let mut rate_limit = rate_limit_of(rate.0, rate.1);
            let begun = Instant::now();
            let (mut now, mut started) = (begun, 0u128);
            for late_us in late_us {
                while rate_limit.free_at(now).is_none() {
                    rate_limit.take(now);
                    started += 1;
                }
                let due = (now - begun).as_nanos() / rate_limit.interval.as_nanos();
                prop_assert!(started >= due, "{started} of {due} after {:?}", now - begun);
                now = rate_limit.free_at(now).expect("it was used up") + Duration::from_micros(late_us);
            }
        }
    }
}
