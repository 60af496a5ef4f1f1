//! Reads single values out of a positioned tree.
//!
//! In: nodes and what they must be. Out: words, numbers, durations and rates within their limits; every problem goes into one
//! list with its place, and reading goes on.

use std::path::Path;
use std::time::Duration;

use super::diagnostic::{self, Diagnostic, FilePlace};
use super::target::Rate;
use super::unknown_key;
use super::yaml::{Key, Node, NodeKind};
use crate::suggest::did_you_mean;

const MILLISECOND: Duration = Duration::from_millis(1);

/// Keys of earlier versions, each with the name that it has now.
const FORMER_KEYS: &[(&str, &str)] = &[("hold_binlog", "pin_binlog")];

/// Reads nodes of one file and collects its problems.
pub struct NodeReader<'a> {
    pub path: &'a Path,
    pub text: &'a str,
    pub problems: &'a mut Vec<Diagnostic>,
}

/// The members of a map, in the order of the file.
pub type Members<'n> = &'n [(Key, Node)];

impl<'n> NodeReader<'_> {
    pub fn problem(&mut self, at: FilePlace, message: impl Into<String>) {
        diagnostic::add(self.problems, self.path, self.text, at, message);
    }

    /// The members of a map whose keys must all be known.
    pub fn members(&mut self, node: &'n Node, what: &str, known: &[&'static str]) -> Option<Members<'n>> {
        let NodeKind::Map(members) = &node.kind else {
            let message = match &node.kind {
                NodeKind::Scalar { .. } if node.is_null() => {
                    format!("nothing stands below {what}; its keys are indented further: {}", known.join(", "))
                }
                NodeKind::Scalar { .. } => {
                    let instead = unknown_key::instead_of_single_value(known);
                    format!("{what} must be a map of {}, not a single value{instead}", known.join(", "))
                }
                _ => format!("{what} must be a map of {}, not {}", known.join(", "), node.describe()),
            };
            self.problem(node.at, message);
            return None;
        };
        for (key, _) in members {
            if !known.contains(&key.text.as_str()) {
                let former = FORMER_KEYS.iter().find(|(former, name)| *former == key.text && known.contains(name));
                let message = match former {
                    Some((former, name)) => format!("`{former}` is called `{name}` now"),
                    None => format!("unknown key `{}` in {what}{}", key.text, unknown_key::instead(&key.text, known)),
                };
                self.problem(key.at, message);
            }
        }
        Some(members)
    }

    pub fn string(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            NodeKind::Scalar { text, .. } if !node.is_null() => Some(text),
            _ => {
                self.problem(node.at, format!("`{what}` must be a single value, not {}", node.describe()));
                None
            }
        }
    }

    /// One of these words, for what it means.
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&'static str, T)]) -> Option<T> {
        let word = self.string(node, what)?;
        let found = words.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
            self.unknown_word(node.at, what, &names, None, word);
        }
        found
    }

    /// Reports a word that a key does not know. `or`: what else it takes.
    pub(super) fn unknown_word(&mut self, at: FilePlace, what: &str, known: &[&str], or: Option<&str>, word: &str) {
        let all: Vec<&str> = known.iter().copied().chain(or).collect();
        let all = match &all[..] {
            [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            all => all.concat(),
        };
        let hint = did_you_mean(word, known.iter().copied());
        self.problem(at, format!("`{what}` is {all}, not `{word}`{hint}"));
    }

    pub fn truth(&mut self, node: &Node, what: &str) -> Option<bool> {
        self.word(node, what, &[("true", true), ("false", false)])
    }

    /// What stands for a list of statuses: the node itself, or `status` in the map that it may be; none where the map has no such.
    pub(super) fn statuses(&mut self, node: &'n Node, what: &str, keys: &[&'static str]) -> Option<&'n Node> {
        match &node.kind {
            NodeKind::Map(_) => member(self.members(node, &format!("`{what}`"), keys)?, "status"),
            NodeKind::Scalar { .. } | NodeKind::List(_) => Some(node),
        }
    }

    /// A list of words, or one word for a list of one. None may be empty.
    pub fn words(&mut self, node: &Node, what: &str) -> Vec<(String, FilePlace)> {
        let items = match &node.kind {
            NodeKind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        if items.is_empty() {
            self.problem(node.at, format!("`{what}` is an empty list; leave it out or fill it"));
        }
        if let NodeKind::Scalar { text, .. } = &node.kind
            && text.contains(", ")
        {
            self.problem(node.at, format!("`{what}` is one value or a list; write several as `[{text}]`"));
            return Vec::new();
        }
        items.iter().filter_map(|item| Some((self.string(item, what)?.to_string(), item.at))).collect()
    }

    pub fn integer(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<u64> {
        let number = self.string(node, what)?.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.problem(node.at, format!("`{what}` must be a whole number from {min} to {max}"));
        }
        number
    }

    pub fn fraction(&mut self, node: &Node, what: &str, min: f64, max: f64) -> Option<f64> {
        let number = self.string(node, what)?.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.problem(node.at, format!("`{what}` must be a number from {min} to {max}"));
        }
        number
    }

    /// From 1ms on.
    pub fn duration(&mut self, node: &Node, what: &str, max: Duration) -> Option<Duration> {
        self.duration_from(MILLISECOND, node, what, max)
    }

    pub(super) fn duration_from(&mut self, min: Duration, node: &Node, what: &str, max: Duration) -> Option<Duration> {
        let text = self.string(node, what)?;
        match humantime::parse_duration(text) {
            Ok(duration) if (min..=max).contains(&duration) => Some(duration),
            Ok(_) => {
                let [min, max] = [min, max].map(|limit| match limit.is_zero() {
                    true => "0ms".to_owned(),
                    false => humantime::format_duration(limit).to_string(),
                });
                self.problem(node.at, format!("`{what}` must be between {min} and {max}"));
                None
            }
            Err(_) => {
                let message = format!("`{what}` is a duration such as `500ms`, `10s` or `1m 30s`, not `{text}`");
                self.problem(node.at, message);
                None
            }
        }
    }

    /// `50/s`, `50/m` or `50/h`.
    pub fn rate(&mut self, node: &Node, what: &str) -> Option<Rate> {
        self.rate_or(node, what, "")
    }

    /// The same, or `none`.
    pub fn rate_or_none(&mut self, node: &Node, what: &str) -> Option<Option<Rate>> {
        match &node.kind {
            NodeKind::Scalar { text, .. } if text == "none" => Some(None),
            _ => self.rate_or(node, what, "`none` or ").map(Some),
        }
    }

    fn rate_or(&mut self, node: &Node, what: &str, other: &str) -> Option<Rate> {
        let text = self.string(node, what)?;
        let rate = Rate::parse(text);
        if rate.is_none() {
            let max = Rate::COUNT_MAX;
            let rates = format!("{other}a rate such as `50/s`, `50/m` or `50/h`, from 1 to {max}");
            self.problem(node.at, format!("`{what}` is {rates}, not `{text}`"));
        }
        rate
    }
}

/// Where a key stands.
pub fn place_of(members: Members, name: &str) -> Option<FilePlace> {
    members.iter().find(|(key, _)| key.text == name).map(|(key, _)| key.at)
}

/// The value of a key.
pub fn member<'n>(members: Members<'n>, name: &str) -> Option<&'n Node> {
    members.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
}
