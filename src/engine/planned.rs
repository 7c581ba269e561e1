//! Restarts that are no crash: because files or the token have changed, or a child cannot be used for what comes.
//!
//! A build writes many files: changes in a row are one restart, once it has been quiet for a while. A serving child is
//! drained first: what is new waits, what runs has its time, and then the ladder.

use std::time::Duration;

use super::away::BACK;
use super::inflight::Pending;
use super::io::Changed;
use super::ladder::Way;
use super::lease::io::Event;
use super::note::Note;
use super::phase::Phase;
use super::timers::Timer;
use super::tools::Safety;
use super::{Doom, Engine, planted};

/// For how long nothing must change for changes to be over.
const QUIET: Duration = Duration::from_millis(500);
/// With changes that never end, this is waited for after the first.
const RESTLESS: Duration = Duration::from_secs(10);
/// How soon after a start the server itself, or its log, may be what changes the files.
const OWN_DOING: Duration = Duration::from_secs(5);
/// After how many such restarts in a row it is taken for that, and each further one waits twice as long for quiet.
const RESTARTS_OF_ITS_OWN: u32 = 3;
/// The longest that is waited for quiet then.
const LONGEST_QUIET: Duration = Duration::from_secs(30);
/// How long a child that is to be restarted has for what it does.
const DRAIN: Duration = Duration::from_secs(30);

/// Changes that are not over yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    first: Duration,
    what: Changed,
}

impl Engine {
    /// Something has changed on disk.
    pub(super) fn changed(&mut self, what: Changed) {
        if self.phase == Phase::Stopping {
            return;
        }
        if what == Changed::Token {
            self.note(Note::Changed { what });
            return self.session_event(Event::Stirred);
        }
        self.book.tools.outdate();
        let now = self.now.mono;
        let change = self.change.get_or_insert(Change { first: now, what });
        change.what = change.what.min(what);
        let first = change.first;
        let quiet = quiet_after(if self.follows_start(first) { self.own_changes } else { 0 });
        let quiet = (now + quiet).min(first + RESTLESS.max(quiet));
        self.timers.arm(Timer::Quiet, if planted!(self, RestartPerChange) { now } else { quiet });
    }

    /// It has been quiet since the last change.
    pub(super) fn changes_are_over(&mut self) {
        let Some(change) = self.change.take() else { return };
        self.note(Note::Changed { what: change.what });
        if change.what == Changed::Watched {
            self.count_own_changes(change.first);
        }
        if self.changes_by_itself() {
            if self.phase == Phase::Serving && change.what == Changed::Watched {
                self.drain_for(CHANGED, true);
            }
            if self.phase == Phase::Waiting
                && !self.lookup.is_under_way()
                && !self.timers.is_armed(Timer::Restart)
            {
                // It waits for these changes to be over, and for nothing else.
                self.start();
            }
            // A server that does not come to serve is otherwise tried again as if nothing had changed.
            return;
        }
        if change.what == Changed::Watched || !matches!(self.phase, Phase::Serving | Phase::Starting) {
            self.renew_child(CHANGED, true);
        } else {
            self.forgive();
        }
    }

    /// Restarts the server on an order. With `soon`, a server that does not end with its input has less time.
    pub(super) fn restart_as_asked(&mut self, soon: bool) {
        if self.phase == Phase::Stopping {
            return;
        }
        self.note(Note::RestartAsked);
        if planted!(self, IgnoreOrder) {
            return;
        }
        self.book.tools.outdate();
        self.renew_child(ASKED, soon);
    }

    /// Brings about the next child, whatever phase we are in.
    fn renew_child(&mut self, reason: &'static str, soon: bool) {
        // What the old one did says nothing of the new one.
        self.forgive();
        match self.phase {
            Phase::Starting if !self.runs_first_calls() => self.replace(reason),
            Phase::Serving | Phase::Starting => self.drain_for(reason, soon),
            Phase::Waiting if !self.lookup.is_under_way() && !self.awaits_token() => {
                self.timers.disarm(Timer::Restart);
                self.start();
            }
            Phase::Degraded => self.retry(),
            // The next child is on its way.
            Phase::Draining | Phase::Crashed if soon => self.hurry(),
            Phase::Waiting | Phase::Crashed | Phase::Draining | Phase::Stopping | Phase::Stopped => {}
        }
    }

    /// Counts in a row the changes that followed a start so soon that the start may be their cause.
    fn count_own_changes(&mut self, first: Duration) {
        self.own_changes = if self.follows_start(first) { self.own_changes.saturating_add(1) } else { 0 };
        if self.own_changes == RESTARTS_OF_ITS_OWN {
            self.note(Note::ChangesByItself);
        }
    }

    /// Whether the starts themselves seem to be what changes the files.
    fn changes_by_itself(&self) -> bool {
        self.own_changes >= RESTARTS_OF_ITS_OWN
    }

    /// Whether a child that fails now may have been half of what it will be.
    pub(super) fn may_be_half(&self) -> bool {
        self.change.is_some() && !self.changes_by_itself()
    }

    /// Whether a change came so soon after the last start that this may be its cause.
    fn follows_start(&self, change: Duration) -> bool {
        change < self.last_attempt + OWN_DOING
    }

    /// Whether the child has a request that it is to finish.
    pub(super) fn works_on(&self, pending: &Pending) -> bool {
        pending.written == Some(self.generation) && !pending.stream && !pending.cancelled
    }

    /// Whether a child of the modern era that has not said anything yet runs what would be lost with it.
    pub(super) fn runs_first_calls(&self) -> bool {
        let lost = |pending: &Pending| self.works_on(pending) && self.may_repeat(pending) != Safety::Safe;
        self.is_modern() && self.inflight.any(lost)
    }

    /// The child is replaced when it has done what it does.
    pub(super) fn drain_for(&mut self, reason: &'static str, soon: bool) {
        if let Some(child) = &mut self.child {
            child.leaving = Some(reason);
            child.hurried = soon;
        }
        self.set_phase(Phase::Draining);
        self.timers.arm(Timer::Drain, self.now.mono + DRAIN);
    }

    /// Gives the present child less time, because its successor is urgent.
    fn hurry(&mut self) {
        let Some(child) = &mut self.child else { return };
        child.hurried = true;
        if child.ladder.is_some() {
            self.descend(Way::Hurried);
        }
    }

    /// Ends a drained child.
    pub(super) fn drain(&mut self) {
        if self.phase == Phase::Draining
            && (self.inflight.working() == 0 || planted!(self, RestartWithoutDraining))
        {
            self.drained();
        }
    }

    /// It has nothing more to do, or has had its time.
    pub(super) fn drained(&mut self) {
        if self.phase == Phase::Draining {
            self.timers.disarm(Timer::Drain);
            let reason = self.child.as_ref().and_then(|child| child.leaving).unwrap_or(CHANGED);
            if reason == BACK {
                self.replaces_for_api();
            }
            self.doom(Doom::Replace(reason));
        }
    }

    /// Ends a child that has not served, and starts another one in its place.
    pub(super) fn replace(&mut self, reason: &'static str) {
        self.doom(Doom::Replace(reason));
        // It has nothing to finish, and the host waits.
        self.descend(Way::Unfit);
    }
}

/// For how long it must be quiet after so many changes in a row that may be the server's own doing.
fn quiet_after(own_changes: u32) -> Duration {
    let doublings = own_changes.saturating_sub(RESTARTS_OF_ITS_OWN - 1).min(16);
    (QUIET * 2_u32.pow(doublings)).min(LONGEST_QUIET)
}

/// Why a child is replaced after a change.
const CHANGED: &str = "its files had changed";
/// The same after an order.
const ASKED: &str = "its restart was asked for";
