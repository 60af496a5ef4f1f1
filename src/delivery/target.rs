//! One target: everything that says when the next attempt to it may start.
//!
//! In: how attempts to it ended, of whatever rule. Out: whether the next may start, and if not, when. Owns its breaker, its
//! rate, the pause it asked for, and the restricted target queues that have something to start, which take turns. Pure: the
//! caller brings the time. Deliberately holds no delivery; the lanes say which delivery of a target queue is next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::clock::since_epoch_us;
use crate::delivery::answer::{self, TargetHealth};
use crate::delivery::breaker::{Breaker, BreakerChange, EndedAttempt, May, StartedAs};
use crate::delivery::lane::{AttemptKind, CallKey, Place, QueueNumber};
use crate::delivery::rate_limit::{self, RateLimit};
use crate::delivery::server_limit::ServerLimit;
use crate::failure::Answer;
use crate::rules;
use crate::telemetry::{Metrics, TargetLabel};

/// An answer pauses a target for at most this time. Only an operator may set a longer pause: it stops all keys of the target.
const PAUSE_MAX: Duration = answer::RETRY_AFTER_MAX;

/// When less than one part in this many of a server limit remains, the rest is spread over the time until its reset.
const LITTLE_IS_ONE_IN: u64 = 10;

/// See the module's header.
#[derive(Debug)]
pub(super) struct TargetState {
    settings: Arc<rules::Target>,
    breaker: Breaker,
    /// Follows from the rate in its settings.
    rate_limit: Option<RateLimit>,
    /// Until when nothing starts, because the target asked for a pause.
    paused_until: Option<Instant>,
    /// How what the target will still take is spread, and until when.
    spread: Option<(RateLimit, Instant)>,
    in_flight: usize,
    /// Those of `in_flight` that are first attempts.
    firsts_in_flight: usize,
    /// Whether its target queues are restricted in the lanes.
    pub is_restricting: bool,
    /// The target queues of calls to it.
    pub queues: Vec<QueueNumber>,
    /// How many of `queues` are called by their current rules.
    called: usize,
    /// Restricted target queues with something to start; the first is next.
    pub asking: VecDeque<QueueNumber>,
    /// When it is checked again, if nothing happens before.
    pub wake_at: Option<Instant>,
    pub is_marked: bool,
    opened_at: Option<SystemTime>,
    /// Without the beginning of its body.
    last_answer: Option<Answer>,
    last_error: Option<String>,
    open: Gauge,
    opened: Counter,
}

/// The status of one target (scheme, host, port).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    pub target: String,
    /// Names of the rules that call it.
    pub rules: Vec<String>,
    /// Since when it is unavailable and gets only probes; in microseconds since the Unix epoch.
    pub open_since_us: Option<u64>,
    /// When the next probe may start, while it is unavailable and none is under way; in microseconds since the Unix epoch.
    pub next_probe_us: Option<u64>,
    /// Attempts under way.
    pub in_flight: u64,
    /// How the last attempt ended.
    pub last_answer: Option<String>,
    /// How the last failed attempt ended.
    pub last_error: Option<String>,
    /// Until when nothing is sent, because the target asked for a pause; in microseconds since the Unix epoch.
    pub paused_until_us: Option<u64>,
}

impl TargetState {
    pub fn new(settings: Arc<rules::Target>, metrics: &Metrics) -> TargetState {
        let label = TargetLabel { target: settings.origin.clone() };
        TargetState {
            breaker: Breaker::new(None),
            rate_limit: settings.rate.map(|rate| RateLimit::new(rate_limit::interval(rate))),
            paused_until: None,
            spread: None,
            in_flight: 0,
            firsts_in_flight: 0,
            is_restricting: false,
            queues: Vec::new(),
            called: 0,
            asking: VecDeque::new(),
            wake_at: None,
            is_marked: false,
            opened_at: None,
            last_answer: None,
            last_error: None,
            open: metrics.target_unavailable.get_or_create_owned(&label),
            opened: metrics.target_outages.get_or_create_owned(&label),
            settings,
        }
    }

    /// Takes over other settings, at once.
    pub fn set(&mut self, settings: &Arc<rules::Target>, now: Instant) {
        if Arc::ptr_eq(&self.settings, settings) || self.settings == *settings {
            return;
        }
        if self.settings.rate != settings.rate {
            self.rate_limit = settings.rate.map(|rate| RateLimit::new(rate_limit::interval(rate)));
        }
        self.settings = Arc::clone(settings);
        let change = self.breaker.set_policy(settings.breaker.clone(), now);
        self.report(change);
    }

    /// The rule of one more target queue calls it.
    pub fn call(&mut self) {
        if self.called == 0 {
            self.breaker = Breaker::new(self.settings.breaker.clone());
        }
        self.called += 1;
    }

    /// The rule of one target queue no longer calls it. After the last one, the target no longer counts as unavailable, so that
    /// what is left of previous rules comes to its end. A pause that it asked for ends by itself.
    pub fn forget(&mut self) {
        self.called -= 1;
        if self.called == 0 {
            self.breaker = Breaker::new(None);
            self.opened_at = None;
            self.open.set(0);
        }
    }

    /// Whether the first attempt of a delivery is under way.
    pub fn has_first_in_flight(&self) -> bool {
        self.firsts_in_flight > 0
    }

    pub fn is_called(&self) -> bool {
        self.called > 0
    }

    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether attempts need an admission before they start.
    pub fn wants_admission(&self) -> bool {
        let is_limited = self.rate_limit.is_some() || self.settings.in_flight.is_some();
        is_limited || self.paused_until.is_some() || self.spread.is_some() || self.breaker.is_open()
    }

    /// Drops a pause and a spread that have ended.
    pub fn expire(&mut self, now: Instant) {
        self.paused_until.take_if(|until| *until <= now);
        self.spread.take_if(|(_, until)| *until <= now);
    }

    /// When the next attempt may start, whatever the breaker says.
    pub fn may_start(&self, now: Instant) -> May {
        if self.settings.in_flight.is_some_and(|max| self.in_flight >= max) {
            return May::AfterAnother;
        }
        let paused = self.paused_until.filter(|until| *until > now);
        let rate_limit = self.rate_limit.as_ref().and_then(|rate_limit| rate_limit.free_at(now));
        let spread = self.spread.as_ref().and_then(|(rate_limit, until)| Some(rate_limit.free_at(now)?.min(*until)));
        [paused, rate_limit, spread].into_iter().flatten().max().map_or(May::Now, May::At)
    }

    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// An attempt of a restricted target queue was allowed to start.
    pub fn admitted(&mut self, place: Place, started_as: StartedAs, now: Instant) {
        self.breaker.start(place, started_as);
        for rate_limit in self.rate_limit.iter_mut().chain(self.spread.as_mut().map(|(rate_limit, _)| rate_limit)) {
            rate_limit.take(now);
        }
    }

    /// An attempt starts, from a restricted target queue or not.
    pub fn started(&mut self, attempt: AttemptKind) {
        self.in_flight += 1;
        self.firsts_in_flight += usize::from(attempt == AttemptKind::First);
    }

    /// An attempt ended so. `could_start`: whether a first attempt of this target queue waits and could start.
    pub fn ended(
        &mut self,
        ended: EndedAttempt<impl Iterator<Item = CallKey>>,
        health: TargetHealth,
        answer: &Answer,
        could_start: impl Fn(QueueNumber) -> bool,
        now: impl Fn() -> Instant,
    ) {
        self.leave(ended.attempt);
        if matches!(health, TargetHealth::Fails | TargetHealth::Unavailable) {
            self.last_error = Some(answer.in_words());
        }
        self.last_answer = Some(match answer {
            Answer::Status { status, .. } => Answer::Status { status: *status, excerpt: String::new() },
            Answer::Written { .. } | Answer::Failed { .. } => answer.clone(),
        });
        let TargetState { breaker, queues, firsts_in_flight, .. } = self;
        let are_others_about = || *firsts_in_flight > 0 || queues.iter().any(|queue| could_start(*queue));
        let change = breaker.end(ended, health, are_others_about, now);
        self.report(change);
    }

    /// An attempt was not made after all.
    pub fn cancelled(&mut self, place: Place, attempt: AttemptKind, now: Instant) {
        self.leave(attempt);
        self.breaker.cancel(place, now);
    }

    fn leave(&mut self, attempt: AttemptKind) {
        self.in_flight -= 1;
        self.firsts_in_flight -= usize::from(attempt == AttemptKind::First);
    }

    /// Nothing starts for so long, at most [`PAUSE_MAX`].
    pub fn pause(&mut self, wait: Duration, now: Instant) {
        if self.settings.is_many_hosts {
            return;
        }
        let until = now + wait.min(PAUSE_MAX);
        self.paused_until = Some(self.paused_until.map_or(until, |paused| paused.max(until)));
    }

    /// The target said how many requests it still takes until its reset. None: nothing is sent until then. Few: they are
    /// spread over the time until then.
    pub fn set_server_limit(&mut self, server_limit: ServerLimit, now: Instant) {
        let Some(remaining) = server_limit.remaining.filter(|_| !self.settings.is_many_hosts) else { return };
        if remaining == 0 {
            return self.pause(server_limit.reset, now);
        }
        let is_little = remaining < self.in_flight as u64
            || server_limit.limit.is_some_and(|limit| remaining.saturating_mul(LITTLE_IS_ONE_IN) < limit);
        if !is_little {
            self.spread = None;
            return;
        }
        let remaining = u32::try_from(remaining).unwrap_or(u32::MAX);
        let (interval, until) =
            ((server_limit.reset / remaining).min(PAUSE_MAX), now + server_limit.reset.min(PAUSE_MAX));
        match &mut self.spread {
            Some((rate_limit, known)) => {
                rate_limit.set_interval(interval);
                *known = until;
            }
            None => self.spread = Some((RateLimit::new(interval), until)),
        }
    }

    /// Its status, without the rules that call it.
    pub fn status(&self, now: Instant) -> TargetStatus {
        let at_us = |at: Instant| since_epoch_us(SystemTime::now() + at.saturating_duration_since(now));
        let next_probe = match self.breaker.may_probe(now) {
            May::Now => Some(now),
            May::At(due) => Some(due),
            May::AfterAnother => None,
        };
        TargetStatus {
            target: self.settings.origin.clone(),
            rules: Vec::new(),
            open_since_us: self.opened_at.map(since_epoch_us),
            next_probe_us: next_probe.filter(|_| self.is_open()).map(at_us),
            in_flight: self.in_flight as u64,
            last_answer: self.last_answer.as_ref().map(Answer::in_words),
            last_error: self.last_error.clone(),
            paused_until_us: self.paused_until.filter(|until| *until > now).map(at_us),
        }
    }

    /// An operator says that it is available: it takes calls at once, also if it asked for a pause.
    pub fn reset(&mut self, now: Instant) {
        (self.paused_until, self.spread) = (None, None);
        let change = self.breaker.close(now);
        self.report(change);
    }

    fn report(&mut self, change: BreakerChange) {
        let target = &self.settings.origin;
        match change {
            BreakerChange::Not => {}
            BreakerChange::Open => {
                self.opened_at = Some(SystemTime::now());
                self.open.set(1);
                self.opened.inc();
                let error = self.last_error.as_deref().unwrap_or_default();
                tracing::warn!(target, error, "target unavailable: deliveries wait, the target is probed");
            }
            BreakerChange::Closed(open_for) => {
                self.opened_at = None;
                self.open.set(0);
                let open_for = humantime::format_duration(Duration::from_millis(open_for.as_millis() as u64));
                tracing::info!(target, %open_for, "target available again");
            }
        }
    }
}
