//! The character sets of East Asia, whose characters take one to four bytes.
//!
//! In: the bytes of a column. Out: text, or nothing when some of them are no character to the server. `encoding_rs` holds
//! the tables of the Encoding Standard; `exceptions` says where MySQL's are others. From both a table of the server's
//! two-byte codes is made once per set, when it is first needed: 64 KiB, and as much again for the two that have three-byte
//! codes. Keeps nothing else.

use std::sync::OnceLock;

use encoding_rs::Encoding;

use super::exceptions::{self, Exception, Meaning};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiByte {
    Big5,
    Cp932,
    Eucjpms,
    Euckr,
    Gb18030,
    Gb2312,
    Gbk,
    Sjis,
    Ujis,
}

use MultiByte::*;

const ALL: [MultiByte; 9] = [Big5, Cp932, Eucjpms, Euckr, Gb18030, Gb2312, Gbk, Sjis, Ujis];

/// Characters by lead and trail byte; 0 where the server has none. All are in the Basic Multilingual Plane.
type Plane = Box<[u16]>;

struct Tables {
    two_bytes: Plane,
    /// Codes of three bytes, the first of which is 0x8f.
    after_8f: Option<Plane>,
}

impl MultiByte {
    pub(super) fn named(name: &str) -> Option<MultiByte> {
        ALL.into_iter().find(|set| set.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Big5 => "big5",
            Cp932 => "cp932",
            Eucjpms => "eucjpms",
            Euckr => "euckr",
            Gb18030 => "gb18030",
            Gb2312 => "gb2312",
            Gbk => "gbk",
            Sjis => "sjis",
            Ujis => "ujis",
        }
    }

    fn encoding(self) -> &'static Encoding {
        match self {
            Big5 => encoding_rs::BIG5,
            Cp932 | Sjis => encoding_rs::SHIFT_JIS,
            Eucjpms | Ujis => encoding_rs::EUC_JP,
            Euckr => encoding_rs::EUC_KR,
            Gb18030 => encoding_rs::GB18030,
            Gb2312 | Gbk => encoding_rs::GBK,
        }
    }

    fn exceptions(self) -> &'static [Exception] {
        match self {
            Big5 => exceptions::BIG5,
            Cp932 | Euckr => &[],
            Eucjpms => exceptions::EUCJPMS,
            Gb18030 => exceptions::GB18030,
            Gb2312 => exceptions::GB2312,
            Gbk => exceptions::GBK,
            Sjis => exceptions::SJIS,
            Ujis => exceptions::UJIS,
        }
    }

    fn tables(self) -> &'static Tables {
        static TABLES: [OnceLock<Tables>; ALL.len()] = [const { OnceLock::new() }; ALL.len()];
        TABLES[self as usize].get_or_init(|| Tables {
            two_bytes: plane(self.encoding(), &[], self.exceptions()),
            after_8f: match self {
                Ujis => Some(plane(self.encoding(), &[0x8f], exceptions::UJIS_AFTER_8F)),
                Eucjpms => Some(plane(self.encoding(), &[0x8f], exceptions::EUCJPMS_AFTER_8F)),
                _ => None,
            },
        })
    }

    /// Bytes of the character at the head of these: 1 where they are none of several bytes. As the server's lexer asks
    /// (`ismbchar_*` in `strings/ctype-*.cc`): by the ranges of the bytes, whether the set has a character there or not.
    pub fn length(self, bytes: &[u8]) -> usize {
        match (self, bytes) {
            (Big5, [0xa1..=0xf9, 0x40..=0x7e | 0xa1..=0xfe, ..])
            | (Cp932 | Sjis, [0x81..=0x9f | 0xe0..=0xfc, 0x40..=0x7e | 0x80..=0xfc, ..])
            | (Euckr, [0x81..=0xfe, 0x41..=0x5a | 0x61..=0x7a | 0x81..=0xfe, ..])
            | (Gb18030 | Gbk, [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, ..])
            | (Gb2312, [0xa1..=0xf7, 0xa1..=0xfe, ..])
            | (Eucjpms | Ujis, [0x8e, 0xa1..=0xdf, ..] | [0xa1..=0xfe, 0xa1..=0xfe, ..]) => 2,
            (Eucjpms | Ujis, [0x8f, 0xa1..=0xfe, 0xa1..=0xfe, ..]) => 3,
            (Gb18030, [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, ..]) => 4,
            _ => 1,
        }
    }

    pub(super) fn decode(self, bytes: &[u8]) -> Option<Box<str>> {
        let tables = self.tables();
        // Two bytes of these sets become three of UTF-8 at most.
        let mut text = String::with_capacity(bytes.len().div_ceil(2) * 3);
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            let (character, length) =
                if first.is_ascii() { (char::from(*first), 1) } else { self.character(tables, rest)? };
            text.push(character);
            rest = &rest[length..];
        }
        Some(text.into())
    }

    /// The character at the head of these bytes, which is not ASCII, and how many of them it takes.
    fn character(self, tables: &Tables, bytes: &[u8]) -> Option<(char, usize)> {
        match (self, &tables.after_8f, bytes) {
            // Half-width katakana.
            (Sjis | Cp932, _, [byte @ 0xa1..=0xdf, ..]) => Some((char::from_u32(0xff61 + u32::from(byte - 0xa1))?, 1)),
            (_, Some(plane), [0x8f, lead, trail, ..]) => Some((at(plane, *lead, *trail)?, 3)),
            (Gb18030, _, [_, 0x30..=0x39, _, _, ..]) => Some((single(self.encoding(), &bytes[..4])?, 4)),
            (_, _, [lead, trail, ..]) => Some((at(&tables.two_bytes, *lead, *trail)?, 2)),
            _ => None,
        }
    }
}

fn place(lead: u8, trail: u8) -> usize {
    usize::from(lead & 0x7f) << 8 | usize::from(trail)
}

fn at(plane: &Plane, lead: u8, trail: u8) -> Option<char> {
    // The rows are those of lead bytes from 0x80 on.
    let code = if lead < 0x80 { 0 } else { plane[place(lead, trail)] };
    char::from_u32(code.into()).filter(|_| code != 0)
}

/// The one character that the standard reads in these bytes, if it is one.
fn single(encoding: &'static Encoding, bytes: &[u8]) -> Option<char> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}

/// All codes of two bytes that follow `prefix`.
fn plane(encoding: &'static Encoding, prefix: &[u8], exceptions: &[Exception]) -> Plane {
    let mut plane = vec![0; 0x8000].into_boxed_slice();
    for lead in 0x80..=0xff {
        for trail in 0x30..=0xff {
            let character = single(encoding, &[prefix, &[lead, trail]].concat());
            plane[place(lead, trail)] = character.map_or(0, in_plane);
        }
    }
    for exception in exceptions {
        let ([first_lead, first_trail], [last_lead, last_trail]) =
            (exception.first.to_be_bytes(), exception.last.to_be_bytes());
        let codes =
            (first_lead..=last_lead).flat_map(|lead| (first_trail..=last_trail).map(move |trail| place(lead, trail)));
        match exception.meaning {
            Meaning::None => codes.for_each(|code| plane[code] = 0),
            Meaning::From(first) => codes.zip(first..).for_each(|(code, character)| plane[code] = in_plane(character)),
            Meaning::Listed(list) => {
                codes.zip(list.chars()).for_each(|(code, character)| plane[code] = in_plane(character));
            }
        }
    }
    plane
}

/// The standard's characters beyond the plane are Big5's Hong Kong extensions, which MySQL lacks.
fn in_plane(character: char) -> u16 {
    u16::try_from(u32::from(character)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_code_is_read_and_what_mysql_lacks_is_not() {
        for (set, bytes, expected) in [
            (Gbk, &b"a\xd6\xd0"[..], Some("a中")),
            (Gbk, b"\xa2\xab", None),
            (Gbk, b"\xd6", None),
            (Gbk, b"\x80", None),
            (Gb2312, b"\xa1\xa4", Some("・")),
            (Gb18030, b"\x82\x36\x8a\x30\xd6\xd0", Some("ꑝ中")),
            (Gb18030, b"\x82\x36\x8a", None),
            (Gb18030, b"\xfe\x59", Some("\u{e81e}")),
            (Big5, b"\xa4\xa4\xc7\x40", Some("中エ")),
            (Big5, b"\x88\x62", None),
            (Sjis, b"\xb1\x93\xfa\x81\x60", Some("ｱ日\u{301c}")),
            (Cp932, b"\x81\x60\x87\x40", Some("\u{ff5e}①")),
            (Ujis, b"\x8e\xb1\xc6\xfc\x8f\xb0\xa1", Some("ｱ日丂")),
            (Ujis, b"\x8f\xb0", None),
            (Eucjpms, b"\x8f\xf3\xfe\xf5\xa2", Some("Ⅱ\u{e001}")),
            (Euckr, b"\xb0\xa1", Some("가")),
        ] {
            assert_eq!(set.decode(bytes).as_deref(), expected, "{set:?} {bytes:x?}");
        }
    }
}
