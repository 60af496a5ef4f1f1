//! GTIDs and sets of them, with MySQL's text form.
//!
//! The text form, also with tags (`uuid:1-233:mytag:1-4`), is that of `@@gtid_executed`: MySQL Reference Manual,
//! "GTID Format and Storage". Intervals are inclusive at both ends.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// The tag of a GTID; empty for an untagged one. At most 32 characters: a letter or `_`, then letters, digits, `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tag(Arc<str>);

impl Tag {
    pub fn parse(text: &str) -> Result<Tag, ParseError> {
        let mut characters = text.chars();
        let starts_well = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if starts_well && text.len() <= 32 && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            Ok(Tag(text.to_ascii_lowercase().into()))
        } else {
            Err(ParseError(format!("`{text}` is not a GTID tag")))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The identity of one transaction over all servers of a replica set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gtid {
    pub uuid: Uuid,
    pub tag: Tag,
    /// From 1.
    pub number: u64,
}

impl Gtid {
    /// Its text form, part by part.
    pub fn spell(&self, mut put: impl FnMut(&str)) {
        put(self.uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        put(":");
        if !self.tag.as_str().is_empty() {
            put(self.tag.as_str());
            put(":");
        }
        put(itoa::Buffer::new().format(self.number));
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        self.spell(|part| written = written.and_then(|()| f.write_str(part)));
        written
    }
}

/// First and last number, both included.
type Interval = (u64, u64);

/// A set of GTIDs: per server and tag, intervals in ascending order that neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidSet(BTreeMap<(Uuid, Tag), Vec<Interval>>);

impl GtidSet {
    pub fn new() -> GtidSet {
        GtidSet::default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.0
            .get(&(gtid.uuid, gtid.tag.clone()))
            .is_some_and(|intervals| covers(intervals, (gtid.number, gtid.number)))
    }

    pub fn insert(&mut self, gtid: &Gtid) {
        self.insert_interval(gtid.uuid, gtid.tag.clone(), (gtid.number, gtid.number));
    }

    /// Adds every GTID from `interval.0` to `interval.1`, both included.
    pub fn insert_interval(&mut self, uuid: Uuid, tag: Tag, interval: (u64, u64)) {
        let intervals = self.0.entry((uuid, tag)).or_default();
        // In the order of the binlog nearly every GTID follows the last one: then this is the whole work.
        match intervals.last_mut() {
            Some(last) if interval.0 >= last.0 && interval.0 <= last.1.saturating_add(1) => {
                last.1 = last.1.max(interval.1);
                return;
            }
            Some(last) if interval.0 > last.1 => return intervals.push(interval),
            None => return intervals.push(interval),
            Some(_) => {}
        }
        intervals.push(interval);
        intervals.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for &(first, last) in intervals.iter() {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        *intervals = merged;
    }

    /// The highest number of each server and tag.
    pub fn newest(&self) -> impl Iterator<Item = Gtid> {
        let last = |((uuid, tag), intervals): (&(Uuid, Tag), &Vec<Interval>)| {
            intervals.last().map(|&(_, number)| Gtid { uuid: *uuid, tag: tag.clone(), number })
        };
        self.0.iter().filter_map(last)
    }

    /// The set without one GTID.
    pub fn without(&self, gtid: &Gtid) -> GtidSet {
        let mut one = GtidSet::new();
        one.insert(gtid);
        self.missing_from(&one)
    }

    pub fn union_with(&mut self, other: &GtidSet) {
        for (uuid, tag, interval) in other.intervals() {
            self.insert_interval(uuid, tag.clone(), interval);
        }
    }

    pub fn is_subset_of(&self, other: &GtidSet) -> bool {
        self.missing_from(other).is_empty()
    }

    /// The GTIDs of this set that `other` lacks.
    pub fn missing_from(&self, other: &GtidSet) -> GtidSet {
        let mut missing = GtidSet::new();
        for (uuid, tag, (first, last)) in self.intervals() {
            let theirs = other.0.get(&(uuid, tag.clone())).map_or(&[][..], Vec::as_slice);
            let mut from = first;
            for &(their_first, their_last) in theirs.iter().filter(|i| i.1 >= first && i.0 <= last) {
                if from < their_first {
                    missing.insert_interval(uuid, tag.clone(), (from, their_first - 1));
                }
                from = from.max(their_last.saturating_add(1));
            }
            if from <= last {
                missing.insert_interval(uuid, tag.clone(), (from, last));
            }
        }
        missing
    }

    /// The GTIDs that both sets have.
    pub fn intersection(&self, other: &GtidSet) -> GtidSet {
        self.missing_from(&self.missing_from(other))
    }

    /// Every server that has a transaction in this set.
    pub fn uuids(&self) -> impl Iterator<Item = Uuid> + '_ {
        let mut previous = None;
        self.0.keys().map(|(uuid, _)| *uuid).filter(move |uuid| previous.replace(*uuid) != Some(*uuid))
    }

    /// All intervals (both ends included), by server and tag.
    pub fn intervals(&self) -> impl Iterator<Item = (Uuid, &Tag, (u64, u64))> {
        self.0.iter().flat_map(|((uuid, tag), list)| list.iter().map(move |interval| (*uuid, tag, *interval)))
    }
}

fn covers(intervals: &[Interval], wanted: Interval) -> bool {
    let after = intervals.partition_point(|interval| interval.0 <= wanted.0);
    after > 0 && intervals[after - 1].1 >= wanted.1
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut previous: Option<Uuid> = None;
        for ((uuid, tag), intervals) in &self.0 {
            match previous {
                Some(same) if same == *uuid => {}
                Some(_) => write!(f, ",{uuid}")?,
                None => write!(f, "{uuid}")?,
            }
            previous = Some(*uuid);
            if !tag.as_str().is_empty() {
                write!(f, ":{}", tag.as_str())?;
            }
            for (first, last) in intervals {
                write!(f, ":{first}")?;
                if last > first {
                    write!(f, "-{last}")?;
                }
            }
        }
        Ok(())
    }
}

/// Why a text is no GTID set; names the part at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl FromStr for GtidSet {
    type Err = ParseError;

    /// Reads `@@gtid_executed`'s form; white space and line breaks between parts are allowed, as MySQL prints them.
    fn from_str(text: &str) -> Result<GtidSet, ParseError> {
        let mut set = GtidSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let server = fields.next().unwrap_or_default();
            let uuid = Uuid::try_parse(server).map_err(|_| ParseError(format!("`{server}` is not a server UUID")))?;
            let mut tag = Tag::default();
            let mut intervals = 0;
            for field in fields {
                if field.starts_with(|c: char| c.is_ascii_digit()) {
                    set.insert_interval(uuid, tag.clone(), parse_interval(field)?);
                    intervals += 1;
                } else {
                    tag = Tag::parse(field)?;
                }
            }
            if intervals == 0 {
                return Err(ParseError(format!("`{part}` names no transaction; expected for example {uuid}:1-100")));
            }
        }
        Ok(set)
    }
}

fn parse_interval(text: &str) -> Result<Interval, ParseError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first >= 1 && last >= first && last < i64::MAX as u64 => Ok((first, last)),
        _ => Err(ParseError(format!("`{text}` is not a range of transaction numbers"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn the_servers_own_text_reads_back_the_same() {
        for text in [
            String::new(),
            format!("{A}:1-233"),
            format!("{A}:5"),
            format!("{A}:1-3:11:47-49"),
            format!("{A}:1-233:mytag:1-4,{B}:7"),
            format!("{A}:mytag:1-4:other:2:9"),
        ] {
            assert_eq!(text.parse::<GtidSet>().expect(&text).to_string(), text);
        }
        let with_line_breaks = format!("{A}:1-2,\n{B}:1");
        assert_eq!(with_line_breaks.parse::<GtidSet>().expect("line breaks").to_string(), format!("{A}:1-2,{B}:1"));
    }

    #[test]
    fn what_is_no_gtid_set_is_refused_with_the_part_at_fault() {
        for (text, part) in [
            ("binlog.000003:4".to_string(), "binlog.000003"),
            (A.to_string(), A),
            (format!("{A}:0-5"), "0-5"),
            (format!("{A}:9-5"), "9-5"),
            (format!("{A}:1-99999999999999999999"), "1-99999999999999999999"),
            (format!("{A}:my-tag:1"), "my-tag"),
        ] {
            let error = text.parse::<GtidSet>().expect_err(&text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    fn arbitrary_set() -> impl Strategy<Value = (GtidSet, BTreeSet<(u8, u64)>)> {
        proptest::collection::vec((0..3u8, 1..60u64, 0..6u64), 0..25).prop_map(|ranges| {
            let (mut set, mut model) = (GtidSet::new(), BTreeSet::new());
            for (server, first, length) in ranges {
                let tag = if server == 2 { Tag::parse("t").expect("a tag") } else { Tag::default() };
                set.insert_interval(Uuid::from_u128(u128::from(server.min(1))), tag, (first, first + length));
                model.extend((first..=first + length).map(|number| (server, number)));
            }
            (set, model)
        })
    }

    proptest! {
        #[test]
        fn set_algebra_agrees_with_a_plain_set_of_numbers((a, in_a) in arbitrary_set(), (b, in_b) in arbitrary_set()) {
            prop_assert_eq!(a.is_subset_of(&b), in_a.is_subset(&in_b));
            let count = |set: &GtidSet| set.intervals().map(|(_, _, (first, last))| last - first + 1).sum::<u64>();
            prop_assert_eq!(count(&a), in_a.len() as u64);
            prop_assert_eq!(count(&a.missing_from(&b)), in_a.difference(&in_b).count() as u64);
            let both = a.intersection(&b);
            prop_assert_eq!(count(&both), in_a.intersection(&in_b).count() as u64);
            prop_assert!(both.is_subset_of(&a) && both.is_subset_of(&b));
            prop_assert_eq!(&both, &b.intersection(&a));
            let mut union = a.clone();
            union.union_with(&b);
            prop_assert_eq!(count(&union), in_a.union(&in_b).count() as u64);
            prop_assert_eq!(union.to_string().parse::<GtidSet>().expect("own text"), union);
        }
    }
}
