//! Which commands an operator may give for a dead letter, and the log that each makes of its saga.
//!
//! In: the dead letter's delivery under the current rule, the log of its saga, a command. Out: the log to go on with, or the
//! refusal in words for an operator. The one place that decides it: replays, dry runs and the advice of `show` ask here. The
//! decision is pure; what it is about is read before.

use crate::change::DeliveryId;
use crate::delivery::Delivery;
use crate::failure::Reason;
use crate::rules::Saga;
use crate::saga::{SagaCommand, SagaEffect, SagaLog};
use crate::store::{self, Store};

/// What is known of a delivery's saga.
#[derive(Debug, Clone)]
pub struct KnownSaga {
    /// None: nothing was begun.
    pub log: Option<SagaLog>,
    /// Calls for changes that were committed up to then may have been made without a trace, because the store was restored.
    pub restored_until_us: Option<u64>,
}

impl KnownSaga {
    /// What the store knows of the delivery's saga. Blocks.
    pub fn read(store: &Store, id: DeliveryId) -> Result<KnownSaga, store::Error> {
        Ok(KnownSaga { log: store.saga(id)?, restored_until_us: store.restored_until_us()? })
    }
}

/// The log to go on with; none: the rule makes one call that may be repeated.
///
/// # Errors
/// Why the command is refused.
pub fn grant(delivery: &Delivery, known: KnownSaga, saga_command: SagaCommand) -> Result<Option<SagaLog>, String> {
    let KnownSaga { log, restored_until_us } = known;
    let Some(saga) = &delivery.rule.saga else {
        return without_saga(saga_command, log.as_ref()).map(|()| None);
    };
    let Some(mut log) = log else {
        return match saga_command {
            SagaCommand::Resume | SagaCommand::FromStart => {
                let mut log = saga.definition.begin();
                doubt(delivery, saga, restored_until_us, &mut log);
                Ok(Some(log))
            }
            SagaCommand::Undo | SagaCommand::Settle { .. } => Err("nothing of it was ever begun".to_string()),
        };
    };
    if saga.definition.fits(&log) {
        doubt(delivery, saga, restored_until_us, &mut log);
    }
    if saga_command == SagaCommand::Undo {
        log.reason.get_or_insert(match log.effect() {
            SagaEffect::Complete => Reason::CallbackFailed,
            SagaEffect::None | SagaEffect::Partial => Reason::Interrupted,
        });
    } else {
        log.reason = None;
    }
    saga.definition.grant(&mut log, saga_command).map_err(|refusal| refusal.to_string())?;
    Ok(Some(log))
}

/// After the store was restored: what may have been called since the backup is uncertain.
pub(super) fn doubt(delivery: &Delivery, saga: &Saga, restored_until_us: Option<u64>, log: &mut SagaLog) {
    let committed_at_us = delivery.change.transaction.committed_at_us;
    if restored_until_us.is_some_and(|until| committed_at_us <= until) {
        saga.definition.doubt(log);
    }
}

/// The rule makes one call now, and its dead letter may be of a saga with several steps.
fn without_saga(saga_command: SagaCommand, log: Option<&SagaLog>) -> Result<(), String> {
    match (saga_command, log) {
        (SagaCommand::Resume | SagaCommand::FromStart, None) | (SagaCommand::FromStart, Some(_)) => Ok(()),
        (SagaCommand::Resume, Some(log)) if log.effect() == SagaEffect::None => Ok(()),
        (SagaCommand::Resume, Some(log)) => Err(format!(
            "the rule has no steps any more, and of those that it had {}; `--from-start` calls what it calls now",
            log.in_words()
        )),
        (SagaCommand::Undo | SagaCommand::Settle { .. }, _) => Err("the rule has no steps".to_string()),
    }
}
