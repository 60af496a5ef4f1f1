//! The HTTP client: one attempt, from the request to what came of it. The only place with `reqwest`.
//!
//! In: a prepared request and the time it may take. Out: the answer, or one plain line that says why there is none.
//! Owns the pool of connections. Keeps promise 8: neither URL nor row values are in an error. One attempt is at most one
//! request that a server could have acted on: redirects are not followed, nothing is sent again on its own, but for a
//! request of which no byte was written because the idle connection had been closed. HTTP/2 is spoken where the server
//! chooses it in the TLS handshake, else HTTP/1.1. Proxies from the environment are
//! not used. Deliberately does not judge the answer.

mod error;
mod fetch;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Request, Response};

use crate::delivery::answer::{self, Lack};
use crate::delivery::auth::{Recent, TokenKey, TokenSlot};
use crate::delivery::quota::{self, Quota};
use crate::delivery::request::{Header, Prepared};
use crate::delivery::{Error, egress};
use crate::failure::Answer;
use crate::operation::Kept;
use crate::rules::{Egress, Method, SuccessStatuses, Tls};
use crate::write_back::Database;
use error::{cause_text, is_unsent, plain_text};

/// A host that does not take a connection in this time is down or far away; the rest of the rule's timeout would not
/// change it, and the attempt's slot is wanted by others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Just below the 5 s after which the most common servers (Node.js, Apache) close an idle connection: so a request
/// seldom meets a connection that is being closed, which would cost an attempt.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Above any sensible `in_flight`, so that connections are reused also when that many attempts are under way.
const POOL_IDLE_PER_HOST_MAX: usize = 4096;

/// An answer is read to its end up to this size, so that its connection can be used again; what is longer is cut off.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

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

/// Tokens of so many distinct settings are kept; far above what rule files hold.
const TOKENS_MAX: usize = 256;

/// Sends requests; clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Connects to public addresses only. A client of its own, for connections are pooled by host and a resolver is not
    /// told whose request it is.
    public: reqwest::Client,
    /// The same two for calls with TLS settings of their own.
    by_tls: Arc<Mutex<Recent<Arc<Tls>, [reqwest::Client; 2]>>>,
    tokens: Arc<Mutex<Recent<TokenKey, Arc<TokenSlot>>>>,
    names: Names,
    database: Option<Database>,
}

/// What came of one attempt.
#[derive(Debug, PartialEq)]
pub struct Received {
    pub answer: Answer,
    /// Why there is no answer, where there is none.
    pub lack: Option<Lack>,
    /// How long the server asks us to wait.
    pub retry_after: Option<Duration>,
    /// The body of an answer with success, as far as it was asked for.
    pub body: Vec<u8>,
    /// The headers of such an answer, likewise.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// What the server says it will still take.
    pub quota: Option<Quota>,
}

impl Received {
    /// There is no answer, for this reason.
    pub fn failed(error: String, lack: Lack) -> Received {
        let answer = Answer::Failed { error };
        Received { answer, lack: Some(lack), retry_after: None, quota: None, body: Vec::new(), headers: Vec::new() }
    }
}

/// What is kept of an answer with success.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep {
    Nothing,
    Body {
        bytes_max: usize,
    },
    /// What later templates may read; of the body one byte more, so that a longer one shows.
    All,
}

impl Keep {
    fn body_bytes_max(self) -> usize {
        match self {
            Keep::Nothing => 0,
            Keep::Body { bytes_max } => bytes_max,
            Keep::All => Kept::BODY_BYTES_MAX + 1,
        }
    }
}

impl Client {
    /// A client that trusts the certificate authorities of the system. Without any, calls over plain HTTP still work.
    ///
    /// # Errors
    /// [`Error::Client`] when TLS cannot be set up.
    pub fn new() -> Result<Client, Error> {
        // Another stage may have chosen the same provider before; the first choice stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::asking(Names::System)
    }

    fn asking(names: Names) -> Result<Client, Error> {
        let client = |egress| build(Resolver { egress, names: names.clone() });
        Ok(Client::over(client(Egress::PrivateToo)?, client(Egress::PublicOnly)?, names))
    }

    fn over(http: reqwest::Client, public: reqwest::Client, names: Names) -> Client {
        let by_tls = Arc::new(Mutex::new(Recent::new(tls::SETTINGS_MAX)));
        Client { http, public, by_tls, tokens: Arc::new(Mutex::new(Recent::new(TOKENS_MAX))), names, database: None }
    }

    /// With a server to write back to; without one, a statement cannot be sent.
    pub fn with_database(self, database: Option<Database>) -> Client {
        Client { database, ..self }
    }

    /// The server to write back to.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// A client that asks this script for the addresses of names.
    #[cfg(test)]
    pub(super) fn scripted(dns: Arc<super::testing::Dns>) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::asking(Names::Scripted(dns)).expect("a client")
    }

    /// Where the token of these settings is kept, the same for all who ask.
    pub(super) fn token_slot(&self, key: TokenKey) -> Arc<TokenSlot> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(slot) = tokens.get(&key, || Ok::<_, std::convert::Infallible>(Arc::new(TokenSlot::new(key.clone()))));
        slot
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
        let http = self.http(egress);
        let mut answering = false;
        let exchange = async {
            let response = http.execute(request).await?;
            answering = true;
            receive(response, success, keep).await
        };
        let (lack, error) = match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(received)) => return received,
            Ok(Err(error)) if !answering && is_unsent(&error) => (Lack::Unsent, plain_text(&error, answering)),
            Ok(Err(error)) => (Lack::Network, plain_text(&error, answering)),
            Err(_) => {
                let what = if answering { "answer not complete" } else { "no answer" };
                (Lack::Timeout, format!("{what} within {}", humantime::format_duration(timeout)))
            }
        };
        Received::failed(error, lack)
    }

    fn http(&self, egress: Egress) -> &reqwest::Client {
        match egress {
            Egress::PrivateToo => &self.http,
            Egress::PublicOnly => &self.public,
        }
    }
}

/// The request as the client sends it.
///
/// # Errors
/// A line for people when it cannot be sent at all: an address that must not be called, a header with bytes that headers
/// cannot carry.
pub(super) fn request(prepared: &Prepared, egress: Egress) -> Result<Request, String> {
    egress::check(&prepared.url, egress).map_err(|refused| refused.to_string())?;
    let method = match prepared.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    };
    let mut request = Request::new(method, prepared.url.clone());
    *request.headers_mut() = headers(&prepared.headers)?;
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

fn headers(prepared: &[Header]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(prepared.len() + 2);
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

fn build(resolver: Resolver) -> Result<reqwest::Client, Error> {
    let http = builder(resolver.clone()).build().or_else(|error| {
        let http = builder(resolver).tls_certs_only([]).build()?;
        tracing::warn!(
            error = cause_text(&error),
            "no certificate authorities found, https calls will fail: install ca-certificates or set SSL_CERT_FILE"
        );
        Ok(http)
    });
    http.map_err(|error: reqwest::Error| Error::Client { message: cause_text(&error) })
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

async fn receive(mut response: Response, success: &SuccessStatuses, keep: Keep) -> reqwest::Result<Received> {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| answer::retry_after(value.to_str().ok()?, SystemTime::now()));
    let headers = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let quota = quota::read(headers, SystemTime::now);
    let is_success = success.contains(status);
    let kept_max = if is_success { keep.body_bytes_max() } else { answer::EXCERPT_BYTES_MAX };
    let headers = match keep {
        Keep::All if is_success => kept_headers(response.headers()),
        _ => Vec::new(),
    };
    let mut kept = Vec::new();
    let mut read = 0;
    while let Some(chunk) = response.chunk().await? {
        let more = chunk.len().min(kept_max - kept.len());
        kept.extend_from_slice(&chunk[..more]);
        read += chunk.len();
        if read > kept_max.max(ANSWER_BYTES_MAX) {
            break;
        }
    }
    let (excerpt, body) = match is_success {
        true => (String::new(), kept),
        false => (answer::excerpt(&kept), Vec::new()),
    };
    Ok(Received { answer: Answer::Status { status, excerpt }, lack: None, retry_after, quota, body, headers })
}

/// Those that are text, as far as there is room for them.
fn kept_headers(headers: &HeaderMap) -> Vec<(Box<str>, Box<str>)> {
    let mut bytes_left = Kept::HEADERS_BYTES_MAX;
    let texts =
        headers.iter().filter_map(|(name, value)| Some((name.as_str(), str::from_utf8(value.as_bytes()).ok()?)));
    let fitting = texts.filter(|(name, value)| {
        let left = bytes_left.checked_sub(name.len() + value.len());
        bytes_left = left.unwrap_or(bytes_left);
        left.is_some()
    });
    fitting.map(|(name, value)| (name.into(), value.into())).collect()
}

/// The system's resolver without the addresses that must not be called. What it answers is what is connected to: nobody
/// asks again in between, so a name that leads elsewhere from one moment to the next gains nothing.
#[derive(Debug, Clone)]
struct Resolver {
    egress: Egress,
    names: Names,
}

/// Who knows the addresses of names.
#[derive(Debug, Clone)]
enum Names {
    System,
    #[cfg(test)]
    Scripted(Arc<super::testing::Dns>),
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Resolver { egress, names } = self.clone();
        Box::pin(async move {
            let found = match &names {
                Names::System => egress::look_up(name.as_str()).await?,
                #[cfg(test)]
                Names::Scripted(dns) => dns.look_up(name.as_str()),
            };
            let allowed = egress::allowed(found, egress)?;
            #[cfg(test)]
            let allowed = if let Names::Scripted(dns) = &names { dns.dialled(&allowed) } else { allowed };
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
