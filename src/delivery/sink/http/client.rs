//! The HTTP client: one attempt, from the request to what came of it. The only place with `reqwest`.
//!
//! In: a prepared request and the time it may take. Out: the answer, or one plain line that says why there is none.
//! Owns the pool of connections. Keeps promise 8: neither URL nor row values are in an error. One attempt is at most one
//! request that a server could have acted on: redirects are not followed, nothing is sent again on its own, but for a
//! request of which no byte was written because the idle connection had been closed. HTTP/2 is spoken where the server
//! chooses it in the TLS handshake, else HTTP/1.1. Connections have a greatest age (`pool`). Proxies are those of the
//! settings (`route`), never of the environment. Deliberately does not judge the answer.

mod answer_text;
mod error;
mod fetch;
pub mod fuzzing;
mod handshake;
mod pool;
mod proxy_error;
mod receive;
mod redirect;
mod route;
mod scripted;
mod tls_error;
mod tunnel;
mod unpack;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Request, Response};
use url::{Host, Url};

pub(super) use answer_text::Text;
pub(super) use fetch::Fetched;
pub use handshake::{Destination, Handshake, ShownCertificate};
pub(super) use receive::{Keep, Received, excerpt};
pub(super) use redirect::Redirect;
pub(super) use scripted::scripted;

use super::egress;
use super::prepared::{self, Header, PreparedRequest};
use super::recent::Recent;
use crate::delivery::Error;
use crate::delivery::answer::Lack;
use crate::rules::{Egress, Method, ProxyServer, SuccessStatuses};
use crate::template::Secret;
use error::{cause_text, is_unsent, plain_text, unknown_name};
use pool::Pool;
use proxy_error::no_login;
use receive::{ANSWER_BYTES_MAX, receive};
use route::ClientRoute;

/// A host that does not take a connection in this time is down or too distant; the rest of the rule's timeout would not
/// change it, and other attempts need the slot.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Just below the 5 s after which the most common servers (Node.js, Apache) close an idle connection: so a request
/// seldom meets a connection that is being closed, which would cost an attempt.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Above any sensible `in_flight`, so that connections are reused also when that many attempts are under way.
const POOL_IDLE_PER_HOST_MAX: usize = 4096;

/// What a proxy answers that wants another login.
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;

/// A head of an HTTP/2 answer larger than this ends its stream; of HTTP/1.1 the number of headers is limited.
const HTTP2_HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// What a server may send over HTTP/2 before we have read it: of one answer a little more than is ever read, of all
/// answers on a connection sixteen times as much.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 2 * ANSWER_BYTES_MAX as u32;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 * ANSWER_BYTES_MAX as u32;

/// Over HTTP/2 many attempts share a connection: a dead one is noticed by a ping that stays without answer, so that new
/// attempts get another.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(10);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends requests; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: Pool,
    /// Connects to public addresses only. A pool of its own, because connections are pooled by host and a resolver does not
    /// know which call a request is of.
    public: Pool,
    /// The proxy that these two connect to.
    proxy: Option<Arc<ProxyServer>>,
    /// That of calls whose target says nothing of a proxy.
    proxy_as_set: Option<Arc<ProxyServer>>,
    /// The same two pools for calls that go another way.
    by_route: Arc<Mutex<Recent<ClientRoute, [Pool; 2]>>>,
    names: Names,
    pool_age_max: Duration,
}

impl Client {
    /// A client that trusts the certificate authorities of the system. Without any, calls over plain HTTP still work.
    ///
    /// # Errors
    /// [`Error::Client`] when TLS cannot be set up.
    pub fn new() -> Result<Client, Error> {
        Client::through(None)
    }

    /// The login of the proxy that it connects to, in all forms in which an answer may repeat it.
    pub(super) fn proxy_credentials(&self) -> &[Secret] {
        self.proxy.as_ref().map_or(&[], |proxy| proxy.credentials())
    }

    /// The same; all calls go through this proxy, unless their target says otherwise.
    ///
    /// # Errors
    /// As [`new`](Client::new).
    pub fn through(proxy: Option<Arc<ProxyServer>>) -> Result<Client, Error> {
        // Another stage may have chosen the same provider before; the first choice stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::asking(Names::System, pool::AGE_MAX, proxy)
    }

    fn asking(names: Names, pool_age_max: Duration, proxy: Option<Arc<ProxyServer>>) -> Result<Client, Error> {
        let route = ClientRoute { tls: None, proxy: proxy.clone() };
        let pool = |egress| {
            let (route, resolver) = (route.clone(), Resolver::of(&route, egress, &names));
            Pool::new(pool_age_max, move || route::build(&route, resolver.clone()))
                .map_err(|error| Error::Client { message: cause_text(&error) })
        };
        let client = Client::over(pool(Egress::PrivateToo)?, pool(Egress::PublicOnly)?, names, pool_age_max);
        Ok(Client { proxy: proxy.clone(), proxy_as_set: proxy, ..client })
    }

    fn over(http: Pool, public: Pool, names: Names, pool_age_max: Duration) -> Client {
        let by_route = Arc::new(Mutex::new(Recent::new(route::ROUTES_MAX)));
        Client { http, public, proxy: None, proxy_as_set: None, by_route, names, pool_age_max }
    }

    /// A client that asks this script for the addresses of names.
    #[cfg(test)]
    pub(super) fn scripted(dns: Arc<crate::delivery::testing::Dns>, pool_age_max: Duration) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::asking(Names::Scripted(dns), pool_age_max, None).expect("a client")
    }

    /// Sends the request and reads the answer, both within `timeout`; the answer's text is kept unless its status is
    /// one of `success`; of such an answer what `keep` says is kept as it is. Dropping the future closes
    /// the connection, or over HTTP/2 its stream.
    pub(super) async fn send(
        &self,
        request: Request,
        egress: Egress,
        timeout: Duration,
        success: &SuccessStatuses,
        keep: Keep,
    ) -> Received {
        let mut answering = false;
        let exchange = async {
            let response = self.execute(request, egress).await?;
            answering = true;
            let broken = |error| (Lack::Network, plain_text(&error, true, self.proxy.as_deref()));
            receive(response, success, keep).await.map_err(broken)
        };
        let (lack, error) = match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(received)) => return received,
            Ok(Err(failure)) => failure,
            Err(_) => {
                let what = if answering { "answer not complete" } else { "no answer" };
                (Lack::Timeout, format!("{what} within {}", humantime::format_duration(timeout)))
            }
        };
        Received::failed(error, lack)
    }

    /// Sends the request and reads the head of the answer.
    ///
    /// # Errors
    /// Why there is none, in a line for people.
    async fn execute(&self, request: Request, egress: Egress) -> Result<Response, (Lack, String)> {
        let proxy = self.proxy.as_deref();
        if proxy.is_some() {
            self.check_name(request.url(), egress).await.map_err(|problem| (Lack::Unsent, problem))?;
        }
        let response = self.http(egress).execute(request).await.map_err(|error| {
            let lack = if is_unsent(&error) { Lack::Unsent } else { Lack::Network };
            (lack, plain_text(&error, false, proxy))
        })?;
        // From within a tunnel this is an answer of the API.
        if let Some(proxy) = proxy
            && response.url().scheme() == "http"
            && response.status() == PROXY_AUTHENTICATION_REQUIRED
        {
            return Err((Lack::Unsent, no_login(proxy)));
        }
        Ok(response)
    }

    /// A proxy looks names up itself and may take any of their addresses. For calls that may go to public addresses only,
    /// all that this machine knows of must be.
    async fn check_name(&self, url: &Url, egress: Egress) -> Result<(), String> {
        let (Some(Host::Domain(name)), Egress::PublicOnly) = (url.host(), egress) else { return Ok(()) };
        let found = self.names.look_up(name).await.map_err(|error| unknown_name(&error.to_string(), "url"))?;
        if found.is_empty() {
            return Err(unknown_name("No address associated", "url"));
        }
        egress::all_allowed(&found, egress).map_err(|refused| refused.to_string())
    }

    fn http(&self, egress: Egress) -> reqwest::Client {
        match egress {
            Egress::PrivateToo => self.http.http(),
            Egress::PublicOnly => self.public.http(),
        }
    }
}

/// The request as the client sends it.
///
/// # Errors
/// A line for people when it cannot be sent at all: an address that must not be called, a header with bytes that headers
/// cannot carry.
pub(super) fn request(prepared: &PreparedRequest, egress: Egress) -> Result<Request, String> {
    egress::check(&prepared.url, egress).map_err(|refused| refused.to_string())?;
    let method = match prepared.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    };
    let mut request = Request::new(method, prepared.url_as_sent());
    *request.headers_mut() = headers(&prepared.headers)?;
    // Without it an API may pack its answer as it likes (RFC 9110, section 12.5.3). What a rule says itself stays.
    let unpacked = HeaderValue::from_static(prepared::ACCEPT_ENCODING.1);
    request.headers_mut().entry(ACCEPT_ENCODING).or_insert(unpacked);
    if !prepared.body.is_empty() {
        *request.body_mut() = Some(match prepared.gzipped() {
            Some(packed) => {
                request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                packed.into()
            }
            None => prepared.body.clone().into(),
        });
    } else if matches!(prepared.method, Method::Post | Method::Put | Method::Patch) {
        // Servers may refuse these methods with 411 when the length is not given.
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(request)
}

/// Headers that are added on the way: by an attempt, by the libraries.
const HEADERS_ADDED: usize = 6;

fn headers(prepared: &[Header]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(prepared.len() + HEADERS_ADDED);
    for Header { name, value, is_secret } in prepared {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header {name:?}: not a name"))?;
        let mut value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("header {name}: the value has bytes that a header cannot carry"))?;
        // HTTP/2 then keeps it out of the table that compression works with (RFC 7541, section 7.1.3).
        value.set_sensitive(*is_secret);
        headers.append(header, value);
    }
    Ok(headers)
}

fn builder(resolver: Resolver) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        // `never` alone still copies every request; no retries are what it is for.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST_MAX)
        .http2_max_header_list_size(HTTP2_HEADER_LIST_BYTES_MAX)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .dns_resolver(resolver)
}

/// The system's resolver without the addresses that must not be called. What it answers is what is connected to: no code
/// resolves the name again in between, so a name that leads elsewhere from one moment to the next gains nothing.
#[derive(Debug, Clone)]
struct Resolver {
    egress: Egress,
    names: Names,
}

impl Resolver {
    /// On a route with a proxy it is asked for the proxy alone, which the operator names.
    fn of(route: &ClientRoute, egress: Egress, names: &Names) -> Resolver {
        let egress = if route.proxy.is_some() { Egress::PrivateToo } else { egress };
        Resolver { egress, names: names.clone() }
    }
}

/// Who knows the addresses of names.
#[derive(Debug, Clone)]
enum Names {
    System,
    #[cfg(test)]
    Scripted(Arc<crate::delivery::testing::Dns>),
}

impl Names {
    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            Names::System => egress::look_up(name).await,
            #[cfg(test)]
            Names::Scripted(dns) => Ok(dns.look_up(name)),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Resolver { egress, names } = self.clone();
        Box::pin(async move {
            let found = names.look_up(name.as_str()).await?;
            let allowed = egress::allowed(found, egress)?;
            #[cfg(test)]
            let allowed = if let Names::Scripted(dns) = &names { dns.dialled(&allowed) } else { allowed };
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
