//! Pseudo-random numbers that are the same for the same seed, on every machine and with every compiler.

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator per connection, so that its behaviour depends neither on other connections nor on the speed of
    /// threads.
    pub(crate) fn new(seed: u64, connection: u64) -> Self {
        let mut rng = Self(seed ^ connection.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self(rng.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end` - 1. Slightly biased, which does not matter here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Heads or tails.
    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A number of bytes that fit into the peer's window at once.
    pub(crate) fn bytes(&mut self) -> usize {
        usize::try_from(1 + self.below(4000)).expect("a small number")
    }
}
