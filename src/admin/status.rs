//! The status, put together from the loop, the source, the rule files and the store.
//!
//! In: the current state of each of them. Out: the view that `rowhook status` prints; without a running daemon only
//! what the store knows. Counts dead letters by rule if that is quick (promise 6).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::SourceNow;
use super::backlog::{Backlog, SizedLog};
use super::dead_letters::{DeadLetters, Error};
use super::live_rules::FilesState;
use super::retention::LetterDrops;
use super::runway::{Runway, runway};
use super::view::rfc3339;
use super::view::status::{
    BinlogPinView, JournalView, PositionView, RuleFilesView, RuleView, SourceView, StatusView, StorageView, TargetView,
    state,
};
use crate::file;
use crate::journal::{JournalReader, JournalStatus, journal_file};
use crate::lag::{Lag, OldestChange};
use crate::pipeline::{BinlogPinStatus, LoopStatus, RuleStatus, StreamStatus, TargetStatus};
use crate::position::Retention;
use crate::store::{self, Saved};

/// Dead letters that are read to count them by rule: half a second's work.
const COUNTED_MAX: u64 = 100_000;

/// What lies in the log for less than this is on its way.
const UNREAD_SHOWN_AFTER: Duration = Duration::from_secs(1);

/// What is known of a running daemon at one moment.
pub(super) struct DaemonSnapshot<'a> {
    pub status: &'a LoopStatus,
    pub source: &'a SourceNow,
    pub files: &'a FilesState,
    pub letters: &'a Letters,
    pub backlog: &'a Backlog,
    pub storage: Option<StorageView>,
    pub letter_drops: &'a LetterDrops,
    pub now_us: u64,
}

/// Dead letters, counted.
pub(super) struct Letters {
    pub all: u64,
    /// Deliveries that wait behind one; not among the others.
    pub blocked: u64,
    /// Those of `all` that wait for a person.
    pub awaiting: u64,
    /// None: there are too many.
    pub by_rule: Option<BTreeMap<String, u64>>,
}

impl Letters {
    pub(super) async fn count(letters: &DeadLetters) -> Result<Letters, Error> {
        let (all, blocked) = (letters.count(), letters.blocked_count());
        let by_rule = if all + blocked <= COUNTED_MAX { Some(letters.count_by_rule().await?) } else { None };
        Ok(Letters { all, blocked, awaiting: letters.awaiting_count(), by_rule })
    }

    /// Those of rules that are not among the loop's.
    fn besides(&self, status: &LoopStatus) -> u64 {
        let is_known = |name: &str| status.rules.iter().any(|rule| rule.rule == name);
        let by_rule = self.by_rule.iter().flatten();
        by_rule.filter(|(name, _)| !is_known(name)).map(|(_, count)| count).sum()
    }

    /// Those of one rule.
    fn of(&self, rule: &str) -> Option<u64> {
        self.by_rule.as_ref().map(|by_rule| by_rule.get(rule).copied().unwrap_or(0))
    }
}

/// The status by the store alone.
///
/// # Errors
///
/// When it can't be read.
pub async fn of_store(letters: &DeadLetters, data: &Path) -> Result<StatusView, Error> {
    let counted = Letters::count(letters).await?;
    let saved = letters.read(store::Store::saved).await?;
    let rules = stored_rules(&saved, &counted);
    let file = journal_file(data);
    let journal = letters.read(move |_| Ok(stored_journal(&file))).await?;
    Ok(StatusView {
        journal: journal.map(journal_view),
        position: saved.checkpoint.as_ref().map(|saved| PositionView::of(&saved.main.position)),
        rules,
        dead_letters: counted.all,
        blocked: counted.blocked,
        awaiting: counted.awaiting,
        ..of_process(data)
    })
}

/// The journal, by its file.
fn stored_journal(file: &Path) -> Option<JournalStatus> {
    let read = || JournalReader::open(file)?.map(|journal| journal.status()).transpose();
    read().unwrap_or_else(|problem| {
        Some(JournalStatus { problem: Some(problem.to_string()), ..JournalStatus::default() })
    })
}

/// Rules that are paused, were detached, or have dead letters.
fn stored_rules(saved: &Saved, letters: &Letters) -> Vec<RuleView> {
    let mut rules: BTreeMap<&str, RuleView> = BTreeMap::new();
    for (rule, count) in letters.by_rule.iter().flatten() {
        rules.insert(rule, RuleView { dead_letters: Some(*count), ..unknown(rule.clone()) });
    }
    for stored in saved.checkpoint.iter().flat_map(|checkpoint| &checkpoint.rules) {
        let rule = rules.entry(&stored.rule).or_insert_with(|| unknown(stored.rule.to_string()));
        rule.low_water_mark = Some(PositionView::of(&stored.resume.position));
        if let Some(since_us) = stored.detached_since_us {
            rule.state = Some(state::DETACHED.to_string());
            rule.detached_since = Some(rfc3339(since_us));
        }
    }
    for paused in &saved.paused {
        let rule = rules.entry(&paused.rule).or_insert_with(|| unknown(paused.rule.to_string()));
        rule.state = Some(state::PAUSED.to_string());
        rule.paused_since = Some(rfc3339(paused.since_us));
        rule.why = Some(paused.why.clone());
    }
    rules.into_values().collect()
}

fn of_process(data: &Path) -> StatusView {
    StatusView { version: env!("CARGO_PKG_VERSION").to_string(), data: file::absolute(data), ..StatusView::default() }
}

/// A rule with only its name known.
fn unknown(rule: String) -> RuleView {
    RuleView { rule, ..RuleView::default() }
}

impl DaemonSnapshot<'_> {
    pub(super) fn view(&self, data: &Path, started_at_us: u64) -> StatusView {
        let DaemonSnapshot { status, source, files, letters, backlog, storage, now_us, .. } = *self;
        let lag = status.oldest.lag(now_us);
        let sized = backlog.measured(status, now_us);
        let runway_seconds = match runway(status, source, now_us) {
            Runway::Left(time) => Some(time.as_secs()),
            Runway::Unknown | Runway::Endless => None,
        };
        StatusView {
            running: true,
            pid: Some(std::process::id()),
            started_at: Some(rfc3339(started_at_us)),
            source: Some(source_view(source)),
            position: status.position.as_ref().map(PositionView::of),
            lag_seconds: lag.longest().map(|time| time.as_secs_f64()),
            lag_is_bound: matches!(lag, Lag::AtMost(_)),
            backlog: sized.as_ref().and_then(|sized| sized.of_all(status)),
            read_up_to: status.read_up_to_us.map(rfc3339),
            complete_up_to: status.complete_up_to_us.map(rfc3339),
            runway_seconds,
            binlog_pin: status.binlog_pin.as_ref().map(pin_view),
            checkpointed_at: status.checkpointed_at_us.map(rfc3339),
            storage,
            journal: status.journal.clone().map(journal_view),
            rule_files: Some(files_view(files)),
            rules: status.rules.iter().map(|rule| self.rule(rule, sized.as_ref())).collect(),
            targets: status.targets.iter().map(|target| target_view(target, now_us)).collect(),
            dead_letters: letters.all,
            dead_letters_of_removed_rules: letters.besides(status),
            blocked: letters.blocked,
            awaiting: letters.awaiting,
            ..of_process(data)
        }
    }

    fn rule(&self, rule: &RuleStatus, sized: Option<&SizedLog>) -> RuleView {
        let (detached_since_us, error) = match &rule.stream {
            StreamStatus::Attached => (None, None),
            StreamStatus::Detached { since_us, error, .. } => (Some(*since_us), error.clone()),
        };
        let lag = rule.oldest.lag(self.now_us);
        let unread = rule.unread.lag(self.now_us).longest();
        let paused = rule.paused.as_ref().or(rule.lacks.as_ref());
        let state = match (&error, paused, detached_since_us) {
            (Some(_), _, _) => state::STOPPED,
            (None, Some(_), _) => state::PAUSED,
            (None, None, Some(_)) => state::DETACHED,
            (None, None, None) => state::ATTACHED,
        };
        RuleView {
            target: Some(rule.target.clone()),
            state: Some(state.to_string()),
            why: error.or_else(|| paused.map(|paused| paused.why.clone())),
            detached_since: detached_since_us.map(rfc3339),
            paused_since: paused.map(|paused| rfc3339(paused.since_us)),
            unresolved: Some(rule.unresolved),
            in_flight: Some(rule.in_flight),
            in_retry: Some(rule.in_retry),
            dead_letters: self.letters.of(&rule.rule),
            retention: self.letter_drops.of(&rule.rule),
            has_unread: unread.is_some_and(|age| age >= UNREAD_SHOWN_AFTER),
            lag_seconds: lag.longest().map(|time| time.as_secs_f64()),
            lag_is_bound: matches!(lag, Lag::AtMost(_)),
            oldest_unresolved: match rule.oldest {
                OldestChange::At(us) => Some(rfc3339(us)),
                OldestChange::None | OldestChange::NotBefore(_) | OldestChange::Unknown => None,
            },
            backlog_bytes: sized.and_then(|sized| sized.of_rule(rule)),
            low_water_mark: rule.low_water_mark.as_ref().map(PositionView::of),
            ..unknown(rule.rule.clone())
        }
    }
}

fn source_view(source: &SourceNow) -> SourceView {
    SourceView {
        address: source.address.clone(),
        version: source.version.clone(),
        problem: source.problem.clone(),
        binlog_kept_seconds: source.retention.map(|retention| match retention {
            Retention::ForEver => 0,
            Retention::For(time) => time.as_secs(),
        }),
    }
}

fn journal_view(journal: JournalStatus) -> JournalView {
    let JournalStatus { bytes, since_us, missed, problem } = journal;
    JournalView { bytes, since: since_us.map(rfc3339), missed, problem }
}

fn pin_view(pin: &BinlogPinStatus) -> BinlogPinView {
    BinlogPinView {
        since: rfc3339(pin.since_us),
        file: pin.file.to_string(),
        rules: pin.rules.iter().map(ToString::to_string).collect(),
        pinned: pin.is_pinned,
    }
}

fn files_view(files: &FilesState) -> RuleFilesView {
    let (since, problems) = match &files.problems {
        Some((since_us, problems)) => (Some(rfc3339(*since_us)), problems.0.as_slice()),
        None => (None, [].as_slice()),
    };
    RuleFilesView {
        loaded_at: rfc3339(files.loaded_at_us),
        problems_since: since,
        problems: problems.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn target_view(target: &TargetStatus, now_us: u64) -> TargetView {
    let waiting_until_us = target.paused_until_us.filter(|until_us| *until_us > now_us);
    let state = match (target.open_since_us, waiting_until_us) {
        (Some(_), _) => state::UNAVAILABLE,
        (None, Some(_)) => state::WAITING,
        (None, None) => state::AVAILABLE,
    };
    TargetView {
        target: target.target.clone(),
        state: state.to_string(),
        unavailable_since: target.open_since_us.map(rfc3339),
        waiting_until: waiting_until_us.map(rfc3339),
        last_error: target.last_error.clone(),
        last_answer: target.last_answer.clone(),
        next_probe: target.next_probe_us.map(rfc3339),
        in_flight: target.in_flight,
        rules: target.rules.clone(),
    }
}
