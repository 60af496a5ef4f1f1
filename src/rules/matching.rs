//! Which rules a change matches.
//!
//! In: changes, one after another. Out: the rules whose `on`, `changed` and `when` hold, in the order of the files;
//! cheap tests first. Owns a cache from table to rules, so that patterns are matched once per table, not per row.
//! A rule that can't be decided on a row matches with the reason: the delivery becomes a dead letter and is never dropped
//! silently (promise 7). Where the table lacks a column that the rule needs, the match says so, and the rule is paused.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::diagnostic::Diagnostic;
use super::rule::Rule;
use crate::change::{Change, Op, Table};
use crate::pattern::TablePatterns;

/// So many tables are cached. The source makes a new one after each definition and each reconnect; old ones are dropped.
const TABLES_MAX: usize = 4096;

/// A rule that applies to a change.
#[derive(Debug, Clone)]
pub struct Match {
    pub rule: Arc<Rule>,
    /// Why `changed`, `when` or `order_by` can't be decided on this row, without row values.
    pub undecided: Option<String>,
    /// Why the rule can't work on rows of this table as it is defined here: it needs columns that the table lacks.
    pub lacks: Option<Arc<str>>,
}

/// All rules of a directory.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
    /// The files that rules and targets refer to, besides rule files; each once.
    files: Vec<PathBuf>,
    disabled: Vec<DisabledRule>,
    unused_targets: Vec<Diagnostic>,
    misnamed_files: Vec<String>,
    /// What is wrong with the first `sql` where no write URL is set.
    first_sql: Option<Box<Diagnostic>>,
    by_table: RwLock<ByTable>,
}

/// A rule of the files with `enabled: false`.
#[derive(Debug)]
pub(super) struct DisabledRule {
    pub name: String,
    /// With its place.
    pub note: Diagnostic,
}

/// By the table's address, which is not used again while the rules of the table keep a reference to it.
type ByTable = HashMap<usize, Arc<TableRules>>;

/// The rules of one table, with the indexes of the columns that they need.
#[derive(Debug)]
pub struct TableRules {
    table: Arc<Table>,
    rules: Vec<TableRule>,
}

#[derive(Debug)]
struct TableRule {
    rule: Arc<Rule>,
    /// Indexes of the columns that `changed` names; an error says which of them the table lacks.
    changed: Result<Vec<usize>, String>,
    /// See [`Match::lacks`].
    lacks: Option<Arc<str>>,
}

impl TableRules {
    fn new(table: &Arc<Table>, rules: &[Arc<Rule>]) -> TableRules {
        let of_table = rules.iter().filter(|rule| rule.tables.match_any(&table.schema, &table.name));
        let rules = of_table.map(|rule| TableRule {
            rule: Arc::clone(rule),
            changed: changed_columns(rule, table),
            lacks: rule.lacks(table).map(Arc::from),
        });
        TableRules { table: Arc::clone(table), rules: rules.collect() }
    }

    /// Whether any rule is for this `op`; if not, no row needs to be checked.
    pub fn concern(&self, op: Op) -> bool {
        self.rules.iter().any(|of_table| of_table.rule.on.contains(&op))
    }

    /// Appends the rules that match a change of this table.
    pub fn matches(&self, change: &Arc<Change>, out: &mut Vec<Match>) {
        debug_assert!(Arc::ptr_eq(&self.table, &change.table), "these are the rules of another table");
        for TableRule { rule, changed, lacks } in &self.rules {
            let undecided = match rule.decide_with(change, changed) {
                Ok(true) => None,
                Ok(false) => continue,
                Err(reason) => Some(reason),
            };
            out.push(Match { rule: Arc::clone(rule), undecided, lacks: lacks.clone() });
        }
    }
}

fn changed_columns(rule: &Rule, table: &Table) -> Result<Vec<usize>, String> {
    let column = |name: &String| {
        let missing = || format!("table {table} has no column `{name}`, which `changed` names");
        table.column(name).ok_or_else(missing)
    };
    rule.changed.iter().map(column).collect()
}

impl RuleSet {
    /// A set of these rules, whose names are unique.
    pub fn new(rules: Vec<Arc<Rule>>) -> RuleSet {
        let mut files: Vec<PathBuf> = Vec::new();
        for file in rules.iter().flat_map(|rule| rule.content.files()) {
            if !files.contains(file) {
                files.push(file.clone());
            }
        }
        RuleSet {
            rules,
            files,
            disabled: Vec::new(),
            unused_targets: Vec::new(),
            misnamed_files: Vec::new(),
            first_sql: None,
            by_table: RwLock::default(),
        }
    }

    pub(super) fn with_target_files(mut self, files: Vec<PathBuf>) -> RuleSet {
        for file in files {
            if !self.files.contains(&file) {
                self.files.push(file);
            }
        }
        self
    }

    pub(super) fn with_unused_targets(self, unused_targets: Vec<Diagnostic>) -> RuleSet {
        RuleSet { unused_targets, ..self }
    }

    pub(super) fn with_disabled(self, disabled: Vec<DisabledRule>) -> RuleSet {
        RuleSet { disabled, ..self }
    }

    pub(super) fn with_misnamed_files(self, misnamed_files: Vec<String>) -> RuleSet {
        RuleSet { misnamed_files, ..self }
    }

    pub(super) fn with_first_sql(self, first_sql: Option<Diagnostic>) -> RuleSet {
        RuleSet { first_sql: first_sql.map(Box::new), ..self }
    }

    /// The problem with these rules if no server to write to is named: the first `sql`.
    pub fn needs_write_url(&self) -> Option<&Diagnostic> {
        self.first_sql.as_deref()
    }

    /// The files that rules and targets refer to, besides rule files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// In the order of the files, and in each from top to bottom.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// Each target that something is set for and that no rule calls, with its place: perhaps misspelt.
    pub fn unused_targets(&self) -> &[Diagnostic] {
        &self.unused_targets
    }

    /// A line for each file beside the rule files that has another ending and resembles one.
    pub fn misnamed_files(&self) -> &[String] {
        &self.misnamed_files
    }

    /// Each rule that is disabled, with its place.
    pub fn notes_of_disabled(&self) -> impl Iterator<Item = &Diagnostic> {
        self.disabled.iter().map(|rule| &rule.note)
    }

    /// Whether a rule of this name is in the files and disabled; it is none of [`RuleSet::rules`].
    pub fn is_disabled(&self, name: &str) -> bool {
        self.disabled.iter().any(|rule| rule.name == name)
    }

    pub fn rule(&self, name: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// What the source has to decode for these rules.
    pub fn patterns(&self) -> TablePatterns {
        let mut patterns = Vec::new();
        for pattern in self.rules.iter().flat_map(|rule| &rule.tables.0) {
            if !patterns.contains(pattern) {
                patterns.push(pattern.clone());
            }
        }
        TablePatterns(patterns)
    }

    /// Appends the rules that match the change.
    pub fn matches(&self, change: &Arc<Change>, out: &mut Vec<Match>) {
        self.of_table(&change.table).matches(change, out);
    }

    /// The rules of a table; call it once per event, not per row.
    pub fn of_table(&self, table: &Arc<Table>) -> Arc<TableRules> {
        // A panic elsewhere leaves the map whole: it only ever gains entries or is cleared.
        let known = self.by_table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = known.get(&Arc::as_ptr(table).addr()) {
            return Arc::clone(rules);
        }
        drop(known);
        let rules = Arc::new(TableRules::new(table, &self.rules));
        let mut known = self.by_table.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TABLES_MAX {
            known.clear();
        }
        known.insert(Arc::as_ptr(table).addr(), Arc::clone(&rules));
        rules
    }
}

/// The first clause of a rule that says no to a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    On,
    /// The change is one that rowhook wrote.
    OwnWrites,
    Changed,
    /// It is false, or unknown because of a NULL.
    When,
}

impl Clause {
    pub const ALL: [Clause; 4] = [Clause::On, Clause::OwnWrites, Clause::Changed, Clause::When];

    /// The key of the rule.
    pub fn key(self) -> &'static str {
        match self {
            Clause::On => "on",
            Clause::OwnWrites => "own_writes",
            Clause::Changed => "changed",
            Clause::When => "when",
        }
    }
}

impl Rule {
    /// Whether the rule applies to a change of its table; an error says what can't be decided, without row values.
    pub fn decide(&self, change: &Arc<Change>) -> Result<bool, String> {
        self.decide_with(change, &changed_columns(self, &change.table))
    }

    /// As [`Rule::decide`], with the clause that says no; None: the rule applies.
    pub fn refusal(&self, change: &Arc<Change>) -> Result<Option<Clause>, String> {
        self.refusal_with(change, &changed_columns(self, &change.table))
    }

    fn decide_with(&self, change: &Arc<Change>, changed: &Result<Vec<usize>, String>) -> Result<bool, String> {
        self.refusal_with(change, changed).map(|refusal| refusal.is_none())
    }

    /// `changed` are the columns of that name.
    #[inline]
    fn refusal_with(
        &self,
        change: &Arc<Change>,
        changed: &Result<Vec<usize>, String>,
    ) -> Result<Option<Clause>, String> {
        if !self.on.contains(&change.op) {
            return Ok(Some(Clause::On));
        }
        if change.transaction.is_own && !self.settings.own_writes {
            return Ok(Some(Clause::OwnWrites));
        }
        if change.op == Op::Update && !self.changed.is_empty() {
            let columns = changed.as_ref().map_err(String::clone)?;
            if !columns.iter().any(|column| change.column_differs(*column)) {
                return Ok(Some(Clause::Changed));
            }
        }
        if let Some(when) = &self.when
            && !when.holds(change).map_err(|error| format!("`when`: {error}"))?
        {
            return Ok(Some(Clause::When));
        }
        self.unorderable(change).map_or(Ok(None), Err)
    }
}
