//! How fast is the whole program, next to the limit of its own HTTP client on this machine, in this run?
//!
//! Real MySQL, the real release binary, a receiver in this process. Each figure stands next to what bounds it:
//!
//! - deliveries/s of 210,000 rows of 11 columns, default body, 64 in flight; beside it a bare loop of the same `reqwest`
//!   with bodies of the same size against the same receiver, in its own process as rowhook is (the two in turn, each
//!   `ROUNDS` times, medians and their ratio);
//! - rows/s of the same rows in batches of 100, beside the bare loop's requests/s with the body of a single row;
//! - the same deliveries/s with a journal and without one, in turn; how long questions to ten million entries take;
//! - the same against a receiver that needs 20 ms, 64 and 256 in flight; beside it in_flight / 20 ms;
//! - microseconds of processor time of both processes for each delivery, which a busy machine bends far less;
//! - what a rule loses by two others, one of whose APIs is slow and one away for a minute;
//! - healthy rows/s beside rows that their API always answers with 500;
//! - calls/s of operations, whose every action is written down before and after it, beside plain calls;
//! - milliseconds from COMMIT to arrival of single rows at 10/s; from process start to the first delivery;
//! - what a million dead letters take, and how long an operator waits beside them;
//! - resident memory idle, and its peak under the load above and over one transaction of ten million rows.
//!
//! `cargo bench --bench delivery`; a word after `--` picks the figures whose name holds it (`throughput`, `batches`,
//! `journal`, `journal-questions`, `slow`, `isolation`, `operations`, `poisoned`, `latency`, `start`, `letters`, `memory`). Absolute figures are of a shared machine: quote the ratios.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod bare_loop;
mod counter;
mod isolation;
mod journal;
mod letters;
mod operations;
mod poisoned;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use counter::Counter;
use mysql_async::prelude::Queryable;
use support::mysql::MysqlServer;

const ROWS: u64 = 210_000;
const ROUNDS: usize = 3;
const DEADLINE: Duration = Duration::from_secs(180);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [role, url, connections, requests, body_bytes] = &arguments[..]
        && role == "bare-loop"
    {
        let number = |text: &String| text.parse().expect("a number");
        return bare_loop::run(url, number(connections), number(requests), number(body_bytes));
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| name.contains(argument.as_str()));
    let bench = Bench::start();
    println!("MySQL {}, {} cores\n", bench.version, std::thread::available_parallelism().map_or(0, usize::from));
    if wanted("throughput") {
        bench.throughput();
    }
    if wanted("batches") {
        bench.batches();
    }
    if wanted("journal") {
        bench.journal();
    }
    if wanted("journal-questions") {
        bench.journal_questions();
    }
    if wanted("slow") {
        bench.slow_receiver(64, 20_000);
        bench.slow_receiver(256, 80_000);
    }
    if wanted("latency") {
        bench.latency();
    }
    if wanted("start") {
        bench.start_up();
    }
    if wanted("isolation") {
        bench.isolation();
    }
    if wanted("operations") {
        bench.operations();
    }
    if wanted("poisoned") {
        bench.poisoned();
    }
    if wanted("letters") {
        bench.letters();
    }
    if wanted("memory") {
        bench.large_transaction();
    }
}

struct Bench {
    server: MysqlServer,
    runtime: tokio::runtime::Runtime,
    version: String,
}

impl Bench {
    fn start() -> Bench {
        let server = MysqlServer::start(&["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let version = runtime.block_on(async {
            let mut conn = server.conn().await;
            conn.query_drop("CREATE DATABASE bench").await.expect("create the schema");
            conn.query_drop(TABLE).await.expect("create the table");
            conn.query_first::<String, _>("SELECT version()").await.expect("ask").expect("a version")
        });
        Bench { server, runtime, version }
    }

    /// Inserts rows and returns the GTID set of the moment before.
    fn insert(&self, rows: u64) -> String {
        self.runtime.block_on(async {
            let mut conn = self.server.conn().await;
            let before = gtid_executed(&mut conn).await;
            let mut written = 0;
            while written < rows {
                let batch = (rows - written).min(1000);
                let values: Vec<String> = (written..written + batch).map(row).collect();
                conn.query_drop(format!("INSERT INTO bench.rows_11 ({COLUMNS}) VALUES {}", values.join(",")))
                    .await
                    .expect("insert");
                written += batch;
            }
            before
        })
    }

    fn throughput(&self) {
        let before = self.insert(ROWS);
        let (mut ours, mut bare, mut peak_kib, mut body_bytes) = (Speed::default(), Speed::default(), 0, 0);
        for _ in 0..ROUNDS {
            let counter = Counter::start(Duration::ZERO);
            let program = Program::start(&self.server, &counter.url(), 64, &before);
            counter.wait_for(ROWS, DEADLINE);
            ours.note(counter.per_second(), &program.child);
            peak_kib = peak_kib.max(program.memory_kib("VmHWM"));
            body_bytes = counter.body_bytes() / ROWS;
            drop(program);

            run_bare_loop(body_bytes, &mut bare);
        }
        let (ours_us, bare_us) = (median(&mut ours.cpu_us), median(&mut bare.cpu_us));
        let (ours, bare) = (median(&mut ours.per_second), median(&mut bare.per_second));
        println!("throughput: {ROWS} rows of 11 columns, bodies of {body_bytes} bytes, 64 in flight");
        println!("  rowhook         {ours:>9.0} deliveries/s");
        println!("  bare reqwest    {bare:>9.0} requests/s");
        println!("  ratio           {:>9.2}   (aim 0.80)", ours / bare);
        println!("  processor time  {ours_us:>9.2} us a delivery, bare {bare_us:.2}, ratio {:.2}", bare_us / ours_us);
        println!("  peak memory     {:>9.1} MiB\n", peak_kib as f64 / 1024.0);
    }

    /// The default order, so that each call stands in a hundred lanes.
    fn batches(&self) {
        const SIZE: u64 = 100;
        let before = self.insert(ROWS);
        let (mut ours, mut bare, mut peak_kib, mut body_bytes) = (Speed::default(), Speed::default(), 0, 0);
        for _ in 0..ROUNDS {
            let counter = Counter::start(Duration::ZERO);
            let rule = format!(
                "table: bench.rows_11\nrules:\n  - name: bench\n    in_flight: 64\n    batch: {{size: {SIZE}}}\n    \
                 call:\n      url: {}\n",
                counter.url()
            );
            let program = Program::with_rule(&self.server, &rule, &before);
            counter.wait_for(ROWS / SIZE, DEADLINE);
            ours.note(counter.per_second() * SIZE as f64, &program.child);
            peak_kib = peak_kib.max(program.memory_kib("VmHWM"));
            body_bytes = counter.body_bytes() / ROWS;
            drop(program);
            run_bare_loop(body_bytes, &mut bare);
        }
        let (ours_us, bare_us) = (median(&mut ours.cpu_us), median(&mut bare.cpu_us));
        let (ours, bare) = (median(&mut ours.per_second), median(&mut bare.per_second));
        println!("batches: {ROWS} rows of 11 columns, {body_bytes} bytes each, {SIZE} in a call, 64 calls in flight");
        println!("  rowhook         {ours:>9.0} rows/s");
        println!("  bare reqwest    {bare:>9.0} requests/s of one row");
        println!("  ratio           {:>9.2}   (aim 10)", ours / bare);
        println!("  processor time  {ours_us:>9.2} us a row, bare {bare_us:.2}, ratio {:.2}", bare_us / ours_us);
        println!("  peak memory     {:>9.1} MiB\n", peak_kib as f64 / 1024.0);
    }

    fn slow_receiver(&self, in_flight: usize, rows: u64) {
        let before = self.insert(rows);
        let counter = Counter::start(Duration::from_millis(20));
        let program = Program::start(&self.server, &counter.url(), in_flight, &before);
        counter.wait_for(rows, DEADLINE);
        let (needed_s, reached) = (counter.mean_answer_s(), counter.per_second());
        let cpu_us = cpu_us(&program.child) / rows as f64;
        let limit = in_flight as f64 / 0.020;
        let real_limit = in_flight as f64 / needed_s;
        println!("slow receiver: 20 ms an answer, {in_flight} in flight, {rows} rows");
        println!("  rowhook         {reached:>9.0} deliveries/s");
        println!("  arithmetic      {limit:>9.0} deliveries/s");
        println!("  ratio           {:>9.2}   (aim 0.95)", reached / limit);
        println!(
            "  ratio           {:>9.2}   to what its timer left: {:.1} ms an answer",
            reached / real_limit,
            needed_s * 1e3
        );
        println!("  processor time  {cpu_us:>9.2} us a delivery");
        println!("  peak memory     {:>9.1} MiB\n", program.memory_kib("VmHWM") as f64 / 1024.0);
    }

    fn latency(&self) {
        let before = self.runtime.block_on(async { gtid_executed(&mut self.server.conn().await).await });
        let counter = Counter::start(Duration::ZERO);
        let program = Program::start(&self.server, &counter.url(), 64, &before);
        let (mut from_sent, mut from_returned) = (Vec::new(), Vec::new());
        self.runtime.block_on(async {
            let mut conn = self.server.conn().await;
            for n in 0..300 {
                conn.query_drop("BEGIN").await.expect("begin");
                conn.query_drop(format!("INSERT INTO bench.rows_11 ({COLUMNS}) VALUES {}", row(n)))
                    .await
                    .expect("insert");
                let sent = Instant::now();
                conn.query_drop("COMMIT").await.expect("commit");
                let returned = Instant::now();
                let arrived = counter.wait_for(n + 1, DEADLINE);
                // The first rows meet connections that are not open yet.
                if n >= 20 {
                    from_sent.push((arrived - sent).as_secs_f64() * 1e3);
                    from_returned.push(arrived.saturating_duration_since(returned).as_secs_f64() * 1e3);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        println!("latency: 280 single rows at 10/s, arrival at the API");
        for (name, samples) in [("COMMIT sent", &mut from_sent), ("COMMIT returned", &mut from_returned)] {
            let (p50, p99) = (percentile(samples, 0.50), percentile(samples, 0.99));
            println!("  after {name:<16} p50 {p50:>6.2} ms   p99 {p99:>6.2} ms   (aim 1.5 and 5)");
        }
        println!("  memory at rest  {:>9.1} MiB   (aim 25)\n", program.memory_kib("VmRSS") as f64 / 1024.0);
    }

    /// Ten million rows in one transaction, of which a rule wants every millionth.
    fn large_transaction(&self) {
        const MILLIONS: u64 = 10;
        let before = self.runtime.block_on(async {
            let mut conn = self.server.conn().await;
            let digits = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 \
                          UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
            let powers: Vec<String> = (0..7).map(|power| format!("p{power}.d * {}", 10_u64.pow(power))).collect();
            let tables: Vec<String> = (0..7).map(|power| format!("{digits} p{power}")).collect();
            let insert = format!(
                "INSERT INTO bench.narrow SELECT {}, 'a row of a large transaction' FROM {}",
                powers.join(" + "),
                tables.join(", ")
            );
            conn.query_drop("CREATE TABLE bench.narrow (id INT, note VARCHAR(40))").await.expect("create the table");
            let before = gtid_executed(&mut conn).await;
            // The last row, wherever the server put the others.
            let transaction = format!("BEGIN; {insert}; INSERT INTO bench.narrow VALUES (-1000000, 'last'); COMMIT");
            conn.query_drop(transaction).await.expect("insert");
            before
        });
        let counter = Counter::start(Duration::ZERO);
        let rule =
            "table: bench.narrow\nrules:\n  - name: bench\n    when: row.id % 1000000 == 0\n    order_by: none\n";
        let started = Instant::now();
        let program =
            Program::with_rule(&self.server, &format!("{rule}    call: {{url: {}}}\n", counter.url()), &before);
        let took = counter.wait_for(MILLIONS + 1, DEADLINE) - started;
        println!("memory: one transaction of {MILLIONS} million rows, uncompressed, an interpreted `when`");
        println!("  read in         {:>9.1} s", took.as_secs_f64());
        println!("  peak memory     {:>9.1} MiB   (aim 100)\n", program.memory_kib("VmHWM") as f64 / 1024.0);
    }

    fn start_up(&self) {
        let before = self.insert(1);
        let mut samples: Vec<f64> = (0..9)
            .map(|_| {
                let counter = Counter::start(Duration::ZERO);
                let started = Instant::now();
                let _program = Program::start(&self.server, &counter.url(), 64, &before);
                (counter.wait_for(1, DEADLINE) - started).as_secs_f64() * 1e3
            })
            .collect();
        println!("start: from process start to the first delivery, 9 runs with a fresh data directory");
        println!("  median          {:>9.0} ms   (aim 150)\n", median(&mut samples));
    }
}

/// The real binary with a fresh data directory; ended when dropped.
struct Program {
    child: Child,
    directory: tempfile::TempDir,
}

fn plain_rule(url: &str, in_flight: usize) -> String {
    format!("table: bench.rows_11\nrules:\n  - name: bench\n    in_flight: {in_flight}\n    call:\n      url: {url}\n")
}

impl Program {
    fn start(server: &MysqlServer, url: &str, in_flight: usize, after: &str) -> Program {
        Program::with_rule(server, &plain_rule(url, in_flight), after)
    }

    fn with_rule(server: &MysqlServer, rule: &str, after: &str) -> Program {
        Program::on(server, rule, after, &[], tempfile::tempdir().expect("a directory"))
    }

    /// With further arguments, and the data that the directory may have.
    fn on(server: &MysqlServer, rule: &str, after: &str, more: &[&str], directory: tempfile::TempDir) -> Program {
        let rules = directory.path().join("rules");
        std::fs::create_dir(&rules).expect("a rules directory");
        std::fs::write(rules.join("bench.yaml"), rule).expect("a rule file");
        let child = Command::new(env!("CARGO_BIN_EXE_rowhook"))
            .args(["run", "--mysql", &server.root_url(), "--admin", "off", "--start", after])
            .args(more)
            .arg("--rules")
            .arg(rules)
            .arg("--data")
            .arg(directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("log")).expect("a log file"))
            .spawn()
            .expect("start rowhook");
        Program { child, directory }
    }

    fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with(field)).expect("a memory line");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the rounds came to, of `ROWS` rows each.
#[derive(Default)]
struct Speed {
    per_second: Vec<f64>,
    /// Processor time for each row.
    cpu_us: Vec<f64>,
}

impl Speed {
    /// To be called as soon as the last row is there.
    fn note(&mut self, per_second: f64, process: &Child) {
        self.per_second.push(per_second);
        self.cpu_us.push(cpu_us(process) / ROWS as f64);
    }
}

/// One round of a bare loop with as many connections, in a process of its own.
fn run_bare_loop(body_bytes: u64, speed: &mut Speed) {
    let counter = Counter::start(Duration::ZERO);
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args(["bare-loop", &counter.url(), "64", &ROWS.to_string(), &body_bytes.to_string()])
        .spawn()
        .expect("start the bare loop");
    counter.wait_for(ROWS, DEADLINE);
    speed.note(counter.per_second(), &child);
    child.wait().expect("the bare loop ends");
}

/// Processor time that a child has used, user and system. Its parent can ask until it waits for it.
fn cpu_us(process: &Child) -> f64 {
    const TICK_US: f64 = 10_000.0;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("a process not waited for");
    // Behind the name, which may hold spaces: state is the 3rd field of proc(5), utime and stime are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() as f64 * TICK_US
}

/// The same of its threads of this name.
fn thread_cpu_us(process: &Child, name: &str) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).expect("a process not waited for");
    let read = |thread: &std::path::Path, file| std::fs::read_to_string(thread.join(file)).unwrap_or_default();
    let threads =
        threads.map(|thread| thread.expect("a thread").path()).filter(|thread| read(thread, "comm").trim() == name);
    // The first field of /proc/PID/schedstat: nanoseconds on a processor.
    let ran_ns = threads
        .map(|thread| read(&thread, "schedstat").split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0));
    ran_ns.sum::<f64>() / 1e3
}

async fn gtid_executed(conn: &mut mysql_async::Conn) -> String {
    let set: String = conn.query_first("SELECT @@global.gtid_executed").await.expect("ask").expect("a set");
    set.replace('\n', "")
}

const TABLE: &str = "CREATE TABLE bench.rows_11 (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, quantity INT, state ENUM('new', 'paid', 'sent'),
    total DECIMAL(12,2), note VARCHAR(200), at DATETIME(6), extra JSON, flags SET('a', 'b', 'c'),
    small SMALLINT, ratio DOUBLE, token VARBINARY(20))";

const COLUMNS: &str = "quantity, state, total, note, at, extra, flags, small, ratio, token";

fn row(n: u64) -> String {
    let state = ["new", "paid", "sent"][(n % 3) as usize];
    let flags = ["a", "a,b", "b,c", ""][(n % 4) as usize];
    format!(
        "({n}, '{state}', {}.{:02}, 'order number {n} of a customer who writes a note', \
         '2026-11-20 23:04:05.{:06}', '{{\"source\": \"web\", \"n\": {n}}}', '{flags}', {}, {n}.5, 0x{:040x})",
        n % 100_000,
        n % 100,
        n % 1_000_000,
        n % 30_000,
        n,
    )
}

fn median(samples: &mut [f64]) -> f64 {
    percentile(samples, 0.5)
}

fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * part).round() as usize]
}
