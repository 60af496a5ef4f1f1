//! The plain settings of a call, and what their values mean.
//!
//! In: the members of a `call`. Out: `CallSettings` within their limits. A new one is a field, its default and a line of `CALL_KEYS`.

use std::time::Duration;

use super::super::reader::NodeReader;
use super::super::yaml::Node;
use super::SettingKey::{self, Other, Plain};
use super::set;

pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A lane waits for its attempt, so that a longer one is an outage of its own.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

/// What may stand below `success`, besides a list of statuses.
const SUCCESS_KEYS: [&str; 2] = ["status", "when"];

/// What a call sets besides what it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSettings {
    pub method: Method,
    pub egress: Egress,
    /// Of bodies that are worth it; never together with `sign`.
    pub compression: Option<BodyCompression>,
    /// From the first byte sent to the last byte of the answer read.
    pub timeout: Duration,
    pub success: SuccessStatuses,
}

impl Default for CallSettings {
    fn default() -> CallSettings {
        CallSettings {
            method: Method::Post,
            egress: Egress::PrivateToo,
            compression: None,
            timeout: TIMEOUT_DEFAULT,
            success: SuccessStatuses(vec![(200, 299)]),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Whether it has no body unless the rule gives one.
    pub fn is_bodiless(self) -> bool {
        matches!(self, Method::Get | Method::Delete)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// The addresses that a call may connect to. Link-local addresses and metadata services are never among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Egress {
    /// Private ones as well, `egress: any`: internal APIs are the main use.
    PrivateToo,
    /// Only public ones: `egress: public_only`, and wherever a row chooses the host.
    PublicOnly,
}

/// What `compress:` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyCompression {
    Gzip,
}

/// The statuses that mean "done": single ones and whole classes (`2xx`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessStatuses(pub Vec<(u16, u16)>);

impl SuccessStatuses {
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

/// In the order in which messages name them.
pub(in crate::rules) const CALL_KEYS: &[SettingKey<CallSettings>] = &[
    Plain("method", |to, reader, node, key| set(&mut to.method, reader.word(node, key, METHODS))),
    Other("url"),
    Other("allow_hosts"),
    // What can't be read has the narrower meaning, whatever was meant.
    Plain("egress", |to, reader, node, key| {
        to.egress = reader.word(node, key, EGRESS).unwrap_or(Egress::PublicOnly);
    }),
    Other("headers"),
    Other("body"),
    Other("form"),
    Other("form_lists"),
    Other("multipart"),
    Other("text"),
    Other("format"),
    Plain("compress", |to, reader, node, key| set(&mut to.compression, reader.word(node, key, COMPRESS))),
    Other("auth"),
    Other("sign"),
    Other("tls"),
    Other("insecure_tls"),
    Plain("timeout", |to, reader, node, key| set(&mut to.timeout, reader.duration(node, key, TIMEOUT_MAX))),
    Plain("success", |to, reader, node, key| to.success = reader.success(node, key)),
    Other("idempotent"),
    Other("verify"),
];

const EGRESS: &[(&str, Egress)] = &[("public_only", Egress::PublicOnly), ("any", Egress::PrivateToo)];

const COMPRESS: &[(&str, Option<BodyCompression>)] = &[("gzip", Some(BodyCompression::Gzip)), ("no", None)];

const METHODS: &[(&str, Method)] = &[
    ("GET", Method::Get),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("PATCH", Method::Patch),
    ("DELETE", Method::Delete),
];

impl NodeReader<'_> {
    /// The list of statuses, or the map that has it under `status`.
    fn success(&mut self, node: &Node, key: &str) -> SuccessStatuses {
        let Some(node) = self.statuses(node, key, &SUCCESS_KEYS) else { return CallSettings::default().success };
        let mut ranges = Vec::new();
        for (word, at) in self.words(node, key) {
            match status_range(&word) {
                Some(range) => ranges.push(range),
                None => {
                    self.problem(
                        at,
                        format!("`{key}` has statuses such as `409` and classes such as `2xx`, not `{word}`"),
                    );
                }
            }
        }
        SuccessStatuses(ranges)
    }
}

/// A status (`409`) or a class of them (`2xx`), as the first and the last one that it means.
pub(in crate::rules) fn status_range(word: &str) -> Option<(u16, u16)> {
    let class = word.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    match (class, word.parse::<u16>()) {
        (Some(class @ 2..=5), _) => Some((class * 100, class * 100 + 99)),
        (None, Ok(status @ 200..=599)) => Some((status, status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::super::yaml::{self, NodeKind};
    use super::*;

    /// What the members of a call set, and what is wrong with them.
    fn settings(text: &str) -> (CallSettings, Vec<String>) {
        let (path, mut problems) = (Path::new("f.yaml"), Vec::new());
        let root = yaml::read(path, text, yaml::RULE_FILES, &mut problems).expect("sound YAML");
        let NodeKind::Map(members) = &root.kind else { panic!("no map: {text}") };
        let mut settings = CallSettings::default();
        NodeReader { path, text, problems: &mut problems }.settings(&mut settings, CALL_KEYS, members);
        (settings, problems.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn each_key_sets_what_it_names_and_nothing_else() {
        let usual = CallSettings::default;
        for (text, expected) in [
            ("url: u", usual()),
            ("method: DELETE", CallSettings { method: Method::Delete, ..usual() }),
            ("egress: public_only", CallSettings { egress: Egress::PublicOnly, ..usual() }),
            ("compress: gzip", CallSettings { compression: Some(BodyCompression::Gzip), ..usual() }),
            ("egress: any\ncompress: no", usual()),
            ("timeout: 5m", CallSettings { timeout: TIMEOUT_MAX, ..usual() }),
            ("success: [3xx, 409]", CallSettings { success: SuccessStatuses(vec![(300, 399), (409, 409)]), ..usual() }),
        ] {
            assert_eq!(settings(text), (expected, vec![]), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_a_problem_and_is_not_set() {
        let usual = CallSettings::default;
        for (text, settings_left, expected) in [
            ("method: put", usual(), "`method` is GET, POST, PUT, PATCH or DELETE, not `put`; did you mean `PUT`?"),
            ("compress: br", usual(), "`compress` is gzip or no, not `br`"),
            ("timeout: 6m", usual(), "`timeout` must be between 1ms and 5m"),
            (
                "egress: public",
                CallSettings { egress: Egress::PublicOnly, ..usual() },
                "`egress` is public_only or any, not `public`",
            ),
            (
                "success: [2xx, 9xx]",
                CallSettings { success: SuccessStatuses(vec![(200, 299)]), ..usual() },
                "`success` has statuses such as `409` and classes such as `2xx`, not `9xx`",
            ),
        ] {
            assert_eq!(settings(text), (settings_left, vec![expected.to_owned()]), "{text}");
        }
    }
}
