//! How long the main stream waits for a rule whose window is full.
//!
//! In: moments at which reading waits for the rule, and whether that harms another rule. Out: when the wait must end. Time
//! counts only while another rule runs out of work, and the detach timeout refills slowly, so that a rule that is a little
//! too slow is told apart from one that was slow once. Pure: the clock is the caller's.

use std::time::Duration;

use tokio::time::Instant;

/// Long enough for a window to drain through a pause of garbage collection or a lost packet; short enough that others lag
/// by less than a person notices.
const DETACH_TIMEOUT_MAX: Duration = Duration::from_millis(100);

/// The main stream may wait for one part in so many of all time: more waiting than that, lasting, is too much.
const REFILL_DIVISOR: u32 = 50;

/// The detach timeout of one rule.
#[derive(Debug)]
pub(super) struct DetachTimeout {
    left: Duration,
    looked_at: Instant,
    /// Whether time has counted since then.
    counts: bool,
}

impl DetachTimeout {
    pub fn new(now: Instant) -> DetachTimeout {
        DetachTimeout { left: DETACH_TIMEOUT_MAX, looked_at: now, counts: false }
    }

    /// Reading waits for the rule; `harms` says whether another rule runs out of work meanwhile. False: it must not
    /// wait any longer.
    pub fn bears(&mut self, now: Instant, harms: bool) -> bool {
        self.settle(now);
        self.counts = harms;
        !self.left.is_zero()
    }

    /// Reading goes on.
    pub fn rest(&mut self, now: Instant) {
        self.settle(now);
        self.counts = false;
    }

    /// When it runs out if nothing changes; none while time does not count.
    pub fn ends_at(&self) -> Option<Instant> {
        self.counts.then(|| self.looked_at + self.left)
    }

    fn settle(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.looked_at);
        self.looked_at = now;
        self.left = if self.counts {
            self.left.saturating_sub(elapsed)
        } else {
            DETACH_TIMEOUT_MAX.min(self.left.saturating_add(elapsed / REFILL_DIVISOR))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_ends_after_its_time_and_only_where_waiting_harms_somebody() {
        let start = Instant::now();
        let mut detach_timeout = DetachTimeout::new(start);
        assert!(detach_timeout.bears(start, false));
        assert!(detach_timeout.bears(start + ms(60_000), false), "a minute that harms nobody");
        assert_eq!(detach_timeout.ends_at(), None);
        let harmful = start + ms(60_000);
        assert!(detach_timeout.bears(harmful, true));
        assert_eq!(detach_timeout.ends_at(), Some(harmful + DETACH_TIMEOUT_MAX));
        assert!(detach_timeout.bears(harmful + ms(99), true));
        assert!(!detach_timeout.bears(harmful + ms(100), true));
    }

    #[test]
    fn many_short_waits_add_up_and_grow_back_at_two_percent() {
        for (rest_ms, lasts) in [(10, false), (400, false), (600, true)] {
            let mut now = Instant::now();
            let mut detach_timeout = DetachTimeout::new(now);
            let mut lasted = true;
            for _ in 0..100 {
                lasted &= detach_timeout.bears(now, true);
                now += ms(10);
                lasted &= detach_timeout.bears(now, true);
                detach_timeout.rest(now);
                now += ms(rest_ms);
            }
            assert_eq!(lasted, lasts, "10 ms of waiting, then {rest_ms} ms of work");
        }
    }
}
