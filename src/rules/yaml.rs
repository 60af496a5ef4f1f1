//! YAML as a tree with the place of every node.
//!
//! In: the text of a rule file. Out: scalars, lists and maps with their places, or every reason why the file is not
//! taken: duplicate keys, anchors, aliases, tags, merge keys, more than one document, too large, too deep, too many
//! values. Scalars keep their text; the reader decides what they mean.

use std::path::Path;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

use super::diagnostic::{self, Diagnostic, FilePlace};

mod hint;
mod written;

use written::WrittenScalar;

/// A hundred times a large rule file.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;

/// Deep enough for any body, shallow enough for the stack.
const DEPTH_MAX: usize = 32;

/// Keys, values, lists and maps of one file: hundreds of rules. Duplicate keys and places are found by linear search, which
/// is quick for so many.
const NODES_MAX: usize = 20_000;

/// Longer than any line that a person reads; places are counted in characters of their line.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// A node with its place.
#[derive(Debug, Clone)]
pub struct Node {
    pub at: FilePlace,
    pub kind: NodeKind,
    /// What the file has here, where values were put into it.
    written: Option<Box<WrittenScalar>>,
}

/// What stands there.
#[derive(Debug, Clone)]
pub enum NodeKind {
    Scalar { text: String, style: ScalarStyle },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a map with its place.
#[derive(Debug, Clone)]
pub struct Key {
    pub text: String,
    pub at: FilePlace,
}

impl Node {
    /// A text that the file does not have, as if it were written there.
    pub(super) fn text(text: &str, at: FilePlace) -> Node {
        let kind = NodeKind::Scalar { text: text.to_owned(), style: ScalarStyle::DoubleQuoted };
        Node { at, kind, written: None }
    }

    /// A copy in which everything stands at this place.
    pub(super) fn at_one_place(&self, at: FilePlace) -> Node {
        let kind = match &self.kind {
            NodeKind::Scalar { text, style } => NodeKind::Scalar { text: text.clone(), style: *style },
            NodeKind::List(items) => NodeKind::List(items.iter().map(|item| item.at_one_place(at)).collect()),
            NodeKind::Map(members) => {
                let copy = |(key, node): &(Key, Node)| (Key { text: key.text.clone(), at }, node.at_one_place(at));
                NodeKind::Map(members.iter().map(copy).collect())
            }
        };
        Node { at, kind, written: None }
    }

    /// The words for a node in messages.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Scalar { .. } if self.is_null() => "nothing",
            NodeKind::Scalar { .. } => "a single value",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
        }
    }

    /// An unquoted `null` or `~`, or an empty value.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, style: ScalarStyle::Plain }
            if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    /// An unquoted scalar that is a JSON number, boolean or null stands for itself; everything else is a text.
    pub fn json_literal(&self) -> Option<&str> {
        let NodeKind::Scalar { text, style: ScalarStyle::Plain } = &self.kind else { return None };
        if self.is_null() {
            return Some("null");
        }
        match text.as_str() {
            "true" | "True" | "TRUE" => Some("true"),
            "false" | "False" | "FALSE" => Some("false"),
            _ => serde_json::from_str::<serde_json::Number>(text).is_ok().then_some(text),
        }
    }

    /// The file's place of a place within this scalar's text. Exact where the text stands in the file as it is; the
    /// beginning of the scalar where line folding or escapes come between.
    pub(super) fn place_within(&self, file: &str, line: usize, column: usize) -> FilePlace {
        let NodeKind::Scalar { text, style } = &self.kind else { return self.at };
        let (text, style, line, column) = match &self.written {
            Some(written) => written.place(text, line, column),
            None => (&**text, *style, line, column),
        };
        let lines_from = |first: usize| file.lines().skip(first - 1);
        match style {
            ScalarStyle::Literal => {
                let opener = lines_from(self.at.line).next().unwrap_or_default();
                let header = opener.chars().skip(self.at.column - 1).collect::<String>().starts_with('|');
                let first = if header { self.at.line + 1 } else { self.at.line };
                let filled = lines_from(first).find(|line| !line.trim().is_empty()).unwrap_or_default();
                let indent = filled.len() - filled.trim_start().len();
                FilePlace { line: first + line - 1, column: indent + column }
            }
            ScalarStyle::Folded => self.at,
            _ => {
                let quote = usize::from(style != ScalarStyle::Plain);
                let raw: String = lines_from(self.at.line).next().unwrap_or_default().chars().collect();
                let raw: String = raw.chars().skip(self.at.column - 1 + quote).collect();
                let before: String = text.chars().take(column - 1).collect();
                let exact = line == 1 && raw.starts_with(&before);
                if exact {
                    FilePlace { line: self.at.line, column: self.at.column + quote + column - 1 }
                } else {
                    self.at
                }
            }
        }
    }
}

/// A kind of files, in the words of messages.
#[derive(Debug, Clone, Copy)]
pub struct FileWords {
    /// One of them.
    pub one: &'static str,
    pub several: &'static str,
    /// The keys that it must have.
    pub needs: &'static str,
}

/// Files of rules and targets.
pub(super) const RULE_FILES: FileWords =
    FileWords { one: "a rule file", several: "rule files", needs: "`table` and `rules`" };

/// Reads one document. None when the text is no usable YAML; problems are added to `problems` either way.
pub fn read(path: &Path, text: &str, words: FileWords, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    if let Some(problem) = unreadable(path, text) {
        problems.push(problem);
        return None;
    }
    let options = granit_parser::options! { emit_comments: false, emit_unresolved_aliases: true };
    let events = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { path, text, words, events, problems, failed: false, nodes: 0 };
    let node = builder.document();
    let failed = builder.failed;
    if node.is_none() && !failed {
        problems.push(Diagnostic::of_file(path, format!("the file is empty; it needs {}", words.needs)));
    }
    node.filter(|_| !failed)
}

/// What is too large to be read.
fn unreadable(path: &Path, text: &str) -> Option<Diagnostic> {
    if text.len() > FILE_BYTES_MAX {
        return Some(too_large(path));
    }
    let line = text.lines().position(|line| line.len() > LINE_BYTES_MAX)? + 1;
    Some(Diagnostic::of_file(path, format!("line {line} is longer than {LINE_BYTES_MAX} bytes; break it")))
}

pub(super) fn too_large(path: &Path) -> Diagnostic {
    Diagnostic::of_file(path, format!("the file is larger than {FILE_BYTES_MAX} bytes; split it"))
}

struct Builder<'a, 'p> {
    path: &'a Path,
    text: &'a str,
    words: FileWords,
    events: Parser<'a, granit_parser::StrInput<'a>>,
    problems: &'p mut Vec<Diagnostic>,
    /// The text has no tree, or not the one that was meant.
    failed: bool,
    /// Read so far.
    nodes: usize,
}

impl<'a> Builder<'a, '_> {
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        let mut documents = 0;
        while let Some((event, span)) = self.next() {
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents == 2 {
                        let one = self.words.one;
                        let message = format!("{one} holds one document; put the other into a file of its own");
                        self.problem(place(&span), message);
                        return root;
                    }
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                event => root = self.node(event, &span, 1),
            }
        }
        root
    }

    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        match self.events.next()? {
            Ok(event) => Some(event),
            Err(error) => {
                let marker = error.marker();
                let at = FilePlace { line: marker.line().max(1), column: marker.col() + 1 };
                match hint::of(self.text, at, &error.info()) {
                    Some((place, what)) => self.problem(place, format!("not YAML: {what} ({})", error.info())),
                    None => self.problem(at, format!("not YAML: {}", error.info())),
                }
                self.failed = true;
                None
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Option<Node> {
        let at = place(span);
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            self.problem(
                at,
                match depth > DEPTH_MAX {
                    true => format!("nested more than {DEPTH_MAX} levels deep"),
                    false => format!("more than {NODES_MAX} keys and values in one file; split it"),
                },
            );
            self.failed = true;
            return None;
        }
        let (anchor, tagged) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => (*anchor, tag.is_some()),
            _ => (0, false),
        };
        if anchor != 0 {
            self.unavailable(at, "anchors (`&name`)", "write the value out, or in quotes if it begins with `&`");
        }
        if tagged {
            self.unavailable(at, "tags (`!name`)", "a value that begins with `!` stands in quotes");
        }
        let kind = match event {
            Event::Scalar(text, style, ..) => NodeKind::Scalar { text: text.into_owned(), style },
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.unavailable(at, "aliases (`*name`)", "write the value out, or in quotes if it begins with `*`");
                // Reading goes on, but what stands here is not known.
                self.failed = true;
                NodeKind::Scalar { text: String::new(), style: ScalarStyle::DoubleQuoted }
            }
            _ => return None,
        };
        Some(Node { at, kind, written: None })
    }

    fn list(&mut self, depth: usize) -> Option<NodeKind> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Some(NodeKind::List(items));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Option<NodeKind> {
        let mut members: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(NodeKind::Map(members));
            }
            let key = self.node(event, &span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            if matches!(&key.kind, NodeKind::Scalar { text, style: ScalarStyle::Plain } if text == "<<") {
                self.unavailable(key.at, "merge keys (`<<`)", "write the members out");
                continue;
            }
            let NodeKind::Scalar { text, .. } = key.kind else {
                self.problem(
                    key.at,
                    "a key is a single word, not a list or map; a template stands in quotes: \"{{ row.id }}\"",
                );
                continue;
            };
            if let Some((first, _)) = members.iter().find(|(known, _)| known.text == text) {
                let message = format!("key `{text}` is given twice; the first is in line {}", first.at.line);
                self.problem(key.at, message);
                continue;
            }
            members.push((Key { text, at: key.at }, value));
        }
    }

    fn unavailable(&mut self, at: FilePlace, what: &str, instead: &str) {
        self.problem(at, format!("{what} are not available in {}; {instead}", self.words.several));
    }

    fn problem(&mut self, at: FilePlace, message: impl Into<String>) {
        diagnostic::add(self.problems, self.path, self.text, at, message);
    }
}

fn place(span: &Span) -> FilePlace {
    FilePlace { line: span.start.line().max(1), column: span.start.col() + 1 }
}
