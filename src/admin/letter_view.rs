//! Dead letters of the store as what operators see of them.
//!
//! In: a head, or a whole dead letter. Out: its view. What of it changes while rowhook runs, the dead letter that it waits behind, is
//! asked of the store.

use serde_json::value::RawValue;

use super::view::{AttemptView, EditView, LetterView, ResolvedView, TransactionView, rfc3339};
use crate::change::{self, Change};
use crate::failure::{Answer, Attempt, Reason};
use crate::store::{DeadLetter, DeadLetterHead, Store};

/// Without its change; with what it waits behind.
pub(super) fn head_view(store: &Store, head: &DeadLetterHead) -> LetterView {
    let behind = store.blocked_keys().ahead_of(head.number, &head.lanes).min();
    let is_blocked = head.failure.reason == Reason::Blocked && head.resolved.is_none();
    let message = match behind {
        Some(ahead) if is_blocked => format!("waits behind dead letter {ahead}"),
        None if is_blocked => "goes out next".to_string(),
        _ => head.failure.message.clone(),
    };
    LetterView { blocked_by: behind, message, ..view(head) }
}

/// With its change, without what its saga left.
pub(super) fn whole_view(store: &Store, letter: &DeadLetter) -> LetterView {
    let head = head_view(store, &letter.head);
    let body = letter.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
    let sent_under = letter.body.as_ref().zip(letter.head.standing_edit());
    let sent_under = sent_under.map(|(body, edit)| letter.head.delivery_id.of_edit(edit.number, body).to_string());
    LetterView {
        key: Some(key(&letter.change)),
        transaction: Some(transaction_view(&letter.change)),
        change: Some(event(&letter.change, &letter.head)),
        edit: head.edit.clone().map(|edit| EditView { body, idempotency_key: sent_under, ..edit }),
        ..head
    }
}

fn view(head: &DeadLetterHead) -> LetterView {
    LetterView {
        number: head.number,
        id: head.delivery_id.to_string(),
        rule: head.rule.to_string(),
        op: head.op.to_string(),
        table: head.table.to_string(),
        key: None,
        reason: head.failure.reason.as_str().to_string(),
        blocked_by: None,
        message: head.failure.message.clone(),
        attempts: head.failure.attempts.kept().iter().map(attempt_view).collect(),
        attempts_total: head.failure.attempts.total(),
        created_at: rfc3339(head.created_at_us),
        replays: head.replays,
        last_replayed_at: head.replayed_at_us.map(rfc3339),
        redacted: head.redacted.iter().map(ToString::to_string).collect(),
        effect: None,
        resolved: head
            .resolved
            .as_ref()
            .map(|resolved| ResolvedView { note: resolved.note.to_string(), at: rfc3339(resolved.at_us) }),
        edit: head.edit.as_ref().map(EditView::of),
        saga: None,
        transaction: None,
        change: None,
    }
}

fn attempt_view(attempt: &Attempt) -> AttemptView {
    let (status, error, excerpt) = match &attempt.answer {
        Answer::Status { status, excerpt } => (Some(*status), None, Some(excerpt.clone())),
        Answer::Written { .. } => (None, None, Some(attempt.answer.in_words())),
        Answer::Failed { error } => (None, Some(error.clone()), None),
    };
    let duration_ms = attempt.duration_us.div_ceil(1000);
    AttemptView { at: rfc3339(attempt.started_at_us), duration_ms, status, error, excerpt }
}

fn transaction_view(change: &Change) -> TransactionView {
    let transaction = &change.transaction;
    TransactionView {
        gtid: transaction.gtid.as_ref().map(ToString::to_string),
        file: transaction.file.to_string(),
        offset: transaction.offset,
    }
}

/// The row's primary key, as JSON.
pub(super) fn key(change: &Change) -> Box<RawValue> {
    let mut text = Vec::new();
    change::json::write_key(change, &mut text);
    serde_json::from_slice(&text).expect("a key is JSON")
}

fn event(change: &Change, head: &DeadLetterHead) -> Box<RawValue> {
    let mut text = Vec::new();
    change::json::write_event(change, &head.rule, head.delivery_id, &mut text);
    serde_json::from_slice(&text).expect("a change event is JSON")
}
