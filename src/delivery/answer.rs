//! Answers: what an attempt's result means. Pure functions, no clock and no I/O.
//!
//! In: a status or an error, a `Retry-After` header, the beginning of a body. Out: whether the delivery is done, worth
//! another attempt or dead; whether the action may have happened; the health of the target; how long the server asks us to
//! wait; text that is fit to be shown.

use std::time::{Duration, SystemTime};

use crate::failure::Answer;
use crate::printable::is_printable;
use crate::rules::{RetryOn, SuccessStatuses};

/// A server may lengthen a wait to at most this. Only an operator may set longer waits (`max_delay`): during a wait neither
/// the key nor the checkpoint moves on.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// How much is kept of an answer that is no success: enough for an API's error message.
pub const EXCERPT_BYTES_MAX: usize = 1024;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The answer did not come, or did not end, in time.
    Timeout,
    /// The connection failed before the time was over, when sending had begun.
    Network,
    /// Nothing was sent: no connection could be made, or it ended before. Or the server said that it did not begin.
    Unsent,
    /// The request was not sent, because no token could be had.
    Token,
    /// A statement was rolled back; another try may succeed.
    RolledBack,
    /// A statement was rolled back, and every other try would be, too.
    Refused,
}

/// What an attempt that did not succeed proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing happened.
    None,
    /// Unknown.
    Possible,
}

/// What an answer means for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// With status 0 where it was a statement.
    Done { status: u16 },
    /// Another attempt may help, by the rule's `retry_on`.
    Retry,
    /// Another attempt can't help, a redirect included.
    GiveUp,
}

/// What became of one delivery of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemResult {
    pub verdict: Verdict,
    /// The answer as if the delivery had been sent alone.
    pub answer: Answer,
}

/// What an answer says of its target, whatever the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetHealth {
    /// It works: a success, or a refusal of this one request.
    Works,
    /// It works, but asks for fewer requests: 429.
    Throttles,
    /// It answered that it failed, which may also be this request's own fault: 408, 425, 500 and most of 5xx.
    Fails,
    /// It does not answer, or a proxy in front of it says so: no answer, 502, 503, 504.
    Unavailable,
    /// No request was sent, because no token could be had: nothing is known.
    Unknown,
}

/// The rule's own success statuses win over everything else.
pub fn classify(success: &SuccessStatuses, retry_on: &RetryOn, answer: &Answer, lack: Option<Lack>) -> Verdict {
    let retried = match answer {
        Answer::Status { status, .. } if success.contains(*status) => return Verdict::Done { status: *status },
        Answer::Status { status, .. } => retry_on.contains(*status),
        Answer::Written { .. } => return Verdict::Done { status: 0 },
        Answer::Failed { .. } => match lack {
            Some(Lack::Timeout) => retry_on.timeout,
            Some(Lack::RolledBack) => true,
            Some(Lack::Refused) => false,
            Some(Lack::Network | Lack::Unsent | Lack::Token) | None => retry_on.network,
        },
    };
    if retried { Verdict::Retry } else { Verdict::GiveUp }
}

/// What an answer that is no success, or the lack of one, proves. A server that refuses a request, or names a time for the
/// next try, did nothing. If it failed, redirects, or reports another result than was expected, the effect is unknown.
pub fn effect(answer: &Answer, lack: Option<Lack>, retry_after: Option<Duration>) -> Effect {
    let is_nothing = match answer {
        Answer::Status { status: 408, .. } => false,
        Answer::Status { status: 400..=499, .. } => true,
        Answer::Status { status: 503, .. } => retry_after.is_some(),
        Answer::Status { .. } | Answer::Written { .. } => false,
        Answer::Failed { .. } => !matches!(lack, None | Some(Lack::Timeout | Lack::Network)),
    };
    if is_nothing { Effect::None } else { Effect::Possible }
}

/// What the answer says about the target. Deliberately does not depend on `retry_on`, which is one rule's view of its
/// deliveries.
pub fn health(success: &SuccessStatuses, answer: &Answer, lack: Option<Lack>) -> TargetHealth {
    match answer {
        Answer::Failed { .. } if lack == Some(Lack::Token) => TargetHealth::Unknown,
        Answer::Failed { .. } if matches!(lack, Some(Lack::RolledBack | Lack::Refused)) => TargetHealth::Works,
        Answer::Failed { .. } => TargetHealth::Unavailable,
        Answer::Status { status, .. } if success.contains(*status) => TargetHealth::Works,
        Answer::Status { status: 429, .. } => TargetHealth::Throttles,
        Answer::Status { status: 502..=504, .. } => TargetHealth::Unavailable,
        Answer::Status { status: 408 | 425 | 500..=599, .. } => TargetHealth::Fails,
        Answer::Status { .. } | Answer::Written { .. } => TargetHealth::Works,
    }
}

/// The wait that a `Retry-After` header asks for (RFC 9110, section 10.2.3: seconds, or a date by the server's clock), at
/// most [`RETRY_AFTER_MAX`]; none when it is neither. `now` is what [`made_at`] says.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large to read is longer than any limit.
        value.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// When an answer was made, by the server's clock: its `Date` header. Without one, or with one that is no date, it is the
/// time of our clock.
pub fn made_at(date: Option<&str>, now: SystemTime) -> SystemTime {
    date.and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(now)
}

/// The beginning of a body as text: bytes that are no UTF-8 replaced; control characters, and those that change the
/// direction of writing, turned into spaces, so that a terminal can show it.
pub fn excerpt(body: &[u8]) -> String {
    let body = &body[..body.len().min(EXCERPT_BYTES_MAX)];
    let cut_short = body.len() == EXCERPT_BYTES_MAX;
    // A character cut in two at the end is left out.
    let whole = match std::str::from_utf8(body) {
        Err(error) if cut_short && error.error_len().is_none() => &body[..error.valid_up_to()],
        _ => body,
    };
    let text: String = String::from_utf8_lossy(whole).chars().map(|c| if is_printable(c) { c } else { ' ' }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Answer {
        Answer::Status { status, excerpt: String::new() }
    }

    fn failed() -> Answer {
        Answer::Failed { error: "connection refused".to_owned() }
    }

    #[test]
    fn every_status_is_done_worth_a_retry_or_given_up() {
        let success = SuccessStatuses(vec![(200, 299)]);
        for code in 100..=999 {
            let expected = match code {
                200..=299 => Verdict::Done { status: code },
                408 | 425 | 429 => Verdict::Retry,
                500..=599 => Verdict::Retry,
                _ => Verdict::GiveUp,
            };
            assert_eq!(classify(&success, &RetryOn::default(), &status(code), None), expected, "{code}");
        }
        for lack in [Lack::Timeout, Lack::Network, Lack::Unsent, Lack::Token, Lack::RolledBack] {
            assert_eq!(classify(&success, &RetryOn::default(), &failed(), Some(lack)), Verdict::Retry);
        }
        assert_eq!(classify(&success, &RetryOn::default(), &failed(), Some(Lack::Refused)), Verdict::GiveUp);
    }

    #[test]
    fn what_was_refused_or_not_sent_did_not_happen_and_any_other_effect_is_unknown() {
        let some_time = Some(Duration::from_secs(1));
        for code in 100..=999 {
            let refused = (400..=499).contains(&code) && code != 408;
            let expected = |nothing| if nothing { Effect::None } else { Effect::Possible };
            assert_eq!(effect(&status(code), None, None), expected(refused), "{code}");
            assert_eq!(effect(&status(code), None, some_time), expected(refused || code == 503), "{code}");
        }
        for (lack, expected) in [
            (Lack::Timeout, Effect::Possible),
            (Lack::Network, Effect::Possible),
            (Lack::Unsent, Effect::None),
            (Lack::Token, Effect::None),
            (Lack::RolledBack, Effect::None),
            (Lack::Refused, Effect::None),
        ] {
            assert_eq!(effect(&failed(), Some(lack), some_time), expected, "{lack:?}");
        }
        assert_eq!(effect(&failed(), None, None), Effect::Possible);
    }

    #[test]
    fn what_a_rule_retries_on_replaces_the_default() {
        let success = SuccessStatuses(vec![(200, 299)]);
        let retry_on = RetryOn { statuses: vec![(404, 404), (500, 599)], network: true, timeout: false };
        for (code, expected) in
            [(200, Verdict::Done { status: 200 }), (404, Verdict::Retry), (429, Verdict::GiveUp), (503, Verdict::Retry)]
        {
            assert_eq!(classify(&success, &retry_on, &status(code), None), expected, "{code}");
        }
        assert_eq!(classify(&success, &retry_on, &failed(), Some(Lack::Network)), Verdict::Retry);
        assert_eq!(classify(&success, &retry_on, &failed(), Some(Lack::Timeout)), Verdict::GiveUp);
        let retry_on = RetryOn { network: false, ..retry_on };
        assert_eq!(classify(&success, &retry_on, &failed(), Some(Lack::RolledBack)), Verdict::Retry);
    }

    #[test]
    fn an_answer_shows_the_health_of_its_target() {
        let success = SuccessStatuses(vec![(200, 299), (500, 500)]);
        for code in 100..=999 {
            let expected = match code {
                429 => TargetHealth::Throttles,
                502..=504 => TargetHealth::Unavailable,
                408 | 425 | 501 | 505..=599 => TargetHealth::Fails,
                _ => TargetHealth::Works,
            };
            assert_eq!(health(&success, &status(code), None), expected, "{code}");
        }
        for lack in [Lack::Timeout, Lack::Network, Lack::Unsent] {
            assert_eq!(health(&success, &failed(), Some(lack)), TargetHealth::Unavailable);
        }
        for lack in [Lack::RolledBack, Lack::Refused] {
            assert_eq!(health(&success, &failed(), Some(lack)), TargetHealth::Works, "the server answered");
        }
        assert_eq!(health(&success, &failed(), Some(Lack::Token)), TargetHealth::Unknown, "the target was not asked");
    }

    #[test]
    fn a_status_listed_as_success_has_precedence() {
        let success = SuccessStatuses(vec![(204, 204), (302, 302), (409, 409), (429, 429), (500, 500)]);
        for code in [204, 302, 409, 429, 500] {
            let verdict = classify(&success, &RetryOn::default(), &status(code), None);
            assert_eq!(verdict, Verdict::Done { status: code }, "{code}");
        }
        assert_eq!(classify(&success, &RetryOn::default(), &status(200), None), Verdict::GiveUp, "200 is not listed");
        assert_eq!(classify(&success, &RetryOn::default(), &status(503), None), Verdict::Retry);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_has_a_limit() {
        let now = httpdate::parse_http_date("Fri, 20 Nov 2026 23:00:00 GMT").unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("Fri, 20 Nov 2026 23:00:09 GMT", Some(9)),
            ("Friday, 20-Nov-26 23:00:09 GMT", Some(9)),
            ("Fri, 20 Nov 2026 22:59:00 GMT", Some(0)),
            ("Sat, 21 Nov 2026 23:00:00 GMT", Some(300)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn dates_of_an_answer_are_by_the_servers_clock() {
        let ours = httpdate::parse_http_date("Fri, 20 Nov 2026 23:00:00 GMT").unwrap();
        let wait = |date, value| retry_after(value, made_at(date, ours)).map(|wait| wait.as_secs());
        // A server whose clock is an hour slow, or fast, that wants nine seconds.
        let behind = Some("Fri, 20 Nov 2026 22:00:00 GMT");
        assert_eq!(wait(behind, "Fri, 20 Nov 2026 22:00:09 GMT"), Some(9));
        let ahead = Some(" Sat, 21 Nov 2026 00:00:00 GMT ");
        assert_eq!(wait(ahead, "Sat, 21 Nov 2026 00:00:09 GMT"), Some(9));
        for date in [None, Some(""), Some("yesterday")] {
            assert_eq!(wait(date, "Fri, 20 Nov 2026 23:00:09 GMT"), Some(9), "{date:?}");
        }
        assert_eq!(wait(behind, "7"), Some(7));
        let long_ago = Some("Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(wait(long_ago, "Fri, 20 Nov 2026 23:00:09 GMT"), Some(300), "within the limit, whatever it says");
    }

    #[test]
    fn an_excerpt_is_clean_text() {
        assert_eq!(excerpt(b""), "");
        assert_eq!(excerpt(b" {\"error\":\n\t\"no\"}\r\n"), "{\"error\":  \"no\"}");
        assert_eq!(excerpt(b"a\x1b[31mred\x07\x00b\x7f!"), "a [31mred  b !");
        assert_eq!(excerpt("\u{9b}x\u{202e}y\u{2066}z".as_bytes()), "x y z");
        assert_eq!(excerpt(b"caf\xe9"), "caf\u{fffd}");
    }

    #[test]
    fn an_excerpt_ends_with_a_whole_character() {
        let long = "ä".repeat(EXCERPT_BYTES_MAX);
        let shifted = format!("x{long}");
        assert_eq!(excerpt(long.as_bytes()), "ä".repeat(EXCERPT_BYTES_MAX / 2));
        assert_eq!(excerpt(shifted.as_bytes()), format!("x{}", "ä".repeat(EXCERPT_BYTES_MAX / 2 - 1)));
    }
}
