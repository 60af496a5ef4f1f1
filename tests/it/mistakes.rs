//! Broken files as newcomers write them, each with all that the program says about it.
//!
//! `tests/fixtures/mistakes/rules` has rule files, files of targets and folders of several files, which `rowhook check --offline`
//! reads; `settings` has settings files, which `rowhook run` reads. What is printed stands beside each as `NAME.txt`. A new case is
//! a new file: `ROWHOOK_UPDATE=1 cargo test --test it mistakes` writes what is printed now, to be read and committed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::program::Home;

const SOUND: &str = "table: shop.orders\nrules:\n  - name: sound\n    call: {url: \"https://api.example.com/\"}\n";

fn home() -> Home {
    Home::new(env!("CARGO_BIN_EXE_rowhook"))
}

/// What `rowhook check --offline` prints about a file, or a folder of files.
fn checked(case: &Path) -> String {
    let home = home();
    let files = if case.is_dir() { files_of(case) } else { vec![case.to_owned()] };
    for file in &files {
        let text = fs::read_to_string(file).expect("a readable file");
        home.write(&format!("rules/{}", name(file)), &text);
        if !case.is_dir() && text.starts_with("targets:") {
            home.write("rules/sound.yaml", SOUND);
        }
    }
    let finished = home.run(&["check", "--offline"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (1, ""), "{}: {finished:?}", case.display());
    finished.stdout
}

/// What `rowhook run` prints with a settings file.
fn refused(case: &Path) -> String {
    let home = home().with_rule("sound.yaml", SOUND);
    home.write("rowhook.yaml", &fs::read_to_string(case).expect("a readable file"));
    let finished = home.run(&["run"]);
    assert!(finished.code != 0 && finished.stdout.is_empty(), "{}: {finished:?}", case.display());
    assert!(!finished.stderr.contains("s3cr"), "a password is shown: {}", finished.stderr);
    finished.stderr
}

/// Compares what is printed about each case with the file beside it, or writes that file.
fn compare(folder: &str, cases_min: usize, printed: impl Fn(&Path) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mistakes").join(folder);
    let cases: Vec<PathBuf> =
        files_of(&folder).into_iter().filter(|path| path.extension().is_none_or(|ending| ending != "txt")).collect();
    assert!(cases.len() >= cases_min, "only {} cases in {}", cases.len(), folder.display());
    let updates = std::env::var_os("ROWHOOK_UPDATE").is_some();
    let mut differences = String::new();
    for case in &cases {
        let (found, beside) = (printed(case), case.with_extension("txt"));
        if updates {
            fs::write(&beside, &found).expect("writing what is printed");
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            differences += &format!("{}: expected\n{expected}found\n{found}\n", name(case));
        }
    }
    assert!(differences.is_empty(), "{differences}to take it: ROWHOOK_UPDATE=1 cargo test --test it mistakes");
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn each_mistake_in_a_rule_file_is_said_as_the_file_beside_it_says() {
    compare("rules", 200, checked);
}

#[test]
fn each_mistake_in_a_settings_file_is_said_as_the_file_beside_it_says() {
    compare("settings", 30, refused);
}
