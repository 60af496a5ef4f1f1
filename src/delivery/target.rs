//! One target: everything that says when the next attempt to it may start.
//!
//! In: how attempts to it ended, of whatever rule. Out: whether the next may start, and if not, when. Owns its breaker, the
//! pause it asked for, and the queue of gated rules that have something to start, which take turns. Pure: the caller
//! brings the time. Deliberately holds no delivery; which of a rule's deliveries is next is the lanes' to say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use crate::delivery::answer::{self, Health};
use crate::delivery::breaker::{Breaker, May, Turned};
use crate::delivery::lane::{Place, RuleNumber};
use crate::failure::Answer;
use crate::rules;
use crate::telemetry::{Metrics, TargetLabel};

/// See the module's header.
#[derive(Debug)]
pub(super) struct Target {
    settings: Arc<rules::Target>,
    breaker: Breaker,
    /// Until when nothing starts, because the target asked for a pause.
    held_until: Option<Instant>,
    in_flight: usize,
    /// The rules that call it.
    pub rules: Vec<RuleNumber>,
    /// Gated rules with something to start; the first is next.
    pub asking: VecDeque<RuleNumber>,
    /// When it is looked at again, if nothing happens before.
    pub wake_at: Option<Instant>,
    pub is_stirred: bool,
    opened_at: Option<SystemTime>,
    last_error: Option<String>,
    open: Gauge,
    opened: Counter,
}

/// How one target (scheme, host, port) is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    pub target: String,
    /// Since when nothing but probes is sent, because it did not answer; in microseconds since the Unix epoch.
    pub open_since_us: Option<u64>,
    /// What the last failed attempt came to.
    pub last_error: Option<String>,
    /// Until when nothing is sent, because the target asked for a pause; in microseconds since the Unix epoch.
    pub held_until_us: Option<u64>,
}

impl Target {
    pub fn new(settings: Arc<rules::Target>, metrics: &Metrics) -> Target {
        let label = TargetLabel { target: settings.origin.clone() };
        Target {
            breaker: Breaker::new(settings.breaker.clone()),
            held_until: None,
            in_flight: 0,
            rules: Vec::new(),
            asking: VecDeque::new(),
            wake_at: None,
            is_stirred: false,
            opened_at: None,
            last_error: None,
            open: metrics.target_open.get_or_create_owned(&label),
            opened: metrics.target_opened.get_or_create_owned(&label),
            settings,
        }
    }

    /// Goes on under other settings, at once.
    pub fn set(&mut self, settings: &Arc<rules::Target>, now: Instant) {
        if Arc::ptr_eq(&self.settings, settings) || self.settings == *settings {
            return;
        }
        self.settings = Arc::clone(settings);
        let turned = self.breaker.set_policy(settings.breaker.clone(), now);
        self.tell(turned);
    }

    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether attempts must ask before they start. Forgets what is over.
    pub fn is_gated(&mut self, now: Instant) -> bool {
        self.held_until = self.held_until.filter(|until| *until > now);
        self.breaker.is_open() || self.held_until.is_some()
    }

    pub fn may_start(&self, now: Instant) -> May {
        let held = self.held_until.filter(|until| *until > now);
        match (self.breaker.may_start(now), held) {
            (May::Now, Some(until)) => May::At(until),
            (May::At(due), Some(until)) => May::At(due.max(until)),
            (may, _) => may,
        }
    }

    /// A gated attempt was allowed to start.
    pub fn admitted(&mut self, place: Place) {
        self.breaker.start(place);
    }

    /// An attempt starts, gated or not.
    pub fn started(&mut self) {
        self.in_flight += 1;
    }

    pub fn is_probe(&self, place: Place) -> bool {
        self.breaker.is_probe(place)
    }

    /// An attempt came to this end.
    pub fn ended(&mut self, place: Place, health: Health, answer: &Answer, now: impl Fn() -> Instant) {
        self.in_flight -= 1;
        if matches!(health, Health::Fails | Health::Away) {
            self.last_error = Some(answer::in_words(answer));
        }
        let turned = self.breaker.end(place, health, now);
        self.tell(turned);
    }

    /// An attempt was not made after all.
    pub fn cancelled(&mut self, place: Place, now: Instant) {
        self.in_flight -= 1;
        self.breaker.cancel(place, now);
    }

    /// Nothing starts for so long.
    pub fn hold(&mut self, wait: Duration, now: Instant) {
        let until = now + wait;
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    pub fn status(&self, now: Instant) -> TargetStatus {
        let held_for = self.held_until.map(|until| until.saturating_duration_since(now)).filter(|held| !held.is_zero());
        TargetStatus {
            target: self.settings.origin.clone(),
            open_since_us: self.opened_at.map(since_epoch_us),
            last_error: self.last_error.clone(),
            held_until_us: held_for.map(|held| since_epoch_us(SystemTime::now() + held)),
        }
    }

    fn tell(&mut self, turned: Turned) {
        let target = &self.settings.origin;
        match turned {
            Turned::Not => {}
            Turned::Open => {
                self.opened_at = Some(SystemTime::now());
                self.open.set(1);
                self.opened.inc();
                let error = self.last_error.as_deref().unwrap_or_default();
                tracing::warn!(target, error, "target is away; what calls it waits and is probed");
            }
            Turned::Closed(open_for) => {
                self.opened_at = None;
                self.open.set(0);
                let open_for = humantime::format_duration(Duration::from_millis(open_for.as_millis() as u64));
                tracing::info!(target, %open_for, "target is back");
            }
        }
    }
}

fn since_epoch_us(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
