//! What healthy rows lose by rows that their API always answers with 500.
//!
//! One rule on one table; the API answers every fifth row with 500, for ever. Beside it the same rows by a rule that leaves those
//! out. Once the rows are written at an even rate that leaves room for the retries, so that what is lost is lost by waiting;
//! once they are all there before, where the attempts of the bad rows (four for each) take time and slots from the others.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::counter::Counter;
use super::{Bench, COLUMNS, DEADLINE, Program, gtid_executed, row};

const ROWS: u64 = 20_000;
const BAD_ONE_IN: u64 = 5;
const HEALTHY: u64 = ROWS - ROWS / BAD_ONE_IN;

/// 2,000 rows a second.
const ROWS_AT_A_TIME: u64 = 100;
const EVERY: Duration = Duration::from_millis(50);

impl Bench {
    pub fn poisoned(&self) {
        println!("poisoned: {ROWS} rows, every fifth answered 500 for ever, 64 in flight: healthy rows/s");
        println!("                      beside bad rows   without bad rows   ratio");
        let (beside, without) = (self.paced("row.id > 0"), self.paced("row.id % 5 != 0"));
        println!("  written at an even rate {beside:>11.0} {without:>18.0} {:>7.2}   (aim 0.90)", beside / without);
        let before = self.insert(ROWS);
        let backlog = |when: &str| {
            let counter = Counter::start(Duration::ZERO);
            let program = start(self, when, &counter, &before);
            counter.wait_for(HEALTHY, DEADLINE);
            drop(program);
            counter.per_second()
        };
        let (beside, without) = (backlog("row.id > 0"), backlog("row.id % 5 != 0"));
        println!("  all written before      {beside:>11.0} {without:>18.0} {:>7.2}\n", beside / without);
    }

    fn paced(&self, when: &str) -> f64 {
        let counter = Counter::start(Duration::ZERO);
        self.runtime.block_on(async {
            let mut conn = self.server.conn().await;
            let before = gtid_executed(&mut conn).await;
            let program = start(self, when, &counter, &before);
            let mut ticks = tokio::time::interval(EVERY);
            for written in (0..ROWS).step_by(ROWS_AT_A_TIME as usize) {
                ticks.tick().await;
                let values: Vec<String> = (written..written + ROWS_AT_A_TIME).map(row).collect();
                conn.query_drop(format!("INSERT INTO bench.rows_11 ({COLUMNS}) VALUES {}", values.join(",")))
                    .await
                    .expect("insert");
            }
            counter.wait_for(HEALTHY, DEADLINE);
            drop(program);
        });
        counter.per_second()
    }
}

fn start(bench: &Bench, when: &str, counter: &Counter, before: &str) -> Program {
    let url = counter.url_of("{{ 'bad' if row.id % 5 == 0 else 'call' }}");
    let rule = format!(
        "table: bench.rows_11\nrules:\n  - name: bench\n    in_flight: 64\n    when: {when}\n    call: {{url: \"{url}\"}}\n"
    );
    Program::with_rule(&bench.server, &rule, before)
}
