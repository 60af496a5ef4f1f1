//! What operators type: names of rules and targets, reasons, notes.
//!
//! In: text as it was typed. Out: the same as one line of limited length; for a name that no rule or target has, a sentence
//! with the name that may have been meant. Pure.

use crate::rules::RuleSet;
use crate::suggest::{did_you_mean, nearest};

/// A reason is a line on a screen.
pub(super) const WHY_CHARACTERS_MAX: usize = 200;

/// In words, with the name that may have been meant.
pub(super) fn no_such_rule(rule: &str, rules: &RuleSet) -> String {
    if rules.is_disabled(rule) {
        return format!("rule {rule} is disabled (`enabled: false`)");
    }
    no_such_rule_among(rule, rules.rules().iter().map(|rule| rule.name.as_str()))
}

/// The same, where not rules but their names are known.
pub fn no_such_rule_among<'a>(rule: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    format!("no rule is named {rule}{}", did_you_mean(rule, names))
}

/// The name of the target that is typed: a URL stands for its target.
pub(super) fn typed_target(text: &str) -> String {
    let origin = url::Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
    origin.map_or_else(|| text.to_owned(), |origin| origin.ascii_serialization())
}

/// In words, with the name that may have been meant: it may lack its scheme.
pub(super) fn no_such_target<'a>(target: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let without_scheme = |known: &&str| known.split_once("://").is_some_and(|(_, host)| host == target);
    let meant = known.clone().find(without_scheme).or_else(|| nearest(target, known));
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "rowhook target list shows the targets".to_owned(),
    };
    format!("no rule calls target {target}; {hint}")
}

/// The typed text without line breaks, cut to a limited length.
pub(super) fn one_line(text: &str, characters_max: usize) -> String {
    let printable = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(characters_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_stands_for_its_target() {
        for (typed, target) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.example.com:443/v1/orders?x=1", "https://api.example.com"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("api.example.com", "api.example.com"),
            ("localhost:8080", "localhost:8080"),
            ("hosts of hooks", "hosts of hooks"),
            ("write_url", "write_url"),
        ] {
            assert_eq!(typed_target(typed), target);
        }
    }

    #[test]
    fn an_unknown_target_is_answered_with_the_one_that_may_be_meant() {
        let known = ["https://api.example.com", "http://localhost:8080", "write_url"];
        for (typed, hint) in [
            ("https://api.exmaple.com", "did you mean `https://api.example.com`?"),
            ("api.example.com", "did you mean `https://api.example.com`?"),
            ("localhost:8080", "did you mean `http://localhost:8080`?"),
            ("write-url", "did you mean `write_url`?"),
            ("order-paid", "rowhook target list shows the targets"),
        ] {
            let expected = format!("no rule calls target {typed}; {hint}");
            assert_eq!(no_such_target(typed, known.into_iter()), expected);
        }
    }

    #[test]
    fn a_reason_is_one_line_of_limited_length() {
        assert_eq!(one_line(" their API\nis down\t", 99), "their API is down");
        assert_eq!(one_line(&"ü".repeat(1000), WHY_CHARACTERS_MAX).chars().count(), WHY_CHARACTERS_MAX);
    }
}
