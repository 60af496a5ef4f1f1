//! Text as a JSON string.
//!
//! In: text in UTF-8. Out: the string in its quotes, appended to a buffer, with escapes where it needs any; nearly no text
//! does. Pure.

/// Writes a JSON string.
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("writing a string to memory can't fail");
    }
}

/// Whether nothing in the text needs an escape, as in nearly all texts: one check that the compiler turns into
/// few instructions.
pub fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'))
}
