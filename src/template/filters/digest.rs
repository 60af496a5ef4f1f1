//! Filters that make digests: SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104).
//!
//! In: a text or bytes, and a key. Out: hex digits. A digest is as short for a long value as for a short one, so that there is no limit to
//! what it is made of.

use minijinja::Environment;
use minijinja::value::Value;
use ring::{digest, hmac};

use super::super::error::Error;
use super::super::operators::defined;
use super::encode::{bytes_of, hex_digits};

pub(super) fn install(env: &mut Environment<'static>) {
    env.add_filter("sha256", |value: &Value| sha256(value).map_err(Error::into_engine));
    env.add_filter("hmac", |value: &Value, key: &Value| hmac(value, key).map_err(Error::into_engine));
}

fn sha256(value: &Value) -> Result<String, Error> {
    Ok(hex_digits(digest::digest(&digest::SHA256, &bytes_of(value)?).as_ref()))
}

fn hmac(value: &Value, key: &Value) -> Result<String, Error> {
    defined(key, key)?;
    if key.is_none() {
        return Err(Error::Filter { filter: "hmac", problem: "the key is NULL" });
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes_of(key)?);
    Ok(hex_digits(hmac::sign(&key, &bytes_of(value)?).as_ref()))
}
