//! Circles of imports: modules of a stage, or words of the vocabulary, that import each other.
//!
//! A node is a module directly below a stage with all that is below it, or a module of the vocabulary. What a module takes from its stage's
//! own `mod.rs` is no arrow, and neither is what tests import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::tokens::{self, Source};
use super::{STAGES, VOCABULARY, is_test_file, rust_files};

/// By name: what it imports.
type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<(Vec<String>, Source)> = rust_files(root, "src")
        .into_iter()
        .filter(|path| !is_test_file(path))
        .map(|path| (module_of(&path), Source::read(&fs::read_to_string(root.join(path)).expect("a readable file"))))
        .collect();
    let known: BTreeSet<Vec<String>> = files.iter().map(|(module, _)| module.clone()).collect();
    let found: BTreeSet<Vec<String>> = [node_of, node_below]
        .into_iter()
        .flat_map(|node| {
            let mut arrows = Arrows::new();
            for (module, source) in &files {
                let Some(from) = node(module, &known) else { continue };
                let segments: Vec<&str> = module.iter().map(String::as_str).collect();
                for (_, target) in tokens::crate_paths(&source.without_tests().tokens, &segments) {
                    if let Some(to) = node(&target, &known).filter(|to| *to != from && is_together(&from, to)) {
                        arrows.entry(from.clone()).or_default().insert(to);
                    }
                }
            }
            circles(&arrows)
        })
        .collect();
    let shown: Vec<String> = found.iter().map(|circle| circle.join(", ")).collect();
    assert!(
        found.is_empty(),
        "modules that import each other, move what both need to where it belongs:\n{}",
        shown.join("\n")
    );
}

/// `src/delivery/lane/enter.rs` is `delivery::lane::enter`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inner.split('/').map(str::to_owned).collect()
}

/// What a path belongs to; none: to a stage itself, or to nothing that is looked at.
fn node_of(path: &[String], known: &BTreeSet<Vec<String>>) -> Option<String> {
    let first = path.first()?;
    if VOCABULARY.contains(&first.as_str()) {
        return Some(first.clone());
    }
    STAGES.iter().any(|(stage, _)| stage == first).then(|| node_below(path, known)).flatten()
}

/// The module below a stage, or below a module of the vocabulary, that a path belongs to.
fn node_below(path: &[String], known: &BTreeSet<Vec<String>>) -> Option<String> {
    let below = path.get(..2).filter(|below| known.iter().any(|module| module.starts_with(below)))?;
    Some(below.join("::"))
}

/// Whether both are of one stage, or both of the vocabulary.
fn is_together(one: &str, other: &str) -> bool {
    let stage = |name: &str| name.split_once("::").map(|(stage, _)| stage.to_owned());
    stage(one) == stage(other)
}

/// Groups of names of which each can be reached from each.
fn circles(arrows: &Arrows) -> Vec<Vec<String>> {
    let reached = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(name) = open.pop() {
            for next in arrows.get(&name).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> = arrows.keys().map(|name| (name, reached(name))).collect();
    let group = |name: &&String| -> Vec<String> {
        let back = |other: &&String| all.get(*other).is_some_and(|reached| reached.contains(name.as_str()));
        all[*name].iter().filter(back).cloned().collect()
    };
    let groups: BTreeSet<Vec<String>> = all.keys().map(group).filter(|group| group.len() > 1).collect();
    groups.into_iter().collect()
}

#[test]
fn a_circle_is_found_and_a_chain_is_none() {
    let arrows = |pairs: &[(&str, &str)]| {
        let mut arrows = Arrows::new();
        for (from, to) in pairs {
            arrows.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        arrows
    };
    assert_eq!(circles(&arrows(&[("a", "b"), ("b", "c")])), Vec::<Vec<String>>::new());
    assert_eq!(circles(&arrows(&[("a", "b"), ("b", "c"), ("c", "a"), ("x", "a"), ("c", "y")])), [["a", "b", "c"]]);
}
