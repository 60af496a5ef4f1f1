//! The proxy on the way of a request that is shown.
//!
//! In: what a rule makes of a change, and the proxy of the settings. Out: the same with the proxy that the call would go through, if
//! there is one: in a line, and in the command for a shell. The proxy's user and password are masked.

use std::sync::Arc;

use super::explained::Explained;
use crate::rules::{ProxyServer, Rule};

pub(super) fn shown(explained: Explained, rule: &Rule, as_set: Option<&Arc<ProxyServer>>) -> Explained {
    let proxy = rule.first_action().target.proxy.resolved(as_set);
    let Explained { request: Some(mut request), mut then, .. } = explained else { return explained };
    if let Some(proxy) = proxy {
        then.insert(0, format!("through the proxy {proxy}"));
        request.curl += &format!(" \\\n  --proxy '{}'", masked(proxy));
    }
    Explained { request: Some(request), then, ..explained }
}

fn masked(proxy: &ProxyServer) -> String {
    let url = proxy.to_string();
    match proxy.login() {
        Some(_) => url.replacen("://", "://***:***@", 1),
        None => url,
    }
}
