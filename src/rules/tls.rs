//! TLS settings of a call, as rules say them.
//!
//! Plain data, read and checked by `compile`; the delivery stage makes one pool of connections for each distinct value.

use std::fmt;

use crate::template::Secret;

/// What `tls:` and `insecure_tls:` say; a call without either has none of this.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetTls {
    /// The only certificate authorities that are trusted, in PEM form; None: those of the system.
    pub authorities: Option<Box<str>>,
    /// The client's certificates and its key, in PEM form.
    pub identity: Option<Secret>,
    pub verification: Verification,
}

/// Whether the server must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verification {
    Full,
    /// Any certificate for any name will do: `insecure_tls: true`.
    None,
}

impl fmt::Debug for TargetTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.as_ref().map(|pem| pem.len()))
            .field("identity", &self.identity)
            .field("verification", &self.verification)
            .finish()
    }
}
