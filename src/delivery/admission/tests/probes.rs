//! Targets that are unavailable: one probe at a time, in turns over all that wait, until one is answered.

use super::*;

#[test]
fn an_unavailable_target_gets_one_probe_at_a_time_from_all_its_rules() {
    let mut world = World::new(&[(A, 10), (A, 10), (B, 10)]);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    world.open_a();
    world.enter(1, None);
    assert_eq!(world.places(), [0; 0], "another rule of the target waits, too");
    world.enter(2, None);
    assert_eq!(world.running.len(), 1, "a rule of another target does not");
    world.end(0, Fate::Works);
    let mut probed = Vec::new();
    for _ in 0..4 {
        while world.running.is_empty() {
            assert!(world.advance_to_next());
        }
        probed.push(world.running[0].rule);
        assert_eq!(world.end(0, Fate::Unavailable(0)), RetryCounts::Not { wait: NOT_COUNTED_WAIT_MIN });
    }
    assert!(probed.contains(&0) && probed.contains(&1), "probes rotate over the rules: {probed:?}");
    world.run_to_the_end();
}

#[test]
fn a_rule_with_first_attempts_ahead_is_not_blocked_by_a_few_keys_that_fail() {
    let mut world = World::new(&[(A, 10), (A, 10)]);
    world.enter(0, Some(1));
    for _ in 0..FAILURES {
        while world.running.is_empty() {
            assert!(world.advance_to_next());
        }
        world.end(0, Fate::Fails);
    }
    let is_blocked = |world: &World, rule| world.admission.is_blocked(world.queue(rule), &world.lanes);
    assert!(world.admission.is_open(0) && is_blocked(&world, 0) && is_blocked(&world, 1));
    for key in 2..9 {
        world.enter(1, Some(key));
    }
    assert_eq!(world.running.len(), FAILURES as usize - 1, "more would not tell more");
    assert!(!is_blocked(&world, 1));
    for _ in 1..FAILURES {
        world.end(0, Fate::Fails);
    }
    assert!(is_blocked(&world, 1), "many keys fail");
    world.run_to_the_end();
}

#[test]
fn probes_rotate_over_the_deliveries_of_a_rule() {
    let mut world = World::new(&[(A, 10)]);
    let places: Vec<Place> = (0..FAILURES).map(|_| world.enter(0, None)).collect();
    world.open_a();
    world.advance(Duration::from_secs(60));
    let mut probed = Vec::new();
    for _ in &places {
        while world.running.is_empty() {
            assert!(world.advance_to_next());
        }
        probed.push(world.running[0].place);
        world.end(0, Fate::Unavailable(0));
    }
    probed.sort();
    assert_eq!(probed, places);
}

#[test]
fn a_success_of_an_earlier_attempt_makes_the_target_available_and_all_that_wait_start_at_once() {
    let mut world = World::new(&[(A, 10)]);
    for _ in 0..FAILURES + 1 {
        world.enter(0, None);
    }
    world.open_a();
    for _ in 0..3 {
        world.enter(0, None);
    }
    assert_eq!(world.running.len(), 1);
    world.end(0, Fate::Works);
    assert_eq!(world.running.len(), 3);
}

#[test]
fn a_target_without_a_breaker_is_never_unavailable_and_what_waited_starts() {
    let mut world = World::new(&[(A, 10)]);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    world.open_a();
    world.enter(0, None);
    assert_eq!(world.running.len(), 0);
    world.set(0, A, |target| target.breaker = None);
    assert_eq!((world.running.len(), world.admission.is_open(0)), (1, false));
}

#[test]
fn a_rule_whose_target_changes_waits_for_the_new_one_and_what_is_queued_for_the_old_one() {
    let mut world = World::new(&[(A, 10), (A, 10)]);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    world.open_a();
    world.enter(0, None);
    world.set(0, B, |_| {});
    assert_eq!(world.running.len(), 0);
    world.enter(0, None);
    let is_open = |queue| world.admission.is_open(queue);
    assert_eq!((world.running.len(), is_open(world.queue(0)), is_open(world.queue(1))), (1, false, true));
    let origins: Vec<_> = world.admission.statuses(world.now).into_iter().map(|status| status.target).collect();
    assert_eq!(origins, ["http://a.test", "http://b.test"]);
    world.run_to_the_end();
}

#[test]
fn what_is_queued_for_a_target_that_no_rule_calls_any_more_is_attempted_at_once() {
    let mut world = World::new(&[(A, 10)]);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    world.open_a();
    world.enter(0, None);
    assert_eq!(world.running.len(), 0);
    world.set(0, B, |_| {});
    assert_eq!(world.running.len(), 1);
    assert_eq!(world.end(0, Fate::Unavailable(0)), RetryCounts::Fully);
    for _ in 0..FAILURES {
        world.enter(0, None);
    }
    while !world.admission.is_open(world.queue(0)) {
        world.end(0, Fate::Unavailable(0));
    }
    world.set(0, A, |_| {});
    assert!(!world.admission.is_open(world.queue(0)), "meanwhile its breaker kept no count");
    assert_eq!(world.admission.statuses(world.now).len(), 1);
    world.run_to_the_end();
}
