//! However an API answers, one delivery makes no more than a few requests a second.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::delivery::answer::{self, Verdict};
use crate::delivery::server_limit;
use crate::retry::{RetryPolicy, Waits};
use crate::rules::{RetryOn, SuccessStatuses};

/// Four after the first.
const PER_SECOND_MAX: usize = 5;

/// The clock of what servers write.
const NOW_S: u64 = 1_790_000_000;

/// Numbers as servers write them: small, large, negative, none at all.
fn number() -> impl Strategy<Value = String> {
    const FIXED: [&str; 15] =
        ["", "0", "0.0", "0.001", "0.0000000001", "1e-9", ".5", "-1", "-0.1", "NaN", "inf", "soon", "1", "0x1", "٣"];
    prop_oneof![
        4 => prop::sample::select(&FIXED[..]).prop_map(str::to_owned),
        2 => (0.0..2.0f64).prop_map(|seconds| seconds.to_string()),
        1 => (0..100_000u64).prop_map(|seconds| seconds.to_string()),
        1 => (-5..5i64).prop_map(|seconds| (NOW_S as i64 + seconds).to_string()),
        1 => (-5_000..5_000i64).prop_map(|ms| (NOW_S as i64 * 1000 + ms).to_string()),
        1 => Just("99999999999999999999999999".to_owned()),
        1 => (-5..5i64).prop_map(|seconds| {
            httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs((NOW_S as i64 + seconds) as u64))
        }),
    ]
}

fn header() -> impl Strategy<Value = (String, String)> {
    const PLAIN: [&str; 5] =
        ["retry-after", "ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-remaining"];
    prop_oneof![
        4 => (prop::sample::select(&PLAIN[..]), number()).prop_map(|(name, value)| (name.to_owned(), value)),
        1 => number().prop_map(|reset| ("ratelimit".to_owned(), format!("limit=10, remaining=0, reset={reset}"))),
        1 => number().prop_map(|reset| ("ratelimit".to_owned(), format!("\"a\";r=0;t={reset}"))),
        1 => number().prop_map(|limit| ("ratelimit-policy".to_owned(), format!("\"a\";q={limit};w={limit}"))),
    ]
}

/// What an attempt comes to, after how many milliseconds.
#[derive(Debug, Clone)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
    after_ms: u64,
}

fn answered() -> impl Strategy<Value = Answered> {
    let status = prop_oneof![
        6 => Just(429u16),
        3 => Just(503),
        1 => prop::sample::select(&[408u16, 425, 500, 502, 504][..]),
        1 => 400..600u16,
    ];
    let headers = prop::collection::vec(header(), 0..4);
    let after = prop_oneof![3 => Just(0u64), 1 => 0..20u64];
    (status, headers, after).prop_map(|(status, headers, after_ms)| Answered { status, headers, after_ms })
}

/// Deliveries of one rule that are retried for ever, as the dispatcher drives them.
struct Retrying {
    world: World,
    waits: HashMap<Place, Waits>,
}

impl Retrying {
    fn new(policy: BreakerPolicy, deliveries: u64) -> Retrying {
        let mut world = World::new(&[(A, 4)]);
        world.set(0, A, |target| target.breaker = Some(policy));
        for key in 0..deliveries {
            world.enter(0, Some(key / 2));
        }
        Retrying { world, waits: HashMap::new() }
    }

    /// One attempt ends so; false when nothing is left.
    fn end(&mut self, Answered { status, headers, after_ms }: &Answered) -> bool {
        let world = &mut self.world;
        world.advance(Duration::from_millis(*after_ms));
        while world.running.is_empty() {
            if !world.advance_to_next() {
                return false;
            }
        }
        let Running { place, target, .. } = world.running.remove(0);
        let server_now = UNIX_EPOCH + Duration::from_secs(NOW_S);
        let value = headers.iter().find(|(name, _)| name == "retry-after").map(|(_, value)| value);
        let retry_after = value.and_then(|value| answer::retry_after(value, server_now));
        let server_limit = server_limit::read(headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())), || server_now);
        let answer = Answer::Status { status: *status, excerpt: String::new() };
        let success = SuccessStatuses(vec![(200, 299)]);
        let health = answer::health(&success, &answer, None);
        let now = world.now;
        let end = AttemptEnd { place, answer: &answer, health, retry_after, server_limit };
        let counts = world.admission.ended(target, &end, &mut world.lanes, || now);
        world.note_openings();
        match answer::classify(&success, &RetryOn::default(), &answer, None) {
            Verdict::Retry => {
                let waits = self.waits.entry(place).or_insert_with(|| RetryPolicy::default().waits());
                let wait = match counts {
                    RetryCounts::Not { wait } => wait,
                    _ => waits.next_wait().max(retry_after.unwrap_or_default()),
                };
                world.lanes.rest(place);
                world.resting.push((now + wait, place));
            }
            Verdict::GiveUp | Verdict::Done { .. } => {
                world.lanes.end(place);
                world.lanes.release(place);
            }
        }
        world.start_ready();
        true
    }

    fn check(&self) {
        let mut starts: HashMap<Place, Vec<Instant>> = HashMap::new();
        for (place, at) in &self.world.starts {
            starts.entry(*place).or_default().push(*at);
        }
        for (place, starts) in starts {
            for (n, at) in starts.iter().enumerate() {
                let within = starts[n..].iter().take_while(|later| **later - *at < Duration::from_secs(1)).count();
                assert!(within <= PER_SECOND_MAX, "delivery {place}: {within} requests within a second");
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_an_api_answers_a_delivery_makes_a_few_requests_a_second_at_most(
        script in prop::collection::vec(answered(), 1..120),
        deliveries in 1..6u64,
        probe_ms in prop::sample::select(&[1u64, 1000][..]),
        failures in 1..6u32,
    ) {
        let probe = Duration::from_millis(probe_ms);
        let mut retrying = Retrying::new(BreakerPolicy { failures, probe, max_probe: probe }, deliveries);
        for answered in &script {
            if !retrying.end(answered) {
                break;
            }
        }
        retrying.check();
    }

    /// One answer, again and again.
    #[test]
    fn an_api_that_always_answers_the_same_is_asked_a_few_times_a_second_at_most(
        answered in answered(),
        probe_ms in prop::sample::select(&[1u64, 1000][..]),
    ) {
        let probe = Duration::from_millis(probe_ms);
        let mut retrying = Retrying::new(BreakerPolicy { failures: 5, probe, max_probe: probe }, 2);
        for _ in 0..60 {
            if !retrying.end(&answered) {
                break;
            }
        }
        retrying.check();
    }
}
