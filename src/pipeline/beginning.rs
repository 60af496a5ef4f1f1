//! Where each rule, and the main stream, go on after a restart.
//!
//! In: the rules, and what the store has of them. Out: their streams and the place where the main stream begins. Attached
//! rules whose marks lie shortly before the main stream's are read for together, from the earliest of these marks, and each
//! leaves out what it has had; a rule that is further back gets a feed of its own, so that it costs the others nothing and
//! can't keep the main stream from beginning (promise 5). Pure.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::coverage::Coverage;
use super::rule_stream::{Behind, RuleStream, Streams};
use crate::change::DeliveryId;
use crate::position::{Resume, Within};
use crate::rules::{Rule, RuleSet};
use crate::store::{Ledger, RuleCheckpoint, SavedCheckpoint};

/// Binlog that is read again for the sake of a rule's mark before the main stream's: a moment's work.
const JOIN_BYTES_MAX: u64 = 16 << 20;

pub(super) struct Beginning {
    pub main: Resume,
    pub streams: Streams,
    /// In the ledger, of rules that are no more.
    pub orphans: Vec<DeliveryId>,
}

/// `now_us` is when a rule counts as behind from, whose mark turns out to be too far back.
pub(super) fn begin(rules: &RuleSet, saved: SavedCheckpoint, now_us: u64) -> Beginning {
    let SavedCheckpoint { main, rules: records, known: _, mut ledger } = saved;
    let mut marks = Vec::new();
    let mut streams = Vec::new();
    for rule in rules.rules() {
        let record = records.iter().find(|record| *record.rule == *rule.name);
        let mark = record.map_or(&main, |record| &record.resume);
        let mut stream = RuleStream::new(rule, mark.clone().into(), take_ledger(&mut ledger, rule));
        match behind_since(record, &main, now_us) {
            Some(since_us) => stream.behind = Some(Behind::at(rule, mark.clone().into(), since_us)),
            None => marks.push(mark.clone()),
        }
        streams.push(stream);
    }
    let begins_at = earliest(&marks).unwrap_or_else(|| main.clone());
    for stream in streams.iter_mut().filter(|stream| stream.behind.is_none()) {
        let mark = stream.tracker.mark().resume();
        let is_there = mark.position == begins_at.position && mark.within == begins_at.within;
        stream.coverage = (!is_there).then(|| Coverage::new(&mark));
    }
    warn_of_vanished(rules, &records);
    let orphans = ledger.by_rule.into_values().flatten().collect();
    Beginning { main: begins_at, streams: streams.into_iter().collect(), orphans }
}

fn take_ledger(ledger: &mut Ledger, rule: &Arc<Rule>) -> HashSet<DeliveryId> {
    let mut own = ledger.by_rule.remove(rule.name.as_str()).unwrap_or_default();
    own.extend(&ledger.of_any_rule);
    own
}

fn behind_since(record: Option<&RuleCheckpoint>, main: &Resume, now_us: u64) -> Option<u64> {
    let record = record?;
    record.behind_since_us.or_else(|| (!can_join(&record.resume, main)).then_some(now_us))
}

/// Whether the main stream may begin at the mark instead of at its own place. Within one file, so that the server can't have
/// purged the one and kept the other; with the same definitions, because the mark has those of its own tables alone.
fn can_join(mark: &Resume, main: &Resume) -> bool {
    let (place, end) = (&mark.position.file, &main.position.file);
    mark.position.is_comparable_with(&main.position)
        && mark.position.server_uuid == main.position.server_uuid
        && place.file == end.file
        && place.order(end) != Ordering::Greater
        && end.offset - place.offset <= JOIN_BYTES_MAX
        && (Arc::ptr_eq(&mark.schema, &main.schema) || mark.schema == main.schema)
}

/// The last place from which nothing is missed that comes after any of these; none without any.
fn earliest(marks: &[Resume]) -> Option<Resume> {
    let (first, others) = marks.split_first()?;
    let position = others.iter().fold(first.position.clone(), |before, mark| before.before_both(&mark.position));
    // Rows of a transaction are left out by the source only where all have had them.
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
    Some(Resume { position, within, schema: Arc::clone(&first.schema) })
}

fn warn_of_vanished(rules: &RuleSet, records: &[RuleCheckpoint]) {
    for record in records.iter().filter(|record| rules.rule(&record.rule).is_none()) {
        if record.behind_since_us.is_some() {
            tracing::warn!(
                rule = &*record.rule,
                place = %record.resume.position,
                "the rule is gone from the files while it was behind; what came after this place is not delivered"
            );
        }
    }
}
