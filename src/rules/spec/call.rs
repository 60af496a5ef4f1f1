//! What a rule's `call` says.
//!
//! In: the node below `call:`. Out: a `CallSpec`; what holds templates, secrets or
//! files stays nodes, which `compile` reads.

use super::super::diagnostic::FilePlace;
use super::super::reader::{Members, NodeReader, member};
use super::super::settings::{self, CALL_KEYS, CallSettings, Egress};
use super::super::yaml::{Key, Node, NodeKind};
use super::body::BodySpec;
use crate::template::HostPattern;

/// A header of a call, whose value is a template.
pub(in crate::rules) struct HeaderSpec<'n> {
    pub name: String,
    pub at: FilePlace,
    pub value: &'n Node,
}

pub(in crate::rules) struct CallSpec<'n> {
    pub url: &'n Node,
    /// The hosts that the URL may lead to, and where they stand; none: its own.
    pub allow_hosts: Option<(Vec<HostPattern>, FilePlace)>,
    pub headers: Vec<HeaderSpec<'n>>,
    pub body: BodySpec<'n>,
    /// `line` of the rule's `batch`.
    pub item_line: Option<&'n Node>,
    /// `wrap` of the rule's `batch`.
    pub array_wrap: Option<&'n Node>,
    pub auth: Option<&'n Node>,
    pub sign: Option<&'n Node>,
    pub tls: Option<&'n Node>,
    pub insecure_tls: Option<&'n Node>,
    /// `when` of `success`.
    pub success_when: Option<&'n Node>,
    pub settings: CallSettings,
}

/// The condition in the map that `success` or `retry_on` may be.
pub(super) fn when_of(node: &Node) -> Option<&Node> {
    below(node, "when")
}

/// The value of a key, where the node is a map that has it.
fn below<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.kind {
        NodeKind::Map(members) => member(members, name),
        NodeKind::Scalar { .. } | NodeKind::List(_) => None,
    }
}

impl<'n> NodeReader<'_> {
    pub(super) fn call(&mut self, node: &'n Node) -> Option<CallSpec<'n>> {
        let members = self.members(node, "`call`", &settings::names(CALL_KEYS))?;
        let get = |name| member(members, name);
        let mut settings = CallSettings::default();
        self.settings(&mut settings, CALL_KEYS, members);
        let headers = get("headers").map_or(Vec::new(), |node| self.headers(node));
        let allow_hosts = get("allow_hosts").map(|node| (self.host_patterns(node), node.at));
        let body = self.body(members, settings.method, &headers);
        self.contradictions(members, &settings, &headers);
        let url = get("url").or_else(|| {
            self.problem(node.at, "the call has no `url`");
            None
        });
        let url = url?;
        self.string(url, "url")?;
        Some(CallSpec {
            url,
            allow_hosts,
            headers,
            body,
            item_line: None,
            array_wrap: None,
            auth: get("auth"),
            sign: get("sign"),
            tls: get("tls"),
            insecure_tls: get("insecure_tls"),
            success_when: get("success").and_then(|node| when_of(node)),
            settings,
        })
    }

    /// Keys that are right by themselves and make no sense together.
    fn contradictions(&mut self, members: Members<'n>, settings: &CallSettings, headers: &[HeaderSpec<'n>]) {
        let get = |name| member(members, name);
        if let (Some(_), Some(node), Egress::PrivateToo) = (get("allow_hosts"), get("egress"), settings.egress) {
            let message = "a host that a row chooses is called at public addresses only; leave `egress: any` out";
            self.problem(node.at, message);
        }
        if let (Some(_), Some(node), Some(_)) = (get("sign"), get("compress"), settings.compression) {
            let message = "`compress` and `sign` don't go together: receivers differ in whether they check a signature \
                           before or after they unpack a body; write `compress: no`";
            self.problem(node.at, message);
        }
        // A key in the query leaves this header alone.
        let authorizes = get("auth").is_some_and(|auth| below(auth, "query").is_none());
        let signed: Vec<&Key> = get("sign").map_or(Vec::new(), signature_header_names);
        let by_aws: &[&str] = match get("auth").and_then(|auth| below(auth, "aws")) {
            Some(_) => &["x-amz-date", "x-amz-content-sha256", "x-amz-security-token"],
            None => &[],
        };
        for HeaderSpec { name, at, .. } in headers {
            if by_aws.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                self.problem(*at, "`auth` sets this header; leave one of them out");
            }
            if signed.iter().any(|key| key.text.eq_ignore_ascii_case(name)) {
                self.problem(*at, "`sign` sets this header; leave one of them out");
            }
            if name.eq_ignore_ascii_case("authorization") && authorizes {
                self.problem(*at, "`auth` sets this header; leave one of them out");
            }
        }
        if let Some(key) = signed.iter().find(|key| authorizes && key.text.eq_ignore_ascii_case("authorization")) {
            self.problem(key.at, "`auth` sets this header; leave one of them out");
        }
    }

    fn host_patterns(&mut self, node: &Node) -> Vec<HostPattern> {
        let mut patterns = Vec::new();
        for (word, at) in self.words(node, "allow_hosts") {
            match HostPattern::parse(&word) {
                Ok(pattern) => patterns.push(pattern),
                Err(message) => self.problem(at, message),
            }
        }
        patterns
    }

    fn headers(&mut self, node: &'n Node) -> Vec<HeaderSpec<'n>> {
        let NodeKind::Map(members) = &node.kind else {
            let message = format!(
                "`headers` must be a map from name to value, such as `{{Accept: text/plain}}`, not {}",
                node.describe()
            );
            self.problem(node.at, message);
            return Vec::new();
        };
        let mut headers: Vec<HeaderSpec> = Vec::new();
        for (key, value) in members {
            if let Some(message) = header_problem(&key.text) {
                self.problem(key.at, message);
            } else if headers.iter().any(|header| header.name.eq_ignore_ascii_case(&key.text)) {
                self.problem(key.at, format!("header `{}` is given twice; case does not matter", key.text));
            } else if self.string(value, &key.text).is_some() {
                headers.push(HeaderSpec { name: key.text.clone(), at: key.at, value });
            }
        }
        headers
    }
}

/// The headers that a signature of the rule's own scheme is in.
fn signature_header_names(sign: &Node) -> Vec<&Key> {
    match below(sign, "hmac").and_then(|hmac| below(hmac, "headers")).map(|headers| &headers.kind) {
        Some(NodeKind::Map(members)) => members.iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}

/// Why a rule can't set this header.
pub(in crate::rules) fn header_problem(name: &str) -> Option<String> {
    /// Set by the client, part of the protocol between two hops, or rowhook's promise to the receiver.
    const RESERVED: [&str; 15] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-connection",
        "idempotency-key",
        "content-encoding",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ];
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(token) {
        return Some(format!("a header's name is literal: letters, digits and `-`, not `{name}`"));
    }
    let reserved = RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name));
    reserved.then(|| format!("header `{name}` is set by rowhook; a rule can't change it"))
}
