//! What goes of a rule's dead letters: the decisions, without I/O and without a clock.
//!
//! In: dead letters as they are read, the oldest first, and the limits of their rule. Out: which of them go, or will go within a time.
//! One that is blocked, that blocks a key, or that waits for a person never goes.

use std::time::Duration;

use crate::failure::Reason;
use crate::rules::LetterRetention;
use crate::saga::SagaEffect;
use crate::store::DeadLetterHead;

/// A dead letter, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenLetter {
    pub number: u64,
    pub rule: Box<str>,
    /// In microseconds since the Unix epoch.
    pub created_at_us: u64,
    /// 0 where it was not asked for.
    pub bytes: u64,
    /// It is a delivery that waits behind a dead letter.
    pub is_blocked: bool,
    pub may_go: bool,
}

impl SeenLetter {
    pub fn of(head: &DeadLetterHead, effect: Option<SagaEffect>, bytes: u64) -> SeenLetter {
        SeenLetter {
            number: head.number,
            rule: head.rule.clone(),
            created_at_us: head.created_at_us,
            bytes,
            is_blocked: head.failure.reason == Reason::Blocked && head.resolved.is_none(),
            may_go: may_go(head, effect),
        }
    }

    /// Whether it is older than this at that moment.
    pub fn is_older_than(&self, keep: Duration, at_us: u64) -> bool {
        at_us.saturating_sub(self.created_at_us) >= in_us(keep)
    }
}

/// Whether the dead letter may ever be dropped. One that is resolved has left its queues, and waits for no person.
fn may_go(head: &DeadLetterHead, effect: Option<SagaEffect>) -> bool {
    let is_open = head.resolved.is_none();
    let is_in_a_queue = head.failure.reason == Reason::Blocked || !head.lanes.is_empty();
    !(is_open && (is_in_a_queue || effect == Some(SagaEffect::Partial)))
}

pub(super) fn in_us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What the dead letters of a rule take, without blocked deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub letters: u64,
    pub bytes: u64,
}

impl Usage {
    pub fn add(&mut self, letter: &SeenLetter) {
        if !letter.is_blocked {
            self.letters += 1;
            self.bytes += letter.bytes;
        }
    }

    /// What of it is above the limits of number and bytes.
    pub fn above(self, limits: &LetterRetention) -> Excess {
        let above = |used: u64, max: Option<u64>| max.map_or(0, |max| used.saturating_sub(max));
        Excess { letters: above(self.letters, limits.letters_max), bytes: above(self.bytes, limits.bytes_max) }
    }
}

/// What is to go, so that the limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excess {
    letters: u64,
    bytes: u64,
}

impl Excess {
    pub fn is_none(self) -> bool {
        self == Excess { letters: 0, bytes: 0 }
    }

    /// Whether this letter goes, which is older than all that are asked for later.
    pub fn takes(&mut self, letter: &SeenLetter) -> bool {
        if self.is_none() || !letter.may_go {
            return false;
        }
        self.letters = self.letters.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(letter.bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{DeliveryId, Op};
    use crate::failure::Attempts;
    use crate::ordering::{LaneKey, LaneKeys};
    use crate::store::{LetterFailure, Resolved};

    fn head(reason: Reason, lanes: LaneKeys, is_resolved: bool) -> DeadLetterHead {
        DeadLetterHead {
            number: 1,
            delivery_id: DeliveryId(uuid::Uuid::from_u128(1)),
            rule: "r".into(),
            op: Op::Insert,
            table: "shop.orders".into(),
            failure: LetterFailure { reason, message: String::new(), attempts: Attempts::default() },
            lanes,
            created_at_us: 0,
            replays: 0,
            replayed_at_us: None,
            redacted: vec![],
            resolved: is_resolved.then(|| Resolved { note: "n".into(), at_us: 1 }),
            edit: None,
        }
    }

    #[test]
    fn what_blocks_is_blocked_or_waits_for_a_person_never_goes_until_it_is_resolved() {
        let (none, one) = (LaneKeys::none, || LaneKeys::one(LaneKey(7)));
        for (reason, lanes, effect, goes) in [
            (Reason::Refused, none(), None, true),
            (Reason::Exhausted, none(), Some(SagaEffect::None), true),
            (Reason::CallbackFailed, none(), Some(SagaEffect::Complete), true),
            (Reason::Refused, one(), None, false),
            (Reason::Blocked, one(), None, false),
            (Reason::Blocked, none(), None, false),
            (Reason::Unknown, none(), Some(SagaEffect::Partial), false),
            (Reason::Interrupted, none(), Some(SagaEffect::Partial), false),
        ] {
            let seen = SeenLetter::of(&head(reason, lanes.clone(), false), effect, 0);
            assert_eq!(seen.may_go, goes, "{reason:?} {lanes:?} {effect:?}");
            assert!(SeenLetter::of(&head(reason, lanes, true), effect, 0).may_go, "{reason:?}: resolved");
        }
    }

    #[test]
    fn a_letter_is_too_old_from_the_moment_on_that_its_rule_names() {
        let keep = Duration::from_secs(10);
        let letter = letter(1, 5_000_000, 1, true);
        for (at_us, is_older) in [(0, false), (14_999_999, false), (15_000_000, true), (u64::MAX, true)] {
            assert_eq!(letter.is_older_than(keep, at_us), is_older, "{at_us}");
        }
    }

    fn letter(number: u64, created_at_us: u64, bytes: u64, may_go: bool) -> SeenLetter {
        SeenLetter { number, rule: "r".into(), created_at_us, bytes, is_blocked: false, may_go }
    }

    /// The numbers of those that go.
    fn gone(letters: &[SeenLetter], letters_max: Option<u64>, bytes_max: Option<u64>) -> Vec<u64> {
        let mut usage = Usage::default();
        letters.iter().for_each(|letter| usage.add(letter));
        let mut excess = usage.above(&LetterRetention { keep: None, letters_max, bytes_max });
        letters.iter().filter(|letter| excess.takes(letter)).map(|letter| letter.number).collect()
    }

    #[test]
    fn the_oldest_go_until_both_limits_are_kept_and_what_must_stay_is_passed_over() {
        let letters: Vec<SeenLetter> = (1..=6).map(|number| letter(number, 0, 10, number != 2)).collect();
        for (letters_max, bytes_max, expected) in [
            (None, None, vec![]),
            (Some(6), Some(60), vec![]),
            (Some(5), None, vec![1]),
            (Some(3), None, vec![1, 3, 4]),
            (None, Some(59), vec![1]),
            (None, Some(45), vec![1, 3]),
            (Some(5), Some(45), vec![1, 3]),
            (Some(1), None, vec![1, 3, 4, 5, 6]),
            (None, Some(1), vec![1, 3, 4, 5, 6]),
        ] {
            assert_eq!(gone(&letters, letters_max, bytes_max), expected, "{letters_max:?} {bytes_max:?}");
        }
        // Blocked deliveries count for nothing, however many there are.
        let blocked = (7..100).map(|number| SeenLetter { is_blocked: true, ..letter(number, 0, 10, false) });
        let letters: Vec<SeenLetter> = letters.into_iter().chain(blocked).collect();
        assert_eq!(gone(&letters, Some(6), Some(60)), Vec::<u64>::new());
    }
}
