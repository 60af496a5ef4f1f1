//! Text of answers: from whatever character set to UTF-8, without a byte order mark. Pure functions.
//!
//! In: a body that is not packed (any more) and its `Content-Type`. Out: the same in UTF-8 where it is text in another
//! character set, else as it came. A byte order mark decides, then `charset`; without either it is UTF-8, as JSON is, or its
//! character set is unknown. Labels are those of the Encoding Standard, so `iso-8859-1` means windows-1252.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// What was read of a body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    pub bytes: Vec<u8>,
    /// There was more.
    pub is_cut: bool,
    /// Why the bytes are not what the server meant to say, for people: they are still packed, or damaged.
    pub problem: Option<String>,
}

impl Text {
    /// In UTF-8, at most `bytes_max` bytes.
    pub fn decoded(mut self, content_type: Option<&str>, bytes_max: usize) -> Text {
        if self.problem.is_none()
            && let Some(text) = self.in_utf8(content_type)
        {
            self.bytes = text;
        }
        self.is_cut |= self.bytes.len() > bytes_max;
        self.bytes.truncate(bytes_max);
        self
    }

    /// None: it is already, or its character set is unknown.
    fn in_utf8(&mut self, content_type: Option<&str>) -> Option<Vec<u8>> {
        let (encoding, mark) = match Encoding::for_bom(&self.bytes) {
            Some((encoding, mark)) => (encoding, mark),
            None => (self.named(content_type?)?, 0),
        };
        let rest = &self.bytes[mark..];
        if encoding == UTF_8 {
            return (mark > 0).then(|| rest.to_vec());
        }
        let (text, is_damaged) = encoding.decode_without_bom_handling(rest);
        // What was cut off may end within a character.
        if is_damaged && !self.is_cut {
            self.problem = Some(format!("it is not text in {}, which it is said to be", encoding.name()));
        }
        Some(text.into_owned().into_bytes())
    }

    fn named(&self, content_type: &str) -> Option<&'static Encoding> {
        let label = charset(content_type)?;
        let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
        // Without a mark `utf-16` does not say which; the first character of JSON does.
        let is_big_endian = label.eq_ignore_ascii_case("utf-16") && self.bytes.first() == Some(&0);
        Some(if encoding == UTF_16LE && is_big_endian { UTF_16BE } else { encoding })
    }
}

/// `application/json; charset="utf-8"`
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(content_type: Option<&str>, bytes: &[u8]) -> Text {
        Text { bytes: bytes.to_vec(), ..Text::default() }.decoded(content_type, 1000)
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn text_in_any_character_set_becomes_utf8() {
        let json = r#"{"name": "Jürgen"}"#;
        let (le, be) = (utf16(json, u16::to_le_bytes), utf16(json, u16::to_be_bytes));
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        let latin1: Vec<u8> = json.chars().map(|c| c as u8).collect();
        let plain = json.as_bytes();
        for (content_type, bytes) in [
            (None, plain.to_vec()),
            (None, marked(b"\xef\xbb\xbf", plain)),
            (Some("application/json"), marked(b"\xef\xbb\xbf", plain)),
            (Some("application/json; charset=utf-8"), plain.to_vec()),
            (Some("application/json; charset=utf-8"), marked(b"\xef\xbb\xbf", plain)),
            (Some("application/json;charset=\"UTF8\""), plain.to_vec()),
            (Some("text/plain; charset=nobody-knows"), plain.to_vec()),
            (None, marked(b"\xff\xfe", &le)),
            (None, marked(b"\xfe\xff", &be)),
            (Some("application/json; charset=utf-8"), marked(b"\xff\xfe", &le)),
            (Some("application/json; charset=utf-16"), marked(b"\xfe\xff", &be)),
            (Some("application/json; charset=UTF-16LE"), le.clone()),
            (Some("application/json; charset=utf-16be"), be.clone()),
            (Some("application/json; charset=utf-16"), le),
            (Some("application/json; charset=utf-16"), be),
            (Some("application/json; charset=ISO-8859-1"), latin1.clone()),
            (Some("text/html; boundary=x; Charset = 'windows-1252'"), latin1.clone()),
            (Some("application/json; charset=iso-8859-15"), latin1),
        ] {
            let text = decoded(content_type, &bytes);
            assert_eq!(String::from_utf8(text.bytes).as_deref(), Ok(json), "{content_type:?} {bytes:?}");
            assert_eq!((text.is_cut, text.problem), (false, None), "{content_type:?}");
        }
        let shift_jis = decoded(Some("text/plain; charset=Shift_JIS"), b"\x83\x65\x83\x58\x83\x67");
        assert_eq!(shift_jis.bytes, "テスト".as_bytes());
    }

    #[test]
    fn bytes_that_no_label_explains_stay_as_they_are() {
        for (content_type, bytes) in [
            (None, &b"caf\xe9"[..]),
            (Some("application/json"), b"caf\xe9"),
            (Some("image/png"), b"\x89PNG\r\n"),
            (Some("text/plain; charset=utf-8"), b"caf\xe9"),
            (Some("text/plain; charset=iso-2022-kr"), b"caf\xe9"),
            (Some("text/plain; charset="), b"caf\xe9"),
            (Some("charset"), b""),
        ] {
            assert_eq!(decoded(content_type, bytes), Text { bytes: bytes.to_vec(), ..Text::default() });
        }
    }

    #[test]
    fn text_that_is_not_what_it_says_is_told_so_unless_it_is_cut() {
        let odd = b"\xff\xfe{\0}";
        let problem = decoded(None, odd).problem.expect("half a character at the end");
        assert_eq!(problem, "it is not text in UTF-16LE, which it is said to be");
        let cut = Text { bytes: odd.to_vec(), is_cut: true, problem: None };
        assert_eq!(cut.decoded(None, 1000).problem, None);
    }

    #[test]
    fn the_limit_counts_the_text_and_not_what_it_was_made_of() {
        let text = decoded(Some("text/plain; charset=latin1"), &[0xe9; 600]);
        assert_eq!((text.bytes.len(), text.is_cut), (1000, true), "two bytes each");
        let text = decoded(Some("text/plain; charset=latin1"), &[0xe9; 500]);
        assert_eq!((text.bytes.len(), text.is_cut), (1000, false));
    }
}
