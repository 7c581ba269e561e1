//! What is no crash and no request: changed files, a command that is busy or not found.

use std::time::Duration;

use super::Violation;
use super::check::{Checked, Checker, violated};
use crate::engine::io::Changed;
use crate::engine::phase::Phase;

/// For how long nothing must change for changes to be over, and how long is waited at most.
const QUIET: Duration = Duration::from_millis(500);
const RESTLESS: Duration = Duration::from_secs(10);

/// What is under way beside the conversation.
#[derive(Debug, Default)]
pub(super) struct Plans {
    first_change: Option<Duration>,
    last_change: Option<Duration>,
    watched: bool,
    /// How many changes in a row the starts themselves may have caused.
    own: u32,
    pub changed_at: Option<Duration>,
    /// The next child takes the place of one that was replaced.
    replaces: bool,
    /// The login shell is asked.
    pub looking: bool,
    last_look: Option<Duration>,
    busy_since: Option<Duration>,
    busy: bool,
}

impl Plans {
    pub(super) fn changes(&mut self, now: Duration, what: Changed) {
        if what == Changed::Token {
            return;
        }
        self.watched |= what == Changed::Watched;
        self.first_change.get_or_insert(now);
        self.last_change = Some(now);
    }

    /// Whether files change, and it has not been quiet yet; not those that the starts themselves may change.
    pub(super) fn is_changing(&self) -> bool {
        self.last_change.is_some() && self.own < 3
    }

    pub(super) fn replaces(&mut self) {
        self.replaces = true;
    }

    /// Whether a command that is being written is not counted as a crash.
    pub(super) fn is_busy(&mut self, now: Duration) -> bool {
        let since = *self.busy_since.get_or_insert(now);
        self.busy = now < since + Duration::from_secs(30);
        self.busy
    }

    pub(super) fn is_born(&mut self) {
        self.busy_since = None;
    }

    /// Whether a child is spawned now for another reason than a crash.
    pub(super) fn is_due(&self, now: Duration, gone: Duration) -> Result<bool, Violation> {
        if self.replaces && now != gone {
            violated!("a replaced child is followed at once", "gone at {gone:?}");
        }
        if self.busy
            && !self.looking
            && self.changed_at != Some(now)
            && now != gone + Duration::from_millis(250)
        {
            violated!("a busy command is tried again soon", "gone at {gone:?}");
        }
        Ok(self.replaces || self.busy || self.looking || self.changed_at == Some(now))
    }

    pub(super) fn spawned(&mut self) {
        self.replaces = false;
        self.busy = false;
        self.looking = false;
    }
}

impl Checker {
    pub(super) fn asks_shell(&mut self) -> Checked {
        if !self.rules.bare_command
            || self.plans.last_look.is_some_and(|at| self.now < at + Duration::from_secs(60))
        {
            violated!("the login shell is asked only when a lookup has failed, and not too often", "");
        }
        self.plans.looking = true;
        self.plans.last_look = Some(self.now);
        Ok(())
    }

    pub(super) fn has_changed(&mut self) -> Checked {
        let (Some(first), Some(last)) = (self.plans.first_change.take(), self.plans.last_change.take())
        else {
            violated!("changes in a row are one", "nothing has changed");
        };
        if self.now < last + QUIET && self.now < first + RESTLESS {
            violated!("changes in a row are one", "the last was at {last:?}");
        }
        self.cover.hit("files have changed");
        if std::mem::take(&mut self.plans.watched) {
            let by_start = first < self.kids[&self.living].spawned + Duration::from_secs(5);
            self.plans.own = if by_start { self.plans.own + 1 } else { 0 };
        }
        if self.plans.own >= 3 {
            self.cover.hit("files change with each start");
            if self.phase == Phase::Waiting {
                // A child that failed meanwhile was not counted, and is followed now.
                self.plans.changed_at = Some(self.now);
            }
            return Ok(());
        }
        self.plans.changed_at = Some(self.now);
        self.crashes.clear();
        self.in_a_row = 0;
        Ok(())
    }

    pub(super) fn is_replaced(&mut self, child: u32) -> Checked {
        self.speaks_of(child)?;
        let lasted = self.now.saturating_sub(self.phase_since);
        let works = self
            .open
            .values()
            .any(|request| request.at == Some(child) && !request.cancelled && !request.stream);
        if self.phase == Phase::Draining && works && lasted < Duration::from_secs(30) {
            violated!("a planned restart lets finish what runs", "after {lasted:?}");
        }
        self.cover.hit(if self.phase == Phase::Draining {
            "drained and replaced"
        } else {
            "replaced before it served"
        });
        self.kid().replaced = true;
        Ok(())
    }
}
