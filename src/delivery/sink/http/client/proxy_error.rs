//! Errors of a proxy, told apart from those of the API behind it.
//!
//! In: an error of `reqwest` for a request that goes through a proxy. Out: words for people that name the proxy, or none
//! where the error is not the proxy's. The tunnel's own errors are known by their text: hyper-util keeps their type to itself.

use super::CONNECT_TIMEOUT;
use super::error::{causes, direct_text};
use crate::rules::ProxyServer;

/// What is said of the answer 407, to CONNECT or to a plain request.
pub(super) fn no_login(proxy: &ProxyServer) -> String {
    format!(
        "the proxy {proxy} wants a user and a password, or others than these (407): give them in `proxy: http://user:password@host:port`"
    )
}

/// What is said of another answer than a success, to CONNECT.
pub(super) fn refused(proxy: &ProxyServer) -> String {
    format!(
        "the proxy {proxy} does not connect to the API: it refused CONNECT, as some do for a wrong login; its log says why"
    )
}

/// What is said where no answer to CONNECT came.
pub(super) fn closed(proxy: &ProxyServer) -> String {
    format!("the proxy {proxy} closed the connection before it answered CONNECT")
}

/// What is said of an answer to CONNECT that does not end.
pub(super) fn too_large(proxy: &ProxyServer) -> String {
    format!("the answer of the proxy {proxy} to CONNECT is too large")
}

pub(super) fn proxy_text(error: &reqwest::Error, answering: bool, proxy: &ProxyServer) -> Option<String> {
    let of_connection = || Some(format!("the proxy {proxy}: {}", direct_text(error, answering, "proxy")));
    let causes = causes(error).map(ToString::to_string);
    let of_tunnel = causes.filter_map(|cause| cause.strip_prefix("tunnel error: ").map(str::to_owned)).next();
    let is_plain = error.url().is_some_and(|url| url.scheme() == "http");
    match of_tunnel.as_deref() {
        Some("proxy authorization required") => Some(no_login(proxy)),
        Some("unsuccessful") => Some(refused(proxy)),
        Some("unexpected end of file") => Some(closed(proxy)),
        Some("proxy response headers too long") => Some(too_large(proxy)),
        Some(_) => of_connection(),
        // A plain request goes to the proxy itself: what becomes of its connection is the proxy's.
        None if !error.is_connect() && is_plain => of_connection(),
        None if !error.is_connect() => None,
        // The time covers the way to the proxy and the proxy's to the API.
        None if error.is_timeout() => {
            let limit = humantime::format_duration(CONNECT_TIMEOUT);
            Some(format!("no connection through the proxy {proxy} within {limit}"))
        }
        None if is_plain => of_connection(),
        None => None,
    }
}
