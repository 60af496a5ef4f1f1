//! Where a rule has no use for a NULL: for what `check` says of nullable columns.
//!
//! In: compiled templates, and what they are for. Out: a [`NullPlace`] for each column by whose NULL the request can't be made, added to
//! those of the rule at hand.

use super::actions::TemplatePart;
use super::{Compiler, TextTemplate};
use crate::rules::rule::{Instead, NullPlace, OldPlace};
use crate::rules::yaml::Node;
use crate::template::{ColumnUse, NullRead};

/// What a template is for.
#[derive(Clone, Copy)]
pub(super) struct Holder<'h> {
    /// As a message names it: `` `url` ``.
    pub name: &'h str,
    pub form: HeldForm,
}

/// What a value becomes there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldForm {
    Text,
    Json,
    /// It has another meaning for NULL, or none at all.
    Other,
}

impl Holder<'_> {
    pub const LINE: Holder<'static> = Holder { name: "`line`", form: HeldForm::Json };
    pub const BODY: Holder<'static> = Holder { name: "`body`", form: HeldForm::Json };
    pub const FORM: Holder<'static> = Holder { name: "`form`", form: HeldForm::Text };
    pub const PART: Holder<'static> = Holder { name: "`multipart`", form: HeldForm::Text };
    pub const PART_JSON: Holder<'static> = Holder { name: "`multipart`", form: HeldForm::Json };
    pub const FILENAME: Holder<'static> = Holder { name: "`filename`", form: HeldForm::Text };
    pub const TEXT: Holder<'static> = Holder { name: "`text`", form: HeldForm::Text };
    pub const PARAMS: Holder<'static> = Holder { name: "`params`", form: HeldForm::Json };
    pub const WAIT: Holder<'static> = Holder { name: "`wait`", form: HeldForm::Other };
}

impl Compiler<'_> {
    pub(super) fn nulls_of_text(&mut self, node: &Node, template: &TextTemplate, holder: Holder) {
        let holds_null = holder.form == HeldForm::Json && template.is_one_value();
        let instead = match holder.form {
            HeldForm::Other => return,
            _ if template.may_be_omitted() => Instead::Omit,
            _ if holds_null => Instead::None,
            HeldForm::Json | HeldForm::Text => Instead::Empty,
        };
        let is_fatal = |read: &&NullRead| !(holds_null && read.is_value);
        let reads: Vec<&NullRead> = template.null_reads().iter().filter(is_fatal).collect();
        self.nulls_of(node, reads.into_iter(), template.old_reads(), holder.name, instead);
    }

    /// Notes the columns that a template reads so that their NULL is fatal, and those of the old row that it always reads.
    pub(super) fn nulls_of<'r>(
        &mut self,
        node: &Node,
        reads: impl Iterator<Item = &'r NullRead>,
        old_reads: &[ColumnUse],
        holder: &str,
        instead: Instead,
    ) {
        let follows = match self.part {
            TemplatePart::Step(_) => "such a row becomes a dead letter",
            TemplatePart::Undo(_) => "such a row can't be undone",
            TemplatePart::Verify(_) => "of such a row it can't be asked whether the step happened",
            TemplatePart::OnSuccess | TemplatePart::OnFailure => "of such a row no callback is sent",
            TemplatePart::Decision | TemplatePart::Verdict(_) | TemplatePart::Answer => return,
        };
        let (text, ops) = (self.reader.text, &self.ops);
        self.nulls.extend(reads.map(|read| NullPlace {
            column: read.used.name.clone(),
            is_old: read.is_old,
            at: node.place_within(text, read.used.line, read.used.column),
            holder: holder.to_string(),
            is_value: read.is_value,
            instead,
            ops: ops.clone(),
            follows,
        }));
        self.old_rows.extend(old_reads.iter().map(|used| OldPlace {
            column: used.name.clone(),
            at: node.place_within(text, used.line, used.column),
            holder: holder.to_string(),
            instead,
            ops: ops.clone(),
            follows,
        }));
    }
}
