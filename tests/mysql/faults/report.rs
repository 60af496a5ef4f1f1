//! What a run did, for its summary and for the analysis of a failure.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use super::ledger::Ledger;

const STEPS_KEPT_MAX: usize = 400;

/// Prints the steps and the seed when its test fails.
pub struct RunReport {
    seed: u64,
    begun_at: Instant,
    steps: VecDeque<String>,
    missing: String,
    pub counts: Counts,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub changes: u64,
    pub rowhook_kills: u64,
    pub rowhook_restarts: u64,
    pub mysqld_kills: u64,
    pub cuts: u64,
    pub api_gone: u64,
    pub statements: u64,
    pub gtid_steps: u64,
    pub large: u64,
    pub rollbacks: u64,
}

impl Counts {
    /// Each with what was counted.
    pub fn each(&self) -> [(u64, &'static str); 10] {
        [
            (self.changes, "changes"),
            (self.rowhook_kills, "kills of rowhook"),
            (self.rowhook_restarts, "orderly restarts of rowhook"),
            (self.mysqld_kills, "kills of mysqld"),
            (self.cuts, "connections cut"),
            (self.api_gone, "times without the API"),
            (self.statements, "statements on tables"),
            (self.gtid_steps, "steps of gtid_mode"),
            (self.large, "large transactions"),
            (self.rollbacks, "rollbacks"),
        ]
    }
}

impl RunReport {
    pub fn new(seed: u64) -> RunReport {
        let (steps, missing) = (VecDeque::new(), String::new());
        RunReport { seed, begun_at: Instant::now(), steps, missing, counts: Counts::default() }
    }

    pub fn note(&mut self, step: &str) {
        self.steps.push_back(format!("{}  {step}", humantime::format_rfc3339_millis(SystemTime::now())));
        if self.steps.len() > STEPS_KEPT_MAX {
            self.steps.pop_front();
        }
    }

    /// What has not arrived yet, as far as is known.
    pub fn missing(&mut self, missing: &str) {
        self.missing = missing.to_owned();
    }

    #[allow(clippy::print_stderr, reason = "the figures of a run are for the person who started it")]
    pub fn say(&self, when: &str, ledger: &Ledger) {
        let counted = self.counts.each().map(|(count, what)| format!("{count} {what}"));
        eprintln!(
            "faults, {when}: seed {}, {} s: {} calls, {} repeats; {}",
            self.seed,
            self.begun_at.elapsed().as_secs(),
            ledger.calls,
            ledger.repeats,
            counted.join(", ")
        );
    }
}

impl Drop for RunReport {
    #[allow(clippy::print_stderr, reason = "the test harness shows it with the failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last faults; run it again with ROWHOOK_SEED={}", self.seed);
            self.steps.iter().for_each(|step| eprintln!("{step}"));
            eprintln!("looked for last: {}", self.missing);
        }
    }
}
