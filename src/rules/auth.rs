//! How a call identifies its sender: authentication and signatures, as rules set them.
//!
//! Plain data with every secret masked in `Debug`, made by `compile`, used by the delivery stage. Equal settings are
//! equal values, so that rules with the same settings share a token. Deliberately holds no token and computes nothing.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::template::Secret;

/// What `auth:` says.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The whole value of the header `Authorization`, the same for every call: `basic` and `bearer`.
    Fixed(Secret),
    /// A token of an authorization server, got with the client credentials grant (RFC 6749, section 4.4).
    OAuth2(Arc<OAuth2>),
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OAuth2 {
    /// Without userinfo and fragment.
    pub token_url: Url,
    pub client_id: Secret,
    pub client_secret: Secret,
    pub style: ClientStyle,
    /// Further fields of the form, besides `grant_type` and the client: `scope`, `audience`, `resource`, then `params`.
    pub form: Vec<(Box<str>, Secret)>,
}

/// How the client authenticates to the authorization server (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientStyle {
    /// In the header `Authorization`, id and secret form-urlencoded first.
    Basic,
    /// As `client_id` and `client_secret` in the form.
    Body,
}

/// What `sign:` says: the keys of Standard Webhooks signatures, one, or two while they are changed.
#[derive(Debug, Clone)]
pub struct Signing {
    pub keys: Vec<SigningKey>,
}

/// The bytes of one `whsec_` secret.
#[derive(Clone)]
pub struct SigningKey(pub(super) Box<[u8]>);

impl SigningKey {
    /// The key itself; the caller keeps it out of logs, errors and the store.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
