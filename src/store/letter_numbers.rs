//! Numbers of dead letters, for people: ranges in ascending order. Plain data, no I/O.

use std::fmt;
use std::ops::RangeInclusive;

/// Ranges beyond this number are only counted where they are shown.
const SHOWN_MAX: usize = 20;

/// Numbers in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterNumbers(Vec<RangeInclusive<u64>>);

impl LetterNumbers {
    /// Adds numbers that are above all others. An empty range is none.
    pub(super) fn add(&mut self, numbers: RangeInclusive<u64>) {
        match self.0.last_mut() {
            _ if numbers.is_empty() => {}
            Some(last) if last.end() + 1 == *numbers.start() => *last = *last.start()..=*numbers.end(),
            _ => self.0.push(numbers),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for LetterNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, numbers) in self.0.iter().take(SHOWN_MAX).enumerate() {
            let (first, last) = (numbers.start(), numbers.end());
            f.write_str(if nth == 0 { "" } else { ", " })?;
            if first == last { write!(f, "{first}")? } else { write!(f, "{first} to {last}")? }
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more ranges"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_range_and_many_ranges_are_cut() {
        let of = |numbers: &[RangeInclusive<u64>]| {
            let mut all = LetterNumbers::default();
            numbers.iter().for_each(|numbers| all.add(numbers.clone()));
            all.to_string()
        };
        let nothing = RangeInclusive::new(5, 4);
        assert_eq!(of(&[3..=3, 5..=5, 6..=6, 7..=9, nothing, 20..=21]), "3, 5 to 9, 20 to 21");
        let many: Vec<_> = (0..22).map(|n| 2 * n..=2 * n).collect();
        assert!(of(&many).ends_with("36, 38 and 2 more ranges"), "{}", of(&many));
    }
}
