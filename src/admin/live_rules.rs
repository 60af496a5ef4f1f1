//! The rules of a running rowhook, and their reload.
//!
//! In: the command to reload the files: from a signal, from the control socket, or because the files have changed. Out:
//! new rules in the pipeline, for replays and for other readers; or the previous ones, and every problem of the files, or of
//! the tables that they name. All or nothing, one at a time, and not after the stop. Owns the current rules and the
//! state of the files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::now_us;
use crate::pattern::TablePatterns;
use crate::pipeline::Command;
use crate::rules::{Diagnostics, Difference, IfMissing, Judgement, Objection, Rule, RuleFilesState, RuleSet};
use crate::schema::NamedTables;
use crate::telemetry::Metrics;

/// Loads and compiles the rule files of a directory.
pub type RuleLoader = Box<dyn Fn() -> Result<RuleSet, Diagnostics> + Send + Sync>;

/// Reads from the server the tables that patterns name, as they are now; an error says why that failed.
pub type AskTables = Box<dyn Fn(TablePatterns) -> BoxFuture<'static, Result<NamedTables, String>> + Send + Sync>;

/// Where the rules are from, and what they are checked against.
pub struct RuleSource {
    pub directory: PathBuf,
    pub load: RuleLoader,
    pub tables: AskTables,
    pub if_missing: IfMissing,
}

/// Why the rules stayed as they were.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReloadError {
    #[error("the rule files have problems, the rules stay as they were\n{0}")]
    Faulty(Diagnostics),
    #[error("rowhook is stopping; the rules stay as they were")]
    Stopping,
    #[error("loading the rules was aborted; they stay as they were")]
    Aborted,
}

/// The state of the rule files.
#[derive(Debug, Clone, Default)]
pub struct FilesState {
    /// When the current rules were loaded, in microseconds since the Unix epoch.
    pub loaded_at_us: u64,
    /// Since when the files have problems, and which.
    pub problems: Option<(u64, Diagnostics)>,
}

/// The current rules; clones are the same.
#[derive(Clone)]
pub struct LiveRules {
    inner: Arc<Inner>,
}

struct Inner {
    source: RuleSource,
    now: watch::Sender<Arc<RuleSet>>,
    files: Mutex<FilesState>,
    commands: mpsc::Sender<Command>,
    metrics: Arc<Metrics>,
    stopping: watch::Receiver<bool>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<KnownStates>,
}

impl Inner {
    fn inspect(&self) -> RuleFilesState {
        let rules = self.now.borrow().clone();
        RuleFilesState::at(&self.source.directory, rules.files())
    }
}

/// The states of the files at earlier checks.
struct KnownStates {
    /// When they were loaded last, also if that failed.
    loaded: RuleFilesState,
    /// When they were checked last.
    last: RuleFilesState,
}

impl KnownStates {
    /// Whether the files differ from those that were loaded, and are the same at two checks: a file that is being written
    /// is not loaded half.
    fn have_changed(&mut self, state: RuleFilesState) -> bool {
        let has_settled = std::mem::replace(&mut self.last, state) == state;
        has_settled && state != self.loaded
    }
}

impl LiveRules {
    /// `rules` are those of `source`, whose files had the state `loaded` when they were read.
    pub fn new(
        (rules, loaded): (Arc<RuleSet>, RuleFilesState),
        source: RuleSource,
        commands: mpsc::Sender<Command>,
        metrics: Arc<Metrics>,
        stopping: watch::Receiver<bool>,
    ) -> LiveRules {
        let files = Mutex::new(FilesState { loaded_at_us: now_us(), problems: None });
        let turn = tokio::sync::Mutex::new(KnownStates { loaded, last: loaded });
        rules.rules().iter().for_each(|rule| warn_of(rule));
        rules.misnamed_files().iter().for_each(|note| tracing::warn!("{note}"));
        rules.notes_of_disabled().for_each(|note| tracing::warn!("{note}"));
        let now = watch::Sender::new(rules);
        LiveRules { inner: Arc::new(Inner { source, now, files, commands, metrics, stopping, turn }) }
    }

    /// The rules that the pipeline works with.
    pub fn now(&self) -> Arc<RuleSet> {
        self.inner.now.borrow().clone()
    }

    pub fn files(&self) -> FilesState {
        self.inner.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reloads the files, also when they are unchanged: files that they refer to may have changed. The new rules are
    /// active when it returns. The result is logged.
    pub async fn reload(&self) -> Result<Difference, ReloadError> {
        let mut states = self.inner.turn.lock().await;
        self.load(&mut states).await
    }

    /// Checks the files, and loads them when they have changed. To be called again and again.
    pub async fn inspect(&self) -> Option<Result<Difference, ReloadError>> {
        let mut states = self.inner.turn.lock().await;
        let inner = self.inner.clone();
        let state = tokio::task::spawn_blocking(move || inner.inspect()).await.ok()?;
        if states.have_changed(state) { Some(self.load(&mut states).await) } else { None }
    }

    async fn load(&self, states: &mut KnownStates) -> Result<Difference, ReloadError> {
        if *self.inner.stopping.borrow() {
            return Err(ReloadError::Stopping);
        }
        let inner = self.inner.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let before = inner.now.borrow().clone();
            RuleFilesState::and_load(&inner.source.directory, before.files(), &inner.source.load)
        });
        let loaded = loaded.await;
        let (state, rules) = loaded.map_err(|_| ReloadError::Aborted)?;
        *states = KnownStates { loaded: state, last: state };
        match rules {
            Ok(rules) => match self.judge(&rules).await {
                Ok(tables) => self.take(Arc::new(rules), &tables).await,
                Err(diagnostics) => Err(self.refuse(diagnostics)),
            },
            Err(diagnostics) => Err(self.refuse(diagnostics)),
        }
    }

    /// Checks new rules against the tables as they are now, which it returns; none where they can't be read. A rule with the same needs as before is not new: it is
    /// paused where a row lacks what it needs.
    async fn judge(&self, rules: &RuleSet) -> Result<NamedTables, Diagnostics> {
        let RuleSource { tables, if_missing, .. } = &self.inner.source;
        match tables(rules.patterns()).await {
            Ok(tables) => {
                let now = self.now();
                let needs = |rules: &RuleSet, name: &str| rules.rule(name).map(|rule| rule.needs());
                let is_at_work = |said: &Objection| needs(rules, &said.rule) == needs(&now, &said.rule);
                Judgement::of(rules.against(&tables, *if_missing), is_at_work).take().map(|()| tables)
            }
            Err(error) => {
                tracing::warn!(error, "the tables that rules name could not be read; the rules are used unchecked");
                Ok(NamedTables::default())
            }
        }
    }

    async fn take(&self, rules: Arc<RuleSet>, tables: &NamedTables) -> Result<Difference, ReloadError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Reload { rules: rules.clone(), answer };
        self.inner.commands.send(command).await.map_err(|_| ReloadError::Stopping)?;
        answered.await.map_err(|_| ReloadError::Stopping)?;
        let difference = rules.difference(&self.inner.now.send_replace(rules.clone()));
        self.note(FilesState { loaded_at_us: now_us(), problems: None });
        self.inner.metrics.rules_reloaded.inc();
        tracing::info!(
            added = difference.added.join(","),
            changed = difference.changed.join(","),
            removed = difference.removed.join(","),
            unchanged = difference.unchanged.join(","),
            "rules reloaded"
        );
        let new: Vec<&String> = difference.added.iter().chain(&difference.changed).collect();
        new.iter().filter_map(|name| rules.rule(name)).for_each(|rule| warn_of(rule));
        rules.warn_of_doubts(tables, |name| new.iter().any(|new| *new == name));
        rules.misnamed_files().iter().for_each(|note| tracing::warn!("{note}"));
        rules.notes_of_disabled().for_each(|note| tracing::warn!("{note}"));
        Ok(difference)
    }

    fn refuse(&self, diagnostics: Diagnostics) -> ReloadError {
        let before = self.files();
        let since_us = before.problems.map_or_else(now_us, |(since_us, _)| since_us);
        self.note(FilesState { problems: Some((since_us, diagnostics.clone())), ..before });
        let error = ReloadError::Faulty(diagnostics);
        tracing::error!("{error}");
        error
    }

    fn note(&self, files: FilesState) {
        self.inner.metrics.rules_reload_failed.set(i64::from(files.problems.is_some()));
        *self.inner.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }
}

fn warn_of(rule: &Rule) {
    if rule.trusts_any_server() {
        tracing::warn!(rule = rule.name, "insecure_tls: this rule does not verify the certificates of servers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const RULE: &str = "table: shop.orders\nrules:\n  - name: paid\n    call: {url: \"http://127.0.0.1:1/a\"}\n";

    struct Scene {
        folder: TempDir,
        live: LiveRules,
        commands: mpsc::Receiver<Command>,
        stop: watch::Sender<bool>,
        metrics: Arc<Metrics>,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = tempfile::tempdir().expect("a folder");
            let directory = folder.path().to_path_buf();
            fs::write(directory.join("a.yaml"), RULE).expect("written");
            let from = directory.clone();
            let load: RuleLoader = Box::new(move || RuleSet::load(&from, &|_| None));
            let rules = (Arc::new(load().expect("sound rules")), RuleFilesState::at(&directory, &[]));
            let (sender, commands) = mpsc::channel(4);
            let (stop, stopping) = watch::channel(false);
            let metrics = Arc::new(Metrics::default());
            let there = |_: TablePatterns| -> BoxFuture<'static, _> { Box::pin(async { Ok(NamedTables::default()) }) };
            let source = RuleSource { directory, load, tables: Box::new(there), if_missing: IfMissing::Refuse };
            let live = LiveRules::new(rules, source, sender, metrics.clone(), stopping);
            Scene { folder, live, commands, stop, metrics }
        }

        fn write(&self, text: &str) {
            fs::write(self.folder.path().join("a.yaml"), text).expect("written");
        }

        /// The result of `saga_command` while a pipeline takes one reload.
        async fn with_pipeline<T>(&mut self, saga_command: impl AsyncFnOnce(&LiveRules) -> T) -> T {
            let live = self.live.clone();
            let pipeline = async {
                while let Some(command) = self.commands.recv().await {
                    let Command::Reload { answer, .. } = command else { panic!("{command:?}") };
                    answer.send(()).expect("the caller waits");
                }
                std::future::pending().await
            };
            tokio::select! {
                outcome = saga_command(&live) => outcome,
                () = pipeline => unreachable!("it never ends"),
            }
        }
    }

    /// What is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().expect("no panic"))).expect("UTF-8")
        }
    }

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn paid_at(live: &LiveRules) -> String {
        format!("{:?}", live.now().rule("paid").map(|rule| &rule.call().url))
    }

    #[tokio::test]
    async fn valid_files_replace_the_rules_and_invalid_ones_leave_them() {
        let mut scene = Scene::new();
        let first = paid_at(&scene.live);
        scene.write(&RULE.replace("/a", "/b"));
        let difference = scene.with_pipeline(LiveRules::reload).await.expect("sound rules");
        assert_eq!(difference, Difference { changed: vec!["paid".to_string()], ..Difference::default() });
        let second = paid_at(&scene.live);
        assert_ne!(second, first);

        scene.write("table: shop.orders\nrules: [{name: paid}]\n");
        let error = scene.live.reload().await.expect_err("faulty rules").to_string();
        assert!(error.contains("a.yaml:2:9: the rule has no `call`"), "{error}");
        assert_eq!(paid_at(&scene.live), second, "the rules of before stay");
        let (since_us, _) = scene.live.files().problems.expect("problems");
        scene.live.reload().await.expect_err("still faulty");
        assert_eq!(scene.live.files().problems.expect("problems").0, since_us, "since the first time");
        assert_eq!(scene.metrics.rules_reload_failed.get(), 1);

        scene.write(RULE);
        scene.with_pipeline(LiveRules::reload).await.expect("sound rules");
        assert!(scene.live.files().problems.is_none());
        assert_eq!((scene.metrics.rules_reload_failed.get(), scene.metrics.rules_reloaded.get()), (0, 2));
    }

    #[tokio::test]
    async fn what_is_doubtful_is_logged_when_a_rule_goes_to_work_and_not_again() {
        let (log, mut scene) = (Log::default(), Scene::new());
        let writer = log.clone();
        let _logging = tracing::subscriber::set_default(
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish(),
        );
        let never = RULE.replace("call:", "when: row.n > 5 and row.n < 3\n    call:");
        scene.write(&never);
        scene.with_pipeline(LiveRules::reload).await.expect("sound rules");
        let first = log.take();
        let doubt = "a.yaml:4:25: `when` is never true: `row.n > 5` and `row.n < 3` exclude each other; rule paid makes no call; fix: ";
        assert!(first.matches("WARN").count() == 1 && first.contains(doubt), "{first}");

        scene.write(&format!("{never}  - name: other\n    call: {{url: \"http://127.0.0.1:1/a\"}}\n"));
        scene.with_pipeline(LiveRules::reload).await.expect("sound rules");
        let second = log.take();
        assert!(second.contains("rules reloaded") && !second.contains("WARN"), "{second}");

        scene.write(&never.replace("/a", "/b"));
        scene.with_pipeline(LiveRules::reload).await.expect("sound rules");
        let third = log.take();
        assert!(third.contains(doubt), "of a rule that was changed: {third}");
    }

    #[tokio::test]
    async fn changed_files_are_loaded_when_two_checks_agree_and_only_once() {
        let mut scene = Scene::new();
        assert!(scene.live.inspect().await.is_none() && scene.live.inspect().await.is_none(), "nothing has changed");
        scene.write("table: shop.orders\nrul");
        assert!(scene.live.inspect().await.is_none(), "it may be half written");
        scene.write(&RULE.replace("/a", "/b"));
        assert!(scene.live.inspect().await.is_none(), "the files differ again");
        let taken = scene.with_pipeline(LiveRules::inspect).await.expect("two checks agree").expect("sound rules");
        assert_eq!(taken.changed, ["paid"]);
        assert!(scene.live.inspect().await.is_none() && scene.live.inspect().await.is_none(), "it was taken");

        scene.write("table: [");
        assert!(scene.live.inspect().await.is_none());
        scene.live.inspect().await.expect("two checks agree").expect_err("faulty");
        assert!(scene.live.inspect().await.is_none(), "the same problems are reported once");
    }

    #[tokio::test]
    async fn nothing_is_reloaded_after_the_stop() {
        let mut scene = Scene::new();
        let lost = scene.live.clone();
        let mut reloading = tokio::spawn(async move { lost.reload().await });
        let command = scene.commands.recv().await.expect("a command");
        assert!(futures_util::poll!(&mut reloading).is_pending(), "the pipeline has not taken them yet");
        drop(command);
        let error = reloading.await.expect("no panic").expect_err("the pipeline ended");
        assert!(matches!(error, ReloadError::Stopping), "{error}");
        scene.stop.send_replace(true);
        assert!(matches!(scene.live.reload().await, Err(ReloadError::Stopping)));
        assert!(scene.commands.is_empty());
    }
}
