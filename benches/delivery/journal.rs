//! The journal: what it costs deliveries, and how long an operator waits for an answer from ten million entries.
//!
//! The entries are written into the tables that rowhook made, as docs/journal.md describes them; then the real binary is asked.
//! `ROWHOOK_BENCH_ENTRIES` is another number of them.

use std::time::{Duration, Instant};

use rowhook::journal::{JournalReader, journal_file};
use rusqlite::{Connection, params};

use super::counter::Counter;
use super::letters::ask;
use super::{Bench, DEADLINE, Program, ROUNDS, ROWS, Speed, median, plain_rule, thread_cpu_us};

const ENTRIES: i64 = 10_000_000;
const ASKED: usize = 7;

/// As docs/journal.md says of parts.
const PART_ENTRIES: i64 = 8192;

/// When the first entry had its outcome, and how far apart two of them are: 50,000 in a second.
const BEGIN_US: i64 = 1_764_000_000_000_000;
const APART_US: i64 = 20;

/// Nine rules in turn, a million keys in turn.
const FILL: &str = "WITH RECURSIVE entry (number) AS (SELECT ?1 UNION ALL SELECT number + 1 FROM entry WHERE number + 1 < ?2)
    INSERT INTO delivery (number, id, rule, watched_table, target, op, key, outcome, status, attempts, times, committed_us,
        started_us, duration_us, resolved_us)
    SELECT number, randomblob(16), 1 + number % 9, 1, 1, 0, CAST(number % 1000003 AS TEXT), 0, 200, 1, 1,
        ?3 + number * ?4, ?3 + number * ?4 + 100, 400, ?3 + number * ?4 + 500 FROM entry";

impl Bench {
    pub fn journal(&self) {
        let before = self.insert(ROWS);
        let (mut without, mut with, mut thread_us) = (Speed::default(), Speed::default(), Vec::new());
        for _ in 0..ROUNDS {
            for (speed, more) in [(&mut without, &[][..]), (&mut with, &["--journal"][..])] {
                let counter = Counter::start(Duration::ZERO);
                let directory = tempfile::tempdir().expect("a directory");
                let rule = plain_rule(&counter.url(), 64);
                let program = Program::on(&self.server, &rule, &before, more, directory);
                counter.wait_for(ROWS, DEADLINE);
                speed.note(counter.per_second(), &program.child);
                thread_us.push(thread_cpu_us(&program.child, "journal") / ROWS as f64);
            }
        }
        let (without_us, with_us) = (median(&mut without.cpu_us), median(&mut with.cpu_us));
        let (without, with) = (median(&mut without.per_second), median(&mut with.per_second));
        println!("journal: {ROWS} rows of 11 columns, 64 in flight");
        println!("  without         {without:>9.0} deliveries/s, {without_us:.2} us of processor time each");
        println!("  with            {with:>9.0} deliveries/s, {with_us:.2} us of processor time each");
        thread_us.retain(|us| *us > 0.0);
        println!("                  of which the journal's thread {:.2} us", median(&mut thread_us));
        println!("  ratio           {:>9.2}   (aim 0.90)\n", with / without);
    }

    pub fn journal_questions(&self) {
        let entries = std::env::var("ROWHOOK_BENCH_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(ENTRIES);
        let directory = tempfile::tempdir().expect("a directory");
        let rule = plain_rule("http://127.0.0.1:9/", 1);
        let mut program = Program::on(&self.server, &rule, "latest", &["--journal"], directory);
        let data = program.directory.path().join("data");
        let file = journal_file(&data);
        while !matches!(JournalReader::open(&file), Ok(Some(_))) {}
        let _ = program.child.kill();
        let _ = program.child.wait();
        let began = Instant::now();
        let id = fill(&Connection::open(&file).expect("a journal"), entries).expect("filled");
        let bytes = std::fs::metadata(&file).expect("the file").len() as f64 / entries as f64;
        println!("journal: {entries} entries, {bytes:.0} bytes each, made in {:.0} s", began.elapsed().as_secs_f64());
        let of_key = ["--key", "10006"];
        let of_time = ["--since", "2025-11-24T16:00:00Z", "--until", "2025-11-24T16:01:00Z"];
        for (name, question, words) in [
            ("by key", "list", &of_key[..]),
            ("by id", "show", &[&*id][..]),
            ("of a rule", "list", &["--rule", "rule-3"]),
            ("of a rule with one entry", "list", &["--rule", "rare"]),
            ("by time", "list", &of_time),
            ("the newest", "list", &[]),
            ("the dead ones", "list", &["--outcome", "dead"]),
            ("answered 503", "list", &["--answer", "503"]),
        ] {
            let arguments = [&["deliveries", question][..], words, &["--json"]].concat();
            let (mut took_ms, answers): (Vec<f64>, Vec<_>) = (0..ASKED).map(|_| ask(&data, &arguments)).unzip();
            assert!(answers[0].is_object(), "{arguments:?}: {}", answers[0]);
            println!("  {name:<25} {:>9.1} ms   (aim 50)", median(&mut took_ms));
        }
        println!();
    }
}

/// Returns the id of an entry in the middle.
fn fill(journal: &Connection, entries: i64) -> rusqlite::Result<String> {
    journal.execute_batch("PRAGMA journal_mode = off; PRAGMA synchronous = off")?;
    journal.execute_batch(
        "INSERT INTO watched_table VALUES (1, 'bench.rows_11'); INSERT INTO target VALUES (1, 'http://127.0.0.1:9')",
    )?;
    for rule in 1..=9 {
        journal.execute("INSERT INTO rule (number, name) VALUES (?1, 'rule-' || ?1)", [rule])?;
    }
    journal.execute("INSERT INTO rule (number, name) VALUES (10, 'rare')", [])?;
    let mut add = journal.prepare(FILL)?;
    for part in 0..=entries / PART_ENTRIES {
        let (first, end) = ((part * PART_ENTRIES).max(1), ((part + 1) * PART_ENTRIES).min(entries + 1));
        let is_full = part < entries / PART_ENTRIES;
        let time = |number: i64| BEGIN_US + number * APART_US + 500;
        journal.execute_batch("BEGIN")?;
        journal
            .execute("INSERT INTO part VALUES (?1, ?2, ?3, ?4)", params![part, time(first), time(end - 1), is_full])?;
        journal.execute("INSERT INTO part_rule SELECT number, ?1 FROM rule WHERE number < 10", [part])?;
        add.execute(params![first, end, BEGIN_US, APART_US])?;
        if is_full {
            journal.execute(
                "INSERT INTO part_id SELECT ?1, id, number FROM delivery WHERE number >= ?2 ORDER BY id",
                [part, first],
            )?;
            journal.execute(
                "INSERT INTO part_key SELECT ?1, key, number FROM delivery WHERE number >= ?2 ORDER BY key",
                [part, first],
            )?;
        }
        journal.execute_batch("COMMIT")?;
    }
    let middle = entries / 2;
    journal.execute("UPDATE delivery SET rule = 10 WHERE number = ?1", [middle])?;
    journal.execute("INSERT INTO part_rule VALUES (10, ?1)", [middle / PART_ENTRIES])?;
    journal.query_row("SELECT id FROM deliveries WHERE number = ?1", [middle], |row| row.get(0))
}
