//! What differs between two loads of the rule files, rule by rule.
//!
//! In: the texts of rule files, when they are compiled. Out: names of rules that came, changed, went or stayed. A rule has
//! changed when what it says has, or what a file holds that it names, by its path or by an environment variable (`NAME_FILE` for
//! `env.NAME`): not when it moved to another line or file, or when a comment beside it did.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::look;
use super::matching::RuleSet;
use super::reader::member;
use super::yaml::{self, Node, NodeKind};
use crate::template::EnvLookup;

/// Names of rules, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    pub unchanged: Vec<String>,
}

impl RuleSet {
    /// What came of the rules `before` in these.
    pub fn difference(&self, before: &RuleSet) -> Difference {
        let mut difference = Difference::default();
        for name in self.rules().iter().map(|rule| &rule.name) {
            let list = match before.rule(name) {
                None => &mut difference.added,
                Some(_) if before.digest(name) == self.digest(name) => &mut difference.unchanged,
                Some(_) => &mut difference.changed,
            };
            list.push(name.clone());
        }
        let gone = before.rules().iter().filter(|rule| self.rule(&rule.name).is_none());
        difference.removed.extend(gone.map(|rule| rule.name.clone()));
        difference
    }
}

/// What rules say, in few words.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// By the rule's name.
    pub by_rule: HashMap<String, u64>,
    /// The files beside the rules that hold what they need: what environment variables stand for, secrets, certificates.
    pub files: Vec<PathBuf>,
}

/// What each rule of these files says, with what the files hold that its variables lead to.
pub(super) fn digests(files: &[(PathBuf, String)], env: EnvLookup) -> Digests {
    let mut digester = Digester { env, digests: Digests::default() };
    files.iter().for_each(|(path, text)| digester.file(path, text));
    digester.digests
}

struct Digester<'a> {
    env: EnvLookup<'a>,
    digests: Digests,
}

impl Digester<'_> {
    fn file(&mut self, path: &Path, text: &str) {
        let Some(Node { kind: NodeKind::Map(members), .. }) = yaml::read(path, text, &mut Vec::new()) else { return };
        let mut of_all = DefaultHasher::new();
        let mut rules = &Vec::new();
        for (key, node) in &members {
            match &node.kind {
                NodeKind::List(items) if key.text == "rules" => rules = items,
                _ => {
                    key.text.hash(&mut of_all);
                    self.add(node, &mut of_all);
                }
            }
        }
        for rule in rules {
            let Some(name) = name(rule) else { continue };
            let mut hasher = of_all.clone();
            self.add(rule, &mut hasher);
            self.add_files_of_calls(path, rule, &mut hasher);
            self.digests.by_rule.insert(name, hasher.finish());
        }
    }

    /// Adds everything but the places.
    fn add(&mut self, node: &Node, hasher: &mut DefaultHasher) {
        std::mem::discriminant(&node.kind).hash(hasher);
        match &node.kind {
            NodeKind::Scalar { text, style } => {
                text.hash(hasher);
                // `1` is a number and `"1"` a string.
                std::mem::discriminant(style).hash(hasher);
                env_names(text).for_each(|name| self.add_file_of(name, hasher));
            }
            NodeKind::List(items) => {
                items.len().hash(hasher);
                items.iter().for_each(|item| self.add(item, hasher));
            }
            NodeKind::Map(members) => {
                members.len().hash(hasher);
                for (key, member) in members {
                    key.text.hash(hasher);
                    self.add(member, hasher);
                }
            }
        }
    }

    /// What the calls of a rule name by their places: those of steps and whatever else has one, too.
    fn add_files_of_calls(&mut self, rule_file: &Path, node: &Node, hasher: &mut DefaultHasher) {
        match &node.kind {
            NodeKind::Scalar { .. } => {}
            NodeKind::List(items) => items.iter().for_each(|item| self.add_files_of_calls(rule_file, item, hasher)),
            NodeKind::Map(members) => {
                for (key, member) in members {
                    match key.text.as_str() {
                        "call" => self.add_files_of_call(rule_file, member, hasher),
                        _ => self.add_files_of_calls(rule_file, member, hasher),
                    }
                }
            }
        }
    }

    /// Secrets in `auth` and `sign`, PEM files in `tls`; and what a query about it names.
    fn add_files_of_call(&mut self, rule_file: &Path, call: &Node, hasher: &mut DefaultHasher) {
        let folder = rule_file.parent().unwrap_or(Path::new(""));
        if let Some(verify) = part(call, "verify") {
            self.add_files_of_calls(rule_file, verify, hasher);
        }
        for node in ["auth", "sign"].into_iter().filter_map(|key| part(call, key)) {
            self.add_secrets(folder, node, hasher);
        }
        if let Some(Node { kind: NodeKind::Map(members), .. }) = part(call, "tls") {
            for (_, node) in members {
                if let NodeKind::Scalar { text, .. } = &node.kind {
                    self.add_file(folder.join(text), hasher);
                }
            }
        }
    }

    /// `{file: PATH}` and `{env: NAME}`, wherever they stand.
    fn add_secrets(&mut self, folder: &Path, node: &Node, hasher: &mut DefaultHasher) {
        match &node.kind {
            NodeKind::Scalar { .. } => {}
            NodeKind::List(items) => items.iter().for_each(|item| self.add_secrets(folder, item, hasher)),
            NodeKind::Map(members) => {
                for (key, member) in members {
                    match (key.text.as_str(), &member.kind) {
                        ("file", NodeKind::Scalar { text, .. }) => self.add_file(folder.join(text), hasher),
                        ("env", NodeKind::Scalar { text, .. }) => self.add_file_of(text, hasher),
                        _ => self.add_secrets(folder, member, hasher),
                    }
                }
            }
        }
    }

    /// The variable itself can't change while we run; a file that stands for it can.
    fn add_file_of(&mut self, name: &str, hasher: &mut DefaultHasher) {
        if (self.env)(name).is_some() {
            return;
        }
        if let Some(path) = (self.env)(&format!("{name}_FILE")).map(PathBuf::from) {
            self.add_file(path, hasher);
        }
    }

    fn add_file(&mut self, path: PathBuf, hasher: &mut DefaultHasher) {
        look::add_file(&path, hasher);
        if !self.digests.files.contains(&path) {
            self.digests.files.push(path);
        }
    }
}

/// The names of environment variables that a template speaks of, and perhaps others.
fn env_names(text: &str) -> impl Iterator<Item = &str> {
    text.split("env.").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

fn part<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.kind {
        NodeKind::Map(members) => member(members, key),
        NodeKind::Scalar { .. } | NodeKind::List(_) => None,
    }
}

fn name(rule: &Node) -> Option<String> {
    match &part(rule, "name")?.kind {
        NodeKind::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "table: shop.orders\nrules:\n  - name: a\n    call: {url: http://api/a}\n  - name: b\n    \
                        call: {url: http://api/b, body: {n: 1}}\n";

    fn load(text: &str) -> RuleSet {
        RuleSet::from_texts(&[("a.yaml".into(), text.into())], &|_| None).expect("sound rules")
    }

    #[track_caller]
    fn check(text: &str, [added, changed, removed, unchanged]: [&[&str]; 4]) {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let expected = Difference {
            added: names(added),
            changed: names(changed),
            removed: names(removed),
            unchanged: names(unchanged),
        };
        assert_eq!(load(text).difference(&load(FILE)), expected, "{text}");
    }

    #[test]
    fn a_rule_has_changed_when_what_it_says_has() {
        check(FILE, [&[], &[], &[], &["a", "b"]]);
        check(&format!("# a comment\n\n{FILE}"), [&[], &[], &[], &["a", "b"]]);
        check(&FILE.replace("api/b", "api/c"), [&[], &["b"], &[], &["a"]]);
        check(&FILE.replace("n: 1", "n: \"1\""), [&[], &["b"], &[], &["a"]]);
        check(&FILE.replace("shop.orders", "shop.invoices"), [&[], &["a", "b"], &[], &[]]);
        check(&FILE.replace("name: a", "name: c"), [&["c"], &[], &["a"], &["b"]]);
    }

    #[test]
    fn a_secret_that_changed_in_its_file_changes_the_rules_that_use_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let env = |name: &str| match name {
            "TOKEN_FILE" => Some(path.display().to_string()),
            "SET" | "SET_FILE" => Some("x".to_string()),
            _ => None,
        };
        let text = FILE.replace("/b,", "/b, headers: {Authorization: \"{{ env.TOKEN }}{{ env.SET }}\"},");
        let files = [("a.yaml".into(), text)];
        std::fs::write(&path, "one").expect("written");
        let before = digests(&files, &env);
        assert_eq!(before.files, std::slice::from_ref(&path));
        std::fs::write(&path, "two").expect("written");
        let after = digests(&files, &env);
        assert_eq!(before.by_rule["a"], after.by_rule["a"]);
        assert_ne!(before.by_rule["b"], after.by_rule["b"]);
    }

    #[test]
    fn the_files_that_a_call_names_are_watched_with_the_rules_beside_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let call = "/b, auth: {oauth2: {token_url: 'http://t.test/', client_id: {env: ID}, client_secret: {file: secret}}}, \
                    sign: {webhook: [{file: old}, {file: new}]}, tls: {ca: ca.pem, cert: cert.pem, key: key.pem},";
        let files = [(path("a.yaml"), FILE.replace("/b,", call))];
        let id = path("id").display().to_string();
        let env = |name: &str| (name == "ID_FILE").then(|| id.clone());
        let mut before = digests(&files, &env);
        let mut watched = before.files.clone();
        watched.sort();
        let expected = ["ca.pem", "cert.pem", "id", "key.pem", "new", "old", "secret"].map(path);
        assert_eq!(watched, expected);
        for file in expected {
            std::fs::write(&file, "another").expect("written");
            let after = digests(&files, &env);
            assert_eq!(before.by_rule["a"], after.by_rule["a"]);
            assert_ne!(before.by_rule["b"], after.by_rule["b"], "{}", file.display());
            before = after;
        }
    }

    #[test]
    fn the_files_of_every_call_of_a_rule_are_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let call = |name: &str| format!("call: {{url: https://a.test/, tls: {{ca: {name}}}}}");
        let verify = format!("verify: {{{}, when: true}}", call("query"));
        let text = format!(
            "table: shop.orders\nrules:\n  - name: a\n    steps:\n      - {{name: one, {}, undo: {{{}}}, {verify}}}\n    \
             on_failure: {{{}}}\n  - name: b\n    call: {{url: https://a.test/, idempotent: false, {}}}\n",
            call("step"),
            call("undo"),
            call("ending"),
            verify.replace("query", "single"),
        );
        let mut watched = digests(&[(path("a.yaml"), text)], &|_| None).files;
        watched.sort();
        assert_eq!(watched, ["ending", "query", "single", "step", "undo"].map(path));
    }
}
