//! The relay's time: when it wakes, what it gives back then, and what time it is.

use super::Relay;
use crate::threads;

impl Relay {
    /// The alarm rings no later than the engine's deadline, the time for giving memory back, and the time for trying
    /// services again that had no thread. A deadline that moves to a later time with each message does not reset the
    /// alarm: the relay sees that when it rings, and pays nothing until then.
    pub(super) fn set_alarm(&mut self) {
        self.deadline = self.engine.deadline();
        let threads = threads::is_awaited().then_some(self.threads_at);
        let deadline = self.deadline.into_iter().chain(self.rest.at()).chain(threads).min();
        let Some(deadline) = deadline else { return self.alarm_at = None };
        if self.alarm_at.is_none_or(|at| deadline < at) {
            self.alarm.ring_in(deadline.saturating_sub(self.now.mono));
            self.alarm_at = Some(deadline);
            self.cold.ask_again();
        }
    }

    /// Gives back the memory of long lines once there have been none for a while.
    pub(super) fn rest(&mut self) {
        if !self.rest.is_due(self.now.mono) {
            return;
        }
        self.from_host.shrink();
        if let Some(child) = &mut self.child {
            child.stdout.shrink();
        }
        self.rest.give_back(self.now.mono);
    }

    pub(super) fn look_at_clock(&mut self) {
        self.now = self.clock.now();
    }
}
