//! What a rule's `call` says.
//!
//! In: the node below `call:`. Out: a `CallSpec`; what holds templates, secrets or
//! files stays nodes, which `compile` reads.

use super::super::call::{Body, CloudEventMode};
use super::super::diagnostic::FilePlace;
use super::super::reader::{Members, NodeReader, member};
use super::super::settings::{self, CALL_KEYS, CallSettings, Method};
use super::super::yaml::{Node, NodeKind};
use crate::suggest::did_you_mean;
use crate::template::HostPattern;

type Format = fn() -> Body;

pub(in crate::rules) struct CallSpec<'n> {
    pub url: &'n Node,
    /// The hosts that the URL may lead to, and where they stand; none: its own.
    pub allow_hosts: Option<(Vec<HostPattern>, FilePlace)>,
    pub headers: Vec<(String, FilePlace, &'n Node)>,
    pub body: Option<&'n Node>,
    /// Makes the body that `format` names.
    pub format: Option<Format>,
    pub auth: Option<&'n Node>,
    pub sign: Option<&'n Node>,
    pub tls: Option<&'n Node>,
    pub insecure_tls: Option<&'n Node>,
    pub settings: CallSettings,
}

impl<'n> NodeReader<'_> {
    pub(super) fn call(&mut self, node: &'n Node) -> Option<CallSpec<'n>> {
        let members = self.members(node, "`call`", &settings::names(CALL_KEYS))?;
        let get = |name| member(members, name);
        let mut settings = CallSettings::default();
        self.settings(&mut settings, CALL_KEYS, members);
        let headers = get("headers").map_or(Vec::new(), |node| self.headers(node));
        let allow_hosts = get("allow_hosts").map(|node| (self.host_patterns(node), node.at));
        let format = get("format").and_then(|node| self.format(node));
        self.contradictions(members, settings.method, format, &headers);
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
            body: get("body"),
            format,
            auth: get("auth"),
            sign: get("sign"),
            tls: get("tls"),
            insecure_tls: get("insecure_tls"),
            settings,
        })
    }

    /// Keys that are right by themselves and make no sense together.
    fn contradictions(
        &mut self,
        members: Members<'n>,
        method: Method,
        format: Option<Format>,
        headers: &[(String, FilePlace, &Node)],
    ) {
        let get = |name| member(members, name);
        if method == Method::Get {
            for (name, node) in ["body", "format"].into_iter().filter_map(|name| Some((name, get(name)?))) {
                let message = format!("a GET request has no body; leave `{name}` out or use another `method`");
                self.problem(node.at, message);
            }
        }
        if let (Some(_), Some(node)) = (get("body"), get("format")) {
            self.problem(node.at, "`format` and `body` both say what is sent; leave one of them out");
        }
        if let (Some(_), Some(node)) = (get("sign"), get("compress")) {
            let message = "`compress` and `sign` don't go together: receivers differ in whether they check a signature \
                           before or after they unpack a body; leave one of them out";
            self.problem(node.at, message);
        }
        let is_cloud_event = format.is_some_and(|format| matches!(format(), Body::CloudEvent(_)));
        for (name, at, _) in headers {
            let name_in_lower_case = name.to_ascii_lowercase();
            if name_in_lower_case == "authorization" && get("auth").is_some() {
                self.problem(*at, "`auth` sets this header; leave one of them out");
            }
            if is_cloud_event && (name_in_lower_case == "content-type" || name_in_lower_case.starts_with("ce-")) {
                self.problem(*at, format!("`format: cloudevents` sets header `{name}`; a rule can't change it"));
            }
        }
    }

    fn format(&mut self, node: &Node) -> Option<Format> {
        const FORMATS: [(&str, Format); 4] = [
            ("change", || Body::Change),
            ("row", || Body::Row),
            ("cloudevents", || Body::CloudEvent(CloudEventMode::Binary)),
            ("cloudevents-structured", || Body::CloudEvent(CloudEventMode::Structured)),
        ];
        let word = self.string(node, "format")?;
        let found = FORMATS.iter().find(|(name, _)| *name == word).map(|(_, format)| *format);
        if found.is_none() {
            let names = FORMATS.map(|(name, _)| name);
            let hint = did_you_mean(word, names);
            self.problem(node.at, format!("`format` is one of {}, not `{word}`{hint}", names.join(", ")));
        }
        found
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

    fn headers(&mut self, node: &'n Node) -> Vec<(String, FilePlace, &'n Node)> {
        let NodeKind::Map(members) = &node.kind else {
            self.problem(node.at, format!("`headers` must be a map from name to value, not {}", node.describe()));
            return Vec::new();
        };
        let mut headers: Vec<(String, FilePlace, &Node)> = Vec::new();
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
}

/// Why a rule can't set this header.
fn header_problem(name: &str) -> Option<String> {
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
        return Some("a header's name is literal: letters, digits and `-`".to_string());
    }
    let reserved = RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name));
    reserved.then(|| format!("header `{name}` is set by rowhook; a rule can't change it"))
}
