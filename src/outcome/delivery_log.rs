//! What the log says of deliveries: a line for each, or for one in so many; of dead letters as `letter_log` decides.
//!
//! In: completed deliveries as they come, and the time. Out: lines without row values; with primary keys only where that is asked for
//! (promise 8). Owns the counts behind both.

use std::num::NonZeroU64;
use std::time::Instant;

use tracing::{debug, error, info};

use super::letter_log::{LetterLog, MoreLetters};
use crate::change::key_text::key_in_a_line;
use crate::config::DeliveryLogSettings;
use crate::delivery::{Completed, Delivery, Outcome};

/// See the module's header.
#[derive(Debug, Default)]
pub struct DeliveryLog {
    settings: DeliveryLogSettings,
    /// Deliveries since the last one that got a line, where not all get one.
    skipped: u64,
    letters: LetterLog,
}

impl DeliveryLog {
    pub fn new(settings: DeliveryLogSettings) -> DeliveryLog {
        DeliveryLog { settings, ..DeliveryLog::default() }
    }

    /// Logs a completed delivery.
    pub fn log(&mut self, completed: &Completed, now: Instant) {
        let delivery = &completed.delivery;
        let (rule, id, table) = (delivery.rule.name.as_str(), delivery.id, &delivery.change.table);
        let attempts = completed.attempts.total();
        for merged in &completed.merged {
            debug!(rule, id = %merged.id, into = %id, "merged into a later delivery of its key");
        }
        match &completed.outcome {
            Outcome::Delivered { status } if self.is_logged(attempts) => {
                // A statement has no status.
                let status = (*status > 0).then_some(*status);
                let one_in = self.settings.one_in.map(NonZeroU64::get).filter(|one_in| *one_in > 1);
                info!(rule, %table, key = self.key(delivery), %id, status, attempts, one_in, "delivered");
            }
            Outcome::Delivered { .. } => {}
            Outcome::Dead(failure) if self.letters.is_first(rule, &failure.message, now) => {
                let (reason, why) = (failure.reason.as_str(), &failure.message);
                error!(rule, %table, key = self.key(delivery), %id, attempts, reason, why = %why, "dead letter");
            }
            Outcome::Dead(failure) => {
                let (reason, why) = (failure.reason.as_str(), &failure.message);
                debug!(rule, %table, key = self.key(delivery), %id, attempts, reason, why = %why, "one more dead letter");
            }
            Outcome::Blocked { by } => {
                info!(rule, %table, key = self.key(delivery), %id, behind = by, "blocked");
            }
        }
    }

    /// Whether a delivery gets a line: what needed a retry does, unless none is to have one.
    fn is_logged(&mut self, attempts: u64) -> bool {
        let Some(one_in) = self.settings.one_in else { return false };
        self.skipped += 1;
        let is_next = self.skipped >= one_in.get();
        if is_next {
            self.skipped = 0;
        }
        is_next || attempts > 1
    }

    fn key(&self, delivery: &Delivery) -> Option<String> {
        self.settings
            .with_keys
            .then(|| key_in_a_line(&delivery.change, |column| delivery.rule.redacts(column)))
            .flatten()
    }

    /// Logs dead letters that got no line of their own, of minutes that are over.
    pub fn log_minutes(&mut self, now: Instant) {
        log_more(&self.letters.take_over(now));
    }

    /// The same of all minutes, because the log ends.
    pub fn log_all(&mut self, now: Instant) {
        log_more(&self.letters.take_all(now));
    }
}

fn log_more(letters: &[MoreLetters]) {
    for letters in letters {
        error!(rule = &*letters.rule, more = letters.more, "{letters}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_gets_a_line_and_each_that_needed_a_retry() {
        let logged = |one_in, attempts: &[u64]| {
            let mut log = DeliveryLog::new(DeliveryLogSettings { one_in: NonZeroU64::new(one_in), with_keys: false });
            attempts.iter().map(|attempts| log.is_logged(*attempts)).collect::<Vec<_>>()
        };
        assert_eq!(logged(1, &[1, 1, 2]), [true, true, true]);
        assert_eq!(logged(3, &[1, 1, 1, 1, 2, 1, 1]), [false, false, true, false, true, true, false]);
        assert_eq!(logged(0, &[1, 2, 1]), [false, false, false]);
    }
}
