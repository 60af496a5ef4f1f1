//! What a rule was compiled from, to find out later whether it changed.
//!
//! In: the parts of its file that it was made from, and the files that were opened for it: secrets, certificates. Out: a
//! `Content`, which equals another one if all of these say the same. Places do not count: a rule that moves to another line or
//! file, or gets a comment, is unchanged. Keeps only hashes, because the texts may be secrets.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::yaml::{Node, NodeKind};

/// A hundred times a long token; a larger file can't be the one that was meant.
pub(super) const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What one rule was compiled from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    written: ContentHash,
    opened: Vec<OpenedFile>,
}

impl Content {
    /// For a rule that is `written` in these nodes, in their order, and for which these files were opened.
    pub(super) fn new(written: &[&Node], opened: Vec<OpenedFile>) -> Content {
        let mut hasher = DefaultHasher::new();
        written.iter().for_each(|node| add(node, &mut hasher));
        Content { written: ContentHash(hasher.finish()), opened }
    }

    /// The files that were opened, in the order of their opening; one may come again.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.opened.iter().map(|file| &file.path)
    }
}

/// A file that a rule names, by its path or by an environment variable, with its content when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenedFile {
    path: PathBuf,
    content: ContentHash,
}

impl OpenedFile {
    pub(super) fn into_path(self) -> PathBuf {
        self.path
    }

    pub(super) fn new(path: &Path, bytes: &[u8]) -> OpenedFile {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        OpenedFile { path: path.to_path_buf(), content: ContentHash(hasher.finish()) }
    }
}

/// Not to be shown: a short secret could be found by its hash.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct ContentHash(u64);

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Adds everything but the places.
fn add(node: &Node, hasher: &mut DefaultHasher) {
    std::mem::discriminant(&node.kind).hash(hasher);
    match &node.kind {
        NodeKind::Scalar { text, style } => {
            text.hash(hasher);
            // `1` is a number and `"1"` a string.
            std::mem::discriminant(style).hash(hasher);
        }
        NodeKind::List(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| add(item, hasher));
        }
        NodeKind::Map(members) => {
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
    use super::super::yaml;
    use super::*;

    fn content(text: &str, opened: &[(&str, &str)]) -> Content {
        let node = yaml::read(Path::new("f.yaml"), text, yaml::RULE_FILES, &mut Vec::new()).expect("sound YAML");
        let opened = opened.iter().map(|(path, content)| OpenedFile::new(Path::new(path), content.as_bytes()));
        Content::new(&[&node], opened.collect())
    }

    #[test]
    fn content_is_equal_if_it_says_the_same_wherever_it_is_written() {
        let first = content("a: [1, {b: x}]", &[("token", "one")]);
        for (text, opened, is_same) in [
            ("a: [1, {b: x}]", ("token", "one"), true),
            ("# said elsewhere\n\na:\n  - 1\n  - b: x", ("token", "one"), true),
            ("a: [\"1\", {b: x}]", ("token", "one"), false),
            ("a: [1, {b: y}]", ("token", "one"), false),
            ("a: [1, {c: x}]", ("token", "one"), false),
            ("a: [1, b, x]", ("token", "one"), false),
            ("a: [1, {b: x}]", ("token", "two"), false),
            ("a: [1, {b: x}]", ("other", "one"), false),
        ] {
            assert_eq!(content(text, &[opened]) == first, is_same, "{text} {opened:?}");
        }
        assert_ne!(content("a: [1, {b: x}]", &[]), first);
        assert!(!format!("{first:?}").contains(|c: char| c.is_ascii_digit()), "{first:?}");
    }
}
