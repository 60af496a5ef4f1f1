//! What a rule file says, key by key, before anything is compiled.
//!
//! In: a positioned tree. Out: one `RuleSpec` per rule with values in their own types; templates stay nodes. Every
//! unknown, missing or unusable key is a problem with its place; reading goes on behind it, so that all show at once.

use std::time::Duration;

use super::diagnostic::Place;
use super::reader::{Reader, member};
use super::yaml::{Kind, Node};
use super::{Method, OrderBy, SuccessStatuses};
use crate::change::Op;
use crate::pattern::TablePattern;
use crate::retry::RetryPolicy;
use crate::suggest::did_you_mean;

const FILE_KEYS: [&str; 2] = ["table", "rules"];
const RULE_KEYS: [&str; 9] =
    ["name", "on", "changed", "when", "order_by", "call", "retry", "on_dead_letter", "in_flight"];
const CALL_KEYS: [&str; 6] = ["method", "url", "headers", "body", "timeout", "success"];
const RETRY_KEYS: [&str; 5] = ["retries", "initial", "multiplier", "max_delay", "jitter"];
const NAME_CHARACTERS_MAX: usize = 64;
/// One try and three retries are what rowhook promises of a delivery.
const RETRIES_MAX: u32 = 3;
const IN_FLIGHT_DEFAULT: usize = 32;
/// More at once to one API is a load test.
const IN_FLIGHT_MAX: u64 = 1024;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A lane waits for its attempt, so that a longer one is an outage of its own.
const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);
const DELAY_MAX: Duration = Duration::from_secs(60 * 60);

/// One rule as written.
pub(super) struct RuleSpec<'n> {
    pub name: String,
    pub at: Place,
    pub on: Vec<Op>,
    pub changed: Vec<(String, Place)>,
    pub when: Option<&'n Node>,
    pub order_by: OrderBy,
    /// Where the columns of `order_by` stand.
    pub order_by_places: Vec<Place>,
    pub call: CallSpec<'n>,
    pub retry: RetryPolicy,
    pub in_flight: usize,
}

pub(super) struct CallSpec<'n> {
    pub method: Method,
    pub url: &'n Node,
    pub headers: Vec<(String, Place, &'n Node)>,
    pub body: Option<&'n Node>,
    pub timeout: Duration,
    pub success: SuccessStatuses,
}

impl<'n> Reader<'_> {
    /// Reads a whole file; rules with problems are left out.
    pub(super) fn file(&mut self, root: &'n Node) -> Option<(TablePattern, Vec<RuleSpec<'n>>)> {
        let members = self.members(root, "a rule file", &FILE_KEYS)?;
        let table = match member(members, "table") {
            Some(node) => self.table(node),
            None => {
                self.problem(root.at, "`table` is missing; write `table: schema.table`");
                None
            }
        };
        let rules = match member(members, "rules").map(|node| (node, &node.kind)) {
            Some((_, Kind::List(items))) if !items.is_empty() => {
                items.iter().filter_map(|rule| self.rule(rule)).collect()
            }
            Some((node, _)) => {
                self.problem(node.at, format!("`rules` must be a list of at least one rule, not {}", node.describe()));
                Vec::new()
            }
            None => {
                self.problem(root.at, "`rules` is missing");
                Vec::new()
            }
        };
        Some((table?, rules))
    }

    fn table(&mut self, node: &Node) -> Option<TablePattern> {
        let text = self.string(node, "table")?;
        TablePattern::parse(text).map_err(|message| self.problem(node.at, message)).ok()
    }

    fn rule(&mut self, node: &'n Node) -> Option<RuleSpec<'n>> {
        let members = self.members(node, "a rule", &RULE_KEYS)?;
        let get = |name| member(members, name);
        let name = match get("name") {
            Some(name) => self.name(name),
            None => {
                self.problem(node.at, "the rule has no `name`");
                None
            }
        };
        let on = get("on").map_or_else(|| vec![Op::Insert, Op::Update, Op::Delete], |on| self.operations(on));
        let changed = get("changed").map_or(Vec::new(), |node| self.words(node, "changed"));
        if let Some(changed) = get("changed").filter(|_| !on.is_empty() && !on.contains(&Op::Update)) {
            self.problem(changed.at, "`changed` is about updates, which `on` leaves out");
        }
        let (order_by, order_by_places) =
            get("order_by").map_or((OrderBy::PrimaryKey, vec![]), |node| self.order_by(node));
        let retry = get("retry").map_or_else(RetryPolicy::default, |node| self.retry(node));
        let in_flight = match get("in_flight") {
            Some(node) => self.integer(node, "in_flight", 1, IN_FLIGHT_MAX).unwrap_or(1) as usize,
            None => IN_FLIGHT_DEFAULT,
        };
        if let Some(node) = get("on_dead_letter") {
            self.on_dead_letter(node);
        }
        let call = match get("call") {
            Some(call) => self.call(call),
            None if members.iter().any(|(key, _)| key.text == "steps") => None,
            None => {
                self.problem(node.at, "the rule has no `call`");
                None
            }
        };
        let (when, at) = (get("when"), node.at);
        Some(RuleSpec { name: name?, at, on, changed, when, order_by, order_by_places, call: call?, retry, in_flight })
    }

    fn name(&mut self, node: &Node) -> Option<String> {
        let name = self.string(node, "name")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_CHARACTERS_MAX || !name.chars().all(allowed) {
            let message = format!("a name is 1 to {NAME_CHARACTERS_MAX} characters of `A-Z a-z 0-9 . _ -`");
            self.problem(node.at, message);
            return None;
        }
        Some(name.to_string())
    }

    fn operations(&mut self, node: &Node) -> Vec<Op> {
        const OPERATIONS: [&str; 4] = ["insert", "update", "delete", "read"];
        let words = self.words(node, "on");
        let mut operations = Vec::new();
        for (word, at) in words {
            match Op::parse(&word) {
                Some(op) if operations.contains(&op) => self.problem(at, format!("`{word}` is named twice")),
                Some(op) => operations.push(op),
                None => {
                    let hint = did_you_mean(&word, OPERATIONS);
                    self.problem(at, format!("unknown operation `{word}`{hint}; known are {}", OPERATIONS.join(", ")));
                }
            }
        }
        operations
    }

    fn order_by(&mut self, node: &Node) -> (OrderBy, Vec<Place>) {
        if let Kind::List(_) = &node.kind {
            let (columns, places) = self.words(node, "order_by").into_iter().unzip();
            return (OrderBy::Columns(columns), places);
        }
        let order_by = match self.string(node, "order_by") {
            Some("table") => OrderBy::Table,
            Some("none") => OrderBy::None,
            Some("primary_key") | None => OrderBy::PrimaryKey,
            Some(word) => {
                let hint = did_you_mean(word, ["primary_key", "table", "none"]);
                let message =
                    format!("`order_by` is primary_key, table, none or a list of columns, not `{word}`{hint}");
                self.problem(node.at, message);
                OrderBy::PrimaryKey
            }
        };
        (order_by, Vec::new())
    }

    fn on_dead_letter(&mut self, node: &Node) {
        match self.string(node, "on_dead_letter") {
            Some("continue") | None => {}
            Some(word @ ("hold_key" | "pause")) => {
                self.problem(
                    node.at,
                    format!("`on_dead_letter: {word}` is not supported by this version; use `continue`"),
                );
            }
            Some(word) => self.problem(node.at, format!("`on_dead_letter` is `continue`, not `{word}`")),
        }
    }

    fn retry(&mut self, node: &Node) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        let Some(members) = self.members(node, "`retry`", &RETRY_KEYS) else { return policy };
        for (key, value) in members {
            let name = key.text.as_str();
            match name {
                "retries" => {
                    let retries = self.integer(value, name, 0, u64::from(RETRIES_MAX));
                    policy.retries = retries.map_or(policy.retries, |retries| retries as u32);
                }
                "initial" => policy.initial = self.duration(value, name, DELAY_MAX).unwrap_or(policy.initial),
                "max_delay" => policy.max_delay = self.duration(value, name, DELAY_MAX).unwrap_or(policy.max_delay),
                "multiplier" => policy.multiplier = self.fraction(value, name, 1.0, 10.0).unwrap_or(policy.multiplier),
                "jitter" => policy.jitter = self.fraction(value, name, 0.0, 1.0).unwrap_or(policy.jitter),
                _ => {}
            }
        }
        if policy.initial > policy.max_delay {
            self.problem(node.at, "`initial` is longer than `max_delay`");
        }
        policy
    }

    fn call(&mut self, node: &'n Node) -> Option<CallSpec<'n>> {
        let members = self.members(node, "`call`", &CALL_KEYS)?;
        let get = |name| member(members, name);
        let method = get("method").map_or(Some(Method::Post), |node| self.method(node));
        let headers = get("headers").map_or(Vec::new(), |node| self.headers(node));
        let timeout = get("timeout").and_then(|node| self.duration(node, "timeout", TIMEOUT_MAX));
        let success = get("success").map_or_else(|| SuccessStatuses(vec![(200, 299)]), |node| self.success(node));
        if let (Some(Method::Get), Some(body)) = (method, get("body")) {
            self.problem(body.at, "a GET request has no body; leave `body` out or use another `method`");
        }
        let url = get("url").or_else(|| {
            self.problem(node.at, "the call has no `url`");
            None
        });
        let (url, body) = (url?, get("body"));
        self.string(url, "url")?;
        Some(CallSpec { method: method?, url, headers, body, timeout: timeout.unwrap_or(TIMEOUT_DEFAULT), success })
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
