//! Positions as the store has them, and moving them.
//!
//! In: a store; a new set of low-water marks with a description of the change. Out: a view of the marks and of the log of
//! changes; the new marks, durable together with their entry in that log. Dead letters, ledger, sagas and paused rules
//! stay as they are. The same with and without a running daemon, except moving: that needs a store that no other process
//! writes to.

use super::control::ControlError;
use super::dead_letters::{DeadLetters, Error};
use super::stored_pause;
use super::typed::one_line;
use super::view::position::{PositionChangeView, PositionMoveView, PositionsView, RulePositionView};
use super::view::rfc3339;
use super::view::status::PositionView;
use crate::store::{self, CheckpointSet, PositionChange, PositionMove, Positions, RuleCheckpoint, Saved, Store};

/// A note has some lines on a screen.
const NOTE_CHARACTERS_MAX: usize = 1_000;

/// The marks and the log of those that were moved.
///
/// # Errors
///
/// When the store can't be read.
pub async fn positions_of_store(letters: &DeadLetters) -> Result<PositionsView, Error> {
    let Positions { main, rules, log } = letters.read(store::Store::positions).await?;
    Ok(PositionsView {
        position: main.map(|main| PositionView::of(&main.position)),
        rules: rules.iter().map(rule_view).collect(),
        log: log.into_iter().map(change_view).collect(),
    })
}

/// Refuses a rule that the store does not know, with the name that may have been meant.
///
/// # Errors
///
/// When there is no such rule.
pub fn require_rule(saved: &Saved, rule: &str) -> Result<(), ControlError> {
    stored_pause::known(saved, rule).map(drop)
}

/// Replaces the stored marks by these, and adds the change to the log. Durable, in one transaction, when it
/// returns.
///
/// # Errors
///
/// When the store can't be read or written.
pub async fn move_in_store(store: &Store, set: CheckpointSet, mut change: PositionChange) -> Result<(), Error> {
    change.note = change.note.map(|note| one_line(&note, NOTE_CHARACTERS_MAX)).filter(|note| !note.is_empty());
    let Positions { mut log, .. } = DeadLetters::new(store.clone()).read(store::Store::positions).await?;
    log.push(change);
    let write = store::Write { checkpoint: Some(set), position_log: Some(log), ..store::Write::default() };
    store.write(write).await?;
    Ok(())
}

fn rule_view(rule: &RuleCheckpoint) -> RulePositionView {
    RulePositionView {
        rule: rule.rule.to_string(),
        position: PositionView::of(&rule.resume.position),
        detached_since: rule.detached_since_us.map(rfc3339),
    }
}

fn change_view(change: PositionChange) -> PositionChangeView {
    let PositionChange { at_us, by, how, note, moves } = change;
    let moves =
        moves.into_iter().map(|moved| {
            let PositionMove {
                rule,
                from,
                to,
                skipped_transactions,
                skipped_bytes,
                repeated_transactions,
                repeated_bytes,
            } = moved;
            PositionMoveView {
                rule,
                from,
                to,
                skipped_transactions,
                skipped_bytes,
                repeated_transactions,
                repeated_bytes,
            }
        });
    PositionChangeView { at: rfc3339(at_us), by, how, note, moves: moves.collect() }
}
