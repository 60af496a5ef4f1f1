//! Checks rules against the tables that they name: the one place where compiled rules meet table definitions.
//!
//! In: rules, and tables as a server has them now, or as one is at a position in the binlog. Out: every objection with its
//! place in the rule files. `check`, the start and every reload use it, so that all three say the same. For the loop: why a
//! rule can't work on rows of one table, so that it is paused there. What a single row lacks is decided in `matching`.

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, Diagnostics, FilePlace, located};
use super::matching::RuleSet;
use super::rule::Rule;
use crate::change::Table;
use crate::schema::NamedTables;
use crate::suggest::did_you_mean;
use crate::template::ColumnUse;

/// What it means that a table which a rule names exactly does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    Refuse,
    /// It comes later: `--allow-missing-table`.
    Allow,
}

/// An objection: why a rule does not fit the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    pub rule: String,
    /// True: the rule can't be used as it is. False: it only deserves a check.
    pub is_problem: bool,
    /// True: a condition can't be decided for the types of its columns. False: a table or a column does not exist.
    pub is_of_types: bool,
    pub said: Diagnostic,
    /// The fix, where `said` does not contain it.
    pub fix: Option<String>,
}

impl Objection {
    /// With the fix in the same line.
    fn in_one_line(mut self) -> Diagnostic {
        if let Some(fix) = self.fix {
            let message = &mut self.said.message;
            *message += if message.ends_with('?') { " Fix: " } else { "; fix: " };
            *message += &fix;
        }
        self.said
    }
}

/// Objections, sorted into problems, for which rules are refused, and warnings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    pub problems: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
}

impl Judgement {
    /// `is_at_work` says whether the objection's rule, with the same needs, was in use before: then a table or a column was
    /// dropped, or its type changed, since, and the rules are not refused. The rule is paused where it meets that in the
    /// binlog; rows that it can't decide because of their types become dead letters.
    pub fn of(objections: Vec<Objection>, is_at_work: impl Fn(&Objection) -> bool) -> Judgement {
        let mut judgement = Judgement::default();
        for objection in objections {
            let refuses = objection.is_problem && !is_at_work(&objection);
            let list = if refuses { &mut judgement.problems } else { &mut judgement.warnings };
            let said = objection.in_one_line();
            if !list.contains(&said) {
                list.push(said);
            }
        }
        judgement
    }

    /// Logs the warnings.
    ///
    /// # Errors
    ///
    /// When there are problems.
    pub fn take(self) -> Result<(), Diagnostics> {
        self.warnings.iter().for_each(|said| tracing::warn!("{said}"));
        if self.problems.is_empty() { Ok(()) } else { Err(Diagnostics(self.problems)) }
    }
}

impl RuleSet {
    /// All objections of these rules for the tables as they are now, in the order of the files.
    pub fn against(&self, tables: &NamedTables, if_missing: IfMissing) -> Vec<Objection> {
        let mut objections = Vec::new();
        for rule in self.rules() {
            let of_rule = |is_problem, said, fix| Objection {
                rule: rule.name.clone(),
                is_problem,
                is_of_types: false,
                said,
                fix,
            };
            for (pattern, at) in rule.tables.0.iter().zip(&rule.tables_at) {
                if let Some(missing) = tables.missing.iter().find(|missing| missing.pattern == *pattern) {
                    let is_problem = pattern.is_exact() && if_missing == IfMissing::Refuse;
                    let said = located(&rule.path, *at, missing.what.clone());
                    objections.push(of_rule(is_problem, said, Some(missing.fix.clone())));
                }
            }
            for found in
                tables.found.iter().filter(|found| rule.tables.match_any(&found.table.schema, &found.table.name))
            {
                objections.extend(rule.unknown_columns(&found.table).map(|(said, fix)| of_rule(true, said, fix)));
                let misfits = rule.misfits(found).into_iter();
                objections.extend(
                    misfits
                        .map(|(is_problem, said)| Objection { is_of_types: true, ..of_rule(is_problem, said, None) }),
                );
            }
        }
        objections.sort_by(|a, b| (&a.said.path, a.said.place).cmp(&(&b.said.path, b.said.place)));
        objections.dedup();
        objections
    }
}

impl Rule {
    /// What the rule needs of tables, as one text: two texts are equal if the needs are the same.
    pub fn needs(&self) -> String {
        let columns: BTreeSet<&str> = self.needed_columns().map(|used| used.name.as_str()).collect();
        let conditions: String = self.conditions().map(|condition| format!("; {}", condition.text())).collect();
        format!("{}: {}{conditions}", self.tables, columns.into_iter().collect::<Vec<_>>().join(", "))
    }

    /// Why the rule can't work on rows of this table: columns that it names and the table lacks.
    pub fn lacks(&self, table: &Table) -> Option<String> {
        // Only its name is known, as of one that was emptied: no row of it needs a column.
        if table.columns.is_empty() {
            return None;
        }
        let lacking: BTreeSet<&str> =
            self.needed_columns().map(|used| used.name.as_str()).filter(|name| table.column(name).is_none()).collect();
        let names: Vec<String> = lacking.iter().map(|name| format!("`{name}`")).collect();
        let hint = match lacking.first().filter(|_| lacking.len() == 1) {
            Some(name) => did_you_mean(name, table.columns.iter().map(|column| &**column)),
            None => String::new(),
        };
        (!names.is_empty()).then(|| format!("table {table} has no column {}{hint}", names.join(", ")))
    }

    /// The columns that the rule names and this table lacks, each with its place in the rule's file, and with the fix.
    fn unknown_columns(&self, table: &Table) -> impl Iterator<Item = (Diagnostic, Option<String>)> {
        self.needed_columns().filter(|used| table.column(&used.name).is_none()).map(
            move |ColumnUse { name, line, column, .. }| {
                let hint = did_you_mean(name, table.columns.iter().map(|column| &**column));
                let fix = hint.is_empty().then(|| {
                    format!(
                        "correct the name, or add the column first; `row.{name} is defined` asks whether it is there"
                    )
                });
                let message = format!("table {table} has no column `{name}`{hint}");
                (located(&self.path, FilePlace { line: *line, column: *column }, message), fix)
            },
        )
    }

    /// Those that every table of the rule must have.
    pub(super) fn needed_columns(&self) -> impl Iterator<Item = &ColumnUse> {
        self.columns.iter().chain(&self.redact).filter(|used| !used.may_lack)
    }
}
