//! How children are stopped, and how we end: what sets a [`Ladder`] in motion, what it asks for, and when all is over.

use std::time::Duration;

use super::io::{Exit, Gen, GroupSignal, Output, StopSignal, Whom};
use super::ladder::{Ladder, Step, Way};
use super::note::{Note, StopCause};
use super::phase::Phase;
use super::story::Why;
use super::timers::Timer;
use super::{Engine, planted};

/// How long a server that still owes answers after the host's end of input may go on giving them, before a signal to us
/// is forwarded to it.
const OWING: Duration = Duration::from_millis(500);
/// How long slow readers of our output may hold up the exit, all together.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Engine {
    /// Begins our end, and gives a usable server its full grace.
    pub(super) fn stop(&mut self, cause: StopCause) {
        self.begin_to_stop(cause);
        self.descend(if self.is_useless() { Way::Unfit } else { Way::HostEnd });
    }

    /// Begins our end because of a signal, which the server gets as well.
    pub(super) fn signalled(&mut self, signal: StopSignal) {
        let again = self.phase == Phase::Stopping;
        if again && planted!(self, SwallowSecondSignal) {
            return;
        }
        if planted!(self, KeepSignal) {
            return self.stop(StopCause::Signal);
        }
        let owes = self.host_eof && !again && self.inflight.owed() > 0;
        let listens = self.child.as_ref().is_some_and(|child| child.ladder.is_none());
        self.begin_to_stop(StopCause::Signal);
        let after = if owes && listens { OWING } else { Duration::ZERO };
        self.descend(Way::Signalled(signal.into(), after));
    }

    fn begin_to_stop(&mut self, cause: StopCause) {
        if self.phase != Phase::Stopping {
            self.note(Note::Stopping { cause });
            self.timers.disarm_all_but(Timer::Rung);
            self.set_phase(Phase::Stopping);
            self.gone_if_over();
        }
    }

    fn is_useless(&self) -> bool {
        self.child.as_ref().is_some_and(|child| child.useless.is_some())
    }

    /// Adds a reason to stop the child. There may be others already.
    pub(super) fn descend(&mut self, way: Way) {
        let Some(child) = self.child.as_mut().filter(|child| !child.has_ended()) else { return };
        let ladder = child.ladder.get_or_insert_with(|| Ladder::new(self.now.mono));
        ladder.take(way, self.now.mono, self.config.graces);
        #[cfg(test)]
        match self.planted.filter(|_| matches!(way, Way::Signalled(..))) {
            Some(super::sim::Bug::KillFirst) => ladder.kill_now(self.now.mono),
            Some(super::sim::Bug::CloseWithSignal) => ladder.close_now(self.now.mono),
            _ => {}
        }
        self.descend_further();
    }

    /// Performs the steps of the child's stop that are due.
    pub(super) fn descend_further(&mut self) {
        loop {
            let Some(child) = &mut self.child else { return };
            let generation = child.generation;
            let Some(ladder) = &mut child.ladder else { return };
            let Some(step) = ladder.due(self.now.mono) else {
                match ladder.next() {
                    Some(at) => self.timers.arm(Timer::Rung, at),
                    None => self.timers.disarm(Timer::Rung),
                }
                break;
            };
            match step {
                Step::CloseStdin => self.outputs.push_back(Output::CloseStdin(generation)),
                Step::Kill | Step::GiveUp if planted!(self, NeverKill) => {}
                Step::Tell(signal, whom) => {
                    self.outputs.push_back(Output::Signal(generation, signal, whom));
                }
                Step::Kill => {
                    self.outputs.push_back(Output::Signal(generation, GroupSignal::Kill, Whom::Group));
                }
                Step::Look => self.outputs.push_back(Output::LookAtGroup(generation)),
                Step::GiveUp => return self.give_up(generation),
            }
        }
        self.gone_if_over();
    }

    /// A child that is being stopped has exited. If it exited with a code, and no signal was sent or waits to be sent, it
    /// has left because its input ended, and may leave helpers behind on purpose.
    pub(super) fn leader_is_gone(&mut self, exit: Exit) {
        let Some(ladder) = self.child.as_mut().and_then(|child| child.ladder.as_mut()) else { return };
        if matches!(exit, Exit::Code(_)) && !ladder.tells() {
            ladder.leaves();
        } else {
            ladder.leader_goes(self.now.mono, self.config.graces);
        }
        #[cfg(test)]
        if self.planted == Some(super::sim::Bug::GraceOfTheLeader) && !ladder.is_over() {
            ladder.kill_now(self.now.mono);
        }
        self.descend_further();
    }

    /// The answer to whether a process of the group still runs.
    pub(super) fn looked_at_group(&mut self, child: Gen, empty: bool) {
        let Some(current) = self.child.as_mut().filter(|current| current.generation == child) else { return };
        if let Some(ladder) = &mut current.ladder {
            ladder.looked(self.now.mono, empty);
            self.descend_further();
        }
    }

    /// The child has survived SIGKILL, and is no longer waited for.
    fn give_up(&mut self, child: Gen) {
        self.note(Note::Unusable { child, reason: "it survived SIGKILL".to_owned() });
        self.exit_code = 1;
        if matches!(self.phase, Phase::Starting | Phase::Serving | Phase::Draining) {
            self.set_phase(Phase::Crashed);
        }
        self.gone();
    }

    /// A child is gone once it has exited, its group is no longer waited for, and its output is read. If our own slow
    /// readers keep its output from being read while we end, it is waited for no longer than they are.
    pub(super) fn gone_if_over(&mut self) {
        let Some(child) = self.child.as_ref().filter(|child| child.has_ended()) else { return };
        if child.silent.is_some() || planted!(self, DropUnread) {
            self.gone();
        } else if self.phase == Phase::Stopping {
            let until = *self.words_until.get_or_insert(self.now.mono + LAST_WORDS);
            self.timers.arm(Timer::Words, until);
        }
    }

    /// What the child had written could not be read in time.
    pub(super) fn words_overdue(&mut self) {
        if self.child.as_ref().is_some_and(super::Child::has_ended) {
            self.gone();
        }
    }

    /// After the host's end of input, begins our end as soon as no answer is owed.
    pub(super) fn end_if_owed_nothing(&mut self) {
        let ended = self.host_eof && !self.awaits_token();
        if ended && self.phase != Phase::Stopping && self.inflight.owed() == 0 {
            self.stop(StopCause::HostEof);
        }
    }

    /// Ends when nothing is left to do.
    pub(super) fn end_if_done(&mut self) {
        self.end_if_owed_nothing();
        if self.host_eof && self.phase != Phase::Stopping {
            self.timers.arm_once(Timer::Owed, self.now.mono + self.config.hold);
        }
        if self.phase == Phase::Stopping && self.child.is_none() {
            let unanswered = self.inflight.ids(|pending| !pending.cancelled);
            self.answer_ourselves(&unanswered, Why::Stopping);
            self.set_phase(Phase::Stopped);
            self.account.due = true;
            self.tell_carried();
            self.note(Note::Stopped { code: self.exit_code });
            let until = self.words_until.unwrap_or(self.now.mono + LAST_WORDS);
            self.outputs.push_back(Output::Exit { code: self.exit_code, until });
        }
    }
}
