//! What `sql` says: a statement, its parameters, how many rows it is about.
//!
//! In: the node below `sql:`. Out: a `SqlSpec` whose parameters are those of the statement; their values stay nodes.

use super::super::diagnostic::FilePlace;
use super::super::reader::{NodeReader, member};
use super::super::settings::{self, SQL_KEYS, SqlSettings};
use super::super::statement;
use super::super::yaml::{Key, Node, NodeKind};
use crate::suggest::did_you_mean;

pub(in crate::rules) struct SqlSpec<'n> {
    pub at: FilePlace,
    /// With `?` where values go.
    pub statement: String,
    /// As it is written, with `:name` there.
    pub written: &'n str,
    /// One for each `?`.
    pub params: Vec<(String, &'n Node)>,
    pub settings: SqlSettings,
}

impl<'n> NodeReader<'_> {
    pub(super) fn sql(&mut self, node: &'n Node) -> Option<SqlSpec<'n>> {
        let members = self.members(node, "`sql`", &settings::names(SQL_KEYS))?;
        let get = |name| member(members, name);
        let mut settings = SqlSettings::default();
        self.settings(&mut settings, SQL_KEYS, members);
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
        let written = self.string(source, "statement")?;
        let statement = match statement::read(written) {
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
        complete.then_some(SqlSpec { at: node.at, statement: statement.text, written, params: values, settings })
    }
}
