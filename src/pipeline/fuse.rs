//! The fuse: so many changes of one ordering key per time, then no more.
//!
//! In: a change's keys and the time of its commit. Out: whether it passes. Stops a loop that goes through other systems,
//! where every answer writes the row again. Owns the counts, within a limit (promise 6); they are forgotten at a restart,
//! which lets a loop run a few times more. Reads no clock: a backlog is judged as it happened, not as it is read.

use std::collections::HashMap;

use crate::delivery::Failure;
use crate::failure::Reason;
use crate::ordering::{LaneKey, LaneKeys};
use crate::rules::Rate;

/// Keys of each of the two generations: some 10 MB in all. A key that loops is seen again long before as many others.
const KEYS_MAX: usize = 65_536;

/// What each key had lately.
#[derive(Debug, Default)]
pub struct Fuse {
    young: HashMap<LaneKey, Count>,
    /// The keys seen before those; dropped when there are as many younger ones.
    old: HashMap<LaneKey, Count>,
}

/// A sliding count in two parts: that of the present period and that of the one before, which counts for less
/// and less.
#[derive(Debug, Clone, Copy)]
struct Count {
    begins_at_us: u64,
    last_at_us: u64,
    now: u32,
    before: u32,
}

impl Fuse {
    /// Why a change of these keys, committed at this time, must not be delivered. One that passes is counted. One that was
    /// read before, so that it is not newer than the last, passes as it did then.
    pub fn blow(&mut self, keys: LaneKeys, committed_at_us: u64, limit: Rate) -> Option<Failure> {
        let per_us = u64::try_from(limit.per.as_micros()).unwrap_or(u64::MAX);
        let mut counts = [None, None];
        for (slot, key) in counts.iter_mut().zip(keys.iter()) {
            let count = self.find(key).map_or(Count::new(committed_at_us), |count| count.at(committed_at_us, per_us));
            if count.is_newer(committed_at_us) && count.estimate(committed_at_us, per_us) >= u64::from(limit.count) {
                return Some(blown(limit));
            }
            *slot = Some((key, count));
        }
        for (key, mut count) in counts.into_iter().flatten() {
            if count.is_newer(committed_at_us) {
                count.now += 1;
                count.last_at_us = committed_at_us;
            }
            self.keep(key, count);
        }
        None
    }

    fn find(&self, key: LaneKey) -> Option<Count> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn keep(&mut self, key: LaneKey, count: Count) {
        if self.young.len() >= KEYS_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, count);
    }
}

impl Count {
    fn new(at_us: u64) -> Count {
        Count { begins_at_us: at_us, last_at_us: 0, now: 0, before: 0 }
    }

    /// The count at a time: a period that is over becomes the one before. A clock that was set back by more than a period
    /// resets the count.
    fn at(self, at_us: u64, per_us: u64) -> Count {
        let passed = at_us.saturating_sub(self.begins_at_us) / per_us.max(1);
        match passed {
            _ if at_us.saturating_add(per_us) < self.last_at_us => Count::new(at_us),
            0 => self,
            1 => Count { begins_at_us: self.begins_at_us + per_us, before: self.now, now: 0, ..self },
            _ => Count { last_at_us: self.last_at_us, ..Count::new(at_us) },
        }
    }

    /// Several rows of one transaction have one time, and count each.
    fn is_newer(&self, at_us: u64) -> bool {
        at_us >= self.last_at_us
    }

    fn estimate(&self, at_us: u64, per_us: u64) -> u64 {
        let left_us = per_us.saturating_sub(at_us.saturating_sub(self.begins_at_us));
        let before = (u128::from(self.before) * u128::from(left_us)).div_ceil(u128::from(per_us.max(1)));
        u64::from(self.now) + before as u64
    }
}

fn blown(limit: Rate) -> Failure {
    let (count, per) = (limit.count, humantime::format_duration(limit.per));
    let message =
        format!("its key has had {count} changes within {per}, as many as `fuse` lets through: perhaps a loop");
    Failure { reason: Reason::Fuse, message }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND_US: u64 = 1_000_000;
    const LIMIT: Rate = Rate { count: 3, per: Duration::from_secs(60) };

    fn passes(fuse: &mut Fuse, key: u64, at_s: u64) -> bool {
        fuse.blow(LaneKeys::one(LaneKey(key)), at_s * SECOND_US, LIMIT).is_none()
    }

    #[test]
    fn so_many_changes_of_a_key_pass_and_no_other_key_pays_for_it() {
        let mut fuse = Fuse::default();
        let passed: Vec<bool> = (100..106).map(|at_s| passes(&mut fuse, 1, at_s)).collect();
        assert_eq!(passed, [true, true, true, false, false, false]);
        assert!(passes(&mut fuse, 2, 105));
        let failure = fuse.blow(LaneKeys::one(LaneKey(1)), 106 * SECOND_US, LIMIT).expect("blown");
        let message = "its key has had 3 changes within 1m, as many as `fuse` lets through: perhaps a loop";
        assert_eq!(failure, Failure { reason: Reason::Fuse, message: message.to_owned() });
    }

    #[test]
    fn the_window_slides_and_what_was_stopped_does_not_count() {
        let mut fuse = Fuse::default();
        for at_s in [1000, 1001, 1002] {
            assert!(passes(&mut fuse, 1, at_s));
        }
        assert!(!(1003..1060).any(|at_s| passes(&mut fuse, 1, at_s)), "the minute is not over");
        assert!(!passes(&mut fuse, 1, 1060), "the minute before still weighs fully");
        assert!(passes(&mut fuse, 1, 1081), "a third of it is gone");
        assert!(!passes(&mut fuse, 1, 1082));
        assert!(passes(&mut fuse, 1, 1300) && passes(&mut fuse, 1, 1300) && passes(&mut fuse, 1, 1300));
        assert!(!passes(&mut fuse, 1, 1300), "rows of one transaction count each");
    }

    #[test]
    fn in_no_minute_pass_twice_as_many() {
        for step_s in [1, 2, 7, 13, 20, 29] {
            let mut fuse = Fuse::default();
            let passed: Vec<u64> = (0..100).map(|n| 500 + n * step_s).filter(|s| passes(&mut fuse, 1, *s)).collect();
            for from_s in &passed {
                let within = passed.iter().filter(|s| (*from_s..*from_s + 60).contains(*s)).count();
                assert!(within < 2 * LIMIT.count as usize, "every {step_s} s: {within} from {from_s} s on");
            }
            assert!(passed.len() > 3, "it closes again");
        }
    }

    #[test]
    fn changes_that_are_read_a_second_time_pass_as_they_did_the_first_time() {
        let mut fuse = Fuse::default();
        assert!((200..203).all(|at_s| passes(&mut fuse, 1, at_s)));
        assert!((200..202).all(|at_s| passes(&mut fuse, 1, at_s)), "read anew, because the rule fell behind");
        assert!(!passes(&mut fuse, 1, 203));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_switch_it_off() {
        let mut fuse = Fuse::default();
        assert!(passes(&mut fuse, 1, 10_000));
        let passed = (5_000..5_050).filter(|at_s| passes(&mut fuse, 1, *at_s)).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn a_change_that_moves_its_row_counts_for_both_keys() {
        let mut fuse = Fuse::default();
        let moved = LaneKeys::two(LaneKey(1), LaneKey(2));
        for at_s in [1, 2, 3] {
            assert!(fuse.blow(moved.clone(), at_s * SECOND_US, LIMIT).is_none());
        }
        assert!(!passes(&mut fuse, 1, 4) && !passes(&mut fuse, 2, 4));
        assert!(fuse.blow(LaneKeys::two(LaneKey(3), LaneKey(2)), 4 * SECOND_US, LIMIT).is_some());
        assert!(passes(&mut fuse, 3, 4), "the change that was stopped did not count");
    }

    #[test]
    fn what_it_remembers_is_bounded_and_a_busy_key_is_not_forgotten() {
        let mut fuse = Fuse::default();
        let limit = Rate { count: 1_000_000, per: Duration::from_secs(60) };
        for n in 0..5 * KEYS_MAX as u64 {
            fuse.blow(LaneKeys::one(LaneKey(n + 10)), SECOND_US, limit);
            if n % 1000 == 0 {
                fuse.blow(LaneKeys::one(LaneKey(1)), SECOND_US, limit);
            }
        }
        assert!(fuse.young.len() <= KEYS_MAX && fuse.old.len() <= KEYS_MAX);
        let counted = fuse.find(LaneKey(1)).expect("still known").now;
        assert_eq!(u64::from(counted), 5 * KEYS_MAX as u64 / 1000 + 1);
    }
}
