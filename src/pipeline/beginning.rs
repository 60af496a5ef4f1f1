//! Where each rule, and the main stream, go on after a restart.
//!
//! In: the rules, and what the store has of them. Out: their streams and the position where the main stream begins. Attached
//! rules whose low-water marks lie shortly before the main stream's position share its reader, which begins at the earliest
//! of these marks, and each rule leaves out what it has had. A rule that is further back gets a feed of its own, so that it
//! costs the others nothing and can't keep the main stream from beginning (promise 5). Pure.

use std::collections::HashSet;
use std::sync::Arc;

use super::coverage::Coverage;
use super::rule_stream::{DetachedStream, RuleStream};
use crate::change::DeliveryId;
use crate::position::{Resume, Within};
use crate::rules::{Rule, RuleSet};
use crate::schema::Schema;
use crate::store::{Ledger, RuleCheckpoint, SavedCheckpoint};

/// Binlog that is read again for the sake of a rule's mark before the main stream's: a moment's work.
const JOIN_BYTES_MAX: u64 = 16 << 20;

pub(super) struct Beginning {
    pub main: Resume,
    /// In the order of the files.
    pub streams: Vec<RuleStream>,
    /// In the ledger, of rules that no longer exist.
    pub orphans: Vec<DeliveryId>,
}

/// A rule whose mark turns out to be too far back counts as detached since `now_us`.
pub(super) fn begin(rules: &RuleSet, saved: SavedCheckpoint, now_us: u64) -> Beginning {
    let SavedCheckpoint { main, rules: records, known, mut ledger, former_ids: _ } = saved;
    let is_new = |rule: &Rule| known.as_ref().is_some_and(|known| known.iter().all(|name| **name != *rule.name));
    let mut marks = Vec::new();
    let mut streams = Vec::new();
    for rule in rules.rules() {
        let record = records.iter().find(|record| *record.rule == *rule.name);
        let mark = record.map_or(&main, |record| &record.resume);
        if let Some(start) = rule.settings.start.clone().filter(|_| is_new(rule)) {
            let mut stream = RuleStream::new(rule, main.clone().into(), HashSet::new());
            stream.detached = Some(DetachedStream::from_start(rule, start, now_us));
            streams.push(stream);
            continue;
        }
        let mut stream = RuleStream::new(rule, mark.clone().into(), take_ledger(&mut ledger, rule));
        match detached_since(record, &main, now_us) {
            Some(since_us) => stream.detached = Some(DetachedStream::at(rule, mark.clone().into(), since_us)),
            None if mark.position.reaches(&main.position) && mark.position != main.position => marks.push(main.clone()),
            None => marks.push(mark.clone()),
        }
        streams.push(stream);
    }
    let begins_at = earliest(&marks, &main.schema).unwrap_or_else(|| main.clone());
    for stream in streams.iter_mut().filter(|stream| stream.detached.is_none()) {
        let mark = stream.tracker.mark().resume();
        let is_there = mark.position == begins_at.position && mark.within == begins_at.within;
        stream.coverage = (!is_there).then(|| Coverage::new(&mark));
    }
    warn_of_vanished(rules, &records);
    let orphans = ledger.by_rule.into_values().flatten().collect();
    Beginning { main: begins_at, streams, orphans }
}

fn take_ledger(ledger: &mut Ledger, rule: &Arc<Rule>) -> HashSet<DeliveryId> {
    let mut own = ledger.by_rule.remove(rule.name.as_str()).unwrap_or_default();
    own.extend(&ledger.of_any_rule);
    own
}

fn detached_since(record: Option<&RuleCheckpoint>, main: &Resume, now_us: u64) -> Option<u64> {
    let record = record?;
    record.detached_since_us.or_else(|| (!can_join(&record.resume, main)).then_some(now_us))
}

/// Whether the rule may be fed by the main stream, which may have to begin at the mark instead of at its own position. Within
/// one file, so that the server can't have purged the one and kept the other; with the same definitions, because the mark
/// has those of its own tables alone.
fn can_join(mark: &Resume, main: &Resume) -> bool {
    if !mark.position.is_comparable_with(&main.position) {
        return false;
    }
    // It had just caught up with a reader that was a little ahead.
    if mark.position.reaches(&main.position) && mark.position != main.position {
        return true;
    }
    mark.position.bytes_to(&main.position).is_some_and(|bytes| bytes <= JOIN_BYTES_MAX)
        && (Arc::ptr_eq(&mark.schema, &main.schema) || mark.schema == main.schema)
}

/// The last position from which reading misses nothing that comes after any of these marks; none without marks.
fn earliest(marks: &[Resume], schema: &Arc<Schema>) -> Option<Resume> {
    let (first, others) = marks.split_first()?;
    let position = others.iter().fold(first.position.clone(), |before, mark| before.before_both(&mark.position));
    // The source leaves out rows of a transaction only where all rules have had them.
    let rows_of = |mark: &Resume, within: &Within| {
        let same = |known: &&Within| known.transaction == within.transaction && known.table == within.table;
        mark.within.iter().find(same).map(|known| known.rows)
    };
    let in_all = |within: &Within| {
        let rows = marks.iter().map(|mark| rows_of(mark, within)).min().flatten()?;
        Some(Within { rows, ..within.clone() })
    };
    let is_one_place = marks.iter().all(|mark| mark.position == position);
    let within = if is_one_place { first.within.iter().filter_map(in_all).collect() } else { Vec::new() };
    Some(Resume { position, within, schema: Arc::clone(schema) })
}

fn warn_of_vanished(rules: &RuleSet, records: &[RuleCheckpoint]) {
    for record in records.iter().filter(|record| rules.rule(&record.rule).is_none()) {
        if record.detached_since_us.is_some() {
            tracing::warn!(
                rule = &*record.rule,
                place = %record.resume.position,
                "the rule was removed while it was detached; changes after this position are not delivered"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use uuid::Uuid;

    use super::*;
    use crate::position::{FileOffset, FoundBy, Position, PositionParts, Proof};
    use crate::schema::{Definition, Schema, TableName};

    const MAIN_OFFSET: u64 = 100 << 20;

    fn place(file: &str, offset: u64, rows: u64) -> Resume {
        let file = FileOffset { file: file.into(), offset };
        let (undecided, proof) = (Arc::default(), Proof::default());
        let found_by = FoundBy::Place;
        let parts = PositionParts { server_uuid: Uuid::nil(), gtids: None, file, undecided, found_by, proof };
        let position = Position::from_parts(parts);
        let within = Within { transaction: "t".into(), table: "shop.orders".into(), rows };
        Resume { position, within: (rows > 0).then_some(within).into_iter().collect(), schema: Arc::default() }
    }

    fn at(offset: u64, rows: u64) -> Resume {
        place("b.000002", offset, rows)
    }

    fn rules(names: &[&str]) -> RuleSet {
        let rule = |name: &&str| format!("  - name: {name}\n    call: {{url: http://a.test/}}\n");
        let text = format!("table: shop.orders\nrules:\n{}", names.iter().map(rule).collect::<String>());
        RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("rules")
    }

    fn saved(records: Vec<(&str, Resume, Option<u64>)>) -> SavedCheckpoint {
        let record = |(rule, resume, detached_since_us): (&str, Resume, _)| RuleCheckpoint {
            rule: rule.into(),
            resume,
            detached_since_us,
        };
        let rules = records.into_iter().map(record).collect();
        SavedCheckpoint { main: at(MAIN_OFFSET, 7), rules, known: None, ledger: Ledger::default(), former_ids: None }
    }

    /// Where the main stream begins, and of each rule whether it is detached and whether it leaves anything out.
    fn begun(names: &[&str], records: Vec<(&str, Resume, Option<u64>)>) -> (Resume, Vec<(bool, bool)>) {
        let Beginning { main, streams, .. } = begin(&rules(names), saved(records), 5);
        (main, streams.iter().map(|stream| (stream.detached.is_some(), stream.coverage.is_some())).collect())
    }

    #[test]
    fn rules_are_read_for_together_from_the_earliest_mark_that_is_near() {
        let (near, nearer) = (at(MAIN_OFFSET - 2000, 3), at(MAIN_OFFSET - 1000, 0));
        let main = at(MAIN_OFFSET, 7);
        let elsewhere = Resume { schema: Arc::new(schema()), ..near.clone() };
        for (records, begins_at, first, second) in [
            (vec![], main.clone(), (false, false), (false, false)),
            (vec![("one", near.clone(), None)], at(MAIN_OFFSET - 2000, 0), (false, true), (false, true)),
            (
                vec![("one", near.clone(), None), ("two", nearer.clone(), None)],
                at(MAIN_OFFSET - 2000, 0),
                (false, true),
                (false, true),
            ),
            (
                vec![("one", near.clone(), None), ("two", near.clone(), None)],
                near.clone(),
                (false, false),
                (false, false),
            ),
            (
                vec![("one", at(MAIN_OFFSET, 5), None), ("two", at(MAIN_OFFSET, 6), None)],
                at(MAIN_OFFSET, 5),
                (false, false),
                (false, true),
            ),
            // Detached, or too far back, in another file, with other definitions: the rule gets its own reader.
            (vec![("one", near.clone(), Some(9))], main.clone(), (true, false), (false, false)),
            (vec![("one", at(4, 0), None)], main.clone(), (true, false), (false, false)),
            (vec![("one", place("b.000001", MAIN_OFFSET, 0), None)], main.clone(), (true, false), (false, false)),
            (vec![("one", elsewhere, None)], main.clone(), (true, false), (false, false)),
            // Caught up by a reader that was ahead.
            (vec![("one", at(MAIN_OFFSET + 50, 0), None)], main.clone(), (false, true), (false, false)),
        ] {
            let what = format!("{records:?}");
            assert_eq!(begun(&["one", "two"], records), (begins_at, vec![first, second]), "{what}");
        }
    }

    #[test]
    fn a_rule_that_says_where_it_begins_does_so_once() {
        let rule = "  - {name: one, start: earliest, call: {url: http://a.test/}}\n";
        let text = format!("table: shop.orders\nrules:\n{rule}");
        let rules = RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("rules");
        for (known, begins_there) in [(Some(vec!["other"]), true), (Some(vec!["one"]), false), (None, false)] {
            let known = known.map(|names| names.into_iter().map(Arc::from).collect());
            let begun = begin(&rules, SavedCheckpoint { known, ..saved(vec![]) }, 5);
            let start = begun.streams[0].detached.as_ref().and_then(|detached| detached.start.clone());
            assert_eq!(start.is_some(), begins_there);
        }
    }

    #[test]
    fn the_only_rule_goes_on_inside_its_transaction() {
        let mark = at(MAIN_OFFSET, 3);
        assert_eq!(begun(&["one"], vec![("one", mark.clone(), None)]), (mark, vec![(false, false)]));
    }

    #[test]
    fn a_ledger_goes_to_its_rule_and_what_has_no_rule_is_cleared_away() {
        let id = |number| DeliveryId(Uuid::from_u128(number));
        let by_rule = [("one", 1), ("gone", 2)].map(|(rule, number)| (rule.into(), HashSet::from([id(number)])));
        let ledger = Ledger { by_rule: by_rule.into(), of_any_rule: HashSet::from([id(3)]) };
        let begun = begin(&rules(&["one", "two"]), SavedCheckpoint { ledger, ..saved(vec![]) }, 5);
        assert_eq!(begun.orphans, [id(2)]);
        let mut ledgers = begun.streams.into_iter().map(|stream| stream.tracker.abandon()).collect::<Vec<_>>();
        ledgers.iter_mut().for_each(|ledger| ledger.sort());
        assert_eq!(ledgers, [vec![id(1), id(3)], vec![id(3)]]);
    }

    fn schema() -> Schema {
        let mut schema = Schema::default();
        let definition = Definition::default();
        schema.insert(TableName::new("shop", "orders"), definition.into());
        schema
    }
}
