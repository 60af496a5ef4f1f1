//! What works, and perhaps not as its author believes: for `check`, and for the log where a rule goes to work.
//!
//! In: rules, and where they are known the tables that they name. Out: a [`Doubt`] for each place that deserves a look: a condition
//! that no change can meet, a NULL of which no request can be made, an order in which many rows wait for one another. Refuses
//! nothing; what can't work is for `tables`. Says nothing where it is not certain.

use std::collections::BTreeSet;
use std::fmt;

use super::diagnostic::{Diagnostic, FilePlace, located};
use super::matching::RuleSet;
use super::rule::{Instead, NullPlace, OldPlace, OrderBy, Rule};
use super::settings::OnDeadLetter;
use crate::change::Op;
use crate::column::ColumnKind;
use crate::schema::{NamedTables, TypedColumn, TypedTable};
use crate::template::Condition;

/// Names that a message shows.
const NAMES_MAX: usize = 3;

/// A place in the rule files that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The rule that it is about.
    pub rule: String,
    pub said: Diagnostic,
    pub fix: String,
}

impl RuleSet {
    /// Logs the doubts about those of the rules of which `is_new` says that they go to work now.
    pub fn warn_of_doubts(&self, tables: &NamedTables, is_new: impl Fn(&str) -> bool) {
        let doubts = self.doubts(tables).into_iter().filter(|doubt| is_new(&doubt.rule));
        doubts.for_each(|doubt| tracing::warn!("{doubt}"));
    }

    /// All doubts, in the order of the files; `tables` are none where no server was asked.
    pub fn doubts(&self, tables: &NamedTables) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        for rule in self.rules() {
            let is_of_rule = |found: &&TypedTable| rule.tables.match_any(&found.table.schema, &found.table.name);
            let found: Vec<&TypedTable> = tables.found.iter().filter(is_of_rule).collect();
            doubts.extend(rule.never_matches(&found));
            doubts.extend(rule.unordered_tables(&found));
            doubts.extend(rule.coarse_order(&found));
            doubts.extend(rule.nulls_in_order(&found));
            doubts.extend(rule.nulls_in_requests(&found));
            doubts.extend(rule.old_rows_of_inserts(&found));
        }
        doubts.sort_by(|a: &Doubt, b| (&a.said.path, a.said.place).cmp(&(&b.said.path, b.said.place)));
        doubts.dedup();
        doubts
    }
}

impl fmt::Display for Doubt {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; fix: {}", self.said, self.fix)
    }
}

impl Rule {
    fn never_matches(&self, found: &[&TypedTable]) -> Option<Doubt> {
        let fix = "correct it; `enabled: false` switches a rule off";
        // No change has this op yet.
        let ops: Vec<Op> = self.on.iter().copied().filter(|op| *op != Op::Read).collect();
        if ops.is_empty() {
            let message = format!("rule {} matches no change: no change has the op `read` yet", self.name);
            return Some(self.doubt(self.at, message, fix));
        }
        let when = self.when.as_ref()?;
        // In each table, or whatever the table is.
        let flaw = when.never(&ops, &[]).or_else(|| {
            let flaws: Option<Vec<_>> = found.iter().map(|table| when.never(&ops, &table.columns)).collect();
            flaws?.into_iter().next()
        })?;
        let message = format!("{}; rule {} makes no call", flaw.message, self.name);
        Some(self.doubt(FilePlace { line: flaw.line, column: flaw.column }, message, fix))
    }

    /// Tables without a primary key, for a rule whose order is that of the primary key.
    fn unordered_tables(&self, found: &[&TypedTable]) -> Option<Doubt> {
        let is_keyless =
            |found: &TypedTable| found.table.primary_key.is_empty() && self.order_by == OrderBy::PrimaryKey;
        let names = names_of(found, is_keyless)?;
        let blocks = match self.settings.on_dead_letter {
            OnDeadLetter::HoldKey => ", and a dead letter blocks the whole table",
            _ => "",
        };
        let coalesce = if self.coalesce.is_some() { "; `coalesce` merges nothing there" } else { "" };
        let message = format!(
            "rule {}: no primary key in {names}, so its calls are made one after another{blocks}{coalesce}",
            self.name
        );
        let fix = "add a primary key, or name the columns that tell the rows apart in `order_by`; `order_by: none` keeps no order";
        Some(self.doubt(self.at, message, fix))
    }

    /// `order_by` with columns that are no key: many rows may share a value.
    fn coarse_order(&self, found: &[&TypedTable]) -> Option<Doubt> {
        let OrderBy::Columns(columns) = &self.order_by else { return None };
        let tables = names_of(found, |found| {
            let is_known = columns.iter().all(|name| found.table.column(name).is_some());
            is_known && !found.columns.is_empty() && !columns.iter().any(|name| found.keyed.contains(&**name))
        })?;
        let named = listed(columns.iter().map(|name| format!("`{name}`")));
        let (column, is) = if columns.len() == 1 { ("column", "is") } else { ("columns", "are") };
        let message = format!(
            "`order_by`: {column} {named} {is} in no key of {tables}: all rows with the same value wait for one another, and an \
             update that changes it waits for the calls of both values"
        );
        let fix = "leave it out to order by row, unless all rows with one value must be called one after another";
        Some(self.doubt(*self.order_by_at.first()?, message, fix))
    }

    /// `order_by` with a column that may be NULL: these rows have one key.
    fn nulls_in_order(&self, found: &[&TypedTable]) -> Vec<Doubt> {
        let OrderBy::Columns(columns) = &self.order_by else { return Vec::new() };
        let of_column = |(name, at): (&String, &FilePlace)| {
            let tables = names_of(found, |found| {
                !has_whole_key(columns, found) && self.may_meet_null(name, &self.on, false, found)
            })?;
            let message = format!(
                "`order_by`: column `{name}` of {tables} may be NULL: all rows where it is have one key and wait for one another"
            );
            let fix = format!(
                "write a rule of their own for them, with `when: row.{name} is none`, and here `row.{name} is not none`"
            );
            Some(self.doubt(*at, message, fix))
        };
        columns.iter().zip(&self.order_by_at).filter_map(of_column).collect()
    }

    /// Places that can't hold NULL with a column that may be NULL: one doubt for each column, at the first of them.
    fn nulls_in_requests(&self, found: &[&TypedTable]) -> Vec<Doubt> {
        let mut places: Vec<&NullPlace> = self.nulls.iter().collect();
        places.sort_by_key(|place| place.at);
        let mut doubts = Vec::new();
        let mut seen: Vec<(bool, &str)> = Vec::new();
        for first in &places {
            let NullPlace { column, is_old, at, holder, ops, follows, .. } = first;
            if seen.contains(&(*is_old, column)) {
                continue;
            }
            let meets = |ops: &[Op]| names_of(found, |found| self.may_meet_null(column, ops, *is_old, found));
            let Some(tables) = meets(ops) else { continue };
            seen.push((*is_old, column));
            let is_same = |place: &&&NullPlace| (place.is_old, &place.column) == (*is_old, column);
            let others = places.iter().filter(is_same).filter(|place| meets(&place.ops).is_some()).count() - 1;
            let elsewhere = match others {
                0 => String::new(),
                1 => " (and 1 more place)".to_string(),
                others => format!(" (and {others} more places)"),
            };
            let old = if *is_old { "old " } else { "" };
            let message =
                format!("{holder}{elsewhere} reads {old}column `{column}` of {tables}, which may be NULL: {follows}");
            let is_number = found.iter().flat_map(|found| &found.columns).any(|known| is_number(known, column));
            doubts.push(self.doubt(*at, message, self.fix_of_null(first, is_number)));
        }
        doubts
    }

    /// Places that read a column of the old row, in requests that are made for inserts, too: one doubt for the first.
    fn old_rows_of_inserts(&self, found: &[&TypedTable]) -> Option<Doubt> {
        let is_insert = |place: &&OldPlace| place.ops.contains(&Op::Insert);
        let first = self.old_rows.iter().filter(is_insert).min_by_key(|place| place.at)?;
        let of_no_insert = |when: &Condition, columns: &[TypedColumn]| when.never(&[Op::Insert], columns).is_some();
        if let Some(when) = &self.when
            && (of_no_insert(when, &[])
                || !found.is_empty() && found.iter().all(|found| of_no_insert(when, &found.columns)))
        {
            return None;
        }
        let OldPlace { column, at, holder, instead, ops, follows } = first;
        let message = format!("{holder} reads `old.{column}`, and an insert has no old row: {follows}");
        let fix = match &ops[..] {
            [Op::Insert] => "read `row`, which is the new row".to_string(),
            _ => format!(
                "write `{{{{ old.{column} if op != 'insert' else {instead} }}}}`, or leave `insert` out of `on`"
            ),
        };
        Some(self.doubt(*at, message, fix))
    }

    /// What the rule may say instead, as it is written there.
    fn fix_of_null(&self, place: &NullPlace, is_number: bool) -> String {
        let name = format!("{}.{}", if place.is_old { "old" } else { "row" }, place.column);
        let instead = place.instead;
        let leave_out = match place.instead {
            Instead::Omit => " to leave it out",
            _ => "",
        };
        // With `or`, a zero would be replaced, too.
        let written = match (place.is_value, is_number) {
            (true, false) => format!("{name} or {instead}"),
            (true, true) => format!("{name} if {name} is not none else {instead}"),
            (false, _) => format!("… if {name} is not none else {instead}"),
        };
        let mut fix = format!("write `{{{{ {written} }}}}`{leave_out}");
        // Of a rule with `calls` a condition is about all of them.
        if self.by_op.is_empty() {
            let is_new = if place.is_old && self.on.contains(&Op::Insert) { "old is none or " } else { "" };
            fix += &format!("; `when: {is_new}{name} is not none` leaves out such rows");
        }
        fix
    }

    fn doubt(&self, place: FilePlace, message: String, fix: impl Into<String>) -> Doubt {
        Doubt { rule: self.name.clone(), said: located(&self.path, place, message), fix: fix.into() }
    }

    /// Whether the rule may match a change with one of these ops in whose row this column is NULL.
    fn may_meet_null(&self, name: &str, ops: &[Op], is_old: bool, found: &TypedTable) -> bool {
        let column = found.columns.iter().find(|column| column.is_nullable && *column.name == *name);
        let may_match = |column: &TypedColumn| {
            self.when.as_ref().is_none_or(|when| when.allows_null(ops, is_old, column, &found.columns))
        };
        column.is_some_and(may_match)
    }
}

fn is_number(known: &TypedColumn, name: &str) -> bool {
    use ColumnKind::{Bit, Decimal, Double, Float, Int, Year};
    *known.name == *name && matches!(known.kind, Some(Int { .. } | Bit { .. } | Decimal { .. } | Float | Double | Year))
}

/// The tables of which it is so, by name; None where it is so of none.
fn names_of(found: &[&TypedTable], is_so: impl Fn(&TypedTable) -> bool) -> Option<String> {
    let names: BTreeSet<String> =
        found.iter().filter(|found| is_so(found)).map(|found| found.table.to_string()).collect();
    match names.len() {
        0 => None,
        1 => Some(format!("table {}", listed(names))),
        _ => Some(format!("tables {}", listed(names))),
    }
}

/// Whether the primary key is among these columns, so that no two rows share their values.
fn has_whole_key(names: &[String], found: &TypedTable) -> bool {
    let mut key = found.table.primary_key.iter().map(|index| &found.table.columns[*index]);
    let has_key = !found.table.primary_key.is_empty();
    has_key && key.all(|column| names.iter().any(|name| **name == **column))
}

/// The first of the names, and how many more there are.
fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
    }
}
