//! A suspect child when the host asks for something: the engine finds out whether the child lives before it writes
//! that.
//!
//! A hung server that has nothing to do hurts nothing, and a healthy server that is killed loses what it holds. So a
//! child that left pings unanswered is left alone while nothing is asked of it. What the host then asks waits for a
//! sign of life, for 5 s at most: a ping is sent first, and a request that every server must know. Any line on stdout
//! is a sign, and the engine then writes what waits, in its order. Silence counts as a crash, and what waits goes to
//! the next child, because it was never written.

use std::time::Duration;

use super::note::Note;
use super::own::Own;
use super::phase::Phase;
use super::timers::Timer;
use super::{Child, Doom, Engine, planted};

/// How long the engine waits for a sign of life.
pub(super) const SIGN: Duration = Duration::from_secs(5);

impl Engine {
    /// Whether what the host asks now has to wait for a sign of life.
    pub(super) fn is_doubtful(&self) -> bool {
        self.phase == Phase::Serving && self.child.as_ref().is_some_and(|child| child.pulse.suspect)
    }

    /// Whether the engine waits for a sign of life.
    pub(super) fn awaits_sign(&self) -> bool {
        self.phase == Phase::Serving
            && self.child.as_ref().is_some_and(|child| child.pulse.examined)
            && !planted!(self, WriteToSuspect)
    }

    /// The host asks for something. A suspect child is asked for a sign of life, once.
    pub(super) fn examine(&mut self) {
        if !self.is_doubtful() {
            return;
        }
        let Some(child) = self.child.as_mut().filter(|child| !child.pulse.examined) else { return };
        child.pulse.examined = true;
        self.timers.arm(Timer::Sign, self.now.mono + SIGN);
        self.ping();
        let id = self.fresh_own_id("sign");
        let line = self.own_request(&id, self.list_on_offer(), None);
        if let Some(child) = &mut self.child {
            child.own.insert(id, Own::Sign);
        }
        self.tell_child(self.generation, line);
    }

    /// A list that the server offers, or the list of tools if it offers none.
    fn list_on_offer(&self) -> &'static str {
        let offered = |kind| self.replay.can(kind, None);
        match () {
            () if offered("tools") => "tools/list",
            () if offered("prompts") => "prompts/list",
            () if offered("resources") => "resources/list",
            () => "tools/list",
        }
    }

    /// The child has given no sign of life in time.
    pub(super) fn sign_overdue(&mut self) {
        let examined = |child: &&mut Child| child.pulse.examined;
        let Some(child) = self.child.as_mut().filter(examined) else { return };
        child.pulse.examined = false;
        if self.phase != Phase::Serving {
            return;
        }
        if self.queue.len() > 0 || self.listens.unwritten(&self.inflight).is_some() {
            self.is_hung();
        }
        // Otherwise the host has cancelled what it asked for, and the hang does no harm.
    }

    /// The child hangs and is replaced, which counts as a crash.
    pub(super) fn is_hung(&mut self) {
        self.note(Note::Hung { child: self.generation });
        self.doom(Doom::Crash("it gave no sign of life when it was asked for one".to_owned()));
    }
}
