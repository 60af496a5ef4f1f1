//! Dates in other forms: `date`, `epoch`, `epoch_ms`.
//!
//! In: the text of a DATE, DATETIME or TIMESTAMP column, or of another date with or without a zone, or seconds since 1970. Out: a text in
//! the form of the rule, or an exact integer. What has no zone is UTC, unless the rule says where it is meant; a DATE is the midnight with
//! which it begins. No clock is read.

use minijinja::Environment;
use minijinja::value::{Rest, Value};
use tz::UtcDateTime;

use super::super::error::Error;
use super::super::moment::{self, MICROS_PER_SECOND, Moment};
use super::super::operators::{defined, number};
use super::super::output::within_limit;
use super::strftime::{ClockTime, DateFormat};
use super::zone::{Zone, zone, zone_flaw};

const MICROS_PER_MILLI: i64 = 1000;

pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("date", |value: &Value, args: Rest<Value>| date(value, &args).map_err(Error::into_engine));
    env.add_filter("epoch", |value: &Value, args: Rest<Value>| {
        epoch("epoch", value, &args, MICROS_PER_SECOND).map_err(Error::into_engine)
    });
    env.add_filter("epoch_ms", |value: &Value, args: Rest<Value>| {
        epoch("epoch_ms", value, &args, MICROS_PER_MILLI).map_err(Error::into_engine)
    });
}

/// What is wrong with a format or zone that stands in the rule, as the argument at `index`.
pub(in crate::template) fn literal_flaw(filter: &str, index: usize, literal: &Value) -> Option<String> {
    let is_format = match (filter, index) {
        ("date", 0) => true,
        ("date" | "epoch" | "epoch_ms", _) => false,
        _ => return None,
    };
    match literal.as_str() {
        Some(text) if is_format => DateFormat::read(text).err(),
        Some(text) => zone_flaw(text),
        None if is_format => Some("the format of `date` is a text, as in `date('%Y-%m-%d')`".to_owned()),
        None => Some(format!("a zone of `{filter}` is a text, as in `{filter}('Europe/Berlin')`")),
    }
}

fn date(value: &Value, args: &[Value]) -> Result<String, Error> {
    const FILTER: &str = "date";
    let format = text(FILTER, args.first())?.unwrap_or_default();
    let format = DateFormat::read(format).map_err(|_| Error::Filter {
        filter: FILTER,
        problem: "the format has a field that there is not, or none at all; write it as in `date('%Y-%m-%d')`",
    })?;
    let shown_in = zone_of(FILTER, args.get(1))?.unwrap_or(Zone::Utc);
    let micros = micros(FILTER, value, zone_of(FILTER, args.get(2))?, &shown_in)?;
    let unix_seconds = micros.div_euclid(MICROS_PER_SECOND);
    let offset = shown_in.offset_at(unix_seconds).ok_or_else(|| beyond(FILTER))?;
    let clock = UtcDateTime::from_timespec(unix_seconds + i64::from(offset.seconds), 0).map_err(|_| beyond(FILTER))?;
    if !(1..=9999).contains(&clock.year()) {
        return Err(beyond(FILTER));
    }
    let micros = micros.rem_euclid(MICROS_PER_SECOND);
    let mut out = String::new();
    format.write(&ClockTime { clock, micros, offset, unix_seconds }, &mut out);
    within_limit(out.len())?;
    Ok(out)
}

fn epoch(filter: &'static str, value: &Value, args: &[Value], unit_micros: i64) -> Result<i64, Error> {
    let meant_in = zone_of(filter, args.first())?.unwrap_or(Zone::Utc);
    Ok(micros(filter, value, Some(meant_in), &meant_in)?.div_euclid(unit_micros))
}

/// Microseconds since 1970. `meant_in`: the zone of a date that has none; `day_in`: that of a date without a time, where `meant_in` isn't
/// given.
fn micros(filter: &'static str, value: &Value, meant_in: Option<Zone>, day_in: &Zone) -> Result<i64, Error> {
    defined(value, value)?;
    if let Some(seconds) = number(value) {
        let micros =
            seconds.scaled(6).and_then(|(micros, _)| i64::try_from(micros).ok()).ok_or_else(|| beyond(filter))?;
        let year = UtcDateTime::from_timespec(micros.div_euclid(MICROS_PER_SECOND), 0).map(|clock| clock.year());
        return match year {
            Ok(1..=9999) => Ok(micros),
            _ => Err(beyond(filter)),
        };
    }
    let no_date = Error::Filter {
        filter,
        problem: "this value is no complete date, such as 2026-11-20 or 2026-11-20T12:00:00Z, and no number of seconds",
    };
    let Some((text, reading)) = value.as_str().and_then(|text| Some((text, moment::reading(text)?))) else {
        return Err(no_date);
    };
    let (written, zone) = match reading.utc {
        Some(utc) => (utc, Zone::Utc),
        // Only a time has a colon.
        None if text.contains(':') => (reading.written, meant_in.unwrap_or(Zone::Utc)),
        None => (reading.written, meant_in.unwrap_or(*day_in)),
    };
    let clock = clock_of(written).ok_or(no_date)?;
    let unix_seconds = zone.moment_of(&clock).ok_or_else(|| beyond(filter))?;
    let fraction = i64::try_from(written.micros()).unwrap_or(0);
    Ok(unix_seconds * MICROS_PER_SECOND + fraction)
}

/// None for the zero date.
fn clock_of(moment: Moment) -> Option<UtcDateTime> {
    let [year, month, day, hour, minute, second] = moment.parts();
    let part = |number: u64| u8::try_from(number).ok();
    UtcDateTime::new(i32::try_from(year).ok()?, part(month)?, part(day)?, part(hour)?, part(minute)?, part(second)?, 0)
        .ok()
}

/// An argument that is a text; none where it isn't given.
fn text<'v>(filter: &'static str, argument: Option<&'v Value>) -> Result<Option<&'v str>, Error> {
    let Some(value) = argument else { return Ok(None) };
    defined(value, value)?;
    let problem = "its arguments are texts, and one is NULL or of another kind";
    value.as_str().map(Some).ok_or(Error::Filter { filter, problem })
}

fn zone_of(filter: &'static str, argument: Option<&Value>) -> Result<Option<Zone>, Error> {
    let Some(name) = text(filter, argument)? else { return Ok(None) };
    let problem = "the zone is neither an IANA name nor an offset such as `+02:00`";
    zone(name).map(Some).ok_or(Error::Filter { filter, problem })
}

fn beyond(filter: &'static str) -> Error {
    Error::Filter { filter, problem: "the year is not between 1 and 9999; a number counts seconds since 1970" }
}
