//! DECIMAL in expressions: exact text that behaves as a number.
//!
//! In: the text of a DECIMAL column, or a number it is compared or calculated with. Out: exact comparison at any
//! length, exact `+ - *` up to 38 digits, and the text as it stood in the column (`12.30`). Never goes through floating
//! point; division, which has no exact result, is left to `operators`.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Object, ObjectRepr, Value};

/// Digits with an optional sign and fraction, for example `-12.30`.
#[derive(Clone)]
pub(super) struct Decimal {
    digits: Box<str>,
    /// It is a number of a JSON document, and stays one in a body.
    is_of_document: bool,
}

impl Decimal {
    /// Reads `[-]digits[.digits]`; nothing else is a DECIMAL.
    pub(super) fn parse(text: &str) -> Option<Decimal> {
        is_decimal(text).then(|| Decimal::of_digits(text))
    }

    /// A number of a JSON document, which has more digits than a double keeps.
    pub(super) fn of_document(text: &str) -> Option<Decimal> {
        Some(Decimal { is_of_document: true, ..Decimal::parse(text)? })
    }

    fn of_digits(digits: impl Into<Box<str>>) -> Decimal {
        Decimal { digits: digits.into(), is_of_document: false }
    }

    pub(super) fn is_of_document(&self) -> bool {
        self.is_of_document
    }

    /// The exact value of the shortest text that reads back as this double; none for infinities.
    pub(super) fn from_f64(number: f64) -> Option<Decimal> {
        number.is_finite().then(|| Decimal::of_digits(number.to_string()))
    }

    pub(super) fn from_i128(number: i128) -> Decimal {
        Decimal::of_digits(number.to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.digits
    }

    pub(super) fn is_zero(&self) -> bool {
        is_zero(&self.digits)
    }

    /// The nearest double, for calculations that have no exact result.
    pub(super) fn to_f64(&self) -> f64 {
        self.digits.parse().expect("digits with an optional sign and fraction are a number in Rust's grammar too")
    }

    /// The part before the point; none beyond 38 digits.
    pub(super) fn truncate(&self) -> Option<i128> {
        self.digits.split('.').next().and_then(|whole| whole.parse().ok())
    }

    /// None when the exact sum needs more than 38 digits.
    pub(super) fn checked_add(&self, other: &Decimal) -> Option<Decimal> {
        let ((a, a_scale), (b, b_scale)) = (self.coefficient()?, other.coefficient()?);
        let scale = a_scale.max(b_scale);
        let sum = widen(a, scale - a_scale)?.checked_add(widen(b, scale - b_scale)?)?;
        Some(Decimal::from_coefficient(sum, scale))
    }

    pub(super) fn checked_neg(&self) -> Option<Decimal> {
        let (coefficient, scale) = self.coefficient()?;
        Some(Decimal::from_coefficient(coefficient.checked_neg()?, scale))
    }

    /// None when the exact product needs more than 38 digits.
    pub(super) fn checked_mul(&self, other: &Decimal) -> Option<Decimal> {
        let ((a, a_scale), (b, b_scale)) = (self.coefficient()?, other.coefficient()?);
        Some(Decimal::from_coefficient(a.checked_mul(b)?, a_scale + b_scale))
    }

    /// Rounded half away from zero, as MySQL's ROUND() does with exact numbers; to tens, hundreds and so on where `digits` is
    /// negative. None when the exact result needs more than 38 digits.
    pub(super) fn round(&self, digits: i32) -> Option<Decimal> {
        let (coefficient, scale) = self.coefficient()?;
        let dropped = i64::from(scale) - i64::from(digits);
        if dropped <= 0 {
            return Some(self.clone());
        }
        let zeros = digits.min(0).unsigned_abs();
        let Some(unit) = u32::try_from(dropped).ok().and_then(|dropped| 10i128.checked_pow(dropped)) else {
            // Half of the unit is larger than any coefficient.
            return Some(Decimal::of_digits("0"));
        };
        let (quotient, remainder) = (coefficient / unit, coefficient % unit);
        let up = remainder.abs() >= unit - remainder.abs();
        let rounded = if up { quotient + coefficient.signum() } else { quotient };
        Some(Decimal::from_coefficient(widen(rounded, zeros)?, digits.max(0).unsigned_abs()))
    }

    /// The value times ten to the power of `digits`, rounded down, and whether that is exact. None when it needs more than 38
    /// digits.
    pub(super) fn scaled(&self, digits: u32) -> Option<(i128, bool)> {
        let (coefficient, scale) = self.coefficient()?;
        if scale <= digits {
            return Some((widen(coefficient, digits - scale)?, true));
        }
        let Some(unit) = 10i128.checked_pow(scale - digits) else {
            return Some((if coefficient < 0 { -1 } else { 0 }, coefficient == 0));
        };
        Some((coefficient.div_euclid(unit), coefficient % unit == 0))
    }

    /// The same for equal numbers: without zeros that mean nothing.
    pub(super) fn shortest(&self) -> String {
        let (_, whole, fraction) = magnitude(&self.digits);
        let sign = if self.digits.starts_with('-') && !self.is_zero() { "-" } else { "" };
        format!("{sign}{whole}.{fraction}")
    }

    /// The value as coefficient and number of fraction digits.
    fn coefficient(&self) -> Option<(i128, u32)> {
        let (whole, fraction) = split(&self.digits);
        let number: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = u32::try_from(fraction.len()).ok()?;
        Some((if self.digits.starts_with('-') { -number } else { number }, scale))
    }

    fn from_coefficient(coefficient: i128, scale: u32) -> Decimal {
        let width = scale as usize + 1;
        let digits = format!("{:0width$}", coefficient.unsigned_abs());
        let sign = if coefficient < 0 { "-" } else { "" };
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let point = if scale == 0 { "" } else { "." };
        Decimal::of_digits(format!("{sign}{whole}{point}{fraction}"))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        compare(&self.digits, &other.digits)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)
    }
}

impl Object for Decimal {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.is_zero()
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some((**self).cmp(other.downcast_ref::<Decimal>()?))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)
    }
}

/// The value as a DECIMAL, if it is one.
pub(super) fn as_decimal(value: &Value) -> Option<&Decimal> {
    value.downcast_object_ref::<Decimal>()
}

/// Whether the text is that of a DECIMAL: `[-]digits[.digits]`.
pub(super) fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = split(text);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    // An empty fraction is one that is not there, unless the text ends with the point.
    !whole.is_empty() && digits(whole) && digits(fraction) && !text.ends_with('.')
}

/// Whether the text of a DECIMAL is zero in one of its forms.
pub(super) fn is_zero(text: &str) -> bool {
    !text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

/// Compares the texts of two DECIMALs as numbers.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let negative = |text: &str| text.starts_with('-') && !is_zero(text);
    match (negative(a), negative(b)) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => magnitude(a).cmp(&magnitude(b)),
        (true, true) => magnitude(b).cmp(&magnitude(a)),
    }
}

/// The digits before and after the point, without the sign.
fn split(text: &str) -> (&str, &str) {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    // Numbers are short: a plain walk over the bytes beats the search for a character.
    match unsigned.bytes().position(|byte| byte == b'.') {
        Some(point) => (&unsigned[..point], &unsigned[point + 1..]),
        None => (unsigned, ""),
    }
}

/// A key that orders numbers without their sign: length of the whole part, its digits, the fraction's digits.
fn magnitude(text: &str) -> (usize, &str, &str) {
    let (whole, fraction) = split(text);
    let whole = whole.trim_start_matches('0');
    (whole.len(), whole, fraction.trim_end_matches('0'))
}

fn widen(coefficient: i128, digits: u32) -> Option<i128> {
    coefficient.checked_mul(10i128.checked_pow(digits)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn decimals_compare_as_numbers_of_any_length() {
        for (a, b, expected) in [
            ("12.30", "12.3", Ordering::Equal),
            ("-0.00", "0", Ordering::Equal),
            ("9.99", "10", Ordering::Less),
            ("-9.99", "-10", Ordering::Greater),
            ("-1", "1", Ordering::Less),
            ("0.1", "0.09", Ordering::Greater),
            ("007", "7.000", Ordering::Equal),
            (
                "12345678901234567890123456789012345678901234567890.1",
                "12345678901234567890123456789012345678901234567890.2",
                Ordering::Less,
            ),
        ] {
            assert_eq!(decimal(a).cmp(&decimal(b)), expected, "{a} and {b}");
        }
    }

    #[test]
    fn arithmetic_is_exact_or_refused() {
        assert_eq!(decimal("19.99").checked_mul(&decimal("100")).map(|d| d.digits), Some("1999.00".into()));
        assert_eq!(decimal("0.1").checked_add(&decimal("0.2")).map(|d| d.digits), Some("0.3".into()));
        assert_eq!(decimal("-0.05").checked_add(&decimal("0.5")).map(|d| d.digits), Some("0.45".into()));
        assert_eq!(decimal("2.675").round(2).map(|d| d.digits), Some("2.68".into()));
        assert_eq!(decimal("-2.675").round(2).map(|d| d.digits), Some("-2.68".into()));
        for (number, digits, expected) in [
            ("0.5", 0, "1"),
            ("-0.5", 0, "-1"),
            ("1.5", 0, "2"),
            ("-2.5", 0, "-3"),
            ("2.4999", 0, "2"),
            ("-0.004", 2, "0.00"),
            ("-0.005", 2, "-0.01"),
            ("9.995", 2, "10.00"),
            ("12.3", 2, "12.3"),
            ("1250", -2, "1300"),
            ("-1250.00", -2, "-1300"),
            ("1249.99", -2, "1200"),
            ("49.9", -2, "0"),
            ("50", -2, "100"),
            ("5", -40, "0"),
            ("12.3", i32::MIN, "0"),
            ("12.3", i32::MAX, "12.3"),
        ] {
            assert_eq!(decimal(number).round(digits).map(|d| d.digits), Some(expected.into()), "{number} to {digits}");
        }
        for (number, expected) in [
            ("12.34", (1234, true)),
            ("-0.01", (-1, true)),
            ("12", (1200, true)),
            ("0.10000", (10, true)),
            ("0.001", (0, false)),
            ("-0.001", (-1, false)),
        ] {
            assert_eq!(decimal(number).scaled(2), Some(expected), "{number}");
        }
        let long = decimal("99999999999999999999999999999999999999");
        assert_eq!(long.scaled(2), None);
        assert_eq!(long.checked_mul(&long), None);
        assert_eq!(decimal("-12.99").truncate(), Some(-12));
    }

    #[test]
    fn only_plain_digits_are_a_decimal() {
        for text in ["", "-", ".5", "5.", "1e3", "+1", "1.2.3", "NaN", "0x1", "1,5"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn order_and_sums_agree_with_integers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000) {
            let hundredths = |n: i64| Decimal::from_coefficient(i128::from(n), 2);
            prop_assert_eq!(hundredths(a).cmp(&hundredths(b)), a.cmp(&b));
            prop_assert_eq!(hundredths(a).checked_add(&hundredths(b)), Some(hundredths(a + b)));
        }
    }
}
