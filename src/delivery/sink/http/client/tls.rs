//! Clients with TLS settings of their own: other certificate authorities, a client certificate, or no verification.
//!
//! In: a call's settings, checked when the rules were loaded. Out: a client, one for all calls with equal settings, so that
//! they share its connections. At most `SETTINGS_MAX` are kept.

use std::sync::{Arc, PoisonError};

use super::error::cause_text;
use super::pool::Pool;
use super::{Client, Resolver, builder};
use crate::rules::{Egress, TargetTls, Verification};

/// Far above what rule files hold; settings of previous rules are removed when there are more.
pub(super) const SETTINGS_MAX: usize = 64;

impl Client {
    /// The client for these settings.
    ///
    /// # Errors
    /// A line for people when TLS cannot be set up so.
    pub(in crate::delivery) fn with_tls(&self, tls: &Arc<TargetTls>) -> Result<Client, String> {
        let mut clients = self.by_tls.lock().unwrap_or_else(PoisonError::into_inner);
        let [http, public] = clients.get(tls, || {
            let pool = |egress| {
                let (tls, resolver) = (Arc::clone(tls), Resolver { egress, names: self.names.clone() });
                Pool::new(self.pool_age_max, move || build(&tls, resolver.clone()))
            };
            let both = pool(Egress::PrivateToo).and_then(|http| Ok([http, pool(Egress::PublicOnly)?]));
            both.map_err(|error| format!("TLS settings: {}", cause_text(&error)))
        })?;
        drop(clients);
        Ok(Client { http, public, ..self.clone() })
    }
}

fn build(tls: &TargetTls, resolver: Resolver) -> reqwest::Result<reqwest::Client> {
    let mut builder = builder(resolver);
    if let Some(pem) = &tls.authorities {
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?);
    }
    if let Some(pem) = &tls.identity {
        builder = builder.identity(reqwest::Identity::from_pem(pem.reveal().as_bytes())?);
    }
    if tls.verification == Verification::None {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build()
}
