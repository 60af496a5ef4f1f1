//! What an API says of its own rate limit in the headers of its answers. Pure functions: no clock and no I/O.
//!
//! In: headers and the time. Out: what remains and until when. Three families are read: `RateLimit` and
//! `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers, from version 7 on), the fields `RateLimit-Limit`,
//! `-Remaining` and `-Reset` of its older versions, and those with `X-` before them, where the reset is in seconds or a
//! Unix time. Values that make no sense are left out: no API is obliged to send them. Deliberately decides nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many requests an API still takes, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimit {
    /// How many it takes in one window.
    pub limit: Option<u64>,
    /// None where only the reset is named.
    pub remaining: Option<u64>,
    /// The time until it takes more; more than zero, at most [`RESET_MAX`].
    pub reset: Duration,
}

/// A longer time is taken for a mistake in units, or for a limit that counts a month.
const RESET_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A longer value is read up to here: no header that states a limit is so long.
const VALUE_BYTES_MAX: usize = 512;

/// From this number on, seconds are a Unix time (2001 or later), not a wait.
const UNIX_TIME_MIN: f64 = 1e9;
/// From this number on, a Unix time is in milliseconds.
const UNIX_TIME_MS_MIN: f64 = 1e11;

/// Reads the headers; of several limits it returns the tightest one.
pub fn read<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    now: impl Fn() -> SystemTime,
) -> Option<ServerLimit> {
    let mut read = Fields::default();
    for (name, value) in headers {
        // One comparison for every other header.
        let Some(rest) = name.strip_prefix("x-").unwrap_or(name).strip_prefix("rate") else { continue };
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        let Some(field) = rest.strip_prefix("limit") else { continue };
        let value = std::str::from_utf8(value).unwrap_or_default();
        if value.len() <= VALUE_BYTES_MAX {
            read.add(field, value, &now);
        }
    }
    read.tightest()
}

#[derive(Debug, Default)]
struct Fields {
    /// Of `RateLimit`.
    items: Vec<Item>,
    /// Of `RateLimit-Policy`.
    policies: Vec<Item>,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<Duration>,
}

/// One member of a structured list, or a whole `limit=…, remaining=…, reset=…`.
#[derive(Debug, Default)]
struct Item {
    name: String,
    limit: Option<u64>,
    remaining: Option<u64>,
    wait: Option<Duration>,
}

impl Fields {
    fn add(&mut self, field: &str, value: &str, now: &impl Fn() -> SystemTime) {
        match field {
            "" => self.items.extend(items(value)),
            "-policy" => self.policies.extend(items(value)),
            "-limit" => self.limit = self.limit.or_else(|| numbers(value).next()),
            "-remaining" => self.remaining = self.remaining.into_iter().chain(numbers(value)).min(),
            "-reset" => {
                let waits = value.split(',').filter_map(|word| reset(word, now()));
                self.reset = self.reset.into_iter().chain(waits).max();
            }
            _ => {}
        }
    }

    fn tightest(self) -> Option<ServerLimit> {
        let plain = ServerLimit { limit: self.limit, remaining: self.remaining, reset: self.reset.unwrap_or_default() };
        let items = self.items.iter().map(|item| {
            let policy = self.policies.iter().find(|policy| policy.name == item.name);
            let limit = item.limit.or(policy.and_then(|policy| policy.limit));
            let wait = item.wait.or(policy.and_then(|policy| policy.wait));
            ServerLimit { limit, remaining: item.remaining, reset: wait.unwrap_or_default() }
        });
        let quotas = items.chain([plain]).filter(|server_limit| !server_limit.reset.is_zero());
        let mut quotas: Vec<ServerLimit> = quotas
            .map(|server_limit| ServerLimit { reset: server_limit.reset.min(RESET_MAX), ..server_limit })
            .collect();
        // The one with the fewest requests per second; of those with none left, the one with the longest time.
        let looseness = |server_limit: &ServerLimit| match server_limit.remaining {
            Some(0) => -server_limit.reset.as_secs_f64(),
            Some(remaining) => remaining as f64 / server_limit.reset.as_secs_f64(),
            None => f64::INFINITY,
        };
        quotas.sort_by(|a, b| looseness(a).total_cmp(&looseness(b)));
        quotas.first().copied()
    }
}

/// `"default";r=0;t=12, "daily";r=900`, and the older `limit=100, remaining=0, reset=12`.
fn items(value: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut whole = Item::default();
    for member in value.split(',') {
        let mut parts = member.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        if let Some((key, number)) = name.split_once('=') {
            let number = number_of(number);
            match key.trim() {
                "limit" => whole.limit = number,
                "remaining" => whole.remaining = number,
                "reset" => whole.wait = number.map(Duration::from_secs),
                _ => {}
            }
            continue;
        }
        let mut item = Item { name: name.to_owned(), ..Item::default() };
        for (key, number) in parts.filter_map(|part| part.split_once('=')) {
            let number = number_of(number);
            match key.trim() {
                "r" => item.remaining = number,
                "q" => item.limit = number,
                "t" | "w" => item.wait = number.map(Duration::from_secs),
                _ => {}
            }
        }
        items.push(item);
    }
    items.push(whole);
    items.retain(|item| item.remaining.is_some() || item.limit.is_some());
    items
}

fn numbers(value: &str) -> impl Iterator<Item = u64> {
    // A parameter may follow: `100;w=60`.
    value.split(',').filter_map(|word| number_of(word.split(';').next().unwrap_or_default()))
}

/// Digits alone, without sign and fraction. A number that does not fit into 64 bits is no limit.
fn number_of(word: &str) -> Option<u64> {
    let word = word.trim();
    (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())).then(|| word.parse().ok()).flatten()
}

/// A wait in seconds or a Unix time, in seconds or milliseconds, with or without a fraction. None for a moment that is
/// over.
fn reset(word: &str, now: SystemTime) -> Option<Duration> {
    let word = word.trim();
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: f64 = word.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)?;
    if number < UNIX_TIME_MIN {
        return Some(Duration::from_secs_f64(number));
    }
    let seconds = if number < UNIX_TIME_MS_MIN { number } else { number / 1000.0 };
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    UNIX_EPOCH.checked_add(since_epoch)?.duration_since(now).ok()
}

#[cfg(test)]
mod tests;
