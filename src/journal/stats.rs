//! Counts and durations by rule and time, computed from the entries when they are asked for.
//!
//! In: a time, a rule perhaps, and the period of a line. Out: for each rule and period how many deliveries ended how, and quantiles
//! of the durations of their attempts. Memory does not grow with the number of entries: durations go into classes of 3 %.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::OptionalExtension as _;

use super::Error;
use super::query::{JournalReader, first_number_since, in_sqlite};
use super::record::JournalOutcome;

/// The time of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsPeriod {
    Hour,
    Day,
}

impl StatsPeriod {
    fn us(self) -> u64 {
        match self {
            StatsPeriod::Hour => 3_600_000_000,
            StatsPeriod::Day => 86_400_000_000,
        }
    }
}

/// One rule in one period, by the time of the outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsRow {
    /// When the period begins, in UTC.
    pub from_us: u64,
    pub rule: String,
    pub delivered: u64,
    /// Deliveries, however they ended, that took more than one attempt.
    pub retried: u64,
    pub dead: u64,
    /// Of the attempts; none where there were none.
    pub durations: Option<DurationQuantiles>,
}

/// In microseconds, at most 3 % too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationQuantiles {
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
}

#[derive(Debug, Default)]
struct Counted {
    delivered: u64,
    retried: u64,
    dead: u64,
    durations: Durations,
}

impl JournalReader {
    /// Of the deliveries that ended in this time; by period, the oldest first, and rule.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn stats(&self, rule: Option<&str>, ended_us: Range<u64>, period: StatsPeriod) -> Result<Vec<StatsRow>, Error> {
        self.count(rule, ended_us, period).map_err(self.failed())
    }

    fn count(&self, rule: Option<&str>, ended_us: Range<u64>, period: StatsPeriod) -> rusqlite::Result<Vec<StatsRow>> {
        let rule: Option<i64> = match rule {
            None => None,
            Some(name) => {
                let number = "SELECT number FROM rule WHERE name = ?1";
                match self.connection.query_row(number, [name], |row| row.get(0)).optional()? {
                    None => return Ok(Vec::new()),
                    number => number,
                }
            }
        };
        let by_rule = rule.map(|number| format!("AND d.rule = {number}")).unwrap_or_default();
        let (since_us, until_us) = (in_sqlite(ended_us.start), in_sqlite(ended_us.end));
        let Some(first) = first_number_since(&self.connection, since_us)? else { return Ok(Vec::new()) };
        let range = format!("d.number >= ?1 AND d.resolved_us >= ?2 AND d.resolved_us < ?3 {by_rule}");
        let place = |resolved_us: u64, rule: i64| (resolved_us / period.us(), rule);
        let mut found: BTreeMap<(u64, i64), Counted> = BTreeMap::new();
        // In the order of numbers, both tables are read from one end to the other.
        let mut statement = self.connection.prepare(&format!(
            "SELECT d.resolved_us, d.rule, d.outcome, d.attempts, d.duration_us \
             FROM delivery d NOT INDEXED WHERE {range} ORDER BY d.number"
        ))?;
        let mut rows = statement.query((first, since_us, until_us))?;
        while let Some(row) = rows.next()? {
            let counted = found.entry(place(row.get(0)?, row.get(1)?)).or_default();
            counted.take(row.get(2)?, row.get(3)?);
            if let Some(duration_us) = row.get(4)? {
                counted.durations.add(duration_us);
            }
        }
        let mut statement = self.connection.prepare(&format!(
            "SELECT d.resolved_us, d.rule, e.duration_us \
             FROM earlier_attempt e CROSS JOIN delivery d ON d.number = e.delivery WHERE e.delivery >= ?1 AND {range}"
        ))?;
        let mut rows = statement.query((first, since_us, until_us))?;
        while let Some(row) = rows.next()? {
            found.entry(place(row.get(0)?, row.get(1)?)).or_default().durations.add(row.get(2)?);
        }
        found.into_iter().map(|((at, rule), counted)| self.line(at * period.us(), rule, &counted)).collect()
    }

    fn line(&self, from_us: u64, rule: i64, counted: &Counted) -> rusqlite::Result<StatsRow> {
        let rule = self.connection.query_row("SELECT name FROM rule WHERE number = ?1", [rule], |row| row.get(0))?;
        let Counted { delivered, retried, dead, durations } = counted;
        Ok(StatsRow {
            from_us,
            rule,
            delivered: *delivered,
            retried: *retried,
            dead: *dead,
            durations: durations.quantiles(),
        })
    }
}

impl Counted {
    fn take(&mut self, outcome: i64, attempts: u64) {
        self.delivered += u64::from(outcome == JournalOutcome::Delivered.code());
        self.dead += u64::from(outcome == JournalOutcome::Dead.code());
        self.retried += u64::from(attempts > 1);
    }
}

/// Durations by class: below 32 µs exact, then 32 classes from each power of two to the next.
#[derive(Debug, Default)]
struct Durations {
    classes: BTreeMap<u64, u64>,
    count: u64,
}

const CLASSES_BITS: u32 = 5;

impl Durations {
    fn add(&mut self, us: u64) {
        *self.classes.entry(class(us)).or_default() += 1;
        self.count += 1;
    }

    fn quantiles(&self) -> Option<DurationQuantiles> {
        let at = |percent: u64| {
            let rank = (self.count * percent).div_ceil(100).max(1);
            let mut before = 0;
            self.classes.iter().find_map(|(class, count)| {
                before += count;
                (before >= rank).then(|| upper_us(*class))
            })
        };
        Some(DurationQuantiles { p50_us: at(50)?, p95_us: at(95)?, p99_us: at(99)? })
    }
}

fn class(us: u64) -> u64 {
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(CLASSES_BITS + 1);
    (u64::from(shift) << CLASSES_BITS) + (us >> shift)
}

/// The longest duration of a class.
fn upper_us(class: u64) -> u64 {
    let shift = (class >> CLASSES_BITS).saturating_sub(1);
    let lower = class - (shift << CLASSES_BITS);
    ((lower + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_durations_within_three_percent() {
        for us in (0..100_000).chain([1 << 32, (1 << 40) + 12_345, 86_400_000_000]) {
            let upper = upper_us(class(us));
            assert!(upper >= us && upper - us <= us / 32, "{us} {upper}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_durations() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantiles(), None);
        (1..=100).for_each(|ms| durations.add(ms * 1000));
        let found = durations.quantiles().expect("durations");
        for (found, exact) in [(found.p50_us, 50_000), (found.p95_us, 95_000), (found.p99_us, 99_000)] {
            assert!(found >= exact && found <= exact + exact / 32, "{found} {exact}");
        }
    }
}
