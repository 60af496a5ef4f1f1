//! When deliveries start: pauses that targets ask for and limits that they announce, rates, limits on attempts under way.

use super::*;

#[test]
fn a_target_that_asks_for_a_pause_gets_it_from_all_its_rules() {
    let mut world = World::new(&[(A, 10), (A, 10), (B, 10)]);
    world.enter(0, None);
    assert_eq!(world.end(0, Fate::Throttles(2_000)), RetryCounts::Not { wait: Duration::from_secs(2) });
    for rule in [0, 1, 2, 1] {
        world.enter(rule, None);
    }
    assert_eq!(world.running.iter().map(|running| running.rule).collect::<Vec<_>>(), [2]);
    let paused = world.admission.statuses(world.now)[0].paused_until_us;
    assert!(paused.is_some() && world.admission.statuses(world.now)[1].paused_until_us.is_none());
    world.advance(Duration::from_millis(1_999));
    assert_eq!(world.running.len(), 1);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.running.len(), 5);
    assert_eq!(world.admission.statuses(world.now)[0].paused_until_us, None);
    assert!(!world.admission.is_open(0), "throttling opens nothing");
}

#[test]
fn a_pause_that_one_of_many_hosts_asks_for_pauses_none_of_the_others() {
    let mut world = World::new(&[(A, 10)]);
    world.set(0, A, |target| target.is_many_hosts = true);
    world.enter(0, None);
    assert_eq!(world.end(0, Fate::Throttles(2_000)), RetryCounts::Not { wait: Duration::from_secs(2) });
    // The world's own check is for targets that are one server.
    world.paused_until.clear();
    for _ in 0..3 {
        world.enter(0, None);
    }
    assert_eq!(world.running.len(), 3);
    assert_eq!(world.admission.statuses(world.now)[0].paused_until_us, None);
}

/// When each of so many deliveries of one rule starts, in milliseconds, if each attempt is over at once.
fn starts_ms(world: &mut World, count: usize) -> Vec<u128> {
    let begun = world.now;
    let mut starts = Vec::new();
    for _ in 0..count {
        world.enter(0, None);
    }
    while starts.len() < count {
        while !world.running.is_empty() {
            starts.push((world.now - begun).as_millis());
            world.end(0, Fate::Works);
        }
        assert!(starts.len() == count || world.advance_to_next(), "stuck after {starts:?}");
    }
    starts
}

#[test]
fn the_rate_of_a_rule_and_that_of_a_target_spread_starts_evenly() {
    let expected = [0, 100, 200, 300, 400].map(|ms: u128| ms.saturating_sub(50));
    let mut world = World::new(&[(A, 100)]);
    world.set_rate(0, A, per_s(10), |_| {});
    assert_eq!(starts_ms(&mut world, 5), expected);
    let mut world = World::new(&[(A, 100)]);
    world.set(0, A, |target| target.rate = per_s(10));
    assert_eq!(starts_ms(&mut world, 5), expected);
    let mut world = World::new(&[(A, 100)]);
    world.set_rate(0, A, per_s(1000), |target| target.rate = per_s(10));
    assert_eq!(starts_ms(&mut world, 5), expected, "the slower one counts");
    world.set_rate(0, A, None, |_| {});
    assert_eq!(starts_ms(&mut world, 5), [0; 5], "without a rate all start at once");
}

#[test]
fn rules_take_turns_in_the_rate_of_their_target_and_one_at_its_own_limit_delays_no_other() {
    let mut world = World::new(&[(A, 100), (A, 100), (A, 100)]);
    for rule in 0..3 {
        let own = if rule == 0 { per_s(1) } else { None };
        world.set_rate(rule, A, own, |target| target.rate = per_s(10));
    }
    for _ in 0..30 {
        for rule in 0..3 {
            world.enter(rule, None);
        }
    }
    let begun = world.now;
    let mut started = [0; 3];
    while world.now - begun < Duration::from_secs(3) {
        while let Some(running) = world.running.first() {
            started[running.rule as usize] += 1;
            world.end(0, Fate::Works);
        }
        assert!(world.advance_to_next());
    }
    assert_eq!(started.iter().sum::<i32>(), 31, "{started:?}");
    assert!(started[0] <= 4 && (started[1] - started[2]).abs() <= 1, "{started:?}");
}

#[test]
fn a_targets_limit_on_attempts_under_way_counts_those_of_all_its_rules() {
    let mut world = World::new(&[(A, 10), (A, 10)]);
    for rule in 0..2 {
        world.set(rule, A, |target| target.in_flight = Some(3));
    }
    for _ in 0..5 {
        world.enter(0, None);
        world.enter(1, None);
    }
    let mut seen = [0; 2];
    for left in (0..10).rev() {
        assert_eq!(world.running.len(), (left + 1).min(3));
        seen[world.running[0].rule as usize] += 1;
        world.end(0, Fate::Works);
    }
    assert_eq!(seen, [5, 5]);
}

#[test]
fn no_more_is_sent_than_a_target_says_that_it_takes() {
    let server_limit =
        |limit, remaining, reset_s| Some(ServerLimit { limit, remaining, reset: Duration::from_secs(reset_s) });
    // What was said, and when the next five start, in milliseconds.
    for (said, expected) in [
        (server_limit(Some(100), Some(0), 12), [12_000; 5]),
        (server_limit(None, Some(0), 3_600), [300_000; 5]),
        (server_limit(Some(100), Some(4), 12), [0, 2_950, 5_950, 8_950, 11_950]),
        (server_limit(Some(100), Some(50), 12), [0; 5]),
        (server_limit(None, Some(1), 12), [0; 5]),
        (server_limit(Some(1_000_000), Some(u64::MAX), 12), [0; 5]),
        (server_limit(Some(u64::MAX), Some(1_000_000), 1), [0; 5]),
        (server_limit(Some(100), None, 12), [0; 5]),
        (server_limit(Some(100), Some(1), 86_400), [0, 299_950, 300_000, 300_000, 300_000]),
    ] {
        let mut world = World::new(&[(A, 100)]);
        world.enter(0, None);
        assert_eq!(world.end_with(0, Fate::Works, said), RetryCounts::Fully);
        assert_eq!(starts_ms(&mut world, 5), expected, "{said:?}");
        world.advance(Duration::from_secs(300));
        assert_eq!(starts_ms(&mut world, 5), [0; 5], "later nothing is left of it: {said:?}");
    }
}

#[test]
fn when_a_target_takes_fewer_than_are_under_way_the_rest_is_spread() {
    let mut world = World::new(&[(A, 100)]);
    for _ in 0..10 {
        world.enter(0, None);
    }
    world.end_with(
        0,
        Fate::Works,
        Some(ServerLimit { limit: None, remaining: Some(8), reset: Duration::from_secs(80) }),
    );
    for _ in 0..2 {
        world.enter(0, None);
    }
    assert_eq!(world.running.len(), 10, "nine were under way, and one of two was started");
    world.end_with(
        0,
        Fate::Works,
        Some(ServerLimit { limit: None, remaining: Some(200), reset: Duration::from_secs(80) }),
    );
    world.enter(0, None);
    assert_eq!(world.running.len(), 11, "there is plenty again");
}

#[test]
fn a_429_counts_unless_it_names_a_time() {
    let reset = |remaining| Some(ServerLimit { limit: None, remaining, reset: Duration::from_secs(400) });
    for (server_limit, expected) in [
        (None, RetryCounts::Fully),
        (reset(None), RetryCounts::Not { wait: Duration::from_secs(300) }),
        (reset(Some(9)), RetryCounts::Not { wait: Duration::from_secs(300) }),
    ] {
        let mut world = World::new(&[(A, 100)]);
        world.enter(0, None);
        let Running { place, target, .. } = world.running[0];
        let answer = Answer::Status { status: 429, excerpt: String::new() };
        let end =
            AttemptEnd { place, answer: &answer, health: TargetHealth::Throttles, retry_after: None, server_limit };
        let now = world.now;
        assert_eq!(world.admission.ended(target, &end, &mut world.lanes, || now), expected, "{server_limit:?}");
    }
}
