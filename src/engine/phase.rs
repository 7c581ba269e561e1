//! Where the server is in its life, and which change of phase is legal.

use std::fmt;

/// The phase of the server, as a person would tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A child was spawned; it has not been greeted yet.
    Starting,
    /// A greeted child serves the host.
    Serving,
    /// A child that is to be restarted finishes what it does; what is new waits for the next one.
    Draining,
    /// The child is dead or dying; what it had written is still being read.
    Crashed,
    /// No child; the next one comes after a back-off, or as soon as its token is known.
    Waiting,
    /// No child, and none expected soon: we answer ourselves, and keep trying.
    Degraded,
    /// We were asked to end: the ladder runs.
    Stopping,
    /// Nothing is left to do.
    Stopped,
}

impl Phase {
    /// The one table of legal changes.
    pub fn may_become(self, next: Self) -> bool {
        use Phase::{Crashed, Degraded, Draining, Serving, Starting, Stopped, Stopping, Waiting};
        matches!(
            (self, next),
            (Starting, Serving | Draining | Crashed | Waiting | Degraded | Stopping)
                | (Serving, Draining | Crashed | Stopping)
                | (Draining, Crashed | Stopping)
                | (Crashed, Starting | Waiting | Degraded | Stopping)
                | (Waiting, Starting | Degraded | Stopping)
                | (Degraded, Starting | Stopping)
                | (Stopping, Stopped)
        )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Crashed => "crashed",
            Self::Waiting => "waiting",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        })
    }
}
