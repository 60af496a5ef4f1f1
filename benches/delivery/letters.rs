//! A million dead letters: what they take on the disk and in memory, and how long an operator waits.
//!
//! The store is filled by its own writer, a thousand at a time; then the real binary runs on it, and is asked as an operator asks:
//! status, the first page, groups. `ROWHOOK_BENCH_LETTERS` is another number of them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rowhook::change::{Cell, Change, DeliveryId, Op, Row, Table, Transaction, Value};
use rowhook::failure::{Answer, Attempt, Attempts, Reason};
use rowhook::ordering::{Declared, KeyColumn, KeyDefinition, LaneKey, LaneKeys, MoreKeys, OrderedBy};
use rowhook::store::{LetterFailure, NewDeadLetter, Store, Write};

use super::{Bench, Program, cpu_us, median};

const LETTERS: u64 = 1_000_000;
const AT_A_TIME: u64 = 1_000;
const ASKED: usize = 9;

impl Bench {
    pub fn letters(&self) {
        self.letters_of(false);
        self.letters_of(true);
    }

    /// Of a rule whose dead letters block their keys, or of one whose don't.
    fn letters_of(&self, block: bool) {
        let letters = std::env::var("ROWHOOK_BENCH_LETTERS").ok().and_then(|text| text.parse().ok()).unwrap_or(LETTERS);
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let began = Instant::now();
        let (row_bytes, record_bytes) = self.fill(&data, letters, block);
        let which = if block { ", each of which blocks its key" } else { "" };
        println!(
            "letters: {letters} dead letters{which}, of one attempt with a short answer, rows of {row_bytes} bytes as JSON"
        );
        println!("  written in      {:>9.1} s", began.elapsed().as_secs_f64());
        let beyond_row = record_bytes - row_bytes as f64;
        println!("  its records     {beyond_row:>9.0} bytes beyond its row   (aim 250)");
        let on_disk = bytes_of(&data) as f64 / letters as f64;
        println!("  on the disk     {on_disk:>9.0} bytes a letter, sled's factor {:.2}", on_disk / record_bytes);

        let began = Instant::now();
        let rule = "table: bench.rows_11\nrules:\n  - name: bench\n    call: {url: 'http://127.0.0.1:9/'}\n";
        let program = Program::on(&self.server, rule, "latest", &[], directory);
        let data = program.directory.path().join("data");
        // Before it has its socket, a question would take the store from it.
        while !data.join(rowhook::admin::SOCKET_NAME).exists() {}
        while ask(&data, &["status", "--json"]).1["running"] != true {}
        println!("  answers after   {:>9.0} ms of its start   (aim 1000)", began.elapsed().as_secs_f64() * 1e3);
        println!("  memory          {:>9.1} MiB at the start   (aim 100)", program.memory_kib("VmRSS") as f64 / 1024.0);
        for (name, arguments, aim_ms) in [
            ("status", &["status", "--json"][..], 20),
            ("first page", &["dead-letters", "list", "--limit", "100", "--json"], 50),
            ("groups", &["dead-letters", "list", "--group-by", "rule,answer,message", "--json"], 2_000),
        ] {
            let before_us = cpu_us(&program.child);
            let mut took_ms: Vec<f64> = (0..ASKED).map(|_| ask(&data, arguments).0).collect();
            let daemon_ms = (cpu_us(&program.child) - before_us) / 1e3 / ASKED as f64;
            let median_ms = median(&mut took_ms);
            println!(
                "  {name:<15} {median_ms:>9.1} ms, of which the daemon's processor time {daemon_ms:.1}   (aim {aim_ms})"
            );
        }
        println!("  memory          {:>9.1} MiB after that\n", program.memory_kib("VmRSS") as f64 / 1024.0);
    }

    /// Returns the bytes of a row as JSON, and those of a letter's records.
    fn fill(&self, data: &Path, letters: u64, block: bool) -> (usize, f64) {
        let columns = ["id", "state", "total", "note"].map(Box::from).to_vec();
        let table = Arc::new(Table { schema: "bench".into(), name: "rows_11".into(), columns, primary_key: vec![0] });
        let store = Store::open(data).expect("a store");
        for first in (0..letters).step_by(AT_A_TIME as usize) {
            let of_number = |number| letter(change(&table, number), number, block);
            let letters_add = (first..letters.min(first + AT_A_TIME)).map(of_number).collect();
            self.runtime.block_on(store.write(Write { letters_add, ..Write::default() })).expect("written");
        }
        let sampled = (1..=letters).step_by(100);
        let record_bytes = sampled.clone().map(|number| store.letter_bytes(number).expect("readable")).sum::<u64>();
        let last = serde_json::json!({"id": letters, "state": "paid", "total": "19.90", "note": note(letters)});
        (last.to_string().len(), record_bytes as f64 / sampled.count() as f64)
    }
}

fn note(number: u64) -> String {
    format!("order number {number} of a customer who writes a note")
}

fn change(table: &Arc<Table>, number: u64) -> Arc<Change> {
    let cells = [
        Value::Uint(number),
        Value::Text("paid".into()),
        Value::Decimal("19.90".into()),
        Value::Text(note(number).as_str().into()),
    ];
    let after = Some(cells.into_iter().map(Cell::Value).collect::<Row>());
    let transaction = Arc::new(Transaction { offset: number + 4, ..Transaction::example() });
    Arc::new(Change { op: Op::Insert, table: Arc::clone(table), before: None, after, transaction, ordinal: 1 })
}

/// Of fifty kinds.
fn letter(change: Arc<Change>, number: u64, block: bool) -> NewDeadLetter {
    let rule = format!("rule-{}", number % 10);
    let status = [400, 404, 409, 422, 451][(number / 10 % 5) as usize];
    let answer = Answer::Status { status, excerpt: format!("{{\"error\":\"no order {number}\"}}") };
    let created_at_us = 1_764_000_000_000_000 + number;
    let attempt = Attempt { started_at_us: created_at_us - 2_100, duration_us: 2_000, answer };
    let attempts = Attempts::new(vec![attempt], 1);
    let message = format!("answered {status}: not retried");
    NewDeadLetter {
        delivery_id: DeliveryId(uuid::Uuid::from_u128(u128::from(number))),
        rule: rule.as_str().into(),
        lanes: if block { lanes(&rule, &change.table, number) } else { LaneKeys::none() },
        change,
        failure: LetterFailure { reason: Reason::Refused, message, attempts },
        created_at_us,
        redacted: Vec::new(),
    }
}

/// The key that it blocks.
fn lanes(rule: &str, table: &Table, number: u64) -> LaneKeys {
    let key = vec![KeyColumn { name: "id".into(), declared: Declared::Int }];
    let by = OrderedBy::Columns { key, all: table.columns.clone() };
    let made_under = Some(Arc::new(KeyDefinition::new(rule, &table.schema, &table.name, by)));
    let own = LaneKeys::one(LaneKey(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    own.with(MoreKeys { made_under, ..MoreKeys::default() })
}

fn bytes_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata().expect("metadata") {
            metadata if metadata.is_dir() => bytes_of(&entry.path()),
            metadata => metadata.len(),
        })
        .sum()
}

/// The milliseconds that a command took, and its JSON; null where it failed.
pub fn ask(data: &Path, arguments: &[&str]) -> (f64, serde_json::Value) {
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowhook"));
    let output = command.args(arguments).arg("--data").arg(data).stderr(Stdio::null()).output().expect("rowhook runs");
    let took_ms = began.elapsed().as_secs_f64() * 1e3;
    (took_ms, serde_json::from_slice(&output.stdout).unwrap_or_default())
}
