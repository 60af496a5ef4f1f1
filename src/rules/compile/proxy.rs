//! The key `proxy` of a target.
//!
//! In: its node, a secret in one of its spellings, because a proxy's URL may have a password. Out: which way calls of the
//! target go; or a problem at its place, without the URL.

use std::sync::Arc;

use super::super::proxy::{ProxyChoice, ProxyServer};
use super::super::yaml::Node;
use super::Compiler;

impl Compiler<'_> {
    pub(super) fn proxy(&mut self, node: &Node) -> Option<ProxyChoice> {
        let text = self.secret(node, "proxy")?;
        if text.reveal() == "none" {
            return Some(ProxyChoice::Direct);
        }
        match ProxyServer::parse(text.reveal()) {
            Ok(proxy) => Some(ProxyChoice::Through(Arc::new(proxy))),
            Err(expected) => {
                self.reader.problem(node.at, format!("`proxy`: {expected}; `none` calls the target directly"));
                None
            }
        }
    }
}
