//! What all filters have in common: NULL, and what is undefined.

use super::*;

/// Each filter with the arguments that it needs.
const FILTERS: &[&str] = &[
    "abs",
    "base64",
    "capitalize",
    "cents",
    "count",
    "date('%Y')",
    "dictsort",
    "epoch",
    "epoch_ms",
    "first",
    "float",
    "hex",
    "hmac('k')",
    "int",
    "items",
    "join(',')",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map('x')",
    "max",
    "min",
    "reject('x')",
    "replace('a', 'b')",
    "reverse",
    "round",
    "safe",
    "select",
    "sha256",
    "slice(2)",
    "sort",
    "split(',')",
    "sum",
    "title",
    "trim",
    "unbase64",
    "unhex",
    "unique",
    "upper",
    "urlencode",
    "uuid",
    "xml",
];

#[test]
fn a_filter_of_null_is_an_error_in_templates_and_null_in_conditions() {
    for filter in FILTERS {
        let name = filter.split('(').next().expect("a name");
        let expected = format!("`{name}` of NULL has no value");
        fails_with(typed(&format!("{{{{ row.note | {filter} }}}}"), &update()), &expected);
        fails_with(text(&format!("{{% if true %}}{{{{ row.note | {filter} }}}}{{% endif %}}"), &update()), &expected);
        for source in ["(row.note | FILTER) == 'x'", "(row.note | FILTER) != 'x'", "not ((row.note | FILTER) == 'x')"] {
            assert_eq!(condition(&source.replace("FILTER", filter), &update()), Ok(false), "{filter}");
        }
        assert_eq!(condition(&format!("(row.note | {filter}) is none"), &update()), Ok(true), "{filter}");
    }
    for (source, expected) in [
        ("{{ row.note | default('x') }}", "null"),
        ("{{ row.note | default('x', true) }}", "\"x\""),
        ("{{ row.note | bool }}", "false"),
        ("{{ row.note | tojson }}", "\"null\""),
        ("{{ row.note | int(7) }}", "7"),
        ("{{ row.note | float(0.5) }}", "0.5"),
        ("{{ (row.note or 'a') | upper }}", "\"A\""),
        ("{{ (row.note | upper) if row.note is not none else '-' }}", "\"-\""),
    ] {
        assert_eq!(typed(source, &update()), Ok(expected.into()), "{source}");
    }
}

#[test]
fn a_filter_of_what_is_undefined_names_its_path() {
    for filter in FILTERS {
        let message = typed(&format!("{{{{ row.doc.c | {filter} }}}}"), &update()).expect_err(filter);
        assert!(message.contains("`row.doc.c` is undefined"), "{filter}: {message}");
    }
}
