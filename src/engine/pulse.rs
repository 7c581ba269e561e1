//! Whether a serving child still lives: an idle one is asked, a stopped one is seen, and a call can be given a limit.
//!
//! Doing nothing is better than killing a healthy server: some drop pings, some answer them with what is no message, some
//! die of them. Only a child with nothing to do is asked, anything that it writes counts as an answer, and silence only
//! makes it suspect ([`super::suspect`] says what follows when the host then asks for something). How a server takes pings
//! is remembered over its children.

use std::time::Duration;

use super::io::{Gen, Output, StoppedBy};
use super::note::Note;
use super::own::Own;
use super::phase::Phase;
use super::story::Why;
use super::timers::Timer;
use super::{Child, Doom, Engine, answers, planted};
use crate::wire::{Id, edit};

/// For how many intervals in a row an idle server may be silent before it is suspect.
const MISSES: u32 = 3;
/// Of how many pings an answer is still expected.
const UNANSWERED: usize = 8;
/// For how many intervals a stopped process is let be.
const STOPPED_INTERVALS: u32 = 3;
/// For how many intervals a server may work on at a request that it was told to leave before its silence means anything: ten
/// minutes by default.
const WORKS_ON: u32 = 10;
/// A child that ends this soon after a ping may have died of it.
const FATAL: Duration = Duration::from_secs(1);
/// After how many such ends the server is not pinged any more.
const DEATHS: u32 = 2;

/// The signs of life of a child.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// It was asked, and has written nothing since.
    asked: bool,
    misses: u32,
    /// It has been silent for so long that it may hang. The next thing that it writes clears it.
    pub(super) suspect: bool,
    /// The host has asked for something while it was suspect, which is held until it shows a sign of life.
    pub(super) examined: bool,
    /// When it was last pinged. `None` if it never was.
    pinged: Option<Duration>,
    /// It has left the last ping without an answer so far.
    unanswered: bool,
    /// It has answered something else since that ping.
    answers_else: bool,
    /// When it was last told to leave a request. `None` if it never was, or has answered anything since.
    told_to_leave: Option<Duration>,
    /// Since when its process is seen stopped. `None` while it is not.
    stopped_since: Option<Duration>,
}

impl Pulse {
    /// It has written something.
    pub(super) fn felt(&mut self) {
        self.asked = false;
        self.misses = 0;
        self.suspect = false;
        self.examined = false;
    }

    /// It has answered a request that is no ping.
    pub(super) fn answered_else(&mut self) {
        self.answers_else |= self.unanswered;
        self.told_to_leave = None;
    }
}

/// How this server takes pings, as its children have shown so far.
#[derive(Debug, Default)]
pub(super) struct Manners {
    /// One was answered, in whatever way.
    answers: bool,
    /// One was left unanswered by a child that answered other requests after it.
    ignores: bool,
    /// How many children ended right after one.
    deaths: u32,
}

impl Manners {
    /// Whether a ping tells anything, and does no harm.
    fn allow(&self) -> bool {
        self.deaths < DEATHS && (self.answers || !self.ignores)
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
        self.outputs.push_back(Output::Inspect(self.generation));
        if self.phase == Phase::Starting {
            // It has the time of a start to say something.
            return;
        }
        let asks = self.can_ping() && (!self.is_at_work() || planted!(self, HangWhileBusy));
        let in_any_case = planted!(self, PingForEver);
        let Some(child) = self.child.as_mut().filter(|child| child.is_ready()) else { return };
        if child.pulse.suspect {
            // It has been asked often enough. It is asked once more when that matters.
            return;
        }
        if !asks {
            return child.pulse.felt();
        }
        if child.pulse.unanswered && child.pulse.answers_else {
            self.manners.ignores = true;
        }
        if !self.manners.allow() && !in_any_case {
            return child.pulse.felt();
        }
        if child.pulse.asked {
            child.pulse.misses += 1;
            if child.pulse.misses >= MISSES {
                child.pulse.suspect = true;
                let child = self.generation;
                self.note(Note::Suspect { child });
                if planted!(self, KillSuspect) {
                    self.is_hung();
                }
                return;
            }
        }
        self.ping();
    }

    /// Whether there is a request for this era by which a child can be asked whether it lives.
    fn can_ping(&self) -> bool {
        self.is_modern() || self.replay.told.is_some()
    }

    /// Whether the child may be silent because it works: at a request that is in flight, or at one that it was told to leave
    /// and works on at.
    fn is_at_work(&self) -> bool {
        let left = self.child.as_ref().and_then(|child| child.pulse.told_to_leave);
        left.is_some_and(|at| self.now.mono < at + self.config.ping_interval * WORKS_ON)
            || self.inflight.any(|pending| {
                pending.written == Some(self.generation)
                    && !pending.stream
                    && (!pending.cancelled || planted!(self, CancelledHoldPingBack))
            })
    }

    /// Asks the child whether it lives.
    pub(super) fn ping(&mut self) {
        let now = self.now.mono;
        let generation = self.generation;
        let Some(child) = &mut self.child else { return };
        child.pulse.asked = true;
        child.pulse.pinged = Some(now);
        child.pulse.answers_else &= child.pulse.unanswered;
        child.pulse.unanswered = true;
        // It says other things, and answers no pings.
        child.own.forgive_pings(UNANSWERED);
        let id = self.fresh_own_id("ping");
        let line = self.own_request(&id, if self.is_modern() { "server/discover" } else { "ping" }, None);
        if let Some(child) = &mut self.child {
            child.own.insert(id, Own::Ping);
        }
        self.tell_child(generation, line);
    }

    /// The child has answered a ping.
    pub(super) fn ping_answered(&mut self) {
        self.manners.answers = true;
        if let Some(child) = &mut self.child {
            child.pulse.unanswered = false;
        }
    }

    /// A child has written what is no answer to anything. Where it stands for one to a ping, which is as good as an answer, it
    /// names the ping's id, or is an error that names none.
    pub(super) fn may_answer_ping(&mut self, line: &[u8]) {
        let unanswered = self.child.as_ref().is_some_and(|child| child.pulse.unanswered);
        let ours = b"mcp-supervise:";
        if unanswered
            && (line.windows(ours.len()).any(|part| part == ours)
                || edit::find_in(line, &["error"]).is_some())
        {
            self.ping_answered();
        }
    }

    /// The child has ended by itself, perhaps of a ping.
    pub(super) fn ended_by_itself(&mut self) {
        let pinged = self.child.as_ref().and_then(|child| child.pulse.pinged);
        if pinged.is_some_and(|at| self.now.mono <= at + FATAL) {
            self.manners.deaths = self.manners.deaths.saturating_add(1);
        }
    }

    /// A request that the child has was given up: the child may work on at it, and need not answer.
    pub(super) fn told_to_leave(&mut self) {
        if let Some(child) = &mut self.child {
            child.pulse.told_to_leave = Some(self.now.mono);
        }
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
            self.told_to_leave();
        }
    }
}
