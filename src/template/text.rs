//! Strings with `{{ expression }}` in them.
//!
//! In: a string of a rule file. Out: text, or, where the string is one expression, a JSON value that keeps its type.
//! A string that only names columns never enters the engine: cells are written directly.

use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;

use super::error::{ColumnUse, Error, Flaw, SagaUse};
use super::expression::{ENGINE, Expression};
use super::null_reads::{self, NullRead};
use super::output::{TextOut, within_limit, write_cell, write_json, write_text};
use super::program::{Program, TEMPLATE, XML_ENGINE};
use super::rewrite::{self, Purpose, Rewritten};
use super::scope::{Env, RowSide, Scope, cell};
use super::secret::Secret;
use super::syntax::plain_column;
use super::xml::{self, Markup};
use super::{EnvLookup, limits, tokens};
use crate::change::json;

/// A string with `{{ expression }}` in it.
#[derive(Debug, Default)]
pub struct TextTemplate {
    pub(super) pieces: Vec<TextPiece>,
    columns: Vec<ColumnUse>,
    names: Vec<ColumnUse>,
    saga: Vec<SagaUse>,
    null_reads: Vec<NullRead>,
    old_reads: Vec<ColumnUse>,
    reads_all_columns: bool,
    kind: Kind,
}

/// What is done with values in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Plain,
    /// They are written as in `Plain`; a text that is one expression may be left out.
    Optional,
    /// As in `Optional`; of a text that is one expression, the bytes of a column are its value.
    Bytes,
    /// They are written as in `Plain`; all of the text is sent, with the line break at its end.
    Sent,
    /// As in `Sent`, and they are escaped.
    Markup,
}

/// A piece of a template.
#[derive(Debug)]
pub(super) enum TextPiece {
    Literal(Box<str>),
    /// `row.column` or `old.column` and nothing else.
    Column(RowSide, Box<str>),
    Expression(Expression),
    /// A whole template, because it has statements (`{% if %}`).
    Program(Program),
}

impl TextTemplate {
    /// Compiles a string. All flaws are reported, with their places; `omit` is one.
    pub fn compile(source: &str, env: EnvLookup) -> Result<TextTemplate, Vec<Flaw>> {
        TextTemplate::compile_with(source, Kind::Plain, env)
    }

    /// As `compile`, of what can be left out: its whole value may be `omit`.
    pub fn compile_optional(source: &str, env: EnvLookup) -> Result<TextTemplate, Vec<Flaw>> {
        TextTemplate::compile_with(source, Kind::Optional, env)
    }

    /// As `compile`, of a text that is sent as it is: the line break at its end, too.
    pub fn compile_sent(source: &str, env: EnvLookup) -> Result<TextTemplate, Vec<Flaw>> {
        TextTemplate::compile_with(source, Kind::Sent, env)
    }

    /// As `compile_optional`, of what takes bytes: they are the value of a text that is one expression, those of a longer text are base64.
    pub fn compile_bytes(source: &str, env: EnvLookup) -> Result<TextTemplate, Vec<Flaw>> {
        TextTemplate::compile_with(source, Kind::Bytes, env)
    }

    /// Compiles an XML or HTML text: values are escaped, but for those behind `| safe`, and may only stand where they can be.
    pub fn compile_markup(source: &str, markup: Markup, env: EnvLookup) -> Result<TextTemplate, Vec<Flaw>> {
        xml::check_places(source, markup)?;
        TextTemplate::compile_with(source, Kind::Markup, env)
    }

    /// Compiles an expression without braces around it.
    pub fn compile_expression(source: &str, env: EnvLookup) -> Result<TextTemplate, Vec<Flaw>> {
        const OPEN: &str = "{{ ";
        let moved = |line: usize, column: &mut usize| {
            *column -= if line == 1 { OPEN.len().min(*column - 1) } else { 0 };
        };
        let compiled = TextTemplate::compile(&format!("{OPEN}{source} }}}}"), env);
        let mut template = compiled.map_err(|mut flaws| {
            flaws.iter_mut().for_each(|flaw| moved(flaw.line, &mut flaw.column));
            flaws
        })?;
        template.columns.iter_mut().chain(&mut template.names).for_each(|used| moved(used.line, &mut used.column));
        template.saga.iter_mut().for_each(|used| moved(used.line, &mut used.column));
        template.null_reads.iter_mut().for_each(|read| moved(read.used.line, &mut read.used.column));
        Ok(template)
    }

    fn compile_with(source: &str, kind: Kind, env: EnvLookup) -> Result<TextTemplate, Vec<Flaw>> {
        if !["{{", "{%", "{#"].iter().any(|mark| source.contains(mark)) {
            let pieces = vec![TextPiece::Literal(source.into())];
            return Ok(TextTemplate { pieces, ..TextTemplate::default() });
        }
        limits::check_template(source)?;
        let tree = tokens::all_read(parse(source, TEMPLATE, SyntaxConfig::default()), source, false)?;
        let Stmt::Template(template) = &tree else { return Ok(TextTemplate::default()) };
        let (mut flaws, mut reads) = (Vec::new(), Reads::default());
        let simple = template.children.iter().all(|child| matches!(child, Stmt::EmitRaw(_) | Stmt::EmitExpr(_)));
        let mut pieces: Vec<TextPiece> = if simple {
            let purpose = match kind {
                Kind::Optional if template.children.len() == 1 => Purpose::Sent,
                Kind::Bytes if template.children.len() == 1 => Purpose::SentBytes,
                _ => Purpose::Operand,
            };
            let mut piece = |child: &Stmt| match child {
                Stmt::EmitRaw(raw) => Some(TextPiece::Literal(raw.raw.into())),
                Stmt::EmitExpr(emit) => {
                    let mut rewritten = rewrite::expression(&emit.expr, source, purpose);
                    reads.add(&mut rewritten);
                    emitted(&emit.expr, rewritten, source, env, &mut flaws)
                }
                _ => None,
            };
            template.children.iter().filter_map(&mut piece).collect()
        } else {
            let mut rewritten = rewrite::template(&template.children, source, kind == Kind::Markup);
            reads.add(&mut rewritten);
            let engine = if kind == Kind::Markup { &XML_ENGINE } else { &ENGINE };
            Program::new(rewritten, source, engine, env, &mut flaws).map(TextPiece::Program).into_iter().collect()
        };
        let sends_end = match kind {
            Kind::Sent | Kind::Markup => true,
            Kind::Bytes => template.children.len() > 1,
            Kind::Plain | Kind::Optional => false,
        };
        if let Some(end) = line_break_at_end(source).filter(|_| sends_end) {
            // The engine's parser leaves it out.
            pieces.push(TextPiece::Literal(end.into()));
        }
        let Reads { columns, names, saga, all: reads_all_columns } = reads;
        let null_reads = null_reads::of_template(&template.children);
        let old_reads = null_reads::old_reads_of_template(&template.children);
        let template = TextTemplate { pieces, columns, names, saga, null_reads, old_reads, reads_all_columns, kind };
        if flaws.is_empty() { Ok(template) } else { Err(flaws) }
    }

    /// Renders as text. NULL, a missing column and an undefined name are errors; so is more than `TEXT_BYTES_MAX`.
    pub fn render(&self, scope: &Scope) -> Result<String, Error> {
        let mut out = String::new();
        self.write(scope, &mut out)?;
        Ok(out)
    }

    /// As `render`, appended to a buffer; what stands there before does not count. An error leaves a part of it there.
    pub fn append(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<(), Error> {
        self.write(scope, out)
    }

    pub(super) fn write(&self, scope: &Scope, out: &mut impl TextOut) -> Result<(), Error> {
        let begin = out.len();
        for piece in &self.pieces {
            match self.kind {
                Kind::Markup => piece.write_xml(scope, out)?,
                Kind::Plain | Kind::Optional | Kind::Bytes | Kind::Sent => piece.write(scope, out)?,
            }
            within_limit(out.len() - begin)?;
        }
        Ok(())
    }

    /// Renders as JSON: a string that is one expression keeps the expression's type, any other is a JSON string.
    pub fn render_json(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<(), Error> {
        let begin = out.len();
        match &self.pieces[..] {
            [TextPiece::Column(side, column)] => json::write_value(&cell(scope.change(), *side, column)?, out),
            [TextPiece::Expression(expression)] => {
                let value = expression.evaluate(scope)?;
                write_json(&value, out).map_err(|error| expression.naming(error, scope))?;
            }
            [TextPiece::Literal(text)] => json::write_str(text, out),
            _ => json::write_str(&self.render(scope)?, out),
        }
        within_limit(out.len() - begin)
    }

    /// The text, where nothing in it depends on the row.
    pub fn literal(&self) -> Option<&str> {
        match &self.pieces[..] {
            [] => Some(""),
            [TextPiece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The line break that ends all it renders; empty where it has none of its own.
    pub fn line_end(&self) -> &str {
        match self.pieces.last() {
            Some(TextPiece::Literal(text)) => line_break_at_end(text).unwrap_or_default(),
            _ => "",
        }
    }

    /// Whether a secret from the environment is part of what it renders.
    pub fn uses_env(&self) -> bool {
        self.secrets().next().is_some()
    }

    /// The secrets from the environment that are part of what it renders.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let env = self.pieces.iter().filter_map(TextPiece::env);
        env.flat_map(|env| env.values())
    }

    /// The columns it reads, in the order of the text.
    pub fn columns(&self) -> &[ColumnUse] {
        &self.columns
    }

    /// The names it reads whose values differ from delivery to delivery, in the order of the text.
    pub fn names_read(&self) -> &[ColumnUse] {
        &self.names
    }

    /// What it reads of a saga, in the order of the text.
    pub fn saga_reads(&self) -> &[SagaUse] {
        &self.saga
    }

    /// The columns by whose NULL it can't be rendered as a text, whatever else the row holds.
    pub fn null_reads(&self) -> &[NullRead] {
        &self.null_reads
    }

    /// The columns of the old row that it reads whatever the row holds, so that it can't be rendered where there is none.
    pub fn old_reads(&self) -> &[ColumnUse] {
        &self.old_reads
    }

    /// Whether it is one expression, whose type `render_json` keeps.
    pub fn is_one_value(&self) -> bool {
        matches!(&self.pieces[..], [TextPiece::Column(..) | TextPiece::Expression(_)])
    }

    /// Whether its whole value may be `omit`.
    pub fn may_be_omitted(&self) -> bool {
        [Kind::Optional, Kind::Bytes].contains(&self.kind) && self.is_one_value()
    }

    /// Whether what it renders may depend on this column.
    pub fn reads(&self, column: &str) -> bool {
        self.reads_all_columns || self.columns.iter().any(|used| used.name == column)
    }
}

fn line_break_at_end(source: &str) -> Option<&str> {
    let before = source.strip_suffix('\n')?;
    source.get(before.strip_suffix('\r').unwrap_or(before).len()..)
}

/// What the expressions of a template read.
#[derive(Default)]
struct Reads {
    columns: Vec<ColumnUse>,
    names: Vec<ColumnUse>,
    saga: Vec<SagaUse>,
    all: bool,
}

impl Reads {
    fn add(&mut self, rewritten: &mut Rewritten) {
        self.columns.append(&mut rewritten.columns);
        self.names.append(&mut rewritten.names);
        self.saga.append(&mut rewritten.saga);
        self.all |= rewritten.reads_all_columns;
    }
}

impl TextPiece {
    fn env(&self) -> Option<&Env> {
        match self {
            TextPiece::Expression(expression) => Some(expression.env()),
            TextPiece::Program(program) => Some(program.env()),
            TextPiece::Literal(_) | TextPiece::Column(..) => None,
        }
    }

    pub(super) fn write(&self, scope: &Scope, out: &mut impl TextOut) -> Result<(), Error> {
        match self {
            TextPiece::Literal(text) => out.put(text),
            TextPiece::Column(side, column) => write_cell(&cell(scope.change(), *side, column)?, out),
            TextPiece::Expression(expression) => {
                write_text(&expression.evaluate(scope)?, out).map_err(|error| expression.naming(error, scope))
            }
            TextPiece::Program(program) => program.write(scope, out),
        }
    }

    fn write_xml(&self, scope: &Scope, out: &mut impl TextOut) -> Result<(), Error> {
        match self {
            TextPiece::Literal(_) | TextPiece::Program(_) => self.write(scope, out),
            TextPiece::Column(..) => self.write(scope, &mut xml::Escaped(out)),
            TextPiece::Expression(expression) => {
                xml::write(&expression.evaluate(scope)?, out).map_err(|error| expression.naming(error, scope))
            }
        }
    }
}

fn emitted(
    expr: &Expr,
    rewritten: Rewritten,
    source: &str,
    env: EnvLookup,
    flaws: &mut Vec<Flaw>,
) -> Option<TextPiece> {
    match plain_column(expr) {
        Some((name, column)) => {
            let side = if name == "old" { RowSide::Old } else { RowSide::Row };
            Some(TextPiece::Column(side, column.into()))
        }
        None => {
            let span = expr.span();
            let own = source.get(span.start_offset as usize..span.end_offset as usize).unwrap_or(source);
            Expression::new(rewritten, own, env, flaws).map(TextPiece::Expression)
        }
    }
}
