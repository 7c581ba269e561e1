//! What was done in each of the last minutes, counted since the monitor's start.

use std::collections::VecDeque;

use serde::Serialize;

/// How many minutes are kept.
const KEPT: i64 = 60;
/// A minute, in milliseconds.
const MINUTE: i64 = 60 * 1000;

/// What was done in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in super::super) struct Minute {
    /// When it began, in milliseconds since the Unix epoch.
    pub(in super::super) at: i64,
    /// How many tools were called.
    pub(in super::super) tool_calls: u64,
    /// How many servers were started anew.
    pub(in super::super) restarts: u64,
}

/// The last minutes.
#[derive(Debug)]
pub(super) struct History {
    since: i64,
    /// Those in which something was done, the oldest first.
    minutes: VecDeque<Minute>,
}

impl History {
    pub(super) fn new(since: i64) -> Self {
        Self { since, minutes: VecDeque::new() }
    }

    pub(super) fn since(&self) -> i64 {
        self.since
    }

    /// Enters what was done now. A clock that was set back goes on in the last minute.
    pub(super) fn count(&mut self, wall: i64, tool_calls: u64, restarts: u64) {
        if tool_calls == 0 && restarts == 0 {
            return;
        }
        let at = start(wall);
        match self.minutes.back_mut() {
            Some(last) if last.at >= at => {
                last.tool_calls += tool_calls;
                last.restarts += restarts;
            }
            _ => self.minutes.push_back(Minute { at, tool_calls, restarts }),
        }
        while self.minutes.front().is_some_and(|first| first.at <= at - KEPT * MINUTE) {
            self.minutes.pop_front();
        }
    }

    /// Each of the last minutes, also those in which nothing was done, but none before the monitor's start.
    pub(super) fn minutes(&self, wall: i64) -> Vec<Minute> {
        let last = self.minutes.back().map_or(start(wall), |last| last.at.max(start(wall)));
        let first = start(self.since).max(last - (KEPT - 1) * MINUTE).min(last);
        let counted = |at| self.minutes.iter().find(|minute| minute.at == at).copied();
        let every = (0..KEPT).map(|number| first + number * MINUTE).take_while(|at| *at <= last);
        every.map(|at| counted(at).unwrap_or(Minute { at, tool_calls: 0, restarts: 0 })).collect()
    }
}

/// When the minute of this time began.
fn start(wall: i64) -> i64 {
    wall - wall.rem_euclid(MINUTE)
}
