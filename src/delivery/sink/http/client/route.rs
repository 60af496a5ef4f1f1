//! The ways that calls go: TLS settings of their own (other certificate authorities, a client certificate, no
//! verification), a proxy, both, or none of them.
//!
//! In: a call's TLS settings and its target's proxy, checked when the rules were loaded. Out: a client, one for all calls
//! that go the same way, so that they share its connections. At most `ROUTES_MAX` are kept.

use std::sync::{Arc, PoisonError};

use reqwest::header::HeaderValue;

use super::error::cause_text;
use super::pool::Pool;
use super::{Client, Resolver, builder};
use crate::rules::{Egress, ProxyChoice, ProxyServer, TargetTls, Verification};

/// Far above what rule files hold; settings of previous rules are removed when there are more.
pub(super) const ROUTES_MAX: usize = 64;

/// What tells connections apart, besides the origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct ClientRoute {
    pub tls: Option<Arc<TargetTls>>,
    pub proxy: Option<Arc<ProxyServer>>,
}

impl Client {
    /// The client for calls that go this way.
    ///
    /// # Errors
    /// A line for people when TLS cannot be set up so.
    pub(in crate::delivery) fn on_route(
        &self,
        tls: Option<&Arc<TargetTls>>,
        proxy: &ProxyChoice,
    ) -> Result<Client, String> {
        let proxy = proxy.resolved(self.proxy_as_set.as_ref()).cloned();
        if tls.is_none() && proxy == self.proxy {
            return Ok(self.clone());
        }
        let route = ClientRoute { tls: tls.cloned(), proxy };
        let mut clients = self.by_route.lock().unwrap_or_else(PoisonError::into_inner);
        let [http, public] = clients.get(&route, || {
            let pool = |egress| {
                let (route, resolver) = (route.clone(), Resolver::of(&route, egress, &self.names));
                Pool::new(self.pool_age_max, move || build(&route, resolver.clone()))
            };
            let both = pool(Egress::PrivateToo).and_then(|http| Ok([http, pool(Egress::PublicOnly)?]));
            both.map_err(|error| format!("TLS settings: {}", cause_text(&error)))
        })?;
        drop(clients);
        Ok(Client { http, public, proxy: route.proxy, ..self.clone() })
    }
}

/// One without TLS settings works without certificate authorities, too: for plain HTTP.
pub(super) fn build(route: &ClientRoute, resolver: Resolver) -> reqwest::Result<reqwest::Client> {
    let Some(tls) = &route.tls else { return without_tls_settings(route, resolver) };
    let mut builder = proxied(builder(resolver), route)?;
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

fn without_tls_settings(route: &ClientRoute, resolver: Resolver) -> reqwest::Result<reqwest::Client> {
    proxied(builder(resolver.clone()), route)?.build().or_else(|error| {
        let http = proxied(builder(resolver), route)?.tls_certs_only([]).build()?;
        tracing::warn!(
            error = cause_text(&error),
            "no certificate authorities found, https calls will fail: install ca-certificates or set SSL_CERT_FILE"
        );
        Ok(http)
    })
}

fn proxied(builder: reqwest::ClientBuilder, route: &ClientRoute) -> reqwest::Result<reqwest::ClientBuilder> {
    let Some(proxy) = &route.proxy else { return Ok(builder) };
    let by_url = reqwest::Proxy::all(proxy.url().as_str())?;
    // Not by `basic_auth`, which decodes `%41` in a password.
    let with_login = match proxy.authorization() {
        Some(login) => {
            let mut value = HeaderValue::try_from(login.reveal()).expect("base64 is visible ASCII");
            value.set_sensitive(true);
            by_url.custom_http_auth(value)
        }
        None => by_url,
    };
    Ok(builder.proxy(with_login))
}
