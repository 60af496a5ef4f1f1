//! What rules have unless they say otherwise: `defaults` in a file of targets.
//!
//! In: the trees of all files. Out: the rules of the others with what they leave out, as if it were written in them. A key that a
//! rule sets is the rule's alone. What is no default, or no value of its key, is a problem in the file of the defaults; what doesn't go
//! together with the other keys of a rule is one of that rule, and says where it comes from.

use std::path::PathBuf;

use super::diagnostic::{Diagnostic, FilePlace};
use super::reader::{Members, NodeReader, member};
use super::settings::{CALL_KEYS, CallSettings, RULE_KEYS, RuleSettings};
use super::vars::KEYS_OF_CONTENT;
use super::yaml::{Key, Node, NodeKind};

/// The key, in a file of targets.
pub(super) const DEFAULTS: &str = "defaults";

/// Keys of a rule that may have a default.
const OF_RULE: [&str; 8] =
    ["retry", "retry_on", "on_dead_letter", "dead_letters", "in_flight", "rate", "fuse", "pin_binlog"];
/// Keys of its calls.
const OF_CALL: [&str; 4] = ["timeout", "egress", "compress", SUCCESS];
const CALL: &str = "call";
const CALLS: &str = "calls";
const SUCCESS: &str = "success";

/// The defaults of a directory.
#[derive(Default)]
pub(super) struct Defaults {
    of_rule: Vec<(Key, Node)>,
    of_call: Vec<(Key, Node)>,
    /// For messages.
    place: String,
}

/// A file that was parsed.
pub(super) struct ParsedFile<'a> {
    pub path: &'a PathBuf,
    pub text: &'a str,
    pub root: Node,
}

impl ParsedFile<'_> {
    /// Whether it is for targets and defaults, and not for rules.
    pub(super) fn is_of_targets(&self) -> bool {
        let NodeKind::Map(members) = &self.root.kind else { return false };
        let has = |key| member(members, key).is_some();
        has("targets") || (has(DEFAULTS) && !has("rules"))
    }
}

impl Defaults {
    /// The defaults that one of the files has.
    pub(super) fn of(files: &[ParsedFile], problems: &mut Vec<Diagnostic>) -> Defaults {
        let mut defaults: Option<Defaults> = None;
        for file @ ParsedFile { path, text, root } in files {
            let NodeKind::Map(members) = &root.kind else { continue };
            let Some(node) = member(members, DEFAULTS).filter(|_| file.is_of_targets()) else { continue };
            let mut reader = NodeReader { path, text, problems };
            match &defaults {
                Some(first) => {
                    reader.problem(node.at, format!("`defaults` are set already, at {}", first.place));
                }
                None => defaults = Some(reader.defaults(node).unwrap_or_default().placed(node.at.within(path))),
            }
        }
        defaults.unwrap_or_default()
    }

    fn placed(self, place: String) -> Defaults {
        Defaults { place, ..self }
    }

    /// Adds to the rules of a file what they leave out.
    pub(super) fn add_to(&self, root: &mut Node) {
        let NodeKind::Map(members) = &mut root.kind else { return };
        let Some((_, rules)) = members.iter_mut().find(|(key, _)| key.text == "rules") else { return };
        let NodeKind::List(rules) = &mut rules.kind else { return };
        for rule in rules {
            let at = rule.at;
            self.add_to_calls(rule, at, false);
            if let NodeKind::Map(members) = &mut rule.kind {
                add(self.of_rule.iter(), members, at);
            }
        }
    }

    /// To the `call` of each step, undo, query and callback. A query has a default of its own for what is a success: that a call did not
    /// happen is no failure of the query.
    fn add_to_calls(&self, node: &mut Node, rule: FilePlace, is_query: bool) {
        match &mut node.kind {
            NodeKind::Scalar { .. } => {}
            NodeKind::List(items) => items.iter_mut().for_each(|item| self.add_to_calls(item, rule, is_query)),
            NodeKind::Map(members) => {
                for (key, member) in members {
                    match (key.text.as_str(), &mut member.kind) {
                        (CALL, _) => self.add_to_call(member, rule, is_query),
                        (CALLS, NodeKind::Map(calls)) => {
                            calls.iter_mut().for_each(|(_, call)| self.add_to_call(call, rule, is_query));
                        }
                        _ => {}
                    }
                    // What is below the others has the names of an API.
                    if !KEYS_OF_CONTENT.contains(&key.text.as_str()) {
                        self.add_to_calls(member, rule, is_query || key.text == "verify");
                    }
                }
            }
        }
    }

    fn add_to_call(&self, call: &mut Node, rule: FilePlace, is_query: bool) {
        let NodeKind::Map(call) = &mut call.kind else { return };
        add(self.of_call.iter().filter(|(key, _)| !is_query || key.text != SUCCESS), call, rule);
    }

    /// Says of problems that stand where a rule begins from where the rule has the key that they name.
    pub(super) fn explain(&self, file: &ParsedFile, problems: &mut [Diagnostic]) {
        let NodeKind::Map(members) = &file.root.kind else { return };
        let Some(NodeKind::List(rules)) = member(members, "rules").map(|rules| &rules.kind) else { return };
        for rule in rules {
            let is_there = |problem: &&mut Diagnostic| problem.path == *file.path && problem.place == Some(rule.at);
            for problem in problems.iter_mut().filter(is_there) {
                self.explain_one(name_of(rule), problem);
            }
        }
    }

    fn explain_one(&self, rule: &str, problem: &mut Diagnostic) {
        let names = |key: &str| ["`", ":"].iter().any(|end| problem.message.contains(&format!("`{key}{end}")));
        let mut keys = self.of_rule.iter().chain(&self.of_call).map(|(key, _)| key.text.as_str());
        if let Some(key) = keys.find(|key| names(key)) {
            problem.message =
                format!("rule {rule} has `{key}` from `{DEFAULTS}` at {}: {}", self.place, problem.message);
        }
    }
}

fn name_of(rule: &Node) -> &str {
    let NodeKind::Map(members) = &rule.kind else { return "" };
    match member(members, "name").map(|name| &name.kind) {
        Some(NodeKind::Scalar { text, .. }) => text,
        _ => "",
    }
}

/// Adds the defaults whose keys are not there, as if they were written where the rule begins.
fn add<'d>(defaults: impl Iterator<Item = &'d (Key, Node)>, members: &mut Vec<(Key, Node)>, rule: FilePlace) {
    for (key, node) in defaults {
        if member(members, &key.text).is_none() {
            members.push((Key { text: key.text.clone(), at: rule }, node.at_one_place(rule)));
        }
    }
}

impl NodeReader<'_> {
    /// The defaults, if all of them can be used.
    fn defaults(&mut self, node: &Node) -> Option<Defaults> {
        let before = self.problems.len();
        let known: Vec<&'static str> = OF_RULE.into_iter().chain([CALL]).collect();
        let members = self.members(node, "`defaults`", &known)?;
        let call = member(members, CALL).map(|node| self.members(node, "`call` of `defaults`", &OF_CALL));
        let call = call.unwrap_or(Some(&[]))?;
        if self.problems.len() == before {
            self.default_values(members, call);
        }
        let owned = |members: Members| members.iter().filter(|(key, _)| key.text != CALL).map(copy).collect();
        let is_sound = self.problems.len() == before;
        is_sound.then(|| Defaults { of_rule: owned(members), of_call: owned(call), place: String::new() })
    }

    /// Reads the values as a rule would.
    fn default_values(&mut self, members: Members, call: Members) {
        let (mut of_rule, mut of_call) = (RuleSettings::default(), CallSettings::default());
        self.settings(&mut of_rule, RULE_KEYS, members);
        self.settings(&mut of_call, CALL_KEYS, call);
        if let Some(node) = member(members, "retry") {
            self.retry(node);
        }
        if let Some(node) = member(members, "retry_on") {
            self.retry_on(node, &[&of_call.success]);
        }
        for (key, node) in [("retry_on", member(members, "retry_on")), ("success", member(call, "success"))] {
            if let Some(node) = node.filter(|node| matches!(node.kind, NodeKind::Map(_))) {
                let message = format!("`{key}` of `{DEFAULTS}` is a list; what an answer says is read by rules");
                self.problem(node.at, message);
            }
        }
    }
}

fn copy((key, node): &(Key, Node)) -> (Key, Node) {
    (Key { text: key.text.clone(), at: key.at }, node.at_one_place(node.at))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Diagnostics, OnDeadLetter, RuleSet};
    use super::*;
    use crate::retry::Retries;

    fn load(defaults: &str, rules: &str) -> Result<RuleSet, Diagnostics> {
        let file = |name: &str, text: String| (PathBuf::from(name), text);
        let rules = file("a.yaml", format!("table: shop.orders\nrules:\n{rules}"));
        RuleSet::from_texts(&[rules, file("targets.yaml", defaults.to_owned())], &|_| None)
    }

    #[track_caller]
    fn refused(defaults: &str, rules: &str) -> String {
        let Diagnostics(found) = load(defaults, rules).expect_err("a mistake");
        let shown = found.iter().map(|one| one.to_string().lines().next().unwrap_or_default().to_owned());
        shown.collect::<Vec<_>>().join("\n")
    }

    const DEFAULTS_FILE: &str =
        "defaults: {retry: {retries: forever}, in_flight: 4, on_dead_letter: hold_key, call: {timeout: 3s}}\n";

    #[test]
    fn a_rule_has_the_defaults_unless_it_says_otherwise() {
        let rules = "  - {name: a, call: {url: 'http://a.test/'}}\n  - {name: b, in_flight: 9, retry: {initial: 2s}, \
                     on_dead_letter: continue, call: {url: 'http://a.test/', timeout: 1s}}\n";
        let rules = load(DEFAULTS_FILE, rules).unwrap_or_else(|problems| panic!("{problems}"));
        let found = |name: &str| {
            let rule = rules.rule(name).expect("a rule");
            let retries = rule.actions[0].retry.retries;
            (retries, rule.settings.in_flight, rule.settings.on_dead_letter, rule.call().settings.timeout)
        };
        assert_eq!(found("a"), (Retries::Forever, 4, OnDeadLetter::HoldKey, Duration::from_secs(3)));
        assert_eq!(found("b"), (Retries::AtMost(3), 9, OnDeadLetter::Continue, Duration::from_secs(1)));
    }

    #[test]
    fn a_rule_undoes_a_default() {
        let defaults =
            "defaults: {rate: 5/s, fuse: 5/m, pin_binlog: true, call: {compress: gzip, egress: public_only}}\n";
        let plain = "  - {name: a, call: {url: 'http://a.test/'}}\n";
        let undoing = "  - {name: a, rate: none, fuse: none, pin_binlog: false, order_by: none, call: {url: 'http://a.test/', compress: \
                       no, egress: any, sign: {webhook: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz}}}\n";
        let settings = |rules: &str| {
            let rules = load(defaults, rules).unwrap_or_else(|problems| panic!("{problems}"));
            let rule = rules.rule("a").expect("a rule");
            (rule.settings.clone(), rule.call().settings.clone())
        };
        let usual = (RuleSettings::default(), CallSettings::default());
        let (rule, call) = settings(plain);
        assert!(
            rule.rate.is_some() && rule.fuse.is_some() && call.compression.is_some() && call.egress != usual.1.egress
        );
        assert_eq!(settings(undoing), usual);
    }

    #[test]
    fn each_call_of_a_rule_has_the_defaults_and_a_body_is_no_call() {
        let rules = "  - name: a\n    steps:\n      - name: one\n        call: {url: 'http://a.test/', body: {call: {x: 1}}}\n        \
                     undo: {call: {url: 'http://a.test/undo'}}\n    on_failure: {call: {url: 'http://a.test/failed'}}\n";
        let rules = load("defaults: {call: {timeout: 3s}}\n", rules).unwrap_or_else(|problems| panic!("{problems}"));
        let calls = rules.rules()[0].actions.iter().filter_map(|action| action.call());
        let timeouts: Vec<Duration> = calls.map(|call| call.settings.timeout).collect();
        assert_eq!(timeouts, [Duration::from_secs(3); 3]);
        let body = format!("{:?}", rules.rules()[0].actions[0].call().expect("a call").body);
        assert!(!body.contains("timeout"), "{body}");
    }

    #[test]
    fn a_query_has_the_defaults_but_for_its_own_success_and_the_line_of_a_batch_is_no_call() {
        let verify = "verify: {when: answer.status == 200, call: {url: 'http://a.test/q'}}";
        let rules = format!(
            "  - {{name: a, call: {{url: 'http://a.test/', idempotent: false, {verify}}}}}\n  - name: b\n    steps:\n      - {{name: s, call: \
             {{url: 'http://a.test/'}}, idempotent: false, {verify}}}\n  - name: c\n    batch: {{format: ndjson, line: {{call: {{a: 1}}}}}}\n    call: \
             {{url: 'http://a.test/'}}\n"
        );
        let rules = load("defaults: {call: {timeout: 3s, success: [2xx, 409]}}\n", &rules)
            .unwrap_or_else(|problems| panic!("{problems}"));
        for name in ["a", "b"] {
            let calls = rules.rule(name).expect("a rule").actions.iter().filter_map(|action| action.call());
            let mut settings: Vec<_> = calls
                .map(|call| {
                    (call.settings.timeout, call.settings.success.contains(409), call.settings.success.contains(404))
                })
                .collect();
            let three = Duration::from_secs(3);
            settings.sort_unstable();
            assert_eq!(settings, [(three, false, true), (three, true, false)], "{name}");
        }
        let line = format!("{:?}", rules.rule("c").expect("a rule").call().item_line);
        assert!(!line.contains("timeout"), "{line}");
    }

    #[test]
    fn a_rule_has_changed_when_a_default_that_it_has_did() {
        let rules = "  - {name: a, call: {url: 'http://a.test/'}}\n  - {name: b, in_flight: 9, call: {url: 'http://a.test/'}}\n";
        let set = |defaults: &str| load(defaults, rules).unwrap_or_else(|problems| panic!("{problems}"));
        let difference = set("defaults: {in_flight: 5}\n").difference(&set("defaults: {in_flight: 4}\n"));
        assert_eq!((difference.changed, difference.unchanged), (vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn a_mistake_stands_in_the_file_of_the_defaults_and_a_contradiction_in_the_rule() {
        let rule = "  - {name: a, call: {url: 'http://a.test/'}}\n";
        for (defaults, rules, expected) in [
            (
                "defaults: {in_fligt: 1}",
                rule,
                "targets.yaml:1:12: unknown key `in_fligt` in `defaults`; did you mean `in_flight`?",
            ),
            ("defaults: {call: {url: x}}", rule, "targets.yaml:1:19: unknown key `url` in `call` of `defaults`"),
            ("defaults: {in_flight: 0}", rule, "targets.yaml:1:23: `in_flight` must be a whole number from 1 to 1024"),
            ("defaults: {retry: {retries: -1}}", rule, "targets.yaml:1:29: `retries` must be a whole number"),
            ("defaults: {call: {timeout: 1h}}", rule, "targets.yaml:1:28: `timeout` must be between 1ms and 5m"),
            ("defaults: {retry_on: {when: 'true'}}", rule, "targets.yaml:1:22: `retry_on` of `defaults` is a list"),
            ("defaults: [x]", rule, "targets.yaml:1:11: `defaults` must be a map"),
            (
                "defaults: {on_dead_letter: hold_key}",
                "  - {name: a, batch: {size: 2}, call: {url: 'http://a.test/'}}\n",
                "a.yaml:3:5: rule a has `on_dead_letter` from `defaults` at targets.yaml:1:11: `on_dead_letter: hold_key` and `batch` \
                 don't go together",
            ),
        ] {
            let found = refused(&format!("{defaults}\n"), rules);
            assert!(found.starts_with(expected) && found.lines().count() == 1, "{defaults}: {found}");
        }
    }

    #[test]
    fn only_one_file_has_defaults_and_none_of_rules() {
        let (rule, file) = ("  - {name: a, call: {url: 'http://a.test/'}}\n", |name: &str, text: &str| {
            (PathBuf::from(name), text.to_owned())
        });
        let rules = file("a.yaml", &format!("table: shop.orders\nrules:\n{rule}"));
        let two = [
            rules,
            file("b.yaml", "defaults: {in_flight: 1}\n"),
            file("c.yaml", "targets: {}\ndefaults: {in_flight: 2}\n"),
        ];
        let found = RuleSet::from_texts(&two, &|_| None).expect_err("refused").to_string();
        assert!(found.starts_with("c.yaml:2:11: `defaults` are set already, at b.yaml:1:11"), "{found}");
        let within = format!("table: shop.orders\ndefaults: {{in_flight: 1}}\nrules:\n{rule}");
        let found = RuleSet::from_texts(&[file("a.yaml", &within)], &|_| None).expect_err("refused").to_string();
        assert!(found.starts_with("a.yaml:2:1: unknown key `defaults` in a rule file"), "{found}");
    }
}
