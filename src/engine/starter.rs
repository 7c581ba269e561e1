//! The process that started us is gone: was that the host?
//!
//! It was, if no process that is older than we are holds the other end of our stdin. If that is not known, a host of
//! the legacy era is pinged, which every host answers. In the modern era servers send no requests, and nothing is
//! concluded.

use std::time::Duration;

use super::Engine;
use super::io::Holder;
use super::note::StopCause;
use super::phase::Phase;
use super::timers::Timer;
use crate::wire::Id;

/// How long a pinged host may be silent. Anything that it says counts as an answer.
const SILENCE: Duration = Duration::from_secs(5);
/// The id of our ping.
const PING: &str = "mcp-supervise:ping";

impl Engine {
    /// The process that started us is gone. `holder` holds the other end of our stdin.
    pub(super) fn starter_gone(&mut self, holder: Holder) {
        if matches!(self.phase, Phase::Stopping | Phase::Stopped) {
            return;
        }
        match holder {
            Holder::Nobody => self.stop(StopCause::HostGone),
            Holder::Other => {}
            Holder::Unknown => {
                if !self.is_modern() && self.replay.told.is_some() && !self.host_eof {
                    self.say_to_host(format!(r#"{{"jsonrpc":"2.0","id":"{PING}","method":"ping"}}"#));
                    self.timers.arm(Timer::Host, self.now.mono + SILENCE);
                }
            }
        }
    }

    /// The pinged host has said nothing.
    pub(super) fn host_silent(&mut self) {
        self.stop(StopCause::HostGone);
    }

    /// Whether this is the host's answer to our ping, which is not forwarded.
    pub(super) fn is_of_our_ping(id: Option<&Id>) -> bool {
        id.is_some_and(|id| *id == Id::text(PING))
    }
}
