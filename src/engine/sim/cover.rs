//! How often what is interesting has happened, so that the simulator cannot go blind without anybody noticing.

use std::collections::BTreeMap;
use std::fmt;

/// How often each must happen in so many seeds: about a third of how often it does.
const SEEDS: u64 = 10_000;
const LEAST: [(&str, u64); 100] = [
    ("a dead child speaks", 1700),
    ("a request in the modern era", 250),
    ("an exited child's line is read", 100),
    ("answer kept for later runs", 10_600),
    ("answer too large", 500),
    ("answered by us", 21_900),
    ("answered with server_restarted", 5700),
    ("answered with server_unavailable", 5300),
    ("asked what may be repeated", 900),
    ("asked whether it lives", 1600),
    ("batch lost and answered", 800),
    ("batch of the host", 1500),
    ("call answered because the session has expired", 650),
    ("call let through although the session has expired", 200),
    ("call that took too long", 100),
    ("cancellation for the dead dropped", 1400),
    ("child opened in the modern era", 2600),
    ("command busy", 200),
    ("crash after sustained serving", 400),
    ("crash with requests in flight", 7200),
    ("deaf child", 650),
    ("degraded", 800),
    ("degraded server tried again", 450),
    ("drained and replaced", 200),
    ("empty list of a server", 450),
    ("end of input with answers owed", 1100),
    ("error without id", 40),
    ("event: recovered", 40),
    ("event: rotated", 100),
    ("failed call told as a state of the API", 75),
    ("failed while files change", 30),
    ("files have changed", 650),
    ("goodbye of a server that is ended", 10),
    ("helper that saved for too long", 280),
    ("greeting answered by us", 500),
    ("greeting refused", 150),
    ("greeting too long", 60),
    ("handed off by code 75", 1200),
    ("host line too long", 450),
    ("hung server found", 4),
    ("id in flight used again", 550),
    ("late answer kept", 25),
    ("late host answer dropped", 1700),
    ("level or subscription told again", 1600),
    ("list answered by us", 1400),
    ("list compared", 1300),
    ("list from an earlier run", 300),
    ("list told to have changed", 1200),
    ("login shell asked", 45),
    ("message salvaged from noise", 550),
    ("mute child", 2300),
    ("notification to the dead dropped", 1000),
    ("opened in the modern era", 650),
    ("opened with a greeting", 2500),
    ("opened with a probe", 500),
    ("opened with something else", 300),
    ("probe answered by us", 150),
    ("probe refused by us", 150),
    ("progress backwards dropped", 60),
    ("queue full", 300),
    ("refused answer erased", 50),
    ("refused call made again", 20),
    ("refused call made again though not safe", 5),
    ("refused call told", 190),
    ("refused call withheld", 220),
    ("refused what was never offered", 1300),
    ("replaced before it served", 100),
    ("replay refused", 60),
    ("request cancelled in flight", 1800),
    ("request cancelled while it waited", 750),
    ("request held too long", 4200),
    ("request of a dead child taken back", 500),
    ("request repeated", 4900),
    ("request that never left us", 6500),
    ("request to the API made again", 1250),
    ("request to the API refused", 3800),
    ("restart asked for", 100),
    ("restarted after a back-off", 3100),
    ("safe request written twice", 4100),
    ("server ended right after a ping", 100),
    ("server started again with another token", 280),
    ("server that was killed", 150),
    ("session expired", 500),
    ("signal after signal", 60),
    ("sign of life waited for", 10),
    ("silent server suspected", 20),
    ("spawn failed", 600),
    ("spliced id answered", 1600),
    ("started without a crash", 600),
    ("status tool answered", 25),
    ("stopped server found", 5),
    ("stray answer dropped", 2400),
    ("stream asked for again", 200),
    ("stream ended by us", 350),
    ("stream ended by a notification", 20),
    ("stream opened", 550),
    ("suspect server shows a sign of life", 10),
    ("token renewed", 400),
    ("version lowered", 200),
    ("version unusable", 100),
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
