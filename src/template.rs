//! Templates and conditions: the one expression language of rules.
//!
//! In: text from a rule file, compiled once. Out: for a change, a decision, a URL, a header value or a JSON body. The only
//! place with `minijinja`. An undefined name is always an error, never an empty string.

/// The `when:` of a rule.
#[derive(Debug)]
pub struct Condition;

/// A string with `{{ expression }}` in it.
#[derive(Debug)]
pub struct TextTemplate;

/// A URL whose scheme, host and port are literal.
#[derive(Debug)]
pub struct UrlTemplate;

/// A JSON body whose strings are templates.
#[derive(Debug)]
pub struct BodyTemplate;
