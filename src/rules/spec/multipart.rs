//! What `multipart` says: parts with their names, in the order of the file.
//!
//! In: the node below `multipart:`. Out: a `PartSpec` for each part; templates stay nodes. A field is a single value; what is more is a map
//! with the keys of a part; a list is several parts of one name.

use super::super::reader::{NodeReader, member};
use super::super::yaml::{Key, Node, NodeKind};

const PART_KEYS: [&str; 4] = ["value", "json", "filename", "type"];
/// Names of fields are short; a longer one is no name.
const NAME_BYTES_MAX: usize = 256;

/// One part as written.
pub(in crate::rules) struct PartSpec<'n> {
    pub name: &'n str,
    pub filename: Option<&'n Node>,
    pub content_type: Option<&'n str>,
    pub content: PartContentSpec<'n>,
}

/// What a part holds.
#[derive(Clone, Copy)]
pub(in crate::rules) enum PartContentSpec<'n> {
    Value(&'n Node),
    Json(&'n Node),
}

impl<'n> NodeReader<'_> {
    pub(super) fn parts(&mut self, node: &'n Node) -> Vec<PartSpec<'n>> {
        let NodeKind::Map(members) = &node.kind else {
            self.problem(node.at, format!("`multipart` must be a map from name to value, not {}", node.describe()));
            return Vec::new();
        };
        if members.is_empty() {
            self.problem(node.at, "`multipart` has no parts; write `name: value`");
        }
        let mut parts = Vec::new();
        for (key, node) in members {
            self.part_name(key);
            let of_name = match &node.kind {
                NodeKind::List(items) => items.as_slice(),
                _ => std::slice::from_ref(node),
            };
            parts.extend(of_name.iter().filter_map(|node| self.part(&key.text, node)));
        }
        parts
    }

    fn part_name(&mut self, key: &Key) {
        let name = &key.text;
        if name.contains("{{") || name.contains("{%") {
            self.problem(key.at, "the name of a part is literal; a template can only be its value");
        } else if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let message = format!("the name of a part has 1 to {NAME_BYTES_MAX} bytes and no control characters");
            self.problem(key.at, message);
        }
    }

    fn part(&mut self, name: &'n str, node: &'n Node) -> Option<PartSpec<'n>> {
        match &node.kind {
            NodeKind::Scalar { .. } => {
                self.string(node, name)?;
                Some(PartSpec { name, filename: None, content_type: None, content: PartContentSpec::Value(node) })
            }
            NodeKind::List(_) => {
                self.problem(node.at, "a list of parts holds single values and maps, and no further lists");
                None
            }
            NodeKind::Map(_) => self.written_out(name, node),
        }
    }

    fn written_out(&mut self, name: &'n str, node: &'n Node) -> Option<PartSpec<'n>> {
        let members = self.members(node, "a part", &PART_KEYS)?;
        let get = |key| member(members, key);
        let content = match (get("value"), get("json")) {
            (Some(_), Some(json)) => {
                self.problem(json.at, "`value` and `json` both say what the part holds; leave one of them out");
                return None;
            }
            (Some(value), None) => {
                self.string(value, "value")?;
                PartContentSpec::Value(value)
            }
            (None, Some(json)) => PartContentSpec::Json(json),
            (None, None) => {
                self.problem(node.at, format!("part `{name}` has no `value`; write one, or `json`"));
                return None;
            }
        };
        let filename = get("filename");
        if let Some(filename) = filename {
            self.string(filename, "filename")?;
        }
        let content_type = match get("type") {
            Some(node) => Some(self.part_type(node)?),
            None => matches!(content, PartContentSpec::Json(_)).then_some("application/json"),
        };
        Some(PartSpec { name, filename, content_type, content })
    }

    fn part_type(&mut self, node: &'n Node) -> Option<&'n str> {
        let text = self.string(node, "type")?;
        let is_literal = !text.contains("{{") && !text.contains("{%");
        let has_form = text.split_once('/').is_some_and(|(group, name)| !group.is_empty() && !name.is_empty());
        if is_literal && has_form && !text.chars().any(char::is_control) {
            return Some(text);
        }
        self.problem(node.at, "`type` is the literal media type of a part, such as `text/csv`");
        None
    }
}
