//! A way through an HTTP proxy to a server, for `rowhook check`; calls have that of the HTTP library.
//!
//! In: a proxy, and a server's host and port. Out: a connection to the server (CONNECT, RFC 9110, section 9.3.6); otherwise one line
//! that says why there is none, as a failed attempt would. Sends nothing to the server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PROXY_AUTHENTICATION_REQUIRED;
use super::error::{connect_text, unknown_name};
use super::proxy_error::{closed, no_login, refused, too_large};
use crate::rules::ProxyServer;

/// Longest head of a proxy's answer.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Connects to the proxy itself.
///
/// # Errors
/// One line.
pub(super) async fn reach(proxy: &ProxyServer) -> Result<TcpStream, String> {
    let url = proxy.url();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or_default();
    let unresolved =
        |error: std::io::Error| format!("the proxy {proxy}: {}", unknown_name(&error.to_string(), "proxy"));
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(unresolved)?.collect();
    TcpStream::connect(&addresses[..]).await.map_err(|error| format!("the proxy {proxy}: {}", connect_text(&error)))
}

/// Lets the proxy connect to `authority`, a host and its port.
///
/// # Errors
/// One line.
pub(super) async fn open(proxy: &ProxyServer, authority: &str) -> Result<TcpStream, String> {
    let mut stream = reach(proxy).await?;
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(login) = proxy.authorization() {
        request += &format!("Proxy-Authorization: {}\r\n", login.reveal());
    }
    request += "\r\n";
    let broken = |error: std::io::Error| format!("the proxy {proxy}: {}", connect_text(&error));
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head is the server's.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return Err(too_large(proxy));
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Err(closed(proxy)),
        }
    }
    match status(&head) {
        Some(200..=299) => Ok(stream),
        Some(PROXY_AUTHENTICATION_REQUIRED) => Err(no_login(proxy)),
        Some(_) | None => Err(refused(proxy)),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    String::from_utf8_lossy(line).split(' ').nth(1)?.parse().ok()
}
