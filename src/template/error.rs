//! What can go wrong with a template: at load a `Flaw` with its place, on a row an `Error`.
//!
//! Messages name columns, tables, rule text and kinds of values; they never hold a row value or a secret (promise 8).

use minijinja::machinery::Span;

use crate::printable::shortened;

/// A mistake in the text of a template, found when the rule is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Within the template's text, from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
}

impl Flaw {
    pub(super) fn at(span: Span, message: impl Into<String>) -> Flaw {
        let (line, column) = place_of(span);
        Flaw { line, column, message: message.into() }
    }
}

/// Line and column of the beginning, from 1.
pub(super) fn place_of(span: Span) -> (usize, usize) {
    (usize::from(span.start_line), usize::from(span.start_col) + 1)
}

/// A column that a template reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnUse {
    pub name: String,
    /// Within the template's text, from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The template asks with `is defined` whether the table has it.
    pub may_lack: bool,
}

/// What a template reads of a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaUse {
    pub what: Read,
    /// Within the template's text, from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A member of `steps.NAME`.
    Step { name: String, member: String },
    /// `answer`.
    Answer,
    /// `outcome`.
    Outcome,
}

/// Why a template can't be rendered, or a condition not decided, on one row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("table {table} has no column `{column}`; fix the rule")]
    UnknownColumn { table: String, column: String },
    #[error(
        "column `{column}` of table {table} is not in the row image; \
         set binlog_row_image=FULL on the server or leave the column out of the rule"
    )]
    AbsentColumn { table: String, column: String },
    #[error("there is no old row for an {op}, so `old.{column}` has no value; guard it with `old is none or …`")]
    NoOldRow { op: &'static str, column: String },
    #[error(
        "a truncate has no row, so column `{column}` has no value; guard it with `op == 'truncate' or …`, or write another rule for it"
    )]
    NoRow { column: String },
    #[error("the JSON document in column `{column}` of table {table} can't be read: {problem}")]
    BadJson { table: String, column: String, problem: String },
    #[error("`{operator}` can't be used with {left} and {right}; {fix}")]
    Operator { operator: &'static str, left: String, right: String, fix: &'static str },
    #[error("{column} by itself is no condition; compare it, for example `row.column != ''`")]
    NoTruth { column: &'static str },
    #[error("{kind} by itself says neither yes nor no; compare it, as in `{fix}`")]
    NoTruthOfKind { kind: &'static str, fix: &'static str },
    #[error("the exact result of `{operator}` needs more than 38 digits; convert with `| float` first")]
    Inexact { operator: &'static str },
    #[error("there is no step `{step}`; fix the rule")]
    UnknownStep { step: String },
    #[error("step `{step}` ({state}) has no answer to read; guard it with `steps.{step}.state == 'done'`")]
    NoAnswer { step: String, state: &'static str },
    #[error("the answer to {whose} is longer than {limit_bytes} bytes, and no part of it is read")]
    CutAnswer { whose: String, limit_bytes: usize },
    #[error("the answer to {whose} can't be read: {problem}")]
    BadAnswer { whose: String, problem: String },
    #[error("`{filter}`: {problem}")]
    Filter { filter: &'static str, problem: &'static str },
    #[error(
        "`{filter}` of NULL has no value; give a replacement, as in `(row.column or '') | …`, or guard it: \
         `… if row.column is not none else '-'`"
    )]
    FilterOfNull { filter: String },
    #[error("`{filter}` is for columns of bytes (BINARY, VARBINARY, BLOB), and this value is none")]
    NotBinary { filter: &'static str },
    #[error("`uuid` is for columns of 16 bytes, and this value has another length")]
    NotUuid,
    #[error("{} is undefined; give a replacement with `| default(…)`", path.as_deref().unwrap_or("a name"))]
    Undefined {
        /// What has no value, as the rule writes it, with its backquotes.
        path: Option<String>,
    },
    #[error(
        "NULL can't be part of a text; give a replacement, for example `row.column or '-'`; `rowhook check` names the columns that may be NULL, and where"
    )]
    Null,
    #[error(
        "NULL has no form; give a replacement, as in `row.column or ''`, or leave the field out with `row.column or omit`; \
         `rowhook check` names the columns that may be NULL, and where"
    )]
    FormNull,
    #[error("a name within the value has `[` or `]`, which would move it to another field")]
    FormKey,
    #[error("the value has a character that XML can't hold")]
    NoXmlCharacter,
    /// Handled by what holds the value, where that can be left out.
    #[error(
        "`omit` leaves out a member or element of `body`, a field of `form` or a header; here nothing can be left out"
    )]
    Omitted,
    #[error("a value in the URL's path is empty, `.` or `..`, which would name another resource")]
    PathSegment,
    #[error("the rendered URL does not lead to {origin} or can't be read; values can't change the host")]
    ForeignUrl { origin: String },
    #[error("the rendered URL leads to no host that `allow_hosts` names ({allow_hosts})")]
    HostNotAllowed { allow_hosts: String },
    #[error("a value in the URL's host is empty or holds something that is no part of a host name")]
    HostPart,
    #[error("the value that should be the URL can't be taken: {problem}")]
    NotUrl { problem: &'static str },
    #[error("the rendered text is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("the value for header `{header}` holds a control character, which no header may")]
    HeaderBytes { header: String },
    #[error("`{source_text}` can't be evaluated: {problem}")]
    Engine { source_text: String, problem: String },
}

impl Error {
    /// As the engine carries it from a function or an object to the caller.
    pub(super) fn into_engine(self) -> minijinja::Error {
        minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, "").with_source(self)
    }

    /// What the engine said, without the values that its own messages may hold.
    pub(super) fn from_engine(error: &minijinja::Error, source_text: &str) -> Error {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(link) = cause {
            if let Some(ours) = link.downcast_ref::<Error>() {
                return ours.clone();
            }
            cause = link.source();
        }
        match error.kind() {
            minijinja::ErrorKind::UndefinedError => Error::Undefined { path: None },
            minijinja::ErrorKind::WriteFailure => Error::TooLarge { limit_bytes: super::TEXT_BYTES_MAX },
            kind => Error::Engine { source_text: first_line(source_text), problem: kind.to_string() },
        }
    }
}

fn first_line(source_text: &str) -> String {
    shortened(source_text.trim().lines().next().unwrap_or_default(), 80)
}
