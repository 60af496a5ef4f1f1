//! Random numbers for tests that choose their moments.

/// A small generator whose seed is printed, so that a failure can be looked at again.
pub struct Random(u64);

impl Random {
    #[expect(clippy::print_stdout, reason = "shown when the test fails, and needed then")]
    pub fn new() -> Random {
        use std::hash::{BuildHasher as _, RandomState};
        let seed = RandomState::new().hash_one(0);
        println!("seed {seed}");
        Random(seed)
    }

    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
