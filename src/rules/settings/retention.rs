//! How long a rule's dead letters are kept: `dead_letters`.
//!
//! In: the value of the key, `none` or a map. Out: the limits, each within its own; without the key nothing is ever dropped. A new
//! limit is a field and a line of the table.

use std::time::Duration;

use super::super::reader::NodeReader;
use super::super::yaml::{Node, NodeKind};
use super::SettingKey::{self, Plain};
use super::{names, set};

/// What is to be dropped is announced a day ahead.
const KEEP_MIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Ten years of 365.25 days.
const KEEP_MAX: Duration = Duration::from_secs(10 * 31_557_600);
const LETTERS_MAX: u64 = 1_000_000_000;
const BYTES_MIN: u64 = 1 << 20;
const BYTES_MAX: u64 = 1 << 50;

/// Beyond which the dead letters of a rule are dropped, the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LetterRetention {
    /// Older ones go.
    pub keep: Option<Duration>,
    /// More of them go.
    pub letters_max: Option<u64>,
    /// What they take together above this goes.
    pub bytes_max: Option<u64>,
}

/// In the order in which messages name them.
const RETENTION_KEYS: &[SettingKey<LetterRetention>] = &[
    Plain("keep", |to, reader, node, key| set(&mut to.keep, reader.duration_from(KEEP_MIN, node, key, KEEP_MAX))),
    Plain("max", |to, reader, node, key| set(&mut to.letters_max, reader.integer(node, key, 1, LETTERS_MAX))),
    Plain("max_bytes", |to, reader, node, key| set(&mut to.bytes_max, reader.large_size(node, key))),
];

impl NodeReader<'_> {
    /// None: it can't be read.
    pub(super) fn retention(&mut self, node: &Node, key: &str) -> Option<Option<LetterRetention>> {
        if let NodeKind::Scalar { text, .. } = &node.kind
            && !node.is_null()
        {
            if text != "none" {
                let keys = "a map with keep, max and max_bytes";
                self.problem(node.at, format!("`{key}` is none or {keys}, not `{text}`; write `{key}: {{keep: 30d}}`"));
            }
            return Some(None);
        }
        let members = self.members(node, &format!("`{key}`"), &names(RETENTION_KEYS))?;
        let mut retention = LetterRetention::default();
        self.settings(&mut retention, RETENTION_KEYS, members);
        if members.is_empty() {
            self.problem(node.at, format!("`{key}` has no limit; write `{key}: {{keep: 30d}}`"));
        }
        Some(Some(retention))
    }

    /// `500 MiB`, `10GiB`.
    fn large_size(&mut self, node: &Node, key: &str) -> Option<u64> {
        let text = self.string(node, key)?;
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit: Option<u64> = match unit.trim() {
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            "TiB" => Some(1 << 40),
            _ => None,
        };
        let bytes = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        let bytes = bytes.filter(|bytes| (BYTES_MIN..=BYTES_MAX).contains(bytes));
        if bytes.is_none() {
            self.problem(node.at, format!("`{key}` must be between `1 MiB` and `1024 TiB`, written like these"));
        }
        bytes
    }
}
