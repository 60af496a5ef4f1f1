//! What `sql` says: a statement, its parameters, how many rows it is about.
//!
//! In: the node below `sql:`. Out: a `SqlSpec` whose parameters are those of the statement; their values stay nodes.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::diagnostic::FilePlace;
use super::super::reader::{NodeReader, member};
use super::super::settings::{TIMEOUT_DEFAULT, TIMEOUT_MAX};
use super::super::statement;
use super::super::yaml::{Key, Node, NodeKind};
use crate::suggest::did_you_mean;

const SQL_KEYS: [&str; 6] = ["statement", "params", "expect_rows", "timeout", "idempotent", "verify"];

pub(in crate::rules) struct SqlSpec<'n> {
    pub at: FilePlace,
    /// With `?` where values go.
    pub statement: String,
    /// One for each `?`.
    pub params: Vec<(String, &'n Node)>,
    pub expect_rows: Option<RangeInclusive<u64>>,
    pub timeout: Duration,
}

impl<'n> NodeReader<'_> {
    pub(super) fn sql(&mut self, node: &'n Node) -> Option<SqlSpec<'n>> {
        let members = self.members(node, "`sql`", &SQL_KEYS)?;
        let get = |name| member(members, name);
        let expect_rows = get("expect_rows").and_then(|node| self.expect_rows(node));
        let timeout = get("timeout").and_then(|node| self.duration(node, "timeout", TIMEOUT_MAX));
        let params: &[(Key, Node)] = match get("params").map(|node| (node, &node.kind)) {
            Some((_, NodeKind::Map(params))) => params,
            Some((node, _)) => {
                self.problem(node.at, format!("`params` must be a map from name to value, not {}", node.describe()));
                return None;
            }
            None => &[],
        };
        let Some(source) = get("statement") else {
            self.problem(node.at, "`sql` has no `statement`");
            return None;
        };
        let statement = match statement::read(self.string(source, "statement")?) {
            Ok(statement) => statement,
            Err(flaws) => {
                for flaw in flaws {
                    let at = source.place_within(self.text, flaw.line, flaw.column);
                    self.problem(at, flaw.message);
                }
                return None;
            }
        };
        let mut complete = true;
        for (key, _) in params {
            if !statement.names.iter().any(|(name, ..)| *name == key.text) {
                let hint = did_you_mean(&key.text, statement.names.iter().map(|(name, ..)| name.as_str()));
                self.problem(key.at, format!("the statement has no `:{}`{hint}", key.text));
                complete = false;
            }
        }
        let mut values = Vec::new();
        for (name, line, column) in statement.names {
            match member(params, &name) {
                Some(value) => values.push((name, value)),
                None => {
                    let at = source.place_within(self.text, line, column);
                    self.problem(at, format!("`params` has no `{name}`"));
                    complete = false;
                }
            }
        }
        complete.then_some(SqlSpec {
            at: node.at,
            statement: statement.text,
            params: values,
            expect_rows,
            timeout: timeout.unwrap_or(TIMEOUT_DEFAULT),
        })
    }

    /// `1` or `0..1`.
    fn expect_rows(&mut self, node: &Node) -> Option<RangeInclusive<u64>> {
        let text = self.string(node, "expect_rows")?;
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let rows = first.parse().ok().zip(last.parse().ok()).filter(|(first, last): &(u64, u64)| first <= last);
        if rows.is_none() {
            self.problem(node.at, format!("`{text}` is no number of rows; write one as `1` or `0..1`"));
        }
        rows.map(|(first, last)| first..=last)
    }
}
