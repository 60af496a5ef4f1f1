//! The plain settings of a statement.
//!
//! In: the members of a `sql`. Out: `SqlSettings` within their limits. A new one is a field, its default and a line of `SQL_KEYS`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::reader::NodeReader;
use super::super::yaml::Node;
use super::SettingKey::{self, Other, Plain};
use super::call::{TIMEOUT_DEFAULT, TIMEOUT_MAX};
use super::set;

/// What a statement sets besides its text and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlSettings {
    /// How many rows the statement must match, else it is rolled back and given up.
    pub expect_rows: Option<RangeInclusive<u64>>,
    /// From the first byte sent to the commit's answer.
    pub timeout: Duration,
}

impl Default for SqlSettings {
    fn default() -> SqlSettings {
        SqlSettings { expect_rows: None, timeout: TIMEOUT_DEFAULT }
    }
}

/// In the order in which messages name them.
pub(in crate::rules) const SQL_KEYS: &[SettingKey<SqlSettings>] = &[
    Other("statement"),
    Other("params"),
    Plain("expect_rows", |to, reader, node, key| set(&mut to.expect_rows, reader.expect_rows(node, key))),
    Plain("timeout", |to, reader, node, key| set(&mut to.timeout, reader.duration(node, key, TIMEOUT_MAX))),
    Other("idempotent"),
    Other("verify"),
];

impl NodeReader<'_> {
    /// `1` or `0..1`.
    fn expect_rows(&mut self, node: &Node, key: &str) -> Option<RangeInclusive<u64>> {
        let text = self.string(node, key)?;
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let rows = first.parse().ok().zip(last.parse().ok()).filter(|(first, last): &(u64, u64)| first <= last);
        if rows.is_none() {
            self.problem(node.at, format!("`{key}` is a number of rows such as `1` or `0..1`, not `{text}`"));
        }
        rows.map(|(first, last)| first..=last)
    }
}
