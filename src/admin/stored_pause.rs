//! Pausing and resuming a rule while no daemon runs: in the store alone, where the next start finds it.
//!
//! In: the same requests as the control socket's. Out: the same answers. Takes the names of the rules from the store,
//! so rule files are not needed.

use std::sync::Arc;

use super::control::ControlError;
use super::dead_letters;
use super::typed::{WHY_CHARACTERS_MAX, no_such_rule_among, one_line};
use super::view::status::{PauseRequest, ResumeRequest};
use crate::clock::now_us;
use crate::pipeline::CommandRefused;
use crate::store::{self, PausedRule, Saved, Store};

/// Pauses a rule. Durable when it returns.
///
/// # Errors
///
/// As the running daemon's: no such rule, paused already, or the store failed.
pub async fn pause_in_store(store: &Store, request: PauseRequest) -> Result<(), ControlError> {
    let PauseRequest { rule, why } = request;
    let saved = read(store).await?;
    let known = known(&saved, &rule)?;
    let mut paused = saved.paused;
    if paused.iter().any(|paused| *paused.rule == *rule) {
        return Err(ControlError::Refused(CommandRefused::AlreadyPaused { rule }));
    }
    let why = one_line(&why.unwrap_or_default(), WHY_CHARACTERS_MAX);
    paused.push(PausedRule { rule: known, since_us: now_us(), why });
    write(store, paused).await
}

/// Lets a rule go on at the next start. Durable when it returns.
///
/// # Errors
///
/// As the running daemon's; and if a position is named, because only a running daemon can resume from one.
pub async fn resume_in_store(store: &Store, request: ResumeRequest) -> Result<(), ControlError> {
    let ResumeRequest { rule, from } = request;
    if from.is_some() {
        return Err(ControlError::NeedsDaemon);
    }
    let saved = read(store).await?;
    known(&saved, &rule)?;
    let mut paused = saved.paused;
    let before = paused.len();
    paused.retain(|paused| *paused.rule != *rule);
    if paused.len() == before {
        return Err(ControlError::Refused(CommandRefused::NotPaused { rule }));
    }
    write(store, paused).await
}

/// The rule of this name, where the store knows all names or this one.
pub(super) fn known(saved: &Saved, rule: &str) -> Result<Arc<str>, ControlError> {
    let names: Vec<&Arc<str>> = match &saved.checkpoint {
        // Written by a version that stored no names: the name is taken as the operator typed it.
        Some(checkpoint) if checkpoint.known.is_none() => return Ok(rule.into()),
        Some(checkpoint) => checkpoint.known.iter().flatten().collect(),
        None => Vec::new(),
    };
    let is_paused = saved.paused.iter().any(|paused| *paused.rule == *rule);
    if is_paused || names.iter().any(|name| ***name == *rule) {
        return Ok(rule.into());
    }
    Err(ControlError::NoSuchRule(no_such_rule_among(rule, names.into_iter().map(|name| &**name))))
}

async fn read(store: &Store) -> Result<Saved, ControlError> {
    let store = store.clone();
    let saved = tokio::task::spawn_blocking(move || store.saved()).await.map_err(|_| dead_letters::Error::Aborted)?;
    Ok(saved.map_err(dead_letters::Error::Store)?)
}

async fn write(store: &Store, paused: Vec<PausedRule>) -> Result<(), ControlError> {
    let write = store::Write { paused: Some(paused), ..store::Write::default() };
    let written = store.write(write).await;
    written.map(drop).map_err(|error| ControlError::Letters(dead_letters::Error::Store(error)))
}
