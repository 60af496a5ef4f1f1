//! The admin port: health checks and metrics over TCP, read only.
//!
//! In: GET requests from probes and Prometheus. Out: one line of text, the metrics, or the status as JSON. Guards itself: on a loopback address
//! it answers only to requests that name an address or `localhost` (a page on the web could otherwise reach it through a
//! name of its own), on any other address metrics and status need the token. Reasons name no secrets (promise 8).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::control::Control;
use super::health::Health;
use super::serve::{Answers, serve};
use crate::file;
use crate::telemetry::Metrics;

/// Prometheus' text format as prometheus-client writes it.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the admin port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("admin address {address}: {source}; give --admin another address, or off")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("admin token file {}: {source}", path.display())]
    TokenUnreadable { path: PathBuf, source: io::Error },
    #[error("admin token file {} holds {bytes} bytes; a token needs {TOKEN_BYTES_MIN} or more", path.display())]
    TokenShort { path: PathBuf, bytes: usize },
    #[error("admin address {address} can be reached from other machines; give --admin-token-file FILE")]
    Unguarded { address: SocketAddr },
}

/// Shorter tokens can be guessed over the network.
const TOKEN_BYTES_MIN: usize = 16;

/// Far above any token; a larger file can't be the one that was meant.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// The token of the admin port. It has neither Debug nor Serialize, so that it can't be printed by accident.
pub struct AdminToken(String);

impl AdminToken {
    /// Reads the token from its file; white space around it does not count.
    pub fn load(path: &Path) -> Result<AdminToken, Error> {
        let unreadable = |source| Error::TokenUnreadable { path: path.to_path_buf(), source };
        let text = file::read_text(path, TOKEN_BYTES_MAX).map_err(unreadable)?;
        let token = text.trim();
        if token.len() < TOKEN_BYTES_MIN {
            return Err(Error::TokenShort { path: path.to_path_buf(), bytes: token.len() });
        }
        Ok(AdminToken(token.to_string()))
    }

    /// Compares in a time that does not depend on the place of the first difference.
    fn admits(&self, offered: &str) -> bool {
        let (own, offered) = (self.0.as_bytes(), offered.as_bytes());
        let differences = own.iter().zip(offered).fold(0, |found, (a, b)| std::hint::black_box(found | (a ^ b)));
        own.len() == offered.len() && differences == 0
    }
}

/// The admin port, bound and not yet serving.
pub struct Port {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<AdminToken>,
}

impl Port {
    /// Binds the address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr, token: Option<AdminToken>) -> Result<Port, Error> {
        if token.is_none() && !address.ip().is_loopback() {
            return Err(Error::Unguarded { address });
        }
        let failed = |source| Error::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Port { listener, address, token })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` turns true.
    pub async fn serve(self, health: Health, control: Control, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
        let router = router(self.address, self.token, health, control, &metrics);
        serve(self.listener, router, Answers::Short, stop).await;
    }
}

struct Shared {
    health: Health,
    control: Control,
    registry: Registry,
    token: Option<AdminToken>,
    checks_host: bool,
}

fn router(
    address: SocketAddr,
    token: Option<AdminToken>,
    health: Health,
    control: Control,
    metrics: &Metrics,
) -> Router {
    let checks_host = address.ip().is_loopback();
    let shared = Arc::new(Shared { health, control, registry: metrics.registry(), token, checks_host });
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/status", get(status))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    let (host, other) = (hosts.next(), hosts.next());
    // A proxy in front may choose another one of two headers, or of a header and an absolute URL.
    let url_host = request.uri().authority().map(|authority| authority.as_str());
    if other.is_some() || url_host.is_some_and(|url_host| host != Some(url_host)) {
        return (StatusCode::BAD_REQUEST, "a request names one host\n").into_response();
    }
    if shared.checks_host && url_host.is_some_and(|host| !names_this_machine(host)) {
        return (StatusCode::BAD_REQUEST, "this is no proxy\n").into_response();
    }
    if shared.checks_host && host.is_some_and(|host| !names_this_machine(host)) {
        return (StatusCode::FORBIDDEN, "this address answers to IP addresses and localhost only\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

/// Whether a Host header is an IP address or `localhost`: no foreign DNS name can be one of these.
fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

async fn alive(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    answer(shared.health.alive().map(|()| String::new()), "alive")
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    answer(shared.health.ready(), "ready")
}

fn answer(state: Result<String, String>, good: &str) -> (StatusCode, String) {
    match state {
        Ok(more) => (StatusCode::OK, format!("{good}{more}\n")),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// The answer to a request without the token, where one is set.
fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let token = shared.token.as_ref()?;
    let is_admitted = bearer(headers).is_some_and(|offered| token.admits(offered));
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (!is_admitted)
        .then(|| (StatusCode::UNAUTHORIZED, challenge, "metrics and status need the bearer token\n").into_response())
}

async fn status(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    match shared.control.status().await {
        Ok(status) => Json(status).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics_text(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refusal(&shared, &headers) {
        return refusal;
    }
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shared.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
