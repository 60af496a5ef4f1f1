//! From what a file says to rules that can run.
//!
//! In: specs with their templates as nodes. Out: `Rule`s; or the flaws of their templates, each at its place in the
//! file. What compiles can only fail on data.

mod actions;
mod auth;
mod null_places;
mod outside;
mod proxy;
mod sign;
mod tls;
mod wrap;

pub(super) use self::outside::{IfNoSecret, Variables};

use self::actions::{KnownStep, TemplatePart};
use self::null_places::{HeldForm, Holder};
use self::outside::Outside;
use super::actions::Action;
use super::auth::Auth;
use super::call::{Body, Call};
use super::content::{Content, OpenedFile};
use super::defaults::{Defaults, ParsedFile};
use super::diagnostic::{Diagnostic, FilePlace};
use super::reader::NodeReader;
use super::rule::{Instead, NullPlace, OrderBy, Rule};
use super::settings::Egress;
use super::spec::{
    BodySpec, CallSpec, FileSpec, HeaderSpec, PartContentSpec, PartSpec, RuleSpec, TablesSpec, TargetSpec,
};
use super::target::Target;
use super::vars;
use super::yaml::{Key, Node, NodeKind};
use crate::pattern::TablePatterns;
use crate::template::{
    AllowedHosts, BodyTemplate, ColumnUse, Condition, EnvLookup, Flaw, FormLists, FormTemplate, MultipartTemplate,
    PartContent, PartTemplate, TextTemplate, UrlTemplate,
};

type CompileText = fn(&str, EnvLookup) -> Result<TextTemplate, Vec<Flaw>>;

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

struct Compiler<'a> {
    reader: NodeReader<'a>,
    outside: Outside<'a>,
    /// The columns that the rule at hand names, with places in the file.
    columns: Vec<ColumnUse>,
    /// Where it can do nothing with a NULL.
    nulls: Vec<NullPlace>,
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

    /// `default_body` is what is sent where the rule doesn't say.
    fn call(&mut self, spec: &CallSpec, default_body: Body, rule: &str) -> Option<Call> {
        let url = self.url(spec);
        let mut headers = Vec::new();
        let mut complete = true;
        for HeaderSpec { name, at, value } in &spec.headers {
            match self.header(name, value, *at) {
                Some(template) => headers.push((name.clone(), template)),
                None => complete = false,
            }
        }
        let body = match &spec.body {
            // A change may send only the line before it.
            BodySpec::Json(node) if spec.item_line.is_some() => {
                self.content(node, TextTemplate::compile_optional, Holder::BODY).map(Body::Template)
            }
            BodySpec::Json(node) => self.body(node, Holder::BODY).map(Body::Template),
            BodySpec::Form(node, lists) => self.form(node, *lists).map(Body::Form),
            BodySpec::Multipart(parts) => self.multipart(parts).map(Body::Multipart),
            BodySpec::Text { template, markup: None } => {
                self.text_by(template, TextTemplate::compile_sent, Holder::TEXT).map(Body::Text)
            }
            BodySpec::Text { template, markup: Some(markup) } => {
                let compile = |source: &str, env: EnvLookup| TextTemplate::compile_markup(source, *markup, env);
                self.text_by(template, compile, Holder::TEXT).map(Body::Text)
            }
            BodySpec::Format(format) => Some(format()),
            BodySpec::Default if spec.settings.method.is_bodiless() => Some(Body::Empty),
            BodySpec::Default => Some(default_body),
        };
        let auth = self.secretly(spec.auth, Self::auth);
        if let Some(Some(Auth::Query(key))) = &auth {
            self.refuse_key_twice(key, spec.url);
        }
        let sign = self.secretly(spec.sign, Self::sign);
        let tls = self.tls(spec.tls, spec.insecure_tls);
        if let (Some(url), Some(auth), Some(Some(_)), Some(node)) = (&url, &auth, &tls, spec.tls.or(spec.insecure_tls))
        {
            self.without_tls(url, auth.as_ref(), node);
        }
        let part = std::mem::replace(&mut self.part, TemplatePart::Answer);
        let success_when = match spec.success_when {
            Some(node) => self.condition(node, rule).map(Some),
            None => Some(None),
        };
        self.part = part;
        let url = url?;
        let mut settings = spec.settings.clone();
        if url.chooses_host() {
            settings.egress = Egress::PublicOnly;
        }
        let item_line = match spec.item_line {
            Some(node) => Some(self.body(node, Holder::LINE)?),
            None => None,
        };
        let array_wrap = match spec.array_wrap {
            Some(node) => Some(self.array_wrap(node)?),
            None => None,
        };
        let (body, auth, sign, tls, success_when) = (body?, auth?, sign?, tls?, success_when?);
        let url_at = spec.url.at;
        let call = Call { url, url_at, headers, body, item_line, array_wrap, auth, sign, tls, success_when, settings };
        complete.then_some(call)
    }

    /// One request stands for many rows, so that only its body may tell them apart.
    fn refuse_reading_rows(&mut self, written: &CallSpec, call: &Call, key: &str, tables: &TablePatterns) {
        let headers = written.headers.iter().zip(&call.headers);
        let headers = headers.map(|(written, (name, template))| {
            (format!("header `{name}`"), written.value, template.names_read().to_vec())
        });
        let url = ("the URL".to_string(), written.url, call.url.names_read().to_vec());
        let wrap = written.array_wrap.map_or(Vec::new(), |node| self.reads_of_wrap(node));
        let wrap = wrap.into_iter().map(|(node, names)| ("`wrap`".to_string(), node, names));
        for (what, node, names) in std::iter::once(url).chain(headers).chain(wrap) {
            for read in names {
                if ["schema", "table"].contains(&read.name.as_str()) && tables.name_one_table() {
                    continue;
                }
                let at = node.place_within(self.reader.text, read.line, read.column);
                let message = format!(
                    "{what} reads `{}`, but with `{}` one request stands for many rows; move it into `body`",
                    read.name, key
                );
                self.reader.problem(at, message);
            }
        }
    }

    fn url(&mut self, spec: &CallSpec) -> Option<UrlTemplate> {
        let node = spec.url;
        let source = self.reader.string(node, "url")?;
        let env: EnvLookup = &|name| self.outside.variable(name);
        let url = match &spec.allow_hosts {
            None => UrlTemplate::compile(source, env),
            Some((patterns, at)) => {
                let place = at.within(self.reader.path);
                UrlTemplate::compile_allowing(source, AllowedHosts::new(patterns.clone(), place), env)
            }
        };
        let url = self.flaws(node, url)?;
        self.reads_saga(node, url.saga_reads())?;
        self.uses(node, url.columns());
        self.nulls_of(node, url.null_reads(), "`url`", Instead::Filled);
        Some(url)
    }

    fn header(&mut self, name: &str, node: &Node, at: FilePlace) -> Option<TextTemplate> {
        let name = format!("header `{name}`");
        let holder = Holder { name: &name, form: HeldForm::Text };
        let template = self.text_by(node, TextTemplate::compile_optional, holder)?;
        if template.literal().is_some_and(|text| text.chars().any(char::is_control)) {
            self.reader.problem(at, "a header's value can't hold line breaks or control characters");
            return None;
        }
        Some(template)
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

    fn form(&mut self, node: &Node, lists: FormLists) -> Option<FormTemplate> {
        match self.body(node, Holder::FORM)? {
            BodyTemplate::Object(members) => Some(FormTemplate::new(members, lists)),
            // A problem is reported already.
            _ => None,
        }
    }

    fn multipart(&mut self, parts: &[PartSpec]) -> Option<MultipartTemplate> {
        // All of them first: each may have flaws to report.
        let parts: Vec<Option<PartTemplate>> = parts.iter().map(|part| self.part(part)).collect();
        Some(MultipartTemplate { parts: parts.into_iter().collect::<Option<_>>()? })
    }

    fn part(&mut self, spec: &PartSpec) -> Option<PartTemplate> {
        let filename = spec.filename.map(|node| self.text_by(node, TextTemplate::compile, Holder::FILENAME));
        let content = match spec.content {
            PartContentSpec::Json(node) => {
                self.content(node, TextTemplate::compile_optional, Holder::PART_JSON).map(PartContent::Json)
            }
            PartContentSpec::Value(node) => match self.content(node, TextTemplate::compile_bytes, Holder::PART) {
                Some(BodyTemplate::Literal(text)) => Some(PartContent::Literal(text)),
                Some(BodyTemplate::Text(text)) => Some(PartContent::Value(text)),
                // It is a scalar; a problem is reported already.
                _ => None,
            },
        };
        let filename = match filename {
            Some(filename) => Some(filename?),
            None => None,
        };
        Some(PartTemplate::new(spec.name, filename, spec.content_type, content?))
    }

    fn body(&mut self, node: &Node, holder: Holder) -> Option<BodyTemplate> {
        self.content(node, TextTemplate::compile, holder)
    }

    /// A body, or a part of one, which can be left out.
    fn content(&mut self, node: &Node, compile: CompileText, holder: Holder) -> Option<BodyTemplate> {
        match &node.kind {
            NodeKind::Scalar { .. } => match node.json_literal() {
                Some(literal) => Some(BodyTemplate::Literal(literal.into())),
                None => self.text_by(node, compile, holder).map(BodyTemplate::Text),
            },
            NodeKind::List(items) => {
                // All of them first: each may have flaws to report.
                let items: Vec<Option<BodyTemplate>> =
                    items.iter().map(|item| self.content(item, TextTemplate::compile_optional, holder)).collect();
                items.into_iter().collect::<Option<_>>().map(BodyTemplate::List)
            }
            NodeKind::Map(members) => {
                let members: Vec<Option<(Box<str>, BodyTemplate)>> = members
                    .iter()
                    .map(|(key, member)| {
                        let name = self.literal_key(key);
                        Some((name, self.content(member, TextTemplate::compile_optional, holder)?))
                    })
                    .collect();
                members.into_iter().collect::<Option<_>>().map(BodyTemplate::Object)
            }
        }
    }

    fn literal_key(&mut self, key: &Key) -> Box<str> {
        if key.text.contains("{{") || key.text.contains("{%") {
            self.reader.problem(key.at, "a key of a body is literal; a template can only be a value");
        }
        key.text.as_str().into()
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
