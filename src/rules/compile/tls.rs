//! The keys `tls` and `insecure_tls` of a call.
//!
//! In: their nodes. Out: settings whose PEM files were read and fit together, so that a handshake can only fail on the
//! other side; or problems at their places. No message holds a key.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::super::auth::Auth;
use super::super::reader::member;
use super::super::tls::{TargetTls, Verification};
use super::super::yaml::Node;
use super::Compiler;
use crate::template::{Secret, UrlTemplate};

const KEYS: [&str; 3] = ["ca", "cert", "key"];

impl Compiler<'_> {
    /// `Some(None)` for a call with neither key.
    pub(super) fn tls(&mut self, tls: Option<&Node>, insecure: Option<&Node>) -> Option<Option<Arc<TargetTls>>> {
        let mut settings = TargetTls { authorities: None, identity: None, verification: Verification::Full };
        if let Some(node) = insecure
            && self.reader.truth(node, "insecure_tls")?
        {
            settings.verification = Verification::None;
        }
        if let Some(node) = tls {
            let members = self.reader.members(node, "`tls`", &KEYS)?;
            let get = |name| member(members, name);
            if let (Some(ca), Verification::None) = (get("ca"), settings.verification) {
                self.reader
                    .problem(ca.at, "`ca` has no use where `insecure_tls` trusts everybody; leave one of them out");
                return None;
            }
            if self.outside.stands_in() {
                return Some(None);
            }
            settings.authorities = match get("ca") {
                Some(ca) => Some(self.authorities(ca)?),
                None => None,
            };
            settings.identity = match (get("cert"), get("key")) {
                (None, None) => None,
                (Some(cert), Some(key)) => Some(self.identity(cert, key)?),
                (Some(_), None) | (None, Some(_)) => {
                    self.reader.problem(node.at, "a client certificate needs both `cert` and `key`");
                    return None;
                }
            };
        }
        let is_usual = settings.verification == Verification::Full
            && settings.authorities.is_none()
            && settings.identity.is_none();
        Some((!is_usual).then(|| Arc::new(settings)))
    }

    /// A problem for TLS settings of a call without TLS: its author takes the call for protected.
    pub(super) fn without_tls(&mut self, url: &UrlTemplate, auth: Option<&Auth>, node: &Node) {
        let token_over_tls = matches!(auth, Some(Auth::OAuth2(oauth2)) if oauth2.token_url.scheme() == "https");
        let is_plain = url.origin().is_some_and(|origin| origin.ascii_serialization().starts_with("http:"));
        if is_plain && !token_over_tls {
            self.reader
                .problem(node.at, "TLS settings have no use where `url` is http://; write https:// or leave them out");
        }
    }

    fn authorities(&mut self, node: &Node) -> Option<Box<str>> {
        let (path, pem) = self.pem_file(node, "ca")?;
        let problem = match certificates(pem.reveal()) {
            Ok(certificates) => {
                let mut roots = RootCertStore::empty();
                certificates
                    .into_iter()
                    .find_map(|certificate| roots.add(certificate).err())
                    .map(|error| error.to_string())
            }
            Err(problem) => Some(problem),
        };
        match problem {
            None => Some(pem.reveal().into()),
            Some(problem) => {
                self.reader.problem(node.at, format!("file {}: {problem}", path.display()));
                None
            }
        }
    }

    /// Certificates and key in one PEM text.
    fn identity(&mut self, cert: &Node, key: &Node) -> Option<Secret> {
        let (chain, key_pem) = (self.pem_file(cert, "cert"), self.pem_file(key, "key"));
        let ((cert_path, chain), (key_path, key_pem)) = (chain?, key_pem?);
        let certificates = match certificates(chain.reveal()) {
            Ok(certificates) => certificates,
            Err(problem) => {
                self.reader.problem(cert.at, format!("file {}: {problem}", cert_path.display()));
                return None;
            }
        };
        let Ok(private) = PrivateKeyDer::from_pem_slice(key_pem.reveal().as_bytes()) else {
            let message = format!("file {} holds no private key in PEM form without a password", key_path.display());
            self.reader.problem(key.at, message);
            return None;
        };
        match CertifiedKey::from_der(certificates, private, &rustls::crypto::ring::default_provider()) {
            Ok(_) => Some(Secret::new(&format!("{}\n{}", chain.reveal().trim_end(), key_pem.reveal()))),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let message = format!("this key does not belong to the certificate in {}", cert_path.display());
                self.reader.problem(key.at, message);
                None
            }
            Err(error) => {
                self.reader.problem(key.at, format!("certificate and key can't be used: {error}"));
                None
            }
        }
    }

    /// A file named in a rule, relative to the rule's own folder.
    fn pem_file(&mut self, node: &Node, what: &str) -> Option<(PathBuf, Secret)> {
        let path = self.path_of(node, what)?;
        match self.outside.file(&path) {
            Ok(pem) => Some((path, pem)),
            Err(problem) => {
                self.reader.problem(node.at, problem);
                None
            }
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("there is no certificate in PEM form".to_owned()),
        Err(error) => Err(format!("not PEM: {error}")),
    }
}

#[cfg(test)]
mod tests;
