//! Whether a serving child still lives: an idle one is asked, a stopped one is seen, and a call can be given a limit.
//!
//! Doing nothing is better than killing a healthy server. Only an idle one is asked, anything that it says counts as an
//! answer, and while a request is in flight that is neither cancelled nor old, it is not taken for hung, unless its
//! process is seen stopped all the time.

use std::time::Duration;

use super::io::{Gen, Output, StoppedBy};
use super::note::Note;
use super::phase::Phase;
use super::replay::Own;
use super::story::Why;
use super::timers::Timer;
use super::{Child, Doom, Engine, answers, planted};
use crate::wire::Id;

/// How many answers in a row an idle server may miss before it counts as hung.
const MISSES: u32 = 3;
/// Of how many pings an answer is still expected.
const UNANSWERED: usize = 8;
/// For how many intervals a stopped process is let be.
const STOPPED_INTERVALS: u32 = 3;
/// A request that is older than this no longer keeps the server from being asked.
const OLD: Duration = Duration::from_secs(10 * 60);

/// The signs of life of a child.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// It was asked, and has said nothing since.
    asked: bool,
    misses: u32,
    /// Since when its process is seen stopped. `None` while it is not.
    stopped_since: Option<Duration>,
}

impl Pulse {
    /// It has said something.
    pub(super) fn felt(&mut self) {
        self.asked = false;
        self.misses = 0;
    }
}

impl Engine {
    /// From now on the child is looked at every so often.
    pub(super) fn watch_pulse(&mut self) {
        if !self.config.ping_interval.is_zero() {
            self.timers.arm(Timer::Ping, self.now.mono + self.config.ping_interval);
        }
    }

    /// The time to look at the child has come.
    pub(super) fn take_pulse(&mut self) {
        if !matches!(self.phase, Phase::Starting | Phase::Serving | Phase::Draining) {
            return;
        }
        self.watch_pulse();
        let generation = self.generation;
        self.outputs.push_back(Output::Inspect(generation));
        if self.phase == Phase::Starting {
            // It has the time of a start to say something.
            return;
        }
        let now = self.now.mono;
        let busy = self.inflight.any(|pending| {
            pending.written == Some(generation)
                && !pending.stream
                && (!pending.cancelled || planted!(self, CancelledHoldPingBack))
                && now.saturating_sub(pending.arrived) < OLD
        });
        let can_ask = self.is_modern() || self.replay.told.is_some();
        let ask = can_ask && (!busy || planted!(self, HangWhileBusy));
        let Some(child) = self.child.as_mut().filter(|child| child.is_ready()) else { return };
        if !ask {
            child.pulse.felt();
            return;
        }
        if child.pulse.asked {
            child.pulse.misses += 1;
            if child.pulse.misses >= MISSES {
                self.note(Note::Hung { child: generation });
                return self.doom(Doom::Crash(format!(
                    "it gave no sign of life when it was asked for one {MISSES} times in a row"
                )));
            }
        }
        child.pulse.asked = true;
        if child.own.values().filter(|own| **own == Own::Ping).count() >= UNANSWERED {
            // It says other things, and answers no pings.
            child.own.retain(|_, own| *own != Own::Ping);
        }
        let id = self.fresh_own_id("ping");
        let line = self.own_request(&id, if self.is_modern() { "server/discover" } else { "ping" }, None);
        if let Some(child) = &mut self.child {
            child.own.insert(id, Own::Ping);
        }
        self.tell_child(generation, line);
    }

    /// It was looked at the child's process.
    pub(super) fn inspected(&mut self, child: Gen, stopped: Option<StoppedBy>) {
        let ours = |current: &&mut Child| current.generation == child && current.doom.is_none();
        let Some(current) = self.child.as_mut().filter(ours) else { return };
        let Some(signal) = stopped else {
            current.pulse.stopped_since = None;
            return;
        };
        let since = *current.pulse.stopped_since.get_or_insert(self.now.mono);
        if self.now.mono >= since + self.config.ping_interval * STOPPED_INTERVALS {
            self.note(Note::Hung { child });
            self.doom(Doom::Crash(format!("its process was stopped ({signal}) and did not go on")));
        }
    }

    /// Calls have taken longer than they may: they are answered, and the server is told to leave them.
    pub(super) fn time_out(&mut self, ids: &[Id]) {
        let generation = self.generation;
        let listening = self.child.as_ref().is_some_and(Child::listens);
        let wire = |id: &Id| self.inflight.get(id).map(|pending| pending.wire_id().clone());
        let known: Vec<Id> = ids.iter().filter_map(wire).collect();
        self.answer_ourselves(ids, Why::TooLong);
        for id in known.iter().filter(|_| listening) {
            self.tell_child(generation, answers::cancel_call(id).into());
        }
    }
}
