//! Silent servers: when they are pinged, when they are suspect, and what follows.

use std::time::Duration;

use super::Violation;
use super::check::{Checked, Checker, violated};
use super::check_era::Opened;
use super::parse::Message;
use crate::engine::phase::Phase;

/// For how many intervals a server may work on at a request that was given up.
const WORKS_ON: u32 = 10;
/// How long the engine waits for a sign of life.
const SIGN: Duration = Duration::from_secs(5);

/// What is known of a child's life.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    /// When it last said anything.
    said: Duration,
    /// When it was asked.
    pinged: Vec<Duration>,
    /// The pings that it has not answered.
    unanswered: Vec<String>,
    /// Since when it has served without anything to do.
    idle: Option<Duration>,
    /// When a request that it has was last given up, unless it has answered anything since.
    told_to_leave: Option<Duration>,
    /// The same, but only an answer that was alone in its line counts.
    may_work: Option<Duration>,
    /// Whether it has said nothing to three pings.
    pub suspect: bool,
    /// When it was asked for a sign of life, because the host has asked for something.
    examined: Option<Duration>,
    /// Since when it is seen stopped.
    stopped: Option<Duration>,
}

impl Pulse {
    /// Whether the engine waits for a sign of life.
    pub(super) fn is_examined(&self, now: Duration) -> bool {
        self.examined.is_some_and(|since| now < since + SIGN)
    }

    /// What it worked on when it was told to leave it has been answered.
    pub(super) fn works_no_more(&mut self) {
        self.told_to_leave = None;
    }
}

/// How the server has taken pings so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manners {
    answers: bool,
    may_ignore: bool,
    deaths: u32,
}

impl Checker {
    pub(super) fn is_inspected(&mut self, child: u32, stopped: bool) {
        let now = self.now;
        if let Some(kid) = self.kids.get_mut(&child) {
            kid.pulse.stopped = if stopped { Some(kid.pulse.stopped.unwrap_or(now)) } else { None };
        }
    }

    /// How much longer a request that comes now may wait.
    pub(super) fn doubt(&self) -> Duration {
        let suspect = self.kids.get(&self.living).is_some_and(|kid| kid.pulse.suspect);
        if suspect && self.phase == Phase::Serving { SIGN } else { Duration::ZERO }
    }

    /// The living child has said something.
    pub(super) fn is_felt(&mut self) {
        let now = self.now;
        let pulse = &mut self.kid().pulse;
        pulse.said = now;
        pulse.examined = None;
        if std::mem::take(&mut pulse.suspect) {
            self.cover.hit("suspect server shows a sign of life");
        }
    }

    /// The living child has answered this.
    pub(super) fn is_answered_by(&mut self, id: &str, plain: bool) {
        let pulse = &mut self.kid().pulse;
        // A second answer to one counts like any other.
        let ping = pulse.unanswered.iter().any(|asked| asked == id);
        if !ping {
            pulse.told_to_leave = None;
            pulse.may_work = pulse.may_work.filter(|_| !plain);
        }
        let pings = pulse.unanswered.len();
        pulse.unanswered.retain(|asked| asked != id);
        let unanswered = !pulse.unanswered.is_empty();
        // A server may also repeat an id that one before it was asked under.
        self.manners.answers |= pulse.unanswered.len() < pings;
        self.manners.may_ignore |= unanswered && !ping;
    }

    /// The request that this child has is given up.
    pub(super) fn is_told_to_leave(&mut self, child: Option<u32>) {
        let now = self.now;
        if child == Some(self.living) {
            let pulse = &mut self.kid().pulse;
            (pulse.told_to_leave, pulse.may_work) = (Some(now), Some(now));
        }
    }

    /// Whether a child has something to do, so that its silence means nothing.
    fn is_busy(&self, child: u32) -> bool {
        let left = self.kids[&child].pulse.told_to_leave;
        left.is_some_and(|at| self.now < at + self.rules.ping * WORKS_ON)
            || self
                .open
                .values()
                .any(|request| request.at == Some(child) && !request.cancelled && !request.stream)
    }

    pub(super) fn is_suspect(&mut self, child: u32) -> Checked {
        let busy = self.is_busy(child);
        let pulse = &mut self.kids.get_mut(&child).unwrap().pulse;
        let asked = pulse.pinged.iter().filter(|at| **at >= pulse.said).count();
        if busy || asked < 3 {
            violated!("a server is suspect that has said nothing to three pings", "child {child}: {pulse:?}");
        }
        pulse.suspect = true;
        self.cover.hit("silent server suspected");
        Ok(())
    }

    pub(super) fn is_hung(&mut self, child: u32) -> Checked {
        let (now, ping) = (self.now, self.rules.ping);
        let pulse = self.kids[&child].pulse.clone();
        if pulse.stopped.is_some_and(|since| now >= since + ping * 3) {
            self.cover.hit("stopped server found");
            return Ok(());
        }
        if self.is_busy(child) {
            violated!("a busy server is never taken for a hung one", "child {child}");
        }
        let Some(since) = pulse.examined else {
            violated!("a suspect server is let be while nothing is asked of it", "child {child}: {pulse:?}");
        };
        if now < since + SIGN {
            violated!("a sign of life is waited for", "child {child} since {since:?}");
        }
        self.cover.hit("hung server found");
        Ok(())
    }

    /// We have asked a child whether it lives.
    pub(super) fn pings(&mut self, child: u32, id: &str) -> Checked {
        if self.is_busy(child) {
            violated!("a busy server is not asked whether it lives", "child {child}");
        }
        if self.manners.deaths >= 2 {
            violated!("a server that dies of pings is not pinged for ever", "child {child}");
        }
        let now = self.now;
        let pulse = &mut self.kid().pulse;
        pulse.pinged.push(now);
        pulse.unanswered.push(id.to_owned());
        Ok(())
    }

    /// A suspect child was sent a request that every server must know.
    pub(super) fn is_examined(&mut self, message: &Message, line: &str) -> Checked {
        let (now, envelope) = (self.now, message.params.get("_meta").is_some());
        let modern = self.opened == Opened::Modern;
        if !message.method().ends_with("/list") || envelope != modern {
            violated!("our own requests are of the host's era", "{line}");
        }
        let pulse = &mut self.kid().pulse;
        if !pulse.suspect || pulse.examined.is_some_and(|since| now < since + SIGN) {
            violated!("a server is asked for one sign of life at a time", "{line}");
        }
        pulse.examined = Some(now);
        self.cover.hit("sign of life waited for");
        Ok(())
    }

    /// A child has ended.
    pub(super) fn may_have_died_of_ping(&mut self) {
        let now = self.now;
        let kid = self.kid();
        let soon = kid.pulse.pinged.last().is_some_and(|at| now <= *at + Duration::from_secs(1));
        if soon && !kid.laddered {
            self.manners.deaths += 1;
            self.cover.hit("server ended right after a ping");
        }
    }

    /// An idle server is pinged, so that a hang is found before a request comes. The exception is a server that has
    /// shown that pings tell nothing, or do it harm.
    pub(super) fn idle_is_asked(&mut self) -> Checked {
        let (now, ping, manners) = (self.now, self.rules.ping, self.manners);
        let greeted = self.told.is_some() || self.opened == Opened::Modern;
        let takes = manners.deaths < 2 && (manners.answers || !manners.may_ignore);
        let idle = self.phase == Phase::Serving && greeted && !ping.is_zero() && !self.is_busy(self.living);
        let kid = self.kid();
        let works = kid.pulse.may_work.is_some_and(|at| now < at + ping * WORKS_ON);
        let idle = idle && !works && takes && kid.exit.is_none() && !kid.laddered && !kid.pulse.suspect;
        kid.pulse.idle = if idle { Some(kid.pulse.idle.unwrap_or(now)) } else { None };
        let asked = kid.pulse.pinged.last().copied();
        if let Some(since) = kid.pulse.idle
            && now > since.max(asked.unwrap_or_default()) + ping * 2
        {
            violated!("an idle server is asked whether it lives", "idle since {since:?}, asked at {asked:?}");
        }
        Ok(())
    }
}
