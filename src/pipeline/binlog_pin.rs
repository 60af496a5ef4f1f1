//! Keeping the server from purging what late rules still need, for those that ask for it (`pin_binlog`).
//!
//! In: at each tick, which of these rules are late and where their low-water marks stand. Out: one connection that is not read,
//! in the file of the earliest of these marks; one is enough for all rules, because the server purges its files in order. Owns
//! that connection, and while another replaces it, both. Uses durable marks only, because after a crash reading begins at those
//! (promise 1). Does not slow anything down: rules go on as they can, whether the binlog is pinned or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::command::BinlogPinStatus;
use super::reading::ChangeSource;
use super::rule_stream::RuleStream;
use crate::clock::now_us;
use crate::outcome::reached::Reached;
use crate::position::Position;
use crate::source::PinnedBinlog;

/// A rule that is attached counts as late when its oldest delivery has not been resolved for this long: it is paused, or a key
/// is retried for ever. Much shorter than any time after which binlogs are purged by age, longer than usual retries.
const LATE: Duration = Duration::from_secs(60);

/// What is needed of the binlog.
#[derive(Debug)]
struct Needed {
    /// The earliest mark.
    place: Position,
    /// The rules that have these marks.
    rules: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Pinned {
    needed: Needed,
    since_us: u64,
    pin: PinnedBinlog,
    /// The previous pin, kept until this one is pinned.
    before: Option<PinnedBinlog>,
}

#[derive(Debug, Default)]
pub(super) struct BinlogPin {
    /// What was needed when the checkpoint that is under way was taken.
    recording: Option<Needed>,
    pinned: Option<Pinned>,
}

impl BinlogPin {
    /// Pins what the last checkpoint needs. To be called when none is under way and the next is about to be taken.
    pub fn follow(&mut self, streams: &mut [RuleStream], reading: &ChangeSource) {
        let durable = std::mem::replace(&mut self.recording, needed(streams, Instant::now()));
        self.pin(durable, reading);
    }

    /// Whether the server is kept from purging now.
    pub fn is_pinned(&self) -> bool {
        self.pinned.as_ref().is_some_and(|pinned| pinned.pin.is_pinned())
    }

    pub fn status(&self) -> Option<BinlogPinStatus> {
        self.pinned.as_ref().map(|Pinned { needed, since_us, pin, .. }| BinlogPinStatus {
            file: Arc::clone(&needed.place.oldest_needed().file),
            rules: needed.rules.clone(),
            since_us: *since_us,
            is_pinned: pin.is_pinned(),
        })
    }

    fn pin(&mut self, needed: Option<Needed>, reading: &ChangeSource) {
        match (needed, &mut self.pinned) {
            (None, None) => {}
            (None, Some(_)) => {
                self.pinned = None;
                tracing::info!("the binlog is not pinned any more");
            }
            (Some(needed), None) => {
                tracing::warn!(
                    file = &*needed.place.oldest_needed().file,
                    rules = needed.rules.join(", "),
                    "the binlog is pinned from this file on, as long as these rules are late: the server purges nothing, and its \
                     disk may fill"
                );
                let pin = reading.pin(&needed.place);
                self.pinned = Some(Pinned { needed, since_us: now_us(), pin, before: None });
            }
            (Some(needed), Some(pinned)) => pinned.follow(needed, reading),
        }
    }
}

impl Pinned {
    fn follow(&mut self, needed: Needed, reading: &ChangeSource) {
        if self.pin.is_pinned() {
            self.before = None;
        }
        if !needed.place.needs_same_file_as(&self.needed.place) {
            let pin = std::mem::replace(&mut self.pin, reading.pin(&needed.place));
            tracing::debug!(file = &*needed.place.oldest_needed().file, "the binlog is pinned from another file on");
            // The oldest connection that is pinned protects most; one that was never pinned protects nothing.
            self.before = self.before.take().or_else(|| Some(pin).filter(PinnedBinlog::is_pinned));
        }
        self.needed = needed;
    }
}

impl RuleStream {
    /// Whether the binlog that it needs is older than it should be. By our own clock, so that a server whose clock is slow
    /// makes no rule late.
    fn is_late(&mut self, now: Instant) -> bool {
        let oldest = self.tracker.oldest_unresolved();
        let known = self.oldest.filter(|(id, _)| oldest == Some(*id));
        self.oldest = known.or_else(|| oldest.map(|id| (id, now)));
        self.detached.is_some() || self.oldest.is_some_and(|(_, since)| now.duration_since(since) > LATE)
    }
}

/// None: no rule that asks for it is late, or none of them has begun.
fn needed(streams: &mut [RuleStream], now: Instant) -> Option<Needed> {
    let mut needed: Option<Needed> = None;
    for stream in streams.iter_mut().filter(|stream| stream.rule.settings.pin_binlog) {
        let is_late = stream.is_late(now);
        let Some(place) = stream.own_mark().filter(|_| is_late).map(Reached::position) else { continue };
        let Needed { place: earliest, rules } =
            needed.get_or_insert_with(|| Needed { place: place.clone(), rules: Vec::new() });
        *earliest = earlier(earliest, place);
        rules.push(Arc::clone(&stream.name));
    }
    needed
}

fn earlier(one: &Position, other: &Position) -> Position {
    if !one.is_comparable_with(other) {
        // Without GTIDs, one of them belongs to a server that is no longer followed, and is lost.
        return one.clone();
    }
    one.before_both_anywhere(other)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::PathBuf;

    use uuid::Uuid;

    use super::super::rule_stream::DetachedStream;
    use super::*;
    use crate::change::{DeliveryId, Table, Transaction};
    use crate::outcome::tracker::Opening;
    use crate::position::{FileOffset, FoundBy, PositionParts, Proof, Resume};
    use crate::rules::RuleSet;

    fn at(server: u128, file: &str, gtids: Option<&str>) -> Position {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        Position::from_parts(PositionParts {
            server_uuid: Uuid::from_u128(server),
            gtids: gtids.map(|numbers| format!("{uuid}:{numbers}").parse().expect("a set")),
            file: FileOffset { file: file.into(), offset: 4 },
            undecided: Arc::default(),
            found_by: if gtids.is_some() { FoundBy::Either } else { FoundBy::Place },
            proof: Proof::default(),
        })
    }

    /// Streams of rules that are detached at these positions, or attached without any delivery.
    fn streams(rules: &[(&str, bool, Option<Position>)]) -> Vec<RuleStream> {
        let rule = |(name, holds, _): &(&str, bool, Option<Position>)| {
            format!("  - name: {name}\n    pin_binlog: {holds}\n    call: {{url: http://a.test/}}\n")
        };
        let text = format!("table: shop.orders\nrules:\n{}", rules.iter().map(rule).collect::<String>());
        let set = RuleSet::from_texts(&[(PathBuf::from("f.yaml"), text)], &|_| None).expect("rules");
        let reached = |position: &Position| -> Reached {
            Resume { position: position.clone(), within: vec![], schema: Arc::default() }.into()
        };
        let stream = |(rule, (_, _, place)): (&Arc<crate::rules::Rule>, &(&str, bool, Option<Position>))| {
            let mark = place.as_ref().map_or_else(Reached::nowhere, reached);
            let mut stream = RuleStream::new(rule, mark.clone(), HashSet::new());
            stream.detached = place.as_ref().map(|_| DetachedStream::at(rule, mark, 0));
            stream
        };
        set.rules().iter().zip(rules).map(stream).collect()
    }

    #[test]
    fn the_earliest_mark_of_the_late_rules_that_ask_for_it_is_needed() {
        let file = |number: u32| Some(at(1, &format!("b.{number:06}"), None));
        for (rules, expected) in [
            (vec![("a", true, None), ("b", false, file(3))], None),
            (vec![("a", true, file(10)), ("b", false, file(3)), ("c", true, None)], Some(("b.000010", "a"))),
            (vec![("a", true, file(10)), ("b", true, file(9)), ("c", true, file(11))], Some(("b.000009", "a b c"))),
        ] {
            let needed = needed(&mut streams(&rules), Instant::now());
            let found = needed.map(|needed| (needed.place.place().file.to_string(), needed.rules.join(" ")));
            assert_eq!(found, expected.map(|(file, rules)| (file.to_string(), rules.to_string())));
        }
    }

    #[test]
    fn marks_on_two_servers_are_held_by_what_both_have() {
        let marks =
            [("a", true, Some(at(1, "b.000009", Some("1-7")))), ("b", true, Some(at(2, "c.000001", Some("1-5"))))];
        let place = needed(&mut streams(&marks), Instant::now()).expect("both are behind").place;
        let gtids = at(1, "", Some("1-5")).into_parts().gtids;
        assert_eq!((place.server_uuid(), &place.parts().gtids), (Uuid::nil(), &gtids));
        let marks = marks.map(|(name, holds, place)| {
            (
                name,
                holds,
                place.map(|place| {
                    let parts = PositionParts { gtids: None, found_by: FoundBy::Place, ..place.into_parts() };
                    Position::from_parts(parts)
                }),
            )
        });
        let place = needed(&mut streams(&marks), Instant::now()).expect("both are behind").place;
        assert_eq!(place, at(1, "b.000009", None));
    }

    #[test]
    fn an_attached_rule_is_late_when_a_delivery_stays_without_outcome() {
        let mut streams = streams(&[("a", true, None)]);
        let transaction = Transaction { file: "b.000001".into(), ..Transaction::example() };
        let (schema, name) = ("shop".into(), "orders".into());
        let table = Arc::new(Table { schema, name, columns: vec!["id".into()], primary_key: vec![0] });
        let open = |number: u128| {
            let (id, transaction) = (DeliveryId(Uuid::from_u128(number)), Arc::new(transaction.clone()));
            let table = Arc::clone(&table);
            Opening { id, transaction, table, ordinal: number as u64, weight_bytes: 1 }
        };
        let start = Instant::now();
        streams[0]
            .tracker
            .go_on_from(Resume { position: at(0, "b.000001", None), within: vec![], schema: Arc::default() }.into());
        streams[0].tracker.open(open(1));
        streams[0].tracker.open(open(2));
        assert!(needed(&mut streams, start).is_none());
        assert!(needed(&mut streams, start + LATE).is_none());
        let place = needed(&mut streams, start + LATE * 2).expect("it is late").place;
        assert_eq!(place, at(0, "b.000001", None));
        streams[0].tracker.resolve(&DeliveryId(Uuid::from_u128(1)));
        assert!(needed(&mut streams, start + LATE * 2).is_none(), "another one is the oldest now");
        assert!(needed(&mut streams, start + LATE * 4).is_some());
    }
}
