//! Promises 1, 2 and 4 under faults drawn at random: kills and restarts of rowhook and of mysqld, cut connections, an API
//! that fails, is unavailable and comes back, statements on the watched tables, `gtid_mode` to and fro, new binlog files, large
//! transactions, rollbacks.
//!
//! The faults come in chapters. In each, writers change rows while a deck of faults is played; then the faults end, all
//! that was written has to arrive, and every row is compared with the table. One chapter takes half a minute and is what
//! `cargo test` runs. `ROWHOOK_FAULT_MINUTES=60 cargo test --test mysql faults -- --nocapture` goes on for an hour;
//! `ROWHOOK_SEED=…` draws the same faults again, at moments that are the machine's.

mod ledger;
mod report;
mod statements;
mod writers;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::mysql::MysqlServer;
use crate::support::program::{Home, Program};
use crate::support::random::Random;
use crate::support::receiver::{Receiver, Request};

use ledger::{Ledger, Weather};
use report::RunReport;
use writers::{Site, TABLES, Writers};

const DEADLINE: Duration = Duration::from_secs(120);
const USER: &str = "watcher";
const PASSWORD: &str = "of rows";

/// The order of `gtid_mode`s: the server goes from one to its neighbours only.
const GTID_MODES: [&str; 4] = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    KillRowhook,
    RestartRowhook,
    KillMysqld,
    KillMysqldInAStatement,
    KillBoth,
    CutStream,
    CutAll,
    DropCalls,
    ApiGone,
    Weather,
    Alter,
    OtherStatement,
    NewBinlog,
    GtidMode,
    Large,
}

/// How often each comes in a chapter.
const DECK: [(Fault, usize); 15] = [
    (Fault::KillRowhook, 4),
    (Fault::RestartRowhook, 3),
    (Fault::KillMysqld, 1),
    (Fault::KillMysqldInAStatement, 1),
    (Fault::KillBoth, 1),
    (Fault::CutStream, 3),
    (Fault::CutAll, 2),
    (Fault::DropCalls, 2),
    (Fault::ApiGone, 2),
    (Fault::Weather, 5),
    (Fault::Alter, 6),
    (Fault::OtherStatement, 2),
    (Fault::NewBinlog, 2),
    (Fault::GtidMode, 7),
    (Fault::Large, 3),
];

/// In a long run more comes together before all comes to rest.
const LONG_CHAPTER_DECKS: usize = 4;

/// Each row's changes arrive once at least, the first time in order, under names that are theirs alone; the last call of
/// each row says what the table contains.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_out_of_order_whatever_fails() {
    let given = std::env::var("ROWHOOK_SEED").ok().map(|text| text.parse().expect("ROWHOOK_SEED is a number"));
    let minutes = std::env::var("ROWHOOK_FAULT_MINUTES").ok().map(|text| text.parse().expect("a number of minutes"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seed = given.unwrap_or(now.as_nanos() as u64);
    let begun_at = Instant::now();
    let mut scene = Scene::new(seed).await;
    loop {
        scene.chapter(if minutes.is_some() { LONG_CHAPTER_DECKS } else { 1 }).await;
        let minutes_gone = begun_at.elapsed().as_secs() / 60;
        if minutes.is_none_or(|minutes: u64| minutes_gone >= minutes) {
            break;
        }
        scene.report.say(&format!("{minutes_gone} min"), &scene.ledger.lock().expect("no panic under it"));
    }
    scene.end();
    scene.report.say("the end", &scene.ledger.lock().expect("no panic under it"));
}

struct Scene {
    random: Random,
    server: MysqlServer,
    site: Arc<Site>,
    receiver: Receiver,
    ledger: Arc<Mutex<Ledger>>,
    program: Program,
    report: RunReport,
    rowhook_is_down: bool,
    api_is_down: bool,
    gtids_go_up: bool,
}

impl Scene {
    async fn new(seed: u64) -> Scene {
        let report = RunReport::new(seed);
        let mut random = Random::seeded(seed);
        let server = MysqlServer::start(&[]);
        let site = Arc::new(Site::new(server.port(), server.fresh_database().await));
        site.set_up().await;
        let grants = format!(
            "CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'; \
             GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {USER}; GRANT SELECT ON {}.* TO {USER}",
            site.database
        );
        server.query(&grants).await;
        let ledger = Arc::new(Mutex::new(Ledger::new(Random::seeded(random.next()))));
        let asked = Arc::clone(&ledger);
        let receiver =
            Receiver::start(move |request: &Request| asked.lock().expect("no panic under it").answer(request));
        receiver.count_only();
        let program = start(&server, &site, &receiver);
        program.wait_for_line("reading after", DEADLINE);
        Scene {
            random,
            server,
            site,
            receiver,
            ledger,
            program,
            report,
            rowhook_is_down: false,
            api_is_down: false,
            gtids_go_up: false,
        }
    }

    /// Plays shuffled decks of faults while rows are written, then has all come to rest, and looks.
    async fn chapter(&mut self, decks: usize) {
        let writers = Writers::start(&self.site, &mut self.random);
        let mut deck: Vec<Fault> =
            DECK.iter().flat_map(|(fault, times)| std::iter::repeat_n(*fault, decks * times)).collect();
        for last in (1..deck.len()).rev() {
            deck.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        for fault in deck {
            self.report.note(&format!("{fault:?}"));
            tokio::time::sleep(Duration::from_millis(self.random.below(300))).await;
            self.play(fault).await;
            if self.api_is_down && self.random.below(3) == 0 {
                self.api_comes_back();
            }
            if self.rowhook_is_down && self.random.below(2) == 0 {
                self.start_rowhook();
            }
            self.nothing_is_broken();
        }
        self.calm().await;
        self.make_up().await;
        writers.stop().await;
        self.all_arrives().await;
        // What ON alone refuses has gone by now. The last change of each row is made to the tables as they are.
        self.step_gtid_mode("ON").await;
        self.site.change_every_row().await;
        self.all_arrives().await;
        self.calls_equal_the_tables().await;
    }

    async fn play(&mut self, fault: Fault) {
        match fault {
            Fault::KillRowhook => self.kill_rowhook(),
            Fault::RestartRowhook => self.end_rowhook(),
            Fault::KillMysqld => self.kill_mysqld(),
            Fault::KillMysqldInAStatement => {
                let alter = self.site.draw_alter(&mut self.random).await;
                self.report.note(&alter);
                let (site, pause) = (Arc::clone(&self.site), Duration::from_millis(self.random.below(60)));
                let altering = tokio::spawn(async move { site.try_once(&alter).await });
                tokio::time::sleep(pause).await;
                self.kill_mysqld();
                altering.await.expect("a statement that fails is no panic");
                self.report.counts.statements += 1;
            }
            Fault::KillBoth => {
                self.kill_rowhook();
                self.kill_mysqld();
            }
            Fault::CutStream => self.cut("COMMAND LIKE 'Binlog Dump%'").await,
            Fault::CutAll => self.cut(&format!("USER = '{USER}'")).await,
            Fault::DropCalls => self.receiver.drop_connections(1 + self.random.below(8) as usize),
            Fault::ApiGone => {
                self.api_goes_down();
                self.api_is_down = true;
                self.report.counts.api_gone += 1;
            }
            Fault::Weather => {
                let weather = Weather::draw(&mut self.random);
                let table = self.random.below(TABLES as u64) as usize;
                self.report.note(&format!("{weather:?} for table {table}"));
                self.ledger.lock().expect("no panic under it").weather[table] = weather;
            }
            Fault::Alter => {
                let alter = self.site.draw_alter(&mut self.random).await;
                self.report.note(&alter);
                self.site.insist(&alter).await;
                self.report.counts.statements += 1;
            }
            Fault::OtherStatement => {
                let statement = self.site.draw_other(&mut self.random);
                self.report.note(&statement);
                self.site.insist(&statement).await;
                self.report.counts.statements += 1;
            }
            Fault::NewBinlog => self.site.insist("FLUSH BINARY LOGS").await,
            Fault::GtidMode => self.next_gtid_mode().await,
            Fault::Large => self.site.large_wanted.store(true, Ordering::Relaxed),
        }
    }

    fn nothing_is_broken(&mut self) {
        assert!(self.rowhook_is_down || !self.program.has_ended(), "rowhook ended by itself");
        let broken = self.ledger.lock().expect("no panic under it").broken.clone();
        assert!(broken.is_empty(), "{broken:#?}");
        let says = |line: &&String| {
            line.contains("ERROR") && !line.contains("mysql does not send what comes next; trying again")
                || line.contains("panicked")
        };
        if let Some(line) = self.program.lines().iter().find(says) {
            panic!("rowhook says: {line}");
        }
    }

    /// It may be one that has just begun.
    fn kill_rowhook(&mut self) {
        if self.rowhook_is_down {
            self.start_rowhook();
        }
        self.program.kill_9();
        self.report.counts.rowhook_kills += 1;
        self.rowhook_is_gone();
    }

    /// One that has just begun may not handle signals yet, so it gets none.
    fn end_rowhook(&mut self) {
        if self.rowhook_is_down {
            return self.start_rowhook();
        }
        if self.program.lines().is_empty() {
            return;
        }
        self.program.terminate();
        assert_eq!(self.program.wait(DEADLINE), 0, "an orderly end");
        self.report.counts.rowhook_restarts += 1;
        self.rowhook_is_gone();
    }

    /// For a while, perhaps.
    fn rowhook_is_gone(&mut self) {
        self.rowhook_is_down = true;
        // What it had sent and was not read yet is lost with its connections.
        if !self.api_is_down {
            self.api_goes_down();
            self.api_comes_back();
        }
    }

    fn start_rowhook(&mut self) {
        self.program.restart();
        self.rowhook_is_down = false;
    }

    fn api_goes_down(&mut self) {
        self.receiver.go_down();
        self.ledger.lock().expect("no panic under it").answers_were_lost();
    }

    fn api_comes_back(&mut self) {
        self.receiver.come_back();
        self.api_is_down = false;
    }

    fn kill_mysqld(&mut self) {
        self.server.kill_9();
        let mode = format!("--gtid-mode={}", GTID_MODES[self.site.gtid_mode.load(Ordering::Relaxed)]);
        let metadata = ["--binlog-row-metadata=MINIMAL", "--binlog-row-metadata=FULL"][self.random.below(2) as usize];
        self.report.note(&format!("mysqld starts with {mode} {metadata}"));
        let server = &mut self.server;
        tokio::task::block_in_place(|| server.restart(&[&mode, metadata]));
        self.report.counts.mysqld_kills += 1;
    }

    async fn cut(&mut self, whose: &str) {
        let find = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE {whose}");
        let connections: Vec<u64> = self.site.ask(&find).await;
        for id in connections {
            self.site.try_once(&format!("KILL {id}")).await;
            self.report.counts.cuts += 1;
        }
    }

    /// From ON to OFF and back, again and again.
    async fn next_gtid_mode(&mut self) {
        let at = self.site.gtid_mode.load(Ordering::Relaxed);
        self.gtids_go_up = at == 0 || (self.gtids_go_up && at + 1 < GTID_MODES.len());
        let next = if self.gtids_go_up { at + 1 } else { at - 1 };
        self.step_gtid_mode(GTID_MODES[next]).await;
    }

    /// To this mode, by single steps.
    async fn step_gtid_mode(&mut self, wanted: &str) {
        let place = |wanted| GTID_MODES.iter().position(|mode| *mode == wanted).expect("a mode");
        let mut at = self.site.gtid_mode.load(Ordering::Relaxed);
        while at != place(wanted) {
            at = if at < place(wanted) { at + 1 } else { at - 1 };
            self.report.note(GTID_MODES[at]);
            self.site.insist(&format!("SET GLOBAL gtid_mode = {}", GTID_MODES[at])).await;
            self.site.gtid_mode.store(at, Ordering::Relaxed);
            self.report.counts.gtid_steps += 1;
        }
    }

    /// Everything runs and works, and the server sends all that it has.
    async fn calm(&mut self) {
        self.report.note("calm");
        self.receiver.drop_connections(0);
        self.ledger.lock().expect("no panic under it").weather = [Weather::Fine; TABLES];
        if self.api_is_down {
            self.api_comes_back();
        }
        if self.rowhook_is_down {
            self.start_rowhook();
        }
        self.step_gtid_mode("ON_PERMISSIVE").await;
    }

    /// Plays what the deck had and chance took: rowhook was down when it was to be restarted, or its connections when they
    /// were to be cut; each large transaction was rolled back or broken off.
    async fn make_up(&mut self) {
        if self.report.counts.rowhook_restarts == 0 {
            self.program.wait_for_line("reading after", DEADLINE);
            self.play(Fault::RestartRowhook).await;
            self.start_rowhook();
        }
        let give_up_at = Instant::now() + DEADLINE;
        loop {
            let (large, rollbacks) = self.site.large_and_rollbacks();
            if large > 0 && rollbacks > 0 && self.report.counts.cuts > 0 {
                break;
            }
            if large == 0 {
                self.play(Fault::Large).await;
            }
            if self.report.counts.cuts == 0 {
                self.play(Fault::CutAll).await;
            }
            assert!(Instant::now() < give_up_at, "{large} large transactions, {rollbacks} rollbacks in {DEADLINE:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn all_arrives(&mut self) {
        let written = self.site.versions().await;
        self.report.counts.changes = written.iter().map(|row| row.version).sum();
        loop {
            let calls = self.receiver.count();
            let missing = self.ledger.lock().expect("no panic under it").missing(&written);
            let Some(missing) = missing else { break };
            self.nothing_is_broken();
            self.report.missing(&missing);
            self.receiver.wait_for_count(calls + 1, DEADLINE).await;
        }
        self.nothing_is_broken();
    }

    async fn calls_equal_the_tables(&mut self) {
        let rows = self.site.rows().await;
        self.ledger.lock().expect("no panic under it").last_calls_equal(&rows);
        let letters = self.program.home().run(&["dead-letters", "list", "--json"]);
        let letters: serde_json::Value = serde_json::from_str(&letters.stdout).expect("the list is JSON");
        assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(0), "{letters}");
        let counts = &mut self.report.counts;
        (counts.large, counts.rollbacks) = self.site.large_and_rollbacks();
    }

    fn end(&mut self) {
        self.program.terminate();
        assert_eq!(self.program.wait(DEADLINE), 0);
        self.nothing_is_broken_at_the_end();
    }

    /// Each kind of fault was there, so that the test is what it says.
    fn nothing_is_broken_at_the_end(&self) {
        let counts = &self.report.counts;
        assert!(counts.each().iter().all(|(count, _)| *count > 0), "{counts:?}");
        let ledger = self.ledger.lock().expect("no panic under it");
        assert_eq!(ledger.changes_called(), counts.changes, "calls for changes that were never made");
    }
}

/// One rule for each table. The first keeps its letters by key, the second is slow, so that it falls behind.
fn start(server: &MysqlServer, site: &Site, receiver: &Receiver) -> Program {
    let rule = |table: usize, keys: &str| {
        format!(
            "table: {}\nrules:\n  - name: r{table}\n    {keys}\n    call: {{url: \"{}\", timeout: 5s}}\n    \
             retry: {{retries: forever, initial: 20ms, max_delay: 300ms}}\n",
            site.table(table),
            receiver.url(&format!("/{table}"))
        )
    };
    let target =
        format!("targets:\n  {}:\n    breaker: {{failures: 8, probe: 30ms, max_probe: 300ms}}\n", receiver.url(""));
    let home = Home::new(env!("CARGO_BIN_EXE_rowhook"))
        .with_rule("r0.yaml", &rule(0, "on_dead_letter: hold_key"))
        .with_rule("r1.yaml", &rule(1, "in_flight: 3"))
        .with_rule("targets.yaml", &target)
        .with_env("ROWHOOK_LOG", "warn,rowhook::source=info,rowhook::pipeline=info");
    let url = server.url(USER, PASSWORD);
    home.start(&["run", "--mysql", &url, "--admin", "off", "--no-watch", "--window", "60", "--shutdown-timeout", "2s"])
}
