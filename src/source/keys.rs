//! Primary keys of tables, as the server has them now.
//!
//! In: what the server answers to the questions here. Out: which columns make the key, and in which order. Questions of their own: joined
//! with the columns they take the server up to ten times as long.

use std::collections::HashMap;

/// For one table: the names of the columns, and their places.
pub(super) const KEY_SQL: &str = "SELECT COLUMN_NAME, SEQ_IN_INDEX FROM information_schema.STATISTICS \
     WHERE INDEX_NAME = 'PRIMARY' AND TABLE_SCHEMA = ? AND TABLE_NAME = ?";

/// For all tables that fit two patterns of LIKE: gives [`KeyRow`]s.
pub(super) const KEYS_SQL: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, SEQ_IN_INDEX \
     FROM information_schema.STATISTICS WHERE INDEX_NAME = 'PRIMARY' AND TABLE_SCHEMA LIKE ? AND TABLE_NAME LIKE ?";

/// The parts of all keys, for all tables that fit two patterns of LIKE: names of schema, table and column, place in the key, and
/// whether it is the primary key. A part that is an expression has no column.
pub(super) const ALL_KEYS_SQL: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, SEQ_IN_INDEX, INDEX_NAME = 'PRIMARY' \
     FROM information_schema.STATISTICS WHERE COLUMN_NAME IS NOT NULL AND TABLE_SCHEMA LIKE ? AND TABLE_NAME LIKE ?";

/// A column's part of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyPart {
    /// From 1.
    pub place: u64,
    pub is_primary: bool,
}

impl KeyPart {
    /// Its place, if the key is the primary one.
    pub fn of_primary(&self) -> Option<u64> {
        self.is_primary.then_some(self.place)
    }
}

/// The names of schema, table and column, and its place in the primary key.
pub(super) type KeyRow = (String, String, String, u64);

/// The place of each column that is part of a primary key, by the names of its schema, its table and its own.
pub(super) fn key_places(keys: Vec<KeyRow>) -> HashMap<(String, String, String), u64> {
    keys.into_iter().map(|(schema, table, column, place)| ((schema, table, column), place)).collect()
}
