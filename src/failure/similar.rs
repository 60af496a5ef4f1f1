//! Messages that differ only in numbers, ids and quoted values, as one.
//!
//! In: a message. Out: its text with placeholders, so that those of a thousand rows are the same. A status after `answered` stays, for
//! it says what went wrong. Pure; one pass, without an allocation of its own.

/// What a quoted value has at most; a quote that ends later is an apostrophe.
const QUOTED_BYTES_MAX: usize = 200;

/// Shorter words with digits are kept, but for the digits: `10s`, `utf8`.
const ID_CHARACTERS_MIN: usize = 8;

/// Appends the message, with `<n>`, `<id>`, `<uuid>` and `<value>` where it has numbers, ids and quoted values.
pub fn write_similar(message: &str, out: &mut String) {
    let begin = out.len();
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => quoted_bytes(rest, out[begin..].chars().next_back()),
            _ => 0,
        };
        if length > 0 {
            out.push_str("<value>");
            rest = &rest[length..];
            continue;
        }
        let length = word_bytes(rest);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        write_word(word, begin, out);
        rest = after;
    }
}

/// As [`write_similar`], in a text of its own.
pub fn similar(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    write_similar(message, &mut text);
    text
}

/// The bytes of a value in quotes at the beginning; 0: it is an apostrophe.
fn quoted_bytes(text: &str, before: Option<char>) -> usize {
    let quote = text.chars().next().unwrap_or_default();
    if before.is_some_and(char::is_alphanumeric) {
        return 0;
    }
    let ends = text.match_indices(quote).skip(1).map(|(at, quote)| at + quote.len());
    let mut ends = ends.take_while(|end| *end <= QUOTED_BYTES_MAX);
    ends.find(|end| !text[*end..].chars().next().is_some_and(char::is_alphanumeric)).unwrap_or(0)
}

/// The bytes of letters, digits and `_` at the beginning, also around single `-`.
fn word_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_part = |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let mut end = 0;
    while is_part(end) || (end > 0 && bytes.get(end) == Some(&b'-') && is_part(end + 1)) {
        end += 1;
    }
    end
}

fn write_word(word: &str, begin: usize, out: &mut String) {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 || (digits == 3 && word.len() == 3 && out[begin..].ends_with("answered ")) {
        out.push_str(word);
    } else if digits == word.len() {
        write_number(begin, out);
    } else if is_uuid(word) {
        out.push_str("<uuid>");
    } else if word.len() >= ID_CHARACTERS_MIN && digits > 1 {
        out.push_str("<id>");
    } else {
        let mut was_digit = false;
        for c in word.chars() {
            match (c.is_ascii_digit(), was_digit) {
                (true, false) => write_number(begin, out),
                (true, true) => {}
                (false, _) => out.push(c),
            }
            was_digit = c.is_ascii_digit();
        }
    }
}

/// A number with decimals, and an address, are one number.
fn write_number(begin: usize, out: &mut String) {
    if out[begin..].ends_with("<n>.") {
        out.pop();
    } else {
        out.push_str("<n>");
    }
}

fn is_uuid(word: &str) -> bool {
    let is_right = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    word.len() == 36 && word.bytes().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_row_to_row_becomes_a_placeholder() {
        for (message, expected) in [
            ("answered 404: not retried", "answered 404: not retried"),
            ("all 4 attempts failed, the last: answered 503", "all <n> attempts failed, the last: answered 503"),
            ("answered 1234 times", "answered <n> times"),
            ("no order 4711", "no order <n>"),
            ("no order ord_8Zk2aa91", "no order <id>"),
            ("no order 9e4e7a42-0c1d-4b6e-8f3a-77f3a1c00001!", "no order <uuid>!"),
            ("total 12.50 of 127.0.0.1:8080", "total <n> of <n>:<n>"),
            ("no answer within 10s", "no answer within <n>s"),
            ("no answer within 400ms", "no answer within <n>ms"),
            ("email 'a@b.example' is taken", "email <value> is taken"),
            ("name \"O'Neil, 7\" is bad", "name <value> is bad"),
            ("it can't and won't: 'x'", "it can't and won't: <value>"),
            ("`row.items[0].sku` is undefined", "`row.items[<n>].sku` is undefined"),
            ("charset utf8 at 2026-11-20", "charset utf<n> at <id>"),
            ("an open 'quote", "an open 'quote"),
            ("größe 5 für 'ä'", "größe <n> für <value>"),
            ("", ""),
        ] {
            assert_eq!(similar(message), expected, "{message}");
        }
    }

    #[test]
    fn what_is_similar_stays_as_it_is() {
        for message in ["no order ord_8Zk2aa91", "a 'b' 7.5 10s", "x 9e4e7a42-0c1d-4b6e-8f3a-77f3a1c00001"] {
            assert_eq!(similar(&similar(message)), similar(message));
        }
    }
}
