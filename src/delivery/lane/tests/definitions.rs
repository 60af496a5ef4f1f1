//! Calls made under several definitions of a table's key: which lanes can be determined, and which calls wait for a whole definition.

use std::sync::Arc;

use super::*;
use crate::ordering::{KeyDefinition, MoreKeys, OrderedBy};

const ROWS: u64 = 4;

/// A definition for each number; the third is one whose lanes can't be determined under the others.
fn definition(table: usize, number: usize) -> Arc<KeyDefinition> {
    let by = match number {
        0 => OrderedBy::Table,
        1 => OrderedBy::Columns { key: Vec::new(), all: Vec::new() },
        _ => OrderedBy::Unknown,
    };
    Arc::new(KeyDefinition::new("r", "shop", &format!("t{table}"), by))
}

/// The lane of a row: under the first definition two rows have one.
fn key(table: usize, definition: usize, row: u64) -> LaneKey {
    let row = if definition == 0 { row / 2 } else { row };
    LaneKey((table as u64 * 10 + definition as u64) * 10 + row)
}

/// Enters a call as the dispatcher does: with its lanes under the definitions that are open, or after all of one.
fn enter(lanes: &mut Lanes, table: usize, number: usize, row: u64) -> Place {
    let own = definition(table, number);
    let mut more = MoreKeys::default();
    for other in lanes.other_definitions(own.id()) {
        let other_number = (0..3).find(|number| definition(table, *number).id() == other.id()).expect("one of three");
        match other_number {
            2 => more.definitions.push(other.id()),
            // What the third's rows are under the others can't be determined either.
            _ if number == 2 => more.definitions.push(other.id()),
            _ => more.keys.push(key(table, other_number, row)),
        }
    }
    lanes.enter_under(0, LaneKeys::one(key(table, number, row)).with(more), Some(&own), Turn::CallUnlessBlocked)
}

fn finish(lanes: &mut Lanes, place: Place) {
    lanes.end(place);
    lanes.release(place);
}

#[test]
fn a_row_waits_in_its_lane_of_an_earlier_definition_until_the_earlier_calls_are_released() {
    let mut lanes = Lanes::default();
    add_rule(&mut lanes, 10);
    let before = enter(&mut lanes, 0, 0, 1);
    let [same, other] = [1, 3].map(|row| enter(&mut lanes, 0, 1, row));
    assert_eq!(started(&mut lanes), [before, other]);
    finish(&mut lanes, before);
    assert_eq!(started(&mut lanes), [same]);
    [same, other].into_iter().for_each(|place| finish(&mut lanes, place));
    assert_eq!(lanes.other_definitions(definition(0, 1).id()), []);
}

#[test]
fn a_call_that_waits_for_a_whole_definition_waits_for_all_its_calls_and_other_tables_go_on() {
    let mut lanes = Lanes::default();
    add_rule(&mut lanes, 10);
    let before = [1, 2].map(|row| enter(&mut lanes, 0, 2, row));
    let after = [1, 3].map(|row| enter(&mut lanes, 0, 1, row));
    let elsewhere = enter(&mut lanes, 1, 1, 1);
    assert_eq!(started(&mut lanes), [before[0], before[1], elsewhere]);
    finish(&mut lanes, before[1]);
    assert_eq!(started(&mut lanes), [0; 0]);
    finish(&mut lanes, before[0]);
    assert_eq!(started(&mut lanes), after);
}

#[test]
fn a_call_behind_a_definition_with_dead_letters_that_block_keys_is_blocked_behind_the_first_of_them() {
    let mut lanes = Lanes::default();
    add_rule(&mut lanes, 10);
    let blocked = BlockedKeys::default();
    lanes.set_blocked_keys(blocked.clone());
    let made_under = Some(definition(0, 2));
    let letter = LaneKeys::one(A).with(MoreKeys { made_under, ..MoreKeys::default() });
    blocked.add(7, &letter, false);
    blocked.add(8, &letter, true);
    let [behind, elsewhere] = [0, 1].map(|table| enter(&mut lanes, table, 1, 1));
    assert_eq!(started(&mut lanes), [behind, elsewhere]);
    assert_eq!((lanes.turn(behind), lanes.turn(elsewhere)), (Turn::Block { by: 7 }, Turn::Call));
}

#[test]
fn a_call_of_several_definitions_never_waits_for_itself() {
    let mut lanes = Lanes::default();
    add_rule(&mut lanes, 10);
    let both = [definition(0, 1), definition(0, 2)];
    let ids = both.iter().map(|definition| definition.id()).collect();
    let call = lanes.enter_many_under(0, vec![A, B], &both, ids, Turn::Call);
    assert_eq!(started(&mut lanes), [call]);
}

#[derive(Debug, Clone)]
enum Event {
    Enter { table: usize, definition: usize, row: u64 },
    Finish(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let enter = (0..2usize, 0..3usize, 0..ROWS);
    let event = prop_oneof![
        enter.prop_map(|(table, definition, row)| Event::Enter { table, definition, row }),
        any::<usize>().prop_map(Event::Finish),
    ];
    prop::collection::vec(event, 0..120)
}

proptest! {
    /// A row's calls start in their order, whatever definition each was made under, and all come to an end.
    #[test]
    fn a_call_that_waits_for_a_whole_definition_starts_after_all_of_it_and_none_waits_for_ever(events in events()) {
        let mut lanes = Lanes::default();
        add_rule(&mut lanes, 3);
        // Table, definition, row and place of what is not released, in the order in which it came.
        let mut open: Vec<(usize, usize, u64, Place)> = Vec::new();
        let mut running: Vec<Place> = Vec::new();
        let rest = std::iter::repeat_n(Event::Finish(0), events.len());
        for event in events.iter().cloned().chain(rest) {
            match event {
                Event::Enter { table, definition, row } => {
                    let place = enter(&mut lanes, table, definition, row);
                    open.push((table, definition, row, place));
                }
                Event::Finish(which) if !running.is_empty() => {
                    let place = running.remove(which % running.len());
                    open.retain(|(.., open)| *open != place);
                    finish(&mut lanes, place);
                }
                Event::Finish(_) => {}
            }
            for place in started(&mut lanes) {
                let at = open.iter().position(|(.., open)| *open == place).expect("it entered");
                let (table, definition, row, _) = open[at];
                let overtaken = open[..at].iter().find(|(other_table, other, other_row, _)| {
                    let can_tell = definition == *other || (definition != 2 && *other != 2);
                    table == *other_table && (row == *other_row || !can_tell)
                });
                prop_assert_eq!(overtaken, None);
                running.push(place);
            }
        }
        prop_assert_eq!((open, lanes.len()), (Vec::new(), 0));
    }
}
