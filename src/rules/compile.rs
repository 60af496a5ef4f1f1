//! From what a file says to rules that can run.
//!
//! In: specs with their templates as nodes. Out: `Rule`s; or the flaws of their templates, each at its place in the
//! file. What compiles can only fail on data.

mod actions;
mod auth;
mod body;
mod call;
mod null_places;
mod outside;
mod proxy;
mod sign;
mod tls;
mod wrap;

pub(super) use self::outside::{IfNoSecret, Variables};

use self::actions::{KnownStep, TemplatePart};
use self::null_places::Holder;
use self::outside::Outside;
use super::actions::Action;
use super::content::{Content, OpenedFile};
use super::defaults::{Defaults, ParsedFile};
use super::diagnostic::{Diagnostic, FilePlace};
use super::reader::NodeReader;
use super::rule::{NullPlace, OldPlace, OrderBy, Rule};
use super::spec::{FileSpec, RuleSpec, TablesSpec, TargetSpec};
use super::target::Target;
use super::vars;
use super::yaml::{Node, NodeKind};
use crate::alert::ALERTS_TABLE;
use crate::change::Op;
use crate::pattern::{TablePattern, TablePatterns};
use crate::template::{ColumnUse, Condition, EnvLookup, Flaw, TextTemplate};

/// A rule and where it begins.
pub(super) type Placed = (Rule, FilePlace);

/// What a file holds: rules, or what is set for targets.
#[derive(Default)]
pub(super) struct Contents {
    pub rules: Vec<Placed>,
    pub targets: Vec<(Target, FilePlace)>,
    /// The files that were opened for targets; a rule has its own list.
    pub opened: Vec<OpenedFile>,
    /// Where the first `sql` stands.
    pub first_sql: Option<FilePlace>,
}

/// Reads and compiles one file. What has problems is left out; the problems are added to `problems`.
pub(super) fn file(
    file: &mut ParsedFile,
    defaults: &Defaults,
    outside: (Variables, IfNoSecret),
    problems: &mut Vec<Diagnostic>,
) -> Contents {
    let is_of_targets = file.is_of_targets();
    let mut reader = NodeReader { path: file.path, text: file.text, problems };
    if is_of_targets {
        return targets(&file.root, reader, outside);
    }
    vars::put_in(&mut file.root, &mut reader);
    defaults.add_to(&mut file.root);
    let contents = rules(&file.root, reader, outside);
    defaults.explain(file, problems);
    contents
}

fn targets(root: &Node, mut reader: NodeReader, outside: (Variables, IfNoSecret)) -> Contents {
    let before = reader.problems.len();
    let specs = reader.targets(root);
    let mut compiler = Compiler::new(reader, outside);
    let targets = specs.into_iter().filter_map(|spec| compiler.target(spec)).collect();
    // A password may stand beside what is wrong, in a key that is misspelt.
    let with_login = compiler.reader.problems[before..].iter_mut().filter(|problem| problem.line_text.contains('@'));
    with_login.for_each(|problem| problem.line_text.clear());
    Contents { targets, opened: compiler.outside.take_opened(), ..Contents::default() }
}

fn rules(root: &Node, mut reader: NodeReader, outside: (Variables, IfNoSecret)) -> Contents {
    let Some(FileSpec { tables, rules }) = reader.file(root) else { return Contents::default() };
    let mut compiler = Compiler::new(reader, outside);
    let rules = rules.into_iter().filter_map(|spec| compiler.rule(spec, &tables)).collect();
    Contents { rules, first_sql: compiler.first_sql, ..Contents::default() }
}

/// Compiles an alert of the settings file, which is a rule for the table of alerts.
pub(super) fn alert(node: &Node, mut reader: NodeReader, outside: (Variables, IfNoSecret)) -> Option<Rule> {
    let spec = reader.rule(node)?;
    let pattern = TablePattern::parse(&ALERTS_TABLE.to_string()).expect("the name of a table");
    let tables = TablesSpec { patterns: TablePatterns(vec![pattern]), places: vec![node.at], node };
    Compiler::new(reader, outside).rule(spec, &tables).map(|(rule, _)| rule)
}

struct Compiler<'a> {
    reader: NodeReader<'a>,
    outside: Outside<'a>,
    /// The columns that the rule at hand names, with places in the file.
    columns: Vec<ColumnUse>,
    /// Where it can do nothing with a NULL.
    nulls: Vec<NullPlace>,
    old_rows: Vec<OldPlace>,
    /// The ops of the changes that the action at hand is for.
    ops: Vec<Op>,
    /// Of its saga; none where it has none.
    steps: Vec<KnownStep>,
    part: TemplatePart,
    first_sql: Option<FilePlace>,
}

impl<'a> Compiler<'a> {
    fn new(reader: NodeReader<'a>, (variables, if_no_secret): (Variables<'a>, IfNoSecret)) -> Compiler<'a> {
        Compiler {
            reader,
            outside: Outside::new(variables, if_no_secret),
            columns: Vec::new(),
            nulls: Vec::new(),
            old_rows: Vec::new(),
            ops: Vec::new(),
            steps: Vec::new(),
            part: TemplatePart::Decision,
            first_sql: None,
        }
    }
}

impl Compiler<'_> {
    fn target(&mut self, TargetSpec { mut target, at, proxy }: TargetSpec) -> Option<(Target, FilePlace)> {
        if let Some(proxy) = self.secretly(proxy, Self::proxy)? {
            target.proxy = proxy;
        }
        Some((target, at))
    }

    fn rule(&mut self, spec: RuleSpec, tables: &TablesSpec) -> Option<Placed> {
        self.columns.clear();
        self.nulls.clear();
        self.old_rows.clear();
        self.ops.clone_from(&spec.on);
        self.outside.take_opened();
        self.columns.extend(spec.changed.iter().map(|(name, at)| used(name, *at)));
        if let OrderBy::Columns(names) = &spec.order_by {
            self.columns.extend(names.iter().zip(&spec.order_by_places).map(|(name, at)| used(name, *at)));
        }
        self.part = TemplatePart::Decision;
        let when = match spec.when {
            Some(node) => self.condition(node, &spec.name).map(Some),
            None => Some(None),
        };
        let (actions, saga) = self.actions(&spec.actions, &spec.name)?;
        if spec.gathering.batch.is_some()
            && let (Some(written), Some(call)) = (spec.actions.call(), actions.first().and_then(Action::call))
        {
            self.refuse_reading_rows(written, call, spec.gathering.key, &tables.patterns);
        }
        let rule = Rule {
            name: spec.name,
            path: self.reader.path.to_path_buf(),
            tables: tables.patterns.clone(),
            tables_at: tables.places.clone(),
            at: spec.node.at,
            content: Content::new(&[tables.node, spec.node], self.outside.take_opened()),
            on: spec.on,
            changed: spec.changed.into_iter().map(|(name, _)| name).collect(),
            when: when?,
            order_by: spec.order_by,
            order_by_at: spec.order_by_places,
            actions,
            by_op: spec.actions.by_op,
            saga,
            settings: spec.settings,
            batch: spec.gathering.batch,
            coalesce: spec.gathering.coalesce,
            redact: spec.redact.iter().map(|(name, at)| used(name, *at)).collect(),
            columns: std::mem::take(&mut self.columns),
            nulls: std::mem::take(&mut self.nulls),
            old_rows: std::mem::take(&mut self.old_rows),
        };
        Some((rule, spec.node.at))
    }

    fn condition(&mut self, node: &Node, rule: &str) -> Option<Condition> {
        let source = self.reader.string(node, "when")?;
        let condition = Condition::compile(source, rule, &|name| self.outside.variable(name));
        let condition = self.flaws(node, condition)?;
        self.reads_saga(node, condition.saga_reads())?;
        self.uses(node, condition.columns());
        let text = self.reader.text;
        Some(condition.placed(|line, column| {
            let FilePlace { line, column } = node.place_within(text, line, column);
            (line, column)
        }))
    }

    fn text_by(
        &mut self,
        node: &Node,
        compile: impl FnOnce(&str, EnvLookup) -> Result<TextTemplate, Vec<Flaw>>,
        holder: Holder,
    ) -> Option<TextTemplate> {
        let NodeKind::Scalar { text, .. } = &node.kind else { return None };
        let template = compile(text, &|name| self.outside.variable(name));
        let template = self.flaws(node, template)?;
        self.reads_saga(node, template.saga_reads())?;
        self.uses(node, template.columns());
        self.nulls_of_text(node, &template, holder);
        Some(template)
    }

    /// Reports a template's flaws at their places in the file.
    fn flaws<T>(&mut self, node: &Node, compiled: Result<T, Vec<Flaw>>) -> Option<T> {
        match compiled {
            Ok(template) => Some(template),
            Err(flaws) => {
                for flaw in flaws {
                    let at = node.place_within(self.reader.text, flaw.line, flaw.column);
                    self.reader.problem(at, flaw.message);
                }
                None
            }
        }
    }

    fn uses(&mut self, node: &Node, columns: &[ColumnUse]) {
        let text = self.reader.text;
        let placed = columns.iter().map(|column| ColumnUse {
            may_lack: column.may_lack,
            ..used(&column.name, node.place_within(text, column.line, column.column))
        });
        self.columns.extend(placed);
    }
}

fn used(name: &str, at: FilePlace) -> ColumnUse {
    ColumnUse { name: name.to_string(), line: at.line, column: at.column, may_lack: false }
}
