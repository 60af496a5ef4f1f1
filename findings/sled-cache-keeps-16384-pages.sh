#!/usr/bin/env bash
# A walk over a sled tree leaves up to 16,384 pages in memory, however small `cache_capacity` is.
#
# sled notes reads of pages in 256 lists and looks at the capacity only when a list has 64 reads. A walk reads each page once: so
# the last 64 pages of each list stay, of every size, until something else is read. With a capacity of 1 MiB and entries of
# 250 bytes some 45 MiB stay. If a few entries of each page are read by their key on the way, the lists are full sooner, and most of
# it does not stay.
set -euo pipefail
version=0.34.7
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"
mkdir src
cat > Cargo.toml <<TOML
[package]
name = "walk"
version = "0.0.0"
edition = "2021"

[dependencies]
sled = "=$version"
TOML
cat > src/main.rs <<'RUST'
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("KiB") / 1024
}

fn main() {
    let step = std::env::args().nth(1).expect("a step");
    let tree = sled::Config::new().path("data").cache_capacity(1 << 20).open().expect("a store");
    if step == "fill" {
        for number in 0..400_000u32 {
            tree.insert(number.to_be_bytes(), vec![number as u8; 250]).expect("written");
        }
        tree.flush().expect("durable");
        return;
    }
    let before = resident_mib();
    for (number, entry) in tree.iter().enumerate() {
        let (key, _) = entry.expect("readable");
        if step == "walk-and-get" && number % 4 == 0 {
            tree.get(key).expect("readable");
        }
    }
    println!("{}", resident_mib() - before);
}
RUST
cargo build --release --quiet
walk=target/release/walk
"$walk" fill
kept=$("$walk" walk)
kept_with_gets=$("$walk" walk-and-get)
echo "sled $version, cache_capacity 1 MiB: a walk leaves $kept MiB more in memory, with gets on the way $kept_with_gets MiB"
# Seen: 45 and 16.
[ "$kept" -ge 20 ] && [ "$kept_with_gets" -le $((kept / 2)) ]
