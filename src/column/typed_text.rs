//! Values that a person types, as a column would hold them.
//!
//! In: a column's kind and a text or JSON, in the forms of docs/data-format.md or those that MySQL takes. Out: the value as the log
//! would bring it; or what such a column takes. Stricter than MySQL: nothing is cut, rounded or guessed.

use base64::Engine as _;
use serde_json::Value as Json;

use super::charset::Charset;
use super::{ColumnKind, Value};

/// The value of JSON in a column of this kind.
///
/// # Errors
/// What the column takes, without the value.
pub fn parse_json(kind: &ColumnKind, json: &Json) -> Result<Value, String> {
    let text = match (json, kind) {
        (Json::Null, _) => return Ok(Value::Null),
        (json, ColumnKind::Json { .. } | ColumnKind::Opaque { .. }) => json.to_string(),
        // MySQL's BOOLEAN is a TINYINT.
        (Json::Bool(is_true), ColumnKind::Int { bytes: 1, .. }) => u8::from(*is_true).to_string(),
        (Json::Bool(_) | Json::Number(_), _) => json.to_string(),
        (Json::String(text), _) => text.clone(),
        (Json::Array(labels), ColumnKind::Set { .. }) => {
            let labels = labels.iter().map(|label| label.as_str().ok_or("a list of labels"));
            labels.collect::<Result<Vec<_>, _>>()?.join(",")
        }
        (Json::Array(_), _) => return Err("a single value, not a list".to_owned()),
        (Json::Object(_), _) => return Err("a single value, not a map".to_owned()),
    };
    parse(kind, &text)
}

/// The value of a text in a column of this kind.
///
/// # Errors
/// What the column takes, without the text.
pub fn parse(kind: &ColumnKind, text: &str) -> Result<Value, String> {
    let has_day = matches!(kind, ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. });
    if has_day && !is_in_calendar(text) {
        return Err("a day that is in the calendar".to_owned());
    }
    parse_stored(kind, text)
}

/// The same for a text that a server shows: its days need not be in the calendar (`ALLOW_INVALID_DATES`).
///
/// # Errors
/// What the column takes, without the text.
pub fn parse_stored(kind: &ColumnKind, text: &str) -> Result<Value, String> {
    Ok(match kind {
        ColumnKind::Int { bytes, unsigned: true } => Value::Uint(unsigned(text, 8 * bytes)?),
        ColumnKind::Int { bytes, unsigned: false } => {
            let max = i64::MAX >> (64 - 8 * bytes);
            let number = text.parse().ok().filter(|number| (-max - 1..=max).contains(number));
            Value::Int(number.ok_or_else(|| format!("a whole number from {} to {max}", -max - 1))?)
        }
        ColumnKind::Float => {
            Value::Float(text.parse().ok().filter(|number: &f32| number.is_finite()).ok_or("a number")?)
        }
        ColumnKind::Double => {
            Value::Double(text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or("a number")?)
        }
        ColumnKind::Decimal { precision, scale } => Value::Decimal(decimal(text, *precision, *scale)?.into()),
        ColumnKind::Bit { bits } => Value::Uint(unsigned(text, *bits)?),
        ColumnKind::Year => {
            let year = text.parse().ok().filter(|year| *year == 0 || (1901..=2155).contains(year));
            Value::Int(year.ok_or("a year from 1901 to 2155")?)
        }
        ColumnKind::Date => Value::Text(date(text).ok_or("a date such as 2026-11-20")?.into()),
        ColumnKind::DateTime { digits } => {
            let moment = date_time(text, *digits).ok_or_else(|| moment_form(*digits, ""))?;
            Value::Text(moment.into())
        }
        ColumnKind::Timestamp { digits } => {
            let text = text.strip_suffix('Z').unwrap_or(text);
            let moment = date_time(text, *digits).ok_or_else(|| moment_form(*digits, " in UTC"))?;
            Value::Text((moment + "Z").into())
        }
        ColumnKind::Time { digits } => {
            let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
            let time = time(rest, *digits, 838).ok_or("a time such as 12:30:00")?;
            Value::Text(format!("{sign}{time}").into())
        }
        ColumnKind::Text { charset: Charset::Binary, pad, .. } => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            let mut bytes = bytes.map_err(|_| "bytes in base64")?;
            // A BINARY(n) has n bytes.
            bytes.resize(bytes.len().max(pad.unwrap_or(0)), 0);
            Value::Bytes(bytes.into())
        }
        ColumnKind::Text { .. } => Value::Text(text.into()),
        ColumnKind::Enum { .. } => {
            let labels = kind.labels().unwrap_or_default();
            let label = labels.iter().find(|label| ***label == *text);
            Value::Text(label.ok_or_else(|| format!("one of {}", labels.join(", ")))?.clone())
        }
        ColumnKind::Set { .. } => {
            let labels = kind.labels().unwrap_or_default();
            let named: Vec<&str> = text.split(',').filter(|label| !label.is_empty()).collect();
            if named.iter().any(|name| !labels.iter().any(|label| **label == **name)) {
                return Err(format!("labels with commas between them, of {}", labels.join(", ")));
            }
            Value::Labels(labels.iter().filter(|label| named.contains(&&***label)).cloned().collect())
        }
        ColumnKind::Json { .. } | ColumnKind::Opaque { .. } => {
            serde_json::from_str::<&serde_json::value::RawValue>(text).map_err(|_| "a JSON document")?;
            Value::Json(compact(text).into())
        }
        ColumnKind::Unsupported { type_name, fix, .. } => return Err(format!("nothing: {type_name}; {fix}")),
    })
}

/// A number of so many bits.
fn unsigned(text: &str, bits: usize) -> Result<u64, String> {
    let max = u64::MAX >> (64 - bits.clamp(1, 64));
    text.parse().ok().filter(|number| *number <= max).ok_or_else(|| format!("a whole number from 0 to {max}"))
}

/// A sound document without blanks between its parts, as the log has it.
fn compact(document: &str) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        let is_blank = c.is_ascii_whitespace() && !is_in_text;
        (is_in_text, is_escaped) = match (*c, is_escaped) {
            ('"', false) => (!is_in_text, false),
            ('\\', false) => (is_in_text, is_in_text),
            _ => (is_in_text, false),
        };
        !is_blank
    };
    document.chars().filter(is_kept).collect()
}

fn moment_form(digits: usize, zone: &str) -> String {
    let fraction = if digits > 0 { format!(" with up to {digits} decimals") } else { String::new() };
    format!("a date and time{zone} such as 2026-11-20 12:30:00{fraction}")
}

/// With the column's scale, as the log has it.
fn decimal(text: &str, precision: usize, scale: usize) -> Result<String, String> {
    let takes = || format!("a number with up to {} digits before and {scale} behind the point", precision - scale);
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let is_number = rest.bytes().any(|byte| byte.is_ascii_digit()) && is_digits(whole) && is_digits(fraction);
    if !is_number || whole.len() > precision - scale || fraction.len() > scale {
        return Err(takes());
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    Ok(match scale {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction:0<scale$}"),
    })
}

/// `2026-11-20`; zero dates, too.
fn date(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return None };
    let is_of = |part: &str, length: usize, max: u32| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse().is_ok_and(|n: u32| n <= max)
    };
    (is_of(year, 4, 9999) && is_of(month, 2, 12) && is_of(day, 2, 31)).then(|| text.to_owned())
}

/// False for a date whose month has no such day. True where month or day is 0, and where it is no date at all.
fn is_in_calendar(text: &str) -> bool {
    let day = text.split([' ', 'T']).next().unwrap_or_default();
    let parts: Vec<u32> = day.split('-').map_while(|part| part.parse().ok()).collect();
    let [year, month, day] = parts[..] else { return true };
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => day <= 28 + u32::from(is_leap_year),
        4 | 6 | 9 | 11 => day <= 30,
        _ => true,
    }
}

/// `2026-11-20T12:30:00.123`
fn date_time(text: &str, digits: usize) -> Option<String> {
    let (day, time_of_day) = text.split_once([' ', 'T'])?;
    Some(format!("{}T{}", date(day)?, time(time_of_day, digits, 23)?))
}

/// `12:30:00.123` with so many decimals; hours have at least two digits.
fn time(text: &str, digits: usize, hours_max: u32) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<u32> = whole.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    let fraction = fraction.trim_end_matches('0');
    let is_sound = hours <= hours_max && minutes < 60 && seconds < 60 && fraction.len() <= digits;
    if !is_sound || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = format!("{hours:02}:{minutes:02}:{seconds:02}");
    Some(if digits == 0 { whole } else { format!("{whole}.{fraction:0<digits$}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &ColumnKind, typed: &str) -> Result<String, String> {
        Ok(match parse(kind, typed)? {
            Value::Text(text) | Value::Decimal(text) | Value::Json(text) => text.into(),
            Value::Labels(labels) => labels.join("+"),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn a_typed_text_becomes_what_the_log_would_bring() {
        let labels = || Some(["new", "paid"].map(Into::into).into());
        let utf8 = Charset::Utf8;
        let characters = |charset| ColumnKind::Text { length_bytes: 1, charset, pad: None, octets_max: None };
        let binary = |length| ColumnKind::Text {
            length_bytes: 1,
            charset: Charset::Binary,
            pad: Some(length),
            octets_max: Some(length),
        };
        for (kind, typed, expected) in [
            (ColumnKind::Int { bytes: 1, unsigned: false }, "-128", Ok("Int(-128)")),
            (ColumnKind::Int { bytes: 1, unsigned: false }, "128", Err("a whole number from -128 to 127")),
            (ColumnKind::Int { bytes: 8, unsigned: false }, "-9223372036854775808", Ok("Int(-9223372036854775808)")),
            (ColumnKind::Int { bytes: 8, unsigned: true }, "18446744073709551615", Ok("Uint(18446744073709551615)")),
            (ColumnKind::Int { bytes: 3, unsigned: true }, "16777216", Err("a whole number from 0 to 16777215")),
            (ColumnKind::Int { bytes: 4, unsigned: true }, "1.0", Err("a whole number from 0 to 4294967295")),
            (ColumnKind::Float, "0.1", Ok("Float(0.1)")),
            (ColumnKind::Double, "1e999", Err("a number")),
            (ColumnKind::Decimal { precision: 10, scale: 2 }, "12.3", Ok("12.30")),
            (ColumnKind::Decimal { precision: 10, scale: 2 }, "-.5", Ok("-0.50")),
            (ColumnKind::Decimal { precision: 10, scale: 2 }, "-0", Ok("0.00")),
            (ColumnKind::Decimal { precision: 4, scale: 0 }, "0012", Ok("12")),
            (
                ColumnKind::Decimal { precision: 4, scale: 2 },
                "1.234",
                Err("a number with up to 2 digits before and 2 behind the point"),
            ),
            (
                ColumnKind::Decimal { precision: 4, scale: 2 },
                "123",
                Err("a number with up to 2 digits before and 2 behind the point"),
            ),
            (ColumnKind::Bit { bits: 3 }, "7", Ok("Uint(7)")),
            (ColumnKind::Bit { bits: 3 }, "8", Err("a whole number from 0 to 7")),
            (ColumnKind::Year, "2026", Ok("Int(2026)")),
            (ColumnKind::Year, "26", Err("a year from 1901 to 2155")),
            (ColumnKind::Date, "2026-11-20", Ok("2026-11-20")),
            (ColumnKind::Date, "2026-11-2", Err("a date such as 2026-11-20")),
            (ColumnKind::Date, "2026-02-29", Err("a day that is in the calendar")),
            (ColumnKind::Date, "2028-02-29", Ok("2028-02-29")),
            (ColumnKind::Date, "2100-02-29", Err("a day that is in the calendar")),
            (ColumnKind::Date, "2026-02-00", Ok("2026-02-00")),
            (ColumnKind::Date, "0000-00-00", Ok("0000-00-00")),
            (ColumnKind::Timestamp { digits: 0 }, "2026-04-31T00:00:00Z", Err("a day that is in the calendar")),
            (ColumnKind::DateTime { digits: 0 }, "2026-11-20 1:02:03", Ok("2026-11-20T01:02:03")),
            (ColumnKind::DateTime { digits: 3 }, "2026-11-20T01:02:03.5", Ok("2026-11-20T01:02:03.500")),
            (
                ColumnKind::DateTime { digits: 1 },
                "2026-11-20T01:02:03.55",
                Err("a date and time such as 2026-11-20 12:30:00 with up to 1 decimals"),
            ),
            (ColumnKind::Timestamp { digits: 0 }, "2026-11-20 01:02:03", Ok("2026-11-20T01:02:03Z")),
            (ColumnKind::Timestamp { digits: 0 }, "2026-11-20T01:02:03Z", Ok("2026-11-20T01:02:03Z")),
            (
                ColumnKind::Timestamp { digits: 0 },
                "2026-11-20T25:02:03Z",
                Err("a date and time in UTC such as 2026-11-20 12:30:00"),
            ),
            (ColumnKind::Time { digits: 1 }, "-838:59:59", Ok("-838:59:59.0")),
            (ColumnKind::Time { digits: 0 }, "12:60:00", Err("a time such as 12:30:00")),
            (characters(Charset::Binary), "AP8=", Ok("Bytes([0, 255])")),
            (binary(3), "AP8=", Ok("Bytes([0, 255, 0])")),
            (characters(Charset::Binary), "?", Err("bytes in base64")),
            (characters(utf8), "Zoë", Ok("Zoë")),
            (ColumnKind::Enum { bytes: 1, charset: utf8, labels: labels() }, "paid", Ok("paid")),
            (ColumnKind::Enum { bytes: 1, charset: utf8, labels: labels() }, "x", Err("one of new, paid")),
            (ColumnKind::Set { bytes: 1, charset: utf8, labels: labels() }, "paid,new", Ok("new+paid")),
            (ColumnKind::Set { bytes: 1, charset: utf8, labels: labels() }, "", Ok("")),
            (
                ColumnKind::Set { bytes: 1, charset: utf8, labels: labels() },
                "new,x",
                Err("labels with commas between them, of new, paid"),
            ),
            (ColumnKind::Json { length_bytes: 4 }, r#"{"a": [1]}"#, Ok(r#"{"a":[1]}"#)),
            (
                ColumnKind::Json { length_bytes: 4 },
                "[ \"a b\\\" c\",\n\t{ \"d\" : \"\\\\\" } ]",
                Ok("[\"a b\\\" c\",{\"d\":\"\\\\\"}]"),
            ),
            (ColumnKind::Json { length_bytes: 4 }, "{a}", Err("a JSON document")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(text(&kind, typed), expected, "{kind:?} {typed}");
        }
    }

    #[test]
    fn json_becomes_the_same_as_its_text() {
        let labels = Some(["new", "paid"].map(Into::into).into());
        let set = ColumnKind::Set { bytes: 1, charset: Charset::Utf8, labels };
        let document = ColumnKind::Json { length_bytes: 4 };
        let int = |bytes| ColumnKind::Int { bytes, unsigned: false };
        let decimal = ColumnKind::Decimal { precision: 30, scale: 10 };
        let of = |message: &str| Err(message.to_owned());
        for (kind, json, expected) in [
            (&set, "null", Ok(Value::Null)),
            (&set, r#"["paid","new"]"#, Ok(Value::Labels(["new", "paid"].map(Into::into).into()))),
            (&set, "[1]", of("a list of labels")),
            (&int(1), "true", Ok(Value::Int(1))),
            (&int(4), "true", of("a whole number from -2147483648 to 2147483647")),
            (&int(4), "[1]", of("a single value, not a list")),
            (&decimal, "12345678901234567890.0123456789", Ok(Value::Decimal("12345678901234567890.0123456789".into()))),
            (&document, r#""a""#, Ok(Value::Json(r#""a""#.into()))),
            (&document, "12345678901234567890123", Ok(Value::Json("12345678901234567890123".into()))),
        ] {
            let parsed: Json = serde_json::from_str(json).expect("JSON");
            assert_eq!(parse_json(kind, &parsed), expected, "{json}");
        }
    }

    #[test]
    fn a_stored_day_need_not_be_in_the_calendar() {
        assert_eq!(parse_stored(&ColumnKind::Date, "2026-02-31"), Ok(Value::Text("2026-02-31".into())));
    }
}
