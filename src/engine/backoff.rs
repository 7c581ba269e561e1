//! How often and how soon a crashed server is started again.
//!
//! The `backoff` crate (unmaintained, named in here only) gives the exponential sequence; its own randomness is turned
//! off, and the jitter comes from the engine's seed and stays inside the cap, so that a run can be reproduced.

use std::collections::VecDeque;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// How long after an attempt a call to a degraded server causes another one.
pub(super) const RETRY_ON_CALL: Duration = Duration::from_secs(5);

/// The limits of restarting.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// More crashes than this inside the window: degraded.
    pub max_restarts: u32,
    /// The window.
    pub window: Duration,
    /// The first delay after the restart that comes at once. Zero turns waiting off.
    pub initial: Duration,
    /// The cap of the delay. Smaller than `initial`, it is also the first delay. Zero turns waiting off.
    pub max: Duration,
}

/// What follows a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start the next child after this delay.
    RestartIn(Duration),
    /// It crashes too often.
    TooMany,
}

/// The history of crashes, as far as it matters for the next restart.
#[derive(Debug)]
pub struct Backoff {
    limits: Limits,
    sequence: ExponentialBackoff,
    /// When the crashes of the window happened, the oldest first; never more than the limit and one.
    crashes: VecDeque<Duration>,
    /// Crashes since the last sustained serving: the first is followed by a restart at once.
    in_a_row: u32,
    seed: u64,
}

impl Backoff {
    /// No crash so far.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let mut sequence = ExponentialBackoff {
            initial_interval: limits.initial.min(limits.max),
            max_interval: limits.max,
            multiplier: 2.0,
            randomization_factor: 0.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        sequence.reset();
        Self { limits, sequence, crashes: VecDeque::new(), in_a_row: 0, seed }
    }

    /// Counts a crash at this time and says what follows.
    pub fn crashed(&mut self, now: Duration) -> Verdict {
        self.crashes.push_back(now);
        let oldest = now.saturating_sub(self.limits.window);
        while self.crashes.front().is_some_and(|at| *at < oldest) {
            self.crashes.pop_front();
        }
        if self.crashes.len() > self.limits.max_restarts as usize {
            // The latest say all that matters: the older ones leave the window first.
            while self.crashes.len() > self.limits.max_restarts as usize + 1 {
                self.crashes.pop_front();
            }
            return Verdict::TooMany;
        }
        self.in_a_row += 1;
        if self.in_a_row == 1 {
            return Verdict::RestartIn(Duration::ZERO);
        }
        let interval = self.sequence.next_backoff().unwrap_or(self.limits.max).min(self.limits.max);
        Verdict::RestartIn(self.jitter(interval))
    }

    /// How many of the crashes that it was told of are in the window that ends now.
    pub fn crashes_in_window(&self, now: Duration) -> u32 {
        let oldest = now.saturating_sub(self.limits.window);
        let counted = self.crashes.iter().filter(|at| **at >= oldest).count();
        u32::try_from(counted).unwrap_or(u32::MAX)
    }

    /// The server has served long enough: what was before no longer counts.
    pub fn forgive(&mut self) {
        self.crashes.clear();
        self.in_a_row = 0;
        self.sequence.reset();
    }

    /// Between half of the interval and the whole of it, in whole microseconds.
    fn jitter(&mut self, interval: Duration) -> Duration {
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        let half = micros / 2;
        Duration::from_micros(micros - self.random() % (half + 1))
    }

    /// The next number of a splitmix64 sequence.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Backoff, Limits, Verdict};

    fn limits(max_restarts: u32, initial: u64, max: u64) -> Limits {
        let millis = Duration::from_millis;
        Limits { max_restarts, window: Duration::from_secs(60), initial: millis(initial), max: millis(max) }
    }

    proptest! {
        #[test]
        fn the_delay_stays_inside_its_cap(initial in 0_u64..100_000, max in 0_u64..100_000, seed: u64) {
            let mut backoff = Backoff::new(limits(1_000, initial, max), seed);
            prop_assert_eq!(backoff.crashed(Duration::ZERO), Verdict::RestartIn(Duration::ZERO));
            let mut ideal = Duration::from_millis(initial.min(max));
            for _ in 0..20 {
                let Verdict::RestartIn(delay) = backoff.crashed(Duration::ZERO) else { panic!("within the limit") };
                prop_assert!(delay <= ideal, "{delay:?} of {ideal:?}");
                prop_assert!(delay + Duration::from_micros(1) >= ideal / 2, "{delay:?} of {ideal:?}");
                ideal = (ideal * 2).min(Duration::from_millis(max));
            }
        }
    }

    #[test]
    fn one_crash_too_many_in_the_window_is_too_many() {
        let mut backoff = Backoff::new(limits(2, 0, 0), 1);
        let at = Duration::from_secs;
        assert_eq!(backoff.crashed(at(0)), Verdict::RestartIn(Duration::ZERO));
        assert_eq!(backoff.crashed(at(50)), Verdict::RestartIn(Duration::ZERO));
        assert_eq!(backoff.crashed(at(70)), Verdict::RestartIn(Duration::ZERO));
        assert_eq!(backoff.crashed(at(71)), Verdict::TooMany);
        // What came after one too many counts as well.
        for seconds in [81, 91, 101, 132] {
            assert_eq!(backoff.crashed(at(seconds)), Verdict::TooMany, "at {seconds}");
        }
        backoff.forgive();
        assert_eq!(backoff.crashed(at(72)), Verdict::RestartIn(Duration::ZERO));
    }
}
