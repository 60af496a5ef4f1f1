//! Dates and times: what a text means beside a date or time column of a condition or to a filter of dates, and the order of what
//! columns hold.
//!
//! In: a literal of a rule, the value of an expression, or a cell in the form of docs/data-format.md. Out: numbers that stand in the order of time; none where
//! the text is no complete date or time. Of the many forms that MySQL reads (two-digit years, other separators, numbers), those that
//! mean different things to different readers are refused here. Zero dates are data and come before all others.

/// A date and time of day, packed so that the order of numbers is the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// What a text says as a date, or as a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParsedMoment {
    /// As it is written.
    pub written: Moment,
    /// In UTC, where the text names a zone.
    pub utc: Option<Moment>,
}

pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;

impl Moment {
    /// Of the second.
    pub fn micros(self) -> u64 {
        self.0 & ((1 << 20) - 1)
    }

    pub fn is_midnight(self) -> bool {
        self.0 & ((1 << 37) - 1) == 0
    }

    /// Days in their order, with room for zero and partial dates.
    pub fn days(self) -> u64 {
        self.0 >> 37
    }

    /// Year, month, day, hour, minute and second.
    pub fn parts(self) -> [u64; 6] {
        let part = |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1);
        [part(46, 18), part(42, 4), part(37, 5), part(32, 5), part(26, 6), part(20, 6)]
    }
}

/// The largest TIME, 838:59:59.
const TIME_SECONDS_MAX: i64 = 838 * 3600 + 59 * 60 + 59;

/// Reads `2026-11-20`, perhaps with `T` or a blank and `12:00`, `12:00:00` or `12:00:00.5`, and then perhaps with `Z` or `+02:00`.
pub(super) fn reading(text: &str) -> Option<ParsedMoment> {
    let mut rest = text;
    let year = number(&mut rest, 4, 4)?;
    let month = after(&mut rest, "-").then(|| number(&mut rest, 1, 2))??;
    let day = after(&mut rest, "-").then(|| number(&mut rest, 1, 2))??;
    let date = [year, month, day];
    if date != [0, 0, 0] && (year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_of(year, month)) {
        return None;
    }
    if rest.is_empty() {
        return Some(ParsedMoment { written: pack(date, [0, 0, 0], 0), utc: None });
    }
    if !after(&mut rest, "T") && !after(&mut rest, " ") {
        return None;
    }
    let (clock, micros) = clock(&mut rest, 2)?;
    if clock[0] > 23 {
        return None;
    }
    let utc = match zone_minutes(rest)? {
        None => None,
        Some(minutes) => Some(shifted(date, clock, micros, minutes)?),
    };
    Some(ParsedMoment { written: pack(date, clock, micros), utc })
}

/// Reads a TIME, literal or cell: `9:00`, `09:00:00`, `-838:59:59.999999`; in microseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let ([hours, minutes, seconds], micros) = clock(&mut rest, 3)?;
    let seconds = i64::try_from(hours * 3600 + minutes * 60 + seconds).ok()?;
    let micros = seconds * MICROS_PER_SECOND + i64::try_from(micros).ok()?;
    (rest.is_empty() && micros <= TIME_SECONDS_MAX * MICROS_PER_SECOND).then_some(sign * micros)
}

/// Reads what a DATE, DATETIME or TIMESTAMP column holds, zero and partial dates included.
pub(super) fn of_cell(text: &str) -> Option<Moment> {
    let mut rest = text;
    let year = number(&mut rest, 4, 4)?;
    let month = after(&mut rest, "-").then(|| number(&mut rest, 2, 2))??;
    let day = after(&mut rest, "-").then(|| number(&mut rest, 2, 2))??;
    if rest.is_empty() {
        return Some(pack([year, month, day], [0, 0, 0], 0));
    }
    let (clock, micros) = after(&mut rest, "T").then(|| clock(&mut rest, 2))??;
    (rest.is_empty() || rest == "Z").then(|| pack([year, month, day], clock, micros))
}

fn pack([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3], micros: u64) -> Moment {
    let days = (year << 4 | month) << 5 | day;
    let clock = (hour << 6 | minute) << 6 | second;
    Moment((days << 17 | clock) << 20 | micros)
}

/// Takes a number with so many digits off the front.
fn number(rest: &mut &str, digits_min: usize, digits_max: usize) -> Option<u64> {
    let digits = rest.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
    let (number, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    (digits >= digits_min).then(|| number.parse().ok())?
}

/// Takes `mark` off the front, if it is there.
fn after(rest: &mut &str, mark: &str) -> bool {
    rest.strip_prefix(mark).map(|tail| *rest = tail).is_some()
}

/// Hours and minutes, and perhaps seconds and a fraction.
fn clock(rest: &mut &str, hour_digits_max: usize) -> Option<([u64; 3], u64)> {
    let hours = number(rest, 1, hour_digits_max)?;
    let minutes = after(rest, ":").then(|| number(rest, 1, 2))??;
    let (mut seconds, mut micros) = (0, 0);
    if after(rest, ":") {
        seconds = number(rest, 1, 2)?;
        if after(rest, ".") {
            let before = rest.len();
            micros = number(rest, 1, 6)?;
            micros *= 10u64.pow(6 - u32::try_from(before - rest.len()).ok()?);
        }
    }
    (minutes < 60 && seconds < 60).then_some(([hours, minutes, seconds], micros))
}

/// The zone's distance from UTC: none within where the text ends without one, none at all where something else follows.
pub(super) fn zone_minutes(text: &str) -> Option<Option<i64>> {
    let (sign, mut rest) = match text.as_bytes().first() {
        None => return Some(None),
        Some(b'Z') if text.len() == 1 => return Some(Some(0)),
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        Some(_) => return None,
    };
    let hours = i64::try_from(number(&mut rest, 2, 2)?).ok()?;
    let minutes = i64::try_from(after(&mut rest, ":").then(|| number(&mut rest, 2, 2))??).ok()?;
    // The range that MySQL takes.
    let distance = sign * (hours * 60 + minutes);
    (rest.is_empty() && minutes < 60 && (-13 * 60 - 59..=14 * 60).contains(&distance)).then_some(Some(distance))
}

/// The moment in UTC of a time in a zone that is `minutes` ahead of it; none before the year 1 and for the zero date.
fn shifted(date: [u64; 3], clock: [u64; 3], micros: u64, minutes: i64) -> Option<Moment> {
    if date[0] == 0 {
        return None;
    }
    let [year, month, day] = date;
    let [hour, minute, second] = clock.map(|part| i64::try_from(part).unwrap_or(0));
    let mut total = hour * 60 + minute - minutes;
    let mut date = [year, month, day];
    if total < 0 {
        total += 24 * 60;
        date = day_before(date);
    } else if total >= 24 * 60 {
        total -= 24 * 60;
        date = day_after(date);
    }
    let parts = [total / 60, total % 60, second].map(|part| u64::try_from(part).unwrap_or(0));
    (date[0] > 0 && date[0] < 10_000).then(|| pack(date, parts, micros))
}

fn day_before([year, month, day]: [u64; 3]) -> [u64; 3] {
    match (month, day) {
        (1, 1) => [year - 1, 12, 31],
        (_, 1) => [year, month - 1, days_of(year, month - 1)],
        _ => [year, month, day - 1],
    }
}

fn day_after([year, month, day]: [u64; 3]) -> [u64; 3] {
    match (month, day == days_of(year, month)) {
        (12, true) => [year + 1, 1, 1],
        (_, true) => [year, month + 1, 1],
        _ => [year, month, day + 1],
    }
}

fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ParsedMoment {
        reading(text).expect(text)
    }

    #[test]
    fn a_literal_may_be_written_with_a_blank_or_t_and_with_parts_missing() {
        for text in ["2026-11-20 12:00:00", "2026-11-20T12:00", "2026-11-20 12:0:0.0", "2026-11-20T12:00:00.000000"] {
            assert_eq!(Some(read(text).written), of_cell("2026-11-20T12:00:00"), "{text}");
        }
        assert_eq!(Some(read("2026-1-2").written), of_cell("2026-01-02"));
        assert_eq!(Some(read("2026-01-02").written), of_cell("2026-01-02T00:00:00.000"));
        assert_eq!(Some(read("2026-01-02 00:00:00.5").written), of_cell("2026-01-02T00:00:00.500"));
        assert_eq!(Some(read("0000-00-00").written), of_cell("0000-00-00T00:00:00Z"));
    }

    #[test]
    fn zones_lead_to_utc_over_the_ends_of_days_months_and_years() {
        for (text, expected) in [
            ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z"),
            ("2026-11-20 12:00:00+02:00", "2026-11-20T10:00:00Z"),
            ("2026-01-01 00:30:00+01:00", "2025-12-31T23:30:00Z"),
            ("2024-02-28 23:30:00-00:45", "2024-02-29T00:15:00Z"),
            ("2026-12-31 23:59:59.5-13:59", "2027-01-01T13:58:59.5Z"),
        ] {
            assert_eq!(read(text).utc, of_cell(expected), "{text}");
        }
        assert_eq!(read("2026-11-20 12:00:00").utc, None);
        assert_eq!(read("9999-12-31 23:59:58.999999").written.parts(), [9999, 12, 31, 23, 59, 58]);
    }

    #[test]
    fn what_readers_could_take_for_different_things_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11",
            "26-11-20",
            "2026/11/20",
            "20261120",
            "2026-02-30",
            "2026-13-01",
            "2026-00-10",
            "2026-11-20 ",
            " 2026-11-20",
            "2026-11-20 12",
            "2026-11-20 24:00",
            "2026-11-20 12:60",
            "2026-11-20 12:00:00.1234567",
            "2026-11-20Z",
            "2026-11-20 12:00:00+2",
            "2026-11-20 12:00:00+15:00",
            "2026-11-20 12:00:00 Europe/Berlin",
            "2026-11-20 ü",
            "yesterday",
        ] {
            assert_eq!(reading(text), None, "{text}");
        }
        for text in
            ["", "9", "-", "9:60", "839:00:00", "838:59:59.5", "1 10:00", "9:00:00 ", "+9:00", "9:00:00.1234567"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_numbers_with_a_sign() {
        for (text, seconds) in
            [("9:00:00", 32_400), ("09:00", 32_400), ("-9:0:1", -32_401), ("838:59:59", TIME_SECONDS_MAX)]
        {
            assert_eq!(duration(text), Some(seconds * MICROS_PER_SECOND), "{text}");
        }
        assert_eq!(duration("-00:00:00.1"), Some(-100_000));
    }

    #[test]
    fn what_columns_hold_is_in_the_order_of_time() {
        let cells = [
            "0000-00-00",
            "2026-00-00",
            "2026-02-28",
            "2026-02-28T00:00:00.1",
            "2026-02-28T23:59:59Z",
            "2026-03-01",
            "9999-12-31T23:59:59.999999",
        ];
        assert!(cells.is_sorted_by_key(|text| of_cell(text).expect("a cell")));
        assert!(of_cell("no date").is_none());
    }
}
