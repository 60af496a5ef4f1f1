//! The cookbook: each of its folders is a rules directory that the program accepts, with fixtures that pass and a page that says what
//! it needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::program::Home;

/// Secrets that have a form. Any text will do for the others.
const SECRETS: [(&str, &str); 1] = [("OUTBOX_SIGNING_SECRET", "whsec_dHJ5LW91dC1rZXktbm90LWEtc2VjcmV0LWF0LWFsbA==")];

fn cookbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cookbook")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of the jobs, by name.
fn jobs() -> Vec<PathBuf> {
    let entries = fs::read_dir(cookbook()).expect("the cookbook").map(|entry| entry.expect("an entry").path());
    let mut jobs: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    jobs.sort();
    assert!(jobs.len() >= 15, "only {} jobs", jobs.len());
    jobs
}

fn name_of(job: &Path) -> &str {
    job.file_name().and_then(|name| name.to_str()).expect("a plain name")
}

/// The text of the rule files of a job.
fn rules_of(job: &Path) -> String {
    let entries = fs::read_dir(job).expect("a job").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).map(|path| read(&path)).collect()
}

/// The environment variables that rules read: `{env: NAME}` and `{{ env.NAME }}`.
fn secrets_of(rules: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let behind = |way: &'static str| rules.match_indices(way).map(move |(at, _)| &rules[at + way.len()..]);
    let names = behind("env: ").chain(behind("env."));
    names.map(|text| &text[..text.find(|c| !is_of_name(c)).unwrap_or(text.len())]).collect()
}

fn home_with(secrets: &BTreeSet<&str>) -> Home {
    let value = |name: &str| SECRETS.iter().find(|(own, _)| *own == name).map_or("test", |(_, value)| *value);
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"));
    secrets.iter().fold(home, |home, name| home.with_env(name, value(name)))
}

#[test]
fn every_folder_of_the_cookbook_is_a_rules_directory() {
    for job in jobs() {
        let rules = rules_of(&job);
        let path = job.to_str().expect("a path in UTF-8");
        let finished = home_with(&secrets_of(&rules)).run(&["check", "--offline", "--rules", path]);
        assert_eq!(finished.code, 0, "{path}: {}{}", finished.stdout, finished.stderr);
        assert!(finished.stdout.contains("all is well"), "{path}: {}", finished.stdout);
    }
}

#[test]
fn every_rule_of_the_cookbook_has_fixtures_and_they_pass_without_its_secrets() {
    for job in jobs() {
        let path = job.to_str().expect("a path in UTF-8");
        let finished = home_with(&BTreeSet::new()).run(&["test", "--json", "--rules", path]);
        let printed = format!("{path}: {}{}", finished.stdout, finished.stderr);
        assert_eq!(finished.code, 0, "{printed}");
        let result: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {printed}"));
        assert!(result["passed"].as_u64().is_some_and(|passed| passed > 0), "{printed}");
        assert_eq!(result["rules_without_fixture"], Value::Array(vec![]), "{printed}");
    }
}

#[test]
fn every_job_of_the_cookbook_has_a_page_that_names_what_it_needs() {
    let index = read(&cookbook().join("README.md"));
    for job in jobs() {
        let (name, page) = (name_of(&job), read(&job.join("README.md")));
        assert!(index.contains(&format!("({name}/README.md)")), "the cookbook's README.md does not lead to {name}");
        for secret in secrets_of(&rules_of(&job)) {
            assert!(page.contains(&format!("`{secret}`")), "the page of {name} does not name {secret}");
        }
    }
}

#[test]
fn the_cookbook_names_the_version_of_each_library_that_judges_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (index, script) = (read(&cookbook().join("README.md")), read(&root.join("tests/support/get-vendors.sh")));
    let is_version = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let words = script.split(|c: char| c.is_whitespace() || c == '=');
    let packages = words.filter_map(|word| word.rsplit_once('@').filter(|(_, version)| is_version(version)));
    let mut count = 0;
    for (name, version) in packages {
        count += 1;
        assert!(index.contains(&format!("`{name}` {version}")), "the cookbook's README.md lacks `{name}` {version}");
    }
    assert!(count >= 15, "only {count} libraries");
}
