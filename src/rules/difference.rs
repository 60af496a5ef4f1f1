//! What differs between two loads of the rule files, rule by rule.
//!
//! In: the rules of both. Out: names of rules that are new, changed, removed or unchanged. A rule has changed when its
//! [`Content`] has: its text, or a file that it names, by its path or by an environment variable (`NAME_FILE` for `env.NAME`).
//! Reads no file: the content is recorded when a rule is compiled.
//!
//! [`Content`]: super::Content

use super::matching::RuleSet;

/// Names of rules, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    pub unchanged: Vec<String>,
}

impl RuleSet {
    /// What became of the previous rules (`before`) in these.
    pub fn difference(&self, before: &RuleSet) -> Difference {
        let mut difference = Difference::default();
        for rule in self.rules() {
            let list = match before.rule(&rule.name) {
                None => &mut difference.added,
                Some(earlier) if earlier.content == rule.content => &mut difference.unchanged,
                Some(_) => &mut difference.changed,
            };
            list.push(rule.name.clone());
        }
        let gone = before.rules().iter().filter(|rule| self.rule(&rule.name).is_none());
        difference.removed.extend(gone.map(|rule| rule.name.clone()));
        difference
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{CertificateParams, KeyPair};

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

    /// The names of the rules that changed from one load to the next.
    fn changed(rules: &RuleSet, before: &RuleSet) -> Vec<String> {
        rules.difference(before).changed
    }

    fn sorted(files: &[PathBuf]) -> Vec<PathBuf> {
        let mut sorted = files.to_vec();
        sorted.sort();
        sorted
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
        let load = || RuleSet::from_texts(&[("a.yaml".into(), text.clone())], &env).expect("sound rules");
        std::fs::write(&path, "one").expect("written");
        let before = load();
        assert_eq!(before.files(), std::slice::from_ref(&path));
        assert!(changed(&load(), &before).is_empty());
        std::fs::write(&path, "two").expect("written");
        assert_eq!(changed(&load(), &before), ["b"]);
    }

    /// A certificate and its key in PEM form.
    fn certificate() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    #[test]
    fn the_files_that_a_call_names_are_watched_with_the_rules_beside_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let call = "{url: 'https://api/b', auth: {oauth2: {token_url: 'http://t.test/', client_id: {env: ID}, \
                    client_secret: {file: secret}}}, sign: {webhook: [{file: old}, {file: new}]}, \
                    tls: {ca: ca.pem, cert: cert.pem, key: key.pem},";
        let text = FILE.replace("{url: http://api/b,", call);
        let id = path("id").display().to_string();
        let env = |name: &str| (name == "ID_FILE").then(|| id.clone());
        let load = || RuleSet::from_texts(&[(path("a.yaml"), text.clone())], &env).expect("sound rules");
        let (cert, key) = certificate();
        let webhook = |of: char| format!("whsec_{}", of.to_string().repeat(32));
        let files = [
            ("ca.pem", cert.clone(), format!("{cert}another\n")),
            ("cert.pem", cert.clone(), format!("{cert}another\n")),
            ("id", "one".to_owned(), "another".to_owned()),
            ("key.pem", key.clone(), format!("{key}another\n")),
            ("new", webhook('n'), webhook('N')),
            ("old", webhook('o'), webhook('O')),
            ("secret", "one".to_owned(), "another".to_owned()),
        ];
        for (name, first, _) in &files {
            std::fs::write(path(name), first).expect("written");
        }
        let mut before = load();
        assert_eq!(sorted(before.files()), files.each_ref().map(|(name, ..)| path(name)));
        for (name, _, another) in &files {
            std::fs::write(path(name), another).expect("written");
            let after = load();
            assert_eq!(changed(&after, &before), ["b"], "{name}");
            before = after;
        }
    }

    #[test]
    fn the_files_of_every_call_of_a_rule_are_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let call = |name: &str| format!("call: {{url: https://a.test/, tls: {{ca: {name}}}}}");
        let verify = format!("idempotent: false, verify: {{{}, when: true}}", call("query"));
        let text = format!(
            "table: shop.orders\nrules:\n  - name: a\n    steps:\n      - {{name: one, {}, undo: {{{}}}, {verify}}}\n    \
             on_failure: {{{}}}\n  - name: b\n    call: {{url: https://a.test/, {}}}\n",
            call("step"),
            call("undo"),
            call("ending"),
            verify.replace("query", "single"),
        );
        let load = || RuleSet::from_texts(&[(path("a.yaml"), text.clone())], &|_| None).expect("sound rules");
        let (cert, _) = certificate();
        let files = [("ending", "a"), ("query", "a"), ("single", "b"), ("step", "a"), ("undo", "a")];
        files.iter().for_each(|(name, _)| std::fs::write(path(name), &cert).expect("written"));
        let mut before = load();
        assert_eq!(sorted(before.files()), files.map(|(name, _)| path(name)));
        for (name, rule) in files {
            std::fs::write(path(name), format!("{cert}another\n")).expect("written");
            let after = load();
            assert_eq!(changed(&after, &before), [rule], "{name}");
            before = after;
        }
    }
}
