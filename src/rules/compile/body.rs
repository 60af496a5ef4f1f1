//! Compiles what a call sends.
//!
//! In: a `CallSpec` with its body as nodes. Out: a `Body`; or flaws at their places.

use super::super::call::Body;
use super::super::spec::{BodySpec, CallSpec, PartContentSpec, PartSpec};
use super::super::yaml::{Key, Node, NodeKind};
use super::Compiler;
use super::null_places::Holder;
use crate::template::{
    BodyTemplate, EnvLookup, Flaw, FormLists, FormTemplate, MultipartTemplate, PartContent, PartTemplate, TextTemplate,
};

type CompileText = fn(&str, EnvLookup) -> Result<TextTemplate, Vec<Flaw>>;

impl Compiler<'_> {
    /// `default_body` is what is sent where the rule doesn't say.
    pub(super) fn call_body(&mut self, spec: &CallSpec, default_body: Body) -> Option<Body> {
        match &spec.body {
            // A change may send only the line before it.
            BodySpec::Json(node) if spec.item_line.is_some() => {
                self.content(node, TextTemplate::compile_optional, Holder::BODY).map(Body::Template)
            }
            BodySpec::Json(node) => self.body(node, Holder::BODY).map(Body::Template),
            BodySpec::Form(node, lists) => self.form(node, *lists).map(Body::Form),
            BodySpec::Multipart(parts) => self.multipart(parts).map(Body::Multipart),
            BodySpec::Text { template, markup: None } => {
                self.text_by(template, TextTemplate::compile_sent, Holder::TEXT).map(Body::Text)
            }
            BodySpec::Text { template, markup: Some(markup) } => {
                let compile = |source: &str, env: EnvLookup| TextTemplate::compile_markup(source, *markup, env);
                self.text_by(template, compile, Holder::TEXT).map(Body::Text)
            }
            BodySpec::Format(format) => Some(format()),
            BodySpec::Default if spec.settings.method.is_bodiless() => Some(Body::Empty),
            BodySpec::Default => Some(default_body),
        }
    }

    fn form(&mut self, node: &Node, lists: FormLists) -> Option<FormTemplate> {
        match self.body(node, Holder::FORM)? {
            BodyTemplate::Object(members) => Some(FormTemplate::new(members, lists)),
            // A problem is reported already.
            _ => None,
        }
    }

    fn multipart(&mut self, parts: &[PartSpec]) -> Option<MultipartTemplate> {
        // All of them first: each may have flaws to report.
        let parts: Vec<Option<PartTemplate>> = parts.iter().map(|part| self.part(part)).collect();
        Some(MultipartTemplate { parts: parts.into_iter().collect::<Option<_>>()? })
    }

    fn part(&mut self, spec: &PartSpec) -> Option<PartTemplate> {
        let filename = spec.filename.map(|node| self.text_by(node, TextTemplate::compile, Holder::FILENAME));
        let content = match spec.content {
            PartContentSpec::Json(node) => {
                self.content(node, TextTemplate::compile_optional, Holder::PART_JSON).map(PartContent::Json)
            }
            PartContentSpec::Value(node) => match self.content(node, TextTemplate::compile_bytes, Holder::PART) {
                Some(BodyTemplate::Literal(text)) => Some(PartContent::Literal(text)),
                Some(BodyTemplate::Text(text)) => Some(PartContent::Value(text)),
                // It is a scalar; a problem is reported already.
                _ => None,
            },
        };
        let filename = match filename {
            Some(filename) => Some(filename?),
            None => None,
        };
        Some(PartTemplate::new(spec.name, filename, spec.content_type, content?))
    }

    pub(super) fn body(&mut self, node: &Node, holder: Holder) -> Option<BodyTemplate> {
        self.content(node, TextTemplate::compile, holder)
    }

    /// A body, or a part of one, which can be left out.
    fn content(&mut self, node: &Node, compile: CompileText, holder: Holder) -> Option<BodyTemplate> {
        match &node.kind {
            NodeKind::Scalar { .. } => match node.json_literal() {
                Some(literal) => Some(BodyTemplate::Literal(literal.into())),
                None => self.text_by(node, compile, holder).map(BodyTemplate::Text),
            },
            NodeKind::List(items) => {
                // All of them first: each may have flaws to report.
                let items: Vec<Option<BodyTemplate>> =
                    items.iter().map(|item| self.content(item, TextTemplate::compile_optional, holder)).collect();
                items.into_iter().collect::<Option<_>>().map(BodyTemplate::List)
            }
            NodeKind::Map(members) => {
                let members: Vec<Option<(Box<str>, BodyTemplate)>> = members
                    .iter()
                    .map(|(key, member)| {
                        let name = self.literal_key(key);
                        Some((name, self.content(member, TextTemplate::compile_optional, holder)?))
                    })
                    .collect();
                members.into_iter().collect::<Option<_>>().map(BodyTemplate::Object)
            }
        }
    }

    pub(super) fn literal_key(&mut self, key: &Key) -> Box<str> {
        if key.text.contains("{{") || key.text.contains("{%") {
            self.reader.problem(key.at, "a key of a body is literal; a template can only be a value");
        }
        key.text.as_str().into()
    }
}
