//! What a plain comparison reads: a column, a literal, or one of the names `op`, `schema` and `table`.
//!
//! In: a piece of the syntax tree; then changes. Out: operands. Owns, per column, where it was found last, so that a name is not
//! searched for on every row.

use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::machinery::ast::Expr;

use super::Stop;
use crate::change::{Change, Table};
use crate::template::class::Class;
use crate::template::operand::{Literal, Operand};
use crate::template::scope::{self, RowSide};
use crate::template::syntax::plain_column;

#[derive(Debug)]
pub(in crate::template) enum Term {
    Column(RowSide, ColumnName),
    Literal(Literal),
    Op,
    Schema,
    Table,
}

/// A column by name. Rows of one table follow each other, so that the place where it was found last is tried first; it
/// is compared again each time, because tables differ and are altered.
#[derive(Debug)]
pub(in crate::template) struct ColumnName {
    name: Box<str>,
    found_at: AtomicUsize,
}

impl Term {
    /// None for what only the interpreter reads.
    pub fn of(expr: &Expr, source: &str) -> Option<Term> {
        if let Expr::Var(var) = expr {
            return match var.id {
                "op" => Some(Term::Op),
                "schema" => Some(Term::Schema),
                "table" => Some(Term::Table),
                _ => None,
            };
        }
        if let Some((side, name)) = plain_column(expr) {
            let side = if side == "old" { RowSide::Old } else { RowSide::Row };
            return Some(Term::Column(side, ColumnName::new(name)));
        }
        Literal::of(expr, source).map(Term::Literal)
    }

    /// Whether it is a column that the table lacks.
    pub(super) fn is_of_no_column(&self, table: &Table) -> bool {
        matches!(self, Term::Column(_, column) if column.index(table).is_none())
    }

    /// Reads the value and goes on with it, which then needs no place beyond this call.
    pub fn with<T>(&self, change: &Change, then: impl FnOnce(&Operand) -> Result<T, Stop>) -> Result<T, Stop> {
        match self {
            Term::Column(side, column) => {
                let index = column.index(&change.table).ok_or_else(|| scope::unknown_column(change, &column.name))?;
                let cell = scope::cell_at(change, *side, index)?;
                let class = change.kind(index).map_or_else(|| Class::of_cell(&cell), Class::of);
                then(&Operand::of_cell(&cell, class).ok_or(Stop::Ask)?)
            }
            Term::Literal(literal) => then(&literal.operand()),
            Term::Op => then(&Operand::of_text(change.op.as_str())),
            Term::Schema => then(&Operand::of_text(&change.table.schema)),
            Term::Table => then(&Operand::of_text(&change.table.name)),
        }
    }

    /// Which row it is read from, if it is a column.
    pub fn side(&self) -> Option<RowSide> {
        match self {
            Term::Column(side, _) => Some(*side),
            _ => None,
        }
    }

    /// The column's name, if it is one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Term::Column(_, column) => Some(&column.name),
            _ => None,
        }
    }
}

impl ColumnName {
    pub fn new(name: &str) -> ColumnName {
        ColumnName { name: name.into(), found_at: AtomicUsize::new(0) }
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Its place in the table, if it has one.
    pub fn index(&self, table: &Table) -> Option<usize> {
        // Nothing hangs on the order in which threads see it: a stale place costs a search.
        let last = self.found_at.load(Ordering::Relaxed);
        if table.columns.get(last).is_some_and(|name| *name == self.name) {
            return Some(last);
        }
        let index = table.column(&self.name)?;
        self.found_at.store(index, Ordering::Relaxed);
        Some(index)
    }
}
