//! Packed answers: undoes what `Content-Encoding` did to a body. Pure functions.
//!
//! In: the body as it came, the codings that its head names, and how many bytes may come of it. Out: the bytes, and what is
//! wrong with them if anything is. rowhook asks for answers that are not packed (`Accept-Encoding: identity`), but not
//! every server listens. No answer, however small it is packed, takes more memory than the limit and a window of 8 MiB.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::answer_text::Text;

/// What one coding after another is undone; more than two were never seen.
const CODINGS_MAX: usize = 4;

/// 8 MiB, the largest window that a packed answer may need (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The codings that were applied, in this order; the word for "none" is left out.
pub fn codings<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty() && name != "identity").collect()
}

/// Undoes the codings, the last one first. Of a body that is not whole (`is_cut`) what is there; at most `bytes_max` bytes.
/// A body that is no packed one and is text is what it looks like, whatever its head says: middlemen unpack and forget to
/// say so.
pub fn unpack(codings: &[String], packed: Vec<u8>, is_cut: bool, bytes_max: usize) -> Text {
    let mut text = Text { bytes: packed, is_cut, problem: None };
    if codings.len() > CODINGS_MAX {
        text.problem = Some(format!("it is packed {} times over", codings.len()));
        return text;
    }
    for coding in codings.iter().rev() {
        let step = Step { packed: &text.bytes, is_cut: text.is_cut, bytes_max };
        let unpacked = match coding.as_str() {
            "gzip" | "x-gzip" => step.read(MultiGzDecoder::new(step.packed)),
            "deflate" => step.deflated(),
            "zstd" => step.zstd(),
            _ => Err(io::ErrorKind::Unsupported.into()),
        };
        let is_plain = || !text.bytes.is_empty() && std::str::from_utf8(&text.bytes).is_ok();
        match unpacked {
            Ok(unpacked) if unpacked.problem.is_none() => text = unpacked,
            _ if is_plain() => return text,
            Ok(damaged) => return damaged,
            Err(error) => {
                text.problem = Some(problem(coding, &error));
                return text;
            }
        }
    }
    text
}

fn problem(coding: &str, error: &io::Error) -> String {
    let is_a_name = coding.len() <= 32 && coding.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match (error.kind(), is_a_name) {
        (io::ErrorKind::Unsupported, true) => {
            format!(
                "it is packed with `{coding}`, which rowhook can't unpack: let the API answer without Content-Encoding"
            )
        }
        (io::ErrorKind::Unsupported, false) => "it is packed in a way that has no name".to_owned(),
        _ => format!("it is said to be packed with `{coding}`, and is damaged"),
    }
}

/// One coding that is undone.
struct Step<'a> {
    packed: &'a [u8],
    is_cut: bool,
    bytes_max: usize,
}

impl Step<'_> {
    /// An error where nothing can be read; with a part, it is reported as the part's problem.
    fn read(&self, reader: impl Read) -> io::Result<Text> {
        if self.packed.is_empty() {
            return Ok(Text { is_cut: self.is_cut, ..Text::default() });
        }
        let mut bytes = Vec::new();
        let result = reader.take(self.bytes_max as u64 + 1).read_to_end(&mut bytes);
        let mut text = Text { is_cut: self.is_cut || bytes.len() > self.bytes_max, bytes, problem: None };
        text.bytes.truncate(self.bytes_max);
        match result {
            Err(error) if text.bytes.is_empty() => Err(error),
            // What is cut ends in the middle.
            Err(_) if !text.is_cut => Ok(Text { problem: Some("it is damaged where it is packed".to_owned()), ..text }),
            _ => Ok(text),
        }
    }

    /// With the head and the sum that RFC 9110 asks for, or bare as some servers send it.
    fn deflated(&self) -> io::Result<Text> {
        let [method, flags, ..] = self.packed else { return self.read(DeflateDecoder::new(self.packed)) };
        let has_head = method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0;
        match has_head.then(|| self.read(ZlibDecoder::new(self.packed))) {
            Some(Ok(text)) => Ok(text),
            Some(Err(_)) | None => self.read(DeflateDecoder::new(self.packed)),
        }
    }

    fn zstd(&self) -> io::Result<Text> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(self.packed)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        self.read(decoder)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
        let level = Compression::fast();
        match coding {
            "gzip" | "x-gzip" => {
                let mut packer = GzEncoder::new(Vec::new(), level);
                packer.write_all(bytes).and_then(|()| packer.finish()).unwrap()
            }
            "zlib" => {
                let mut packer = ZlibEncoder::new(Vec::new(), level);
                packer.write_all(bytes).and_then(|()| packer.finish()).unwrap()
            }
            "raw" => {
                let mut packer = DeflateEncoder::new(Vec::new(), level);
                packer.write_all(bytes).and_then(|()| packer.finish()).unwrap()
            }
            "zstd" => zstd::encode_all(bytes, 3).unwrap(),
            _ => bytes.to_vec(),
        }
    }

    fn unpacked(header: &str, packed: Vec<u8>) -> Text {
        unpack(&codings([header].into_iter()), packed, false, 1000)
    }

    fn whole(bytes: &[u8]) -> Text {
        Text { bytes: bytes.to_vec(), is_cut: false, problem: None }
    }

    #[test]
    fn every_coding_of_the_field_is_undone() {
        let body = br#"{"id": 77}"#;
        for (header, kind) in [
            ("gzip", "gzip"),
            ("GZIP", "gzip"),
            (" x-gzip ", "x-gzip"),
            ("deflate", "zlib"),
            ("deflate", "raw"),
            ("zstd", "zstd"),
            ("identity", ""),
            ("", ""),
            ("identity, gzip", "gzip"),
        ] {
            assert_eq!(unpacked(header, pack(kind, body)), whole(body), "{header} {kind}");
            assert_eq!(unpacked(header, Vec::new()), whole(b""), "an answer without a body: {header}");
        }
        let twice = pack("gzip", &pack("zlib", body));
        assert_eq!(unpacked("deflate, gzip", twice.clone()), whole(body));
        assert_eq!(
            unpack(&codings(["deflate", "gzip"].into_iter()), twice, false, 1000),
            whole(body),
            "in two headers"
        );
        let members = [pack("gzip", b"{\"id\""), pack("gzip", b": 77}")].concat();
        assert_eq!(unpacked("gzip", members), whole(body), "two members");
    }

    #[test]
    fn text_that_is_not_packed_is_read_whatever_its_head_says() {
        for header in ["gzip", "deflate", "zstd", "br", "utf-8", "none", "aws-chunked"] {
            assert_eq!(unpacked(header, b"{\"id\": 77}".to_vec()), whole(b"{\"id\": 77}"), "{header}");
        }
    }

    #[test]
    fn what_cannot_be_unpacked_says_so_by_name() {
        let problem = |header: &str, bytes: &[u8]| unpacked(header, bytes.to_vec()).problem.expect("a problem");
        let brotli = [0x0b, 0x04, 0x80, b'{', b'}', 0xff];
        assert!(problem("br", &brotli).starts_with("it is packed with `br`, which rowhook can't unpack"));
        assert_eq!(problem("\u{1b}[31m", &brotli), "it is packed in a way that has no name");
        assert_eq!(problem(&"x".repeat(100), &brotli), "it is packed in a way that has no name");
        assert_eq!(problem("gzip", &brotli), "it is said to be packed with `gzip`, and is damaged");
        assert_eq!(problem("gzip,gzip,gzip,gzip,gzip", &brotli), "it is packed 5 times over");
        let mut damaged = pack("gzip", &[b'x'; 100]);
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert_eq!(unpacked("gzip", damaged).problem.as_deref(), Some("it is damaged where it is packed"));
    }

    #[test]
    fn a_bomb_takes_no_more_than_the_limit() {
        let zeros = vec![b'0'; 64 << 20];
        for kind in ["gzip", "zlib", "raw", "zstd"] {
            let header = if kind.len() == 4 && kind != "zlib" { kind } else { "deflate" };
            let bomb = pack(kind, &zeros);
            let info = allocation_counter::measure(|| {
                let text = unpack(&[header.to_owned()], bomb.clone(), false, 64 << 10);
                assert_eq!((text.bytes.len(), text.is_cut, text.problem), (64 << 10, true, None), "{kind}");
            });
            assert!(info.bytes_max < (2 << 20) + bomb.len() as u64, "{kind}: {info:?}");
        }
        let nested = pack("gzip", &pack("gzip", &zeros));
        let text = unpack(&["gzip".to_owned(), "gzip".to_owned()], nested, false, 64 << 10);
        assert!(text.is_cut && text.bytes.len() <= 64 << 10);
    }

    #[test]
    fn of_a_body_that_was_cut_off_what_is_there_is_read() {
        let body: Vec<u8> = (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (header, kind) in [("gzip", "gzip"), ("deflate", "zlib"), ("deflate", "raw"), ("zstd", "zstd")] {
            let mut packed = pack(kind, &body);
            packed.truncate(packed.len() / 2);
            let text = unpack(&[header.to_owned()], packed, true, 1 << 20);
            assert!(text.is_cut && text.problem.is_none() && !text.bytes.is_empty(), "{kind}");
            assert!(body.starts_with(&text.bytes), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_make_it_panic_or_exceed_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            kind in prop::sample::select(vec!["gzip", "zlib", "raw", "zstd"]),
            at in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            for header in ["gzip", "deflate", "zstd", "deflate, gzip", "br"] {
                unpacked(header, bytes.clone());
                let mut packed = pack(kind, &bytes);
                let at = at.index(packed.len());
                packed[at] ^= 0x55;
                let text = unpack(&codings([header].into_iter()), packed, is_cut, 100);
                prop_assert!(text.bytes.len() <= 400);
            }
        }
    }
}
