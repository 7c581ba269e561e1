//! How children are stopped: signals to us are forwarded, SIGKILL is never the first signal that a child gets, and the
//! grace belongs to the group.

use std::collections::VecDeque;
use std::time::Duration;

use super::Violation;
use super::check::{Checked, Checker, violated};
use crate::engine::io::{Exit, GroupSignal, Whom};
use crate::engine::phase::Phase;

/// The least time from SIGTERM to SIGKILL, unless a signal to us is the cause.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// From a signal that is forwarded to SIGKILL.
const HANDED: Duration = Duration::from_millis(1500);
/// The least time between a forwarded signal and the end of the child's input.
const APART: Duration = Duration::from_millis(150);
/// The least time between two different signals.
const BREATH: Duration = Duration::from_millis(50);
/// How long a server that still owes answers may go on before it gets the signal.
const OWING: Duration = Duration::from_millis(500);
/// The least time that a serving server has from the end of its input to SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// The stop of a child.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    closed: Option<Duration>,
    /// What was sent to the leader, or to the others once it had gone, and when.
    sent: Vec<(Duration, GroupSignal)>,
    /// What the leader has got and the others have not.
    rest: Vec<GroupSignal>,
    /// Signals to us that are to be forwarded, and when.
    due: VecDeque<(Duration, GroupSignal)>,
    /// From when on SIGKILL may come because of a signal to us.
    may_kill: Option<Duration>,
    killed: bool,
    /// When a signal to us was first forwarded, and when last.
    told: Option<(Duration, Duration)>,
    /// The last signal to us: when it came, and when it is to be forwarded.
    last: Option<(Duration, Duration, GroupSignal)>,
    /// It can no longer be used.
    pub unfit: bool,
    pub empty: bool,
}

impl Checker {
    /// We get a signal.
    pub(super) fn is_signalled(&mut self, signal: GroupSignal) {
        let (now, owes) = (self.now, self.eof && self.phase != Phase::Stopping && self.owed() > 0);
        let Some(kid) = self.kids.get_mut(&self.living).filter(|kid| !kid.gone && !kid.stop.killed) else {
            return;
        };
        let left = kid.laddered && kid.stop.sent.is_empty() && matches!(kid.exit, Some(Exit::Code(_)));
        if kid.exit.is_some() && (!kid.laddered || left || kid.stop.empty) {
            return;
        }
        let (gone, stop) = (kid.exit.is_some(), &mut kid.stop);
        let earliest = stop.closed.filter(|_| !gone).map_or(now, |closed| now.max(closed + APART));
        let early = stop.due.front().map_or(Duration::ZERO, |(due, _)| due.saturating_sub(earliest));
        for (due, _) in &mut stop.due {
            *due -= early;
        }
        // As long after the one before it as it has come after that.
        let at = match stop.last.filter(|_| !gone) {
            Some((came, at, before)) => {
                let breath = if before == signal { Duration::ZERO } else { BREATH };
                earliest.max(at.saturating_sub(early) + breath.max(now.saturating_sub(came)))
            }
            None if owes && !kid.laddered => now + OWING,
            None => earliest,
        };
        let at = stop.may_kill.map_or(at, |kill| at.min(now + kill.saturating_sub(now) / 2));
        stop.last = Some((now, at, signal));
        if !kid.stop.due.is_empty() || !kid.stop.sent.is_empty() {
            self.cover.hit("signal after signal");
        }
        let kid = self.kid();
        kid.stop.due.push_back((at, signal));
        let may = at + HANDED;
        kid.stop.may_kill = Some(kid.stop.may_kill.map_or(may, |earlier| earlier.min(may)));
    }

    pub(super) fn closes_stdin(&mut self, child: u32) -> Checked {
        self.speaks_of(child)?;
        let now = self.now;
        let kid = self.kid();
        if kid.stop.closed.is_some() {
            violated!("stdin is closed once", "child {child}");
        }
        let told = kid.stop.told.filter(|_| kid.exit.is_none());
        if told.is_some_and(|(first, last)| now < (last + APART).min(first + APART * 2)) {
            violated!("a signal and the end of input come apart", "child {child}, told at {told:?}");
        }
        kid.laddered = true;
        kid.stop.closed = Some(now);
        Ok(())
    }

    pub(super) fn signals(&mut self, child: u32, signal: GroupSignal, whom: Whom) -> Checked {
        self.speaks_of(child)?;
        let now = self.now;
        let kid = self.kid();
        let gone = kid.exit.is_some();
        if gone && !kid.laddered {
            // It has crashed, and its helpers go with it.
            kid.stop.killed = true;
            return Ok(());
        }
        let forwards = kid.stop.due.front().is_some_and(|(at, due)| *due == signal && *at <= now);
        if !kid.laddered && !forwards {
            violated!("the end of its input comes before a signal", "child {child}: {signal:?}");
        }
        kid.laddered = true;
        if let Some((at, due)) = kid.stop.due.front().filter(|(at, _)| *at < now && !gone) {
            violated!("a signal to us is handed on", "{due:?} of {at:?} comes no sooner than {now:?}");
        }
        if forwards {
            kid.stop.told = Some((kid.stop.told.map_or(now, |(first, _)| first), now));
        }
        if forwards && !gone && kid.stop.closed.is_some_and(|closed| now < closed + APART) {
            violated!("a signal and the end of input come apart", "child {child}: {signal:?}");
        }
        if signal == GroupSignal::Kill {
            return self.kills(child);
        }
        if kid.stop.killed {
            violated!("nothing comes after SIGKILL", "child {child}: {signal:?}");
        }
        match (whom, kid.stop.rest.iter().position(|told| *told == signal)) {
            (Whom::Rest, Some(told)) => {
                kid.stop.rest.remove(told);
                return Ok(());
            }
            (Whom::Leader, Some(_)) if !gone => {}
            (Whom::Leader, None) if !gone => kid.stop.rest.push(signal),
            (Whom::Rest, None) if gone => {}
            _ => violated!("signals go to the leader first, and to others once", "{signal:?} to {whom:?}"),
        }
        let served = kid.serving_since.is_some() && !kid.stop.unfit && !gone;
        let closed = kid.stop.closed.unwrap_or_default();
        if signal == GroupSignal::Term
            && served
            && kid.stop.due.is_empty()
            && kid.stop.may_kill.is_none()
            && now < closed + STOP_GRACE
        {
            violated!(
                "a server that serves has time to save",
                "SIGTERM {:?} after",
                now.saturating_sub(closed)
            );
        }
        if kid.stop.due.front().is_some_and(|(at, due)| *due == signal && (gone || *at <= now)) {
            kid.stop.due.pop_front();
        }
        kid.stop.sent.push((now, signal));
        Ok(())
    }

    fn kills(&mut self, child: u32) -> Checked {
        let now = self.now;
        let kid = self.kid();
        if std::mem::replace(&mut kid.stop.killed, true) {
            violated!("nothing comes after SIGKILL", "child {child}");
        }
        let Some((term, _)) = kid.stop.sent.iter().find(|(_, signal)| *signal == GroupSignal::Term) else {
            violated!("SIGKILL is never the first", "child {child} has heard {:?}", kid.stop.sent);
        };
        let may = kid.stop.may_kill.map_or(*term + TERM_GRACE, |may| may.min(*term + TERM_GRACE));
        if now < may {
            let what = if kid.exit.is_some() { "the grace is the group's" } else { "the grace is kept" };
            violated!(what, "child {child} is killed, and has time until {may:?}");
        }
        kid.stop.due.clear();
        let gone = kid.exit.is_some();
        self.cover.hit(if gone { "helper that saved for too long" } else { "server that was killed" });
        Ok(())
    }

    /// Whether helpers are left alone has to agree with how the child ended.
    pub(super) fn is_let_go(&mut self, child: u32, group_left: bool) -> Checked {
        let kid = self.kid().clone();
        let by_itself = kid.laddered && kid.stop.sent.is_empty() && matches!(kid.exit, Some(Exit::Code(_)));
        if group_left != by_itself {
            violated!("helpers are left only by a server that leaves by itself", "child {child}");
        }
        if kid.laddered && !by_itself && !kid.stop.killed && !kid.stop.empty {
            violated!("the grace is the group's", "child {child} is forgotten while helpers save");
        }
        Ok(())
    }

    /// Every signal that was due by now was forwarded.
    pub(super) fn stop_ends(&mut self) -> Checked {
        let now = self.now;
        let Some(kid) = self.kids.get(&self.living).filter(|kid| !kid.gone && !kid.stop.empty) else {
            return Ok(());
        };
        let left = kid.stop.sent.is_empty() && matches!(kid.exit, Some(Exit::Code(_)));
        let late = |(first, last): (Duration, Duration)| now > (last + APART).min(first + APART * 2);
        if kid.stop.closed.is_none() && kid.exit.is_none() && kid.stop.told.is_some_and(late) {
            violated!("a signal to us ends the child's input", "told at {:?}", kid.stop.told);
        }
        if let Some((at, signal)) = kid.stop.due.front().filter(|(at, _)| *at <= now && !left) {
            violated!("a signal to us is handed on", "{signal:?} of {at:?}");
        }
        Ok(())
    }
}
