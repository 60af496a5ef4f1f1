//! How often and how long to wait before the next try; the only place with the `backoff` crate.
//!
//! In: a policy from a rule (or one that paces reconnects or probes). Out: waits, one after another, each drawn at random.
//! Keeps the bound `max_delay` (promise 6); deliberately counts nothing and knows nothing about what is being tried.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// Exponential waits: `initial`, then `multiplier` times the one before, at most `max_delay`, each spread at random by
/// `jitter` to both sides (0.5: between half and one and a half times the wait).
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    pub retries: Retries,
    pub initial: Duration,
    pub multiplier: f64,
    pub max_delay: Duration,
    /// Between 0 and 1.
    pub jitter: f64,
}

/// How many attempts may follow the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    AtMost(u32),
    Forever,
}

impl Retries {
    /// Whether another attempt may follow after so many that failed.
    pub fn allow_another(self, failed: u64) -> bool {
        match self {
            Retries::AtMost(retries) => failed <= u64::from(retries),
            Retries::Forever => true,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            retries: Retries::AtMost(3),
            initial: Duration::from_millis(500),
            multiplier: 2.0,
            max_delay: Duration::from_secs(30),
            jitter: 0.5,
        }
    }
}

/// The waits of one delivery or one connection.
#[derive(Debug)]
pub struct Waits {
    policy: ExponentialBackoff,
    max_delay: Duration,
}

impl RetryPolicy {
    /// A fresh sequence of waits. A `multiplier` below 1 counts as 1: waits never shrink.
    pub fn waits(&self) -> Waits {
        self.waits_after(0)
    }

    /// The rest of the sequence, after so many of its waits.
    pub fn waits_after(&self, waited: u64) -> Waits {
        let mut policy = ExponentialBackoff {
            initial_interval: self.initial.min(self.max_delay),
            randomization_factor: self.jitter.clamp(0.0, 1.0),
            multiplier: self.multiplier.max(1.0),
            max_interval: self.max_delay,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        policy.reset();
        // Beyond any duration it is infinite, and the longest wait is the smaller one.
        let waited = f64::from(u32::try_from(waited).unwrap_or(u32::MAX));
        let grown = policy.initial_interval.as_secs_f64() * policy.multiplier.powf(waited);
        policy.current_interval = Duration::from_secs_f64(grown.min(self.max_delay.as_secs_f64()));
        Waits { policy, max_delay: self.max_delay }
    }
}

impl Waits {
    /// The next wait; it never ends by itself, the caller counts.
    pub fn next_wait(&mut self) -> Duration {
        // Without an elapsed-time limit the policy never gives up. Its jitter may exceed the cap; ours is a bound.
        self.policy.next_backoff().unwrap_or(self.max_delay).min(self.max_delay)
    }

    /// Begins again with the first wait, after a success.
    pub fn reset(&mut self) {
        self.policy.reset();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waits_of(policy: &RetryPolicy, count: usize) -> Vec<Duration> {
        let mut waits = policy.waits();
        (0..count).map(|_| waits.next_wait()).collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn without_jitter_the_waits_grow_up_to_the_limit() {
        let policy = RetryPolicy { jitter: 0.0, max_delay: ms(3000), ..RetryPolicy::default() };
        assert_eq!(waits_of(&policy, 5), [ms(500), ms(1000), ms(2000), ms(3000), ms(3000)]);
    }

    #[test]
    fn the_rest_of_a_sequence_goes_on_where_the_first_part_ended() {
        for policy in [
            RetryPolicy { jitter: 0.0, max_delay: ms(3000), ..RetryPolicy::default() },
            RetryPolicy { jitter: 0.0, multiplier: 1.0, ..RetryPolicy::default() },
            RetryPolicy { jitter: 0.0, initial: ms(9000), max_delay: ms(10), ..RetryPolicy::default() },
        ] {
            let all = waits_of(&policy, 9);
            for waited in 0..5 {
                let mut rest = policy.waits_after(waited);
                assert_eq!([rest.next_wait(), rest.next_wait()], all[waited as usize..][..2], "{policy:?} {waited}");
            }
            assert_eq!(policy.waits_after(u64::MAX).next_wait(), all[8], "{policy:?}");
        }
    }

    #[test]
    fn a_first_wait_above_the_limit_is_the_limit() {
        let policy = RetryPolicy { initial: ms(9000), max_delay: ms(10), jitter: 0.0, ..RetryPolicy::default() };
        assert_eq!(waits_of(&policy, 2), [ms(10), ms(10)]);
    }

    #[test]
    fn waits_never_shrink() {
        let policy = RetryPolicy { multiplier: 0.1, jitter: 0.0, ..RetryPolicy::default() };
        assert_eq!(waits_of(&policy, 3), [ms(500); 3]);
    }

    #[test]
    fn a_reset_begins_again_with_the_first_wait() {
        let mut waits = RetryPolicy { jitter: 0.0, ..RetryPolicy::default() }.waits();
        assert_eq!([waits.next_wait(), waits.next_wait()], [ms(500), ms(1000)]);
        waits.reset();
        assert_eq!(waits.next_wait(), ms(500));
    }

    #[test]
    fn so_many_attempts_may_follow_as_there_are_retries() {
        for (retries, failed, expected) in [
            (Retries::AtMost(0), 1, false),
            (Retries::AtMost(3), 3, true),
            (Retries::AtMost(3), 4, false),
            (Retries::AtMost(u32::MAX), 1 << 32, false),
            (Retries::Forever, u64::MAX, true),
        ] {
            assert_eq!(retries.allow_another(failed), expected, "{retries:?} after {failed}");
        }
    }

    #[test]
    fn jitter_spreads_the_waits() {
        let policy = RetryPolicy { multiplier: 1.0, ..RetryPolicy::default() };
        let waits = waits_of(&policy, 200);
        assert!(waits.iter().any(|wait| *wait < ms(400)) && waits.iter().any(|wait| *wait > ms(600)), "{waits:?}");
    }

    proptest! {
        #[test]
        fn every_wait_keeps_its_bounds(
            initial_us in 0..10_000_000u64,
            max_us in 0..60_000_000u64,
            multiplier in 0.0..10.0f64,
            jitter in 0.0..=1.0f64,
        ) {
            let (initial, max_delay) = (Duration::from_micros(initial_us), Duration::from_micros(max_us));
            let policy = RetryPolicy { initial, multiplier, max_delay, jitter, ..RetryPolicy::default() };
            let mut centre_us = initial_us.min(max_us) as f64;
            for wait in waits_of(&policy, 12) {
                prop_assert!(wait <= max_delay, "{wait:?}");
                let wait_us = wait.as_nanos() as f64 / 1000.0;
                // A microsecond for rounding.
                prop_assert!(wait_us >= centre_us * (1.0 - jitter) - 1.0, "{wait:?} below {centre_us}");
                prop_assert!(wait_us <= centre_us * (1.0 + jitter) + 1.0, "{wait:?} above {centre_us}");
                centre_us = (centre_us * multiplier.max(1.0)).min(max_us as f64);
            }
        }
    }
}
