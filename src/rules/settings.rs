//! Plain settings: keys of rule files of which each is one value that stands for itself.
//!
//! In: the members of a map and the table of its keys. Out: a struct of settings within their limits, which becomes a part of what is
//! compiled as it is read here. A new one is a field, its default and a line of the table, all in the file below that has the struct.
//! `spec` reads the other keys, says what settings must have in common with them, and has the tables of what others define (retries,
//! targets).

mod call;
mod retention;
mod rule;
mod sql;

pub use call::{BodyCompression, CallSettings, Egress, Method, SuccessStatuses};
pub(super) use call::{CALL_KEYS, status_range};
pub use retention::LetterRetention;
pub(super) use rule::RULE_KEYS;
pub use rule::{OnDeadLetter, RuleSettings};
pub(super) use sql::SQL_KEYS;
pub use sql::SqlSettings;

use super::reader::{Members, NodeReader, member};
use super::yaml::Node;

/// A key that a map may have.
pub(super) enum SettingKey<S: 'static> {
    /// A plain setting, and what reads its value.
    Plain(&'static str, ReadSetting<S>),
    /// What `spec` reads.
    Other(&'static str),
}

/// Reads the value of the key, which is named last, into its setting.
type ReadSetting<S> = fn(&mut S, &mut NodeReader, &Node, &str);

/// All keys of a map, in the order in which messages name them.
pub(super) fn names<S>(keys: &[SettingKey<S>]) -> Vec<&'static str> {
    let name = |key: &SettingKey<S>| match *key {
        SettingKey::Plain(name, _) | SettingKey::Other(name) => name,
    };
    keys.iter().map(name).collect()
}

/// What could not be read leaves the setting as it was: a problem is reported already.
pub(super) fn set<T>(setting: &mut T, read: Option<impl Into<T>>) {
    if let Some(value) = read {
        *setting = value.into();
    }
}

impl NodeReader<'_> {
    /// Reads those of the settings that the members set.
    pub(super) fn settings<S>(&mut self, settings: &mut S, keys: &[SettingKey<S>], members: Members<'_>) {
        for key in keys {
            if let SettingKey::Plain(name, read) = key
                && let Some(node) = member(members, name)
            {
                read(settings, self, node, name);
            }
        }
    }
}
