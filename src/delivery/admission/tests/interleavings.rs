//! Any interleaving of what enters, ends, is cancelled, paused or moved to another target.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Enter { rule: RuleNumber, key: Option<u64> },
    End { pick: usize, fate: Fate },
    Cancel { pick: usize },
    Advance { ms: u64 },
    Pause { rule: RuleNumber, is_paused: bool },
    Move { rule: RuleNumber, to_b: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let wait = || prop_oneof![3 => Just(0u64), 1 => 1..5_000u64];
    let fate = prop_oneof![
        2 => Just(Fate::Works),
        1 => wait().prop_map(Fate::Throttles),
        2 => Just(Fate::Fails),
        5 => wait().prop_map(Fate::Unavailable),
    ];
    prop_oneof![
        6 => (0..3u32, prop::option::of(0..4u64)).prop_map(|(rule, key)| Step::Enter { rule, key }),
        9 => (any::<usize>(), fate).prop_map(|(pick, fate)| Step::End { pick, fate }),
        1 => any::<usize>().prop_map(|pick| Step::Cancel { pick }),
        5 => (0..4_000u64).prop_map(|ms| Step::Advance { ms }),
        1 => (0..3u32, any::<bool>()).prop_map(|(rule, is_paused)| Step::Pause { rule, is_paused }),
        1 => (0..3u32, any::<bool>()).prop_map(|(rule, to_b)| Step::Move { rule, to_b }),
    ]
}

proptest! {
    /// At most one probe at a time and the right count of every attempt are asserted by the world itself.
    #[test]
    fn any_interleaving_probes_one_at_a_time_counts_rightly_and_is_never_stuck(
        steps in prop::collection::vec(step(), 0..200),
        rate in prop::option::of(1..20u32),
        in_flight in prop::option::of(1..4usize),
    ) {
        let mut world = World::new(&[(A, 1), (A, 4), (B, 2)]);
        world.set_rate(1, A, rate.and_then(per_s), |target| target.in_flight = in_flight);
        world.set(2, B, |target| target.rate = rate.and_then(per_s));
        for step in steps {
            match step {
                Step::Enter { rule, key } => {
                    world.enter(rule, key);
                }
                Step::End { pick, fate } if !world.running.is_empty() => {
                    let index = pick % world.running.len();
                    world.end(index, fate);
                }
                Step::Cancel { pick } if !world.running.is_empty() => {
                    let Running { place, target, .. } = world.running.remove(pick % world.running.len());
                    world.admission.cancelled(target, place, &world.lanes, world.now);
                    world.lanes.end(place);
                    world.lanes.release(place);
                    world.start_ready();
                }
                Step::Advance { ms } => world.advance(Duration::from_millis(ms)),
                Step::Pause { rule, is_paused } => {
                    world.lanes.set_paused(rule, is_paused);
                    world.start_ready();
                }
                Step::Move { rule, to_b } => world.set(rule, if to_b { B } else { A }, |_| {}),
                _ => {}
            }
        }
        for rule in 0..3 {
            world.lanes.set_paused(rule, false);
        }
        world.start_ready();
        world.run_to_the_end();
    }
}
