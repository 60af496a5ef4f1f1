//! The format of `date`: fields such as `%Y`, as strftime of POSIX and glibc has them.
//!
//! In: a format, read once per use, and a moment with the clock of its zone. Out: a text, always in English and the same on every machine.
//! Fields that depend on a locale (`%c`, `%x`) are not known.

use std::fmt::Write as _;

use tz::UtcDateTime;

use super::zone::Offset;

/// A moment as clocks in some zone show it.
#[derive(Debug)]
pub(super) struct ClockTime {
    /// Date and time there, as if they were UTC.
    pub clock: UtcDateTime,
    /// Of the second.
    pub micros: i64,
    pub offset: Offset,
    /// Rounded down.
    pub unix_seconds: i64,
}

/// A format whose fields are all known, and that has one at least.
#[derive(Debug)]
pub(super) struct DateFormat<'f>(Vec<Piece<'f>>);

#[derive(Debug, Clone, Copy)]
enum Piece<'f> {
    Literal(&'f str),
    /// A number with so many digits at least, filled up with this character.
    Number(Number, usize, char),
    Text(Text),
}

#[derive(Debug, Clone, Copy)]
enum Number {
    Year,
    YearOfCentury,
    Month,
    Day,
    Hour,
    HourOfTwelve,
    Minute,
    Second,
    Micros,
    Millis,
    DayOfYear,
    /// ISO 8601, from Monday, 1.
    WeekDay,
    /// From Sunday, 0.
    WeekDayFromSunday,
    IsoYear,
    IsoWeek,
    Epoch,
}

#[derive(Debug, Clone, Copy)]
enum Text {
    Month,
    ShortMonth,
    WeekDay,
    ShortWeekDay,
    HalfOfDay,
    Offset,
    OffsetWithColon,
    Zone,
}

/// What stands behind the `%`, and what it is.
const FIELDS: [(&str, Piece<'static>); 29] = [
    ("Y", Piece::Number(Number::Year, 4, '0')),
    ("y", Piece::Number(Number::YearOfCentury, 2, '0')),
    ("m", Piece::Number(Number::Month, 2, '0')),
    ("d", Piece::Number(Number::Day, 2, '0')),
    ("e", Piece::Number(Number::Day, 2, ' ')),
    ("H", Piece::Number(Number::Hour, 2, '0')),
    ("I", Piece::Number(Number::HourOfTwelve, 2, '0')),
    ("M", Piece::Number(Number::Minute, 2, '0')),
    ("S", Piece::Number(Number::Second, 2, '0')),
    ("f", Piece::Number(Number::Micros, 6, '0')),
    ("6f", Piece::Number(Number::Micros, 6, '0')),
    ("3f", Piece::Number(Number::Millis, 3, '0')),
    ("j", Piece::Number(Number::DayOfYear, 3, '0')),
    ("u", Piece::Number(Number::WeekDay, 1, '0')),
    ("w", Piece::Number(Number::WeekDayFromSunday, 1, '0')),
    ("G", Piece::Number(Number::IsoYear, 4, '0')),
    ("V", Piece::Number(Number::IsoWeek, 2, '0')),
    ("s", Piece::Number(Number::Epoch, 1, '0')),
    ("B", Piece::Text(Text::Month)),
    ("b", Piece::Text(Text::ShortMonth)),
    ("A", Piece::Text(Text::WeekDay)),
    ("a", Piece::Text(Text::ShortWeekDay)),
    ("p", Piece::Text(Text::HalfOfDay)),
    ("z", Piece::Text(Text::Offset)),
    (":z", Piece::Text(Text::OffsetWithColon)),
    ("Z", Piece::Text(Text::Zone)),
    ("%", Piece::Literal("%")),
    ("F", Piece::Literal("%Y-%m-%d")),
    ("T", Piece::Literal("%H:%M:%S")),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// In the order of `UtcDateTime::week_day`.
const WEEK_DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Letters of a short name.
const SHORT: usize = 3;

impl<'f> DateFormat<'f> {
    /// An error is for people, and quotes the format.
    pub(super) fn read(format: &'f str) -> Result<DateFormat<'f>, String> {
        let (mut pieces, mut rest, mut has_field) = (Vec::new(), format, false);
        while let Some(at) = rest.find('%') {
            if at > 0 {
                pieces.push(Piece::Literal(&rest[..at]));
            }
            let behind = &rest[at + 1..];
            let (is_plain, behind) = match behind.strip_prefix('-') {
                Some(behind) => (true, behind),
                None => (false, behind),
            };
            let field = FIELDS.iter().find(|(name, _)| behind.starts_with(name));
            match field {
                Some((_, Piece::Number(number, ..))) if is_plain => pieces.push(Piece::Number(*number, 1, '0')),
                Some(("F" | "T", Piece::Literal(format))) if !is_plain => pieces.extend(DateFormat::read(format)?.0),
                Some((_, piece)) if !is_plain => pieces.push(*piece),
                _ => {
                    let end = behind.chars().next().map_or(0, char::len_utf8) + usize::from(is_plain) + 1;
                    let names: Vec<String> = FIELDS.iter().map(|(name, _)| format!("%{name}")).collect();
                    let unknown = &rest[at..at + end];
                    return Err(format!("a date has no field `{unknown}`; known are {}", names.join(" ")));
                }
            }
            let name = field.map_or("", |(name, _)| name);
            has_field |= name != "%";
            rest = &behind[name.len()..];
        }
        if !has_field {
            return Err("the format has no field such as %Y; write it as in `date('%Y-%m-%d')`".to_owned());
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest));
        }
        Ok(DateFormat(pieces))
    }

    pub(super) fn write(&self, time: &ClockTime, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Number(number, digits, fill) => {
                    let written = number.of(time).to_string();
                    out.extend(std::iter::repeat_n(*fill, digits.saturating_sub(written.len())));
                    out.push_str(&written);
                }
                Piece::Text(text) => text.write(time, out),
            }
        }
    }
}

impl Number {
    fn of(self, ClockTime { clock, micros, unix_seconds, .. }: &ClockTime) -> i64 {
        match self {
            Number::Year => clock.year().into(),
            Number::YearOfCentury => i64::from(clock.year()) % 100,
            Number::Month => clock.month().into(),
            Number::Day => clock.month_day().into(),
            Number::Hour => clock.hour().into(),
            Number::HourOfTwelve => i64::from(clock.hour() + 11) % 12 + 1,
            Number::Minute => clock.minute().into(),
            Number::Second => clock.second().into(),
            Number::Micros => *micros,
            Number::Millis => micros / 1000,
            Number::DayOfYear => i64::from(clock.year_day()) + 1,
            Number::WeekDay => iso_week_day(clock),
            Number::WeekDayFromSunday => clock.week_day().into(),
            Number::IsoYear => iso_week(clock).0,
            Number::IsoWeek => iso_week(clock).1,
            Number::Epoch => *unix_seconds,
        }
    }
}

impl Text {
    fn write(self, ClockTime { clock, offset, .. }: &ClockTime, out: &mut String) {
        let month = MONTHS[usize::from(clock.month() - 1)];
        let week_day = WEEK_DAYS[usize::from(clock.week_day())];
        match self {
            Text::Month => out.push_str(month),
            Text::ShortMonth => out.push_str(&month[..SHORT]),
            Text::WeekDay => out.push_str(week_day),
            Text::ShortWeekDay => out.push_str(&week_day[..SHORT]),
            Text::HalfOfDay => out.push_str(if clock.hour() < 12 { "AM" } else { "PM" }),
            Text::Offset => write_offset(offset.seconds, "", out),
            Text::OffsetWithColon => write_offset(offset.seconds, ":", out),
            Text::Zone => match offset.abbreviation {
                Some(abbreviation) => out.push_str(abbreviation),
                None => write_offset(offset.seconds, ":", out),
            },
        }
    }
}

/// With seconds where there are some: before standard time, clocks showed that of the place.
fn write_offset(offset_seconds: i32, between: &str, out: &mut String) {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let total = offset_seconds.unsigned_abs();
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let written = write!(out, "{sign}{hours:02}{between}{minutes:02}");
    let seconds = if seconds > 0 { write!(out, "{between}{seconds:02}") } else { Ok(()) };
    written.and(seconds).expect("a text takes what is written");
}

fn iso_week_day(clock: &UtcDateTime) -> i64 {
    i64::from(clock.week_day() + 6) % 7 + 1
}

/// Year and week of ISO 8601: the week belongs to the year of its Thursday.
fn iso_week(clock: &UtcDateTime) -> (i64, i64) {
    let year = i64::from(clock.year());
    let thursday = i64::from(clock.year_day()) + 4 - iso_week_day(clock);
    let days_of = |year: i64| if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 };
    match thursday {
        ..0 => (year - 1, (thursday + days_of(year - 1)) / 7 + 1),
        _ if thursday >= days_of(year) => (year + 1, 1),
        _ => (year, thursday / 7 + 1),
    }
}
