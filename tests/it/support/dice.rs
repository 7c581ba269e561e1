//! The randomness of a run: a seed is all it takes to make the same choices again. When they take effect is up to the
//! machine, so that a run is like another one and never the same.

use std::time::Duration;

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// A sequence of choices that depends on its seed only.
#[derive(Debug)]
pub(crate) struct Dice(TestRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    /// A number from 0 to `end`, exclusive.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end.max(1)
    }

    /// A number from `from` to `to`, inclusive.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// `true` in so many of a hundred cases.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        let index = usize::try_from(self.below(of.len() as u64)).expect("it is below a usize");
        &of[index]
    }

    /// All of these in another order.
    pub(crate) fn shuffled<T: Copy>(&mut self, of: &[T]) -> Vec<T> {
        let mut rest = of.to_vec();
        let mut order = Vec::new();
        while !rest.is_empty() {
            let index = usize::try_from(self.below(rest.len() as u64)).expect("it is below a usize");
            order.push(rest.swap_remove(index));
        }
        order
    }

    /// A time up to this one.
    pub(crate) fn duration(&mut self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).expect("it is short");
        Duration::from_micros(self.below(micros + 1))
    }

    /// A text of so many bytes that needs no escapes in JSON.
    pub(crate) fn text(&mut self, bytes: u64) -> String {
        let start = self.below(1 << 40).to_string();
        let bytes = usize::try_from(bytes).expect("it fits into memory");
        start.bytes().cycle().take(bytes).map(char::from).collect()
    }
}
