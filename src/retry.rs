//! How long to wait before the next try; the only place with the `backoff` crate.
//!
//! In: a policy from a rule (or the one that paces reconnects). Out: waits, one after another, each drawn anew. Keeps
//! the bound `max_delay`; deliberately knows nothing of what is being tried.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// Exponential waits: `initial`, then `multiplier` times the one before, at most `max_delay`, each spread at random by
/// `jitter` to both sides (0.5: between half and one and a half times the wait).
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Attempts after the first one.
    pub retries: u32,
    pub initial: Duration,
    pub multiplier: f64,
    pub max_delay: Duration,
    /// Between 0 and 1.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            retries: 3,
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
    pub fn waits(&self) -> Waits {
        let mut waits = ExponentialBackoff {
            initial_interval: self.initial,
            current_interval: self.initial,
            randomization_factor: self.jitter.clamp(0.0, 1.0),
            multiplier: self.multiplier,
            max_interval: self.max_delay,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        waits.reset();
        Waits { policy: waits, max_delay: self.max_delay }
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
