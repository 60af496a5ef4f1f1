//! The settings of calls, as the delivery stage takes them.
//!
//! In: what was typed, set and written, and the file with the proxy's password. Out: the proxy, checked; or an error without its
//! password.

use std::path::Path;
use std::sync::Arc;

use crate::config::{CallArgs, Error, File, ProxySettings};
use crate::file;
use crate::rules::ProxyServer;
use crate::template::Secret;

/// Longest file with a password.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// The proxy of all calls whose target names no other.
pub(super) fn proxy(args: CallArgs, file: &File) -> Result<Option<Arc<ProxyServer>>, Error> {
    let Some(ProxySettings { url, password_file }) = args.resolve(file) else { return Ok(None) };
    let invalid = |expected: &str| Error::invalid("proxy", "***", &format!("{expected}; or `none`"));
    let proxy = ProxyServer::parse(&url).map_err(invalid)?;
    let proxy = match password_file {
        Some(path) => with_password_of(proxy, &path)
            .map_err(|expected| Error::invalid("proxy-password-file", &path.display().to_string(), &expected))?,
        None => proxy,
    };
    Ok(Some(Arc::new(proxy)))
}

/// Line ends at the end of the file are none of the password's.
fn with_password_of(proxy: ProxyServer, path: &Path) -> Result<ProxyServer, String> {
    let text = file::read_text(path, PASSWORD_BYTES_MAX).map_err(|error| format!("the file can't be read: {error}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("the file is empty".to_owned()),
        password => Ok(proxy.with_password(Secret::new(password))?),
    }
}
