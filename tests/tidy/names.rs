//! Names: each visible type has one of its own, the glossary names what there is, and words of the old dialect are gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::tokens::{Source, Token};
use super::{is_test_file, rust_files};

/// `store::Error` reads as one name. Modules that have an error call it so.
const SHARED: &[&str] = &["Error"];

/// Words that are not used any more, with what is written instead.
const GONE: &[(&str, &str)] = &[
    ("anew", "again"),
    ("course", "definition"),
    ("foregone", "predetermined"),
    ("gated", "restricted"),
    ("hears", "gets, or handles"),
    ("heed", "what is done with it"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mends", "fixes"),
    ("nobody", "what or who is missing"),
    ("obey", "apply"),
    ("of now", "current"),
    ("of which nobody", "uncertain"),
    ("patience", "timeout"),
    ("redelivery", "repeat, or replay"),
    ("somebody", "who it is"),
    ("stirred", "marked for a check"),
    ("story", "result, or report"),
    ("stretch", "range, or time"),
    ("taker", "who takes it"),
    ("takers", "who takes it"),
    ("telling", "reporting"),
    ("untold", "callback_failed"),
    ("whoever", "who it is"),
    ("whose it is", "what it belongs to"),
    ("wish", "command"),
];

/// Where a word that is gone may stand: files, or all of a folder.
const EXEMPT: &[&str] = &["CHANGELOG.md", "src/store/former_words.rs", "src/cli/conditions.rs", "tests/tidy/names.rs"];

const DOCUMENTS: &[&str] = &["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a readable file")
}

/// By name: where types of it are defined that are visible outside their file.
fn visible_types() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in rust_files(root(), "src").into_iter().filter(|path| !is_test_file(path)) {
        for name in types_of(&Source::read(&read(&path)).without_tests().tokens) {
            found.entry(name).or_default().push(path.clone());
        }
    }
    found
}

/// Names of structs, enums, traits and aliases with a `pub` of any reach.
fn types_of(tokens: &[Token]) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_visible = false;
    for window in tokens.windows(2) {
        let [first, second] = window else { unreachable!("windows of two") };
        match first.text.as_str() {
            "pub" => is_visible = true,
            "struct" | "enum" | "trait" | "type" => {
                if std::mem::take(&mut is_visible) {
                    found.push(second.text.clone());
                }
            }
            // `pub(super)` and `pub(in crate::source)`.
            "(" | ")" | "in" | "super" | "crate" | "::" => {}
            word if is_visible && word.chars().all(char::is_alphanumeric) && second.text == ")" => {}
            _ => is_visible = false,
        }
    }
    found
}

#[test]
fn each_visible_type_has_a_name_of_its_own() {
    let shared: Vec<String> = visible_types()
        .into_iter()
        .filter(|(name, files)| files.len() > 1 && !SHARED.contains(&name.as_str()))
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(shared.is_empty(), "{} names of several types:\n{}", shared.len(), shared.join("\n"));
}

#[test]
fn visible_types_are_found_whatever_their_reach() {
    let text = "pub struct A;\npub(super) enum B {}\npub(in crate::source) trait C {}\nstruct D;\npub fn f(a: E) {}\npub type F = u8;";
    assert_eq!(types_of(&Source::read(text).tokens), ["A", "B", "C", "F"]);
}

/// A row is `| word | meaning | type | where |`; a word that is no type has an empty third column.
#[test]
fn the_glossary_names_types_that_there_are() {
    let types = visible_types();
    let glossary = read("docs/glossary.md");
    let mut rows = 0;
    for row in glossary.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, _, _, name, place, _] = cells[..] else { panic!("not a row of four cells: {row}") };
        if name == "type" {
            continue;
        }
        rows += 1;
        let (name, place) = (name.trim_matches('`'), place.trim_matches('`'));
        assert!(root().join(place).exists(), "there is no {place}: {row}");
        if !name.is_empty() {
            let files = types.get(name).unwrap_or_else(|| panic!("no type is named {name}: {row}"));
            assert!(files.iter().any(|file| file == place), "{name} is in {files:?}: {row}");
        }
    }
    assert!(rows > 20, "only {rows} rows");
}

#[test]
fn words_of_the_old_dialect_are_gone() {
    let mut files: Vec<String> = rust_files(root(), "src").into_iter().filter(|path| !is_test_file(path)).collect();
    files.extend(rust_files(root(), "tests"));
    files.extend(DOCUMENTS.iter().map(|path| (*path).to_owned()));
    for folder in ["docs", "rules"] {
        files.extend(texts(folder));
    }
    let is_exempt = |path: &str| EXEMPT.iter().any(|exempt| path.starts_with(exempt));
    let mut found = Vec::new();
    for path in files.iter().filter(|path| !is_exempt(path)) {
        for (number, line) in spoken(path, &read(path)) {
            for (gone, instead) in GONE.iter().filter(|(gone, _)| has_word(&line, gone)) {
                found.push(format!("{path}:{}: `{gone}`; write {instead}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{} words that are not used any more:\n{}", found.len(), found.join("\n"));
}

/// The lines in which words count: without tests beside the code, and without what documents quote as code.
fn spoken(path: &str, text: &str) -> Vec<(usize, String)> {
    let is_rust = path.ends_with(".rs");
    let text = if is_rust { text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default() } else { text };
    let line = |line: &str| match is_rust {
        true => line.to_owned(),
        false => line.split('`').step_by(2).collect::<Vec<_>>().join(" "),
    };
    text.lines().map(line).enumerate().collect()
}

/// Whether the word, or the words, stand in it by themselves or as a part of an identifier.
fn has_word(line: &str, word: &str) -> bool {
    let mut text = String::new();
    for c in line.chars() {
        // `MendIt` is two words, `MEND_IT` is not seven.
        if c.is_uppercase() && text.ends_with(char::is_lowercase) {
            text.push(' ');
        }
        text.push(c);
    }
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
    };
    let (text, word) = (words(&text), words(word));
    text.windows(word.len()).any(|window| window == word)
}

#[test]
fn a_word_is_found_in_identifiers_too() {
    for line in [
        "// how to mend it",
        "fn mend() {}",
        "let mend_first = 1;",
        "struct MendIt;",
        "Mend it",
        "const MEND_MAX: u8 = 1;",
    ] {
        assert!(has_word(line, "mend"), "{line}");
    }
    for line in ["an amendment", "recommended", "commend"] {
        assert!(!has_word(line, "mend"), "{line}");
    }
    assert!(has_word("whose it is", "whose it is") && !has_word("whose item", "whose it is"));
}

/// Markdown and YAML files of a folder.
fn texts(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(texts(&path));
        } else if [".md", ".yaml"].iter().any(|ending| path.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Decisions are `docs/decisions/0001-name.md` with the title `# 0001 …`, each number once.
#[test]
fn decisions_are_numbered_as_their_files_are() {
    let mut numbers: BTreeMap<String, String> = BTreeMap::new();
    for path in texts("docs/decisions").iter().filter(|path| !path.ends_with("README.md")) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let number = name.split('-').next().unwrap_or_default();
        assert!(read(path).starts_with(&format!("# {number} ")), "{path} does not begin with `# {number} `");
        if let Some(other) = numbers.insert(number.to_owned(), path.clone()) {
            panic!("{other} and {path} have one number");
        }
    }
    assert!(numbers.len() > 5, "{numbers:?}");
}

/// The table of docs/architecture.md has every module; neither it nor the other maps name a file that is not there.
#[test]
fn the_architecture_page_is_true_to_the_tree() {
    let page = read("docs/architecture.md");
    let others = [page.clone(), read("CONTRIBUTING.md"), read("src/lib.rs")].concat();
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for entry in fs::read_dir(root().join("src")).expect("a folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let module = name.trim_end_matches(".rs");
        let is_there = table.iter().any(|row| {
            row.split('|').nth(1).unwrap_or_default().split('`').any(|word| word.trim_end_matches('/') == module)
        });
        assert!(is_there || ["lib", "main"].contains(&module), "src/{name} is in no row of the table");
    }
    let sources = rust_files(root(), "src");
    for word in others.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs") && !word.contains(' ')) {
        let word = word.trim_start_matches("src/");
        let is_there = sources.iter().any(|path| path.ends_with(&format!("/{word}"))) || root().join(word).exists();
        assert!(is_there, "{word} is not there; docs/architecture.md, CONTRIBUTING.md or src/lib.rs names it");
    }
}
