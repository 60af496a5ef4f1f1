//! Character sets by collation id, and the conversion of their bytes to UTF-8.
//!
//! In: the server's own list of collations, bytes of a column or label. Out: the text that the server gives for
//! `CONVERT(column USING utf8mb4)`, or a refusal where it has no character for a code: bytes are never replaced or guessed
//! (promise 7). All sets of MySQL 8.0 to 9.7; `tests/mysql/charsets.rs` compares every code with a server's answer.

mod exceptions;
mod multi_byte;
mod single_byte;

use std::collections::HashMap;

pub use multi_byte::MultiByte;
pub use single_byte::SingleByte;

/// How to read the bytes of a character column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    Binary,
    /// `utf8mb4` and `utf8mb3`.
    Utf8,
    Ascii,
    /// Two bytes to a character; unlike UTF-16 without surrogate pairs.
    Ucs2,
    Utf16Be,
    Utf16Le,
    Utf32,
    SingleByte(&'static SingleByte),
    MultiByte(MultiByte),
    /// The set of a collation that the server did not list, or that has an unknown name.
    Unknown {
        collation: u64,
    },
}

impl Charset {
    fn named(name: &str) -> Option<Charset> {
        Some(match name {
            "binary" => Charset::Binary,
            "utf8" | "utf8mb3" | "utf8mb4" => Charset::Utf8,
            "ascii" => Charset::Ascii,
            "ucs2" => Charset::Ucs2,
            "utf16" => Charset::Utf16Be,
            "utf16le" => Charset::Utf16Le,
            "utf32" => Charset::Utf32,
            other => match MultiByte::named(other) {
                Some(set) => Charset::MultiByte(set),
                None => Charset::SingleByte(SingleByte::named(other)?),
            },
        })
    }

    /// Whether the server's character set of this name certainly has every character of a text.
    pub fn can_encode(name: &str, text: &str) -> bool {
        match Charset::named(name) {
            // utf8mb3 and ucs2 have three bytes and two for a character at most.
            Some(Charset::Utf8) if name != "utf8mb4" => text.chars().all(|character| character <= '\u{ffff}'),
            Some(Charset::Ucs2) => text.chars().all(|character| character <= '\u{ffff}'),
            Some(Charset::Utf8 | Charset::Utf16Be | Charset::Utf16Le | Charset::Utf32) => true,
            Some(set @ Charset::SingleByte(_)) => {
                let of_byte = |byte: u8| set.decode(&[byte]).ok().and_then(|text| text.chars().next());
                let known: Vec<char> = (0..=u8::MAX).filter_map(of_byte).collect();
                text.chars().all(|character| known.contains(&character))
            }
            // For the other sets only the characters that all sets have are known without their tables.
            Some(Charset::Ascii | Charset::MultiByte(_) | Charset::Binary | Charset::Unknown { .. }) => text.is_ascii(),
            None => false,
        }
    }

    /// The text of these bytes; an error says why there is none.
    pub fn decode(self, bytes: &[u8]) -> Result<Box<str>, String> {
        let not = |name: &str| format!("bytes that are not {name}");
        let without = |name: &str| format!("a code of the character set {name} that the server has no character for");
        match self {
            Charset::Utf8 => std::str::from_utf8(bytes).map(Into::into).map_err(|_| not("UTF-8")),
            Charset::Ascii => ascii(bytes).ok_or_else(|| not("ASCII")),
            Charset::Ucs2 => ucs2(bytes).ok_or_else(|| not("UCS-2")),
            Charset::Utf16Be => utf16(bytes, u16::from_be_bytes).ok_or_else(|| not("UTF-16")),
            Charset::Utf16Le => utf16(bytes, u16::from_le_bytes).ok_or_else(|| not("UTF-16")),
            Charset::Utf32 => utf32(bytes).ok_or_else(|| not("UTF-32")),
            Charset::SingleByte(set) => set.decode(bytes).ok_or_else(|| without(set.name)),
            // Most text is ASCII, which all of these have as it is.
            Charset::MultiByte(set) => ascii(bytes).or_else(|| set.decode(bytes)).ok_or_else(|| without(set.name())),
            Charset::Binary => Err("a label in the binary character set".to_string()),
            Charset::Unknown { collation } => {
                Err(format!("text of collation {collation}, whose character set this version of rowhook does not know"))
            }
        }
    }
}

fn ascii(bytes: &[u8]) -> Option<Box<str>> {
    std::str::from_utf8(bytes).ok().filter(|_| bytes.is_ascii()).map(Into::into)
}

/// MySQL stores half of a surrogate pair in a ucs2 column, but cannot convert it.
fn ucs2(bytes: &[u8]) -> Option<Box<str>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = pairs.iter().map(|pair| char::from_u32(u16::from_be_bytes(*pair).into())).collect::<Option<String>>();
    text.filter(|_| rest.is_empty()).map(Into::into)
}

fn utf16(bytes: &[u8], of: fn([u8; 2]) -> u16) -> Option<Box<str>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| of(*pair))).collect::<Result<String, _>>().ok();
    text.filter(|_| rest.is_empty()).map(Into::into)
}

fn utf32(bytes: &[u8]) -> Option<Box<str>> {
    let (words, rest) = bytes.as_chunks::<4>();
    let text = words.iter().map(|word| char::from_u32(u32::from_be_bytes(*word))).collect::<Option<String>>();
    text.filter(|_| rest.is_empty()).map(Into::into)
}

/// The collations of one server, by id.
#[derive(Debug, Clone, Default)]
pub struct Charsets(HashMap<u16, Charset>);

impl Charsets {
    /// Takes pairs of collation id and name of its character set.
    pub fn new(collations: impl IntoIterator<Item = (u16, String)>) -> Charsets {
        Charsets(collations.into_iter().filter_map(|(id, name)| Some((id, Charset::named(&name)?))).collect())
    }

    pub fn of(&self, collation: u64) -> Charset {
        let known = u16::try_from(collation).ok().and_then(|id| self.0.get(&id));
        known.copied().unwrap_or(Charset::Unknown { collation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_the_right_text_or_are_refused() {
        for (charset, bytes, expected) in [
            ("utf8mb4", &b"\xc3\xa9\xf0\x9f\x98\x80"[..], Some("é😀")),
            ("utf8mb4", b"\xe9", None),
            ("latin1", b"\xe9\x80\x81", Some("é€\u{81}")),
            ("ascii", b"abc", Some("abc")),
            ("ascii", b"\xe9", None),
            ("ucs2", b"\x00\xe9", Some("é")),
            ("ucs2", b"\xd8\x3d\xde\x00", None),
            ("utf16", b"\x00\xe9\xd8\x3d\xde\x00", Some("é😀")),
            ("utf16", b"\x00", None),
            ("utf16le", b"\xe9\x00", Some("é")),
            ("utf32", b"\x00\x01\xf6\x00", Some("😀")),
            ("gbk", b"\xd6\xd0 x", Some("中 x")),
            ("gbk", b"\xa2\xab", None),
            ("cp1251", b"\xc4\xe0", Some("Да")),
            ("cp1251", b"\x98", None),
            ("swe7", b"[\\]", Some("ÄÖÅ")),
            ("swe7", b"\x7f", None),
            ("swe7", b"\x80", None),
            ("tis620", b"\xa1", Some("ก")),
            ("tis620", b"\xff", None),
            ("greek", b"plain", Some("plain")),
        ] {
            let set = Charset::named(charset).expect(charset);
            assert_eq!(set.decode(bytes).ok().as_deref(), expected, "{charset} {bytes:?}");
        }
    }

    #[test]
    fn a_set_can_encode_the_characters_that_it_has_a_code_for() {
        for (set, held, other) in [
            ("utf8mb4", "größe 中 😀", None),
            ("utf16", "😀", None),
            ("utf8mb3", "größe 中", Some("😀")),
            ("ucs2", "中", Some("😀")),
            ("latin1", "größe €", Some("я")),
            ("cp1251", "Да", Some("ß")),
            ("swe7", "ÄÖ", Some("[")),
            ("gbk", "plain", Some("中")),
            ("ascii", "plain", Some("é")),
            ("binary", "plain", Some("é")),
        ] {
            assert!(Charset::can_encode(set, held), "{set} {held}");
            assert!(other.is_none_or(|other| !Charset::can_encode(set, other)), "{set} {other:?}");
        }
        assert!(!Charset::can_encode("utf64", "a"));
    }

    #[test]
    fn a_collation_of_a_set_that_is_new_is_refused_by_its_number() {
        let charsets = Charsets::new([(8, "latin1".to_string()), (999, "utf64".to_string())]);
        assert_eq!(charsets.of(8).decode(b"\xe9").as_deref(), Ok("é"));
        for unknown in [999, 70_000] {
            let problem = charsets.of(unknown).decode(b"x").expect_err("an unknown character set");
            assert!(problem.contains(&unknown.to_string()), "{problem}");
        }
    }
}
