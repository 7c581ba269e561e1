//! What a row has no room for: what is going on right now, guidance by its status, and how long things took.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The upper bounds of the latency of requests, in seconds: from a local tool to a model behind an API.
pub const LATENCY_BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
/// The upper bounds of the time from a server's end to its successor's greeting, in seconds: from a binary to `npx` that
/// downloads.
pub const RECOVERY_BOUNDS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0];

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// All of them.
    pub count: u64,
    /// Their time together, in seconds.
    pub sum: f64,
    /// How many fell below each bound and not below the one before it; the rest is beyond the last.
    pub buckets: [u64; 12],
}

impl Histogram {
    /// Enters one more, by the bounds of this histogram.
    pub(super) fn enter(&mut self, took: Duration, bounds: &[f64; 12]) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.sum += seconds;
        if let Some(at) = bounds.iter().position(|bound| seconds <= *bound) {
            self.buckets[at] += 1;
        }
    }

    /// Adds what another one has.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        for (ours, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *ours += theirs;
        }
    }
}

/// What is shown beside the row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gauges {
    /// The server's process id. `None` while there is none.
    pub server_pid: Option<u32>,
    /// How often each status of guidance was given.
    pub guidance: BTreeMap<String, u64>,
    /// From the arrival of requests to their answers, over [`LATENCY_BOUNDS`].
    pub latency: Histogram,
    /// From a server's end to its successor's greeting, over [`RECOVERY_BOUNDS`].
    pub recovery: Histogram,
}

impl Gauges {
    pub(super) fn guidance(&mut self, status: &str) {
        match self.guidance.get_mut(status) {
            Some(count) => *count += 1,
            None => _ = self.guidance.insert(status.to_owned(), 1),
        }
    }
}
