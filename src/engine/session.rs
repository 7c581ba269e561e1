//! The life of the children: spawn, greet, crash, wait, degrade, stop.

use std::time::Duration;

use bytes::Bytes;

use super::backoff::Verdict;
use super::io::{Exit, Gen, GroupSignal, Output, SpawnFault, Whom};
use super::ladder::{Ladder, Way};
use super::note::Note;
use super::own::Own;
use super::phase::Phase;
use super::story::{Ending, Trouble, meaning};
use super::timers::Timer;
use super::{Child, Doom, Engine, answers, planted};

/// How often a degraded server is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// The exit code by which a server asks for its restart.
const HANDOFF_CODE: i32 = 75;
/// How often it may ask.
const HANDOFF_PAUSE: Duration = Duration::from_secs(10);
/// How soon a command is started again whose file is being written.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// After this time, a file that is being written is like any other fault.
const BUSY_FOR: Duration = Duration::from_secs(30);
/// How long a child that closed its stdout or its stdin has to exit by itself.
const MUTE_GRACE: Duration = Duration::from_millis(500);

impl Engine {
    /// Starts the next child.
    pub(super) fn start(&mut self) {
        self.set_phase(Phase::Starting);
        self.spawn();
    }

    /// Starts a child to see whether the degraded phase can be left.
    pub(super) fn retry(&mut self) {
        self.note(Note::Retrying);
        self.trying = true;
        self.by_routine = false;
        self.timers.disarm(Timer::Retry);
        self.start();
    }

    pub(super) fn spawn(&mut self) {
        self.generation.0 += 1;
        self.last_attempt = self.now.mono;
        self.child = Some(Child::new(self.generation, self.now.mono, self.next_token(), self.ends));
        self.outputs.push_back(Output::Spawn(self.generation));
        #[cfg(test)]
        if planted!(self, TrustOldEdition) {
            self.book.tools.stay();
        }
        self.book.tools.start();
        if planted!(self, SpawnCountsAsServing) {
            self.backoff.forgive();
        }
    }

    /// The child runs: it can be greeted.
    pub(super) fn spawned(&mut self, child: Gen, pid: u32) {
        if let Some(current) = self.child.as_mut().filter(|current| current.generation == child) {
            current.runs = true;
        }
        self.busy_since = None;
        self.started += 1;
        self.note(Note::Spawned { child, pid });
        self.watch_pulse();
    }

    pub(super) fn spawn_failed(&mut self, child: Gen, fault: SpawnFault, reason: &str) {
        if self.child.as_ref().is_none_or(|current| current.generation != child) {
            return;
        }
        self.child = None;
        let reason = self.config.mask.apply(reason).into_owned();
        self.note(Note::SpawnFailed { child, fault, reason: reason.clone() });
        self.away_since.get_or_insert(self.now.mono);
        self.exit_code = match fault {
            SpawnFault::NotFound | SpawnFault::WholeLine(_) => 127,
            SpawnFault::NotExecutable
            | SpawnFault::Busy
            | SpawnFault::Stopping
            | SpawnFault::ProcessLimit
            | SpawnFault::System => 126,
        };
        self.trouble = Some(Trouble::spawn(fault, reason, self.config.command_line()));
        self.end_if_owed_nothing();
        if self.phase == Phase::Stopping {
            return;
        }
        match fault {
            SpawnFault::Busy | SpawnFault::Stopping if self.is_busy_for_now() => {
                // Somebody is about to replace the file, or to end the container: no crash, and not for long.
                self.note(Note::Restarting { delay: BUSY_PAUSE });
                self.set_phase(Phase::Waiting);
                self.timers.arm(Timer::Restart, self.now.mono + BUSY_PAUSE);
            }
            // The file may be half of what it will be.
            _ if self.may_be_half() => self.set_phase(Phase::Waiting),
            SpawnFault::NotFound if self.look_up_command() => {}
            SpawnFault::NotFound | SpawnFault::WholeLine(_) | SpawnFault::NotExecutable => self.degrade(),
            SpawnFault::Busy | SpawnFault::Stopping | SpawnFault::ProcessLimit | SpawnFault::System => {
                if self.trying { self.degrade() } else { self.restart_or_degrade() }
            }
        }
    }

    fn is_busy_for_now(&mut self) -> bool {
        let since = *self.busy_since.get_or_insert(self.now.mono);
        self.now.mono < since + BUSY_FOR && !planted!(self, BusyIsCrash)
    }

    /// The child cannot be used: it is ended, and what follows is known.
    pub(super) fn doom(&mut self, doom: Doom) {
        let Some(child) = &mut self.child else { return };
        if child.exited.is_some() || child.doom.is_some() {
            return;
        }
        let generation = child.generation;
        let note = match &doom {
            Doom::Replace(reason) => Note::Replaced { child: generation, reason },
            Doom::Crash(reason) | Doom::Degrade(reason) => {
                self.away_since.get_or_insert(self.now.mono);
                Note::Unusable { child: generation, reason: reason.clone() }
            }
        };
        let way = match (&doom, child.hurried) {
            (Doom::Replace(_), false) => Way::Planned,
            (Doom::Replace(_), true) => Way::Hurried,
            (Doom::Crash(_) | Doom::Degrade(_), _) => Way::Unfit,
        };
        child.doom = Some(doom);
        self.note(note);
        self.timers.disarm(Timer::Sustained);
        if self.phase != Phase::Stopping {
            if matches!(self.phase, Phase::Serving | Phase::Draining) {
                self.set_phase(Phase::Crashed);
            }
            self.descend(way);
        }
    }

    /// The child no longer speaks or listens. It may be about to exit; else it is of no use.
    pub(super) fn useless(&mut self, child: Gen, reason: &'static str) {
        let Some(current) = self.child.as_mut().filter(|current| current.generation == child) else { return };
        if current.exited.is_some() || current.ladder.is_some() || self.phase == Phase::Stopping {
            return;
        }
        current.useless.get_or_insert(reason);
        self.timers.arm_once(Timer::Mute, self.now.mono + MUTE_GRACE);
        self.timers.disarm(Timer::Sustained);
        // What is written to it now would be lost: it waits for the next child.
        if matches!(self.phase, Phase::Serving | Phase::Draining) {
            self.set_phase(Phase::Crashed);
        }
    }

    /// It did not exit by itself.
    pub(super) fn mute_overdue(&mut self) {
        if let Some(reason) = self.child.as_ref().and_then(|child| child.useless) {
            self.doom(Doom::Crash(reason.to_owned()));
        }
    }

    pub(super) fn exited(&mut self, child: Gen, exit: Exit) {
        let Some(current) = self.child.as_mut().filter(|current| current.generation == child) else { return };
        current.exited = Some(exit);
        let crash = !matches!(current.doom, Some(Doom::Replace(_)));
        let explained = current.ladder.as_ref().is_some_and(|ladder| ladder.explains(exit));
        let by_us = current.ladder.is_some();
        if !by_us {
            self.ended_by_itself();
        }
        let of_the_child = [
            Timer::Sustained,
            Timer::Startup,
            Timer::SideBySide,
            Timer::Mute,
            Timer::Rung,
            Timer::Ping,
            Timer::Sign,
            Timer::Drain,
        ];
        for timer in of_the_child {
            self.timers.disarm(timer);
        }
        let stopping = self.phase == Phase::Stopping;
        self.exit_code = if explained { 0 } else { exit.shell_code() };
        if crash {
            self.away_since.get_or_insert(self.now.mono);
        }
        let meant = meaning(exit, self.config.command_line());
        self.note(Note::Exited { child, exit: meant, crash: crash && !stopping, by_us });
        if !stopping {
            self.set_phase(Phase::Crashed);
        }
        if by_us {
            self.leader_is_gone(exit);
        } else {
            self.outputs.push_back(Output::Signal(child, GroupSignal::Kill, Whom::Group));
        }
        self.gone_if_over();
    }

    pub(super) fn silent(&mut self, from: Gen, stderr_tail: String, unsent: &[Bytes]) {
        let Some(child) = self.child.as_mut().filter(|child| child.generation == from) else { return };
        child.silent = Some(stderr_tail);
        let lines = child.lines;
        // While others of its group are waited for, answers may be overdue: of what never left us it is known that it was
        // not executed.
        self.unsend(from, lines, unsent);
        self.gone_if_over();
    }

    /// The child has exited and its output is read: what it had answered has counted, the rest is settled.
    pub(super) fn gone(&mut self) {
        self.believe_the_last();
        self.inflight.forget_tasks();
        let Some(child) = self.child.take() else { return };
        let generation = child.generation;
        let group_left = child.ladder.as_ref().is_some_and(Ladder::is_left);
        self.timers.disarm(Timer::Rung);
        self.timers.disarm(Timer::Words);
        self.outputs.push_back(Output::Forget { child: generation, group_left });
        let tail = child.silent.unwrap_or_default();
        let tail = self.config.mask.apply(&tail).into_owned();
        let replaced = matches!(child.doom, Some(Doom::Replace(_)));
        let unfinished = self.inflight.any(|pending| pending.written == Some(generation) && !pending.stream);
        if !replaced || unfinished {
            let reason = child.doom.as_ref().map(|doom| doom.reason().to_owned());
            let before = self.trouble.take().filter(|_| !child.worked);
            let ending = Ending { exit: child.exited, tail: &tail, served: child.served };
            let trouble = Trouble::end(ending, reason, self.config.command_line());
            self.trouble = Some(trouble.after(before.as_ref()));
        }
        self.abandon_asked();
        if child.doom.is_none() && child.ladder.is_none() && !child.spoke {
            self.may_have_died_of_probe(generation, child.own.any(|own| *own == Own::Discover));
        }
        self.listens.lose_child();
        self.settle_inflight(generation, !replaced);
        self.end_if_owed_nothing();
        if self.phase == Phase::Stopping {
            return;
        }
        match child.doom {
            Some(Doom::Replace(_)) => self.start(),
            Some(Doom::Degrade(_)) => self.degrade(),
            // What was started may have been half of what it will be.
            None if !child.served && self.may_be_half() => self.set_phase(Phase::Waiting),
            None if !child.served && self.look_up_interpreter(child.exited) => {}
            // It was to be seen whether it serves, and it has not.
            _ if self.trying => self.degrade(),
            None if child.served && child.exited == Some(Exit::Code(HANDOFF_CODE)) && self.may_hand_off() => {
                self.last_handoff = Some(self.now.mono);
                self.note(Note::HandedOff { child: generation });
                // The server may have updated its own files.
                self.book.tools.outdate();
                self.start();
            }
            _ => self.restart_or_degrade(),
        }
    }

    fn may_hand_off(&self) -> bool {
        self.last_handoff.is_none_or(|at| self.now.mono >= at + HANDOFF_PAUSE)
    }

    pub(super) fn restart_or_degrade(&mut self) {
        match self.backoff.crashed(self.now.mono) {
            Verdict::RestartIn(delay) if delay.is_zero() => {
                self.note(Note::Restarting { delay });
                if self.phase == Phase::Starting {
                    // The spawn itself failed.
                    self.set_phase(Phase::Waiting);
                }
                self.start();
            }
            Verdict::RestartIn(delay) => {
                self.note(Note::Restarting { delay });
                self.set_phase(Phase::Waiting);
                self.timers.arm(Timer::Restart, self.now.mono + delay);
            }
            Verdict::TooMany => self.degrade(),
        }
    }

    /// Forgets past crashes: they no longer predict what the server will do.
    pub(super) fn forgive(&mut self) {
        self.backoff.forgive();
        if let Some(trouble) = &mut self.trouble {
            trouble.forgive();
        }
    }

    pub(super) fn degrade(&mut self) {
        self.trying = false;
        self.set_phase(Phase::Degraded);
        self.timers.arm(Timer::Retry, self.now.mono + RETRY);
    }

    /// What the dead server had asked of the host need not be answered any more.
    fn abandon_asked(&mut self) {
        if planted!(self, KeepDeadAsks) {
            return;
        }
        for id in self.asked.abandon() {
            if self.phase != Phase::Stopping {
                self.say_to_host(answers::cancelled(&id));
            }
        }
    }
}
