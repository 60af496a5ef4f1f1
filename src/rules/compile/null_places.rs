//! Where a rule has no use for a NULL: for what `check` says of nullable columns.
//!
//! In: compiled templates, and what they are for. Out: a [`NullPlace`] for each column by whose NULL the request can't be made, added to
//! those of the rule at hand.

use super::actions::TemplatePart;
use super::{Compiler, TextTemplate};
use crate::rules::rule::{Instead, NullPlace};
use crate::rules::yaml::Node;
use crate::template::NullRead;

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
        let instead = match holder.form {
            _ if template.may_be_omitted() => Instead::Omit,
            HeldForm::Json if template.is_one_value() => Instead::None,
            HeldForm::Json | HeldForm::Text | HeldForm::Other => Instead::Empty,
        };
        match holder.form {
            HeldForm::Json => {
                let reads: Vec<NullRead> = template.null_reads_of_json().cloned().collect();
                let is_null_taken = |read: &&NullRead| read.is_old && !reads.contains(read);
                let of_old: Vec<NullRead> = template.null_reads().iter().filter(is_null_taken).cloned().collect();
                self.nulls_of(node, &reads, holder.name, instead);
                let begin = self.nulls.len();
                self.nulls_of(node, &of_old, holder.name, instead);
                self.nulls[begin..].iter_mut().for_each(|place| place.takes_null = true);
            }
            HeldForm::Text => self.nulls_of(node, template.null_reads(), holder.name, instead),
            HeldForm::Other => {}
        }
    }

    pub(super) fn nulls_of(&mut self, node: &Node, reads: &[NullRead], holder: &str, instead: Instead) {
        let follows = match self.part {
            TemplatePart::Step(_) => "such a row becomes a dead letter",
            TemplatePart::Undo(_) => "such a row can't be undone",
            TemplatePart::Verify(_) => "of such a row it can't be asked whether the step happened",
            TemplatePart::OnSuccess | TemplatePart::OnFailure => "of such a row no callback is sent",
            TemplatePart::Decision | TemplatePart::Verdict(_) | TemplatePart::Answer => return,
        };
        let text = self.reader.text;
        self.nulls.extend(reads.iter().map(|read| NullPlace {
            column: read.used.name.clone(),
            is_old: read.is_old,
            at: node.place_within(text, read.used.line, read.used.column),
            holder: holder.to_string(),
            is_value: read.is_value,
            instead,
            takes_null: false,
            ops: self.ops.clone(),
            follows,
        }));
    }
}
