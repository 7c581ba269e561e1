//! A server that was started while its API was away.
//!
//! Servers ask their API once, before they greet, and offer less for as long as they run where that fails. So where requests to
//! the API ended badly between the start of a child and its greeting, and none ended well, another child takes its place as
//! soon as the API is back: when what runs is done, and without being counted. Its lists are compared with those that the host
//! has, as after every start.

use std::time::Duration;

use super::io::Output;
use super::lease::Lease;
use super::lease::io::Act;
use super::phase::Phase;
use super::timers::Timer;
use super::upstream::State;
use super::{Engine, planted};

/// How often it is looked whether the API is back, where nobody else asks it.
const LOOK: Duration = Duration::from_secs(5);
/// How long at least passes between two such restarts: an API may come and go.
const PAUSE: Duration = Duration::from_secs(60);
/// Why such a child is replaced.
pub(super) const BACK: &str = "its API had been away when it was started";

/// What is known of such restarts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    /// When a child was last replaced for it.
    replaced: Option<Duration>,
    /// Whether the API was away since. Where it was not, a child that has missed it again is like that whatever the API does:
    /// one of its requests may be refused always.
    pub(super) seen: bool,
}

impl Default for Away {
    fn default() -> Self {
        Self { replaced: None, seen: true }
    }
}

impl Engine {
    /// The child serves from now on: it is known what its start came to.
    pub(super) fn judge_start(&mut self) {
        let ends = self.ends;
        let Some(child) = &mut self.child else { return };
        child.missed = ends.since(child.ends);
        if child.missed.is_some() {
            self.timers.arm(Timer::Away, self.now.mono + LOOK);
        } else {
            self.away.seen = true;
        }
    }

    /// What kept the present child from its API when it was started. `None` if nothing did.
    pub(super) fn missed(&self) -> Option<State> {
        self.child.as_ref().and_then(|child| child.missed)
    }

    /// The API has answered, or there is a token: a child that has missed it is replaced.
    pub(super) fn api_is_back(&mut self) {
        let missed = self.missed().is_some() && self.phase == Phase::Serving;
        let early = self.away.replaced.is_some_and(|at| self.now.mono < at + PAUSE);
        if !missed || early || planted!(self, KeepMeager) {
            return;
        }
        self.timers.disarm(Timer::Away);
        if self.away.seen {
            self.drain_for(BACK, false);
        } else if let Some(child) = &mut self.child {
            child.missed = None;
        }
    }

    /// A child is replaced because of it.
    pub(super) fn replaces_for_api(&mut self) {
        self.away = Away { replaced: Some(self.now.mono), seen: false };
    }

    /// Looks whether the API is back.
    pub(super) fn look_for_api(&mut self) {
        let Some(missed) = self.missed() else { return };
        self.timers.arm(Timer::Away, self.now.mono + LOOK);
        let trusted = self.lease.as_ref().is_some_and(Lease::is_trusted);
        match missed {
            State::Expired if trusted => self.api_is_back(),
            State::Unreachable | State::Locked if trusted => {
                self.outputs.push_back(Output::Session(Act::Probe));
            }
            State::Expired | State::Unreachable | State::Locked | State::Lost | State::Doubted => {
                self.away.seen = true;
            }
        }
    }
}
