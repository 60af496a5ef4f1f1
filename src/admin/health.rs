//! Whether rowhook lives, and whether it is ready.
//!
//! In: from the composition root: the loop's pulse and command channel, the store, the state of the source, the stop.
//! Out: yes, or one line that says why not, without secrets (promise 8). Called by probes; keeps no state.

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::SourceWatch;
use super::pulse::Pulse;
use crate::clock::now_us;
use crate::in_words::span;
use crate::lag::Lag;
use crate::pipeline::{Command, RuleStatus, StreamStatus};
use crate::store::Store;

/// Everything that health is read from; clones are the same.
#[derive(Clone)]
pub struct Health {
    /// Closed once the delivery loop has ended.
    pub commands: mpsc::Sender<Command>,
    pub pulse: Pulse,
    pub store: Store,
    pub source: SourceWatch,
    pub stopping: watch::Receiver<bool>,
}

impl Health {
    /// Whether the process lives: the delivery loop has not ended, and it answers.
    pub fn alive(&self) -> Result<(), String> {
        if self.commands.is_closed() {
            return Err("the delivery loop has ended".to_string());
        }
        // During the stop the loop does not answer in time, and it ends soon.
        match self.pulse.silence(Instant::now()).filter(|_| !*self.stopping.borrow()) {
            Some(silence) => Err(format!("the delivery loop has not answered for {} s", silence.as_secs())),
            None => Ok(()),
        }
    }

    /// Whether changes are read and the store can be written: what an alarm should check; with the lag, in words. A rule that is detached or
    /// paused leaves it ready; a rule that a person must start again does not.
    pub fn ready(&self) -> Result<String, String> {
        self.alive()?;
        if *self.stopping.borrow() {
            return Err("stopping".to_string());
        }
        if let Some(error) = self.store.failed().now_or_never() {
            return Err(format!("store: {error}"));
        }
        if let Some(problem) = (self.source)().problem {
            return Err(format!("source: {problem}"));
        }
        let status = self.pulse.status();
        match status.as_ref().and_then(|status| stopped(&status.rules)) {
            Some(reason) => Err(reason),
            None => Ok(status.map_or_else(String::new, |status| lag_text(status.oldest.lag(now_us())))),
        }
    }
}

fn lag_text(lag: Lag) -> String {
    match lag {
        Lag::Unknown => String::new(),
        Lag::Exactly(time) => format!("; lag {}", span(time)),
        Lag::AtMost(time) => format!("; lag at most {}", span(time)),
    }
}

/// The rules that are stopped, and why, in one line.
fn stopped(rules: &[RuleStatus]) -> Option<String> {
    let reasons: Vec<String> = rules
        .iter()
        .filter_map(|rule| match &rule.stream {
            StreamStatus::Detached { error: Some(error), .. } => {
                Some(format!("rule {} is stopped: {error}", rule.rule))
            }
            _ => None,
        })
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Paused;

    #[test]
    fn only_a_rule_whose_reader_gave_up_is_reported() {
        let paused = Some(Paused { since_us: 1, why: String::new() });
        let rule = |name: &str, stream| RuleStatus { stream, paused: paused.clone(), ..RuleStatus::of_test(name) };
        let behind = |error: Option<&str>| StreamStatus::Detached {
            since_us: 1,
            is_reading: false,
            read_up_to_us: None,
            error: error.map(ToString::to_string),
        };
        let fine = [rule("a", StreamStatus::Attached), rule("b", behind(None))];
        assert_eq!(stopped(&fine), None);
        let stopped_rules =
            [rule("a", behind(Some("purged"))), rule("b", behind(None)), rule("c", behind(Some("gone")))];
        assert_eq!(stopped(&stopped_rules).as_deref(), Some("rule a is stopped: purged; rule c is stopped: gone"));
    }
}
