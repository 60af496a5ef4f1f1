//! Every form in which a rate limit was seen or may be sent, and what is made of it.

use proptest::prelude::*;

use super::*;

/// 2023-11-14T22:13:20Z.
const NOW_S: u64 = 1_700_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn read_all(headers: &[(&str, &str)]) -> Option<ServerLimit> {
    read(headers.iter().map(|(name, value)| (*name, value.as_bytes())), now)
}

fn server_limit(
    limit: impl Into<Option<u64>>,
    remaining: impl Into<Option<u64>>,
    reset_ms: u64,
) -> Option<ServerLimit> {
    let reset = Duration::from_millis(reset_ms);
    Some(ServerLimit { limit: limit.into(), remaining: remaining.into(), reset })
}

type Headers<'a> = Vec<(&'static str, &'a str)>;

/// Three headers of the names that are in use.
fn three<'a>(limit: &'a str, remaining: &'a str, reset: &'a str) -> Headers<'a> {
    vec![("x-ratelimit-limit", limit), ("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)]
}

#[test]
fn every_form_of_a_rate_limit_is_read_and_nonsense_is_left_out() {
    let day = 86_400_000;
    let digits = "9".repeat(400);
    let long = "1,".repeat(300);
    let cases: Vec<(Headers, Option<ServerLimit>)> = vec![
        // Structured fields.
        (vec![("ratelimit", "\"default\";r=50;t=30")], server_limit(None, 50, 30_000)),
        (vec![("ratelimit", "\"default\";r=0;t=12")], server_limit(None, 0, 12_000)),
        (vec![("ratelimit", " \"default\" ; r=0 ; t=12 ")], server_limit(None, 0, 12_000)),
        (vec![("ratelimit", "default;r=7;t=12")], server_limit(None, 7, 12_000)),
        (vec![("ratelimit", "\"a\";r=7;t=60"), ("ratelimit-policy", "\"a\";q=100;w=60")], server_limit(100, 7, 60_000)),
        (vec![("ratelimit-policy", "\"a\";q=100;w=60"), ("ratelimit", "\"a\";r=0")], server_limit(100, 0, 60_000)),
        (vec![("ratelimit-policy", "\"a\";q=100;w=60"), ("ratelimit", "\"b\";r=0")], None),
        (vec![("ratelimit-policy", "\"a\";q=100;w=60")], None),
        (vec![("ratelimit", "\"s\";r=9;t=1, \"d\";r=900;t=80000")], server_limit(None, 900, 80_000_000)),
        (vec![("ratelimit", "\"s\";r=9;t=1, \"d\";r=0;t=600")], server_limit(None, 0, 600_000)),
        (vec![("ratelimit", "\"s\";r=0;t=1, \"d\";r=0;t=600")], server_limit(None, 0, 600_000)),
        (vec![("ratelimit", "\"s\";r=0;t=1"), ("ratelimit", "\"d\";r=0;t=600")], server_limit(None, 0, 600_000)),
        (vec![("ratelimit", "\"default\";r=0;t=0")], None),
        (vec![("ratelimit", "\"default\";r=0;t=-3")], None),
        (vec![("ratelimit", "\"default\";r=-1;t=3")], None),
        (vec![("ratelimit", "\"default\";r=NaN;t=3")], None),
        (vec![("ratelimit", "\"default\";r=1.5;t=3")], None),
        (vec![("ratelimit", "\"default\";r=0;t=99999999999")], server_limit(None, 0, day)),
        (vec![("ratelimit", "\"default\"")], None),
        (vec![("ratelimit", ";;;,,,=;=")], None),
        (vec![("ratelimit", "")], None),
        // Its older versions.
        (vec![("ratelimit", "limit=100, remaining=50, reset=30")], server_limit(100, 50, 30_000)),
        (vec![("ratelimit", "limit=100,remaining=0,reset=5")], server_limit(100, 0, 5_000)),
        (vec![("ratelimit", "remaining=0")], None),
        (
            vec![("ratelimit-limit", "100"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "12")],
            server_limit(100, 0, 12_000),
        ),
        (
            vec![("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "4"), ("ratelimit-reset", "12")],
            server_limit(100, 4, 12_000),
        ),
        // With X-, in seconds and as a moment.
        (three("100", "0", "12"), server_limit(100, 0, 12_000)),
        (three("100", "99", "12"), server_limit(100, 99, 12_000)),
        (three("5000", "0", "1700000030"), server_limit(5000, 0, 30_000)),
        (three("5000", "0", "1700000030.25"), server_limit(5000, 0, 30_250)),
        (three("5000", "0", "1700000030000"), server_limit(5000, 0, 30_000)),
        (three("5000", "0", "0.5"), server_limit(5000, 0, 500)),
        (three("5000", "0", "1699999999"), None),
        (three("5000", "0", "1700000000"), None),
        (three("5000", "0", "99999999999999999999"), server_limit(5000, 0, day)),
        (three("5000", "0", &digits), None),
        (three("5000", &digits, "12"), server_limit(5000, None, 12_000)),
        (three("unlimited", "-1", "12"), server_limit(None, None, 12_000)),
        (three("", "", ""), None),
        (three("100", "0", "soon"), None),
        (three("100", "0", "-12"), None),
        (three("100", "0", "NaN"), None),
        (three("100", "0", "inf"), None),
        (three("100", "0", "1e3"), None),
        (three("100", "0", "1.2.3"), None),
        (three("100", "0", "."), None),
        (three("100", "0", "Tue, 14 Nov 2023 22:14:00 GMT"), None),
        (three("100", "0", "0"), None),
        (three("100", "+5", "12"), server_limit(100, None, 12_000)),
        (three("100, 20", "7, 3", "12, 40"), server_limit(100, 3, 40_000)),
        (three("100", "seven, 3", "12"), server_limit(100, 3, 12_000)),
        (three("100", &long, "12"), server_limit(100, None, 12_000)),
        (
            vec![("x-ratelimit-remaining", "9"), ("x-ratelimit-remaining", "2"), ("x-ratelimit-reset", "8")],
            server_limit(None, 2, 8_000),
        ),
        (vec![("x-ratelimit-remaining", "0")], None),
        (vec![("x-ratelimit-reset", "30")], server_limit(None, None, 30_000)),
        (vec![("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1700000009")], server_limit(None, 0, 9_000)),
        // Others that begin alike, and none.
        (vec![("x-ratelimit-used", "100"), ("ratelimiter", "0"), ("rate", "0"), ("x-rate", "1")], None),
        (vec![("content-type", "text/plain"), ("date", "0")], None),
        (vec![], None),
    ];
    assert!(cases.len() >= 40);
    let mut surprises = String::new();
    for (headers, expected) in cases {
        let found = read_all(&headers);
        if found != expected {
            surprises += &format!("{headers:?}\n  expected {expected:?}\n  found    {found:?}\n");
        }
    }
    assert!(surprises.is_empty(), "{surprises}");
}

#[test]
fn bytes_that_are_no_text_are_no_limit() {
    let headers = [("x-ratelimit-remaining", &b"\xff0"[..]), ("x-ratelimit-reset", &b"1\x002"[..])];
    assert_eq!(read(headers.into_iter(), now), None);
}

proptest! {
    #[test]
    fn whatever_is_sent_a_reset_has_its_bounds(
        values in prop::collection::vec(("(x-)?rate-?limit(-(limit|remaining|reset|policy))?", "[0-9a-z\"=;,. -]{0,40}"), 0..6),
    ) {
        let headers = values.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        if let Some(server_limit) = read(headers, now) {
            prop_assert!(server_limit.reset > Duration::ZERO && server_limit.reset <= RESET_MAX, "{server_limit:?}");
        }
    }
}
