//! Dates and times of a row image as text.
//!
//! In: the packed forms of the server's `sql-common/my_time.cc` (`my_time_packed_from_binary` and kin). Out: the text
//! forms of docs/data-format.md, with the column's fraction digits. Zero and partial dates are data and stay what they
//! are.

use super::bytes::{Bytes, Truncated};

/// `2026-11-20`.
pub fn date(bytes: &mut Bytes<'_>) -> Result<String, Truncated> {
    let packed = bytes.le(3)?;
    Ok(ymd(packed >> 9, packed >> 5 & 15, packed & 31))
}

/// `-12:30:00.5`; the hours have two digits at least.
pub fn time(bytes: &mut Bytes<'_>, digits: usize) -> Result<String, Truncated> {
    let width = digits.div_ceil(2);
    // Integer part and fraction are one big-endian number whose zero lies in the middle of its range.
    let whole = bytes.be(3 + width)? as i64 - (0x80_0000_i64 << (8 * width));
    let magnitude = whole.unsigned_abs();
    let (clock, fraction) = (magnitude >> (8 * width), magnitude & ((1 << (8 * width)) - 1));
    let sign = if whole < 0 { "-" } else { "" };
    let (hours, minutes, seconds) = (clock >> 12 & 1023, clock >> 6 & 63, clock & 63);
    Ok(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction_text(fraction, digits)))
}

/// `2026-11-20T23:04:05.123456`.
pub fn datetime(bytes: &mut Bytes<'_>, digits: usize) -> Result<String, Truncated> {
    let packed = bytes.be(5)? & 0x7f_ffff_ffff;
    let fraction = bytes.be(digits.div_ceil(2))?;
    let (days, clock) = (packed >> 17, packed & 0x1_ffff);
    let (months, day) = (days >> 5, days & 31);
    let date = ymd(months / 13, months % 13, day);
    let (hours, minutes, seconds) = (clock >> 12, clock >> 6 & 63, clock & 63);
    Ok(format!("{date}T{hours:02}:{minutes:02}:{seconds:02}{}", fraction_text(fraction, digits)))
}

/// `2026-11-20T23:04:05.123456Z`; the zero timestamp as MySQL prints it, in the same form.
pub fn timestamp(bytes: &mut Bytes<'_>, digits: usize) -> Result<String, Truncated> {
    let seconds = bytes.be(4)?;
    let fraction = fraction_text(bytes.be(digits.div_ceil(2))?, digits);
    if seconds == 0 {
        return Ok(format!("0000-00-00T00:00:00{fraction}Z"));
    }
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    Ok(format!("{}T{hours:02}:{minutes:02}:{:02}{fraction}Z", ymd(year, month, day), seconds % 60))
}

/// The packed form inside JSON documents: (date part and clock) << 24 | microseconds, little-endian.
pub fn in_json(packed: i64, form: JsonForm) -> String {
    let magnitude = packed.unsigned_abs();
    let (whole, micros) = (magnitude >> 24, magnitude & 0xff_ffff);
    let (days, clock) = (whole >> 17, whole & 0x1_ffff);
    let date = ymd((days >> 5) / 13, (days >> 5) % 13, days & 31);
    match form {
        JsonForm::Date => date,
        JsonForm::DateTime => {
            format!("{date} {:02}:{:02}:{:02}.{micros:06}", clock >> 12, clock >> 6 & 63, clock & 63)
        }
        JsonForm::Time => {
            let sign = if packed < 0 { "-" } else { "" };
            format!("{sign}{:02}:{:02}:{:02}.{micros:06}", whole >> 12 & 1023, whole >> 6 & 63, whole & 63)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonForm {
    Date,
    DateTime,
    Time,
}

fn ymd(year: u64, month: u64, day: u64) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

/// The log keeps an even number of fraction digits: `.5` of a TIME(1) stands there as 50.
fn fraction_text(fraction: u64, digits: usize) -> String {
    if digits == 0 {
        return String::new();
    }
    let stored = digits.div_ceil(2) * 2;
    let mut text = format!(".{fraction:0stored$}");
    text.truncate(1 + digits);
    text
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

    #[test]
    fn negative_times_keep_their_fraction() {
        for (bytes, digits, expected) in [
            (&[0x80, 0x00, 0x00][..], 0, "00:00:00"),
            (&[0x7f, 0xff, 0xff, 0xf6], 1, "-00:00:00.1"),
            (&[0x7f, 0xef, 0x7c, 0xd3], 2, "-01:02:03.45"),
            (&[0x4b, 0x91, 0x05], 0, "-838:59:59"),
            (&[0x80, 0x00, 0x00, 0x00, 0x00, 0x01], 6, "00:00:00.000001"),
        ] {
            assert_eq!(time(&mut Bytes(bytes), digits).expect("a time"), expected);
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
            assert_eq!(timestamp(&mut Bytes(&seconds.to_be_bytes()), 0).expect("a timestamp"), expected);
        }
    }

    #[test]
    fn zero_and_partial_dates_stay_what_they_are() {
        assert_eq!(date(&mut Bytes(&[0, 0, 0])).expect("a date"), "0000-00-00");
        assert_eq!(datetime(&mut Bytes(&[0x80, 0, 0, 0, 0, 0]), 1).expect("a datetime"), "0000-00-00T00:00:00.0");
    }
}
