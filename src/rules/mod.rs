//! Rules: what is called for which change.
//!
//! In: a directory of YAML files, one per table. Out: a `RuleSet` that says which rules match a change. A rule is
//! checked completely when it is loaded; what loads can only fail on data.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use crate::change::{Change, Op, Row};
use crate::pattern::TablePattern;
use crate::retry::RetryPolicy;
use crate::template::{BodyTemplate, Condition, TextTemplate, UrlTemplate};

/// One rule, checked and compiled.
#[derive(Debug)]
pub struct Rule {
    /// Unique over all files; part of the delivery id.
    pub name: String,
    /// The file it stands in.
    pub path: PathBuf,
    pub table: TablePattern,
    pub on: Vec<Op>,
    /// Updates match only when at least one of these columns differs; empty: no such condition.
    pub changed: Vec<String>,
    pub when: Option<Condition>,
    pub order_by: OrderBy,
    pub call: Call,
    pub retry: RetryPolicy,
    /// Attempts of this rule under way at the same time.
    pub in_flight: usize,
}

/// What makes two changes of a rule wait for one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderBy {
    /// The row's primary key; a table without one is ordered as a whole.
    PrimaryKey,
    /// The table as a whole.
    Table,
    /// No order at all.
    None,
    /// The values of these columns.
    Columns(Vec<String>),
}

/// The HTTP call of a rule.
#[derive(Debug)]
pub struct Call {
    pub method: Method,
    pub url: UrlTemplate,
    /// Names are checked at load; values are rendered for each delivery.
    pub headers: Vec<(String, TextTemplate)>,
    pub body: Body,
    /// From the first byte sent to the last byte of the answer read.
    pub timeout: Duration,
    pub success: SuccessStatuses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Debug)]
pub enum Body {
    /// The change event of docs/data-format.md.
    Change,
    Template(BodyTemplate),
    /// GET and DELETE without a `body:`.
    Empty,
}

/// The statuses that mean "done": single ones and whole classes (`2xx`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessStatuses(pub Vec<(u16, u16)>);

impl SuccessStatuses {
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

/// A hash of an ordering key's values. Two keys with one hash share a lane, which costs speed and never order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LaneKey(pub u128);

/// The ordering keys of one change under one rule: none (no order), one, or two different ones when an update gives the
/// row another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneKeys([Option<LaneKey>; 2]);

impl LaneKeys {
    pub fn none() -> LaneKeys {
        LaneKeys([None, None])
    }

    pub fn one(key: LaneKey) -> LaneKeys {
        LaneKeys([Some(key), None])
    }

    /// Both keys; equal ones are one.
    pub fn two(old: LaneKey, new: LaneKey) -> LaneKeys {
        LaneKeys([Some(old), (old != new).then_some(new)])
    }

    pub fn iter(self) -> impl Iterator<Item = LaneKey> {
        self.0.into_iter().flatten()
    }

    /// Which of the two a key is.
    pub fn position(self, key: LaneKey) -> Option<usize> {
        self.0.iter().position(|own| *own == Some(key))
    }
}

impl Rule {
    /// Placeholder: keys are the hashes of the images' primary keys.
    pub fn ordering_keys(&self, change: &Change) -> LaneKeys {
        let key = |row: &Row| {
            let mut hasher = DefaultHasher::new();
            for column in &change.table.primary_key {
                format!("{:?}", row.cell(*column)).hash(&mut hasher);
            }
            LaneKey(u128::from(hasher.finish()))
        };
        match (&self.order_by, change.old(), change.row()) {
            (OrderBy::None, ..) | (_, None, None) => LaneKeys::none(),
            (_, None, Some(row)) | (_, Some(row), None) => LaneKeys::one(key(row)),
            (_, Some(old), Some(row)) => LaneKeys::two(key(old), key(row)),
        }
    }
}
