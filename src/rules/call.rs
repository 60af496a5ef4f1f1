//! One HTTP call of a rule, and what its answers mean.
//!
//! Plain data, made by `compile`; the delivery stage sends it. Secrets in it are masked in `Debug`.

use std::sync::Arc;

use super::array_wrap::ArrayWrap;
use super::auth::{Auth, Signing};
use super::diagnostic::FilePlace;
use super::settings::CallSettings;
use super::tls::TargetTls;
use crate::template::{BodyTemplate, Condition, FormTemplate, MultipartTemplate, Secret, TextTemplate, UrlTemplate};

/// The HTTP call of a rule.
#[derive(Debug)]
pub struct Call {
    pub url: UrlTemplate,
    /// Where the file has it.
    pub url_at: FilePlace,
    /// Names are checked at load; values are rendered for each delivery.
    pub headers: Vec<(String, TextTemplate)>,
    pub body: Body,
    /// The line before each body, in batches that are lines of JSON.
    pub item_line: Option<BodyTemplate>,
    /// What stands around the array of a batch.
    pub array_wrap: Option<ArrayWrap>,
    /// A secret from the environment is part of its body, or of what stands before or around it.
    pub hides_body: bool,
    pub auth: Option<Auth>,
    pub sign: Option<Signing>,
    /// None: the system's certificate authorities, no client certificate.
    pub tls: Option<Arc<TargetTls>>,
    /// An answer whose status is a success is one only if this holds of it.
    pub success_when: Option<Condition>,
    pub settings: CallSettings,
}

impl Call {
    /// The secrets from the environment that its templates send.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let of_headers = self.headers.iter().flat_map(|(_, template)| template.secrets());
        let of_line = self.item_line.iter().flat_map(BodyTemplate::secrets);
        let of_wrap = self.array_wrap.iter().flat_map(ArrayWrap::secrets);
        self.url.secrets().chain(of_headers).chain(self.body.secrets()).chain(of_line).chain(of_wrap)
    }

    /// Whether the request may depend on the column.
    pub(super) fn reads(&self, column: &str) -> bool {
        let body = match &self.body {
            Body::Change | Body::Row | Body::CloudEvent(_) | Body::Outcome => true,
            Body::Template(template) => template.reads(column),
            Body::Form(form) => form.reads(column),
            Body::Multipart(parts) => parts.reads(column),
            Body::Text(text) => text.reads(column),
            Body::Empty => false,
        };
        let body = body || self.item_line.as_ref().is_some_and(|line| line.reads(column));
        let by_answer = self.success_when.as_ref().is_some_and(|when| when.reads(column));
        body || by_answer || self.url.reads(column) || self.headers.iter().any(|(_, template)| template.reads(column))
    }
}

#[derive(Debug)]
pub enum Body {
    /// The change event of docs/data-format.md, which shows the other forms as well.
    Change,
    /// The row alone.
    Row,
    CloudEvent(CloudEventMode),
    /// JSON.
    Template(BodyTemplate),
    Form(FormTemplate),
    Multipart(MultipartTemplate),
    /// Neither JSON nor a form; its `Content-Type` is the rule's.
    Text(TextTemplate),
    /// How a saga ended: what `on_success` and `on_failure` send.
    Outcome,
    /// GET and DELETE with neither `body:` nor `format:`.
    Empty,
}

impl Body {
    /// Whether a secret from the environment is part of it.
    pub fn uses_env(&self) -> bool {
        self.secrets().next().is_some()
    }

    /// The secrets from the environment that are part of it.
    fn secrets(&self) -> Box<dyn Iterator<Item = &Secret> + '_> {
        match self {
            Body::Template(template) => template.secrets(),
            Body::Form(form) => Box::new(form.secrets()),
            Body::Multipart(parts) => Box::new(parts.secrets()),
            Body::Text(text) => Box::new(text.secrets()),
            Body::Change | Body::Row | Body::CloudEvent(_) | Body::Outcome | Body::Empty => {
                Box::new(std::iter::empty())
            }
        }
    }

    /// The key of the rule that it stands under, or would stand under.
    pub fn key(&self) -> &'static str {
        match self {
            Body::Form(_) => "form",
            Body::Multipart(_) => "multipart",
            Body::Text(_) => "text",
            _ => "body",
        }
    }
}

/// The modes of the HTTP binding of CloudEvents 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudEventMode {
    /// The attributes are headers.
    Binary,
    /// All is in one JSON document.
    Structured,
}

/// What makes another attempt follow an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// First and last status of each range.
    pub statuses: Vec<(u16, u16)>,
    /// No answer, for another reason than time: refused, reset, broken TLS.
    pub network: bool,
    /// No answer, or not all of it, within the call's `timeout`.
    pub timeout: bool,
}

impl Default for RetryOn {
    fn default() -> RetryOn {
        RetryOn { statuses: vec![(408, 408), (425, 425), (429, 429), (500, 599)], network: true, timeout: true }
    }
}

impl RetryOn {
    pub fn contains(&self, status: u16) -> bool {
        self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}
