//! Named deadlines: one place that knows when the engine wants to be woken.

use std::time::Duration;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The back-off before the next child ends.
    Restart,
    /// A degraded server is tried again.
    Retry,
    /// The host has waited for its greeting as long as it may.
    Greeting,
    /// A child has had all the time to greet that even a download needs.
    Startup,
    /// The child has served long enough for its crashes to be forgotten.
    Sustained,
    /// The next step of the ladder.
    Rung,
    /// The time for reading the output of an ended child is over, because one of our readers is slow.
    Words,
    /// A child that fell silent, or no longer listens, has had its time to exit.
    Mute,
    /// The child is looked at: whether it answers, whether its process is stopped.
    Ping,
    /// The time of a suspect child for a sign of life is over.
    Sign,
    /// A fresh child of the modern era was silent for a moment, and may be able to take the next request too.
    SideBySide,
    /// Nothing has changed on disk for a while.
    Quiet,
    /// A child may be replaced again because its token was.
    Rotate,
    /// A child has missed its API when it was started: it is looked whether the API is back.
    Away,
    /// A child that is to be restarted has had its time for what it does.
    Drain,
    /// The user's login shell has had its time to tell its `PATH`.
    Lookup,
    /// A host that was pinged has been silent for too long.
    Host,
    /// Answers that may not be what they seem are judged.
    Embedded,
    /// After the host's end of input: answers have been owed long enough.
    Owed,
}

const COUNT: usize = Timer::Owed as usize + 1;

/// The deadlines that are armed, in monotonic time.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Duration>; COUNT]);

impl Timers {
    /// Sets a deadline, in place of an earlier one of the same name.
    pub(super) fn arm(&mut self, timer: Timer, at: Duration) {
        self.0[timer as usize] = Some(at);
    }

    /// Sets a deadline unless one of this name is set.
    pub(super) fn arm_once(&mut self, timer: Timer, at: Duration) {
        self.0[timer as usize].get_or_insert(at);
    }

    /// Takes a deadline away.
    pub(super) fn disarm(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Takes all deadlines away but this one.
    pub(super) fn disarm_all_but(&mut self, kept: Timer) {
        let at = self.0[kept as usize];
        self.0 = [None; COUNT];
        self.0[kept as usize] = at;
    }

    /// Whether a deadline of this name is set.
    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// Whether the deadline has come; it is taken away then.
    pub(super) fn fired(&mut self, timer: Timer, now: Duration) -> bool {
        let due = self.0[timer as usize].is_some_and(|at| at <= now);
        if due {
            self.disarm(timer);
        }
        due
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Duration> {
        self.0.iter().flatten().min().copied()
    }
}
