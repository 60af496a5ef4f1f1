//! What a rule's `call` says.
//!
//! In: the node below `call:`. Out: a `CallSpec`; URL, headers and body stay nodes, which `compile` makes templates of.

use std::time::Duration;

use super::super::diagnostic::Place;
use super::super::reader::{Reader, member};
use super::super::yaml::{Kind, Node};
use super::super::{Egress, Method, SuccessStatuses};
use crate::suggest::did_you_mean;
use crate::template::HostPattern;

const CALL_KEYS: [&str; 8] = ["method", "url", "allow_hosts", "egress", "headers", "body", "timeout", "success"];
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A lane waits for its attempt, so that a longer one is an outage of its own.
const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

pub(in crate::rules) struct CallSpec<'n> {
    pub method: Method,
    pub url: &'n Node,
    /// The hosts that the URL may lead to, and where they stand; none: its own.
    pub allow_hosts: Option<(Vec<HostPattern>, Place)>,
    pub egress: Egress,
    pub headers: Vec<(String, Place, &'n Node)>,
    pub body: Option<&'n Node>,
    pub timeout: Duration,
    pub success: SuccessStatuses,
}

impl<'n> Reader<'_> {
    pub(super) fn call(&mut self, node: &'n Node) -> Option<CallSpec<'n>> {
        let members = self.members(node, "`call`", &CALL_KEYS)?;
        let get = |name| member(members, name);
        let method = get("method").map_or(Some(Method::Post), |node| self.method(node));
        let headers = get("headers").map_or(Vec::new(), |node| self.headers(node));
        let timeout = get("timeout").and_then(|node| self.duration(node, "timeout", TIMEOUT_MAX));
        let success = get("success").map_or_else(|| SuccessStatuses(vec![(200, 299)]), |node| self.success(node));
        let allow_hosts = get("allow_hosts").map(|node| (self.host_patterns(node), node.at));
        let egress = get("egress").map_or(Egress::PrivateToo, |node| self.egress(node));
        if let (Some(Method::Get), Some(body)) = (method, get("body")) {
            self.problem(body.at, "a GET request has no body; leave `body` out or use another `method`");
        }
        let url = get("url").or_else(|| {
            self.problem(node.at, "the call has no `url`");
            None
        });
        let (url, body) = (url?, get("body"));
        self.string(url, "url")?;
        let (method, timeout) = (method?, timeout.unwrap_or(TIMEOUT_DEFAULT));
        Some(CallSpec { method, url, allow_hosts, egress, headers, body, timeout, success })
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

    fn egress(&mut self, node: &Node) -> Egress {
        if let Some(word) = self.string(node, "egress").filter(|word| *word != "public_only") {
            self.problem(node.at, format!("`egress` is `public_only` or left out, not `{word}`"));
        }
        Egress::PublicOnly
    }

    fn method(&mut self, node: &Node) -> Option<Method> {
        const METHODS: [(&str, Method); 5] = [
            ("GET", Method::Get),
            ("POST", Method::Post),
            ("PUT", Method::Put),
            ("PATCH", Method::Patch),
            ("DELETE", Method::Delete),
        ];
        let word = self.string(node, "method")?;
        let found = METHODS.iter().find(|(name, _)| *name == word).map(|(_, method)| *method);
        if found.is_none() {
            let hint = did_you_mean(word, METHODS.map(|(name, _)| name));
            self.problem(node.at, format!("`method` is GET, POST, PUT, PATCH or DELETE, not `{word}`{hint}"));
        }
        found
    }

    fn headers(&mut self, node: &'n Node) -> Vec<(String, Place, &'n Node)> {
        let Kind::Map(members) = &node.kind else {
            self.problem(node.at, format!("`headers` must be a map from name to value, not {}", node.describe()));
            return Vec::new();
        };
        let mut headers: Vec<(String, Place, &Node)> = Vec::new();
        for (key, value) in members {
            if let Some(message) = header_problem(&key.text) {
                self.problem(key.at, message);
            } else if headers.iter().any(|(name, ..)| name.eq_ignore_ascii_case(&key.text)) {
                self.problem(key.at, format!("header `{}` is given twice; case does not matter", key.text));
            } else if self.string(value, &key.text).is_some() {
                headers.push((key.text.clone(), key.at, value));
            }
        }
        headers
    }

    fn success(&mut self, node: &Node) -> SuccessStatuses {
        let mut ranges = Vec::new();
        for (word, at) in self.words(node, "success") {
            let class = word.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
            match (class, word.parse::<u16>()) {
                (Some(class @ 2..=5), _) => ranges.push((class * 100, class * 100 + 99)),
                (None, Ok(status @ 200..=599)) => ranges.push((status, status)),
                _ => self.problem(at, format!("`{word}` is no status; write one as `409` or a class as `2xx`")),
            }
        }
        SuccessStatuses(ranges)
    }
}

/// Why a rule can't set this header.
fn header_problem(name: &str) -> Option<String> {
    /// Set by the client, part of the protocol between two hops, or rowhook's promise to the receiver.
    const RESERVED: [&str; 11] = [
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
    ];
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(token) {
        return Some("a header's name is literal: letters, digits and `-`".to_string());
    }
    let reserved = RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name));
    reserved.then(|| format!("header `{name}` is set by rowhook; a rule can't change it"))
}
