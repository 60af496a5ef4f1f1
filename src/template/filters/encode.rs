//! Filters that write a value in another way: base64, hex digits, percent-encoding, XML, a UUID.
//!
//! In: a text, or bytes, which an expression has as base64 unless they come straight from a column. Out: a text of at most
//! `TEXT_BYTES_MAX`, or bytes again. What can't be read is an error, never a part of it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use minijinja::Environment;
use minijinja::value::{Value, ValueKind};
use uuid::Uuid;

use super::super::error::Error;
use super::super::operators::{EngineOutcome, defined};
use super::super::output::{TextOut as _, within_limit, write_text};
use super::super::{bytes, percent, xml};

/// With or without `=` at its end: writers differ about it, and nothing depends on it.
const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const READ_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const READ_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("hex", |value: &Value| hex(value).map_err(Error::into_engine));
    env.add_filter("unhex", |value: &Value| to_base64(&unhex(value)?).map_err(Error::into_engine));
    env.add_filter("base64", |value: &Value| {
        bytes_of(value).and_then(|bytes| to_base64(&bytes)).map_err(Error::into_engine)
    });
    env.add_filter("unbase64", |value: &Value| {
        String::from_utf8(unbase64(value)?).map_err(|_| {
            Error::Filter { filter: "unbase64", problem: "it gives a text, and these bytes are not UTF-8" }
                .into_engine()
        })
    });
    // A text that stands in for bytes.
    env.add_function("_bytes", |value: &Value| match value.as_str() {
        Some(text) => bytes::value(text.as_bytes().into()),
        None => value.clone(),
    });
    // As the two above, in front of a filter that takes bytes.
    env.add_filter("_unhex", |value: &Value| unhex(value).map(|decoded| bytes::value(decoded.into())));
    env.add_filter("_unbase64", |value: &Value| unbase64(value).map(|decoded| bytes::value(decoded.into())));
    env.add_filter("uuid", uuid);
    env.add_filter("urlencode", |value: &Value| urlencode(value).map_err(Error::into_engine));
    env.add_filter("xml", |value: &Value| escaped(value).map_err(Error::into_engine));
}

/// A single value or a document as a text.
pub(super) fn text_of(value: &Value) -> Result<Cow<'_, str>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::new();
    write_text(value, &mut text)?;
    Ok(Cow::Owned(text))
}

/// The bytes of a column of bytes, or of a text in UTF-8.
pub(super) fn bytes_of(value: &Value) -> Result<Cow<'_, [u8]>, Error> {
    if let Some(bytes) = bytes::as_bytes(value) {
        return Ok(Cow::Borrowed(bytes));
    }
    Ok(match text_of(value)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// Two digits for each byte, in lower case.
pub(super) fn hex_digits(bytes: &[u8]) -> String {
    let digit = |number: u8| char::from_digit(number.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes of a binary column, which an expression has as base64 unless they come straight from it.
fn column_bytes(value: &Value, filter: &'static str) -> Result<Vec<u8>, Error> {
    if let Some(bytes) = bytes::as_bytes(value) {
        return Ok(bytes.to_vec());
    }
    let decoded = value.as_str().and_then(|text| STANDARD.decode(text).ok());
    decoded.ok_or(Error::NotBinary { filter })
}

/// As MySQL's HEX(), in lower case.
fn hex(value: &Value) -> Result<String, Error> {
    let bytes = column_bytes(value, "hex")?;
    within_limit(bytes.len().saturating_mul(2))?;
    Ok(hex_digits(&bytes))
}

fn to_base64(bytes: &[u8]) -> Result<String, Error> {
    within_limit(bytes.len().div_ceil(3).saturating_mul(4))?;
    Ok(STANDARD.encode(bytes))
}

fn unhex(value: &Value) -> EngineOutcome<Vec<u8>> {
    let decode = || {
        let digits = value.as_str()?.as_bytes();
        let number = |digit: u8| char::from(digit).to_digit(16).and_then(|number| u8::try_from(number).ok());
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => Some(number(*high)? << 4 | number(*low)?),
            _ => None,
        });
        pairs.collect::<Option<Vec<u8>>>()
    };
    defined(value, value).map_err(Error::into_engine)?;
    let problem = "this value is no text of hex digits in pairs";
    let decoded = decode().ok_or_else(|| Error::Filter { filter: "unhex", problem }.into_engine())?;
    within_limit(decoded.len()).map_err(Error::into_engine)?;
    Ok(decoded)
}

fn unbase64(value: &Value) -> EngineOutcome<Vec<u8>> {
    let decode = || {
        let mut text = Cow::Borrowed(value.as_str()?);
        // TO_BASE64() breaks lines.
        if text.contains(|c: char| c.is_ascii_whitespace()) {
            text = Cow::Owned(text.replace(|c: char| c.is_ascii_whitespace(), ""));
        }
        let alphabet = if text.contains(['-', '_']) { &READ_URL_SAFE } else { &READ_STANDARD };
        alphabet.decode(&*text).ok()
    };
    defined(value, value).map_err(Error::into_engine)?;
    let problem = "this value is no base64";
    let decoded = decode().ok_or_else(|| Error::Filter { filter: "unbase64", problem }.into_engine())?;
    within_limit(decoded.len()).map_err(Error::into_engine)?;
    Ok(decoded)
}

/// As MySQL's BIN_TO_UUID(); `is_swapped` is for what `UUID_TO_BIN(…, 1)` wrote, which has the parts of the time in reverse.
fn uuid(value: &Value, is_swapped: Option<bool>) -> EngineOutcome<String> {
    let bytes = column_bytes(value, "uuid").map_err(Error::into_engine)?;
    let mut bytes = <[u8; 16]>::try_from(bytes).map_err(|_| Error::NotUuid.into_engine())?;
    if is_swapped == Some(true) {
        let [a, b, c, d, e, f, g, h, ..] = bytes;
        bytes[..8].copy_from_slice(&[e, f, g, h, c, d, a, b]);
    }
    Ok(Uuid::from_bytes(bytes).hyphenated().to_string())
}

fn urlencode(value: &Value) -> Result<String, Error> {
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Err(Error::Filter { filter: "urlencode", problem: "lists and maps have no form; use a single value" });
    }
    let text = text_of(value)?;
    let mut out = String::new();
    percent::encode(text.as_bytes(), &mut out);
    within_limit(out.len())?;
    Ok(out)
}

/// The result is known to be escaped, so that an XML text doesn't escape it again.
fn escaped(value: &Value) -> Result<Value, Error> {
    let mut out = String::new();
    xml::Escaped(&mut out).put(&text_of(value)?)?;
    within_limit(out.len())?;
    Ok(Value::from_safe_string(out))
}
