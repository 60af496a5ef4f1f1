//! Conditions that dead letters and the journal's deliveries have in common, as typed.
//!
//! In: options. Out: names, words that are known, and moments. Moments are read here, so that what goes to a daemon doesn't depend on its
//! clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::since_epoch_us;
use crate::failure::{AnswerFilter, Reason};

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct ConditionArgs {
    /// Only those of this rule
    #[arg(long, help_heading = "Conditions", value_name = "RULE")]
    pub rule: Option<String>,
    /// Only those of this table
    #[arg(long, help_heading = "Conditions", value_name = "SCHEMA.TABLE")]
    pub table: Option<String>,
    /// Only those of the row with this key, as `list` shows it
    #[arg(long, help_heading = "Conditions", value_name = "KEY")]
    pub key: Option<String>,
    /// Only those given up for this reason: refused, exhausted, unrenderable, undecided, blocked, unknown, callback_failed, fuse or
    /// interrupted
    #[arg(long, help_heading = "Conditions", value_name = "REASON", value_parser = reason)]
    pub reason: Option<Reason>,
    /// Only those that got this answer, of dead letters to the last attempt: a status (404), a class (4xx), network (none, for any reason)
    /// or timeout
    #[arg(long, help_heading = "Conditions", value_name = "ANSWER", value_parser = answer)]
    pub answer: Option<AnswerFilter>,
    #[command(flatten)]
    pub times: TimeArgs,
}

/// When deliveries ended.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct TimeArgs {
    /// Only those that ended, or became dead letters, at this time or later: 2026-11-20T08:00:00Z, a date (from 0:00 UTC), or 2h for two
    /// hours ago
    #[arg(long, help_heading = "Conditions", value_name = "TIME", value_parser = moment, conflicts_with = "newer_than")]
    since: Option<SystemTime>,
    /// Only those that ended before this time
    #[arg(long, help_heading = "Conditions", value_name = "TIME", value_parser = moment, conflicts_with = "older_than")]
    until: Option<SystemTime>,
    /// The same as --until, with a duration such as 2h or 30d
    #[arg(long, help_heading = "Conditions", value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// The same as --since, with a duration such as 15m
    #[arg(long, help_heading = "Conditions", value_name = "DURATION", value_parser = duration)]
    newer_than: Option<Duration>,
}

/// A duration as it is typed.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a duration such as 30s, 15m or 2h".to_owned())
}

impl TimeArgs {
    /// From this moment on, and before that one, in microseconds since the Unix epoch.
    pub(super) fn bounds_us(&self) -> (Option<u64>, Option<u64>) {
        let now = SystemTime::now();
        let ago = |ago: Duration| now.checked_sub(ago).unwrap_or(UNIX_EPOCH);
        let (from, before) = (self.since.or(self.newer_than.map(ago)), self.until.or(self.older_than.map(ago)));
        (from.map(since_epoch_us), before.map(since_epoch_us))
    }
}

/// The word of a reason. Former words are errors that give the current one.
fn reason(word: &str) -> Result<Reason, String> {
    match word {
        "held" => Err("it is called blocked now".to_string()),
        "untold" => Err("it is called callback_failed now".to_string()),
        word => {
            Reason::parse(word).ok_or_else(|| format!("expected one of {}", Reason::ALL.map(Reason::as_str).join(", ")))
        }
    }
}

fn answer(text: &str) -> Result<AnswerFilter, String> {
    AnswerFilter::parse(text).ok_or_else(|| AnswerFilter::EXPECTED.to_string())
}

fn moment(text: &str) -> Result<SystemTime, String> {
    moment_at(text, SystemTime::now())
}

/// A date begins at 0:00 UTC; a time without a zone is in UTC.
fn moment_at(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    let expected =
        || "expected a time such as 2026-11-20T08:00:00Z, a date such as 2026-11-20, or 2h for two hours ago";
    if let Ok(ago) = humantime::parse_duration(text) {
        return now.checked_sub(ago).ok_or_else(|| "that is before all times".to_string());
    }
    let (text, zone) = without_zone(text).ok_or_else(expected)?;
    let text = if text.len() == "2026-11-20".len() { format!("{text}T00:00:00") } else { text.to_string() };
    let at = humantime::parse_rfc3339_weak(&text).map_err(|_| expected())?;
    let shifted = match zone {
        ZoneOffset::East(offset) => at.checked_sub(offset),
        ZoneOffset::West(offset) => at.checked_add(offset),
    };
    shifted.ok_or_else(|| expected().to_string())
}

/// How far clocks are ahead of UTC, or behind.
enum ZoneOffset {
    East(Duration),
    West(Duration),
}

/// The time without its offset, such as `+02:00`, and the offset. None: the offset is none.
fn without_zone(text: &str) -> Option<(&str, ZoneOffset)> {
    let at = text.len().checked_sub("+02:00".len()).filter(|at| *at > "2026-11-20".len() && text.is_char_boundary(*at));
    let (time, offset) = at.map_or((text, ""), |at| text.split_at(at));
    let (sign, hours_minutes) = match offset.split_at_checked(1) {
        Some((sign @ ("+" | "-"), rest)) => (sign, rest),
        _ => return Some((text, ZoneOffset::East(Duration::ZERO))),
    };
    let (hours, minutes) = hours_minutes.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u64>().ok()?, minutes.parse::<u64>().ok()?);
    let offset = Duration::from_secs(60 * (60 * hours + minutes));
    (hours < 24 && minutes < 60)
        .then_some((time, if sign == "+" { ZoneOffset::East(offset) } else { ZoneOffset::West(offset) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_date_or_so_long_ago() {
        let at = |text| humantime::parse_rfc3339(text).expect(text);
        let now = at("2026-11-20T12:00:00Z");
        for (text, expected) in [
            ("2026-11-19T08:30:15Z", "2026-11-19T08:30:15Z"),
            ("2026-11-19T08:30:15", "2026-11-19T08:30:15Z"),
            ("2026-11-19 08:30:15", "2026-11-19T08:30:15Z"),
            ("2026-11-19T08:30:15.5Z", "2026-11-19T08:30:15.5Z"),
            ("2026-11-19T00:30:15+02:00", "2026-11-18T22:30:15Z"),
            ("2026-11-19T23:30:15-05:30", "2026-11-20T05:00:15Z"),
            ("2026-11-19", "2026-11-19T00:00:00Z"),
            ("2h", "2026-11-20T10:00:00Z"),
            ("1d 12h", "2026-11-19T00:00:00Z"),
        ] {
            assert_eq!(moment_at(text, now), Ok(at(expected)), "{text}");
        }
        for text in
            ["", "soon", "2026-13-01", "2026-11", "11/20/2026", "2026-11-19T08:30:15+2", "2026-11-19T08:30:15+99:00"]
        {
            let error = moment_at(text, now).expect_err(text);
            assert!(error.starts_with("expected a time such as 2026-11-20T08:00:00Z, a date"), "{text}: {error}");
        }
    }
}
