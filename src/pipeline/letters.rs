//! Dead letters as deliveries again: under the rule of their name, as the rules are now.
//!
//! In: a dead letter and the rules. Out: its delivery, or why there is none, in words for an operator. Pure.

use std::sync::Arc;

use crate::change::Change;
use crate::delivery::{Delivery, EditedBody, Origin};
use crate::failure::Reason;
use crate::ordering::MoreKeys;
use crate::rules::{Rule, RuleSet};
use crate::store::{DeadLetter, DeadLetterHead};

/// Why a dead letter is not sent that was closed by hand.
pub(super) const RESOLVED: &str = "resolved";

/// Why a dead letter is not sent whose body was edited after it was read.
pub(super) const EDITED: &str = "its body was edited meanwhile; replay it again";

/// The dead letter's delivery, or why it can't be sent.
pub fn delivery_of(letter: DeadLetter, rules: &RuleSet) -> Result<Delivery, String> {
    let DeadLetter { head, change, body } = letter;
    if head.resolved.is_some() {
        return Err(RESOLVED.to_string());
    }
    let change = Arc::new(change);
    let rule = rule_of(&head, &change, rules)?;
    let edit = head.standing_edit().map(|edit| edit.number);
    let edited = edit.zip(body).map(|(edit, body)| EditedBody { edit, body });
    if edited.is_some() {
        rule.takes_edited_body(change.op).map_err(|why| {
            format!(
                "its body was edited, and {why}; rowhook dead-letters edit {} --revert takes the edit back",
                head.number
            )
        })?;
    }
    let origin = Origin::Replay { dead_letter: head.number };
    // It waits in the queues that it is in, whatever the rule's keys are now.
    let keys: Vec<_> = head.lanes.iter().collect();
    let more = (!keys.is_empty()).then(|| Arc::new(MoreKeys { keys, ..MoreKeys::default() }));
    Ok(Delivery { id: head.delivery_id, rule, change, origin, predetermined: None, saga_action: None, more, edited })
}

fn rule_of(head: &DeadLetterHead, change: &Arc<Change>, rules: &RuleSet) -> Result<Arc<Rule>, String> {
    let Some(rule) = rules.rule(&head.rule) else {
        if rules.is_disabled(&head.rule) {
            return Err(format!("rule {} is disabled; enable it again, or discard the dead letter", head.rule));
        }
        return Err(format!("no rule is named {}; add the rule again, or discard the dead letter", head.rule));
    };
    if !rule.tables.match_any(&change.table.schema, &change.table.name) {
        return Err(format!("rule {} is about {} now, not {}", head.rule, rule.tables, head.table));
    }
    if !rule.acts_on(change.op) {
        return Err(format!(
            "rule {} has no call for {} any more (`calls`); add one, or discard the dead letter",
            head.rule, change.op
        ));
    }
    let is_undecided = head.failure.reason == Reason::Undecided;
    let needed = |column: &str| rule.sends(&change.table, column) || (is_undecided && rule.decides_by(column));
    if let Some(column) = head.redacted.iter().find(|column| needed(column)) {
        return Err(format!(
            "rule {} needs column {column}, whose value was not kept (`redact`); discard the dead letter, or update the row",
            head.rule
        ));
    }
    // It was never decided whether the rule matches this change: its conditions are evaluated again.
    if is_undecided && !rule.decide(change)? {
        return Err(format!("rule {} does not match this change; discard the dead letter", head.rule));
    }
    Ok(rule.clone())
}
