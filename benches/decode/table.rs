//! Measures in turn, and what came of them as a table.
//!
//! In: named measures, each a function that gives a [`Pass`]; the first is the limit that the others' ratios refer to. All
//! take turns, round after round, so that a slow moment of a shared machine hits each of them once, and not one of them
//! always; in its turn a quick one passes several times. Out: medians of all passes, and the best beside them.

use std::time::Duration;

use crate::capture::{Capture, ROWS};

const ROUNDS: usize = 7;

/// A turn lasts at least so long: a pass of 25 ms alone says more about the scheduler than about itself.
const TURN_MIN: Duration = Duration::from_millis(250);

/// One reading of a capture from its beginning to its end.
pub struct Pass {
    bytes: u64,
    rows: Option<u64>,
    pub took: Duration,
}

impl Pass {
    /// Of something that sees events, not rows.
    pub fn without_rows(capture: &Capture, took: Duration) -> Pass {
        Pass { bytes: capture.bytes, rows: None, took }
    }

    /// Panics when rows are missing: a figure of less work would be worth nothing.
    pub fn of_rows(capture: &Capture, rows: u64, took: Duration) -> Pass {
        assert_eq!(rows, ROWS, "rows read of {}", capture.name);
        Pass { bytes: capture.bytes, rows: Some(rows), took }
    }
}

pub struct Measure<'a> {
    pub name: &'a str,
    pub run: Box<dyn Fn() -> Pass + 'a>,
}

impl<'a> Measure<'a> {
    pub fn new(name: &'a str, run: impl Fn() -> Pass + 'a) -> Measure<'a> {
        Measure { name, run: Box::new(run) }
    }
}

/// Runs all measures in turn and prints a line for each; the first is the limit.
pub fn print(title: &str, measures: &[Measure<'_>]) {
    let mut passes: Vec<Vec<Pass>> = measures.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (measure, passes) in measures.iter().zip(&mut passes) {
            let mut turn = Duration::ZERO;
            while turn < TURN_MIN {
                let pass = (measure.run)();
                turn += pass.took;
                passes.push(pass);
            }
        }
    }
    println!("{title}");
    println!("  {:<44}{:>10}{:>10}{:>8}{:>9}", "", "M rows/s", "(best)", "GB/s", "ratio");
    let mut limit_s_per_byte = None;
    for (measure, passes) in measures.iter().zip(&mut passes) {
        passes.sort_by_key(|pass| pass.took);
        let (best, median) = (&passes[0], &passes[passes.len() / 2]);
        let s_per_byte = median.took.as_secs_f64() / median.bytes as f64;
        let ratio = *limit_s_per_byte.get_or_insert(s_per_byte) / s_per_byte;
        let rows = |pass: &Pass| match pass.rows {
            Some(rows) => format!("{:.2}", rows as f64 / pass.took.as_secs_f64() / 1e6),
            None => String::new(),
        };
        println!("  {:<44}{:>10}{:>10}{:>8.2}{ratio:>9.3}", measure.name, rows(median), rows(best), 1e-9 / s_per_byte);
    }
    println!();
}
