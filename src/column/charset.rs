//! Character sets by collation id, and the conversion of their bytes to UTF-8.
//!
//! In: the server's own list of collations, bytes of a column or label. Out: text, or a refusal: bytes are never
//! replaced or guessed (promise 7). Multi-byte sets other than UTF-8, UTF-16 and UTF-32 are not converted.

use std::collections::HashMap;

/// How the bytes of a character column read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charset {
    Binary,
    Utf8,
    Ascii,
    /// MySQL's latin1: Windows-1252, with the five bytes that it leaves open standing for themselves.
    Latin1,
    /// `ucs2` and `utf16`.
    Utf16Be,
    Utf16Le,
    Utf32,
    /// One that is not converted; its name.
    Other(Box<str>),
}

impl Charset {
    fn named(name: &str) -> Charset {
        match name {
            "binary" => Charset::Binary,
            "utf8" | "utf8mb3" | "utf8mb4" => Charset::Utf8,
            "ascii" => Charset::Ascii,
            "latin1" => Charset::Latin1,
            "ucs2" | "utf16" => Charset::Utf16Be,
            "utf16le" => Charset::Utf16Le,
            "utf32" => Charset::Utf32,
            other => Charset::Other(other.into()),
        }
    }

    /// The text of these bytes; an error says why there is none.
    pub fn decode(&self, bytes: &[u8]) -> Result<Box<str>, String> {
        let units = |of: fn([u8; 2]) -> u16| {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let text = char::decode_utf16(pairs.iter().map(|pair| of(*pair))).collect::<Result<String, _>>();
            text.ok().filter(|_| rest.is_empty()).map(Into::into).ok_or_else(|| "bytes that are not UTF-16".to_string())
        };
        match self {
            Charset::Utf8 => {
                std::str::from_utf8(bytes).map(Into::into).map_err(|_| "bytes that are not UTF-8".to_string())
            }
            Charset::Ascii if bytes.is_ascii() => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
            Charset::Ascii => Err("bytes that are not ASCII".to_string()),
            Charset::Latin1 => Ok(bytes.iter().map(|byte| latin1(*byte)).collect()),
            Charset::Utf16Be => units(u16::from_be_bytes),
            Charset::Utf16Le => units(u16::from_le_bytes),
            Charset::Utf32 => {
                let (words, rest) = bytes.as_chunks::<4>();
                let text =
                    words.iter().map(|word| char::from_u32(u32::from_be_bytes(*word))).collect::<Option<String>>();
                text.filter(|_| rest.is_empty()).map(Into::into).ok_or_else(|| "bytes that are not UTF-32".to_string())
            }
            Charset::Binary => Err("a label in the binary character set".to_string()),
            Charset::Other(name) => Err(format!("the character set {name}")),
        }
    }
}

/// MySQL's `cp1252` table (`strings/ctype-latin1.cc`, `cs_to_uni`) for 0x80 to 0x9f; all else stands for itself.
fn latin1(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

/// The collations of one server, by id.
#[derive(Debug, Clone, Default)]
pub struct Charsets(HashMap<u16, Charset>);

impl Charsets {
    pub fn new(collations: impl IntoIterator<Item = (u16, String)>) -> Charsets {
        Charsets(collations.into_iter().map(|(id, name)| (id, Charset::named(&name))).collect())
    }

    pub fn of(&self, collation: u64) -> Charset {
        let known = u16::try_from(collation).ok().and_then(|id| self.0.get(&id));
        known.cloned().unwrap_or_else(|| Charset::Other(format!("of collation {collation}").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_text_or_are_refused_but_never_bent() {
        for (charset, bytes, expected) in [
            ("utf8mb4", &b"\xc3\xa9\xf0\x9f\x98\x80"[..], Some("é😀")),
            ("utf8mb4", b"\xe9", None),
            ("latin1", b"\xe9\x80\x81", Some("é€\u{81}")),
            ("ascii", b"abc", Some("abc")),
            ("ascii", b"\xe9", None),
            ("utf16", b"\x00\xe9\xd8\x3d\xde\x00", Some("é😀")),
            ("utf16", b"\x00", None),
            ("utf16le", b"\xe9\x00", Some("é")),
            ("utf32", b"\x00\x01\xf6\x00", Some("😀")),
            ("gbk", b"\xd6\xd0", None),
        ] {
            assert_eq!(Charset::named(charset).decode(bytes).ok().as_deref(), expected, "{charset} {bytes:?}");
        }
    }
}
