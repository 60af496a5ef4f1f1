//! How a call identifies its sender: authentication and signatures, as rules set them.
//!
//! Plain data with every secret masked in `Debug`, made by `compile`, used by the delivery stage. Equal settings are
//! equal values, so that rules with the same settings share a token. Deliberately holds no token and computes nothing.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::template::{Secret, percent_encode};

/// What `auth:` says.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The whole value of the header `Authorization`, the same for every call: `basic` and `bearer`.
    Fixed(Secret),
    /// A parameter of the query, the same for every call.
    Query(QueryKey),
    /// A signature of each request, made with these.
    Aws(Arc<AwsCredentials>),
    /// A token of an authorization server, got with the client credentials grant (RFC 6749, section 4.4).
    OAuth2(Arc<OAuth2>),
}

/// A parameter of the query that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryKey {
    /// Percent-encoded, as it is sent.
    pub name: Box<str>,
    /// As the API knows it, not encoded.
    pub value: Secret,
}

impl QueryKey {
    /// `name=value` as it is sent.
    pub fn pair(&self) -> Secret {
        let mut pair = format!("{}=", self.name);
        percent_encode(self.value.reveal(), &mut pair);
        Secret::new(&pair)
    }
}

/// What requests for Amazon Web Services are signed with (Signature Version 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// As in the scope of a signature: `lambda`, `execute-api`, `events`.
    pub service: Box<str>,
    pub region: Box<str>,
    pub access_key: Secret,
    pub secret_key: Secret,
    pub session_token: Option<Secret>,
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

/// What `sign:` says.
#[derive(Debug, Clone)]
pub enum Signing {
    /// Standard Webhooks: the keys, one, or two while they are changed.
    Webhook(Vec<SigningKey>),
    /// A scheme of the rule's own.
    Hmac(HmacSigning),
}

/// A signature over a text made of the request, in headers that the rule names.
#[derive(Debug, Clone)]
pub struct HmacSigning {
    pub algorithm: HmacAlgorithm,
    /// One, or two while they are changed.
    pub keys: Vec<SigningKey>,
    pub encoding: SignatureEncoding,
    /// What is signed; without `RequestPart::Signature`.
    pub text: RequestText,
    /// Names as the rule spells them, with what their values are made of: a signature of each key.
    pub headers: Vec<(Box<str>, RequestText)>,
}

/// The digest under an HMAC (RFC 2104).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    Sha256,
    Sha1,
    Sha512,
}

/// How the bytes of a signature are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureEncoding {
    Hex,
    Base64,
}

/// A text with places for parts of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestText(pub Vec<RequestPiece>);

impl RequestText {
    /// With the parts between separators that have a signature once for each of so many keys.
    pub(super) fn for_keys(&self, count: usize, separator: &str) -> RequestText {
        if count == 1 {
            return self.clone();
        }
        let mut parts = Vec::new();
        for part in self.split(separator) {
            let is_signature = part.contains(&RequestPiece::Part(RequestPart::Signature(0)));
            let of_key = |n| part.iter().map(move |piece| piece.of_key(n)).collect::<Vec<_>>();
            parts.extend((0..if is_signature { count } else { 1 }).map(of_key));
        }
        RequestText(parts.join(&RequestPiece::Literal(separator.into())))
    }

    fn split(&self, separator: &str) -> Vec<Vec<RequestPiece>> {
        let mut parts = vec![Vec::new()];
        for piece in &self.0 {
            let RequestPiece::Literal(text) = piece else {
                parts.last_mut().expect("there is a first").push(piece.clone());
                continue;
            };
            for (n, text) in text.split(separator).enumerate() {
                if n > 0 {
                    parts.push(Vec::new());
                }
                if !text.is_empty() {
                    parts.last_mut().expect("there is a first").push(RequestPiece::Literal(text.into()));
                }
            }
        }
        parts
    }

    /// Whether this part has a place in the text.
    pub fn names(&self, part: RequestPart) -> bool {
        self.0.contains(&RequestPiece::Part(part))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestPiece {
    Literal(Box<str>),
    Part(RequestPart),
}

impl RequestPiece {
    fn of_key(&self, n: usize) -> RequestPiece {
        match self {
            RequestPiece::Part(RequestPart::Signature(_)) => RequestPiece::Part(RequestPart::Signature(n)),
            other => other.clone(),
        }
    }
}

/// A part of one attempt's request, as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPart {
    /// What `Idempotency-Key` holds.
    Id,
    /// The second of the attempt since 1970; the next one is its millisecond.
    Timestamp,
    TimestampMs,
    Method,
    /// Percent-encoded, with its query; the next two are its parts.
    Url,
    Path,
    /// Without `?`; empty where there is none.
    Query,
    Body,
    /// The signature by the n-th key, in the rule's encoding.
    Signature(usize),
}

/// The bytes of a secret that signs.
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
