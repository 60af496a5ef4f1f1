//! Durations, sizes and counts as people read them.

use std::time::{Duration, SystemTime};

/// A time in its largest unit: `12s`, `5m`, `3h`, `9d`.
pub fn short(span: Duration) -> String {
    match span.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// A time in its two largest units: `3m 12s`, `9d 2h`.
pub fn span(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..172_800 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// How long ago a moment in RFC 3339 was, as [`short`] or [`span`] says it; `?` where the text is no moment. One that is yet to come
/// was just now: clocks differ.
pub fn ago(at: &str, now: SystemTime, in_words: fn(Duration) -> String) -> String {
    let at = humantime::parse_rfc3339(at).ok();
    at.map_or("?".to_owned(), |at| in_words(now.duration_since(at).unwrap_or_default()))
}

/// `1 delivery waits`, `2 deliveries wait`.
pub fn count(number: u64, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// A size in its largest unit: `0.5 kB`, `1.2 MB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64 / 1e3, 0);
    while value >= 1e3 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1e3, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_its_largest_unit_or_its_two_largest() {
        for (secs, expected) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3_599, "59m"), (3_600, "1h"), (172_799, "47h"), (172_800, "2d")]
        {
            assert_eq!(short(Duration::from_secs(secs)), expected);
        }
        for (secs, expected) in [(0, "0s"), (59, "59s"), (192, "3m 12s"), (172_799, "47h 59m"), (180_000, "2d 2h")] {
            assert_eq!(span(Duration::from_secs(secs)), expected);
        }
    }

    #[test]
    fn a_moment_is_so_long_ago_and_never_in_the_future() {
        let now = humantime::parse_rfc3339("2025-11-20T23:06:40Z").expect("a moment");
        assert_eq!(ago("2025-11-20T23:03:28.5Z", now, span), "3m 11s");
        assert_eq!(ago("2025-11-20T23:03:28.5Z", now, short), "3m");
        assert_eq!(ago("2025-11-20T23:06:41Z", now, span), "0s");
        assert_eq!(ago("yesterday", now, short), "?");
    }

    #[test]
    fn one_thing_is_told_in_the_singular() {
        let told = [0, 1, 2].map(|number| count(number, "delivery waits", "deliveries wait"));
        assert_eq!(told, ["0 deliveries wait", "1 delivery waits", "2 deliveries wait"]);
    }

    #[test]
    fn a_size_is_shown_in_its_largest_unit() {
        for (size, expected) in [(0, "0.0 kB"), (999, "1.0 kB"), (524_288, "524.3 kB"), (2_100_000_000, "2.1 GB")] {
            assert_eq!(bytes(size), expected);
        }
    }
}
