//! Dates and times of a row image as text.
//!
//! In: the packed forms of the server's `sql-common/my_time.cc` (`my_time_packed_from_binary` and kin). Out: the text
//! forms of docs/data-format.md, with the column's fraction digits. Zero and partial dates are data and stay what they
//! are.

use super::bytes::{Bytes, Truncated};
use super::{ColumnKind, digits};

/// Appends the date or time that the bytes begin with; nothing for other kinds.
pub fn write(kind: &ColumnKind, bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<(), Truncated> {
    match kind {
        ColumnKind::Date => date(bytes, out),
        ColumnKind::Time { digits } => time(bytes, *digits, out),
        ColumnKind::DateTime { digits } => datetime(bytes, *digits, out),
        ColumnKind::Timestamp { digits } => timestamp(bytes, *digits, out),
        _ => Ok(()),
    }
}

/// `2026-11-20`.
fn date(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<(), Truncated> {
    let packed = bytes.le(3)?;
    ymd(packed >> 9, packed >> 5 & 15, packed & 31, out);
    Ok(())
}

/// `-12:30:00.5`; the hours have two digits at least.
fn time(bytes: &mut Bytes<'_>, digits: usize, out: &mut Vec<u8>) -> Result<(), Truncated> {
    let width = digits.div_ceil(2);
    // Integer part and fraction are one big-endian number whose zero lies in the middle of its range.
    let whole = bytes.be(3 + width)? as i64 - (0x80_0000_i64 << (8 * width));
    let magnitude = whole.unsigned_abs();
    let (clock, micros) = (magnitude >> (8 * width), magnitude & ((1 << (8 * width)) - 1));
    if whole < 0 {
        out.push(b'-');
    }
    hms(clock >> 12 & 1023, clock >> 6 & 63, clock & 63, out);
    fraction(micros, digits, out);
    Ok(())
}

/// `2026-11-20T23:04:05.123456`.
fn datetime(bytes: &mut Bytes<'_>, digits: usize, out: &mut Vec<u8>) -> Result<(), Truncated> {
    let packed = bytes.be(5)? & 0x7f_ffff_ffff;
    let micros = bytes.be(digits.div_ceil(2))?;
    let (days, clock) = (packed >> 17, packed & 0x1_ffff);
    let (months, day) = (days >> 5, days & 31);
    ymd(months / 13, months % 13, day, out);
    out.push(b'T');
    hms(clock >> 12, clock >> 6 & 63, clock & 63, out);
    fraction(micros, digits, out);
    Ok(())
}

/// `2026-11-20T23:04:05.123456Z`; the zero timestamp as MySQL prints it, in the same form.
fn timestamp(bytes: &mut Bytes<'_>, digits: usize, out: &mut Vec<u8>) -> Result<(), Truncated> {
    let seconds = bytes.be(4)?;
    let micros = bytes.be(digits.div_ceil(2))?;
    let (year, month, day) = if seconds == 0 { (0, 0, 0) } else { civil_from_days(seconds / 86_400) };
    ymd(year, month, day, out);
    out.push(b'T');
    hms(seconds / 3600 % 24, seconds / 60 % 60, seconds % 60, out);
    fraction(micros, digits, out);
    out.push(b'Z');
    Ok(())
}

/// Appends a moment in microseconds since the Unix epoch as RFC 3339 in UTC, `2026-11-20T23:04:05.123456Z`; one beyond
/// the year 9999, where the form ends, as its last.
pub fn rfc3339(us: u64, out: &mut Vec<u8>) {
    let us = us.min(253_402_300_799_999_999);
    let seconds = us / 1_000_000;
    let (year, month, day) = civil_from_days(seconds / 86_400);
    ymd(year, month, day, out);
    out.push(b'T');
    hms(seconds / 3600 % 24, seconds / 60 % 60, seconds % 60, out);
    fraction(us % 1_000_000, 6, out);
    out.push(b'Z');
}

/// Appends the packed form inside JSON documents: (date part and clock) << 24 | microseconds, little-endian.
pub fn in_json(packed: i64, form: JsonForm, out: &mut Vec<u8>) {
    let magnitude = packed.unsigned_abs();
    let (whole, micros) = (magnitude >> 24, magnitude & 0xff_ffff);
    let (days, clock) = (whole >> 17, whole & 0x1_ffff);
    if form == JsonForm::Time {
        if packed < 0 {
            out.push(b'-');
        }
        hms(whole >> 12 & 1023, whole >> 6 & 63, whole & 63, out);
        return fraction(micros, 6, out);
    }
    ymd((days >> 5) / 13, (days >> 5) % 13, days & 31, out);
    if form == JsonForm::DateTime {
        out.push(b' ');
        hms(clock >> 12, clock >> 6 & 63, clock & 63, out);
        fraction(micros, 6, out);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonForm {
    Date,
    DateTime,
    Time,
}

fn ymd(year: u64, month: u64, day: u64, out: &mut Vec<u8>) {
    digits::padded(year, 4, out);
    out.push(b'-');
    digits::padded(month, 2, out);
    out.push(b'-');
    digits::padded(day, 2, out);
}

fn hms(hours: u64, minutes: u64, seconds: u64, out: &mut Vec<u8>) {
    digits::padded(hours, 2, out);
    out.push(b':');
    digits::padded(minutes, 2, out);
    out.push(b':');
    digits::padded(seconds, 2, out);
}

/// The log keeps an even number of fraction digits: `.5` of a TIME(1) stands there as 50.
fn fraction(stored: u64, digits: usize, out: &mut Vec<u8>) {
    if digits > 0 {
        out.push(b'.');
        let end = out.len() + digits;
        digits::padded(stored, digits.div_ceil(2) * 2, out);
        out.truncate(end);
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: &ColumnKind, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(kind, &mut Bytes(bytes), &mut out).expect("enough bytes");
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn negative_times_keep_their_fraction() {
        for (bytes, digits, expected) in [
            (&[0x80, 0x00, 0x00][..], 0, "00:00:00"),
            (&[0x7f, 0xff, 0xff, 0xf6], 1, "-00:00:00.1"),
            (&[0x7f, 0xef, 0x7c, 0xd3], 2, "-01:02:03.45"),
            (&[0x4b, 0x91, 0x05], 0, "-838:59:59"),
            (&[0x80, 0x00, 0x00, 0x00, 0x00, 0x01], 6, "00:00:00.000001"),
        ] {
            assert_eq!(written(&ColumnKind::Time { digits }, bytes), expected);
        }
    }

    #[test]
    fn timestamps_are_utc_and_zero_stays_zero() {
        for (seconds, expected) in [
            (0_u32, "0000-00-00T00:00:00Z"),
            (1, "1970-01-01T00:00:01Z"),
            (951_825_600, "2000-02-29T12:00:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(written(&ColumnKind::Timestamp { digits: 0 }, &seconds.to_be_bytes()), expected);
        }
    }

    #[test]
    fn moments_are_written_as_rfc_3339_up_to_the_year_9999() {
        for us in [0, 1, 951_782_399_999_999, 951_782_400_000_000, 1_795_215_845_123_456, 253_402_300_799_999_999] {
            let mut out = Vec::new();
            rfc3339(us, &mut out);
            let moment = std::time::UNIX_EPOCH + std::time::Duration::from_micros(us);
            assert_eq!(String::from_utf8(out).expect("digits"), humantime::format_rfc3339_micros(moment).to_string());
        }
        let mut out = Vec::new();
        rfc3339(u64::MAX, &mut out);
        assert_eq!(out, b"9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn zero_and_partial_dates_stay_what_they_are() {
        assert_eq!(written(&ColumnKind::Date, &[0, 0, 0]), "0000-00-00");
        assert_eq!(written(&ColumnKind::DateTime { digits: 1 }, &[0x80, 0, 0, 0, 0, 0]), "0000-00-00T00:00:00.0");
    }
}
