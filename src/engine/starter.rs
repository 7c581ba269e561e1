//! The process that started us is gone: was that the host?
//!
//! Where no process that is older than we are holds the other end of our stdin, it was. Where that cannot be told, a host of
//! the legacy era is pinged, which every host answers; in the modern era a server asks nothing, and nothing is concluded.

use std::time::Duration;

use super::Engine;
use super::io::Holder;
use super::note::StopCause;
use super::phase::Phase;
use super::timers::Timer;
use crate::wire::Id;

/// How long a host that is pinged may be silent. Whatever it says is an answer.
const SILENCE: Duration = Duration::from_secs(5);
/// The id of our ping.
const PING: &str = "mcp-supervise:ping";

impl Engine {
    /// The process that started us is gone, and this one holds the other end of our stdin.
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

    /// It has said nothing.
    pub(super) fn host_silent(&mut self) {
        self.stop(StopCause::HostGone);
    }

    /// Whether the host answers our ping: its answer is for nobody else.
    pub(super) fn is_of_our_ping(id: Option<&Id>) -> bool {
        id.is_some_and(|id| *id == Id::text(PING))
    }
}
