//! Whether a server can be reached as a call would reach it, without a call: for `rowhook check`.
//!
//! In: a URL, the proxy on the way, and the egress and TLS settings of the call. Out: the addresses of its name; or a connection that is made and closed,
//! with what the handshake showed; otherwise one line that says why not, as a failed attempt would. Sends no request. Trusts what
//! the calls trust: the system's authorities by the verifier that `reqwest` has, or those of the rule alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::super::egress;
use super::error::{connect_text, unknown_name};
use super::{CONNECT_TIMEOUT, tunnel};
use crate::printable::{is_printable, shortened};
use crate::rules::{Egress, ProxyServer, TargetTls, Verification};

/// A name server that takes longer is as bad as none.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(3);

/// A server that does not take our certificate says so right behind the handshake of TLS 1.3.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(300);

/// Of a name in a certificate.
const NAME_CHARS_MAX: usize = 100;

const DAY_SECONDS: u64 = 24 * 3600;

/// Where calls go, and how they get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    pub url: Url,
    pub egress: Egress,
    pub tls: Option<Arc<TargetTls>>,
    /// None: directly.
    pub proxy: Option<Arc<ProxyServer>>,
}

/// What a connection showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `HTTP/2 over TLS 1.3`, `HTTP/1.1 without TLS`. Without TLS a proxy connects for requests alone, so that nothing is known of the
    /// server behind it.
    pub protocol: String,
    pub certificate: Option<ShownCertificate>,
}

/// A server's certificate, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    pub subject: String,
    pub issuer: String,
    /// Whole days until it expires, rounded down.
    pub days_left: u64,
}

impl Destination {
    /// The addresses to which calls would connect.
    ///
    /// # Errors
    /// One line: the name is unknown, no name server answers, or all addresses are ones that the call must not connect to.
    pub async fn look_up(&self) -> Result<Vec<SocketAddr>, String> {
        egress::check(&self.url, self.egress).map_err(|refused| refused.to_string())?;
        let port = self.url.port_or_known_default().unwrap_or_default();
        let name = match self.url.host() {
            Some(Host::Domain(name)) => name,
            Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
            Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
            None => return Err("the URL has no host".to_string()),
        };
        let allowed =
            egress::allowed(found_in_time(name).await?, self.egress).map_err(|refused| refused.to_string())?;
        Ok(allowed.into_iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
    }

    /// Connects, with TLS where the URL says so, and closes the connection again.
    ///
    /// # Errors
    /// One line that says why not, as of an attempt.
    pub async fn shake_hands(&self) -> Result<Handshake, String> {
        let way = match &self.proxy {
            Some(_) => {
                self.check_egress_of_proxied().await?;
                Vec::new()
            }
            None => self.look_up().await?,
        };
        let late = |_| format!("no connection within {}", humantime::format_duration(CONNECT_TIMEOUT));
        tokio::time::timeout(CONNECT_TIMEOUT, self.connect(&way)).await.map_err(late)?
    }

    /// The proxy looks the name up; of calls that go to public addresses only, this machine does, too.
    async fn check_egress_of_proxied(&self) -> Result<(), String> {
        egress::check(&self.url, self.egress).map_err(|refused| refused.to_string())?;
        let (Some(Host::Domain(name)), Egress::PublicOnly) = (self.url.host(), self.egress) else { return Ok(()) };
        let found = found_in_time(name).await?;
        egress::all_allowed(&found, self.egress).map_err(|refused| refused.to_string())
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<Handshake, String> {
        let is_https = self.url.scheme() == "https";
        let socket = match &self.proxy {
            None => TcpStream::connect(addresses).await.map_err(|error| connect_text(&error))?,
            Some(proxy) if is_https => {
                let host = self.url.host_str().unwrap_or_default();
                let port = self.url.port_or_known_default().unwrap_or_default();
                tunnel::open(proxy, &format!("{host}:{port}")).await?
            }
            Some(proxy) => tunnel::reach(proxy).await?,
        };
        if !is_https {
            return Ok(Handshake { protocol: "HTTP/1.1 without TLS".to_string(), certificate: None });
        }
        let config = config(self.tls.as_deref())?;
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_string()).map_err(|error| format!("TLS: {error}"))?;
        let mut stream =
            TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|error| connect_text(&error))?;
        let shown = shown(&stream);
        match tokio::time::timeout(REFUSAL_TIMEOUT, stream.read(&mut [0; 1])).await {
            Ok(Err(error)) => Err(connect_text(&error)),
            Ok(Ok(0)) => {
                Err("the server closes the connection right after the handshake; perhaps it wants another client \
                              certificate"
                    .to_string())
            }
            // Over HTTP/2 the server speaks first.
            Ok(Ok(_)) | Err(_) => Ok(shown),
        }
    }
}

/// The addresses of a name.
async fn found_in_time(name: &str) -> Result<Vec<SocketAddr>, String> {
    let found = tokio::time::timeout(LOOK_UP_TIMEOUT, egress::look_up(name)).await;
    let found = found.map_err(|_| unknown_name("this machine's name server does not answer in time", "url"))?;
    found.map_err(|error| unknown_name(&error.to_string(), "url"))
}

fn shown(stream: &TlsStream<TcpStream>) -> Handshake {
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS",
    };
    let http = if session.alpn_protocol() == Some(b"h2") { "HTTP/2" } else { "HTTP/1.1" };
    let first = session.peer_certificates().and_then(|chain| chain.first());
    let certificate = first.and_then(|certificate| ShownCertificate::of(certificate, SystemTime::now()));
    Handshake { protocol: format!("{http} over {version}"), certificate }
}

impl ShownCertificate {
    /// None of bytes that are no certificate.
    fn of(der: &[u8], now: SystemTime) -> Option<ShownCertificate> {
        let certificate = Certificate::from_der(der).ok()?;
        let parts = certificate.tbs_certificate();
        let clean = |name: String| {
            let name: String = name.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect();
            if name.is_empty() { "no name".to_string() } else { shortened(&name, NAME_CHARS_MAX) }
        };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = parts.validity().not_after.to_unix_duration().saturating_sub(now);
        Some(ShownCertificate {
            subject: clean(parts.subject().to_string()),
            issuer: clean(parts.issuer().to_string()),
            days_left: left.as_secs() / DAY_SECONDS,
        })
    }
}

/// As the calls' connections are set up.
fn config(tls: Option<&TargetTls>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: &dyn std::fmt::Display| format!("TLS settings: {error}");
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(tls, provider).map_err(|error| failed(&error))?);
    let mut config = match tls.and_then(|tls| tls.identity.as_ref()) {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let pem = pem.reveal().as_bytes();
            let chain =
                CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| failed(&error))?;
            let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| failed(&error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| failed(&error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn verifier(
    tls: Option<&TargetTls>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    if tls.is_some_and(|tls| tls.verification == Verification::None) {
        return Ok(Arc::new(TakesAnyServer(provider.signature_verification_algorithms)));
    }
    let Some(pem) = tls.and_then(|tls| tls.authorities.as_deref()) else {
        return Ok(Arc::new(rustls_platform_verifier::Verifier::new(provider)?));
    };
    let mut roots = RootCertStore::empty();
    // Read when the rules were loaded, without an error.
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok) {
        roots.add(certificate)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(verifier.map_err(|error| rustls::Error::General(error.to_string()))?)
}

/// `insecure_tls: true`. The signatures of the handshake must be right all the same, by these algorithms.
#[derive(Debug)]
struct TakesAnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for TakesAnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
