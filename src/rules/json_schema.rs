//! The JSON Schemas (2020-12) of rule files and of files of targets, for editors.
//!
//! Each takes every file that the loader takes, and refuses what is wrong in shape: unknown keys and words, values of another
//! kind. Templates, columns and what other files hold are for the loader alone. `tests/json_schema` compares the two.

/// Of files with `table` and `rules`.
pub const RULES_JSON_SCHEMA: &str = include_str!("json_schema/rules.json");

/// Of files with `targets`.
pub const TARGETS_JSON_SCHEMA: &str = include_str!("json_schema/targets.json");

/// Between these lines stand the definitions of a schema.
const DEFINITIONS_BEGIN: &str = "\n  \"$defs\": {\n";
const DEFINITIONS_END: &str = "\n  }\n}";

/// The schema of another file that refers to definitions of rule files, such as `call`: with all of them.
pub fn with_definitions_of_rules(schema: &str) -> String {
    let of_rules =
        RULES_JSON_SCHEMA.split_once(DEFINITIONS_BEGIN).and_then(|(_, rest)| rest.rsplit_once(DEFINITIONS_END));
    let (of_rules, _) = of_rules.expect("the schema of rule files ends with its definitions");
    schema.replacen(DEFINITIONS_BEGIN, &format!("{DEFINITIONS_BEGIN}{of_rules},\n"), 1)
}
