//! Dead letters by what they have in common: one pass, in bounded memory (promise 6).
//!
//! In: the facts of each letter. Out: groups with their counts, the largest first. Messages that differ only in numbers, ids and quoted
//! values are one (`failure::similar`). Letters of further groups are only counted, once there are [`GROUPS_MAX`].

use std::collections::HashMap;

use super::view::rfc3339;
use super::view::{GroupsView, LetterField, LetterGroup};
use crate::failure::{answer_word, write_similar};
use crate::printable::shortened;
use crate::store::LetterFacts;

/// More than a person reads; at some hundred bytes each.
const GROUPS_MAX: usize = 1_000;

/// Of a message that a group is told apart by.
const MESSAGE_CHARACTERS_MAX: usize = 300;

/// Between fields; it is in no name and in no word.
const SEPARATOR: char = '\u{1f}';

/// Groups while letters are counted.
pub(super) struct Grouping {
    by: Vec<LetterField>,
    groups: HashMap<String, Counted>,
    other: u64,
    /// Of the letter at hand; kept, so that no letter allocates.
    key: String,
    message: String,
}

struct Counted {
    count: u64,
    oldest_us: u64,
    newest_us: u64,
    example: u64,
}

impl Grouping {
    pub(super) fn new(by: Vec<LetterField>) -> Grouping {
        Grouping { by, groups: HashMap::new(), other: 0, key: String::new(), message: String::new() }
    }

    pub(super) fn add(&mut self, facts: &LetterFacts) {
        self.key.clear();
        for field in &self.by {
            match field {
                LetterField::Rule => self.key.push_str(&facts.rule),
                LetterField::Table => self.key.push_str(&facts.table),
                LetterField::Reason => self.key.push_str(facts.reason.as_str()),
                LetterField::Answer => self.key.push_str(&answer_word(facts.status, facts.error.as_deref())),
                LetterField::Op => self.key.push_str(&facts.op),
                LetterField::Message => {
                    self.message.clear();
                    write_similar(&facts.message, &mut self.message);
                    if self.message.len() > MESSAGE_CHARACTERS_MAX || self.message.contains(SEPARATOR) {
                        let text = self.message.replace(SEPARATOR, " ");
                        self.key.push_str(&shortened(&text, MESSAGE_CHARACTERS_MAX));
                    } else {
                        self.key.push_str(&self.message);
                    }
                }
            }
            self.key.push(SEPARATOR);
        }
        let at_us = facts.created_at_us;
        let is_full = self.groups.len() == GROUPS_MAX;
        match self.groups.get_mut(&self.key) {
            Some(group) => {
                group.count += 1;
                group.oldest_us = group.oldest_us.min(at_us);
                group.newest_us = group.newest_us.max(at_us);
            }
            None if is_full => self.other += 1,
            None => {
                let group = Counted { count: 1, oldest_us: at_us, newest_us: at_us, example: facts.number };
                self.groups.insert(self.key.clone(), group);
            }
        }
    }

    /// With the letters of another one, which have higher numbers.
    pub(super) fn with(mut self, other: Grouping) -> Grouping {
        self.other += other.other;
        let mut groups: Vec<(String, Counted)> = other.groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| group.example);
        for (key, theirs) in groups {
            let is_full = self.groups.len() == GROUPS_MAX;
            match self.groups.get_mut(&key) {
                Some(ours) => {
                    ours.count += theirs.count;
                    ours.oldest_us = ours.oldest_us.min(theirs.oldest_us);
                    ours.newest_us = ours.newest_us.max(theirs.newest_us);
                }
                None if is_full => self.other += theirs.count,
                None => drop(self.groups.insert(key, theirs)),
            }
        }
        self
    }

    /// The largest groups.
    pub(super) fn largest(self, limit: usize) -> GroupsView {
        let dead_letters = self.groups.values().map(|group| group.count).sum::<u64>() + self.other;
        let mut groups: Vec<(String, Counted)> = self.groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| (std::cmp::Reverse(group.count), group.example));
        let more_groups = groups.len().saturating_sub(limit) as u64;
        let view = |(key, group): (String, Counted)| {
            let mut view = LetterGroup {
                count: group.count,
                oldest: rfc3339(group.oldest_us),
                newest: rfc3339(group.newest_us),
                example: group.example,
                ..LetterGroup::default()
            };
            for (field, text) in self.by.iter().zip(key.split(SEPARATOR)) {
                let place = match field {
                    LetterField::Rule => &mut view.rule,
                    LetterField::Table => &mut view.table,
                    LetterField::Reason => &mut view.reason,
                    LetterField::Answer => &mut view.answer,
                    LetterField::Message => &mut view.message,
                    LetterField::Op => &mut view.op,
                };
                *place = Some(text.to_string());
            }
            view
        };
        let groups = groups.into_iter().take(limit).map(view).collect();
        GroupsView { groups, dead_letters, more_groups, other: self.other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;

    fn facts(number: u64, rule: &'static str, message: &str, status: u16) -> LetterFacts<'static> {
        LetterFacts {
            number,
            rule: rule.into(),
            op: "insert".into(),
            table: "shop.orders".into(),
            reason: Reason::Refused,
            message: message.to_string().into(),
            status: Some(status),
            error: None,
            created_at_us: 1_000_000 * number,
            is_resolved: false,
        }
    }

    #[test]
    fn letters_are_counted_by_what_they_have_in_common() {
        let letters = [
            facts(3, "a", "no order 4711", 404),
            facts(4, "b", "no order 12", 404),
            facts(5, "a", "no order 7", 404),
            facts(6, "a", "no order 7", 410),
            facts(9, "a", "no order 1", 404),
        ];
        let grouped = |by: &[LetterField], limit| {
            let mut grouping = Grouping::new(by.to_vec());
            letters.iter().for_each(|facts| grouping.add(facts));
            grouping.largest(limit)
        };
        let all = grouped(&[LetterField::Rule, LetterField::Answer, LetterField::Message], 10);
        // The same in two parts.
        for cut in 0..letters.len() {
            let part = |letters: &[LetterFacts]| {
                let mut grouping = Grouping::new(vec![LetterField::Rule, LetterField::Answer, LetterField::Message]);
                letters.iter().for_each(|facts| grouping.add(facts));
                grouping
            };
            assert_eq!(part(&letters[..cut]).with(part(&letters[cut..])).largest(10), all, "{cut}");
        }
        let texts: Vec<_> = all.groups.iter().map(|g| (g.rule.as_deref(), g.answer.as_deref(), g.count)).collect();
        assert_eq!(texts, [(Some("a"), Some("404"), 3), (Some("b"), Some("404"), 1), (Some("a"), Some("410"), 1)]);
        let first = &all.groups[0];
        assert_eq!((first.message.as_deref(), first.example, &first.table), (Some("no order <n>"), 3, &None));
        assert_eq!((first.oldest.as_str(), first.newest.as_str()), (&*rfc3339(3_000_000), &*rfc3339(9_000_000)));
        assert_eq!((all.dead_letters, all.more_groups, all.other), (5, 0, 0));
        let largest = grouped(&[LetterField::Rule], 1);
        assert_eq!((largest.groups.len(), largest.groups[0].count, largest.more_groups), (1, 4, 1));
    }

    #[test]
    fn letters_of_more_groups_than_fit_are_still_counted() {
        let mut grouping = Grouping::new(vec![LetterField::Message]);
        // Letters, so that no two are similar.
        let name = |n: usize| format!("x{}{}{}", "a".repeat(n / 100), "b".repeat(n / 10 % 10), "c".repeat(n % 10));
        for n in 0..GROUPS_MAX + 5 {
            grouping.add(&facts(n as u64, "a", &name(n), 400));
            grouping.add(&facts(n as u64, "a", &name(0), 400));
        }
        let view = grouping.largest(3);
        assert_eq!((view.other, view.dead_letters), (5, 2 * (GROUPS_MAX as u64 + 5)));
        assert_eq!((view.groups[0].count, view.more_groups), (GROUPS_MAX as u64 + 6, GROUPS_MAX as u64 - 3));
    }
}
