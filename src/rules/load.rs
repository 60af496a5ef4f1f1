//! Reads a directory of rule files.
//!
//! In: a directory. Out: a `RuleSet`, or every problem of every file at once, in name order; nothing in between. Only
//! `*.yaml` and `*.yml` directly in the directory are rule files; the size of each is bounded before it is parsed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::actions::{Action, Work};
use super::compile::{self, Contents, IfNoSecret, Placed, Variables};
use super::content::OpenedFile;
use super::defaults::{DEFAULTS, Defaults, ParsedFile};
use super::diagnostic::{Diagnostic, Diagnostics, FilePlace, located};
use super::matching::{DisabledRule, RuleSet};
use super::rule::Rule;
use super::target::Target;
use super::yaml::{self, FILE_BYTES_MAX, too_large};
use crate::file;
use crate::suggest::nearest;

impl RuleSet {
    /// Loads all rule files of a directory, all or nothing. `env` resolves the environment variables that rules name.
    pub fn load(dir: &Path, env: Variables) -> Result<RuleSet, Diagnostics> {
        RuleSet::load_with(dir, env, IfNoSecret::Refuse)
    }

    /// The same for rules that send nothing: for each secret that is not on this machine stands a word of its own.
    pub fn load_without_secrets(dir: &Path, env: Variables) -> Result<RuleSet, Diagnostics> {
        RuleSet::load_with(dir, env, IfNoSecret::StandIn)
    }

    fn load_with(dir: &Path, env: Variables, if_no_secret: IfNoSecret) -> Result<RuleSet, Diagnostics> {
        let paths = rule_files(dir).map_err(|problem| Diagnostics(vec![problem]))?;
        let mut problems = Vec::new();
        let mut files = Vec::new();
        for path in paths {
            match read(&path) {
                Ok(text) => files.push((path, text)),
                Err(problem) => problems.push(problem),
            }
        }
        let misnamed = misnamed(dir).into_iter().map(|what| format!("{}: {what}", dir.display())).collect();
        Ok(RuleSet::compile(&files, (env, if_no_secret), problems)?.with_misnamed_files(misnamed))
    }

    /// Compiles rule files from their paths and texts, as `load` does.
    pub fn from_texts(files: &[(PathBuf, String)], env: Variables) -> Result<RuleSet, Diagnostics> {
        RuleSet::compile(files, (env, IfNoSecret::Refuse), Vec::new())
    }

    fn compile(
        files: &[(PathBuf, String)],
        env: (Variables, IfNoSecret),
        mut problems: Vec<Diagnostic>,
    ) -> Result<RuleSet, Diagnostics> {
        let mut collected = Collected::default();
        let mut parsed = Vec::new();
        for (path, text) in files {
            let root = yaml::read(path, text, yaml::RULE_FILES, &mut problems);
            parsed.extend(root.map(|root| ParsedFile { path, text, root }));
        }
        let defaults = Defaults::of(&parsed, &mut problems);
        for file in &mut parsed {
            let contents = compile::file(file, &defaults, env, &mut problems);
            collected.take(file.path, file.text, contents, &mut problems);
        }
        if problems.is_empty() {
            problems.extend(collected.without_rules(files));
        }
        if !problems.is_empty() {
            problems.sort_by(|a, b| (&a.path, a.place).cmp(&(&b.path, b.place)));
            return Err(Diagnostics(problems));
        }
        Ok(collected.into_rule_set())
    }
}

/// A target with its file and its place there.
type PlacedTarget = (Arc<Target>, PathBuf, FilePlace);

/// What the files of a directory hold together.
#[derive(Default)]
struct Collected {
    /// Of unique names, disabled ones included.
    rules: Vec<Placed>,
    /// Each with its place.
    targets: Vec<PlacedTarget>,
    first_sql: Option<Diagnostic>,
    /// The files that targets refer to.
    target_files: Vec<PathBuf>,
}

impl Collected {
    /// Takes in the contents of a file. What another file has already is a problem.
    fn take(&mut self, path: &Path, text: &str, contents: Contents, problems: &mut Vec<Diagnostic>) {
        if let (None, Some(place)) = (&self.first_sql, contents.first_sql) {
            let message = "`sql` writes to MySQL, and no server is named for it; give \
                           --write-url mysql://user:password@host:3306, or set ROWHOOK_WRITE_URL";
            self.first_sql = Some(Diagnostic::at(path, text, place, message));
        }
        self.target_files.extend(contents.opened.into_iter().map(OpenedFile::into_path));
        for (target, place) in contents.targets {
            match self.targets.iter().find(|(known, ..)| known.origin == target.origin) {
                Some((known, file, first)) => {
                    let first = first.within(file);
                    let message = format!("target `{}` is set already, at {first}", known.origin);
                    problems.push(Diagnostic::at(path, text, place, message));
                }
                None => self.targets.push((Arc::new(target), path.to_path_buf(), place)),
            }
        }
        for (rule, place) in contents.rules {
            match self.rules.iter().find(|(known, _)| known.name == rule.name) {
                Some((known, first)) => {
                    let first = first.within(&known.path);
                    let message = format!("rule `{}` exists already, at {first}; names are unique", rule.name);
                    problems.push(Diagnostic::at(path, text, place, message));
                }
                None => self.rules.push((rule, place)),
            }
        }
    }

    /// The problem with files that have no rule to follow.
    fn without_rules(&self, files: &[(PathBuf, String)]) -> Option<Diagnostic> {
        let Some((first, place)) = self.rules.first() else {
            let (path, _) = files.first()?;
            return Some(Diagnostic::of_file(path, "there are targets, but no file with rules"));
        };
        let (path, text) = files.iter().find(|(path, _)| *path == first.path)?;
        let message = "every rule has `enabled: false`; at least one must be enabled";
        let is_none_enabled = self.rules.iter().all(|(rule, _)| !rule.settings.is_enabled);
        is_none_enabled.then(|| Diagnostic::at(path, text, *place, message))
    }

    fn into_rule_set(self) -> RuleSet {
        let Collected { rules, targets, first_sql, target_files } = self;
        let is_called = |target: &Target| {
            let is_by = |action: &Action| {
                action.target.origin == target.origin
                    || action.token_origin().is_some_and(|origin| origin == target.origin)
            };
            rules.iter().flat_map(|(rule, _)| &rule.actions).any(is_by)
        };
        let unused = targets.iter().filter(|(target, ..)| !is_called(target));
        let unused =
            unused.map(|(target, file, place)| located(file, *place, format!("no rule calls {}", target.origin)));
        let unused = unused.collect();
        let (rules, disabled): (Vec<Placed>, Vec<Placed>) =
            rules.into_iter().partition(|(rule, _)| rule.settings.is_enabled);
        let disabled = disabled.into_iter().map(|(rule, place)| {
            let what = format!("rule {} is disabled (`enabled: false`): changes for it are not kept", rule.name);
            DisabledRule { note: located(&rule.path, place, what), name: rule.name }
        });
        let rules = rules.into_iter().map(|(rule, _)| Arc::new(with_targets(rule, &targets)));
        let rules: Vec<Arc<Rule>> = rules.collect();
        let writes = rules.iter().flat_map(|rule| &rule.actions).any(|action| matches!(action.work, Work::Sql(_)));
        RuleSet::new(rules)
            .with_target_files(target_files)
            .with_unused_targets(unused)
            .with_disabled(disabled.collect())
            .with_first_sql(first_sql.filter(|_| writes))
    }
}

/// The rule with what is set for its targets.
fn with_targets(mut rule: Rule, targets: &[PlacedTarget]) -> Rule {
    let of = |origin: &str| targets.iter().map(|(target, ..)| target).find(|target| target.origin == origin);
    for action in &mut rule.actions {
        if let Some(target) = of(&action.target.origin) {
            action.target = Arc::clone(target);
        }
        if let Some(target) = action.token_origin().and_then(|origin| of(&origin)) {
            action.token_proxy = target.proxy.clone();
        }
    }
    rule
}

/// The rule files of a directory in name order; none at all is a problem.
pub(super) fn rule_files(dir: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let unreadable = |error: io::Error| {
        let message = match error.kind() {
            io::ErrorKind::NotFound => {
                "there is no such directory of rules; name it with --rules DIR, or let `rowhook init` write first rules"
                    .to_owned()
            }
            _ => format!("the rules can't be read: {}", file::explained(dir, error)),
        };
        Diagnostic::of_file(dir, message)
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let misnamed = misnamed(dir).into_iter().map(|problem| format!("; {problem}")).collect::<String>();
        return Err(Diagnostic::of_file(dir, format!("there is no rule file (`*.yaml`) in this directory{misnamed}")));
    }
    paths.sort();
    Ok(paths)
}

/// Files that are no rule files by their ending, but resemble some: a line for each, in name order. Other files may lie there,
/// and `*.yaml.off` is a way to disable a rule file.
pub(super) fn misnamed(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (stem, ending) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())?;
            let stem = stem.trim_end_matches(".yaml").trim_end_matches(".yml");
            // An editor's copy is not meant to be read.
            let is_near = !ending.ends_with('~')
                && !["yaml", "yml"].contains(&ending)
                && (["txt", "json", "conf", "cfg"].contains(&ending)
                    || nearest(&ending.to_lowercase(), ["yaml", "yml"]).is_some());
            let rules = (is_near && is_of_rules(&read(&entry.path()).ok()?)).then(|| format!("{stem}.yaml"))?;
            Some((name, rules))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(name, rules)| format!("{name} is not read: rename it to {rules}")).collect()
}

/// Whether a text begins like a rule file, or one of targets.
fn is_of_rules(text: &str) -> bool {
    let has = |key: &str| {
        text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    has("targets") || has(DEFAULTS) || (has("table") && has("rules"))
}

pub(super) fn read(path: &Path) -> Result<String, Diagnostic> {
    let bytes = file::read(path, FILE_BYTES_MAX as u64).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(path),
        _ => Diagnostic::of_file(path, format!("the file can't be read: {error}")),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Diagnostic::of_file(path, format!("line {} is not UTF-8", line + 1))
    })
}
