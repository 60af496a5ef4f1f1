//! The values that a rule file gives names to: `vars`.
//!
//! In: the tree of a file. Out: the same, with its values in the places of `vars.NAME`, so that nothing behind it knows of them: a
//! value in braces of its own is as if it were written there, and one within an expression becomes a literal of its language. Scalars keep what was written, so that messages name the right place. A name that is not given is a
//! problem at its place, and so is one that nothing uses.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_saphyr::granit_parser::ScalarStyle;

use super::diagnostic::FilePlace;
use super::reader::NodeReader;
use super::yaml::{Key, Node, NodeKind};
use crate::suggest::did_you_mean;
use crate::template::{NameRead, reads_of};

/// The key, and the name in templates.
pub(super) const VARS: &str = "vars";

/// One value; what is longer is no setting.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Keys below which the names of members are those of an API, or mean nothing here.
pub(super) const KEYS_OF_CONTENT: [&str; 7] = ["headers", "body", "form", "multipart", "line", "params", "hmac"];

/// A value of `vars`.
struct Var {
    name: Cow<'static, str>,
    at: FilePlace,
    text: Cow<'static, str>,
    style: ScalarStyle,
}

/// What stands for a value that is not given or can't be used, after that was reported.
const UNKNOWN: Var = Var {
    name: Cow::Borrowed(""),
    at: FilePlace { line: 1, column: 1 },
    text: Cow::Borrowed("unknown"),
    style: ScalarStyle::SingleQuoted,
};

impl Var {
    /// As a literal of the language of templates.
    fn literal(&self) -> String {
        let is_number = self.text.parse::<serde_json::Number>().is_ok();
        match (self.style, &*self.text) {
            (ScalarStyle::Plain, "true" | "false") => self.text.to_string(),
            (ScalarStyle::Plain, _) if is_number => self.text.to_string(),
            _ => serde_json::to_string(&self.text).expect("a string is always JSON"),
        }
    }
}

/// How a scalar is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A text, perhaps with `{{ }}`; what is put into it is as if it were written there.
    Text,
    /// The same, whose values may have to be escaped.
    Escaped,
    /// An expression without braces.
    Expression,
}

impl Meaning {
    /// Of the value of `key`, in the map below `parent`.
    fn of(key: &str, parent: &str) -> Meaning {
        match key {
            "when" => Meaning::Expression,
            "wait" if parent == "retry_on" => Meaning::Expression,
            "text" => Meaning::Escaped,
            _ => Meaning::Text,
        }
    }
}

/// Puts the values of `vars` into their places, and takes `vars` out.
pub(super) fn put_in(root: &mut Node, reader: &mut NodeReader) {
    let NodeKind::Map(members) = &mut root.kind else { return };
    let vars = members.iter().position(|(key, _)| key.text == VARS).map(|place| members.remove(place));
    let has_vars = vars.is_some();
    let vars = vars.map_or_else(Vec::new, |(_, node)| read(&node, reader));
    let mut places = Places { vars: &vars, has_vars, used: HashSet::new(), reader };
    for (key, node) in members.iter_mut() {
        places.node(node, Meaning::of(&key.text, ""), false, &key.text);
    }
    let unused: Vec<&Var> = vars.iter().filter(|var| !places.used.contains(&*var.name)).collect();
    for Var { name, at, .. } in unused {
        reader.problem(*at, format!("no rule reads `vars.{name}`; take it out, or write `{{{{ vars.{name} }}}}`"));
    }
}

fn read(node: &Node, reader: &mut NodeReader) -> Vec<Var> {
    let NodeKind::Map(members) = &node.kind else {
        reader.problem(node.at, format!("`{VARS}` must be a map from name to value, not {}", node.describe()));
        return Vec::new();
    };
    members.iter().filter_map(|(key, value)| var(key, value, reader)).collect()
}

fn var(key: &Key, value: &Node, reader: &mut NodeReader) -> Option<Var> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !key.text.chars().all(is_word) || key.text.starts_with(|c: char| c.is_ascii_digit()) || key.text.is_empty() {
        let message = format!("`{}` is no name of a value: letters, digits and `_`, with a letter first", key.text);
        reader.problem(key.at, message);
        return None;
    }
    let var = Var { name: key.text.clone().into(), at: key.at, ..UNKNOWN };
    let (Some(text), NodeKind::Scalar { style, .. }) = (reader.string(value, &key.text), &value.kind) else {
        return Some(var);
    };
    let problem = if ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
        "a value of `vars` is literal; write the template where the value is used"
    } else if text.starts_with(['{', '}']) || text.ends_with(['{', '}']) {
        "a value of `vars` doesn't begin or end with a brace, which could make a template of what stands beside it"
    } else if text.len() > VALUE_BYTES_MAX {
        "a value of `vars` has at most 4096 bytes"
    } else {
        return Some(Var { text: text.to_owned().into(), style: *style, ..var });
    };
    reader.problem(value.at, problem);
    Some(var)
}

struct Places<'v, 'r, 'a> {
    vars: &'v [Var],
    has_vars: bool,
    used: HashSet<&'v str>,
    reader: &'r mut NodeReader<'a>,
}

impl<'v> Places<'v, '_, '_> {
    /// What stands below `key`. `is_content`: the names of members are those of an API and mean nothing here.
    fn node(&mut self, node: &mut Node, meaning: Meaning, is_content: bool, key: &str) {
        match &mut node.kind {
            NodeKind::List(items) => items.iter_mut().for_each(|item| self.node(item, meaning, is_content, key)),
            NodeKind::Map(members) => {
                for (own, member) in members {
                    let meaning = if is_content { Meaning::Text } else { Meaning::of(&own.text, key) };
                    let is_content = is_content || KEYS_OF_CONTENT.contains(&own.text.as_str());
                    self.node(member, meaning, is_content, &own.text);
                }
            }
            NodeKind::Scalar { text, .. } if text.contains(VARS) => self.scalar(node, meaning),
            NodeKind::Scalar { .. } => {}
        }
    }

    fn scalar(&mut self, node: &mut Node, meaning: Meaning) {
        let NodeKind::Scalar { text, .. } = &node.kind else { return };
        let is_expression = meaning == Meaning::Expression;
        let mut puts = Vec::new();
        for read in reads_of(text, is_expression, VARS) {
            let var = self.var(&read).unwrap_or_else(|problem| {
                let at = node.place_within(self.reader.text, read.line, read.column);
                self.reader.problem(at, problem);
                &UNKNOWN
            });
            puts.push((read, var));
        }
        match &puts[..] {
            [] => {}
            [(read, var)] if read.is_all && !is_expression => node.put_whole(&var.text, var.style),
            _ => {
                let parts = puts.iter().map(|(read, var)| match &read.braces {
                    Some(braces) if meaning == Meaning::Text => (braces.clone(), var.text.to_string()),
                    _ => (read.range.clone(), var.literal()),
                });
                node.put_parts(&parts.collect::<Vec<_>>());
            }
        }
    }

    fn var(&mut self, read: &NameRead) -> Result<&'v Var, String> {
        let Some(name) = &read.member else {
            return Err("name the value after `vars`, for example `vars.shop`".to_owned());
        };
        if let Some(var) = self.vars.iter().find(|var| var.name == *name) {
            self.used.insert(&var.name);
            return Ok(var);
        }
        if !self.has_vars {
            return Err(format!("the file has no `vars`; write `vars: {{{name}: VALUE}}` beside `table`"));
        }
        let known = || self.vars.iter().map(|var| &*var.name);
        let hint = did_you_mean(name, known());
        Err(format!("`vars` has no `{name}`{hint}; known are {}", known().collect::<Vec<_>>().join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::tests::load;
    use super::super::yaml;
    use super::*;

    /// The text of a scalar behind `vars`, and where its place `column` was written.
    #[track_caller]
    fn put(vars: &str, key: &str, written: &str, column: usize) -> (String, FilePlace) {
        let text = format!("vars: {{{vars}}}\n{key}: {written}\n");
        let (path, mut problems) = (PathBuf::from("f.yaml"), Vec::new());
        let mut root = yaml::read(&path, &text, yaml::RULE_FILES, &mut problems).expect("sound YAML");
        put_in(&mut root, &mut NodeReader { path: &path, text: &text, problems: &mut problems });
        assert_eq!(problems, [], "{text}");
        let NodeKind::Map(members) = &root.kind else { panic!("no map") };
        let [(_, node)] = &members[..] else { panic!("`vars` is left: {text}") };
        let NodeKind::Scalar { text: put, style } = &node.kind else { panic!("no scalar") };
        let mark = if *style == ScalarStyle::Plain { "" } else { "'" };
        (format!("{mark}{put}{mark}"), node.place_within(&text, 1, column))
    }

    #[test]
    fn a_value_is_put_where_its_name_stands_and_places_stay_those_of_the_file() {
        for (vars, key, written, expected, column, column_written) in [
            // In braces of its own it is as if it were written there.
            ("n: 5", "in_flight", "'{{ vars.n }}'", "5", 1, 13),
            ("n: '5'", "x", "\"{{vars.n}}\"", "'5'", 1, 5),
            ("b: true", "x", "'{{ vars.b }}'", "true", 1, 5),
            ("n: 5", "timeout", "'{{ vars.n }}s'", "'5s'", 2, 23),
            ("api: http://a.b/v1", "url", "'{{ vars.api }}/{{ row.x }}'", "'http://a.b/v1/{{ row.x }}'", 18, 25),
            ("v: v1", "url", "http://a.test/{{ vars.v }}/{{ row.id }}", "http://a.test/v1/{{ row.id }}", 21, 36),
            // Within an expression it is a literal.
            ("n: 5", "x", "'{{ row.a + vars.n }} {{ row.b }}'", "'{{ row.a + 5 }} {{ row.b }}'", 20, 29),
            ("s: a\"b", "x", "'{{ row.a ~ vars.s }}'", "'{{ row.a ~ \"a\\\"b\" }}'", 1, 5),
            ("s: '5'", "text", "'-{{ vars.s }}-'", "'-{{ \"5\" }}-'", 1, 8),
            // An expression of a condition has no braces.
            ("n: 100", "when", "row.total > vars.n and row.x", "row.total > 100 and row.x", 21, 30),
            ("s: paid", "when", "row.status == vars.s", "row.status == \"paid\"", 1, 7),
            ("s: row.x", "when", "vars.s", "\"row.x\"", 1, 7),
        ] {
            let (put, at) = put(vars, key, written, column);
            assert_eq!(put, expected, "{written}");
            assert_eq!((at.line, at.column), (2, column_written), "{written}");
        }
    }

    #[test]
    fn keys_of_an_api_that_are_spelt_like_ours_mean_nothing() {
        let rule = "  - name: r\n    batch: {wait: '{{ vars.w }}', format: ndjson, line: {when: vars.w, wait: vars.w}}\n    \
                    call: {url: http://a.test/, body: {when: vars.w}}\n";
        let rules = load(&format!("table: a.b\nvars: {{w: 50ms}}\nrules:\n{rule}"))
            .unwrap_or_else(|problems| panic!("{problems}"));
        let line = format!("{:?}", rules.rules()[0].call().item_line);
        assert_eq!(line.matches("\"vars.w\"").count(), 2, "{line}");
    }

    #[test]
    fn a_text_that_is_signed_has_the_value_as_it_is() {
        let sign = "sign: {hmac: {secret: a, text: '{{ vars.v }}.{{ body }}', headers: {X-S: '{{ vars.v }}={{ signature }}'}}}";
        let text =
            format!("table: a.b\nvars: {{v: v1}}\nrules:\n  - name: r\n    call: {{url: http://a.test/, {sign}}}\n");
        load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    }

    #[test]
    fn what_only_looks_like_a_name_stays() {
        for written in [
            "\"{{ row.vars.n }}\"",
            "\"{{ 'vars.n' }}\"",
            "\"{# vars.n #}\"",
            "\"{% raw %}{{ vars.n }}{% endraw %}\"",
            "the vars.n of a text",
        ] {
            let text = format!("vars: {{n: 5}}\nx: {written}\ny: '{{{{ vars.n }}}}'\n");
            let (path, mut problems) = (Path::new("f.yaml"), Vec::new());
            let mut root = yaml::read(path, &text, yaml::RULE_FILES, &mut problems).expect("sound YAML");
            put_in(&mut root, &mut NodeReader { path, text: &text, problems: &mut problems });
            let NodeKind::Map(members) = &root.kind else { panic!("no map") };
            let NodeKind::Scalar { text: left, .. } = &members[0].1.kind else { panic!("no scalar") };
            assert_eq!(*left, written.trim_matches('"'));
        }
    }

    #[test]
    fn each_mistake_about_vars_is_named_once_at_its_place() {
        let file = |vars: &str, when: &str| {
            format!("table: a.b\n{vars}\nrules:\n  - name: r\n    when: {when}\n    call: {{url: http://a.test/}}\n")
        };
        super::super::tests::each_has_one_mistake(
            [
                (file("vars: [a]", "row.a == 1"), 2, 7, "`vars` must be a map from name to value, not a list"),
                (file("vars: {a-b: 1}", "row.a == 1"), 2, 8, "`a-b` is no name of a value"),
                (file("vars: {a: [1]}", "row.a == vars.a"), 2, 11, "`a` must be a single value, not a list"),
                (file("vars: {a: '{{ row.x }}'}", "row.a == vars.a"), 2, 11, "a value of `vars` is literal"),
                (
                    file("vars: {limit: 1}", "row.a == vars.limt and row.b == vars.limit"),
                    5,
                    20,
                    "did you mean `limit`?",
                ),
                (file("vars: {a: '{'}", "row.a == vars.a"), 2, 11, "doesn't begin or end with a brace"),
                (file("vars: {a: 1}", "row.a == 1"), 2, 8, "no rule reads `vars.a`"),
                (file("vars: {a: 1}", "vars == vars.a"), 5, 11, "name the value after `vars`"),
                (file("", "row.a == vars.a"), 5, 20, "the file has no `vars`; write `vars: {a: VALUE}` beside `table`"),
                // A mistake behind a value stands where it was written.
                (file("vars: {a: 1000000}", "row.a == vars.a and rw.b == 1"), 5, 31, "unknown name `rw`"),
            ],
            load,
        );
    }

    #[test]
    fn a_rule_with_vars_is_that_of_the_values_written_out() {
        let with = "table: a.b\nvars: {api: 'http://a.test/v1', token: t, limit: 10}\nrules:\n  - name: r\n    when: row.a > vars.limit\n    \
                    call:\n      url: '{{ vars.api }}/{{ row.id }}'\n      timeout: '{{ vars.limit }}s'\n      headers: {X: 'a {{ vars.token }}'}\n      \
                    body: {when: vars.limit, limit: '{{ vars.limit }}'}\n";
        let without = "table: a.b\nrules:\n  - name: r\n    when: row.a > 10\n    call:\n      url: 'http://a.test/v1/{{ row.id }}'\n      \
                       timeout: 10s\n      headers: {X: a t}\n      body: {when: vars.limit, limit: 10}\n";
        let described = |text: &str| {
            let rules = load(text).unwrap_or_else(|problems| panic!("{problems}"));
            let call = rules.rules()[0].call();
            (format!("{:?} {:?}", call.url.origin(), call.settings), rules.rules()[0].needs())
        };
        assert_eq!(described(with).0, described(without).0);
    }
}
