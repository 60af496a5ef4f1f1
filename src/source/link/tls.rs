//! TLS on a connection, in the modes of MySQL's clients.
//!
//! In: a plain socket and the TLS settings. Out: an encrypted one, whose server was verified as the mode says. `preferred`
//! and `required` take any certificate, `verify-ca` one of a trusted CA, `verify-identity` one that also names the host.
//! Reads the PEM files again for each connection, so that a renewed certificate needs no restart; also that of the key
//! that encrypts a password without TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::error::Error;
use super::super::refused;
use super::super::settings::{Settings, SourceTls, TlsMode};
use super::key::PublicKey;
use crate::file;

/// Hundreds of certificates: the public authorities together take a quarter of it.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Used in place of a host name that no certificate can contain, in modes where the name does not matter.
const ANY_NAME: &str = "mysql.invalid";

/// Starts TLS on a socket after the server was asked for it.
pub(super) async fn encrypt(socket: TcpStream, settings: &Settings) -> Result<TlsStream<TcpStream>, Error> {
    let config = config(&settings.tls)?;
    let name = match (ServerName::try_from(settings.host.clone()), settings.tls.mode) {
        (Ok(name), _) => name,
        (Err(_), TlsMode::VerifyIdentity) => {
            return Err(Error::of_tls(&settings.address(), "the host is no name that a certificate could hold"));
        }
        (Err(_), _) => ServerName::try_from(ANY_NAME).expect("a constant that is a name"),
    };
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    connecting.map_err(|problem| match problem.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(problem) => refused::of_tls(problem, settings),
        None => Error::of_socket(&problem, &settings.address()),
    })
}

/// Checks that the files which the settings name can be used, before a connection needs them.
pub(in crate::source) fn require_files(tls: &SourceTls) -> Result<(), Error> {
    if tls.mode != TlsMode::Disabled {
        config(tls)?;
    }
    tls.public_key.as_deref().map_or(Ok(()), |path| public_key(path).map(drop))
}

/// The server's public key, from the file that was given.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, Error> {
    let pem = pem("mysql-public-key", path)?;
    PublicKey::parse(&pem).map_err(|problem| wrong("mysql-public-key", format!("{}: {problem}", path.display())))
}

fn config(tls: &SourceTls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let internal = |problem: &dyn std::fmt::Display| wrong("tls", problem.to_string());
    let roots = Arc::new(roots(tls.ca.as_deref())?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
    let verifier = Verifier { mode: tls.mode, strict: verifier.map_err(|problem| internal(&problem))? };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|problem| internal(&problem))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match (&tls.cert, &tls.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let chain = certificates("tls cert", cert)?;
            let key = PrivateKeyDer::from_pem_slice(&pem("tls key", key)?)
                .map_err(|problem| wrong("tls key", format!("{}: {problem}", key.display())))?;
            builder.with_client_auth_cert(chain, key).map_err(|problem| wrong("tls cert", problem.to_string()))
        }
        _ => Err(wrong("tls cert", "a client certificate needs both `cert` and `key`".to_string())),
    }
}

/// The CAs that are trusted: those of the file, or without one those of the web.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in certificates("tls ca", path)? {
        roots.add(certificate).map_err(|problem| wrong("tls ca", format!("{}: {problem}", path.display())))?;
    }
    Ok(roots)
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = |problem: &dyn std::fmt::Display| wrong(setting, format!("{}: {problem}", path.display()));
    let pem = pem(setting, path)?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|problem| read(&problem))?;
    if found.is_empty() { Err(read(&"the file holds no certificate in PEM form")) } else { Ok(found) }
}

fn pem(setting: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    file::read(path, PEM_BYTES_MAX).map_err(|problem| wrong(setting, format!("{}: {problem}", path.display())))
}

fn wrong(setting: &'static str, problem: String) -> Error {
    Error::Setting { setting, problem }
}

/// Verifies a server's certificate as strictly as the mode demands; the handshake's signature is checked in any mode.
#[derive(Debug)]
struct Verifier {
    mode: TlsMode,
    strict: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if matches!(self.mode, TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required) {
            return Ok(ServerCertVerified::assertion());
        }
        match self.strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked after the chain of trust, so that an unknown CA still fails.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.mode == TlsMode::VerifyCa => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}
