//! FailureEvidence that a target is unavailable: the failed attempts since it was last seen to work. Pure, without a clock.
//!
//! In: how attempts ended. Out: whether the failures speak of the target rather than of single rows. First attempts of
//! different keys are evidence. Where none of those is about, retries are too, but only of calls whose first failure came
//! after the last success: a row that failed before another succeeded fails for a reason of its own, unless many in a row get
//! no answer at all. Remembers how many of the last first attempts failed while others succeeded: where rows fail one by one
//! all the time, a few failures in a row are chance.

use std::collections::HashSet;

use crate::delivery::lane::{AttemptKind, CallKey};

/// So many first attempts are remembered, one in each bit.
const HISTORY: u32 = u64::BITS;

/// A row of failures that chance makes once in a million attempts is no chance. The natural logarithm of that, for each of
/// [`FAILURES_USUAL`]: where one row in 16 or fewer fails, so many failures are enough.
const CHANCE_LN: f64 = -13.8 / FAILURES_USUAL as f64;

/// The default of what is configured. Who configures fewer accepts more chance.
const FAILURES_USUAL: u32 = 5;

/// Where more rows fail, the API is no better than one that is unavailable.
const SHARE_MAX: f64 = 0.5;

/// So many times the configured number of attempts without an answer is always enough, where nothing else is about: as many
/// as chance asks for at [`SHARE_MAX`].
const TIMES_MAX: u32 = 4;

/// Of one call of many rows so many keys at most are remembered for each failure that is needed.
const KEYS_MAX: usize = 4096;

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct FailureEvidence {
    /// Keys whose first attempts failed.
    keys: HashSet<CallKey>,
    /// Keys of calls that were not first attempts when they failed first.
    other_keys: HashSet<CallKey>,
    /// First attempts that failed.
    firsts: u32,
    /// Failed attempts that are evidence.
    counted: u32,
    /// Attempts that got no answer, whether they are evidence or not.
    unanswered: u32,
    has_failures: bool,
    /// First attempts up to the last success, the newest in the lowest bit: 1 failed.
    history: u64,
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailedAttempt<K> {
    pub attempt: AttemptKind,
    pub keys: K,
    /// It was answered by the target itself, so that the failure may be the request's own fault.
    pub is_answered: bool,
}

impl FailureEvidence {
    /// The target works.
    pub fn succeeded(&mut self, attempt: AttemptKind) {
        if self.has_failures {
            let failed = self.firsts.min(HISTORY - 1);
            self.history = (self.history << failed) | ((1 << failed) - 1);
            *self = FailureEvidence { history: self.history, ..FailureEvidence::default() };
        }
        if attempt == AttemptKind::First {
            self.history <<= 1;
        }
    }

    /// The target was unavailable and works again: what failed meanwhile says nothing about single rows.
    pub fn forget(&mut self) {
        *self = FailureEvidence { history: self.history, ..FailureEvidence::default() };
    }

    /// Whether the target is unavailable after this failure, with so many failures configured. `are_others_about`: first
    /// attempts are under way or could be made.
    pub fn failed(
        &mut self,
        failed: FailedAttempt<impl Iterator<Item = CallKey>>,
        failures: u32,
        are_others_about: impl Fn() -> bool,
    ) -> bool {
        let FailedAttempt { attempt, mut keys, is_answered } = failed;
        self.has_failures = true;
        self.unanswered = self.unanswered.saturating_add(u32::from(!is_answered));
        let is_counted = match attempt {
            AttemptKind::First => {
                self.firsts += 1;
                remember(&mut self.keys, keys, failures);
                true
            }
            AttemptKind::Replayed if is_answered => false,
            AttemptKind::UndoOrVerify | AttemptKind::Replayed => {
                remember(&mut self.other_keys, keys, failures);
                !are_others_about()
            }
            AttemptKind::Again => {
                keys.any(|key| self.keys.contains(&key) || self.other_keys.contains(&key)) && !are_others_about()
            }
        };
        self.counted += u32::from(is_counted);
        let is_enough = is_counted && self.counted >= self.needed(failures);
        let are_none_answered = !is_answered && self.unanswered >= failures.saturating_mul(TIMES_MAX);
        is_enough || (are_none_answered && !are_others_about())
    }

    /// How many first attempts of other keys would have to fail until it is the target, whatever the rows. None are missing: first
    /// attempts of so many different keys have failed.
    pub fn missing(&self, failures: u32) -> u32 {
        let keys = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        failures.saturating_sub(self.firsts.min(keys))
    }

    /// Whether the first attempt of one of these keys failed.
    pub fn is_known(&self, mut keys: impl Iterator<Item = CallKey>) -> bool {
        keys.any(|key| self.keys.contains(&key))
    }

    /// As many as are configured, and where many rows fail one by one, so many that it is no chance.
    fn needed(&self, failures: u32) -> u32 {
        let share = f64::from(self.history.count_ones()) / f64::from(HISTORY);
        // Without failures the logarithm is minus infinity, and the quotient 0.
        let times = CHANCE_LN / share.min(SHARE_MAX).ln();
        let by_chance = (f64::from(failures.min(FAILURES_USUAL)) * times).ceil() as u32;
        failures.max(by_chance)
    }
}

fn remember(known: &mut HashSet<CallKey>, keys: impl Iterator<Item = CallKey>, failures: u32) {
    for key in keys.take(failures as usize) {
        if known.len() < KEYS_MAX {
            known.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ordering::LaneKey;

    const FAILURES: u32 = 5;

    fn fail(evidence: &mut FailureEvidence, attempt: AttemptKind, key: u64, are_others_about: bool) -> bool {
        let keys = std::iter::once(CallKey::Lane(LaneKey(key)));
        evidence.failed(FailedAttempt { attempt, keys, is_answered: true }, FAILURES, || are_others_about)
    }

    /// How many first attempts of new keys have to fail now.
    fn firsts_needed(evidence: &mut FailureEvidence) -> u64 {
        (1..1000).find(|n| fail(evidence, AttemptKind::First, 1000 + n, true)).expect("some number is enough")
    }

    #[test]
    fn first_attempts_of_as_many_keys_as_configured_are_enough_and_retries_beside_them_are_nothing() {
        let mut evidence = FailureEvidence::default();
        for key in 1..=4 {
            assert!(!fail(&mut evidence, AttemptKind::First, key, true));
            for _ in 0..50 {
                assert!(!fail(&mut evidence, AttemptKind::Again, key, true));
            }
            assert_eq!(evidence.missing(FAILURES), 5 - key as u32);
        }
        assert!(fail(&mut evidence, AttemptKind::First, 5, true));
        assert_eq!(evidence.missing(FAILURES), 0);
    }

    #[test]
    fn where_nothing_else_is_about_the_retries_of_one_key_are_enough() {
        let mut evidence = FailureEvidence::default();
        assert!(!fail(&mut evidence, AttemptKind::First, 1, false));
        for _ in 0..3 {
            assert!(!fail(&mut evidence, AttemptKind::Again, 1, false));
        }
        assert!(fail(&mut evidence, AttemptKind::Again, 1, false));
        assert_eq!(evidence.missing(FAILURES), 4);
    }

    #[test]
    fn the_first_attempts_of_a_hot_key_are_enough_but_are_not_many_keys() {
        let mut evidence = FailureEvidence::default();
        let opened: Vec<bool> = (0..5).map(|_| fail(&mut evidence, AttemptKind::First, 1, true)).collect();
        assert_eq!(opened, [false, false, false, false, true]);
        assert_eq!(evidence.missing(FAILURES), 4);
    }

    #[test]
    fn a_call_of_many_keys_is_one_failure() {
        let mut evidence = FailureEvidence::default();
        for call in 0..5u64 {
            assert!(evidence.missing(FAILURES) > 0);
            let keys = (0..100).map(|key| CallKey::Lane(LaneKey(call * 100 + key)));
            let failed = FailedAttempt { attempt: AttemptKind::First, keys, is_answered: true };
            assert_eq!(evidence.failed(failed, FAILURES, || true), call == 4);
        }
        assert_eq!(evidence.missing(FAILURES), 0);
    }

    #[test]
    fn rows_that_failed_before_another_succeeded_are_no_evidence_unless_many_get_no_answer() {
        let mut evidence = FailureEvidence::default();
        fail(&mut evidence, AttemptKind::First, 1, false);
        evidence.succeeded(AttemptKind::First);
        assert!((0..1000).all(|_| !fail(&mut evidence, AttemptKind::Again, 1, false)));
        let mut unanswered = |are_others_about| {
            let keys = std::iter::once(CallKey::Lane(LaneKey(1)));
            let failed = FailedAttempt { attempt: AttemptKind::Again, keys, is_answered: false };
            evidence.failed(failed, FAILURES, || are_others_about)
        };
        assert!((0..19).all(|_| !unanswered(false)));
        assert!(!unanswered(true), "others are about");
        assert!(unanswered(false));
    }

    #[test]
    fn what_undoes_verifies_or_is_replayed_is_evidence_where_nothing_else_is_about() {
        for (attempt, is_answered, is_evidence) in [
            (AttemptKind::UndoOrVerify, true, true),
            (AttemptKind::UndoOrVerify, false, true),
            (AttemptKind::Replayed, false, true),
            (AttemptKind::Replayed, true, false),
        ] {
            for are_others_about in [false, true] {
                let mut evidence = FailureEvidence::default();
                let opened = (0..5).any(|key| {
                    let failed = FailedAttempt { attempt, keys: std::iter::once(CallKey::Call(key)), is_answered };
                    evidence.failed(failed, FAILURES, || are_others_about)
                });
                assert_eq!(opened, is_evidence && !are_others_about, "{attempt:?}, answered: {is_answered}");
                assert_eq!(evidence.missing(FAILURES), 5, "never of many keys");
            }
        }
    }

    #[test]
    fn the_more_rows_fail_one_by_one_the_more_failures_in_a_row_it_takes() {
        // Of every so many rows one fails.
        for (one_in, expected) in [(0, 5), (64, 5), (32, 5), (16, 5), (5, 9), (3, 13), (2, 20)] {
            let mut evidence = FailureEvidence::default();
            for n in 1..=640u64 {
                if one_in > 0 && n % one_in == 0 {
                    assert!(!fail(&mut evidence, AttemptKind::First, n, true));
                } else {
                    evidence.succeeded(AttemptKind::First);
                }
            }
            evidence.succeeded(AttemptKind::Again);
            assert_eq!(firsts_needed(&mut evidence), expected, "one in {one_in}");
        }
    }

    #[test]
    fn however_many_rows_fail_there_is_a_limit() {
        let mut evidence = FailureEvidence::default();
        for n in 0..640 {
            fail(&mut evidence, AttemptKind::First, n, true);
            if n % 20 == 0 {
                evidence.succeeded(AttemptKind::Again);
            }
        }
        evidence.succeeded(AttemptKind::Again);
        assert_eq!(firsts_needed(&mut evidence), u64::from(FAILURES * TIMES_MAX));
    }

    #[test]
    fn failures_of_an_outage_are_not_held_against_the_rows() {
        let mut evidence = FailureEvidence::default();
        assert_eq!(firsts_needed(&mut evidence), 5);
        evidence.forget();
        assert_eq!(firsts_needed(&mut evidence), 5);
    }
}
