//! Edits: a dead letter goes out with a body that an operator typed in, in the place of the one that its rule makes.
//!
//! In: a body, or that the edit is reverted. Out: it is stored with the dead letter, durable, and the next replay sends it. What the
//! rule can't send is refused before anything is stored. Only the body is kept: URL, headers, credentials and signature are made
//! by the rule when it is sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::dead_letters::{DeadLetters, Error};
use super::view::{EditRequest, EditedLetter, LetterBody};
use crate::clock::now_us;
use crate::delivery::ShownWork;
use crate::pipeline::{LetterUpdate, delivery_of};
use crate::rules::RuleSet;
use crate::store::{DeadLetter, DeadLetterHead, LetterEdit, NewBody};
use crate::template::TEXT_BYTES_MAX;

impl DeadLetters {
    /// The body that a replay would send now.
    pub async fn body(&self, number: u64, rules: &RuleSet) -> Result<LetterBody, Error> {
        let letter = self.editable(number).await?;
        body_of(letter, rules).map_err(|why| Error::NotEditable { number, why })
    }

    /// Gives the letter another body, or the one that its rule makes. Durable when it returns. The rules are needed for a new body
    /// only.
    pub async fn edit(&self, request: &EditRequest, rules: Option<&RuleSet>) -> Result<EditedLetter, Error> {
        let number = request.number;
        let letter = self.editable(number).await?;
        let at_us = now_us();
        let not_editable = |why: String| Error::NotEditable { number, why };
        let (id, base) = (letter.head.delivery_id, letter.head.newest_edit());
        let edited_meanwhile = || not_editable("it was edited meanwhile; show it, then edit it again".to_owned());
        if request.base.is_some_and(|seen| seen != base) {
            return Err(edited_meanwhile());
        }
        let body = match (&request.body_base64, rules) {
            (None, _) if letter.head.standing_edit().is_none() => {
                return Err(not_editable("its body is the one that its rule makes".to_owned()));
            }
            (None, _) => None,
            (Some(_), None) => return Err(not_editable("the rules are not known".to_owned())),
            (Some(text), Some(rules)) => {
                let body = STANDARD.decode(text).map_err(|error| not_editable(format!("base64: {error}")))?;
                let body = Bytes::from(body);
                check(letter, &body, at_us, rules).map_err(not_editable)?;
                Some(body)
            }
        };
        let update = LetterUpdate::Edit(NewBody { number, body: body.clone(), at_us, base });
        let updated = self.update(update).await?;
        if !updated.under_way.is_empty() {
            return Err(Error::UnderWay { number, done: "edited" });
        }
        if updated.written.edited != 1 {
            // It is gone or resolved; or another edit came first.
            self.editable(number).await?;
            return Err(edited_meanwhile());
        }
        let edit = if body.is_some() { base.saturating_add(1) } else { base };
        tracing::info!(number, edit, reverted = body.is_none(), "the body of a dead letter was edited");
        Ok(EditedLetter::of(id, edit, body.as_deref()))
    }

    /// The letter, if it is there and not resolved.
    async fn editable(&self, number: u64) -> Result<DeadLetter, Error> {
        let letter = self.read(move |store| store.dead_letter(number)).await?.ok_or_else(|| gone(number))?;
        match letter.head.resolved {
            Some(_) => Err(Error::NotEditable { number, why: "it is resolved, and is not sent again".to_owned() }),
            None => Ok(letter),
        }
    }
}

fn gone(number: u64) -> Error {
    Error::NoSuchLetter { missing: vec![number], and_then: "" }
}

/// Whether the rule of the letter can send this body.
fn check(letter: DeadLetter, body: &Bytes, at_us: u64, rules: &RuleSet) -> Result<(), String> {
    if body.len() > TEXT_BYTES_MAX {
        return Err(format!("the body has {} bytes, and a body has at most {TEXT_BYTES_MAX}", body.len()));
    }
    str::from_utf8(body).map_err(|error| format!("the body is not UTF-8: {error}"))?;
    let edited = DeadLetter {
        head: DeadLetterHead { edit: Some(LetterEdit { number: 1, at_us, is_reverted: false }), ..letter.head },
        body: Some(body.clone()),
        ..letter
    };
    body_of(edited, rules).map(drop)
}

/// The body that a replay sends, and its type; an error says why its rule sends none that can be edited.
fn body_of(letter: DeadLetter, rules: &RuleSet) -> Result<LetterBody, String> {
    let (op, edit) = (letter.change.op, letter.head.newest_edit());
    if let Some(rule) = rules.rule(&letter.head.rule).filter(|rule| rule.acts_on(op)) {
        rule.takes_edited_body(op)?;
    }
    let delivery = delivery_of(letter, rules)?;
    let ShownWork::Request(request) = delivery.preview()?.work() else {
        return Err(format!("rule {} executes SQL and sends no body", delivery.rule.name));
    };
    let content_type = request.headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    Ok(LetterBody { content_type: content_type.map(|(_, value)| value), body: request.body, edit })
}
