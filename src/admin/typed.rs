//! What operators type: names of rules, reasons, notes.
//!
//! In: text as it was typed. Out: the same as one line of limited length; for a name that no rule has, a sentence with
//! the name that may have been meant. Pure.

use crate::rules::RuleSet;
use crate::suggest::did_you_mean;

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
pub(super) fn no_such_rule_among<'a>(rule: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    format!("no rule is named {rule}{}", did_you_mean(rule, names))
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
    fn a_reason_is_one_line_of_limited_length() {
        assert_eq!(one_line(" their API\nis down\t", 99), "their API is down");
        assert_eq!(one_line(&"ü".repeat(1000), WHY_CHARACTERS_MAX).chars().count(), WHY_CHARACTERS_MAX);
    }
}
