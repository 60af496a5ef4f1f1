//! Rules: what is called for which change.
//!
//! In: a directory of YAML files, one per table. Out: a `RuleSet` that says which rules match a change. A rule is
//! checked completely when it is loaded; what loads can only fail on data.

mod auth;
mod batch;
mod compile;
mod diagnostic;
mod difference;
mod lane;
mod load;
mod look;
mod matching;
mod plan;
mod reader;
mod spec;
mod statement;
mod tables;
mod target;
mod tls;
mod typing;
mod yaml;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::change::{Op, Table};
use crate::pattern::TablePattern;
use crate::position::Start;
use crate::template::{BodyTemplate, ColumnUse, Condition, TextTemplate, UrlTemplate};

pub use auth::{Auth, ClientStyle, OAuth2, Signing, SigningKey};
pub use batch::{Batch, ItemVerdict, Results, Until};
pub use diagnostic::{Diagnostic, Diagnostics, FilePlace};
pub use difference::Difference;
pub use look::RuleFilesState;
pub use matching::{Match, RuleSet, TableRules};
pub use plan::{Action, Saga, SagaStep, Sql, Verify, Work};
pub use tables::{IfMissing, Judgement, Objection};
pub use target::{BreakerPolicy, Rate, Target};
pub use tls::{TargetTls, Verification};

/// One rule, checked and compiled.
#[derive(Debug)]
pub struct Rule {
    /// Unique over all files; part of the delivery id.
    pub name: String,
    /// The file it stands in.
    pub path: PathBuf,
    pub table: TablePattern,
    /// Where the file names the table.
    pub table_at: FilePlace,
    pub on: Vec<Op>,
    /// Updates match only when at least one of these columns differs; empty: no such condition.
    pub changed: Vec<String>,
    pub when: Option<Condition>,
    pub order_by: OrderBy,
    /// All that it calls; without a plan exactly one call, which may be repeated.
    pub actions: Vec<Action>,
    /// How the actions follow one another.
    pub saga: Option<Saga>,
    pub on_dead_letter: OnDeadLetter,
    /// Attempts of this rule under way at the same time.
    pub in_flight: usize,
    /// One call for several deliveries.
    pub batch: Option<Batch>,
    /// The changes of a key in this time are merged into one delivery.
    pub coalesce: Option<Duration>,
    pub rate: Option<Rate>,
    /// It matches changes, too, that rowhook itself wrote.
    pub own_writes: bool,
    /// So many changes of one ordering key per time, by the time of their commits; those above are dead letters.
    pub fuse: Option<Rate>,
    /// Where it begins when it is new; none: where the others are.
    pub start: Option<Start>,
    /// While it is late, the server is kept from purging what it still needs.
    pub pin_binlog: bool,
    /// Columns whose values no dead letter keeps, in the order of the file.
    pub redact: Vec<ColumnUse>,
    /// Every column that the rule reads by its name, with its place in the file.
    pub columns: Vec<ColumnUse>,
}

impl Rule {
    /// Whether it calls servers that need not prove who they are (`insecure_tls`).
    pub fn trusts_any_server(&self) -> bool {
        let calls = self.actions.iter().filter_map(Action::call);
        let mut tls = calls.filter_map(|call| call.tls.as_ref());
        tls.any(|tls| tls.verification == Verification::None)
    }
}

impl Rule {
    /// Whether what was queued under an earlier form of this rule can go out under this one: it would stand in the same
    /// lanes and be sent in the same calls, and its failure would mean the same.
    pub fn takes_over_from(&self, earlier: &Rule) -> bool {
        self.saga.is_none()
            && earlier.saga.is_none()
            && self.table == earlier.table
            && self.order_by == earlier.order_by
            && self.batch == earlier.batch
            && self.coalesce == earlier.coalesce
            && self.on_dead_letter == earlier.on_dead_letter
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
        let verdicts = self.saga.iter().flat_map(|plan| &plan.steps).filter_map(|step| step.verify.as_ref());
        orders
            || self.actions.iter().any(|action| action.reads(column))
            || verdicts.into_iter().any(|verify| verify.when.reads(column))
    }

    /// Whether it may depend on the column which changes the rule means.
    pub fn decides_by(&self, column: &str) -> bool {
        self.changed.iter().any(|name| name == column) || self.when.as_ref().is_some_and(|when| when.reads(column))
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

/// What a dead letter of a rule means for the changes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeadLetter {
    /// They go on.
    Continue,
    /// Those of its ordering key wait behind it, stored, until it is replayed or discarded.
    HoldKey,
    /// The rule is paused.
    Pause,
}

/// The HTTP call of a rule.
#[derive(Debug)]
pub struct Call {
    pub method: Method,
    pub url: UrlTemplate,
    pub egress: Egress,
    /// Names are checked at load; values are rendered for each delivery.
    pub headers: Vec<(String, TextTemplate)>,
    pub body: Body,
    /// Of bodies that are worth it; never together with `sign`.
    pub compression: Option<BodyCompression>,
    pub auth: Option<Auth>,
    pub sign: Option<Signing>,
    /// None: the system's certificate authorities, no client certificate.
    pub tls: Option<Arc<TargetTls>>,
    /// From the first byte sent to the last byte of the answer read.
    pub timeout: Duration,
    pub success: SuccessStatuses,
}

impl Call {
    fn reads(&self, column: &str) -> bool {
        let body = match &self.body {
            Body::Change | Body::Row | Body::CloudEvent(_) | Body::Outcome => true,
            Body::Template(template) => template.reads(column),
            Body::Empty => false,
        };
        body || self.url.reads(column) || self.headers.iter().any(|(_, template)| template.reads(column))
    }
}

/// The addresses that a call may connect to. Link-local addresses and metadata services are never among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Egress {
    /// Private ones as well: internal APIs are the main use.
    PrivateToo,
    /// Only public ones: `egress: public_only`, and wherever a row chooses the host.
    PublicOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

#[derive(Debug)]
pub enum Body {
    /// The change event of docs/data-format.md, which shows the other forms as well.
    Change,
    /// The row alone.
    Row,
    CloudEvent(CloudEventMode),
    Template(BodyTemplate),
    /// How an operation ended: what `on_success` and `on_failure` send.
    Outcome,
    /// GET and DELETE with neither `body:` nor `format:`.
    Empty,
}

/// The modes of the HTTP binding of CloudEvents 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudEventMode {
    /// The attributes are headers.
    Binary,
    /// All is in one JSON document.
    Structured,
}

/// What `compress:` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyCompression {
    Gzip,
}

/// The statuses that mean "done": single ones and whole classes (`2xx`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessStatuses(pub Vec<(u16, u16)>);

impl SuccessStatuses {
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

/// After what an attempt is followed by another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// First and last status of each range.
    pub statuses: Vec<(u16, u16)>,
    /// No answer, for another reason than time: refused, reset, broken TLS.
    pub network: bool,
    /// No answer, or not all of it, within the call's `timeout`.
    pub timeout: bool,
}

impl Default for RetryOn {
    fn default() -> RetryOn {
        RetryOn { statuses: vec![(408, 408), (425, 425), (429, 429), (500, 599)], network: true, timeout: true }
    }
}

impl RetryOn {
    pub fn contains(&self, status: u16) -> bool {
        self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

#[cfg(test)]
mod tests;
