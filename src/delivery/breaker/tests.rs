//! Tests of the breaker: what opens it, what closes it, and what starts meanwhile.

use super::*;

const AT_ONCE: Duration = Duration::ZERO;

fn breaker() -> Breaker {
    Breaker::new(Some(BreakerPolicy::default()))
}

/// The first attempt of the call at this place ends, which has a key of its own.
fn end(breaker: &mut Breaker, place: Place, health: TargetHealth, now: Instant) -> BreakerChange {
    end_as(breaker, place, AttemptKind::First, health, now)
}

fn end_as(
    breaker: &mut Breaker,
    place: Place,
    attempt: AttemptKind,
    health: TargetHealth,
    now: Instant,
) -> BreakerChange {
    let keys = std::iter::once(CallKey::Call(place.into()));
    breaker.end(EndedAttempt { place, attempt, keys }, health, || false, || now)
}

/// First attempts of so many keys fail.
fn fail(breaker: &mut Breaker, times: u32, now: Instant) -> Vec<BreakerChange> {
    (0..times).map(|n| end(breaker, 1 + n, TargetHealth::Unavailable, now)).collect()
}

/// The attempts of one key fail so many times.
fn fail_one(breaker: &mut Breaker, times: u32, now: Instant) {
    end(breaker, 1, TargetHealth::Unavailable, now);
    for _ in 1..times {
        end_as(breaker, 1, AttemptKind::Again, TargetHealth::Unavailable, now);
    }
}

/// When the next probe may start.
fn due(breaker: &Breaker, now: Instant) -> Instant {
    match breaker.may_probe(now) {
        May::Now => now,
        May::At(due) => due,
        May::AfterAnother => panic!("a probe is under way: {breaker:?}"),
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_a_success_resets_the_count() {
    let (mut breaker, now) = (breaker(), Instant::now());
    assert_eq!(fail(&mut breaker, 4, now), [BreakerChange::Not; 4]);
    assert_eq!(end(&mut breaker, 1, TargetHealth::Works, now), BreakerChange::Not);
    assert_eq!(fail(&mut breaker, 4, now), [BreakerChange::Not; 4]);
    assert_eq!((breaker.is_open(), breaker.may_probe(now)), (false, May::Now));
    assert_eq!(end(&mut breaker, 9, TargetHealth::Fails, now), BreakerChange::Open);
    assert!(breaker.is_open() && breaker.may_probe(now) != May::Now);
}

#[test]
fn throttling_neither_opens_it_nor_resets_the_count() {
    let (mut breaker, now) = (breaker(), Instant::now());
    for _ in 0..1000 {
        assert_eq!(end(&mut breaker, 1, TargetHealth::Throttles, now), BreakerChange::Not);
    }
    fail(&mut breaker, 4, now);
    end(&mut breaker, 1, TargetHealth::Throttles, now);
    assert_eq!(end(&mut breaker, 9, TargetHealth::Unavailable, now), BreakerChange::Open);
}

#[test]
fn probes_go_one_at_a_time_after_waits_that_double_up_to_their_limit() {
    let (mut breaker, mut now) = (breaker(), Instant::now());
    fail(&mut breaker, 5, now);
    let mut centre = Duration::from_secs(1);
    for _ in 0..12 {
        let probe_at = due(&breaker, now);
        let wait = probe_at - now;
        assert!(wait >= centre / 2 && wait <= (centre * 3 / 2).min(Duration::from_secs(30)), "{wait:?}, {centre:?}");
        now = probe_at;
        breaker.start(7, StartedAs::Probe);
        assert_eq!(breaker.may_probe(now), May::AfterAnother);
        assert!(breaker.is_probe(7) && !breaker.is_probe(1));
        assert_eq!(
            end(&mut breaker, 1, TargetHealth::Unavailable, now),
            BreakerChange::Not,
            "one that was under way before"
        );
        assert_eq!(breaker.may_probe(now), May::AfterAnother);
        end(&mut breaker, 7, TargetHealth::Unavailable, now);
        centre = (centre * 2).min(Duration::from_secs(30));
    }
}

#[test]
fn any_attempt_that_shows_that_the_target_works_closes_it() {
    let (mut breaker, now) = (breaker(), Instant::now());
    fail(&mut breaker, 5, now);
    let later = now + Duration::from_secs(9);
    assert_eq!(end(&mut breaker, 3, TargetHealth::Works, later), BreakerChange::Closed(Duration::from_secs(9)));
    assert_eq!((breaker.is_open(), breaker.may_probe(later)), (false, May::Now));
    assert_eq!(fail(&mut breaker, 4, later), [BreakerChange::Not; 4], "the count begins again");
}

#[test]
fn after_a_probe_that_was_not_made_the_next_may_probe() {
    let (mut breaker, now) = (breaker(), Instant::now());
    fail(&mut breaker, 5, now);
    breaker.start(7, StartedAs::Probe);
    breaker.cancel(6, now);
    assert_eq!(breaker.may_probe(now), May::AfterAnother, "another one was not made");
    breaker.cancel(7, now);
    assert_eq!(breaker.may_probe(now), May::Now);
}

#[test]
fn without_a_policy_it_never_opens_and_an_open_one_closes() {
    let now = Instant::now();
    assert_eq!(fail(&mut Breaker::new(None), 100, now), [BreakerChange::Not; 100]);
    let mut breaker = breaker();
    fail(&mut breaker, 5, now);
    assert_eq!(breaker.set_policy(None, now), BreakerChange::Closed(AT_ONCE));
    assert!(!breaker.is_open());
}

#[test]
fn opened_by_one_key_it_lets_other_keys_start_at_once_until_they_have_failed_as_well() {
    let (mut breaker, now) = (breaker(), Instant::now());
    fail_one(&mut breaker, 5, now);
    assert_eq!(breaker.availability(), Availability::UnavailableToFew);
    assert!(matches!(breaker.may_probe(now), May::At(_)), "its own calls wait");
    let key = |n: u64| std::iter::once(CallKey::Call(n));
    assert!(breaker.are_other_keys(key(2)) && !breaker.are_other_keys(key(1)));
    for place in 11..=14 {
        assert!(breaker.admits_other_keys());
        breaker.start(place, StartedAs::OtherKey);
        assert!(breaker.is_probe(place));
    }
    assert!(!breaker.admits_other_keys(), "with these it would be many keys");
    for place in 11..=14 {
        assert_eq!(breaker.availability(), Availability::UnavailableToFew);
        end(&mut breaker, place, TargetHealth::Fails, now);
        assert!(!breaker.is_probe(place));
    }
    assert_eq!((breaker.availability(), breaker.admits_other_keys()), (Availability::Unavailable, false));
}

#[test]
fn the_first_success_of_another_key_closes_it() {
    let (mut breaker, now) = (breaker(), Instant::now());
    fail_one(&mut breaker, 5, now);
    breaker.start(2, StartedAs::OtherKey);
    assert_eq!(end(&mut breaker, 2, TargetHealth::Works, now), BreakerChange::Closed(AT_ONCE));
    assert_eq!(breaker.availability(), Availability::Available);
}

#[test]
fn another_key_that_was_not_attempted_after_all_makes_room_for_the_next() {
    let (mut breaker, now) = (breaker(), Instant::now());
    fail_one(&mut breaker, 5, now);
    (2..6).for_each(|place| breaker.start(place, StartedAs::OtherKey));
    assert!(!breaker.admits_other_keys());
    breaker.cancel(3, now);
    assert!(breaker.admits_other_keys() && !breaker.is_probe(3));
}
