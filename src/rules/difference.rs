//! What differs between two loads of the rule files, rule by rule.
//!
//! In: the texts of rule files, when they are compiled. Out: names of rules that came, changed, went or stayed. A rule has
//! changed when what it says has: not when it moved to another line or file, or when a comment beside it did.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::matching::RuleSet;
use super::yaml::{self, Kind, Node};

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

/// What each rule of these files says, as a number.
pub(super) fn digests(files: &[(PathBuf, String)]) -> HashMap<String, u64> {
    files.iter().flat_map(|(path, text)| of_file(path, text)).collect()
}

fn of_file(path: &Path, text: &str) -> Vec<(String, u64)> {
    let Some(Node { kind: Kind::Map(members), .. }) = yaml::read(path, text, &mut Vec::new()) else {
        return Vec::new();
    };
    let mut of_all = DefaultHasher::new();
    let mut rules = &Vec::new();
    for (key, node) in &members {
        match &node.kind {
            Kind::List(items) if key.text == "rules" => rules = items,
            _ => {
                key.text.hash(&mut of_all);
                add(node, &mut of_all);
            }
        }
    }
    rules.iter().filter_map(|rule| Some((name(rule)?, of_rule(rule, of_all.clone())))).collect()
}

fn name(rule: &Node) -> Option<String> {
    let Kind::Map(members) = &rule.kind else { return None };
    match &members.iter().find(|(key, _)| key.text == "name")?.1.kind {
        Kind::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    }
}

fn of_rule(rule: &Node, mut hasher: DefaultHasher) -> u64 {
    add(rule, &mut hasher);
    hasher.finish()
}

/// Adds everything but the places.
fn add(node: &Node, hasher: &mut DefaultHasher) {
    std::mem::discriminant(&node.kind).hash(hasher);
    match &node.kind {
        Kind::Scalar { text, style } => {
            text.hash(hasher);
            // `1` is a number and `"1"` a string.
            std::mem::discriminant(style).hash(hasher);
        }
        Kind::List(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| add(item, hasher));
        }
        Kind::Map(members) => {
            members.len().hash(hasher);
            for (key, member) in members {
                key.text.hash(hasher);
                add(member, hasher);
            }
        }
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
}
