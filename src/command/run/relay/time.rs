//! The relay's time: when it is to be woken, what it then gives back, and what time it is.

use super::Relay;
use crate::threads;

impl Relay {
    /// The alarm rings at the engine's deadline, when memory is to be given back, when services are to be tried again that
    /// had no thread, or before. A deadline that moves on with each message does not move it: that is seen when it rings,
    /// and costs nothing until then.
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

    /// Lines that were long are over for a while: their memory is given back.
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
