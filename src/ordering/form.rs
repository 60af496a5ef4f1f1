//! The form of a value in an ordering key: the same for the same value, however its column is declared.
//!
//! In: the names and values that make a key. Out: the key, SipHash-1-3 with key 0 over the bytes written here. A number is
//! its sign, its exponent and its significant digits, whether it comes as an integer, a decimal, a float or as text that
//! reads as a number: 1, `1.00` and `'0001'` have one form. Dates and times are text without zero parts at the end;
//! other text and bytes are unchanged, except that blanks and NULs at the end are removed. If values of two rows have
//! one form, these rows only wait for each other. Allocates nothing. Keys are on disk: the form may change only with a
//! new
//! [`LANE_FORM`](super::LANE_FORM), for which the store makes the keys of stored dead letters again.

use std::hash::Hasher as _;
use std::io::Write as _;

use siphasher::sip::SipHasher13;

use super::LaneKey;
use crate::change::Value;

/// Digits of an exponent that are read; a text with more is no number.
const EXPONENT_DIGITS_MAX: usize = 9;

/// More than most keys need.
const ROOM_BYTES: usize = 192;

/// A key that is being made.
#[derive(Debug, Clone)]
pub struct KeyHash {
    hash: SipHasher13,
    /// What is still to be hashed: a few long pieces take half the time of many short ones.
    room: [u8; ROOM_BYTES],
    filled: usize,
}

/// The kind of a form.
#[derive(Debug, Clone, Copy)]
enum Form {
    Absent = 0,
    Null = 1,
    Number = 2,
    Text = 3,
}

impl LaneKey {
    /// Of bytes that are a key's already.
    pub fn of(bytes: &[u8]) -> LaneKey {
        let mut hash = SipHasher13::new();
        hash.write(bytes);
        LaneKey(hash.finish())
    }
}

impl KeyHash {
    /// Begins with names, each apart from the next.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> KeyHash {
        let mut hash = KeyHash { hash: SipHasher13::new(), room: [0; ROOM_BYTES], filled: 0 };
        names.into_iter().for_each(|name| hash.text(name.as_bytes()));
        hash
    }

    /// Adds a column's value; none where nothing is known of it.
    pub fn add(&mut self, value: Option<&Value>) {
        let Some(value) = value else { return self.form(Form::Absent) };
        let mut room = [0; 48];
        let mut write = |args: std::fmt::Arguments<'_>| {
            let mut rest = &mut room[..];
            // The longest is a double with 17 digits, sign, point and exponent.
            rest.write_fmt(args).map_or(0, |()| 48 - rest.len())
        };
        let length = match value {
            Value::Null => return self.form(Form::Null),
            Value::Text(text) | Value::Decimal(text) | Value::Json(text) => return self.free(text.as_bytes()),
            Value::Bytes(bytes) => return self.free(bytes),
            Value::Labels(labels) => return self.labels(labels),
            Value::Int(number) => return self.whole(number.is_negative(), number.unsigned_abs()),
            Value::Uint(number) => return self.whole(false, *number),
            Value::Float(number) => write(format_args!("{number:e}")),
            Value::Double(number) => write(format_args!("{number:e}")),
        };
        self.free(&room[..length]);
    }

    /// The key of what was added.
    pub fn key(&self) -> LaneKey {
        let mut hash = self.hash;
        hash.write(&self.room[..self.filled]);
        LaneKey(hash.finish())
    }

    /// Bytes that may read as a number, or as a date or time.
    fn free(&mut self, bytes: &[u8]) {
        let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
        let bytes = &bytes[..end];
        match Number::parse(bytes) {
            Some(number) => self.number(&number),
            None => self.temporal_or_other(bytes),
        }
    }

    /// The same as its text, which keys are made of most often.
    fn whole(&mut self, is_negative: bool, mut significant: u64) {
        let mut exponent = 0;
        while significant != 0 && significant.is_multiple_of(10) {
            (significant, exponent) = (significant / 10, exponent + 1);
        }
        let mut buffer = itoa::Buffer::new();
        let whole = if significant == 0 { &[] } else { buffer.format(significant).as_bytes() };
        self.number(&Number { is_negative, exponent, whole, fraction: &[] });
    }

    fn number(&mut self, number: &Number<'_>) {
        let digits = (number.whole.len() + number.fraction.len()) as u64;
        let mut head = [0; 18];
        (head[0], head[1]) = (Form::Number as u8, u8::from(number.is_negative));
        head[2..10].copy_from_slice(&number.exponent.to_le_bytes());
        head[10..].copy_from_slice(&digits.to_le_bytes());
        self.write(&head);
        self.write(number.whole);
        self.write(number.fraction);
    }

    /// `2026-01-01T00:00:00.000Z`, `2026-01-01 00:00:00` and `2026-01-01` are one, and so are `09:00:00.0` and `09:00:00`.
    fn temporal_or_other(&mut self, bytes: &[u8]) {
        let Some(time_at) = temporal(bytes) else { return self.pieces(&[bytes]) };
        let (date, time) = bytes.split_at(time_at);
        let date = date.strip_suffix(b"T").or(date.strip_suffix(b" ")).unwrap_or(date);
        let time = time.strip_suffix(b"Z").unwrap_or(time);
        let time = match time.contains(&b'.') {
            true => &time[..time.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1)],
            false => time,
        };
        let time = time.strip_suffix(b".").unwrap_or(time);
        match (date, time) {
            (b"", time) => self.pieces(&[time]),
            (date, b"" | b"00:00:00") => self.pieces(&[date]),
            (date, time) => self.pieces(&[date, b" ", time]),
        }
    }

    /// As the text that the server makes of a SET.
    fn labels(&mut self, labels: &[Box<str>]) {
        if let [label] = labels {
            return self.free(label.as_bytes());
        }
        self.form(Form::Text);
        let bytes: usize = labels.iter().map(|label| label.len() + 1).sum();
        self.write(&(bytes.saturating_sub(1) as u64).to_le_bytes());
        for (n, label) in labels.iter().enumerate() {
            self.write(if n > 0 { b"," } else { b"" });
            self.write(label.as_bytes());
        }
    }

    fn pieces(&mut self, pieces: &[&[u8]]) {
        self.form(Form::Text);
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.write(&(bytes as u64).to_le_bytes());
        pieces.iter().for_each(|piece| self.write(piece));
    }

    fn text(&mut self, text: &[u8]) {
        self.write(&(text.len() as u64).to_le_bytes());
        self.write(text);
    }

    fn form(&mut self, form: Form) {
        self.write(&[form as u8]);
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        if self.filled + bytes.len() > ROOM_BYTES {
            self.hash.write(&self.room[..self.filled]);
            self.filled = 0;
        }
        match self.room.get_mut(self.filled..self.filled + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.filled += bytes.len();
            }
            None => self.hash.write(bytes),
        }
    }
}

/// A decimal number: its significant digits, of which neither the first nor the last is a zero, and the power of ten of
/// the last one. Zero has no digits.
#[derive(Debug, PartialEq, Eq)]
struct Number<'b> {
    is_negative: bool,
    exponent: i64,
    whole: &'b [u8],
    fraction: &'b [u8],
}

impl Number<'_> {
    fn parse(bytes: &[u8]) -> Option<Number<'_>> {
        let (is_negative, bytes) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        let (whole, rest) = digits(bytes);
        let (fraction, rest) = rest.strip_prefix(b".").map_or((&[][..], rest), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let power = match rest {
            [] => 0,
            [b'e' | b'E', power @ ..] => exponent(power)?,
            _ => return None,
        };
        let fraction = trim_end(fraction);
        let whole = trim_start(whole);
        let (whole, fraction, exponent) = if fraction.is_empty() {
            let significant = trim_end(whole);
            (significant, fraction, power + (whole.len() - significant.len()) as i64)
        } else {
            let exponent = power - fraction.len() as i64;
            (whole, if whole.is_empty() { trim_start(fraction) } else { fraction }, exponent)
        };
        if whole.is_empty() && fraction.is_empty() {
            return Some(Number { is_negative: false, exponent: 0, whole, fraction });
        }
        Some(Number { is_negative, exponent, whole, fraction })
    }
}

fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len()))
}

fn exponent(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.trim_start_matches(['+', '-']);
    (digits.len() <= EXPONENT_DIGITS_MAX).then(|| text.parse().ok()).flatten()
}

fn trim_start(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len())..]
}

fn trim_end(digits: &[u8]) -> &[u8] {
    &digits[..digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1)]
}

/// Where the time begins in what has the shape of a date, a time, or both.
fn temporal(bytes: &[u8]) -> Option<usize> {
    let is_date = |date: &[u8]| {
        date.len() == 10
            && date.iter().enumerate().all(|(n, byte)| matches!((n, byte), (4 | 7, b'-') | (_, b'0'..=b'9')))
    };
    let date = bytes.get(..10).filter(|date| is_date(date)).map_or(0, <[u8]>::len);
    let (date, time) = match &bytes[date..] {
        [] if date > 0 => return Some(date),
        [b'T' | b' ', time @ ..] if date > 0 => (date + 1, time),
        time if date == 0 => (0, time),
        _ => return None,
    };
    let clock = time.strip_suffix(b"Z").unwrap_or(time);
    let (clock, fraction) = clock.split_at(clock.iter().position(|byte| *byte == b'.').unwrap_or(clock.len()));
    let is_clock = clock.len() >= 8
        && clock[clock.len() - 3] == b':'
        && clock[clock.len() - 6] == b':'
        && clock.iter().all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'-'));
    let is_fraction = fraction.is_empty() || (fraction.len() > 1 && digits(&fraction[1..]).1.is_empty());
    (is_clock && is_fraction).then_some(date)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(value: Value) -> LaneKey {
        let mut hash = KeyHash::of(["r"]);
        hash.add(Some(&value));
        hash.key()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.into())
    }

    fn labels(labels: &[&str]) -> Value {
        Value::Labels(labels.iter().map(|label| Box::from(*label)).collect())
    }

    #[test]
    fn a_value_has_one_form_however_its_column_is_declared() {
        for one in [
            &[Value::Int(1), Value::Uint(1), decimal("1"), decimal("1.0000"), text("1"), text("00001"), text("+1")][..],
            &[Value::Double(1.0), Value::Float(1.0), text("1e0"), text("1 "), Value::Bytes(b"1\0\0".as_slice().into())],
            &[Value::Int(-5), decimal("-5.00"), text("-005"), Value::Double(-5.0)],
            &[Value::Int(0), Value::Double(-0.0), Value::Float(0.0), decimal("0.000"), text("-0"), text("000")],
            &[Value::Int(1200), Value::Double(1200.0), decimal("1200.0"), text("1.2e3"), text("12E+2")],
            &[decimal("1.50"), decimal("1.5000"), text("1.5"), Value::Double(1.5), Value::Float(1.5), text("15e-1")],
            &[decimal("0.05"), text(".05"), Value::Double(0.05), Value::Float(0.05), text("5e-2")],
            &[decimal("10.05"), text("010.050"), Value::Double(10.05)],
            &[Value::Uint(u64::MAX), decimal("18446744073709551615.00"), text("18446744073709551615")],
            &[Value::Int(i64::MIN), decimal("-9223372036854775808"), text("-9223372036854775808")],
            &[Value::Double(f64::MAX), text("1.7976931348623157e308")],
            &[text("2026-01-01"), text("2026-01-01T00:00:00"), text("2026-01-01 00:00:00.000")],
            &[text("2026-01-01T09:30:00"), text("2026-01-01 09:30:00"), text("2026-01-01T09:30:00.000000Z")],
            &[text("2026-01-01T09:30:00.500"), text("2026-01-01 09:30:00.5")],
            &[text("09:00:00"), text("09:00:00.000")],
            &[text("-838:59:59"), text("-838:59:59.0")],
            &[text("eu"), text("eu  "), Value::Bytes(b"eu\0\0".as_slice().into()), labels(&["eu"])],
            &[labels(&["a", "b"]), text("a,b")],
            &[labels(&[]), text(""), text("  "), Value::Bytes([].into())],
        ] {
            for other in one {
                assert_eq!(key(other.clone()), key(one[0].clone()), "{other:?} and {:?}", one[0]);
            }
        }
    }

    #[test]
    fn other_values_have_other_forms() {
        let values = [
            Value::Null,
            text(""),
            Value::Int(0),
            Value::Int(1),
            Value::Int(-1),
            Value::Int(10),
            decimal("1.01"),
            decimal("0.1"),
            decimal("0.11"),
            text("1-"),
            text("1e"),
            text("1e1234567890"),
            text("."),
            text("-"),
            text(" 1"),
            text("1.2.3"),
            text("2026-01-01"),
            text("2026-01-01T09:30:00"),
            text("2026-01-01T09:30:00.1"),
            text("2026-01-0100:00:00"),
            text("09:00:00"),
            text("9:00"),
            text("10.0.0.1"),
            text("éu"),
            text("eu"),
            text("EU"),
            labels(&["a", "b"]),
            labels(&["b", "a"]),
        ];
        let keys: std::collections::HashSet<LaneKey> = values.iter().map(|value| key(value.clone())).collect();
        assert_eq!(keys.len(), values.len());
        let mut absent = KeyHash::of(["r"]);
        absent.add(None);
        assert!(!keys.contains(&absent.key()));
    }

    #[test]
    fn columns_of_a_key_are_apart() {
        let two = |one: &str, other: &str| {
            let mut hash = KeyHash::of(["r"]);
            [one, other].iter().for_each(|value| hash.add(Some(&text(value))));
            hash.key()
        };
        for (one, other) in [(("1", "23"), ("12", "3")), (("a", "bc"), ("ab", "c")), (("1", ""), ("", "1"))] {
            assert_ne!(two(one.0, one.1), two(other.0, other.1));
        }
        assert_ne!(KeyHash::of(["a", "b"]).key(), KeyHash::of(["ab", ""]).key());
    }

    proptest! {
        #[test]
        fn a_number_meets_itself_in_every_type(number in any::<i64>(), scale in 0..9usize, zeros in 0..9usize) {
            let plain = key(Value::Int(number));
            let sign = if number < 0 { "-" } else { "" };
            let padded = format!("{sign}{}{}.{}", "0".repeat(zeros), number.unsigned_abs(), "0".repeat(scale));
            prop_assert_eq!(key(decimal(&padded)), plain);
            prop_assert_eq!(key(text(&padded)), plain);
            prop_assert_eq!(key(Value::Double(number as i32 as f64)), key(Value::Int(number as i32 as i64)));
        }

        #[test]
        fn a_double_meets_its_text(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
            prop_assert_eq!(key(text(&number.to_string())), key(Value::Double(number)));
            prop_assert_eq!(key(text(&format!("{number:E}"))), key(Value::Double(number)));
        }

        #[test]
        fn any_bytes_have_a_form(bytes in prop::collection::vec(any::<u8>(), 0..40), shape in "[0-9:T .eE+-]{0,30}") {
            key(Value::Bytes(bytes.into()));
            key(text(&shape));
        }
    }
}
