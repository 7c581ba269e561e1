//! The ladder by which a child is stopped, as data: close its stdin, SIGTERM, SIGKILL, and no waiting for ever.

use std::time::Duration;

/// How long after SIGKILL an exit is waited for: a process in an uninterruptible sleep must not keep us. With the graces
/// before it this stays within the 2 s after which hosts lose their patience; a busy machine takes some of it.
const KILL_GRACE: Duration = Duration::from_millis(450);

/// One rung. Each is stronger than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Its stdin is closed: it may leave politely.
    Close,
    /// SIGTERM to its group.
    Term,
    /// SIGKILL to its group.
    Kill,
    /// Nothing more can be done.
    GiveUp,
}

/// How long each rung waits for the exit before the next one.
#[derive(Clone, Copy, Debug)]
pub struct Graces {
    /// After the stdin was closed.
    pub stop: Duration,
    /// After SIGTERM.
    pub term: Duration,
}

impl Rung {
    /// The rung after this one, and after what time.
    pub fn next(self, graces: Graces) -> Option<(Self, Duration)> {
        match self {
            Self::Close => Some((Self::Term, graces.stop)),
            Self::Term => Some((Self::Kill, graces.term)),
            Self::Kill => Some((Self::GiveUp, KILL_GRACE)),
            Self::GiveUp => None,
        }
    }
}
