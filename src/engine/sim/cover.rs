//! How often what is interesting has happened, so that the simulator cannot go blind without anybody noticing.

use std::collections::BTreeMap;
use std::fmt;

/// How often each must happen in so many seeds: about a third of how often it does.
const SEEDS: u64 = 10_000;
const LEAST: [(&str, u64); 46] = [
    ("a dead child speaks", 500),
    ("an exited child's line is read", 150),
    ("answer too large", 600),
    ("answered by us", 15_000),
    ("answered with server_restarted", 5000),
    ("answered with server_unavailable", 2000),
    ("batch lost and answered", 1000),
    ("batch of the host", 2000),
    ("cancellation for the dead dropped", 1000),
    ("crash after sustained serving", 400),
    ("crash with requests in flight", 6000),
    ("deaf child", 700),
    ("degraded", 800),
    ("degraded server tried again", 400),
    ("empty list of a server", 300),
    ("end of input with answers owed", 1000),
    ("error without id", 20),
    ("greeting answered by us", 500),
    ("greeting refused", 100),
    ("greeting too long", 80),
    ("handed off by code 75", 1400),
    ("host line too long", 400),
    ("id in flight used again", 500),
    ("late host answer dropped", 2000),
    ("level or subscription told again", 2000),
    ("list answered by us", 1200),
    ("list told to have changed", 200),
    ("message salvaged from noise", 1400),
    ("mute child", 2000),
    ("notification to the dead dropped", 400),
    ("progress backwards dropped", 70),
    ("queue full", 100),
    ("refused what was never offered", 1500),
    ("replay refused", 80),
    ("request cancelled in flight", 1900),
    ("request cancelled while it waited", 600),
    ("request held too long", 3000),
    ("request of a dead child taken back", 700),
    ("request that never left us", 5000),
    ("restarted after a back-off", 2800),
    ("safe request written twice", 5000),
    ("spawn failed", 500),
    ("spliced id answered", 2000),
    ("stray answer dropped", 900),
    ("version lowered", 120),
    ("version unusable", 170),
];

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Cover(pub BTreeMap<&'static str, u64>);

impl Cover {
    pub(super) fn hit(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

impl Cover {
    pub(super) fn count(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    /// Panics unless each interesting event has happened often enough in so many seeds.
    pub(super) fn assert_enough(&self, seeds: u64) {
        for (what, least) in LEAST {
            let count = self.0.get(what).copied().unwrap_or_default();
            assert!(
                count * SEEDS >= least * seeds,
                "\"{what}\" has happened {count} times in {seeds} seeds: the models no longer lead there"
            );
        }
    }
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>10} {what}"))
    }
}
