//! Media types, as far as they say how a body is written.
//!
//! In: the value of a `Content-Type`. Out: the kind of body that it announces. Pure.

use crate::template::Markup;

/// The kinds of bodies that rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaKind {
    /// `application/json`, `application/x-amz-json-1.1`, everything with `+json`.
    Json,
    /// `application/xml`, everything with `+xml`, and `text/html`: values are escaped.
    Markup(Markup),
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/…`
    Multipart,
    /// Other types of `text/…`
    Text,
    /// Nothing is known of how it is written.
    Other,
}

impl MediaKind {
    /// Of a type with or without parameters.
    pub fn of(content_type: &str) -> MediaKind {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (group, name) = essence.split_once('/').unwrap_or((&essence, ""));
        match (group, name) {
            ("multipart", _) => MediaKind::Multipart,
            (_, "x-www-form-urlencoded") => MediaKind::Form,
            ("text", "html") => MediaKind::Markup(Markup::Html),
            (_, "xhtml+xml" | "svg+xml") => MediaKind::Markup(Markup::Xhtml),
            (_, name) if name == "xml" || name.ends_with("+xml") => MediaKind::Markup(Markup::Xml),
            (_, name) if name.contains("json") => MediaKind::Json,
            ("text", _) => MediaKind::Text,
            _ => MediaKind::Other,
        }
    }
}

/// Whether a body of this type is one JSON document: not a sequence of them, as lines are.
pub fn is_json_document(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().to_ascii_lowercase();
    let is_sequence = ["ndjson", "jsonl", "json-seq", "json-lines"].iter().any(|name| essence.contains(name));
    MediaKind::of(content_type) == MediaKind::Json && !is_sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_announces_one_kind_of_body() {
        for (content_type, kind) in [
            ("application/json", MediaKind::Json),
            ("Application/JSON; charset=utf-8", MediaKind::Json),
            ("application/x-amz-json-1.1", MediaKind::Json),
            ("application/vnd.api+json", MediaKind::Json),
            ("application/x-ndjson", MediaKind::Json),
            ("text/xml", MediaKind::Markup(Markup::Xml)),
            ("application/xml;charset=utf-8", MediaKind::Markup(Markup::Xml)),
            ("application/soap+xml", MediaKind::Markup(Markup::Xml)),
            ("text/html", MediaKind::Markup(Markup::Html)),
            ("application/xhtml+xml", MediaKind::Markup(Markup::Xhtml)),
            ("application/x-www-form-urlencoded", MediaKind::Form),
            ("multipart/form-data; boundary=x", MediaKind::Multipart),
            ("text/plain", MediaKind::Text),
            (" text/csv ", MediaKind::Text),
            ("application/octet-stream", MediaKind::Other),
            ("", MediaKind::Other),
            ("xml", MediaKind::Other),
        ] {
            assert_eq!(MediaKind::of(content_type), kind, "{content_type}");
        }
    }
}
