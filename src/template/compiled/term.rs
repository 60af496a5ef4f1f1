//! What a comparison reads: a column, a literal, or one of the names `op`, `schema` and `table`.
//!
//! In: a piece of the syntax tree; then changes. Out: values in the few kinds that `compare` knows. Owns, per column,
//! where it was found last, so that a name is not searched for on every row.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::machinery::ast::{Expr, UnaryOpKind};
use minijinja::value::{Value, ValueKind};

use super::Stop;
use crate::change::{Change, Table, Value as CellValue};
use crate::template::decimal::{self, Decimal};
use crate::template::error::Error;
use crate::template::scope::{self, Image};
use crate::template::{expression, operators, rewrite};

#[derive(Debug)]
pub(super) enum Term {
    Column(Image, ColumnName),
    Literal(Literal),
    Op,
    Schema,
    Table,
}

/// A column by name. Rows of one table follow each other, so that the place where it was found last is tried first; it
/// is compared again each time, because tables differ and are altered.
#[derive(Debug)]
pub(super) struct ColumnName {
    name: Box<str>,
    found_at: AtomicUsize,
}

/// A literal with the exact text of its number, if it is one.
#[derive(Debug)]
pub(super) struct Literal {
    fixed: Fixed,
    digits: Option<Box<str>>,
}

#[derive(Debug)]
enum Fixed {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Decimal(Box<str>),
    Text(Box<str>),
}

/// A value as comparisons see it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// Digits with an optional sign and fraction.
    Decimal(&'v str),
    Text(&'v str),
}

/// A value, and the exact text of its number where that is known already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand<'v> {
    pub scalar: Scalar<'v>,
    digits: Option<&'v str>,
}

impl Term {
    /// None for what only the interpreter reads.
    pub(super) fn of(expr: &Expr, source: &str) -> Option<Term> {
        if let Expr::Var(var) = expr {
            return match var.id {
                "op" => Some(Term::Op),
                "schema" => Some(Term::Schema),
                "table" => Some(Term::Table),
                _ => None,
            };
        }
        if let Some((image, name)) = expression::plain_column(expr) {
            let image = if image == "old" { Image::Old } else { Image::Row };
            return Some(Term::Column(image, ColumnName::new(name)));
        }
        Literal::of(expr, source).map(Term::Literal)
    }

    /// Whether it is a column that the table lacks.
    pub(super) fn is_of_no_column(&self, table: &Table) -> bool {
        matches!(self, Term::Column(_, column) if column.index(table).is_none())
    }

    /// Reads the value and goes on with it, which then needs no place beyond this call.
    pub(super) fn with<T>(&self, change: &Change, then: impl FnOnce(&Operand) -> Result<T, Stop>) -> Result<T, Stop> {
        match self {
            Term::Column(image, column) => then(&Operand::of_cell(&value(change, *image, column)?)?),
            Term::Literal(literal) => then(&literal.operand()),
            Term::Op => then(&Operand::of_text(change.op.as_str())),
            Term::Schema => then(&Operand::of_text(&change.table.schema)),
            Term::Table => then(&Operand::of_text(&change.table.name)),
        }
    }
}

/// The only way to a cell's value.
fn value(change: &Change, image: Image, column: &ColumnName) -> Result<CellValue, Error> {
    match column.index(&change.table) {
        Some(index) => scope::cell_at(change, image, index),
        None => Err(scope::unknown_column(change, &column.name)),
    }
}

impl ColumnName {
    pub(super) fn new(name: &str) -> ColumnName {
        ColumnName { name: name.into(), found_at: AtomicUsize::new(0) }
    }

    /// Its place in the table, if it has one.
    pub(super) fn index(&self, table: &Table) -> Option<usize> {
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

impl Literal {
    /// None when the expression is no literal, or one that a comparison here would not take as the interpreter does.
    pub(super) fn of(expr: &Expr, source: &str) -> Option<Literal> {
        let value = match expr {
            Expr::UnaryOp(node) if matches!(node.op, UnaryOpKind::Neg) => {
                operators::subtract(&Value::from(0), &constant(&node.expr, source)?).ok()?
            }
            positive => constant(positive, source)?,
        };
        let fixed = match (operators::as_decimal(&value), value.kind()) {
            (Some(decimal), _) => Fixed::Decimal(decimal.as_str().into()),
            (_, ValueKind::None) => Fixed::Null,
            (_, ValueKind::Bool) => Fixed::Bool(value.is_true()),
            (_, ValueKind::String) => Fixed::Text(value.as_str()?.into()),
            (_, ValueKind::Number) if value.is_integer() => match u64::try_from(value.clone()) {
                Ok(number) => Fixed::Uint(number),
                // Wider integers are compared with doubles in a way of their own.
                Err(_) => Fixed::Int(i64::try_from(value).ok()?),
            },
            // A literal beyond all doubles is written out as a name, which has no value.
            (_, ValueKind::Number) => Fixed::Float(f64::try_from(value).ok().filter(|number| number.is_finite())?),
            _ => return None,
        };
        let mut literal = Literal { fixed, digits: None };
        literal.digits = literal.operand().digits().map(|digits| digits.into());
        Some(literal)
    }

    pub(super) fn operand(&self) -> Operand<'_> {
        let scalar = match &self.fixed {
            Fixed::Null => Scalar::Null,
            Fixed::Bool(truth) => Scalar::Bool(*truth),
            Fixed::Int(number) => Scalar::Int(*number),
            Fixed::Uint(number) => Scalar::Uint(*number),
            Fixed::Float(number) => Scalar::Float(*number),
            Fixed::Decimal(text) => Scalar::Decimal(text),
            Fixed::Text(text) => Scalar::Text(text),
        };
        Operand { scalar, digits: self.digits.as_deref() }
    }
}

/// The value of a literal without a sign.
fn constant(expr: &Expr, source: &str) -> Option<Value> {
    let Expr::Const(constant) = expr else { return None };
    match rewrite::digits_beyond_doubles(&constant.value, constant.span(), source) {
        Some(digits) => Decimal::parse(&digits).map(Value::from_object),
        None => Some(constant.value.clone()),
    }
}

impl<'v> Operand<'v> {
    fn of_text(text: &'v str) -> Operand<'v> {
        Operand { scalar: Scalar::Text(text), digits: None }
    }

    /// Asks for the interpreter where the value is of a kind that has no comparison here.
    fn of_cell(cell: &'v CellValue) -> Result<Operand<'v>, Stop> {
        let scalar = match cell {
            CellValue::Null => Scalar::Null,
            CellValue::Int(number) => Scalar::Int(*number),
            CellValue::Uint(number) => Scalar::Uint(*number),
            CellValue::Float(number) => Scalar::Float(scope::double_of(*number)),
            CellValue::Double(number) => Scalar::Float(*number),
            CellValue::Decimal(text) if decimal::is_decimal(text) => Scalar::Decimal(text),
            CellValue::Decimal(text) | CellValue::Text(text) => Scalar::Text(text),
            CellValue::Bytes(_) | CellValue::Labels(_) | CellValue::Json(_) => return Err(Stop::Ask),
        };
        Ok(Operand { scalar, digits: None })
    }

    /// The exact text of a number; none for what is no number, and for infinities.
    pub(super) fn digits(&self) -> Option<Cow<'v, str>> {
        Some(match (self.digits, self.scalar) {
            (Some(digits), _) | (None, Scalar::Decimal(digits)) => Cow::Borrowed(digits),
            (None, Scalar::Int(number)) => Cow::Owned(number.to_string()),
            (None, Scalar::Uint(number)) => Cow::Owned(number.to_string()),
            (None, Scalar::Float(number)) => Cow::Owned(Decimal::from_f64(number)?.as_str().to_owned()),
            (None, Scalar::Null | Scalar::Bool(_) | Scalar::Text(_)) => return None,
        })
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.scalar, Scalar::Null)
    }

    /// What Jinja counts as true: all but NULL, false, zero and the empty text.
    pub(super) fn is_true(&self) -> bool {
        match self.scalar {
            Scalar::Null => false,
            Scalar::Bool(truth) => truth,
            Scalar::Int(number) => number != 0,
            Scalar::Uint(number) => number != 0,
            Scalar::Float(number) => number != 0.0,
            Scalar::Decimal(digits) => !decimal::is_zero(digits),
            Scalar::Text(text) => !text.is_empty(),
        }
    }
}
