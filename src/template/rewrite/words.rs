//! The words of the expression language that rules offer: names, filters, tests and functions.
//!
//! A choice, not all that the engine has: nothing here runs another word by its name, gives a value for a member that
//! may be missing, or makes a text or list much longer than it was.

/// A filter, test or function with the number of its arguments, besides the value it is applied to.
#[derive(Debug)]
pub(super) struct Word {
    pub name: &'static str,
    pub args_min: usize,
    pub args_max: usize,
}

pub(super) fn names(words: &[Word]) -> impl Iterator<Item = &'static str> {
    words.iter().map(|word| word.name)
}

pub(super) const NAMES: [&str; 13] =
    ["row", "old", "op", "schema", "table", "key", "changed", "event", "env", "steps", "answer", "outcome", "omit"];

/// The members of `event`.
pub(super) const EVENT_NAMES: [&str; 5] = ["id", "committed_at", "gtid", "file", "offset"];

pub(super) const FILTERS: [Word; 49] = [
    word("abs", 0, 0),
    word("base64", 0, 0),
    word("bool", 0, 0),
    word("capitalize", 0, 0),
    word("cents", 0, 0),
    word("count", 0, 0),
    word("d", 0, 2),
    word("date", 1, 3),
    word("default", 0, 2),
    word("dictsort", 0, 0),
    word("epoch", 0, 1),
    word("epoch_ms", 0, 1),
    word("first", 0, 0),
    word("float", 0, 1),
    word("hex", 0, 0),
    word("hmac", 1, 1),
    word("int", 0, 1),
    word("items", 0, 0),
    word("join", 0, 1),
    word("last", 0, 0),
    word("length", 0, 0),
    word("lines", 0, 0),
    word("list", 0, 0),
    word("lower", 0, 0),
    word("map", 1, 2),
    word("max", 0, 0),
    word("min", 0, 0),
    word("reject", 0, 1),
    word("replace", 2, 2),
    word("reverse", 0, 0),
    word("round", 0, 1),
    word("safe", 0, 0),
    word("select", 0, 1),
    word("sha256", 0, 0),
    word("slice", 1, 2),
    word("sort", 0, 0),
    word("split", 0, 2),
    word("string", 0, 0),
    word("sum", 0, 0),
    word("title", 0, 0),
    word("tojson", 0, 0),
    word("trim", 0, 1),
    word("unbase64", 0, 0),
    word("unhex", 0, 0),
    word("unique", 0, 0),
    word("upper", 0, 0),
    word("urlencode", 0, 0),
    word("uuid", 0, 1),
    word("xml", 0, 0),
];

/// Comparisons by name, such as `is gt(5)`, are not tests here: `rewrite` turns them into operators.
pub(super) const TESTS: [Word; 14] = [
    word("defined", 0, 0),
    word("undefined", 0, 0),
    word("none", 0, 0),
    word("boolean", 0, 0),
    word("number", 0, 0),
    word("integer", 0, 0),
    word("float", 0, 0),
    word("string", 0, 0),
    word("sequence", 0, 0),
    word("mapping", 0, 0),
    word("iterable", 0, 0),
    word("startingwith", 1, 1),
    word("endingwith", 1, 1),
    word("containing", 1, 1),
];

pub(super) const FUNCTIONS: [Word; 1] = [word("range", 1, 3)];

const fn word(name: &'static str, args_min: usize, args_max: usize) -> Word {
    Word { name, args_min, args_max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_word() {
        let page = include_str!("../../../docs/rules.md");
        for name in names(&FILTERS).chain(names(&TESTS)).chain(names(&FUNCTIONS)) {
            assert!(
                [")", "`", "("].iter().any(|end| page.contains(&format!("`{name}{end}"))),
                "{name} is not in docs/rules.md"
            );
        }
    }
}
