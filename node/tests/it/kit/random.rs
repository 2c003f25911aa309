//! Randomness that a failing test can name: set `QUIRE_TEST_SEED` to what it printed.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The generator called `SplitMix64`.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Takes the seed from the environment, or a new one, and prints it.
    pub(crate) fn from_environment() -> Self {
        let seed = std::env::var("QUIRE_TEST_SEED").map_or_else(
            |_| RandomState::new().build_hasher().finish(),
            |text| {
                text.parse()
                    .expect("QUIRE_TEST_SEED is a number below 2^64")
            },
        );
        println!("QUIRE_TEST_SEED={seed}");
        Self(seed)
    }

    /// A generator of its own for `part`, the same for the same seed.
    pub(crate) fn split(&mut self, part: u64) -> Self {
        Self(self.next() ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A position in something of that length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
