//! Templates and conditions: the one expression language of rules.
//!
//! In: text from a rule file, compiled once. Out: for a change, a decision, a URL, a header value or a JSON body. The only
//! place with `minijinja`. An undefined name is always an error, never an empty string; a DECIMAL is an exact number;
//! `{{ }}` inside a row is data. Bounded by fuel and `TEXT_BYTES_MAX`; no file access, no I/O, no clock, but for the files
//! that hold secrets, which are read at load.

mod body;
mod bytes;
mod class;
mod compare;
mod compiled;
mod condition;
mod decimal;
mod document;
mod error;
mod expression;
mod filters;
mod foreign;
mod form;
mod limits;
mod logic;
mod moment;
mod multipart;
mod never;
mod null_changes;
mod null_reads;
mod nulls;
mod omit;
mod operand;
mod operators;
mod output;
mod percent;
mod program;
mod range;
mod reads;
mod relation;
mod rewrite;
mod saga;
mod scope;
mod secret;
mod syntax;
mod text;
mod tokens;
mod typing;
mod url;
mod xml;

pub use body::BodyTemplate;
pub use condition::Condition;
pub use error::{ColumnUse, Error, Flaw, Read, SagaUse};
pub use form::{FormLists, FormTemplate};
pub use multipart::{MultipartTemplate, PartContent, PartTemplate, boundary_of};
pub use null_reads::NullRead;
pub use percent::encode as percent_encode;
pub use reads::{NameRead, reads_of};
pub use scope::Scope;
pub use secret::Secret;
pub use text::TextTemplate;
pub use url::{AllowedHosts, HostPattern, UrlTemplate};
pub use xml::Markup;

/// Longest text that a template may render: generous for a webhook, small enough that a full window of them fits in
/// memory.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// What `env.NAME` stands for when a rule is loaded: none where it is not set, and a line for people where it can't be read.
pub type EnvLookup<'a> = &'a dyn Fn(&str) -> Result<Option<Secret>, String>;

#[cfg(test)]
mod tests;
