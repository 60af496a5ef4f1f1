//! Random damage that can be had again: bytes changed, cut, doubled and mixed.
//!
//! In: a seed and bytes that a server wrote. Out: bytes that no server writes, the same for the same seed. Lengths and
//! counts are hit on purpose: values around the limits of their widths. Also campaigns: many inputs, each watched for
//! panics, time and memory.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::event::HEADER_BYTES;

/// Bytes of memory that a byte of input may take: a row of one byte takes 16 to be found again, a vector doubles when it
/// grows and is there twice meanwhile, and a column's kind takes 72 for the few bytes of its definition.
pub const MEMORY_PER_BYTE_MAX: usize = 128;

/// For one input, in a debug build on a busy machine; most take less than a millisecond.
const TIME_MAX: Duration = Duration::from_secs(10);

const CHECKSUM_BYTES: usize = 4;

/// Values of lengths, counts and offsets at which mistakes begin.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xfb,
    0xff,
    0x7fff,
    0xffff,
    0x00ff_ffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

pub struct Mutator {
    state: u64,
}

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator { state: seed }
    }

    /// SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Less than `count`, and 0 of 0.
    pub fn below(&mut self, count: usize) -> usize {
        (self.draw() % count.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'p, T>(&mut self, from: &'p [T]) -> &'p T {
        &from[self.below(from.len())]
    }

    /// Damages `bytes` in one to four places; `other` lends parts. The length stays where `keeps_length`.
    pub fn damage(&mut self, bytes: &mut Vec<u8>, other: &[u8], keeps_length: bool) {
        for _ in 0..=self.below(4) {
            match self.below(if keeps_length { 3 } else { 8 }) {
                0 => self.flip(bytes),
                1 => self.overwrite(bytes),
                2 => self.edge(bytes),
                3 => bytes.truncate(self.below(bytes.len() + 1)),
                4 => {
                    bytes.truncate(self.below(bytes.len() + 1));
                    bytes.extend_from_slice(&other[self.below(other.len() + 1)..]);
                }
                5 => self.repeat(bytes),
                6 => {
                    let (from, to) = self.range(bytes.len());
                    bytes.drain(from..to);
                }
                _ => {
                    let at = self.below(bytes.len() + 1);
                    let some = self.draw().to_le_bytes();
                    bytes.splice(at..at, some[..self.below(8)].iter().copied());
                }
            }
        }
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len() * 8);
        if let Some(byte) = bytes.get_mut(at / 8) {
            *byte ^= 1 << (at % 8);
        }
    }

    fn overwrite(&mut self, bytes: &mut [u8]) {
        let (from, to) = self.range(bytes.len());
        let value = [0, 0xff, self.draw() as u8][self.below(3)];
        let to = to.min(from + 1 + self.below(8));
        bytes[from..to].fill(value);
    }

    /// Writes a value near an edge where a length of one to eight bytes may stand.
    fn edge(&mut self, bytes: &mut [u8]) {
        let width = [1, 2, 3, 4, 6, 8][self.below(6)];
        let near = [0, 1, u64::MAX][self.below(3)];
        let value = self.pick(&EDGES).wrapping_add(near);
        let at = self.below(bytes.len());
        for (target, byte) in bytes.iter_mut().skip(at).take(width).zip(value.to_le_bytes()) {
            *target = byte;
        }
    }

    fn repeat(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = self.range(bytes.len());
        let part = bytes[from..to.min(from + 256)].repeat(1 + self.below(16));
        bytes.splice(from..from, part);
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let (one, other) = (self.below(length + 1), self.below(length + 1));
        (one.min(other), one.max(other))
    }

    /// A damaged event with the length and the checksum that the transport checks.
    pub fn event(&mut self, raw: &[u8], other: &[u8], keeps_length: bool) -> Bytes {
        let (header, rest) = raw.split_at(HEADER_BYTES);
        let mut body = rest[..rest.len() - CHECKSUM_BYTES].to_vec();
        self.damage(&mut body, &other[HEADER_BYTES..other.len() - CHECKSUM_BYTES], keeps_length);
        let mut header = header.to_vec();
        if self.one_in(20) {
            // Not the length, which is set right below.
            let at = [4, 13, 14, 15, 16, 17, 18][self.below(7)];
            header[at] = self.draw() as u8;
        }
        sealed(&header, &body)
    }
}

/// An event with its length and checksum set right.
pub fn sealed(header: &[u8], body: &[u8]) -> Bytes {
    let mut raw = [header, body].concat();
    let size = (raw.len() + CHECKSUM_BYTES) as u32;
    raw[9..13].copy_from_slice(&size.to_le_bytes());
    raw.extend(crc32fast::hash(&raw).to_le_bytes());
    raw.into()
}

/// Runs `inputs` inputs, one per seed. `run` returns how many bytes the input came to, which bounds the memory that it may
/// take beyond `spare_bytes`, and whether it could be read in spite of its damage; `prepare` is not measured. Of all inputs
/// some must be readable and some not: else the campaign does not reach what it is for.
pub fn campaign<I: Debug>(
    inputs: u64,
    spare_bytes: usize,
    prepare: impl Fn(&mut Mutator) -> I,
    run: impl Fn(&I) -> (usize, bool),
) {
    super::captured::make_tables();
    let mut read = 0;
    for seed in 0..inputs {
        let input = prepare(&mut Mutator::new(seed));
        let (mut bytes, mut is_read) = (0, false);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| allocation_counter::measure(|| (bytes, is_read) = run(&input))));
        let Ok(memory) = outcome else { panic!("the input of seed {seed} makes it panic: {input:?}") };
        let memory_max = spare_bytes + bytes * MEMORY_PER_BYTE_MAX;
        let peak = memory.bytes_max;
        assert!(peak <= memory_max as u64, "seed {seed}: {peak} bytes of memory for {bytes} of input: {input:?}");
        assert!(began.elapsed() < TIME_MAX, "seed {seed} took {:?}: {input:?}", began.elapsed());
        read += u64::from(is_read);
    }
    assert!(read > inputs / 100 && read < inputs - inputs / 100, "{read} of {inputs} could be read");
}
