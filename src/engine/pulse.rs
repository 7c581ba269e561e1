//! Whether a serving child still lives: an idle one is asked, a stopped one is seen, and a call can be given a limit.
//!
//! Doing nothing is better than killing a healthy server: some servers drop pings, some answer them with something that
//! is no message, and some die of them. Only a child with nothing to do is pinged, and anything that it writes counts
//! as an answer. Silence only makes it suspect; [`super::suspect`] says what follows when the host then asks for
//! something. How a server takes pings is remembered across its children.

use std::time::Duration;

use super::io::{Gen, Output, StoppedBy};
use super::note::Note;
use super::own::Own;
use super::phase::Phase;
use super::story::Why;
use super::timers::Timer;
use super::{Child, Doom, Engine, answers, planted};
use crate::wire::{Id, edit};

/// Consecutive intervals of silence after which an idle server is suspect.
const MISSES: u32 = 3;
/// Of how many pings an answer is still expected.
const UNANSWERED: usize = 8;
/// For how many intervals a stopped process is let be.
const STOPPED_INTERVALS: u32 = 3;
/// Intervals for which a server may work on at a request that was given up, before its silence means anything: ten
/// minutes by default.
const WORKS_ON: u32 = 10;
/// A child that ends this soon after a ping may have died of it.
const FATAL: Duration = Duration::from_secs(1);
/// Number of such ends after which the server is not pinged any more.
const DEATHS: u32 = 2;

/// The signs of life of a child.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Whether it was pinged and has written nothing since.
    asked: bool,
    misses: u32,
    /// Whether it has been silent for so long that it may hang. Its next output clears this.
    pub(super) suspect: bool,
    /// Whether the host has asked for something while the child was suspect. That is held until the child gives a sign
    /// of life.
    pub(super) examined: bool,
    /// When it was last pinged. `None` if it never was.
    pinged: Option<Duration>,
    /// Whether it has not answered the last ping so far.
    unanswered: bool,
    /// Whether it has answered something else since that ping.
    answers_else: bool,
    /// When a request that it has was last given up. `None` if none was, or it has answered anything since.
    told_to_leave: Option<Duration>,
    /// Since when its process is seen stopped, and by what. `None` while it is not.
    stopped: Option<(Duration, StoppedBy)>,
}

impl Pulse {
    /// It has written something. The process of its group that was seen stopped is then only a helper.
    pub(super) fn spoke(&mut self) {
        self.felt();
        self.stopped.take_if(|(_, by)| *by == StoppedBy::Member);
    }

    /// It counts as alive.
    fn felt(&mut self) {
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
    /// A ping was answered, in any form.
    answers: bool,
    /// A child has answered other requests and not the ping before them.
    ignores: bool,
    /// How many children have ended right after a ping.
    deaths: u32,
}

impl Manners {
    /// Whether pings tell anything and do no harm.
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
            // A starting child has its own time limit.
            return;
        }
        let asks = self.can_ping() && (!self.is_at_work() || planted!(self, HangWhileBusy));
        let in_any_case = planted!(self, PingForEver);
        let Some(child) = self.child.as_mut().filter(|child| child.is_ready()) else { return };
        if child.pulse.suspect {
            // It was pinged often enough, and is pinged once more when the host asks for something.
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

    /// Whether the child may be silent because it works: on a request in flight, or still on one that was given up.
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

    /// A child has written something that answers nothing. It counts as the answer to a ping if it contains an id of
    /// ours, or is an error.
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

    /// A request that the child has was given up. The child may work on at it, and need not answer.
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
            current.pulse.stopped = None;
            return;
        };
        let (since, by) = current.pulse.stopped.get_or_insert((self.now.mono, signal));
        *by = signal;
        if self.now.mono >= *since + self.config.ping_interval * STOPPED_INTERVALS {
            self.note(Note::Hung { child });
            let which = match signal {
                StoppedBy::Member => "one of its processes was stopped".to_owned(),
                StoppedBy::Stop
                | StoppedBy::Suspend
                | StoppedBy::TerminalInput
                | StoppedBy::TerminalOutput => format!("its process was stopped ({signal})"),
            };
            self.doom(Doom::Crash(format!("{which} and did not go on")));
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
