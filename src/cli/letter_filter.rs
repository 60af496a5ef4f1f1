//! Which dead letters a command is about, as typed: conditions, numbers, or all.
//!
//! In: options. Out: a selection. Conditions that are given together must all hold. Moments are read here, so that what goes to a daemon
//! doesn't depend on its clock; what a condition means is said in `admin::selecting`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::admin::view::Selection;
use crate::failure::{AnswerFilter, Reason};

/// The conditions by their names, for what excludes them.
pub(super) const CONDITIONS: [&str; 11] =
    ["rule", "table", "key", "reason", "answer", "message", "since", "until", "older_than", "newer_than", "number"];

/// Dead letters that are acted on must be named.
#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = true)]
#[group(args = ["numbers", "rule", "table", "key", "reason", "answer", "message", "since", "until", "older_than", "newer_than", "number", "all"])]
pub(super) struct WhichLetters {
    /// Numbers of dead letters, as `list` shows them
    #[arg(value_name = "NUMBER", conflicts_with_all = CONDITIONS)]
    numbers: Vec<u64>,
    #[command(flatten)]
    conditions: LetterFilterArgs,
    /// All dead letters
    #[arg(long, conflicts_with_all = CONDITIONS, conflicts_with = "numbers")]
    all: bool,
}

impl WhichLetters {
    pub(super) fn selection(self) -> Selection {
        Selection { numbers: self.numbers, all: self.all, ..self.conditions.selection() }
    }
}

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct LetterFilterArgs {
    /// Only those of this rule
    #[arg(long, help_heading = "Conditions", value_name = "RULE")]
    rule: Option<String>,
    /// Only those of this table
    #[arg(long, help_heading = "Conditions", value_name = "SCHEMA.TABLE")]
    table: Option<String>,
    /// Only those of the row with this key, as `list` shows it
    #[arg(long, help_heading = "Conditions", value_name = "KEY")]
    key: Option<String>,
    /// Only those given up for this reason: refused, exhausted, unrenderable, undecided, blocked, unknown, callback_failed, fuse or
    /// interrupted
    #[arg(long, help_heading = "Conditions", value_name = "REASON", value_parser = reason)]
    reason: Option<String>,
    /// Only those whose last attempt got this: a status (404), a class (4xx), network (no answer, for any reason) or timeout
    #[arg(long, help_heading = "Conditions", value_name = "ANSWER", value_parser = answer)]
    answer: Option<String>,
    /// Only those whose message contains this, in upper or lower case
    #[arg(long, help_heading = "Conditions", value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    message: Option<String>,
    /// Only those that became dead letters at this time or later: 2026-11-20T08:00:00Z, a date (from 0:00 UTC), or 2h for two hours ago
    #[arg(long, help_heading = "Conditions", value_name = "TIME", value_parser = moment, conflicts_with = "newer_than")]
    since: Option<SystemTime>,
    /// Only those that became dead letters before this time
    #[arg(long, help_heading = "Conditions", value_name = "TIME", value_parser = moment, conflicts_with = "older_than")]
    until: Option<SystemTime>,
    /// The same as --until, with a duration such as 2h or 30d
    #[arg(long, help_heading = "Conditions", value_name = "DURATION", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// The same as --since, with a duration such as 15m
    #[arg(long, help_heading = "Conditions", value_name = "DURATION", value_parser = humantime::parse_duration)]
    newer_than: Option<Duration>,
    /// Only those with these numbers: 10-20, or 10- for all from 10 on
    #[arg(long, help_heading = "Conditions", value_name = "FROM-TO", value_parser = number_range)]
    number: Option<(u64, u64)>,
}

impl LetterFilterArgs {
    pub(super) fn selection(self) -> Selection {
        let now = SystemTime::now();
        let ago = |ago: Duration| now.checked_sub(ago).unwrap_or(UNIX_EPOCH);
        let moment_us = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        Selection {
            rule: self.rule,
            table: self.table,
            key: self.key,
            reason: self.reason,
            answer: self.answer,
            message: self.message,
            created_before_us: self.until.or(self.older_than.map(ago)).map(moment_us),
            created_from_us: self.since.or(self.newer_than.map(ago)).map(moment_us),
            number_from: self.number.map(|(from, _)| from),
            number_to: self.number.map(|(_, to)| to),
            ..Selection::default()
        }
    }
}

/// The word of a reason. Former words are errors that give the current one.
fn reason(word: &str) -> Result<String, String> {
    match word {
        "held" => Err("it is called blocked now".to_string()),
        "untold" => Err("it is called callback_failed now".to_string()),
        known if Reason::parse(known).is_some() => Ok(known.to_string()),
        _ => Err(format!("expected one of {}", Reason::ALL.map(Reason::as_str).join(", "))),
    }
}

fn answer(text: &str) -> Result<String, String> {
    AnswerFilter::parse(text).map(|answer| answer.to_string()).ok_or_else(|| AnswerFilter::EXPECTED.to_string())
}

fn number_range(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| text.parse::<u64>().ok();
    let range = match text.split_once('-') {
        None => number(text).map(|only| (only, only)),
        Some((from, "")) => number(from).map(|from| (from, u64::MAX)),
        Some((from, to)) => number(from).zip(number(to)),
    };
    match range {
        Some((from, to)) if from <= to => Ok((from, to)),
        Some((from, to)) => Err(format!("it ends before it begins; write {to}-{from}")),
        None => Err("expected numbers such as 10-20, or 10- for all from 10 on".to_string()),
    }
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

    #[test]
    fn numbers_are_one_or_a_range_that_may_be_open() {
        for (text, expected) in [("7", (7, 7)), ("10-20", (10, 20)), ("10-", (10, u64::MAX)), ("3-3", (3, 3))] {
            assert_eq!(number_range(text), Ok(expected));
        }
        for (text, part) in
            [("20-10", "write 10-20"), ("", "10-20"), ("a-b", "10-20"), ("-5", "10-20"), ("1-2-3", "10-20")]
        {
            assert!(number_range(text).expect_err(text).contains(part), "{text}");
        }
    }
}
