//! The records of `list` and `export`: dead letters page by page, all of them, or how many there are of each kind.
//!
//! In: what was read of the store. Out: plain records for the control socket and `--json`.

use serde::{Deserialize, Serialize};

use super::{LetterView, Selection};

/// The request of `list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    pub selection: Selection,
    /// At most so many letters.
    pub limit: usize,
    /// The page begins behind this number.
    #[serde(default)]
    pub after: Option<u64>,
    #[serde(default)]
    pub sort: ListSort,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListSort {
    #[default]
    Oldest,
    Newest,
}

/// The answer to `list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    /// In ascending number, which is the order in which they became dead letters; the newest first if that was asked for.
    pub dead_letters: Vec<LetterView>,
    /// Letters that fit as well and are beyond the limit. Null: unknown, because they would all have to be read; there is one at least.
    pub more: Option<u64>,
    /// What `--after` takes for the next page; null at the end.
    #[serde(default)]
    pub next: Option<u64>,
}

/// What dead letters have in common in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterField {
    Rule,
    Table,
    Reason,
    Answer,
    Message,
    Op,
}

impl LetterField {
    pub const ALL: [LetterField; 6] = [
        LetterField::Rule,
        LetterField::Table,
        LetterField::Reason,
        LetterField::Answer,
        LetterField::Message,
        LetterField::Op,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            LetterField::Rule => "rule",
            LetterField::Table => "table",
            LetterField::Reason => "reason",
            LetterField::Answer => "answer",
            LetterField::Message => "message",
            LetterField::Op => "op",
        }
    }

    pub fn parse(text: &str) -> Option<LetterField> {
        LetterField::ALL.into_iter().find(|field| field.as_str() == text)
    }
}

/// The request of `list --group-by`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupsRequest {
    pub selection: Selection,
    pub by: Vec<LetterField>,
    /// At most so many groups.
    pub limit: usize,
}

/// The answer to `list --group-by`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsView {
    /// The largest first.
    pub groups: Vec<LetterGroup>,
    /// Dead letters that fit, in any group.
    pub dead_letters: u64,
    /// Groups beyond the limit.
    pub more_groups: u64,
    /// Dead letters of groups that were not told apart, because there are too many.
    pub other: u64,
}

/// Dead letters that have in common what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterGroup {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// A status, `timeout`, `network`, or `-` if no attempt got that far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<String>,
    /// With placeholders where messages differ: `<n>`, `<id>`, `<uuid>`, `<value>`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub op: Option<String>,
    pub count: u64,
    pub oldest: String,
    pub newest: String,
    /// The number of its first dead letter.
    pub example: u64,
}

impl LetterGroup {
    /// The field, where it is one of those that were asked for.
    pub fn field(&self, field: LetterField) -> Option<&str> {
        match field {
            LetterField::Rule => self.rule.as_deref(),
            LetterField::Table => self.table.as_deref(),
            LetterField::Reason => self.reason.as_deref(),
            LetterField::Answer => self.answer.as_deref(),
            LetterField::Message => self.message.as_deref(),
            LetterField::Op => self.op.as_deref(),
        }
    }
}

/// What an export says; `Ended` or `Failed` comes last.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportReport {
    /// As in `show`, without its saga.
    Letter(Box<LetterView>),
    Ended {
        letters: u64,
    },
    Failed {
        message: String,
    },
}
