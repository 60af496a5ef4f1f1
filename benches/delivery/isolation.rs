//! What a rule loses by two others whose APIs are in trouble.
//!
//! Three rules on one table: one API answers at once, one takes 200 ms for each call, one refuses connections for the first
//! minute. Beside it the first rule alone, on the same rows.

use std::process::Command;
use std::time::{Duration, Instant};

use super::counter::Counter;
use super::{Bench, Program};

const ROWS: u64 = 120_000;
const SLOW: Duration = Duration::from_millis(200);
const OUTAGE: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(300);

impl Bench {
    pub fn isolation(&self) {
        let before = self.insert(ROWS);
        let counter = Counter::start(Duration::ZERO);
        let program = Program::start(&self.server, &counter.url(), 64, &before);
        counter.wait_for(ROWS, DEADLINE);
        let alone = counter.per_second();
        drop(program);

        let (healthy, slow) = (Counter::start(Duration::ZERO), Counter::start(SLOW));
        let port = free_port();
        let rule = |name: &str, in_flight: u32, url: &str| {
            format!("  - name: {name}\n    in_flight: {in_flight}\n    call: {{url: {url}}}\n")
        };
        let rules = format!(
            "table: bench.rows_11\nrules:\n{}{}{}",
            rule("healthy", 64, &healthy.url()),
            rule("slow", 256, &slow.url()),
            rule("down", 64, &format!("http://127.0.0.1:{port}/call"))
        );
        let began = Instant::now();
        let program = Program::with_rule(&self.server, &rules, &before);
        healthy.wait_for(ROWS, DEADLINE);
        let together = healthy.per_second();
        std::thread::sleep(OUTAGE.saturating_sub(began.elapsed()));
        let fixed = Counter::start_on(port, Duration::ZERO);
        let down_took = fixed.wait_for(ROWS, DEADLINE).duration_since(began) - OUTAGE;
        let slow_took = slow.wait_for(ROWS, DEADLINE).duration_since(began);
        let peak_mib = program.memory_kib("VmHWM") as f64 / 1024.0;

        println!("isolation: {ROWS} rows, three rules, one API slow (200 ms), one away for {} s", OUTAGE.as_secs());
        println!("  healthy, alone     {alone:>9.0} deliveries/s");
        println!("  healthy, beside    {together:>9.0} deliveries/s");
        println!("  ratio              {:>9.2}   (aim 0.90)", together / alone);
        println!("  slow, all after    {:>9.1} s   (in_flight / 200 ms would be {:.1})", slow_took.as_secs_f64(), {
            ROWS as f64 / (256.0 / SLOW.as_secs_f64())
        });
        println!("  away, all after    {:>9.1} s from its return", down_took.as_secs_f64());
        println!("  dead letters       {:>9}", program.dead_letters());
        println!("  peak memory        {peak_mib:>9.1} MiB\n");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Program {
    fn dead_letters(&self) -> usize {
        let data = self.directory.path().join("data");
        let listed = Command::new(env!("CARGO_BIN_EXE_rowhook"))
            .args(["dead-letters", "list", "--json", "--data"])
            .arg(data)
            .output()
            .expect("run rowhook");
        let listing: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        listing["dead_letters"].as_array().expect("a list").len()
    }
}
