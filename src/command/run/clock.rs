//! Where time is read for the engine.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::io::Now;

/// Both clocks, the monotonic one from the moment on at which this was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(super) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn now(self) -> Now {
        Now { mono: self.elapsed(), wall: Self::wall() }
    }

    /// The wall clock alone.
    pub(super) fn wall() -> Duration {
        wall()
    }
}

/// Wall-clock time since the Unix epoch as of the system's last tick, which is up to 10 ms ago: what is told in wall-clock time
/// is told in seconds. It is read with each message, and the exact time costs three times as much.
#[cfg(target_os = "linux")]
fn wall() -> Duration {
    use nix::time::{ClockId, clock_gettime};

    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map(Duration::from).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn wall() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is where time is read for the engine")]
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
