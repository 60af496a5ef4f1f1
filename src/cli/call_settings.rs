//! The settings of calls, as the delivery stage takes them.
//!
//! In: what was typed, set and written. Out: the proxy, checked; or an error without its password.

use std::sync::Arc;

use crate::config::{CallArgs, Error, File};
use crate::rules::ProxyServer;

/// The proxy of all calls whose target names no other.
pub(super) fn proxy(args: CallArgs, file: &File) -> Result<Option<Arc<ProxyServer>>, Error> {
    let Some(url) = args.resolve(file) else { return Ok(None) };
    let invalid = |expected: &str| Error::Invalid {
        name: "proxy",
        value: "***".to_owned(),
        expected: format!("{expected}; or `none`"),
    };
    ProxyServer::parse(&url).map(|proxy| Some(Arc::new(proxy))).map_err(invalid)
}
