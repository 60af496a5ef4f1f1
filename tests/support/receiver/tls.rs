//! Certificates made in the test, and what a receiver with TLS demands of its callers.
//!
//! In: names, an authority, the protocols to offer. Out: PEM texts for the caller's settings and a configuration for
//! `Receiver::start_tls`. Nothing is written anywhere.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
pub struct Identity {
    pub cert_pem: String,
    pub key_pem: String,
}

/// The server's side of TLS.
#[derive(Clone)]
pub struct Tls(pub(super) Arc<ServerConfig>);

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these host names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(&params("a certificate", names))
    }

    /// The same, but its time is over.
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = params("an expired certificate", names);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.sign(&params)
    }

    /// One that is valid for so long from now on.
    pub fn issue_for(&self, names: &[&str], time: Duration) -> Identity {
        let mut params = params("a short certificate", names);
        params.not_after = (SystemTime::now() + time).into();
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let cert_pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { cert_pem, key_pem: key.serialize_pem() }
    }
}

impl Tls {
    /// Shows this certificate and takes callers without one. Speaks HTTP/2 with who offers it, else HTTP/1.1.
    pub fn new(identity: &Identity) -> Tls {
        Tls::configure(identity, None)
    }

    /// Takes only callers whose certificate this authority signed.
    pub fn demanding(identity: &Identity, clients: &Authority) -> Tls {
        Tls::configure(identity, Some(clients))
    }

    /// Does not speak HTTP/2.
    pub fn http1_only(mut self) -> Tls {
        Arc::make_mut(&mut self.0).alpn_protocols = vec![b"http/1.1".to_vec()];
        self
    }

    fn configure(identity: &Identity, clients: Option<&Authority>) -> Tls {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().expect("ring knows TLS 1.2 and 1.3");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(certificate(&authority.pem)).expect("a certificate of our own");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("one authority"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key of our own");
        let certs = vec![certificate(&identity.cert_pem)];
        let mut config = builder.with_single_cert(certs, key).expect("a certificate with its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Tls(Arc::new(config))
    }
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names that certificates can hold");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate of our own")
}
