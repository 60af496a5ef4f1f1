//! A password as it was read.
//!
//! In: the content of a file or the output of a command. Out: the password, or why it can be none, without its text
//! (promise 8).

use std::fmt;

/// A cloud provider's token has one to two KiB.
pub(super) const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// A password; its text never reaches a log line.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The text without the line end that editors and commands add.
pub(super) fn password(bytes: Vec<u8>) -> Result<Password, &'static str> {
    if bytes.len() as u64 > PASSWORD_BYTES_MAX {
        return Err("it is longer than 64 KiB");
    }
    // A password ends at a NUL on the wire.
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or("it is not UTF-8 text")?;
    Ok(Password(text.trim_end_matches(['\r', '\n']).to_string()))
}
