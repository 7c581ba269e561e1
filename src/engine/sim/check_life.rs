//! Spawning, dying and the phases: one child at a time, not too often, never for ever.

use std::time::Duration;

use super::Violation;
use super::books::{Greeted, Kid};
use super::check::{Checked, Checker, violated};
use super::check_era::Opened;
use crate::engine::io::{Exit, SpawnFault};
use crate::engine::phase::Phase;

impl Checker {
    pub(super) fn phase_changes(&mut self, from: Phase, to: Phase) -> Checked {
        use Phase::{Crashed, Degraded, Draining, Serving, Starting, Stopped, Stopping, Waiting};
        // As the page on the conversation tells it.
        let legal: &[Phase] = match from {
            Starting if self.opened == Opened::Modern => {
                &[Serving, Draining, Crashed, Waiting, Degraded, Stopping]
            }
            Starting => &[Serving, Crashed, Waiting, Degraded, Stopping],
            Serving => &[Draining, Crashed, Stopping],
            Draining => &[Crashed, Stopping],
            Crashed => &[Starting, Waiting, Degraded, Stopping],
            Waiting => &[Starting, Degraded, Stopping],
            Degraded => &[Starting, Stopping],
            Stopping => &[Stopped],
            Stopped => &[],
        };
        if from != self.phase || !legal.contains(&to) {
            violated!("phases follow the table", "{from} -> {to}, and it was {}", self.phase);
        }
        self.left = from;
        self.session_phase(to);
        self.phase = to;
        self.phase_since = self.now;
        if let Some(injection) = self.injection.as_mut().filter(|_| to == Draining) {
            // It may die before it is replaced.
            injection.replaced = self.now;
        }
        if to == Serving {
            let (now, opened) = (self.now, self.opened);
            let kid = self.kid();
            if opened == Opened::Bare || opened == Opened::Modern && kid.spoke {
                kid.greeted = Greeted::Done;
            }
            if kid.greeted != Greeted::Done {
                violated!("a child serves when it has greeted", "{:?}", kid.greeted);
            }
            kid.serving_since = Some(now);
        }
        Ok(())
    }

    pub(super) fn spawns(&mut self, child: u32) -> Checked {
        self.session_spawns();
        if self.kids.get(&self.living).is_some_and(|kid| !kid.gone) {
            violated!(
                "at most one child at a time",
                "child {} lives, and child {child} is spawned",
                self.living
            );
        }
        if child != self.living + 1 {
            violated!("children are numbered", "child {child} after child {}", self.living);
        }
        if self.phase != Phase::Starting {
            violated!("phases follow the table", "a child is spawned while {}", self.phase);
        }
        if self.eof && self.owed() == 0 {
            violated!("nothing is started for nobody", "child {child}");
        }
        let mut trying = false;
        if child > 1 {
            let last = self.kids[&self.living].clone();
            trying = self.left == Phase::Degraded || (last.trying && last.serving_since.is_none());
            if self.left == Phase::Degraded {
                let since = self.now.saturating_sub(last.spawned);
                let by_host = matches!(self.current, super::check::Seen::Host(_));
                let due = match self.plans.changed_at == Some(self.now) {
                    true => 0,
                    false if by_host || self.session.is_new_since(last.spawned) => 5,
                    false => 60,
                };
                if since < Duration::from_secs(due) {
                    violated!("a degraded server is not tried too often", "after {since:?}");
                }
            } else if self.handoff {
                self.last_handoff = Some(self.now);
                if self.now != self.gone_at {
                    violated!("code 75 asks for a restart at once", "since {:?}", self.gone_at);
                }
            } else if self.plans.is_due(self.now, self.gone_at)? {
                self.cover.hit("started without a crash");
            } else {
                self.restarts_in_time()?;
            }
        }
        self.plans.spawned();
        self.handoff = false;
        let last = self.kids.get(&self.living).map_or(0, |kid| kid.edition);
        self.living = child;
        let edition = last + u32::from(std::mem::take(&mut self.outdated));
        let kid = Kid { edition, ..Kid::new(self.now, trying, self.token_to_inject()) };
        self.kids.insert(child, kid);
        Ok(())
    }

    /// A restart after a crash is neither too soon nor too late, nor one too many.
    fn restarts_in_time(&mut self) -> Checked {
        let limits = self.rules.restarts;
        if self.crashes.len() > limits.max_restarts as usize {
            violated!("it is not restarted more often than the limits allow", "{:?}", self.crashes);
        }
        let waited = self.now.saturating_sub(self.gone_at);
        self.in_a_row += 1;
        if self.in_a_row == 1 {
            if waited != Duration::ZERO {
                violated!("the first restart comes at once", "after {waited:?}");
            }
            return Ok(());
        }
        self.cover.hit("restarted after a back-off");
        let ideal = (limits.initial * 2_u32.pow((self.in_a_row - 2).min(20))).min(limits.max);
        if waited > ideal || waited + Duration::from_micros(1) < ideal / 2 {
            violated!(
                "restarts back off",
                "restart {} in a row after {waited:?} of {ideal:?}",
                self.in_a_row
            );
        }
        Ok(())
    }

    pub(super) fn exits(&mut self, child: u32, exit: Exit) {
        if child == self.living && !self.kid().gone {
            if self.open.values().any(|request| request.at == Some(child) && !request.cancelled) {
                self.cover.hit("crash with requests in flight");
            }
            self.may_have_died_of_ping();
            self.kid().exit = Some(exit);
        }
    }

    pub(super) fn spawn_fails(&mut self, child: u32, fault: SpawnFault) {
        self.cover.hit("spawn failed");
        let kid = self.kids.get_mut(&child).unwrap();
        kid.gone = true;
        let trying = kid.trying;
        self.gone_at = self.now;
        for request in self.open.values_mut().filter(|request| request.at == Some(child)) {
            // Nobody has read it.
            request.at = None;
            request.written.retain(|at| *at != child);
        }
        if self.plans.is_changing() && !(fault == SpawnFault::Busy && self.plans.is_busy(self.now)) {
            return self.cover.hit("failed while files change");
        }
        let busy = fault == SpawnFault::Busy;
        if busy && self.plans.is_busy(self.now) {
            return self.cover.hit("command busy");
        }
        // An attempt to leave the degraded phase that fails leads back to it, and counts no further.
        if (busy || matches!(fault, SpawnFault::ProcessLimit | SpawnFault::System)) && !trying {
            self.crashed();
        }
    }

    /// The engine is done with a child.
    pub(super) fn forgets(&mut self, child: u32) -> Checked {
        self.speaks_of(child)?;
        let since = self.kid().serving_since;
        let kid = self.kid().clone();
        self.kid().gone = true;
        self.gone_at = self.now;
        if kid.exit.is_some() && !kid.silent && self.phase != Phase::Stopping {
            violated!("what a child had written is read to the end", "child {child}");
        }
        self.open.retain(|id, request| {
            let lost = request.cancelled && request.at == Some(child);
            if lost {
                self.closed.insert(id.clone());
            }
            !lost
        });
        if self.phase == Phase::Stopping {
            return Ok(());
        }
        if let Some(since) = since
            && self.now.saturating_sub(since) > Duration::from_secs(61)
        {
            self.cover.hit("crash after sustained serving");
        }
        if kid.forgiven(self.exit_time()) {
            self.crashes.clear();
            self.in_a_row = 0;
        }
        if kid.replaced {
            self.plans.replaces();
            return Ok(());
        }
        if self.plans.is_changing() && since.is_none() && !kid.laddered {
            self.cover.hit("failed while files change");
            return Ok(());
        }
        let asks_again =
            kid.exit == Some(Exit::Code(75)) && since.is_some() && !kid.laddered && !kid.unusable;
        self.handoff =
            asks_again && self.last_handoff.is_none_or(|at| self.now >= at + Duration::from_secs(10));
        if self.handoff || kid.unusable || (kid.trying && since.is_none()) {
            return Ok(());
        }
        self.crashed();
        Ok(())
    }

    fn crashed(&mut self) {
        self.crashes.push_back(self.now);
        let window = self.rules.restarts.window;
        while self.crashes.front().is_some_and(|at| *at + window < self.now) {
            self.crashes.pop_front();
        }
    }

    fn exit_time(&self) -> Duration {
        if self.phase == Phase::Crashed { self.phase_since } else { self.now }
    }

    /// The phases do not last longer than they may.
    pub(super) fn life_ends(&mut self) -> Checked {
        let lasted = self.now.saturating_sub(self.phase_since);
        if self.phase == Phase::Degraded && lasted > Duration::from_secs(60) {
            violated!("a degraded server is tried every minute", "{lasted:?}");
        }
        let greeting = self.phase == Phase::Starting && matches!(self.kid().greeted, Greeted::Sent(_));
        let greeted_for = self.now.saturating_sub(self.kid().greeted_at);
        if self.phase == Phase::Draining && lasted > Duration::from_secs(30) {
            violated!("every delay is bounded", "draining for {lasted:?}");
        }
        let longest = match (self.plans.looking, self.plans.is_changing()) {
            (_, true) => Duration::from_secs(10).max(self.rules.restarts.max),
            (true, false) => Duration::from_secs(6),
            (false, false) => self.rules.restarts.max,
        };
        let waiting = self.phase == Phase::Waiting && lasted > longest.max(Duration::from_millis(250));
        if waiting || (greeting && greeted_for > Duration::from_secs(5 * 60 + 4)) {
            violated!("every delay is bounded", "{} for {lasted:?}", self.phase);
        }
        if self.handoff && self.phase != Phase::Stopping {
            violated!("code 75 asks for a restart at once", "child {}", self.living);
        }
        if self.phase == Phase::Degraded && lasted.is_zero() {
            self.cover.hit("degraded");
        }
        Ok(())
    }
}

impl Kid {
    /// Whether it had served for so long by then that earlier crashes are forgotten.
    fn forgiven(&self, at: Duration) -> bool {
        self.serving_since.is_some_and(|since| at >= since + Duration::from_secs(60))
    }
}
