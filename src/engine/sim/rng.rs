//! The simulator's randomness: splitmix64, so that a seed is all it takes to see a run again.

use std::time::Duration;

/// A sequence of numbers that depends on its seed only.
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring runs.
        let mut rng = Self(seed.wrapping_mul(0xd134_2543_de82_ef95));
        rng.number();
        rng
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end`, exclusive.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// `true` in so many of a hundred cases.
    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        let index = usize::try_from(self.below(of.len() as u64)).unwrap();
        &of[index]
    }

    /// A time from `from` to `to` milliseconds, in microseconds: two events rarely fall together by chance.
    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.below((to - from) * 1000 + 1))
    }

    /// A time up to `short` milliseconds in so many of a hundred cases, else up to `long`.
    pub(super) fn mostly(&mut self, chance: u64, short: u64, long: u64) -> Duration {
        let to = if self.percent(chance) { short } else { long };
        self.millis(0, to)
    }
}
