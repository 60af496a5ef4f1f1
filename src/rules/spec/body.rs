//! What a `call` says about its body: `body`, `format`, `form`, `multipart` or `text`, and whether its `Content-Type` agrees.
//!
//! In: the members of a call and its headers. Out: a `BodySpec`; combinations that make no sense are problems at their places.

use super::super::call::{Body, CloudEventMode};
use super::super::media_type::MediaKind;
use super::super::reader::{Members, NodeReader, member};
use super::super::settings::Method;
use super::super::yaml::{Node, NodeKind};
use super::call::HeaderSpec;
use super::multipart::PartSpec;
use crate::template::{FormLists, Markup};

/// The keys that say what is sent.
const BODY_KEYS: [&str; 5] = ["format", "body", "form", "multipart", "text"];

/// Makes the body that a word of `format` names.
type MakeBody = fn() -> Body;

const FORMATS: &[(&str, MakeBody)] = &[
    ("change", || Body::Change),
    ("row", || Body::Row),
    ("cloudevents", || Body::CloudEvent(CloudEventMode::Binary)),
    ("cloudevents-structured", || Body::CloudEvent(CloudEventMode::Structured)),
];

const FORM_LISTS: &[(&str, FormLists)] =
    &[("indices", FormLists::Indices), ("brackets", FormLists::Brackets), ("repeat", FormLists::Repeat)];

/// What a call sends.
pub(in crate::rules) enum BodySpec<'n> {
    /// JSON, where nothing else is said.
    Default,
    /// JSON with templates.
    Json(&'n Node),
    /// A form of JSON that rowhook knows.
    Format(MakeBody),
    Form(&'n Node, FormLists),
    Multipart(Vec<PartSpec<'n>>),
    /// A text as it is. In markup, values are escaped.
    Text {
        template: &'n Node,
        markup: Option<Markup>,
    },
}

impl BodySpec<'_> {
    pub fn is_cloud_event(&self) -> bool {
        matches!(self, BodySpec::Format(format) if matches!(format(), Body::CloudEvent(_)))
    }

    /// Whether it is the body of one item in a JSON array; else the key that says otherwise.
    pub fn key_of_other_than_json(&self) -> Option<&'static str> {
        match self {
            BodySpec::Default | BodySpec::Json(_) | BodySpec::Format(_) => None,
            BodySpec::Form(..) => Some("form"),
            BodySpec::Multipart(_) => Some("multipart"),
            BodySpec::Text { .. } => Some("text"),
        }
    }
}

impl<'n> NodeReader<'_> {
    pub(super) fn body(&mut self, members: Members<'n>, method: Method, headers: &[HeaderSpec<'n>]) -> BodySpec<'n> {
        let written = BODY_KEYS.iter().filter_map(|name| Some((*name, member(members, name)?)));
        let written: Vec<(&str, &Node)> = written.collect();
        if let [(one, node), (other, _), ..] = written[..] {
            self.problem(node.at, format!("`{one}` and `{other}` both say what is sent; leave one of them out"));
        }
        if method == Method::Get {
            for (name, node) in &written {
                let message = format!("a GET request has no body; leave `{name}` out or use another `method`");
                self.problem(node.at, message);
            }
        }
        let lists = member(members, "form_lists").map(|node| (node, self.word(node, "form_lists", FORM_LISTS)));
        if let (Some((node, _)), None) = (lists, member(members, "form")) {
            self.problem(node.at, "`form_lists` says how `form` names the elements of lists, and there is no `form`");
        }
        let content_type = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        let kind = content_type.map(|header| self.media_kind(header));
        let Some((key, node)) = written.first() else {
            if !method.is_bodiless() {
                self.agrees("body", kind.flatten(), content_type);
            }
            return BodySpec::Default;
        };
        if *key != "multipart" {
            self.agrees(key, kind.flatten(), content_type);
        }
        match *key {
            "body" => BodySpec::Json(node),
            "format" => self.format_body(node, headers),
            "multipart" => {
                if let Some(header) = content_type {
                    let message =
                        "rowhook sets the `Content-Type` of `multipart`, which has its boundary; leave the header out";
                    self.problem(header.at, message);
                }
                BodySpec::Multipart(self.parts(node))
            }
            "form" => self.form_body(node, lists.and_then(|(_, lists)| lists)),
            _ => {
                self.string(node, "text");
                if let (Some(None), Some(header)) = (kind, content_type) {
                    let message = "the `Content-Type` of a `text` is literal, because it says how values are escaped";
                    self.problem(header.at, message);
                }
                let markup = match kind.flatten() {
                    Some(MediaKind::Markup(markup)) => Some(markup),
                    _ => None,
                };
                BodySpec::Text { template: node, markup }
            }
        }
    }

    fn format_body(&mut self, node: &'n Node, headers: &[HeaderSpec<'n>]) -> BodySpec<'n> {
        let format = self.word(node, "format", FORMATS);
        let is_cloud_event = format.is_some_and(|format| matches!(format(), Body::CloudEvent(_)));
        for HeaderSpec { name, at, .. } in headers {
            let name_in_lower_case = name.to_ascii_lowercase();
            if is_cloud_event && (name_in_lower_case == "content-type" || name_in_lower_case.starts_with("ce-")) {
                self.problem(*at, format!("`format: cloudevents` sets header `{name}`; a rule can't change it"));
            }
        }
        format.map_or(BodySpec::Default, BodySpec::Format)
    }

    fn form_body(&mut self, node: &'n Node, lists: Option<FormLists>) -> BodySpec<'n> {
        if !matches!(&node.kind, NodeKind::Map(fields) if !fields.is_empty()) {
            self.problem(node.at, format!("`form` must be a map from field to value, not {}", node.describe()));
        }
        let lists = lists.unwrap_or(FormLists::Indices);
        if lists == FormLists::Repeat {
            self.refuse_structured_elements(node);
        }
        self.refuse_null(node);
        BodySpec::Form(node, lists)
    }

    /// The kind of body that the header announces; None where the row decides.
    fn media_kind(&mut self, header: &HeaderSpec<'n>) -> Option<MediaKind> {
        let NodeKind::Scalar { text, .. } = &header.value.kind else { return None };
        (!text.contains("{{") && !text.contains("{%")).then(|| MediaKind::of(text))
    }

    /// Whether the header announces what the key sends.
    fn agrees(&mut self, key: &str, kind: Option<MediaKind>, content_type: Option<&HeaderSpec<'n>>) {
        let (Some(kind), Some(header)) = (kind, content_type) else { return };
        let is_json = ["body", "format"].contains(&key);
        let instead = match (key, kind) {
            ("form", MediaKind::Form) => None,
            ("text", MediaKind::Markup(_) | MediaKind::Text | MediaKind::Other) => None,
            (_, MediaKind::Json | MediaKind::Other) if is_json => None,
            (_, MediaKind::Json) => Some("write JSON under `body`, where values are escaped"),
            (_, MediaKind::Form) => Some("write the fields under `form`, where values are encoded"),
            (_, MediaKind::Markup(_) | MediaKind::Text) => Some("write the text under `text`, which is sent as it is"),
            (_, MediaKind::Multipart) => Some("write the parts under `multipart`, and leave the header out"),
            (_, MediaKind::Other) => Some("leave the header out"),
        };
        if let Some(instead) = instead {
            let sent = if is_json {
                "JSON"
            } else if key == "form" {
                "a form"
            } else {
                "a text"
            };
            self.problem(header.at, format!("this `Content-Type` is not that of what is sent, {sent}; {instead}"));
        }
    }

    /// With `repeat` the elements of a list have no names of their own.
    fn refuse_structured_elements(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Scalar { .. } => {}
            NodeKind::Map(members) => members.iter().for_each(|(_, member)| self.refuse_structured_elements(member)),
            NodeKind::List(items) => {
                for item in items.iter().filter(|item| !matches!(item.kind, NodeKind::Scalar { .. })) {
                    let message = "with `form_lists: repeat` the elements of a list are single values; use `indices` or `brackets`";
                    self.problem(item.at, message);
                }
            }
        }
    }

    fn refuse_null(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::Scalar { .. } if node.is_null() => {
                self.problem(node.at, "a form has no null; write `''`, or leave the field out");
            }
            NodeKind::Scalar { .. } => {}
            NodeKind::Map(members) => members.iter().for_each(|(_, member)| self.refuse_null(member)),
            NodeKind::List(items) => items.iter().for_each(|item| self.refuse_null(item)),
        }
    }
}
