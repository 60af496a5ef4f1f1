//! Alerts: what rowhook reports operators by itself, also while MySQL is away and when it ends with an error.
//!
//! In: the status every few seconds, the alerts of the settings file. Out: a call of each alert when one of its conditions begins to
//! hold, changes, lasts, or holds no more. What was reported is kept in the data directory, so that a restart reports nothing twice and
//! ends what it finds over. An alert that can't be sent holds up no other and is shown in the status; the loop never waits for any.

mod found;
mod ledger;
mod ledger_file;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use self::found::found;
use self::ledger::{AlertLedger, AlertLimits};
use self::ledger_file::LedgerFile;
use super::view::rfc3339;
use super::view::status::{AlertView, StatusView};
use crate::alert::{Alert, AlertItem, AlertOrigin, AlertState, ConditionKind};
use crate::clock::now_us;
use crate::delivery::{AfterAnswer, Delivery, Outcome, Rehearsal, RehearsalEnd, Sinks};
use crate::failure::Answer;
use crate::rules::{AlertCondition, AlertRule};
use crate::telemetry::{AlertLabels, Metrics};

/// A person notices no difference; a status costs a millisecond.
const INTERVAL: Duration = Duration::from_secs(2);

/// After a start it takes some calls to find again what was so before: until MySQL was read for so long, nothing that an earlier process
/// reported is said to be over. That rowhook ended is over when it has run for `every`, so that one that is started again and again is not.
const SETTLING: Duration = Duration::from_secs(60);

/// All attempts of one alert, whatever its retries: what it says is old then.
const SENDING_MAX: Duration = Duration::from_secs(300);

/// The same at the end of the process, which a supervisor waits for.
const LAST_SENDING_MAX: Duration = Duration::from_secs(10);

/// All alerts with what was reported; clones are the same.
#[derive(Clone)]
pub struct Alerts(Arc<Shared>);

struct Shared {
    receivers: Vec<Receiver>,
    sinks: Sinks,
    origin: AlertOrigin,
    file: LedgerFile,
    metrics: Arc<Metrics>,
}

/// The status at one moment, or why the loop gives none.
struct Moment {
    status: Result<StatusView, String>,
    /// Since when MySQL is read without a problem.
    reading_since: Option<Instant>,
}

/// A condition of an alert.
struct Watched {
    condition: AlertCondition,
    /// False: the settings name it no more, and what was reported of it is to be ended.
    is_named: bool,
}

/// One alert with what was reported by it.
struct Receiver {
    alert: AlertRule,
    ledger: Mutex<AlertLedger>,
}

impl Alerts {
    /// Goes on with what was reported before, as the data directory has it.
    pub fn new(alerts: Vec<AlertRule>, sinks: Sinks, data: &Path, source: String, metrics: Arc<Metrics>) -> Alerts {
        let (file, mut reported) = LedgerFile::open(data);
        let receivers = alerts.into_iter().map(|alert| {
            let ledger = Mutex::new(reported.remove(&alert.rule.name).unwrap_or_default());
            Receiver { alert, ledger }
        });
        let origin = AlertOrigin::of_this_machine(data, source);
        Alerts(Arc::new(Shared { receivers: receivers.collect(), sinks, origin, file, metrics }))
    }

    /// Reports what there is to report, until it is dropped. `status` gives the status, or why the loop gives none; None while it ends.
    pub async fn watch<F, S>(self, status: F)
    where
        F: Fn() -> S + Sync,
        S: Future<Output = Option<Result<StatusView, String>>> + Send,
    {
        if self.0.receivers.is_empty() {
            return;
        }
        let (sender, moments) = watch::channel(None);
        let watched =
            self.0.receivers.iter().flat_map(|receiver| receiver.watched().into_iter().map(move |it| (receiver, it)));
        let watching = watched.map(|(receiver, watched)| self.watch_condition(receiver, watched, moments.clone()));
        tokio::join!(observe(status, sender), join_all(watching));
    }

    /// Each condition by itself: one that is being sent holds up no other.
    async fn watch_condition(
        &self,
        receiver: &Receiver,
        watched: Watched,
        mut moments: watch::Receiver<Option<Arc<Moment>>>,
    ) {
        let Watched { condition, is_named } = watched;
        while moments.changed().await.is_ok() {
            let Some(moment) = moments.borrow_and_update().clone() else { continue };
            let items =
                if is_named { found(&condition, moment.status.as_ref(), SystemTime::now()) } else { Some(Vec::new()) };
            let Some(items) = items else { continue };
            let settling = if condition.kind == ConditionKind::Ended { receiver.alert.every } else { SETTLING };
            let is_settled = moment.reading_since.is_some_and(|since| since.elapsed() >= settling);
            let limits = AlertLimits::of(&receiver.alert, is_settled || !is_named);
            let due = receiver.ledger().due(&condition, items, limits, now_us());
            if let Some(alert) = due {
                self.report(receiver, alert, SENDING_MAX).await;
            }
        }
    }

    /// Says that the process ends, and why; waits for it some seconds at most.
    pub async fn report_end(&self, why: &str) {
        let reports = self.0.receivers.iter().map(async |receiver| {
            let conditions = &receiver.alert.conditions;
            let Some(condition) = conditions.iter().find(|condition| condition.kind == ConditionKind::Ended) else {
                return;
            };
            let items = vec![AlertItem::new(format!("rowhook ended: {why}"))];
            let due = receiver.ledger().due(condition, items, AlertLimits::of(&receiver.alert, true), now_us());
            if let Some(alert) = due {
                self.report(receiver, alert, LAST_SENDING_MAX).await;
            }
        });
        join_all(reports).await;
    }

    async fn report(&self, receiver: &Receiver, alert: Alert, time_max: Duration) {
        let (kind, state, name) = (alert.kind, alert.state, &receiver.alert.rule.name);
        let sent = timeout(time_max, send(&receiver.alert, &alert, &self.0.origin, &self.0.sinks)).await;
        let too_late = || format!("no attempt succeeded within {} s", time_max.as_secs());
        let sent = sent.unwrap_or_else(|_| Err(UnsentAlert { error: too_late(), may_have_arrived: true }));
        let result = if sent.is_ok() { "sent" } else { "failed" };
        self.0.metrics.alerts.get_or_create(&AlertLabels { alert: name.clone(), state: state.as_str(), result }).inc();
        match sent {
            Ok(()) => {
                receiver.ledger().sent(alert);
                let of = |other: &Receiver| (other.alert.rule.name.clone(), other.ledger().clone());
                self.0.file.write(|| self.0.receivers.iter().map(of).collect()).await;
                // A crash after this line repeats nothing.
                tracing::info!(alert = name, condition = kind.as_str(), state = state.as_str(), "alert sent");
            }
            Err(unsent) => {
                tracing::warn!(
                    alert = name,
                    condition = kind.as_str(),
                    state = state.as_str(),
                    error = unsent.error,
                    "alert not sent"
                );
                receiver.ledger().failed(&alert, unsent, now_us());
            }
        }
    }

    pub(super) fn views(&self) -> Vec<AlertView> {
        let of = |receiver: &Receiver| {
            let ledger = receiver.ledger();
            let failure = ledger.failure();
            AlertView {
                alert: receiver.alert.rule.name.clone(),
                firing: ledger.firing().map(|kind| kind.as_str().to_owned()).collect(),
                last_sent_at: ledger.last_sent_us().map(rfc3339),
                failing_since: failure.map(|failure| rfc3339(failure.since_us)),
                last_error: failure.map(|failure| failure.error.clone()),
            }
        };
        self.0.receivers.iter().map(of).collect()
    }
}

impl Receiver {
    fn watched(&self) -> Vec<Watched> {
        let named = self.alert.conditions.iter().map(|condition| Watched { condition: *condition, is_named: true });
        let is_named = |kind: &ConditionKind| self.alert.conditions.iter().any(|condition| condition.kind == *kind);
        let reported: Vec<ConditionKind> = self.ledger().firing().filter(|kind| !is_named(kind)).collect();
        let left = reported.into_iter().map(|kind| Watched { condition: AlertCondition::usual(kind), is_named: false });
        named.chain(left).collect()
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, AlertLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for the status, again and again.
async fn observe<F, S>(status: F, sender: watch::Sender<Option<Arc<Moment>>>)
where
    F: Fn() -> S,
    S: Future<Output = Option<Result<StatusView, String>>>,
{
    // What has not begun yet at the start is no condition.
    let mut ticks = tokio::time::interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading_since = None;
    loop {
        ticks.tick().await;
        // While it ends, the end says why.
        let Some(status) = status().await else { continue };
        let source = status.as_ref().ok().and_then(|status| status.source.as_ref());
        let is_reading = source.is_some_and(|source| source.problem.is_none());
        reading_since = if is_reading { reading_since.or_else(|| Some(Instant::now())) } else { None };
        sender.send_replace(Some(Arc::new(Moment { status, reading_since })));
    }
}

/// An alert was not sent, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentAlert {
    /// A line for people: what became of the last attempt.
    pub error: String,
    /// One of its attempts got no answer.
    pub may_have_arrived: bool,
}

/// Sends an alert, with the retries of its call.
///
/// # Errors
/// What became of the last attempt.
pub async fn send(rule: &AlertRule, alert: &Alert, origin: &AlertOrigin, sinks: &Sinks) -> Result<(), UnsentAlert> {
    let mut may_have_arrived = false;
    let delivery = Delivery::of(&rule.rule, &Arc::new(alert.change(origin)));
    let begun = Rehearsal::begin(delivery).map_err(|end| why(&end).unwrap_or_default());
    let mut call = begun.map_err(|error| UnsentAlert { error, may_have_arrived })?;
    loop {
        let (answer, then) = call.attempt(sinks).await.map_err(|error| UnsentAlert { error, may_have_arrived })?;
        may_have_arrived |= matches!(answer, Answer::Failed { .. });
        match then {
            AfterAnswer::Again { wait } => tokio::time::sleep(wait).await,
            AfterAnswer::Over(end) => {
                return why(&end).map_or(Ok(()), |error| Err(UnsentAlert { error, may_have_arrived }));
            }
        }
    }
}

/// Whether an alert, of each state, makes a request; nothing is sent.
///
/// # Errors
/// A line for people: what the request lacks.
pub fn rehearse(rule: &AlertRule, origin: &AlertOrigin) -> Result<(), String> {
    let now_us = now_us();
    for alert in [
        Alert::example(AlertState::Firing, now_us),
        Alert::plain_example(now_us),
        Alert::example(AlertState::Resolved, now_us),
    ] {
        let delivery = Delivery::of(&rule.rule, &Arc::new(alert.change(origin)));
        if let Err(end) = Rehearsal::begin(delivery) {
            return Err(format!("state {}: {}", alert.state.as_str(), why(&end).unwrap_or_default()));
        }
    }
    Ok(())
}

/// Why it failed; None: it did not.
fn why(end: &RehearsalEnd) -> Option<String> {
    match &end.outcome {
        Outcome::Dead(failure) => Some(failure.message.clone()),
        Outcome::Delivered { .. } | Outcome::Blocked { .. } => None,
    }
}
