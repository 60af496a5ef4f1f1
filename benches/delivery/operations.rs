//! What it costs to write down each action before and after it.
//!
//! The same rows by a rule with one plain call, by one with three steps, and by one whose call must not be repeated, with 1, 16
//! and 64 in flight: calls/s of each. The store writes what waits as one group, so the cost of a flush is shared by as many
//! operations as are under way.

use std::time::Duration;

use super::counter::Counter;
use super::{Bench, DEADLINE, Program};

impl Bench {
    pub fn operations(&self) {
        println!("operations: calls/s, each written down before and after it, beside plain calls");
        println!("  in flight    plain   three steps   ratio   not to be repeated   ratio");
        for (in_flight, rows) in [(1, 1500), (16, 12_000), (64, 24_000)] {
            let before = self.insert(rows);
            let plain = self.calls_per_second(&before, in_flight, rows, |url| format!("call: {{url: {url}}}"));
            let steps = self.calls_per_second(&before, in_flight, 3 * rows, |url| {
                let step = |name| format!("{{name: {name}, call: {{url: {url}}}}}");
                format!("steps: [{}, {}, {}]", step("one"), step("two"), step("three"))
            });
            let once = self
                .calls_per_second(&before, in_flight, rows, |url| format!("call: {{url: {url}, idempotent: false}}"));
            println!(
                "  {in_flight:>9} {plain:>8.0} {steps:>13.0} {:>7.2} {once:>20.0} {:>7.2}",
                steps / plain,
                once / plain
            );
        }
        println!();
    }

    fn calls_per_second(&self, before: &str, in_flight: usize, calls: u64, work: impl Fn(&str) -> String) -> f64 {
        let counter = Counter::start(Duration::ZERO);
        let work = work(&counter.url());
        let rule = format!("table: bench.rows_11\nrules:\n  - name: bench\n    in_flight: {in_flight}\n    {work}\n");
        let program = Program::with_rule(&self.server, &rule, before);
        counter.wait_for(calls, DEADLINE);
        drop(program);
        counter.per_second()
    }
}
