//! Why an exchange has no answer, in one plain line.
//!
//! In: an error of `reqwest`, with all that caused it, and whether the answer had begun. Out: words for people, without URL,
//! row values or what a server added to its goodbye; and whether it proves that the server did nothing. Deliberately does not
//! judge whether a retry helps.

use super::super::egress;
use super::CONNECT_TIMEOUT;
use super::proxy_error::proxy_text;
use super::tls_error::{alert_text, tls_text};
use crate::rules::ProxyServer;

/// What went wrong, in words that hold neither URL nor values.
pub(super) fn plain_text(error: &reqwest::Error, answering: bool, proxy: Option<&ProxyServer>) -> String {
    let of_proxy = proxy.and_then(|proxy| proxy_text(error, answering, proxy));
    of_proxy.unwrap_or_else(|| direct_text(error, answering, "url"))
}

/// The same without a proxy in between. `key` is the one that names the host which was connected to.
pub(super) fn direct_text(error: &reqwest::Error, answering: bool, key: &str) -> String {
    let error_scheme = error.url().map_or("", |url| url.scheme());
    for cause in causes(error) {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            if let Some(text) = io_text(error, answering) {
                return text;
            }
        } else if let Some(error) = cause.downcast_ref::<h2::Error>() {
            if let Some(text) = http2_text(error, answering) {
                return text;
            }
        } else if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_incomplete_message() {
                return closed_text(answering);
            } else if error.is_parse_too_large() {
                return "the head of the answer, or its stated length, is too large".to_owned();
            } else if error.is_parse() {
                return format!("the answer is not valid HTTP{}", tls_hint(error_scheme, key));
            }
        }
    }
    // What has a cause of its own was reported above.
    if causes(error).any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_canceled)) {
        return unsent_text(error_scheme);
    }
    if error.is_timeout() && error.is_connect() {
        return format!("no connection within {}", humantime::format_duration(CONNECT_TIMEOUT));
    }
    if error.is_dns() {
        return unknown_name(&cause_text(error), key);
    }
    let what = match (error.is_connect(), answering) {
        (true, _) => "no connection",
        (false, true) => "the answer is broken",
        (false, false) => "the exchange failed",
    };
    format!("{what}: {}", cause_text(error))
}

/// A name without an address, by what the resolver says; `key` names it in a rule.
pub(super) fn unknown_name(words: &str, key: &str) -> String {
    format!("the host name cannot be resolved: {}", dns_text(words, key))
}

/// The words are those of the C library, of which there is more than one.
fn dns_text(words: &str, key: &str) -> String {
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if has(&["Name or service not known", "Name does not resolve", "No address associated", "nodename nor servname"]) {
        format!(
            "no name server knows it: is the host in `{key}` right, and does this machine (or container) see your own names?"
        )
    } else if has(&["Temporary failure", "Try again"]) {
        "this machine's name server does not answer: see to its DNS settings and network".to_owned()
    } else {
        words.to_owned()
    }
}

fn tls_hint(url_scheme: &str, key: &str) -> &'static str {
    match (url_scheme, key) {
        (_, "proxy") => "; is this the port of a proxy that speaks HTTP without TLS?",
        ("http", _) => "; if this is the port of https, `url` must begin with https://",
        _ => "",
    }
}

/// Whether nothing of the request was sent, or the server says that it did not begin with it (RFC 9113, section 8.7).
pub(super) fn is_unsent(error: &reqwest::Error) -> bool {
    let is_not_begun = |error: &h2::Error| error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_connect()
        || causes(error).any(|cause| {
            // A request that is canceled is handed back whole.
            cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
                || cause.downcast_ref().is_some_and(is_not_begun)
        })
}

/// Why there is no connection.
pub(super) fn connect_text(error: &std::io::Error) -> String {
    io_text(error, false).unwrap_or_else(|| format!("no connection: {error}"))
}

fn io_text(error: &std::io::Error, answering: bool) -> Option<String> {
    use std::io::ErrorKind;
    // What an I/O error wraps is not among its sources, and the TLS layers wrap one in another.
    if let Some(inner) = error.get_ref() {
        if let Some(refused) = inner.downcast_ref::<egress::AddressRefused>() {
            return Some(refused.to_string());
        } else if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls_text(error));
        } else if let Some(error) = inner.downcast_ref::<std::io::Error>() {
            return io_text(error, answering);
        }
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Some("connection refused: nothing listens at this address and port".to_owned()),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Some(closed_text(answering)),
        ErrorKind::HostUnreachable => Some("host unreachable: no route leads to it, or it is down".to_owned()),
        ErrorKind::NetworkUnreachable => {
            Some("network unreachable: this machine has no route there (IPv6 without IPv6?)".to_owned())
        }
        ErrorKind::NetworkDown => Some("the network of this machine is down".to_owned()),
        ErrorKind::PermissionDenied => {
            Some("this machine forbids the connection (a firewall, or a sandbox)".to_owned())
        }
        ErrorKind::AddrNotAvailable => Some(
            "this machine has no free port for another connection: see to `in_flight` and to other programs".to_owned(),
        ),
        // HTTP/2 keeps only the words of what TLS said.
        ErrorKind::InvalidData => alert_text(&error.to_string()),
        _ if error.raw_os_error() == Some(TOO_MANY_FILES) => {
            Some("too many open files: raise the limit (`ulimit -n`, LimitNOFILE), or lower `in_flight`".to_owned())
        }
        _ => None,
    }
}

/// EMFILE, the same number on Linux and macOS.
const TOO_MANY_FILES: i32 = 24;

/// Without the data that a server may add to its goodbye. None where the cause describes the error better.
fn http2_text(error: &h2::Error, answering: bool) -> Option<String> {
    if let Some(error) = error.get_io() {
        return io_text(error, answering);
    }
    let reason = error.reason()?;
    Some(match error.is_go_away() {
        true if error.is_remote() => format!("the server ends the HTTP/2 connection: {reason}"),
        false if error.is_remote() => format!("the server resets the HTTP/2 stream: {reason}"),
        _ => format!("HTTP/2: {reason}"),
    })
}

fn closed_text(answering: bool) -> String {
    let when = if answering { "in the middle of the answer" } else { "before the answer" };
    format!("connection closed {when}")
}

/// The server hung up at once. In TLS 1.3 a client learns only after the handshake that its certificate is refused, and
/// then perhaps nothing but this.
fn unsent_text(url_scheme: &str) -> String {
    let hint = if url_scheme == "https" { "; perhaps the server wants another client certificate" } else { "" };
    format!("connection closed before the request was sent{hint}")
}

/// The innermost cause: it says most, and only the outermost names the URL.
pub(super) fn cause_text(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the request could not be sent".to_owned(), ToString::to_string)
}

pub(super) fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}
