//! The key `sign` of a call.
//!
//! In: its node. Out: what signs the requests, with its keys read; or problems at their places. The texts of a scheme of
//! the rule's own take `{{ }}` with the names of request parts, which are filled in at each attempt: no row and no secret has
//! a place in them. No message holds a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::auth::{
    HmacAlgorithm, HmacSigning, RequestPart, RequestPiece, RequestText, SignatureEncoding, Signing, SigningKey,
};
use super::super::reader::member;
use super::super::spec::header_problem;
use super::super::yaml::{Node, NodeKind};
use super::Compiler;
use crate::suggest::did_you_mean;

const KINDS: [&str; 2] = ["webhook", "hmac"];
const HMAC_KEYS: [&str; 7] = ["secret", "secret_encoding", "algorithm", "text", "encoding", "headers", "separator"];

/// Standard Webhooks 1.0, "Signature scheme": between 24 and 64 bytes.
const WEBHOOK_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The current one, and the one before or after it.
const SIGNING_KEYS_MAX: usize = 2;
/// Between the parts of a header such as `t=1,v1=a,v1=b`.
const SEPARATOR_DEFAULT: &str = ",";

const ALGORITHMS: [(&str, HmacAlgorithm); 3] =
    [("sha256", HmacAlgorithm::Sha256), ("sha1", HmacAlgorithm::Sha1), ("sha512", HmacAlgorithm::Sha512)];
const ENCODINGS: [(&str, SignatureEncoding); 2] =
    [("hex", SignatureEncoding::Hex), ("base64", SignatureEncoding::Base64)];

/// How the secret of a rule is written.
#[derive(Clone, Copy)]
enum SecretEncoding {
    Text,
    Hex,
    Base64,
}

const SECRET_ENCODINGS: [(&str, SecretEncoding); 3] =
    [("text", SecretEncoding::Text), ("hex", SecretEncoding::Hex), ("base64", SecretEncoding::Base64)];

/// What is signed where the rule doesn't say.
const TEXT_DEFAULT: [RequestPiece; 1] = [RequestPiece::Part(RequestPart::Body)];

/// In the order in which messages name them; the last is for headers only.
const PARTS: [(&str, RequestPart); 9] = [
    ("body", RequestPart::Body),
    ("timestamp", RequestPart::Timestamp),
    ("timestamp_ms", RequestPart::TimestampMs),
    ("id", RequestPart::Id),
    ("method", RequestPart::Method),
    ("url", RequestPart::Url),
    ("path", RequestPart::Path),
    ("query", RequestPart::Query),
    ("signature", RequestPart::Signature(0)),
];
/// What a header may hold: all of these are of one line.
const HEADER_PARTS: [(&str, RequestPart); 4] = [PARTS[8], PARTS[1], PARTS[2], PARTS[3]];

impl Compiler<'_> {
    pub(super) fn sign(&mut self, node: &Node) -> Option<Signing> {
        let members = self.reader.members(node, "`sign`", &KINDS)?;
        match members {
            [(kind, node)] if kind.text == "webhook" => {
                self.signing_keys(node, "webhook", Self::webhook_key).map(Signing::Webhook)
            }
            [(kind, node)] if kind.text == "hmac" => self.hmac(node).map(Signing::Hmac),
            // It was reported as an unknown key.
            [_] => None,
            _ => {
                let message = "`sign` is exactly one of `webhook` (one secret, or a list of two while they are \
                               changed) and `hmac`";
                self.reader.problem(node.at, message);
                None
            }
        }
    }

    /// One key, or a list of them.
    fn signing_keys(
        &mut self,
        secrets: &Node,
        what: &str,
        mut key: impl FnMut(&mut Self, &Node) -> Option<SigningKey>,
    ) -> Option<Vec<SigningKey>> {
        let nodes = match &secrets.kind {
            NodeKind::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(secrets),
        };
        if nodes.is_empty() || nodes.len() > SIGNING_KEYS_MAX {
            let message = format!("`{what}` takes one secret, or {SIGNING_KEYS_MAX} while they are changed");
            self.reader.problem(secrets.at, message);
            return None;
        }
        let keys: Vec<_> = nodes.iter().map(|node| key(self, node)).collect();
        keys.into_iter().collect()
    }

    fn webhook_key(&mut self, node: &Node) -> Option<SigningKey> {
        let secret = self.secret(node, "webhook")?;
        let bytes = secret.reveal().strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
        let key = bytes.filter(|bytes| WEBHOOK_KEY_BYTES.contains(&bytes.len()));
        if key.is_none() && self.outside.is_stand_in(&secret) {
            return Some(SigningKey([0; *WEBHOOK_KEY_BYTES.start()].into()));
        }
        if key.is_none() {
            let message = "a webhook secret is `whsec_` and the base64 text of 24 to 64 bytes; \
                           make one with: echo \"whsec_$(openssl rand -base64 32)\"";
            self.reader.problem(node.at, message);
        }
        key.map(|key| SigningKey(key.into()))
    }

    fn hmac(&mut self, node: &Node) -> Option<HmacSigning> {
        let members = self.reader.members(node, "`hmac`", &HMAC_KEYS)?;
        let get = |name| member(members, name);
        let required = ["secret", "headers"];
        let missing: Vec<&str> = required.into_iter().filter(|name| get(name).is_none()).collect();
        if !missing.is_empty() {
            self.reader.problem(node.at, format!("`hmac` lacks {}", missing.join(" and ")));
        }
        let algorithm = get("algorithm")
            .map_or(Some(HmacAlgorithm::Sha256), |node| self.reader.word(node, "algorithm", &ALGORITHMS));
        let encoding =
            get("encoding").map_or(Some(SignatureEncoding::Hex), |node| self.reader.word(node, "encoding", &ENCODINGS));
        let secret_encoding = get("secret_encoding")
            .map_or(Some(SecretEncoding::Text), |node| self.reader.word(node, "secret_encoding", &SECRET_ENCODINGS));
        let keys = get("secret").zip(secret_encoding).and_then(|(secrets, encoding)| {
            self.signing_keys(secrets, "secret", |own, secret| own.hmac_key(secret, encoding))
        });
        let text = match get("text") {
            Some(node) => self.request_text(node, "text", &PARTS[..PARTS.len() - 1]),
            None => Some(RequestText(TEXT_DEFAULT.into())),
        };
        let headers = get("headers").and_then(|node| self.signature_headers(node));
        let separator = get("separator").map_or(Some(SEPARATOR_DEFAULT), |node| self.separator(node));
        let (text, headers) = (text?, headers?);
        self.refuse_what_no_receiver_can_check(node, get("text"), &text, &headers)?;
        let (keys, separator) = (keys?, separator?);
        let headers = headers.into_iter().map(|(name, text)| (name, text.for_keys(keys.len(), separator))).collect();
        Some(HmacSigning { algorithm: algorithm?, keys, encoding: encoding?, text, headers })
    }

    /// What stands between signatures in a header.
    fn separator<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let NodeKind::Scalar { text, .. } = &node.kind else {
            self.reader.problem(node.at, "`separator` is a text such as `','`");
            return None;
        };
        if text.is_empty() || text.chars().any(char::is_control) || text.contains("{{") {
            self.reader.problem(
                node.at,
                "`separator` is what stands between two signatures in a header, such as `','` or `' '`",
            );
            return None;
        }
        Some(text)
    }

    fn hmac_key(&mut self, node: &Node, encoding: SecretEncoding) -> Option<SigningKey> {
        let secret = self.secret(node, "secret")?;
        let text = secret.reveal();
        if self.outside.is_stand_in(&secret) {
            return Some(SigningKey(text.as_bytes().into()));
        }
        let (key, what) = match encoding {
            SecretEncoding::Text => (Some(text.as_bytes().to_vec()), "text"),
            SecretEncoding::Hex => (unhex(text), "hex digits"),
            SecretEncoding::Base64 => (STANDARD.decode(text).ok(), "base64"),
        };
        let key = key.filter(|key| !key.is_empty());
        if key.is_none() {
            self.reader.problem(node.at, format!("`secret` is not {what}, as `secret_encoding` says"));
        }
        key.map(|key| SigningKey(key.into()))
    }

    fn signature_headers(&mut self, node: &Node) -> Option<Vec<(Box<str>, RequestText)>> {
        let NodeKind::Map(members) = &node.kind else {
            let message = format!(
                "`headers` of `hmac` must be a map from name to value, such as `X-Signature: '{{{{ signature }}}}'`, not {}",
                node.describe()
            );
            self.reader.problem(node.at, message);
            return None;
        };
        let mut headers: Vec<(Box<str>, RequestText)> = Vec::new();
        let mut is_sound = true;
        for (key, value) in members {
            let own = ["content-type", "user-agent", "accept-encoding"];
            let is_twice = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(&key.text));
            let problem = match header_problem(&key.text) {
                Some(problem) => Some(problem),
                None if own.iter().any(|own| key.text.eq_ignore_ascii_case(own)) => {
                    Some(format!("header `{}` can't hold a signature: it says something else", key.text))
                }
                None if is_twice => Some(format!("header `{}` is given twice; case does not matter", key.text)),
                None => None,
            };
            if let Some(problem) = problem {
                self.reader.problem(key.at, problem);
                is_sound = false;
                continue;
            }
            match self.request_text(value, &key.text, &HEADER_PARTS) {
                Some(text) if has_control(&text) => {
                    self.reader.problem(value.at, "a header's value can't hold line breaks or control characters");
                    is_sound = false;
                }
                Some(text) => headers.push((key.text.as_str().into(), text)),
                None => is_sound = false,
            }
        }
        is_sound.then_some(headers)
    }

    /// A receiver computes the signature again from what it gets: all that goes into it must be in the request.
    fn refuse_what_no_receiver_can_check(
        &mut self,
        node: &Node,
        text_node: Option<&Node>,
        text: &RequestText,
        headers: &[(Box<str>, RequestText)],
    ) -> Option<()> {
        let is_sent = |part| headers.iter().any(|(_, value)| value.names(part));
        if !is_sent(RequestPart::Signature(0)) {
            let message = "no header under `headers` has `{{ signature }}`; write `X-Signature: '{{ signature }}'`, \
                           with the name that the API reads";
            self.reader.problem(node.at, message);
            return None;
        }
        let at = text_node.unwrap_or(node).at;
        if text.0.iter().all(|piece| matches!(piece, RequestPiece::Literal(_))) {
            self.reader.problem(at, "`text` is the same for every request; let it contain `{{ body }}`");
            return None;
        }
        for (part, name) in [(RequestPart::Timestamp, "timestamp"), (RequestPart::TimestampMs, "timestamp_ms")] {
            if text.names(part) && !is_sent(part) {
                let message = format!(
                    "`text` has `{{{{ {name} }}}}`, and no header says it to the receiver; put it into one under `headers`"
                );
                self.reader.problem(at, message);
                return None;
            }
        }
        Some(())
    }

    /// A text in which `{{ }}` with one of these names may stand.
    fn request_text(&mut self, node: &Node, what: &str, parts: &[(&str, RequestPart)]) -> Option<RequestText> {
        let source = self.reader.string(node, what)?;
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some(begin) = rest.find("{{") {
            literal(&rest[..begin], &mut pieces);
            let inner = &rest[begin + 2..];
            let end = inner.find("}}");
            let name = end.map_or("", |end| inner[..end].trim());
            match parts.iter().find(|(known, _)| *known == name) {
                Some((_, part)) => pieces.push(RequestPiece::Part(*part)),
                None => {
                    let names = parts.iter().map(|(known, _)| *known);
                    let hint = did_you_mean(name, names.clone());
                    let known = names.map(|name| format!("{{{{ {name} }}}}")).collect::<Vec<_>>().join(", ");
                    self.reader.problem(node.at, format!("`{what}` takes nothing but {known} in braces{hint}"));
                    return None;
                }
            }
            rest = end.map_or("", |end| &inner[end + 2..]);
        }
        literal(rest, &mut pieces);
        Some(RequestText(pieces))
    }
}

fn literal(text: &str, pieces: &mut Vec<RequestPiece>) {
    if !text.is_empty() {
        pieces.push(RequestPiece::Literal(text.into()));
    }
}

fn has_control(text: &RequestText) -> bool {
    let of_piece = |piece: &RequestPiece| match piece {
        RequestPiece::Literal(text) => text.chars().any(char::is_control),
        RequestPiece::Part(_) => false,
    };
    text.0.iter().any(of_piece)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests;
