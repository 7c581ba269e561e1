//! What sessions add up to.

use std::collections::BTreeMap;

use crate::ledger::{Gauges, Histogram, Session};

/// What some sessions add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Figures {
    /// How many sessions.
    pub(in super::super) opened: u64,
    pub(in super::super) restarts: u64,
    pub(in super::super) tool_calls: u64,
    pub(in super::super) requests: u64,
    pub(in super::super) errors: u64,
    pub(in super::super) noise_lines: u64,
    pub(in super::super) bytes_to_server: u64,
    pub(in super::super) bytes_to_host: u64,
    /// How often each status of guidance was given.
    pub(in super::super) guidance: BTreeMap<String, u64>,
    pub(in super::super) latency: Histogram,
    pub(in super::super) recovery: Histogram,
}

impl Figures {
    /// Adds one session.
    pub(super) fn add(&mut self, session: &Session, gauges: &Gauges) {
        self.opened += 1;
        for (ours, theirs) in [
            (&mut self.restarts, session.restarts),
            (&mut self.tool_calls, session.tool_calls),
            (&mut self.requests, session.requests),
            (&mut self.errors, session.errors),
            (&mut self.noise_lines, session.noise_lines),
            (&mut self.bytes_to_server, session.bytes_to_server),
            (&mut self.bytes_to_host, session.bytes_to_host),
        ] {
            *ours += theirs;
        }
        for (status, count) in &gauges.guidance {
            *self.guidance.entry(status.clone()).or_default() += count;
        }
        self.latency.add(&gauges.latency);
        self.recovery.add(&gauges.recovery);
    }
}
