//! Which dead letters a command is about, as typed: conditions, numbers, or all.
//!
//! In: options. Out: a selection. Conditions that are given together must all hold; what a condition means is said in `admin::selecting`.

use super::conditions::ConditionArgs;
use crate::admin::view::Selection;

/// The conditions by their names, for what excludes them.
pub(super) const CONDITIONS: [&str; 11] =
    ["rule", "table", "key", "reason", "answer", "message", "since", "until", "older_than", "newer_than", "number"];

/// Dead letters that are acted on must be named.
#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = true)]
#[group(args = ["numbers", "rule", "table", "key", "reason", "answer", "message", "since", "until", "older_than", "newer_than", "number", "all"])]
pub(super) struct WhichLetters {
    /// Numbers of dead letters, as `list` shows them
    #[arg(value_name = "NUMBER", conflicts_with_all = CONDITIONS)]
    numbers: Vec<u64>,
    #[command(flatten)]
    conditions: LetterFilterArgs,
    /// All dead letters
    #[arg(long, conflicts_with_all = CONDITIONS, conflicts_with = "numbers")]
    all: bool,
}

impl WhichLetters {
    pub(super) fn selection(self) -> Selection {
        Selection { numbers: self.numbers, all: self.all, ..self.conditions.selection() }
    }
}

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct LetterFilterArgs {
    #[command(flatten)]
    conditions: ConditionArgs,
    /// Only those whose message contains this, in upper or lower case
    #[arg(long, help_heading = "Conditions", value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    message: Option<String>,
    /// Only those with these numbers: 10-20, or 10- for all from 10 on
    #[arg(long, help_heading = "Conditions", value_name = "FROM-TO", value_parser = number_range)]
    number: Option<(u64, u64)>,
}

impl LetterFilterArgs {
    pub(super) fn selection(self) -> Selection {
        let ConditionArgs { rule, table, key, reason, answer, times } = self.conditions;
        let (created_from_us, created_before_us) = times.bounds_us();
        Selection {
            rule,
            table,
            key,
            reason: reason.map(|reason| reason.as_str().to_string()),
            answer: answer.map(|answer| answer.to_string()),
            message: self.message,
            created_before_us,
            created_from_us,
            number_from: self.number.map(|(from, _)| from),
            number_to: self.number.map(|(_, to)| to),
            ..Selection::default()
        }
    }
}

fn number_range(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| text.parse::<u64>().ok();
    let range = match text.split_once('-') {
        None => number(text).map(|only| (only, only)),
        Some((from, "")) => number(from).map(|from| (from, u64::MAX)),
        Some((from, to)) => number(from).zip(number(to)),
    };
    match range {
        Some((from, to)) if from <= to => Ok((from, to)),
        Some((from, to)) => Err(format!("it ends before it begins; write {to}-{from}")),
        None => Err("expected numbers such as 10-20, or 10- for all from 10 on".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_one_or_a_range_that_may_be_open() {
        for (text, expected) in [("7", (7, 7)), ("10-20", (10, 20)), ("10-", (10, u64::MAX)), ("3-3", (3, 3))] {
            assert_eq!(number_range(text), Ok(expected));
        }
        for (text, part) in
            [("20-10", "write 10-20"), ("", "10-20"), ("a-b", "10-20"), ("-5", "10-20"), ("1-2-3", "10-20")]
        {
            assert!(number_range(text).expect_err(text).contains(part), "{text}");
        }
    }
}
