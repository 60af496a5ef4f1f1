//! Percent-encoding of values, in URLs, in keys of a query and by the filter `urlencode`.
//!
//! In: a text. Out: the same with all but the unreserved characters of RFC 3986 (section 2.3) encoded, in UTF-8.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Appends the value.
pub fn encode(value: impl AsRef<[u8]>, out: &mut String) {
    out.extend(percent_encode(value.as_ref(), RESERVED));
}
