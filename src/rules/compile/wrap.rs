//! The key `wrap` of a `batch`.
//!
//! In: its node, whose shape is checked. Out: what stands around the array; or problems at their places. It belongs to the request, so that it
//! reads no row.

use super::super::array_wrap::ArrayWrap;
use super::super::yaml::{Node, NodeKind};
use super::Compiler;
use super::null_places::Holder;
use crate::template::{BodyTemplate, ColumnUse, TextTemplate};

/// Where it stands, and what it reads of rows.
type ReadAt<'n> = (&'n Node, Vec<ColumnUse>);

impl Compiler<'_> {
    pub(super) fn array_wrap(&mut self, node: &Node) -> Option<ArrayWrap> {
        match &node.kind {
            NodeKind::Scalar { text, .. } => Some(ArrayWrap::of_member(text)),
            _ => self.with_place(node).map(ArrayWrap::of),
        }
    }

    fn with_place(&mut self, node: &Node) -> Option<BodyTemplate> {
        match &node.kind {
            NodeKind::List(items) if items.is_empty() => Some(ArrayWrap::place()),
            NodeKind::List(items) => {
                // All of them first: each may have flaws to report.
                let items: Vec<_> = items.iter().map(|item| self.with_place(item)).collect();
                items.into_iter().collect::<Option<_>>().map(BodyTemplate::List)
            }
            NodeKind::Map(members) => {
                let member = |(key, member): &(_, Node)| Some((self.literal_key(key), self.with_place(member)?));
                let members: Vec<_> = members.iter().map(member).collect();
                members.into_iter().collect::<Option<_>>().map(BodyTemplate::Object)
            }
            NodeKind::Scalar { .. } => self.body(node, Holder::BODY),
        }
    }

    /// What a part of it reads of rows, for [`Compiler::refuse_reading_rows`].
    pub(super) fn reads_of_wrap<'n>(&mut self, node: &'n Node) -> Vec<ReadAt<'n>> {
        match &node.kind {
            NodeKind::Scalar { text, .. } => {
                let template = TextTemplate::compile(text, &|name| self.outside.variable(name));
                template.map_or(Vec::new(), |template| vec![(node, template.names_read().to_vec())])
            }
            NodeKind::List(items) => items.iter().flat_map(|item| self.reads_of_wrap(item)).collect(),
            NodeKind::Map(members) => members.iter().flat_map(|(_, member)| self.reads_of_wrap(member)).collect(),
        }
    }
}
