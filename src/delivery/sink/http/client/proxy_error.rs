//! Errors of a proxy, told apart from those of the API behind it.
//!
//! In: an error of `reqwest` for a request that goes through a proxy. Out: words for people that name the proxy, or none
//! where the error is not the proxy's. The tunnel's own errors are known by their text: hyper-util keeps their type to itself.

use super::CONNECT_TIMEOUT;
use super::error::{causes, direct_text};

/// The answer 407, to CONNECT or to a plain request.
pub(super) const NO_LOGIN: &str = "the proxy wants a user and a password, or others than these (407): give them in `proxy: http://user:password@host:port`";

pub(super) fn proxy_text(error: &reqwest::Error) -> Option<String> {
    let causes = causes(error).map(ToString::to_string);
    let of_tunnel = causes.filter_map(|cause| cause.strip_prefix("tunnel error: ").map(str::to_owned)).next();
    let is_plain = error.url().is_some_and(|url| url.scheme() == "http");
    match of_tunnel.as_deref() {
        Some("proxy authorization required") => Some(NO_LOGIN.to_owned()),
        Some("unsuccessful") => {
            Some("the proxy does not connect to the API: it refused CONNECT, and its log says why".to_owned())
        }
        Some("unexpected end of file") => Some("the proxy closed the connection before it answered CONNECT".to_owned()),
        Some("proxy response headers too long") => Some("the proxy's answer to CONNECT is too large".to_owned()),
        Some(_) => Some(format!("proxy: {}", direct_text(error, false, "proxy"))),
        None if !error.is_connect() => None,
        // The time covers the way to the proxy and the proxy's to the API.
        None if error.is_timeout() => {
            Some(format!("no connection through the proxy within {}", humantime::format_duration(CONNECT_TIMEOUT)))
        }
        None if is_plain => Some(format!("proxy: {}", direct_text(error, false, "proxy"))),
        None => None,
    }
}
