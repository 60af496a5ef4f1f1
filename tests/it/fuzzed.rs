//! The fuzzers' entry points, over their seeds and over thousands of damaged ones: nothing panics.
//!
//! `fuzz/` searches further, with coverage and without end; this runs everywhere, and the same inputs every time. A failure
//! prints target, number and input. With `ROWHOOK_FUZZ_SEEDS` set the seeds are written to `fuzz/corpus/TARGET/` first.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use rowhook::fuzzing;

use crate::seeds::seeds;
use crate::support::random::Random;

/// Damaged inputs of each target; rule files are long, and the parsers of a debug build slow.
const INPUTS: u64 = 20_000;
const RULE_FILES: u64 = 4_000;

/// For one input, in a debug build on a busy machine; nearly all take less than 10 ms.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes at which mistakes begin, and what separates the words of texts.
const EDGES: [&[u8]; 16] = [
    b"\0",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xfc",
    b"\xfd",
    b"\xfe",
    b"\xff\xff\xff\xff",
    b"\n",
    b": ",
    b"{{ ",
    b" }}",
    b"(",
    b"'",
    b"9999999999999999999999",
    b"\xf0\x9f\xa6\x80",
];

fn entry(target: &str) -> (fn(&[u8]) -> bool, u64) {
    match target {
        "binlog_event" => (fuzzing::binlog_event, INPUTS),
        "row_image" => (fuzzing::row_image, INPUTS),
        "json_column" => (fuzzing::json_column, INPUTS),
        "ddl_statement" => (fuzzing::ddl_statement, INPUTS),
        "rule_file" => (fuzzing::rule_file, RULE_FILES),
        "template" => (fuzzing::template, INPUTS),
        "answer_headers" => (fuzzing::answer_headers, INPUTS),
        unknown => panic!("{unknown} has seeds and no entry point"),
    }
}

/// One to four changes: a bit, a cut, a part of another input, an edge, a part twice, a part less.
fn damaged(random: &mut Random, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut below = |limit: usize| random.below(limit as u64) as usize;
    let mut bytes = inputs[below(inputs.len())].clone();
    for _ in 0..=below(4) {
        let (one, other) = (below(bytes.len() + 1), below(bytes.len() + 1));
        let (from, to) = (one.min(other), one.max(other));
        match below(6) {
            0 => bytes.iter_mut().skip(one).take(1).for_each(|byte| *byte ^= 1 << below(8)),
            1 => bytes.truncate(one),
            2 => {
                let lender = &inputs[below(inputs.len())];
                let begin = below(lender.len() + 1);
                bytes.splice(from..to.min(from + 16), lender[begin..].iter().take(64).copied());
            }
            3 => drop(bytes.splice(from..from, EDGES[below(EDGES.len())].iter().copied())),
            4 => {
                let part = bytes[from..to.min(from + 64)].repeat(1 + below(8));
                bytes.splice(from..from, part);
            }
            _ => drop(bytes.drain(from..to.min(from + 8))),
        }
    }
    bytes
}

#[track_caller]
fn feed(target: &str, name: &str, run: fn(&[u8]) -> bool, input: &[u8]) -> bool {
    let began = Instant::now();
    let outcome = catch_unwind(|| run(input));
    let shown = || format!("{target}, {name}: {:?}", String::from_utf8_lossy(input));
    let Ok(is_read) = outcome else { panic!("it panics at {}\nbytes {input:?}", shown()) };
    assert!(began.elapsed() < TIME_MAX, "it takes {:?} for {}", began.elapsed(), shown());
    is_read
}

fn write(target: &str, inputs: &[Vec<u8>]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    fs::create_dir_all(&folder).unwrap();
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), input).unwrap();
    }
}

#[test]
fn no_bytes_from_outside_make_a_reader_panic() {
    let all = seeds(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(all.len(), 7);
    for (target, inputs) in all {
        assert!(inputs.len() > 3, "{target} has {} seeds", inputs.len());
        if std::env::var_os("ROWHOOK_FUZZ_SEEDS").is_some() {
            write(target, &inputs);
        }
        let (run, count) = entry(target);
        let seeds_read = inputs.iter().enumerate().filter(|(at, seed)| feed(target, &format!("seed {at}"), run, seed));
        let seeds_read = seeds_read.count();
        // Rotations, ends of transactions and files with `targets:` alone contain nothing that the entry points read.
        assert!(seeds_read * 2 > inputs.len(), "{target}: {seeds_read} of {} seeds are read", inputs.len());
        let read = (0..count).filter(|number| {
            let input = damaged(&mut Random::seeded(*number), &inputs);
            feed(target, &format!("input {number}"), run, &input)
        });
        let read = read.count() as u64;
        assert!(read > count / 100 && read < count - count / 100, "{target}: {read} of {count} inputs are read");
    }
}
