//! The state of rule files at a moment, to notice that they changed.
//!
//! In: a directory, from time to time. Out: a number that differs when the files do. Reads their content, because times and
//! sizes say too little where files are swapped by links, as in a Kubernetes ConfigMap. Reports no problem: an unreadable file
//! is a state, too, and loading says why.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::content::FILE_BYTES_MAX;
use super::diagnostic::Diagnostics;
use super::load;
use super::matching::RuleSet;
use crate::file;

/// The rule files of a directory, their names and their content; and the content of the files that they refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleFilesState(u64);

impl RuleFilesState {
    /// Blocks while it reads the files, each up to its size limit.
    pub fn at(directory: &Path, referred_to: &[PathBuf]) -> RuleFilesState {
        let mut hasher = DefaultHasher::new();
        match load::rule_files(directory) {
            Ok(paths) => {
                for path in paths {
                    path.hash(&mut hasher);
                    match load::read(&path) {
                        Ok(text) => text.hash(&mut hasher),
                        Err(problem) => problem.message.hash(&mut hasher),
                    }
                }
            }
            Err(problem) => problem.message.hash(&mut hasher),
        }
        load::misnamed(directory).hash(&mut hasher);
        referred_to.iter().for_each(|path| add_file(path, &mut hasher));
        RuleFilesState(hasher.finish())
    }

    /// Loads rules, and returns the state that their files had before the load, so that a write during the load is seen as a
    /// change later. `referred_to` are the files that the previous rules referred to.
    pub fn and_load(
        directory: &Path,
        referred_to: &[PathBuf],
        load: impl Fn() -> Result<RuleSet, Diagnostics>,
    ) -> (RuleFilesState, Result<RuleSet, Diagnostics>) {
        let (state, loaded) = (RuleFilesState::at(directory, referred_to), load());
        match &loaded {
            // Again, now that all files to read are known.
            Ok(rules) if rules.files() != referred_to => (RuleFilesState::at(directory, rules.files()), load()),
            _ => (state, loaded),
        }
    }
}

/// Adds the content of a file.
fn add_file(path: &Path, hasher: &mut DefaultHasher) {
    let read = file::read(path, FILE_BYTES_MAX);
    read.is_ok().hash(hasher);
    read.unwrap_or_default().hash(hasher);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_files_differs_once_their_names_or_their_content_differ() {
        let folder = tempfile::tempdir().expect("a folder");
        let (rules, path) = (folder.path().join("rules"), |name: &str| folder.path().join("rules").join(name));
        let mut states = vec![RuleFilesState::at(&rules, &[])];
        let mut differs = |what: &str| {
            let state = RuleFilesState::at(&rules, &[]);
            assert_eq!(RuleFilesState::at(&rules, &[]), state, "the same files look the same");
            assert!(!states.contains(&state), "{what} shows");
            states.push(state);
        };
        std::fs::create_dir(&rules).expect("a folder");
        differs("a directory without files");
        std::fs::write(path("a.yaml"), "table: a").expect("written");
        differs("a file");
        std::fs::write(path("a.yaml"), "table: b").expect("written");
        differs("other content of the same length");
        std::fs::rename(path("a.yaml"), path("b.yaml")).expect("renamed");
        differs("another name");
        std::fs::write(path("c.yaml"), [0xff]).expect("written");
        differs("a file that can't be read");
        std::fs::remove_file(path("b.yaml")).expect("removed");
        differs("a file that is gone");
        let last = RuleFilesState::at(&rules, &[]);
        std::fs::write(path(".hidden.yaml"), "x").expect("written");
        std::fs::write(path("notes.txt"), "x").expect("written");
        assert_eq!(RuleFilesState::at(&rules, &[]), last, "what is no rule file does not count");
    }

    #[test]
    fn the_state_of_a_directory_behind_a_link_differs_once_the_link_leads_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", "table: a"), ("v2", "table: b")] {
            std::fs::create_dir(path(version)).expect("a folder");
            std::fs::write(path(version).join("a.yaml"), text).expect("written");
        }
        std::os::unix::fs::symlink("v1", path("rules")).expect("linked");
        let before = RuleFilesState::at(&path("rules"), &[]);
        std::os::unix::fs::symlink("v2", path("next")).expect("linked");
        std::fs::rename(path("next"), path("rules")).expect("turned");
        assert_ne!(RuleFilesState::at(&path("rules"), &[]), before);
    }
}
