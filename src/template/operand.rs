//! What stands on either side of a comparison.
//!
//! In: a cell with its column's class, a literal of a rule, or a value of the interpreter. Out: an [`Operand`], in the few forms that
//! `compare` knows. A literal is read once, when the rule is loaded: as an exact number, as a date and as a time.

use std::borrow::Cow;

use minijinja::machinery::ast::{Expr, UnaryOpKind};
use minijinja::value::{Value, ValueKind};

use super::class::Class;
use super::decimal::{self, Decimal, as_decimal};
use super::moment::{self, ParsedMoment};
use super::syntax::digits_beyond_doubles;
use super::{operators, scope};
use crate::change::Value as CellValue;

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
    Bytes(&'v [u8]),
    Labels(&'v [Box<str>]),
    /// What only the interpreter knows: lists, maps, rows.
    Other(&'v Value),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operand<'v> {
    pub scalar: Scalar<'v>,
    pub class: Class,
    /// It is a literal of the rule, whichever way it came.
    is_written: bool,
    /// Where it is a literal of the rule, how that was read.
    literal: Option<&'v Literal>,
}

/// A literal, with what its text means to each kind of column.
#[derive(Debug)]
pub(super) struct Literal {
    fixed: Fixed,
    digits: Option<Box<str>>,
    reading: Option<ParsedMoment>,
    duration: Option<i64>,
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
    /// A list of texts, as a SET is written in a rule.
    Texts(Box<[Box<str>]>),
}

impl Literal {
    /// None when the expression is no literal, or one that a comparison here would not take as the interpreter does.
    pub fn of(expr: &Expr, source: &str) -> Option<Literal> {
        if let Expr::List(list) = expr {
            let text = |item: &Expr| match item {
                Expr::Const(constant) => constant.value.as_str().map(Into::into),
                _ => None,
            };
            return Some(Literal::new(Fixed::Texts(list.items.iter().map(text).collect::<Option<_>>()?)));
        }
        let value = match expr {
            Expr::UnaryOp(node) if matches!(node.op, UnaryOpKind::Neg) => {
                operators::subtract(&Value::from(0), &constant(&node.expr, source)?).ok()?
            }
            positive => constant(positive, source)?,
        };
        Some(Literal::new(match (as_decimal(&value), value.kind()) {
            (Some(decimal), _) => Fixed::Decimal(decimal.as_str().into()),
            (_, ValueKind::None) => Fixed::Null,
            (_, ValueKind::Bool) => Fixed::Bool(value.is_true()),
            (_, ValueKind::String) => Fixed::Text(value.as_str()?.into()),
            (_, ValueKind::Number) if value.is_integer() => {
                match (u64::try_from(value.clone()), i64::try_from(value.clone())) {
                    (Ok(number), _) => Fixed::Uint(number),
                    (_, Ok(number)) => Fixed::Int(number),
                    _ => Fixed::Decimal(Decimal::parse(&value.to_string())?.as_str().into()),
                }
            }
            // A literal beyond all doubles is written out as a name, which has no value.
            (_, ValueKind::Number) => Fixed::Float(f64::try_from(value).ok().filter(|number| number.is_finite())?),
            _ => return None,
        }))
    }

    fn new(fixed: Fixed) -> Literal {
        let (reading, duration) = match &fixed {
            Fixed::Text(text) => (moment::reading(text), moment::duration(text)),
            _ => (None, None),
        };
        let mut literal = Literal { fixed, digits: None, reading, duration };
        literal.digits = literal.operand().digits().map(|digits| digits.into());
        literal
    }

    pub fn text(&self) -> Option<&str> {
        match &self.fixed {
            Fixed::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn texts(&self) -> Option<&[Box<str>]> {
        match &self.fixed {
            Fixed::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    pub fn operand(&self) -> Operand<'_> {
        let scalar = match &self.fixed {
            Fixed::Null => Scalar::Null,
            Fixed::Bool(truth) => Scalar::Bool(*truth),
            Fixed::Int(number) => Scalar::Int(*number),
            Fixed::Uint(number) => Scalar::Uint(*number),
            Fixed::Float(number) => Scalar::Float(*number),
            Fixed::Decimal(text) => Scalar::Decimal(text),
            Fixed::Text(text) => Scalar::Text(text),
            Fixed::Texts(texts) => Scalar::Labels(texts),
        };
        Operand { scalar, class: Class::Any, is_written: true, literal: Some(self) }
    }
}

/// Whether all readers take the text for the same number: no blanks, no exponent, no zeros or `+` in front.
fn is_plain_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let has_zero_in_front = unsigned.starts_with('0') && unsigned.len() > 1 && !unsigned.starts_with("0.");
    decimal::is_decimal(text) && !has_zero_in_front
}

/// The value of a literal without a sign.
fn constant(expr: &Expr, source: &str) -> Option<Value> {
    let Expr::Const(constant) = expr else { return None };
    match digits_beyond_doubles(&constant.value, constant.span(), source) {
        Some(digits) => Decimal::parse(&digits).map(Value::from_object),
        None => Some(constant.value.clone()),
    }
}

impl<'v> Operand<'v> {
    pub fn of_text(text: &'v str) -> Operand<'v> {
        Operand { scalar: Scalar::Text(text), class: Class::Any, is_written: false, literal: None }
    }

    /// None for a JSON document, which the interpreter reads.
    pub fn of_cell(cell: &'v CellValue, class: Class) -> Option<Operand<'v>> {
        let scalar = match cell {
            CellValue::Null => Scalar::Null,
            CellValue::Int(number) => Scalar::Int(*number),
            CellValue::Uint(number) => Scalar::Uint(*number),
            // As it is compared in MySQL: 0.1 in a FLOAT is 0.10000000149011612.
            CellValue::Float(number) => Scalar::Float(f64::from(*number)),
            CellValue::Double(number) => Scalar::Float(*number),
            CellValue::Decimal(text) if decimal::is_decimal(text) => Scalar::Decimal(text),
            CellValue::Decimal(text) | CellValue::Text(text) => Scalar::Text(text),
            CellValue::Bytes(bytes) => Scalar::Bytes(bytes),
            CellValue::Labels(labels) => Scalar::Labels(labels),
            CellValue::Json(_) => return None,
        };
        Some(Operand { scalar, class, is_written: false, literal: None })
    }

    pub fn of_value(value: &'v Value) -> Operand<'v> {
        if let Some(cell) = value.downcast_object_ref::<scope::TypedCell>() {
            // A document is no typed cell; what comes from no column is a literal.
            let operand =
                Operand::of_cell(&cell.value, cell.class).unwrap_or_else(|| Operand::any(Scalar::Other(value)));
            return Operand { is_written: cell.class == Class::Any, ..operand };
        }
        if let Some(decimal) = as_decimal(value) {
            return Operand::any(Scalar::Decimal(decimal.as_str()));
        }
        let scalar = match value.kind() {
            ValueKind::None => Scalar::Null,
            ValueKind::Bool => Scalar::Bool(value.is_true()),
            ValueKind::String => value.as_str().map_or(Scalar::Other(value), Scalar::Text),
            ValueKind::Number if value.is_integer() => {
                match (i64::try_from(value.clone()), u64::try_from(value.clone())) {
                    (Ok(number), _) => Scalar::Int(number),
                    (_, Ok(number)) => Scalar::Uint(number),
                    _ => Scalar::Other(value),
                }
            }
            ValueKind::Number => f64::try_from(value.clone()).map_or(Scalar::Other(value), Scalar::Float),
            _ => Scalar::Other(value),
        };
        Operand::any(scalar)
    }

    fn any(scalar: Scalar<'v>) -> Operand<'v> {
        Operand { scalar, class: Class::Any, is_written: false, literal: None }
    }

    /// The text of a literal in quotes.
    pub fn written(&self) -> Option<&'v str> {
        match self.scalar {
            Scalar::Text(text) if self.is_written => Some(text),
            _ => None,
        }
    }

    /// As it stands beside a number: a literal in quotes is read as one, as MySQL does.
    pub fn as_number(self) -> Operand<'v> {
        match self.written().filter(|text| is_plain_number(text)) {
            Some(digits) => Operand { scalar: Scalar::Decimal(digits), ..self },
            None => self,
        }
    }

    /// The value as the interpreter has it.
    pub fn value(&self) -> Value {
        match self.scalar {
            Scalar::Null => Value::from(()),
            Scalar::Bool(truth) => Value::from(truth),
            Scalar::Int(number) => Value::from(number),
            Scalar::Uint(number) => Value::from(number),
            Scalar::Float(number) => Value::from(number),
            Scalar::Decimal(text) => Decimal::parse(text).map_or_else(|| Value::from(text), Value::from_object),
            Scalar::Text(text) => Value::from(text),
            Scalar::Bytes(bytes) => Value::from_bytes(bytes.to_vec()),
            Scalar::Labels(labels) => labels.iter().map(|label| Value::from(&**label)).collect(),
            Scalar::Other(value) => value.clone(),
        }
    }

    /// The exact text of a number; none for what is no number, and for infinities.
    pub fn digits(&self) -> Option<Cow<'v, str>> {
        Some(match (self.literal.and_then(|literal| literal.digits.as_deref()), self.scalar) {
            (Some(digits), _) | (None, Scalar::Decimal(digits)) => Cow::Borrowed(digits),
            (None, Scalar::Bool(truth)) => Cow::Borrowed(if truth { "1" } else { "0" }),
            (None, Scalar::Int(number)) => Cow::Owned(number.to_string()),
            (None, Scalar::Uint(number)) => Cow::Owned(number.to_string()),
            (None, Scalar::Float(number)) => Cow::Owned(Decimal::from_f64(number)?.as_str().to_owned()),
            (None, _) => return None,
        })
    }

    /// The nearest double of a number.
    pub fn double(&self) -> Option<f64> {
        Some(match self.scalar {
            Scalar::Bool(truth) => f64::from(u8::from(truth)),
            Scalar::Int(number) => number as f64,
            Scalar::Uint(number) => number as f64,
            Scalar::Float(number) => number,
            Scalar::Decimal(text) => text.parse().ok()?,
            _ => return None,
        })
    }

    pub fn integer(&self) -> Option<i128> {
        match self.scalar {
            Scalar::Bool(truth) => Some(truth.into()),
            Scalar::Int(number) => Some(number.into()),
            Scalar::Uint(number) => Some(number.into()),
            _ => None,
        }
    }

    /// What a text beside a date column means.
    pub fn reading(&self) -> Option<ParsedMoment> {
        match (self.literal, self.scalar) {
            (Some(literal), _) => literal.reading,
            (None, Scalar::Text(text)) => moment::reading(text),
            _ => None,
        }
    }

    /// What a text beside a TIME column means, or a cell of one.
    pub fn duration(&self) -> Option<i64> {
        match (self.literal, self.scalar) {
            (Some(literal), _) => literal.duration,
            (None, Scalar::Text(text)) => moment::duration(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.scalar, Scalar::Null)
    }
}
