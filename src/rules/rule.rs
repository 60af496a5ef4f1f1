//! One rule, checked and compiled: all that the later stages need of it.
//!
//! Plain data, made by `compile`, with questions that it can answer by itself. Which changes it matches is decided in
//! `matching`, their order in `lane`, and whether it fits the tables in `tables`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::actions::{Action, Saga, SagaStep};
use super::batch::Batch;
use super::content::Content;
use super::diagnostic::{Diagnostic, FilePlace, located};
use super::settings::RuleSettings;
use super::tls::Verification;
use crate::change::{Op, Table};
use crate::pattern::TablePatterns;
use crate::template::{ColumnUse, Condition};

/// One rule, checked and compiled.
#[derive(Debug)]
pub struct Rule {
    /// Unique over all files; part of the delivery id.
    pub name: String,
    /// The file it stands in.
    pub path: PathBuf,
    pub tables: TablePatterns,
    /// Where the file names each of the tables.
    pub tables_at: Vec<FilePlace>,
    /// Where it begins in the file.
    pub at: FilePlace,
    /// What it was compiled from.
    pub content: Content,
    pub on: Vec<Op>,
    /// Updates match only when at least one of these columns differs; empty: no such condition.
    pub changed: Vec<String>,
    pub when: Option<Condition>,
    pub order_by: OrderBy,
    /// Where the file names each column of `order_by`.
    pub order_by_at: Vec<FilePlace>,
    /// All its actions; without a saga one call for all changes, which may be repeated, or one for each op.
    pub actions: Vec<Action>,
    /// The op of each action, in a rule with `calls`; else empty. All of them call one target.
    pub by_op: Vec<Op>,
    /// How the actions follow one another.
    pub saga: Option<Saga>,
    pub settings: RuleSettings,
    /// One call for several deliveries.
    pub batch: Option<Batch>,
    /// The changes of a key in this time are merged into one delivery.
    pub coalesce: Option<Duration>,
    /// Columns whose values no dead letter keeps, in the order of the file.
    pub redact: Vec<ColumnUse>,
    /// Every column that the rule reads by its name, with its place in the file.
    pub columns: Vec<ColumnUse>,
    /// Where it can do nothing with a NULL.
    pub nulls: Vec<NullPlace>,
    /// Where it reads a row that an insert has not.
    pub old_rows: Vec<OldPlace>,
}

/// A column in a place of a rule that can't hold NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NullPlace {
    pub column: String,
    /// It is that of the old row.
    pub is_old: bool,
    pub at: FilePlace,
    /// The key of the rule that it stands under, or the header, for a message.
    pub holder: String,
    /// The value is written as it is, and not put through a filter or an operator first.
    pub is_value: bool,
    /// What may stand there.
    pub instead: Instead,
    /// Of the changes for which it is written.
    pub ops: Vec<Op>,
    /// What becomes of a row with a NULL.
    pub follows: &'static str,
}

/// A column of the old row in a place of a rule that is for inserts, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldPlace {
    pub column: String,
    pub at: FilePlace,
    /// As in [`NullPlace`].
    pub holder: String,
    pub instead: Instead,
    pub ops: Vec<Op>,
    pub follows: &'static str,
}

/// What a place can hold where it can't hold a NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// A text that is not empty.
    Filled,
    /// An empty text, too.
    Empty,
    /// NULL itself, where nothing is made of it before.
    None,
    /// Nothing: it can be left out.
    Omit,
}

impl fmt::Display for Instead {
    /// As a rule writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Instead::Filled => "'-'",
            Instead::Empty => "''",
            Instead::None => "none",
            Instead::Omit => "omit",
        })
    }
}

impl Rule {
    /// Whether it calls servers that need not prove who they are (`insecure_tls`).
    pub fn trusts_any_server(&self) -> bool {
        let calls = self.actions.iter().filter_map(Action::call);
        let mut tls = calls.filter_map(|call| call.tls.as_ref());
        tls.any(|tls| tls.verification == Verification::None)
    }

    /// A sentence about the rule, at its place.
    pub fn said(&self, message: String) -> Diagnostic {
        located(&self.path, self.at, message)
    }

    /// Whether deliveries of this rule wait for others before they are sent.
    pub fn gathers(&self) -> bool {
        self.batch.is_some() || self.coalesce.is_some()
    }

    /// Whether deliveries that were queued under an earlier version of this rule can be sent under this one: they would wait in
    /// the same lanes and be sent in the same calls, and their failure would have the same consequences.
    pub fn takes_over_from(&self, earlier: &Rule) -> bool {
        self.saga.is_none()
            && earlier.saga.is_none()
            && self.tables == earlier.tables
            && self.order_by == earlier.order_by
            && self.batch == earlier.batch
            && self.coalesce == earlier.coalesce
            && self.by_op.len() == earlier.by_op.len()
            && earlier.by_op.iter().all(|op| self.acts_on(*op))
            && self.settings.on_dead_letter == earlier.settings.on_dead_letter
    }

    /// Whether the rule keeps this column's values out of dead letters.
    pub fn redacts(&self, column: &str) -> bool {
        self.redact.iter().any(|own| own.name == column)
    }

    /// Whether the request or the order of a change of this table may depend on the column.
    pub fn sends(&self, table: &Table, column: &str) -> bool {
        let orders = match &self.order_by {
            OrderBy::PrimaryKey => table.column(column).is_some_and(|index| table.primary_key.contains(&index)),
            OrderBy::Columns(names) => names.iter().any(|name| name == column),
            OrderBy::Table | OrderBy::None => false,
        };
        let verdicts = self.saga.iter().flat_map(|saga| &saga.steps).filter_map(|step| step.verify.as_ref());
        orders
            || self.actions.iter().any(|action| action.reads(column))
            || verdicts.into_iter().any(|verify| verify.when.reads(column))
    }

    /// Whether the column may decide which changes the rule matches.
    pub fn decides_by(&self, column: &str) -> bool {
        self.changed.iter().any(|name| name == column) || self.when.as_ref().is_some_and(|when| when.reads(column))
    }

    /// The action with which a delivery begins, or one that shares its target and its retries. Where a step has an undo or a query, these stand before it in `actions`.
    pub fn first_action(&self) -> &Action {
        let number = self.saga.as_ref().map_or(0, |saga| saga.steps[0].action);
        &self.actions[number]
    }

    /// Whether the rule has an action for changes of this op.
    pub fn acts_on(&self, op: Op) -> bool {
        self.by_op.is_empty() || self.by_op.contains(&op)
    }

    /// The action of a rule without a saga for a change of this op.
    pub fn action_for(&self, op: Op) -> &Action {
        let number = self.by_op.iter().position(|own| *own == op).unwrap_or(0);
        &self.actions[number]
    }

    /// The name of the action at this place, for people.
    pub fn action_name(&self, number: usize) -> String {
        if let Some(op) = self.by_op.get(number) {
            return format!("call on {op}");
        }
        let Some(saga) = &self.saga else { return "call".to_string() };
        for SagaStep { name, action, undo, verify } in &saga.steps {
            if *action == number {
                return format!("step {name}");
            }
            if *undo == Some(number) {
                return format!("undo of step {name}");
            }
            if verify.as_ref().is_some_and(|verify| verify.action == number) {
                return format!("verify of step {name}");
            }
        }
        if saga.on_success == Some(number) { "on_success" } else { "on_failure" }.to_string()
    }

    /// For tests of rules whose first action is a call.
    #[cfg(test)]
    pub(crate) fn call(&self) -> &super::Call {
        self.actions[0].call().expect("a call")
    }

    /// For tests, which change one thing of a rule that was loaded.
    #[cfg(test)]
    pub(crate) fn call_mut(&mut self) -> &mut super::Call {
        self.actions[0].call_mut()
    }
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
