//! Answers without our credentials, which some APIs repeat in what they answer.
//!
//! In: what was received, and the secrets that were sent. Out: the same with `***` in their places, in all that is shown or kept; what a
//! rule reads of the answer to its call is as it came. A secret is found as it is, and as JSON and URLs may spell it: `\/`, `\u00f6`, `%2b`. Not found is what is spelled in
//! two ways at once, as a URL within JSON within a text.

use super::super::client::Received;
use crate::failure::Answer;
use crate::saga::KeptAnswer;
use crate::template::Secret;

/// Masks them in what is shown of the answer, and notes them for what is made of it later. They are asked for only where something of
/// the answer is shown or kept.
pub(super) fn noted<I>(mut received: Received, secrets: impl FnOnce() -> I) -> Received
where
    I: Iterator<Item: AsRef<str>>,
{
    let Received { answer: Answer::Status { excerpt, .. }, body, headers, .. } = &mut received else {
        return received;
    };
    if excerpt.is_empty() && body.bytes.is_empty() && headers.is_empty() {
        return received;
    }
    let secrets = longest_first(secrets());
    mask_excerpt(excerpt, secrets.iter());
    received.secrets = secrets.iter().map(|secret| Secret::new(secret.as_ref())).collect();
    received
}

/// Masks these secrets in what is shown of an answer.
pub(super) fn mask_excerpt(excerpt: &mut String, secrets: impl Iterator<Item: AsRef<str>>) {
    for secret in longest_first(secrets) {
        if let Some(masked) = without(excerpt, secret.as_ref()) {
            *excerpt = masked;
        }
        if let Some(begin) = cut_within(excerpt, secret.as_ref()) {
            excerpt.replace_range(begin.., "***");
        }
    }
}

/// Each once. One that is a part of another would leave the rest of it standing.
fn longest_first<S: AsRef<str>>(secrets: impl Iterator<Item = S>) -> Vec<S> {
    let mut secrets: Vec<S> = secrets.filter(|secret| !secret.as_ref().is_empty()).collect();
    secrets.sort_by(|a, b| (b.as_ref().len(), b.as_ref()).cmp(&(a.as_ref().len(), a.as_ref())));
    secrets.dedup_by(|a, b| a.as_ref() == b.as_ref());
    secrets
}

/// What is shorter than any credential may be part of what the answer says.
pub(super) const SECRET_BYTES_MIN: usize = 8;

/// Masks these secrets, of which the longest come first, in what a later step may read.
pub(in crate::delivery::sink::http) fn mask_kept(kept: &mut KeptAnswer, secrets: &[Secret]) {
    for secret in secrets.iter().map(Secret::reveal).filter(|secret| secret.len() >= SECRET_BYTES_MIN) {
        // What is no UTF-8, or cut within a character, becomes U+FFFD, as in all that is made of an answer.
        if let Some(masked) = without(&String::from_utf8_lossy(&kept.body), secret) {
            kept.body = masked.into_bytes().into();
        }
        for (_, value) in &mut kept.headers {
            if let Some(masked) = without(value, secret) {
                *value = masked.into();
            }
        }
    }
}

/// The text with `***` instead of the secret in every spelling; none where it does not hold it.
fn without(text: &str, secret: &str) -> Option<String> {
    if !text.contains(['\\', '%', '+']) {
        return text.contains(secret).then(|| text.replace(secret, "***"));
    }
    let mut masked = String::new();
    let (mut kept_to, mut at) = (0, 0);
    while at < text.len() {
        match end_of(&text[at..], secret) {
            Some(length) => {
                masked.push_str(&text[kept_to..at]);
                masked.push_str("***");
                at += length;
                kept_to = at;
            }
            None => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    (kept_to > 0).then(|| masked + &text[kept_to..])
}

/// Where the secret begins that the end of the text cuts off; the beginning of a secret is one in four characters of it or more.
fn cut_within(text: &str, secret: &str) -> Option<usize> {
    const CHARACTERS_MIN: usize = 4;
    // A character takes at most twelve bytes, as two escapes of JSON.
    let earliest = text.len().saturating_sub(12 * secret.len());
    let mut begins = text.char_indices().map(|(at, _)| at).filter(|at| *at >= earliest);
    let is_cut = |at: &usize| {
        let (mut ends, mut spelled_characters) = (vec![*at], 0);
        for c in secret.chars() {
            if ends.iter().any(|end| is_begun(&text[*end..])) {
                return spelled_characters >= CHARACTERS_MIN;
            }
            ends = longer(text, &ends, c);
            if ends.is_empty() {
                return false;
            }
            spelled_characters += 1;
        }
        false
    };
    begins.find(is_cut)
}

/// How many bytes at the beginning of the text spell the secret; the most, where it can be read in more than one way.
fn end_of(text: &str, secret: &str) -> Option<usize> {
    // Nearly everywhere it is not even the first character.
    spelled(text, secret.chars().next()?).next()?;
    let mut ends = vec![0];
    for c in secret.chars() {
        ends = longer(text, &ends, c);
        if ends.is_empty() {
            return None;
        }
    }
    ends.last().copied()
}

/// Whether this is nothing, or the beginning of an escape that needs more.
fn is_begun(rest: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let of_json = |rest: &str| rest.len() < 6 && r"\u".starts_with(rest.get(..2).unwrap_or(rest));
    match rest.as_bytes() {
        [] => true,
        [b'%', ..] => rest.len() < 3 && is_hex(&rest[1..]),
        [b'\\', ..] => of_json(rest) && is_hex(rest.get(2..).unwrap_or_default()),
        _ => false,
    }
}

/// Where the spellings that end at `ends` end with one character more; in order, each once.
fn longer(text: &str, ends: &[usize], c: char) -> Vec<usize> {
    let mut next: Vec<usize> =
        ends.iter().flat_map(|end| spelled(&text[*end..], c).map(move |length| end + length)).collect();
    next.sort_unstable();
    next.dedup();
    next
}

/// How many bytes at the beginning of the text spell the character: as it is, escaped in JSON, percent-encoded.
fn spelled(text: &str, c: char) -> impl Iterator<Item = usize> {
    let as_it_is = text.starts_with(c).then(|| c.len_utf8());
    let of_form = (c == ' ' && text.starts_with('+')).then_some(1);
    let escaped = if text.starts_with('\\') { escaped(text, c) } else { None };
    let encoded = if text.starts_with('%') { encoded(text, c) } else { None };
    [as_it_is, of_form, escaped, encoded].into_iter().flatten()
}

/// RFC 8259, section 7.
fn escaped(text: &str, c: char) -> Option<usize> {
    let short = match text.as_bytes().get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            let is_spelled = |(n, unit): (usize, &u16)| {
                let digits = text.get(6 * n..6 * n + 6).and_then(|escape| escape.strip_prefix("\\u"));
                digits.is_some_and(|digits| u16::from_str_radix(digits, 16) == Ok(*unit))
            };
            return units.iter().enumerate().all(is_spelled).then_some(6 * units.len());
        }
        other => char::from(*other),
    };
    (short == c).then_some(2)
}

/// RFC 3986, section 2.1: of each byte in UTF-8.
fn encoded(text: &str, c: char) -> Option<usize> {
    let mut bytes = [0; 4];
    let bytes = c.encode_utf8(&mut bytes).as_bytes();
    let is_encoded = |(n, byte): (usize, &u8)| {
        let digits = text.get(3 * n..3 * n + 3).and_then(|encoded| encoded.strip_prefix('%'));
        digits.is_some_and(|digits| u8::from_str_radix(digits, 16) == Ok(*byte))
    };
    bytes.iter().enumerate().all(is_encoded).then_some(3 * bytes.len())
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        for (text, secret, expected) in [
            ("you sent a/b+c", "a/b+c", Some("you sent ***")),
            (r"you sent a\/b+c.", "a/b+c", Some("you sent ***.")),
            ("k=a%2Fb%2bc&x=1", "a/b+c", Some("k=***&x=1")),
            (r#"{"you": "k\u00f6nig", "and": "k\u00F6nig"}"#, "könig", Some(r#"{"you": "***", "and": "***"}"#)),
            ("k%C3%B6nig k%c3%b6nig könig", "könig", Some("*** *** ***")),
            (r"a\ud83d\ude00b", "a😀b", Some("***")),
            (r#"a\"b\\c\td"#, "a\"b\\c\td", Some("***")),
            ("a+b%20c", "a b c", Some("***")),
            ("100%25 or 100%", "100%", Some("*** or ***")),
            (r"\u002d\u002D-", "---", Some("***")),
            (r"a\b a%zz a% \", "secret", None),
            ("%", "%%", None),
            (r"\u00", "ö", None),
            ("nothing of it", "secret", None),
            ("secretsecret+", "secret", Some("******+")),
        ] {
            assert_eq!(without(text, secret).as_deref(), expected, "{secret} in {text}");
        }
    }

    #[test]
    fn the_beginning_of_a_secret_is_found_where_the_text_ends_within_it() {
        for (text, secret, expected) in [
            ("you sent sk_live_12", "sk_live_1234", Some(9)),
            ("you sent sk_", "sk_live_1234", None),
            (r"you sent sk\/live", "sk/live/1234", Some(9)),
            ("k%C3%B6nig", "königinnen", Some(0)),
            ("you sent sk_live_1234", "sk_live_1234", None),
            ("könig", "königinnen", Some(0)),
            (r"sent sk\/live\", "sk/live/1234", Some(5)),
            (r"k\u00f6ni\u0", "könighaft", Some(0)),
            ("sk%2Flive%2", "sk/live/1234", Some(0)),
            (r"sent \", "secret", None),
            ("", "secret", None),
        ] {
            assert_eq!(cut_within(text, secret), expected, "{secret} in {text}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_secret_stays_and_all_around_it_does(secret in "\\PC{3,12}", before in "[a-c ]{0,4}", behind in "[a-c ]{0,4}") {
            prop_assume!(!secret.contains(['a', 'b', 'c', ' ', '*']));
            let json = serde_json::to_string(&secret).expect("a text");
            let slashes = json.replace('/', "\\/");
            let utf16: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            let percent = utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string();
            let spellings =
                [&secret, &json[1..json.len() - 1], &slashes[1..slashes.len() - 1], &utf16, &percent, &percent.to_lowercase()];
            for spelling in spellings {
                if *spelling == percent.to_lowercase() && secret.to_lowercase() != secret {
                    continue;
                }
                let masked = without(&format!("{before}{spelling}{behind}"), &secret);
                prop_assert_eq!(masked, Some(format!("{before}***{behind}")), "{} as {}", secret, spelling);
            }
        }
    }
}
