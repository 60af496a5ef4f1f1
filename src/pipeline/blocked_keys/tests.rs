//! Blocked keys: the cases by hand, and any interleaving of changes, failures, replays, discards and restarts against a
//! model of the store.

mod interleavings;

use std::convert::Infallible;

use super::*;
use crate::delivery::Failure;
use crate::ordering::LaneKey;

const A: LaneKey = LaneKey(1);
const B: LaneKey = LaneKey(2);

fn delivered() -> Outcome {
    Outcome::Delivered { status: 200 }
}

fn dead() -> Outcome {
    Outcome::Dead(Failure { reason: Reason::Refused, message: "answered 400".to_string() })
}

fn seen(lanes: LaneKeys, is_blocked: bool) -> Option<Seen<'static>> {
    Some(Seen { rule: "r", lanes, is_blocked, bytes: 1 })
}

fn answer() -> (Awaited, oneshot::Receiver<Result<Outcome, NotReplayed>>) {
    let (answer, answered) = oneshot::channel();
    (Awaited { rule: "r".into(), answer }, answered)
}

/// Dead letter 1 blocks A, and 2 to `last` wait behind it.
fn queue(last: u64) -> Turns {
    let blocked = BlockedKeys::default();
    blocked.add(1, &LaneKeys::one(A), false);
    (2..=last).for_each(|number| blocked.add(number, &LaneKeys::one(A), true));
    let mut turns = Turns::new(blocked);
    while let Some(number) = turns.inspect() {
        assert!(!turns.inspected(number, seen(LaneKeys::one(A), true)), "{number} waits");
    }
    turns
}

fn remove(turns: &Turns, number: u64, lanes: LaneKeys, next: Option<u64>) {
    turns.blocked.remove(number, &lanes, |_| Ok::<_, Infallible>(next)).expect("infallible");
}

#[test]
fn letters_behind_the_one_that_is_replayed_follow_one_after_another() {
    let mut turns = queue(3);
    let (one, mut answered) = answer();
    assert!(turns.replay(1, LaneKeys::one(A), SagaCommand::Resume, one));
    assert_eq!(turns.inspect(), None);
    remove(&turns, 1, LaneKeys::one(A), Some(2));
    turns.ended(1, Ok(delivered()));
    assert_eq!(answered.try_recv(), Ok(Ok(delivered())));
    for number in [2, 3] {
        assert_eq!(turns.inspect(), Some(number));
        assert!(turns.inspected(number, seen(LaneKeys::one(A), true)));
        assert_eq!(turns.inspect(), None, "one at a time");
        remove(&turns, number, LaneKeys::one(A), (number == 2).then_some(3));
        turns.ended(number, Ok(delivered()));
    }
    assert_eq!((turns.inspect(), turns.blocked.keys(), turns.delivered), (None, 0, 2));
}

#[test]
fn a_replay_of_a_letter_that_waits_is_refused_unless_the_one_in_front_is_on_its_way() {
    let mut turns = queue(3);
    let (two, mut answered) = answer();
    assert!(!turns.replay(2, LaneKeys::one(A), SagaCommand::Resume, two));
    assert_eq!(answered.try_recv(), Ok(Err(NotReplayed::BlockedBy(1))));

    let (one, _answered) = answer();
    assert!(turns.replay(1, LaneKeys::one(A), SagaCommand::Resume, one));
    let (two, mut two_answered) = answer();
    let (three, mut three_answered) = answer();
    assert!(
        !turns.replay(2, LaneKeys::one(A), SagaCommand::Resume, two)
            && !turns.replay(3, LaneKeys::one(A), SagaCommand::Resume, three)
    );
    assert!(two_answered.try_recv().is_err() && three_answered.try_recv().is_err(), "they wait");
    remove(&turns, 1, LaneKeys::one(A), Some(2));
    turns.ended(1, Ok(delivered()));
    assert_eq!(turns.inspect(), Some(2));
    assert!(turns.inspected(2, seen(LaneKeys::one(A), true)));
    turns.ended(2, Ok(dead()));
    assert_eq!(two_answered.try_recv(), Ok(Ok(dead())));
    assert_eq!(three_answered.try_recv(), Ok(Err(NotReplayed::BlockedBy(2))));
    assert_eq!(turns.inspect(), None, "the key is held again");
}

#[test]
fn a_letter_is_not_sent_twice_at_a_time() {
    let mut turns = queue(1);
    let (first, _first_answered) = answer();
    let (second, mut answered) = answer();
    assert!(
        turns.replay(1, LaneKeys::one(A), SagaCommand::Resume, first)
            && !turns.replay(1, LaneKeys::one(A), SagaCommand::Resume, second)
    );
    assert_eq!(answered.try_recv(), Ok(Err(NotReplayed::UnderWay)));
}

#[test]
fn what_was_read_before_a_replay_began_sends_nothing() {
    let mut turns = queue(2);
    remove(&turns, 1, LaneKeys::one(A), Some(2));
    assert_eq!(turns.inspect(), Some(2));
    let (two, _answered) = answer();
    assert!(turns.replay(2, LaneKeys::one(A), SagaCommand::Resume, two));
    turns.ended(2, Ok(dead()));
    assert!(!turns.inspected(2, seen(LaneKeys::one(A), true)));
}

#[test]
fn a_letter_that_is_discarded_while_it_is_read_is_not_sent() {
    let mut turns = queue(3);
    remove(&turns, 1, LaneKeys::one(A), Some(2));
    assert_eq!(turns.inspect(), Some(2));
    remove(&turns, 2, LaneKeys::one(A), Some(3));
    assert!(!turns.inspected(2, seen(LaneKeys::one(A), true)));
    assert_eq!(turns.inspect(), Some(3));
}

#[test]
fn a_letter_that_is_discarded_while_somebody_waits_for_it_is_said_to_be_gone() {
    let mut turns = queue(3);
    let (one, _answered) = answer();
    let (two, mut answered) = answer();
    assert!(
        turns.replay(1, LaneKeys::one(A), SagaCommand::Resume, one)
            && !turns.replay(2, LaneKeys::one(A), SagaCommand::Resume, two)
    );
    remove(&turns, 2, LaneKeys::one(A), None);
    remove(&turns, 1, LaneKeys::one(A), Some(3));
    turns.ended(1, Ok(delivered()));
    assert_eq!(answered.try_recv(), Ok(Err(NotReplayed::Gone)));
}

#[test]
fn a_letter_whose_turn_comes_while_it_is_edited_goes_when_the_edit_is_durable() {
    let mut turns = queue(3);
    remove(&turns, 1, LaneKeys::one(A), Some(2));
    assert_eq!(turns.inspect(), Some(2));
    let why = NotReplayed::Unsendable("edited".to_owned());
    assert!(turns.hold_back(&[2], &HashSet::new(), &why).is_empty());
    assert!(!turns.inspected(2, seen(LaneKeys::one(A), true)), "it may have been read before the edit");
    let (two, mut answered) = answer();
    assert!(!turns.replay(2, LaneKeys::one(A), SagaCommand::Resume, two));
    assert_eq!(answered.try_recv(), Ok(Err(why)));
    assert_eq!(turns.inspect(), None);
    turns.updated(&[2]);
    assert_eq!(turns.inspect(), Some(2));
    assert!(turns.inspected(2, seen(LaneKeys::one(A), true)));
    // The loop sees that it was read before it was edited.
    turns.outdated(2);
    assert_eq!(turns.inspect(), Some(2));
    assert!(turns.inspected(2, seen(LaneKeys::one(A), true)));
}

#[test]
fn a_letter_of_two_keys_goes_when_it_is_in_front_of_both() {
    let blocked = BlockedKeys::default();
    blocked.add(1, &LaneKeys::one(A), false);
    blocked.add(2, &LaneKeys::one(B), false);
    blocked.add(3, &LaneKeys::two(A, B), true);
    let mut turns = Turns::new(blocked);
    assert_eq!(turns.inspect(), None);
    remove(&turns, 1, LaneKeys::one(A), Some(3));
    assert_eq!(turns.inspect(), Some(3));
    assert!(!turns.inspected(3, seen(LaneKeys::two(A, B), true)), "2 is ahead");
    remove(&turns, 2, LaneKeys::one(B), Some(3));
    assert_eq!(turns.inspect(), Some(3));
    assert!(turns.inspected(3, seen(LaneKeys::two(A, B), true)));
}

#[test]
fn a_rule_s_letters_under_way_have_a_limit_and_the_others_follow() {
    let blocked = BlockedKeys::default();
    let keys = 3 * RELEASED_MAX as u64;
    (1..=keys).for_each(|number| blocked.add(number, &LaneKeys::one(LaneKey(number)), true));
    let mut turns = Turns::new(blocked);
    let mut under_way = Vec::new();
    let mut sent = 0;
    loop {
        while let Some(number) = turns.inspect() {
            if turns.inspected(number, seen(LaneKeys::one(LaneKey(number)), true)) {
                under_way.push(number);
                sent += 1;
            }
        }
        assert!(under_way.len() <= RELEASED_MAX);
        let Some(number) = under_way.pop() else { break };
        remove(&turns, number, LaneKeys::one(LaneKey(number)), None);
        turns.ended(number, Ok(delivered()));
    }
    assert_eq!((sent, turns.blocked.keys(), turns.is_quiet()), (keys, 0, true));
}

#[test]
fn letters_put_off_go_on_when_the_one_that_was_to_go_next_is_gone() {
    let blocked = BlockedKeys::default();
    let keys = RELEASED_MAX as u64 + 2;
    (1..=keys).for_each(|number| blocked.add(number, &LaneKeys::one(LaneKey(number)), true));
    let mut turns = Turns::new(blocked);
    while let Some(number) = turns.inspect() {
        turns.inspected(number, seen(LaneKeys::one(LaneKey(number)), true));
    }
    for number in 1..=keys - 1 {
        remove(&turns, number, LaneKeys::one(LaneKey(number)), None);
        turns.ended(number, Ok(delivered()));
        if number == 1 {
            assert_eq!(turns.inspect(), Some(keys - 1));
            assert!(!turns.inspected(keys - 1, None), "it was discarded");
        }
    }
    assert_eq!(turns.inspect(), Some(keys));
}
