//! The JSON Schemas (2020-12) of rule files and of files of targets, for editors.
//!
//! Each takes every file that the loader takes, and refuses what is wrong in shape: unknown keys and words, values of another
//! kind. Templates, columns and what other files hold are for the loader alone. `tests/json_schema` compares the two.

/// Of files with `table` and `rules`.
pub const RULES_JSON_SCHEMA: &str = include_str!("json_schema/rules.json");

/// Of files with `targets`.
pub const TARGETS_JSON_SCHEMA: &str = include_str!("json_schema/targets.json");
